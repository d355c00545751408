"""A whole table: jobs side by side, what they tell into the results file, and reports of it."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vxlab.errors import VxlabError
from vxlab.matrix import places, runner
from vxlab.matrix.job import HERE, SYSTEM, Job, Place, jobs_of, table
from vxlab.matrix.places import Stop
from vxlab.results import Case, CellState, KnownDifference, Outcome, Results
from vxlab.vm.notify import Notify

#: MB of memory that a machine needs beside the guest's own.
_OVERHEAD = 200


@dataclass(frozen=True)
class Request:
    """What to run: a table, and how; this is what a run's ``selection`` in the results file holds.

    ``arguments`` are pytest's; ``deadline`` is each cell's, in seconds, and ``scenario`` each
    scenario's; ``memory`` in MB.
    """

    kernels: Sequence[str]
    iproute2: Sequence[str] = (SYSTEM,)
    backends: Sequence[str] = ("iproute2",)
    arguments: Sequence[str] = ("scenarios",)
    deadline: float = 1800.0
    scenario: float = 300.0
    memory: int = 1024
    modules: str | None = None

    def table(self) -> list[Place]:
        """The places of its cells; VxlabError where there is something wrong with it."""
        return table(self.kernels, self.iproute2, self.backends)

    def job(self, project: Path) -> Job:
        """What all its jobs have in common."""
        return Job(
            "",
            (),
            tuple(self.arguments),
            str(project),
            deadline=self.deadline,
            scenario=self.scenario,
            memory=self.memory,
            modules=self.modules,
        )


class Watcher(Protocol):
    """Who is told what happens, from several threads, one at a time."""

    def notify(self, text: str) -> None:
        """Something is being prepared."""

    def cells(self, cells: Mapping[int, Place]) -> None:
        """These are going to be run."""

    def event(self, event: runner.Event) -> None:
        """Something has happened (:mod:`vxlab.matrix.runner`)."""


@dataclass
class Summary:
    """What came of the cells of a run."""

    run: int
    states: dict[Place, CellState] = field(default_factory=dict)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    unexpected: int = 0  # failed or error, and no known difference explains it
    stopped: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every cell ran to its end, and nothing failed that no finding explains."""
        ended = all(state is CellState.DONE for state in self.states.values())
        return ended and not self.unexpected and not self.stopped


class Recorder:
    """Writes events into a results file, and a JUnit file for each cell that has ended."""

    def __init__(self, results: Results, watcher: Watcher, junit: Path | None) -> None:
        self._results, self._watcher, self._junit = results, watcher, junit
        self._lock = threading.Lock()

    def take(self, event: runner.Event) -> None:
        """One event, from whatever thread."""
        with self._lock:
            self._record(event)
            self._watcher.event(event)

    def _record(self, event: runner.Event) -> None:
        match event["event"]:
            case "begin":
                self._results.begin_cell(event["cell"])
                named = {name: event[name] for name in ("release", "config", "tools")}
                self._results.describe_cell(event["cell"], **named)
            case "start":
                self._results.begin_case(event["cell"], event["nodeid"])
            case "case":
                self._results.record(event["cell"], _case(event))
            case "end":
                self._end(event)

    def _end(self, event: runner.Event) -> None:
        named = ("reason", "fingerprint", "last", "log")
        self._results.end_cell(
            event["cell"],
            CellState(event["state"]),
            seconds=event["seconds"],
            **{name: event.get(name, "") for name in named},
        )
        if self._junit is not None:
            write_junit(self._results, event["cell"], self._junit)


def _case(event: Mapping[str, Any]) -> Case:
    return Case(
        nodeid=event["case"],
        outcome=Outcome(event["outcome"]),
        seconds=event.get("seconds", 0.0),
        reason=event.get("reason", ""),
        evidence=event.get("evidence", ""),
        behaviour=event.get("behaviour", ""),
        known=tuple(KnownDifference(**each) for each in event.get("known", ())),
    )


def write_junit(results: Results, cell: int, folder: Path) -> None:
    """Write one cell's JUnit XML into a folder, named after its place in the table.

    VxlabError where it cannot be written.
    """
    from vxlab.results.junit import junit

    found = results.cell(cell)
    name = "-".join(each.replace("/", "_") for each in (found.kernel, found.iproute2))
    path = folder / f"{name}-{found.backend}.xml"
    try:
        path.write_text(junit(found, results.cases(cell)), encoding="utf-8")
    except OSError as error:
        raise VxlabError(f"wanted to write {path}, found: {error.strerror}") from error


