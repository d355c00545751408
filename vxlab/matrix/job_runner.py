"""A job from its first cell to its last, whatever happens to the machines that run it.

Where a kernel crashes, or a scenario hangs, that scenario is a case with the outcome ``error``, and
the cell goes on with those that are left, in another machine; its state says at the end what
happened first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.matrix import target_choice
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import (
    Booting,
    CaseEnded,
    CaseStarted,
    CellBegun,
    CellCollected,
    CellEnded,
    OnEvent,
)
from vxlab.matrix.job import Job
from vxlab.matrix.reports import (
    PytestEnded,
    PytestStarted,
    Report,
    ScenarioEnded,
    ScenariosCollected,
    ScenarioStarted,
)
from vxlab.matrix.target import Target, Termination
from vxlab.results.model import Case, CellState, Outcome
from vxlab.vm.notify import Notify

#: Exit codes of pytest that leave a cell's cases as they should be: all passed, some failed,
#: modules that could not be collected (which are cases of their own), nothing selected.
_SOUND = (0, 1, 2, 5)

#: What other exit codes of pytest mean (docs.pytest.org, "Exit codes").
_MEANINGS = {3: ", an internal error", 4: ", a wrong command line"}

#: How a machine ends by one of its scenarios: without that the cell goes on.
_BY_SCENARIO = (CellState.CRASHED, CellState.HUNG)

#: So often a cell goes on, whatever is left of it.
_CRASHES = 8

#: So many machines in a row that do not come up are enough to believe that none will.
_BOOTS = 2


def run_job(
    job: Job,
    on_event: OnEvent,
    archive: Path | None,
    cancellation: Cancellation,
    notify: Notify,
) -> None:
    """Run a job's cells, each once; in a new machine where one has died.

    ``job`` has the cells, and ``on_event`` gets what happens to them.  ``archive`` is the project
    packed for guests, ``cancellation`` ends the job early, ``notify`` is told what takes time.
    """
    left = list(job.cells)
    failed_boots = 0
    try:
        target = target_choice.target_of(job, archive, cancellation, notify)
    except VxlabError as error:
        for number, _ in left:
            on_event(CellEnded(cell=number, state=CellState.BOOT_FAILED, reason=str(error)))
        return
    with target:
        follower = _Follower(target, on_event, {number for number, _ in left})
        while left and not cancellation.reason:
            on_event(Booting(tuple(number for number, _ in left)))
            follower.began = False
            ending = target.run(left, follower.take, follower.seen_before())
            follower.settle(ending)
            if follower.began:
                failed_boots = 0
            elif not cancellation.reason:
                failed_boots += 1
                lost = left if failed_boots == _BOOTS else left[:1]
                for number, _ in lost:
                    follower.end(number, _no_cell(ending))
            left = [cell for cell in left if cell[0] not in follower.ended]


def _no_cell(ending: Termination) -> Termination:
    """How a machine ended that began no cell at all."""
    if ending.state in (CellState.ABORTED, CellState.MACHINE_LOST):
        return ending
    return replace(ending, state=CellState.BOOT_FAILED)


@dataclass(kw_only=True)
class _Crash:
    """What a cell has behind it whose kernel has crashed or hung: how first, and how often."""

    ending: Termination
    last: str
    seconds: float = 0.0
    count: int = 0


def _error_line(said: str) -> str:
    """The line of pytest's output that names an error."""
    lines = [line.strip() for line in said.splitlines() if re.search(r"\berror\b", line, re.I)]
    return f": {lines[-1]}" if lines else ""


