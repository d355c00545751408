"""What a program on a kernel reports while it runs the cells of a job, and the JSON of that.

:mod:`vxlab.matrix.run_cells` and the plugin's :mod:`vxlab.plugin.reports` write an object a line::

    {"begin": 4, "tools": {"ip": "6.1.0", …}}
    {"collected": 143}
    {"start": "scenarios/test_a.py::test_b", "behaviour": "…", "known": [{"id": "K40", …}]}
    {"case": "scenarios/test_a.py::test_b", "outcome": "passed", "seconds": 0.31, …}
    {"end": 4, "code": 0, "full": [], "said": "…"}
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vxlab.errors import VxlabError
from vxlab.results.model import Case, KnownDifference, Outcome

#: No scenario takes longer, in seconds.
_LONGEST = 1e9


@dataclass(frozen=True, slots=True)
class PytestStarted:
    """pytest starts for a cell; ``tools`` are the versions of its programs."""

    cell: int
    tools: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PytestEnded:
    """pytest has ended for a cell.

    ``code`` is its exit code, 128 + N for the signal N; ``full`` are folders that nothing can be
    written to any more, ``said`` is the end of its output.
    """

    cell: int
    code: int
    full: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class ScenariosCollected:
    """pytest has found so many scenarios."""

    count: int


@dataclass(frozen=True, slots=True)
class ScenarioStarted:
    """A scenario runs; ``behaviour`` and ``known`` are what it says of itself."""

    nodeid: str
    behaviour: str = ""
    known: tuple[KnownDifference, ...] = ()


@dataclass(frozen=True, slots=True)
class ScenarioEnded:
    """A scenario has ended."""

    case: Case


Report = PytestStarted | PytestEnded | ScenariosCollected | ScenarioStarted | ScenarioEnded
OnReport = Callable[[Report], None]


def encode(report: PytestStarted | PytestEnded) -> dict[str, Any]:
    """The object of a report; the other ones are written by the plugin."""
    match report:
        case PytestStarted():
            return {"begin": report.cell, "tools": dict(report.tools)}
        case PytestEnded():
            ending = {"code": report.code, "full": list(report.full), "said": report.said}
            return {"end": report.cell, **ending}


def decode_line(line: str) -> Report | None:
    """The report of a line; None where it is none, as one that was cut off by a crash."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return decode(found) if isinstance(found, dict) else None


def decode(found: Mapping[str, Any]) -> Report | None:
    """The report of an object; None where it is none of these, as a guest may send anything."""
    with contextlib.suppress(ValueError):
        match found:
            case {"begin": int(cell), "tools": dict(tools)}:
                return PytestStarted(cell, {_text(key): _text(tools[key]) for key in tools})
            case {"end": int(cell), "code": int(code), "full": list(full), "said": said}:
                folders = tuple(map(_text, full))
                return PytestEnded(cell=cell, code=code, full=folders, said=_text(said))
            case {"collected": int(count)}:
                return ScenariosCollected(count)
            case {"start": nodeid}:
                behaviour = _text(found.get("behaviour", ""))
                return ScenarioStarted(_text(nodeid), behaviour, _known_from_json(found))
            case {"case": _}:
                return ScenarioEnded(case_from_json(found))
    return None


def _text(value: object) -> str:
    """A text that can be shown and written; ValueError for what is none."""
    if not isinstance(value, str):
        raise ValueError(f"wanted a text, found {value!r:.50}")
    return value.encode("utf-8", "backslashreplace").decode()


def case_from_json(found: Mapping[str, Any]) -> Case:
    """The case that an object tells of; what is not in it is empty.  ValueError for another."""
    texts = {name: _text(found.get(name, "")) for name in ("reason", "evidence", "behaviour")}
    seconds = found.get("seconds", 0.0)
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise ValueError(f"wanted seconds, found {seconds!r:.50}")
    return Case(
        nodeid=_text(found.get("case")),
        outcome=Outcome(_text(found.get("outcome"))),
        seconds=min(seconds, _LONGEST),
        known=_known_from_json(found),
        **texts,
    )


def case_to_json(case: Case) -> dict[str, Any]:
    """The object of a case, without what is empty."""
    fields = {
        "outcome": str(case.outcome),
        "seconds": case.seconds,
        "reason": case.reason,
        "evidence": case.evidence,
        "behaviour": case.behaviour,
        "known": _known_to_json(case.known),
    }
    return {"case": case.nodeid} | {name: value for name, value in fields.items() if value}


def _known_from_json(found: Mapping[str, Any]) -> tuple[KnownDifference, ...]:
    """The known differences that an object names; ValueError where these are none."""
    try:
        return tuple(KnownDifference(**each) for each in found.get("known", ()))
    except (TypeError, AttributeError, VxlabError) as error:
        raise ValueError(f"wanted known differences, found {error}") from error


def _known_to_json(known: Iterable[KnownDifference]) -> list[dict[str, str]]:
    """The objects of known differences."""
    return [
        {"id": each.id, "since": each.since, "until": each.until, "of": each.of} for each in known
    ]
