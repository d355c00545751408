"""A job from its first cell to its last, whatever happens to the machines that run it.

What happens is told as events, objects of JSON, so that they can come from another machine::

    {"event": "boot", "cells": [4, 5, 6]}
    {"event": "begin", "cell": 4, "release": "6.1.0-51-cloud-amd64", "tools": {…}, "config": "…"}
    {"event": "collected", "cell": 4, "count": 143}
    {"event": "start", "cell": 4, "nodeid": "scenarios/test_a.py::test_b"}
    {"event": "case", "cell": 4, "case": "scenarios/test_a.py::test_b", "outcome": "passed", …}
    {"event": "end", "cell": 4, "state": "done", "seconds": 211.3}

Where a kernel crashes, or a scenario hangs, that scenario is a case with the outcome ``error``, and
the cell goes on with those that are left, in another machine; its state says at the end what
happened first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError
from vxlab.matrix import places
from vxlab.matrix.job import Job
from vxlab.matrix.places import Ending, Place, Report, Stop
from vxlab.results.model import CellState
from vxlab.vm.notify import Notify

Event = dict[str, Any]
Tell = Callable[[Event], None]

#: Exit codes of pytest that leave a cell's cases as they should be: all passed, some failed,
#: modules that could not be collected (which are cases of their own), nothing selected.
_SOUND = (0, 1, 2, 5)

#: What other exit codes of pytest mean (docs.pytest.org, "Exit codes").
_MEANINGS = {3: ", an internal error", 4: ", a wrong command line"}

#: What a scenario says of itself before it runs, besides its name.
_FACTS = ("behaviour", "known")

#: How a machine ends by one of its scenarios: without that the cell goes on.
_BY_SCENARIO = (CellState.CRASHED, CellState.HUNG)

#: So often a cell goes on, whatever is left of it.
_CRASHES = 8

#: So many machines in a row that do not come up are enough to believe that none will.
_BOOTS = 2


def run(job: Job, tell: Tell, luggage: Path | None, stop: Stop, notify: Notify) -> None:
    """Run a job's cells, each once; in a new machine where one has died."""
    left = list(job.cells)
    failed_boots = 0
    try:
        place = places.place_of(job, luggage, stop, notify)
    except VxlabError as error:
        for number, _ in left:
            _end(tell, number, Ending(CellState.BOOT_FAILED, str(error)))
        return
    with place:
        follower = _Follower(place, tell)
        while left and not stop.why:
            tell({"event": "boot", "cells": [number for number, _ in left]})
            follower.began = False
            ending = place.run(left, follower.take, follower.seen_before())
            follower.settle(ending)
            if follower.began:
                failed_boots = 0
            elif not stop.why:
                failed_boots += 1
                lost = left if failed_boots == _BOOTS else left[:1]
                for number, _ in lost:
                    follower.end(number, _no_cell(ending))
            left = [cell for cell in left if cell[0] not in follower.ended]


def _no_cell(ending: Ending) -> Ending:
    """How a machine ended that began no cell at all."""
    if ending.state in (CellState.ABORTED, CellState.MACHINE_LOST):
        return ending
    return Ending(CellState.BOOT_FAILED, ending.reason, ending.fingerprint, ending.log)


@dataclass
class _Crash:
    """What a cell has behind it whose kernel has crashed or hung: how first, and how often."""

    ending: Ending
    last: str
    seconds: float = 0.0
    count: int = 0


def _why(said: str) -> str:
    """The line of pytest's output that names an error."""
    lines = [line.strip() for line in said.splitlines() if re.search(r"\berror\b", line, re.I)]
    return f": {lines[-1]}" if lines else ""


def _end(tell: Tell, cell: int, ending: Ending, last: str = "", seconds: float = 0.0) -> None:
    event: Event = {"event": "end", "cell": cell, "state": str(ending.state), "seconds": seconds}
    fields = {
        "reason": ending.reason,
        "fingerprint": ending.fingerprint,
        "last": last,
        "log": ending.log,
    }
    tell(event | {name: value for name, value in fields.items() if value})