class _Follower:
    """Makes events of what targets report, one after another."""

    def __init__(self, target: Target, on_event: OnEvent, cells: Set[int]) -> None:
        self._target, self._on_event, self._cells = target, on_event, cells
        self.ended: set[int] = set()
        self.began = False  # whether this machine has begun a cell
        self._crashes: dict[int, _Crash] = {}
        self._seen: dict[int, list[str]] = {}
        self._cell: int | None = None
        self._running: ScenarioStarted | None = None
        self._since = 0.0

    def seen_before(self) -> dict[int, list[str]]:
        """The scenarios that cells need not run again, which have crashed in between."""
        return {cell: self._seen[cell] for cell in self._crashes if cell not in self.ended}

    def take(self, report: Report) -> None:
        """What a target has reported."""
        if isinstance(report, PytestStarted):
            if report.cell in self._cells - self.ended:  # a guest may say anything
                self._begin(report)
            return
        cell = self._cell
        if cell is None:
            return
        match report:
            case PytestEnded() if report.cell == cell:
                self._finish(self._judged(report))
            case ScenariosCollected():
                if cell not in self._crashes:
                    self._on_event(CellCollected(cell, report.count))
            case ScenarioStarted():
                self._running = report
                self._on_event(CaseStarted(cell, report.nodeid))
            case ScenarioEnded():
                self._running = None
                self._seen[cell].append(report.case.nodeid)
                self._on_event(CaseEnded(cell, report.case))

    def _begin(self, report: PytestStarted) -> None:
        self._cell, self._running, self._since = report.cell, None, time.monotonic()
        self.began = True
        if report.cell not in self._crashes:
            self._seen[report.cell] = []
            self._on_event(
                CellBegun(
                    cell=report.cell,
                    release=self._target.release,
                    config=self._target.config,
                    tools=report.tools,
                )
            )

    def _judged(self, report: PytestEnded) -> Termination:
        code = report.code
        if report.full:
            reason = f"no room is left on {', '.join(report.full)}"
            return Termination(state=CellState.DISK_FULL, reason=reason)
        if code in _SOUND and self._running is None:
            return Termination(state=CellState.DONE)
        how = f"was ended by signal {code - 128}" if code > 128 else f"ended with {code}"
        how += " within a test" if code in _SOUND else _MEANINGS.get(code, "")
        reason = f"pytest {how}{_error_line(report.said)}"
        return Termination(state=CellState.ABORTED, reason=reason, log=report.said)

    def settle(self, ending: Termination) -> None:
        """The machine has ended: so has the cell that was running."""
        if self._cell is None:
            return
        if ending.state is CellState.DONE:
            reason = "the machine ended before the cell did"
            ending = Termination(state=CellState.ABORTED, reason=reason)
        if ending.state in _BY_SCENARIO and self._running and self._goes_on(ending, self._running):
            self._cell = None
        else:
            self._finish(ending)

    def _goes_on(self, ending: Termination, running: ScenarioStarted) -> bool:
        """Write down a crash; whether the cell is to go on after it."""
        assert self._cell is not None
        crash = self._crashes.setdefault(self._cell, _Crash(ending=ending, last=running.nodeid))
        crash.count += 1
        if crash.count == _CRASHES:
            return False
        crash.seconds += time.monotonic() - self._since
        self._seen[self._cell].append(running.nodeid)
        case = Case(
            nodeid=running.nodeid,
            outcome=Outcome.ERROR,
            reason=f"{ending.state}: {ending.reason}",
            evidence="\n".join(filter(None, (ending.fingerprint, ending.log))),
            behaviour=running.behaviour,
            known=running.known,
        )
        self._on_event(CaseEnded(self._cell, case))
        return True

    def _finish(self, ending: Termination) -> None:
        if self._cell is None:
            return
        last = self._running.nodeid if self._running and ending.state is not CellState.DONE else ""
        self.end(self._cell, ending, last=last, seconds=time.monotonic() - self._since)
        self._cell = None

    def end(self, cell: int, ending: Termination, *, last: str = "", seconds: float = 0.0) -> None:
        """``cell`` has ended as ``ending`` says; one that went on after a crash, as it did first.

        ``last`` is the node id of the scenario that was running, ``seconds`` how long it took.
        """
        crash = self._crashes.get(cell)
        if crash is not None and ending.state is not CellState.INTERRUPTED:
            ending, last, seconds = crash.ending, crash.last, seconds + crash.seconds
        self._on_event(
            CellEnded(
                cell=cell,
                state=ending.state,
                seconds=round(seconds, 1),
                reason=ending.reason,
                fingerprint=ending.fingerprint,
                last=last,
                log=ending.log,
            )
        )
        self.ended.add(cell)
