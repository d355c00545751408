"""One kernel, one answer: good, bad, or that it cannot be told, as `git bisect run` wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import CaseEnded, CellBegun, CellEnded, Event, OnEvent
from vxlab.matrix.job import SYSTEM, Combination, Job
from vxlab.matrix.job_runner import run_job
from vxlab.matrix.target_choice import packed_project
from vxlab.results.model import Case, CellState, Outcome
from vxlab.vm.notify import Notify


class Verdict(IntEnum):
    """An exit code for `git bisect run` (git-bisect(1))."""

    GOOD = 0
    BAD = 1
    UNKNOWN = 125


@dataclass
class Answer:
    """What a kernel did: ``why`` is a line, ``evidence`` what the scenarios that failed showed."""

    verdict: Verdict
    why: str
    evidence: list[str] = field(default_factory=list)


def ask(
    kernel: str,
    arguments: Sequence[str],
    *,
    modules: Path | None = None,
    iproute2: str = SYSTEM,
    backend: str = "netlink",
    project: Path | None = None,
    deadline: float = 600.0,
    memory: int = 1024,
    notify: Notify,
    on_event: OnEvent = lambda _: None,
) -> Answer:
    """Run scenarios on the kernel that is called ``kernel``; ``arguments`` are pytest's.

    ``modules`` are the kernel's, ``iproute2`` and ``backend`` are those of the only cell, the
    scenarios those of the folder ``project`` (by default this one).  The cell ends ``deadline``
    seconds after its beginning; a machine has ``memory`` MB.  ``notify`` is told what takes time,
    ``on_event`` what happens.

    A kernel is bad where one of them fails, and where it crashes or hangs while one runs.  Nothing
    can be told where it does not boot, where none is selected, where all are skipped because the
    kernel lacks a feature, or where a module cannot be collected.
    """
    folder = project or Path.cwd()
    job = Job(
        kernel=kernel,
        cells=((0, Combination(kernel, iproute2, backend)),),
        arguments=tuple(arguments),
        project=str(folder),
        deadline=deadline,
        memory=memory,
        modules=str(modules) if modules else None,
    )
    events: list[Event] = []

    def take(event: Event) -> None:
        events.append(event)
        on_event(event)

    with packed_project([kernel], folder, notify) as archive:
        run_job(job, take, archive, Cancellation(), notify)
    return judge(events)


def judge(events: Sequence[Event]) -> Answer:
    """What the events of one cell mean."""
    begun = [number for number, event in enumerate(events) if isinstance(event, CellBegun)]
    last = events[begun[-1] if begun else 0 :]  # it may have begun again, in another machine
    cases = [event.case for event in last if isinstance(event, CaseEnded)]
    (end,) = [event for event in events if isinstance(event, CellEnded)]
    counts = Counter(case.outcome for case in cases)
    counted = (
        ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no scenario ran"
    )
    if any(case.outcome.is_bad for case in cases):
        return _of_failures([case for case in cases if case.outcome.is_bad], counted)
    if end.state is not CellState.DONE:
        return _of_death(end)
    if counts[Outcome.PASSED] or counts[Outcome.XFAILED] or counts[Outcome.XPASSED]:
        return Answer(Verdict.GOOD, counted)
    reasons = dict.fromkeys(case.reason for case in cases)
    return Answer(Verdict.UNKNOWN, f"{counted}: {'; '.join(reasons)}".removesuffix(": "))


def _of_failures(bad: Sequence[Case], counted: str) -> Answer:
    """What it means that scenarios failed, or modules, which are no scenarios."""
    scenarios = [case for case in bad if "::" in case.nodeid]
    if not scenarios:
        why = f"{bad[0].nodeid} could not be collected: {bad[0].reason}"
        return Answer(Verdict.UNKNOWN, why, [case.evidence for case in bad])
    first = scenarios[0]
    reason = first.reason.partition("\n")[0]
    why = f"{counted}: {first.nodeid}: {reason}"
    return Answer(Verdict.BAD, why, [f"{case.nodeid}\n{case.evidence}" for case in scenarios])


def _of_death(end: CellEnded) -> Answer:
    """What it means that the cell did not come to its end."""
    while_running = f" while {end.last} ran" if end.last else ""
    why = f"{end.state}{while_running}: {end.reason}"
    by_scenario = end.state in (CellState.CRASHED, CellState.HUNG, CellState.DEADLINE) and end.last
    return Answer(Verdict.BAD if by_scenario else Verdict.UNKNOWN, why, [end.log])