class _Follower:
    """Makes events of what machines report, one after another."""

    def __init__(self, place: Place, tell: Tell) -> None:
        self._place, self._tell = place, tell
        self.ended: set[int] = set()
        self.began = False  # whether this machine has begun a cell
        self._crashes: dict[int, _Crash] = {}
        self._seen: dict[int, list[str]] = {}
        self._cell: int | None = None
        self._last = ""
        self._facts: Report = {}  # what the last scenario that started says of itself
        self._since = 0.0

    def seen_before(self) -> dict[int, list[str]]:
        """The scenarios that cells need not run again, which have crashed in between."""
        return {cell: self._seen[cell] for cell in self._crashes if cell not in self.ended}

    def take(self, report: Report) -> None:
        """A line of :mod:`vxlab.matrix.inside`, or of pytest below it."""
        if "begin" in report:
            self._cell, self._last, self._since = report["begin"], "", time.monotonic()
            self.began = True
            if self._cell not in self._crashes:
                self._seen[self._cell] = []
                self._say(
                    "begin",
                    release=self._place.release,
                    config=self._place.config,
                    tools=report["tools"],
                )
        elif "end" in report:
            self._finish(self._judged(report))
        elif "collected" in report:
            if self._cell not in self._crashes:
                self._say("collected", count=report["collected"])
        elif "start" in report:
            self._last = report["start"]
            self._facts = {name: report[name] for name in _FACTS if name in report}
            self._say("start", nodeid=self._last)
        elif "case" in report:
            self._last = ""
            if self._cell is not None:
                self._seen[self._cell].append(report["case"])
            self._say("case", **report)

    def _judged(self, report: Report) -> Ending:
        code = report["code"]
        if report["full"]:
            return Ending(CellState.DISK_FULL, f"no room is left on {', '.join(report['full'])}")
        if code in _SOUND and not self._last:
            return Ending(CellState.DONE)
        how = f"was ended by signal {code - 128}" if code > 128 else f"ended with {code}"
        how += " within a test" if code in _SOUND else _MEANINGS.get(code, "")
        return Ending(CellState.ABORTED, f"pytest {how}{_why(report['said'])}", log=report["said"])

    def settle(self, ending: Ending) -> None:
        """The machine has ended: so has the cell that was running."""
        if self._cell is not None:
            if ending.state is CellState.DONE:
                ending = Ending(CellState.ABORTED, "the machine ended before the cell did")
            if ending.state in _BY_SCENARIO and self._last and self._goes_on(ending):
                self._cell = None
            else:
                self._finish(ending)

    def _goes_on(self, ending: Ending) -> bool:
        """Write down a crash; whether the cell is to go on after it."""
        assert self._cell is not None
        crash = self._crashes.setdefault(self._cell, _Crash(ending, self._last))
        crash.count += 1
        if crash.count == _CRASHES:
            return False
        crash.seconds += time.monotonic() - self._since
        self._seen[self._cell].append(self._last)
        self._say(
            "case",
            case=self._last,
            outcome="error",
            reason=f"{ending.state}: {ending.reason}",
            evidence="\n".join(filter(None, (ending.fingerprint, ending.log))),
            **self._facts,
        )
        return True

    def _finish(self, ending: Ending) -> None:
        if self._cell is None:
            return
        last = self._last if ending.state is not CellState.DONE else ""
        self.end(self._cell, ending, last, time.monotonic() - self._since)
        self._cell = None

    def end(self, cell: int, ending: Ending, last: str = "", seconds: float = 0.0) -> None:
        """A cell has ended; one that has gone on after a crash or a hang, as it did first."""
        crash = self._crashes.get(cell)
        if crash is not None and ending.state is not CellState.INTERRUPTED:
            ending, last, seconds = crash.ending, crash.last, seconds + crash.seconds
        _end(self._tell, cell, ending, last, round(seconds, 1))
        self.ended.add(cell)

    def _say(self, event: str, **fields: Any) -> None:
        if self._cell is not None:
            self._tell({"event": event, "cell": self._cell, **fields})