def machines_that_fit(memory: int) -> int:
    """How many machines of so many MB this one bears: two a processor, if there is memory.

    A machine spends a fifth of its time waiting.
    """
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    free = int(fields["MemAvailable"].split()[0]) // 1024
    return max(1, min(2 * len(os.sched_getaffinity(0)), free // (memory + _OVERHEAD)))


def begin(results: Results, request: Request) -> int:
    """Plan a run in the results file; its id."""
    host = {
        "system": platform.platform(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    run = results.begin_run(selection=_selection(request), host=host)
    for place in request.table():
        results.add_cell(run, kernel=place.kernel, iproute2=place.iproute2, backend=place.backend)
    return run


def _selection(request: Request) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in vars(request).items()
    }


def resume(results: Results) -> tuple[int, Request]:
    """The latest run of a file, if it has unfinished cells, and what it was to do."""
    run = results.latest_run()
    if not results.unfinished(run.id):
        raise VxlabError(
            f"{results.path}: wanted a run that was interrupted, found run {run.id} complete: "
            "leave out --resume to begin another"
        )
    try:
        request = Request(**run.selection)
    except TypeError as error:  # it is not ours: `vxlab merge` has its own
        raise VxlabError(
            f"{results.path}: wanted a run of `vxlab matrix`, found that run {run.id} says nothing "
            "of what it was to do: begin another"
        ) from error
    results.resume_run(run.id)
    return run.id, request


class Executor(Protocol):
    """Runs jobs somewhere, side by side."""

    def __call__(
        self,
        jobs: Sequence[Job],
        luggage: Path | None,
        tell: runner.Tell,
        stop: Stop,
        notify: Notify,
    ) -> None:
        """Run them all, and ``tell`` what happens; what is running ends by ``stop``."""
        ...


@dataclass(frozen=True)
class Threads:
    """Runs jobs on this machine, so many at a time."""

    machines: int

    def __call__(
        self,
        jobs: Sequence[Job],
        luggage: Path | None,
        tell: runner.Tell,
        stop: Stop,
        notify: Notify,
    ) -> None:
        """Run jobs in threads of this process."""
        with ThreadPoolExecutor(self.machines) as pool:
            running = [pool.submit(runner.run, job, tell, luggage, stop, notify) for job in jobs]
            try:
                for each in running:
                    each.result()
            except BaseException:
                stop.set("interrupted")
                raise


def run(
    results: Results,
    number: int,
    request: Request,
    *,
    project: Path,
    watcher: Watcher,
    execute: Executor,
    at_most: int | None = None,
    junit: Path | None = None,
    deadline: float | None = None,
) -> Summary:
    """Run all unfinished cells of a run, and say what came of it.

    ``at_most`` so many cells make a job (default: all of a kernel).  After ``deadline`` seconds
    what is running is stopped, and what has not begun stays planned.
    """
    if junit is not None:
        junit.mkdir(parents=True, exist_ok=True)
    cells = {
        cell.id: Place(cell.kernel, cell.iproute2, cell.backend)
        for cell in results.unfinished(number)
    }
    watcher.cells(cells)
    recorder, stop = Recorder(results, watcher, junit), Stop()
    jobs = jobs_of(list(cells.items()), request.job(project), at_most=at_most)
    with (
        places.luggage_for(request.kernels, project, watcher.notify) as luggage,
        _alarm(stop, deadline),
    ):
        execute(jobs, luggage, recorder.take, stop, watcher.notify)
    if not results.unfinished(number):
        results.end_run(number)
    return summary_of(results, number, stop.why)


@contextlib.contextmanager
def _alarm(stop: Stop, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stop.set, [f"the run's deadline of {seconds:g} s"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def prepare(request: Request, notify: Notify) -> None:
    """Fetch all that a table needs; VxlabError where a kernel or an iproute2 is not to be had."""
    from vxlab.vm import bundles
    from vxlab.vm.run import prepare_kernel

    for name in request.iproute2:
        if name != SYSTEM:
            bundles.find(name, notify)
    modules = Path(request.modules) if request.modules else None
    for name in request.kernels:
        if name != HERE:
            prepare_kernel(kernel=name, modules=modules, notify=notify)


def summary_of(results: Results, number: int, stopped: str = "") -> Summary:
    """What came of a run."""
    from vxlab.results.comparison import Column

    summary = Summary(number, stopped=stopped)
    for cell in results.cells(number):
        summary.states[Place(cell.kernel, cell.iproute2, cell.backend)] = cell.state
        column = Column(cell, {})
        for case in results.cases(cell.id):
            summary.outcomes[case.outcome] = summary.outcomes.get(case.outcome, 0) + 1
            known = any(each.covers(column.version(each.of)) for each in case.known)
            summary.unexpected += case.outcome.is_bad and not known
    return summary
