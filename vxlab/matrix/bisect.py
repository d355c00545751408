"""One kernel, one answer: good, bad, or that it cannot be told, as `git bisect run` wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from vxlab.matrix import places, runner
from vxlab.matrix.job import SYSTEM, Job, Place
from vxlab.matrix.places import Stop
from vxlab.results.model import CellState
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
    tell: Callable[[runner.Event], object] = lambda _: None,
) -> Answer:
    """Run scenarios on one kernel.

    A kernel is bad where one of them fails, and where it crashes or hangs while one runs.  Nothing
    can be told where it does not boot, where none is selected, where all are skipped because the
    kernel lacks a feature, or where a module cannot be collected.
    """
    folder = project or Path.cwd()
    job = Job(
        kernel,
        ((0, Place(kernel, iproute2, backend)),),
        tuple(arguments),
        str(folder),
        deadline=deadline,
        memory=memory,
        modules=str(modules) if modules else None,
    )
    events: list[runner.Event] = []

    def take(event: runner.Event) -> None:
        events.append(event)
        tell(event)

    with places.luggage_for([kernel], folder, notify) as luggage:
        runner.run(job, take, luggage, Stop(), notify)
    return judge(events)


def judge(events: Sequence[runner.Event]) -> Answer:
    """What the events of one cell mean."""
    cases = [event for event in events if event["event"] == "case"]
    (end,) = [event for event in events if event["event"] == "end"]
    counts = Counter(case["outcome"] for case in cases)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no scenario ran"
    bad = [case for case in cases if case["outcome"] in ("failed", "error")]
    unread = [case for case in bad if "::" not in case["case"]]  # modules, not scenarios
    if bad and len(unread) == len(bad):
        why = f"{unread[0]['case']} could not be collected: {unread[0].get('reason', '')}"
        return Answer(Verdict.UNKNOWN, why, [case.get("evidence", "") for case in unread])
    if bad:
        bad = [case for case in bad if case not in unread]
        first = bad[0].get("reason", "").partition("\n")[0]
        evidence = [f"{case['case']}\n{case.get('evidence', '')}" for case in bad]
        return Answer(Verdict.BAD, f"{told}: {bad[0]['case']}: {first}", evidence)
    state = CellState(end["state"])
    if state is not CellState.DONE:
        while_running = f" while {end['last']} ran" if end.get("last") else ""
        why = f"{state}{while_running}: {end.get('reason', '')}"
        died = state in (CellState.CRASHED, CellState.HUNG, CellState.DEADLINE) and end.get("last")
        return Answer(Verdict.BAD if died else Verdict.UNKNOWN, why, [end.get("log", "")])
    if counts["passed"] or counts["xfailed"] or counts["xpassed"]:
        return Answer(Verdict.GOOD, told)
    reasons = dict.fromkeys(case.get("reason", "") for case in cases)
    return Answer(Verdict.UNKNOWN, f"{told}: {'; '.join(reasons)}".removesuffix(": "))
