"""What happens to the cells of a job, and the JSON of that, by which it comes from other machines.

{"event": "boot", "cells": [4, 5, 6]}
{"event": "begin", "cell": 4, "release": "6.1.0-51-cloud-amd64", "tools": {…}, "config": "…"}
{"event": "collected", "cell": 4, "count": 143}
{"event": "start", "cell": 4, "nodeid": "scenarios/test_a.py::test_b"}
{"event": "case", "cell": 4, "case": "scenarios/test_a.py::test_b", "outcome": "passed", …}
{"event": "end", "cell": 4, "state": "done", "seconds": 211.3}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vxlab.matrix import reports
from vxlab.results.model import Case, CellState


@dataclass(frozen=True, slots=True)
class Booting:
    """A machine starts for these cells."""

    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBegun:
    """A cell begins.

    ``release`` is its kernel's ``uname -r``, ``config`` the kernel's configuration, ``tools`` are
    the versions of programs.
    """

    cell: int
    release: str = ""
    config: str = ""
    tools: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CellCollected:
    """A cell has found its scenarios."""

    cell: int
    count: int


@dataclass(frozen=True, slots=True)
class CaseStarted:
    """A scenario runs in a cell."""

    cell: int
    nodeid: str


@dataclass(frozen=True, slots=True)
class CaseEnded:
    """A scenario has ended in a cell."""

    cell: int
    case: Case


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEnded:
    """A cell has ended in a state.

    ``seconds`` is how long it took.  Of one that died, ``reason`` says why, ``fingerprint`` is the
    same for the same way to die, ``last`` is the node id of the scenario that was running, and
    ``log`` the end of a log.
    """

    cell: int
    state: CellState
    seconds: float = 0.0
    reason: str = ""
    fingerprint: str = ""
    last: str = ""
    log: str = ""


Event = Booting | CellBegun | CellCollected | CaseStarted | CaseEnded | CellEnded
OnEvent = Callable[[Event], None]


def encode(event: Event) -> dict[str, Any]:
    """The object of an event."""
    match event:
        case Booting():
            return {"event": "boot", "cells": list(event.cells)}
        case CellBegun():
            about = {"release": event.release, "config": event.config, "tools": dict(event.tools)}
            return {"event": "begin", "cell": event.cell, **about}
        case CellCollected():
            return {"event": "collected", "cell": event.cell, "count": event.count}
        case CaseStarted():
            return {"event": "start", "cell": event.cell, "nodeid": event.nodeid}
        case CaseEnded():
            return {"event": "case", "cell": event.cell, **reports.case_to_json(event.case)}
        case CellEnded():
            return _encode_end(event)


def _encode_end(event: CellEnded) -> dict[str, Any]:
    texts = {
        "reason": event.reason,
        "fingerprint": event.fingerprint,
        "last": event.last,
        "log": event.log,
    }
    fields = {"cell": event.cell, "state": str(event.state), "seconds": event.seconds}
    return {"event": "end", **fields, **{name: text for name, text in texts.items() if text}}


def decode(found: Mapping[str, Any]) -> Event:
    """The event of an object; ValueError where it is none."""
    match found:
        case {"event": "boot", "cells": cells}:
            return Booting(tuple(cells))
        case {"event": "begin", "cell": cell, "release": release, "config": config, "tools": tools}:
            return CellBegun(cell=cell, release=release, config=config, tools=tools)
        case {"event": "collected", "cell": cell, "count": count}:
            return CellCollected(cell, count)
        case {"event": "start", "cell": cell, "nodeid": nodeid}:
            return CaseStarted(cell, nodeid)
        case {"event": "case", "cell": cell}:
            return CaseEnded(cell, reports.case_from_json(found))
        case {"event": "end", "cell": cell, "state": state, **rest}:
            return CellEnded(cell=cell, state=CellState(state), **rest)
    raise ValueError(f"wanted an event of a matrix, found {found!r}")
