"""A whole run: its jobs side by side, what they tell into the results file, what came of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.executors import Executor
from vxlab.matrix.job import HERE, SYSTEM, Combination, jobs_of
from vxlab.matrix.results_writer import ResultsWriter, Watcher
from vxlab.matrix.selection import Selection
from vxlab.matrix.target_choice import packed_project
from vxlab.results import CellState, Outcome, Results
from vxlab.vm.notify import Notify


@dataclass(kw_only=True)
class Summary:
    """What came of the cells of a run.

    ``unexpected`` cases failed, and no known difference explains it; ``stopped`` says why the run
    was ended early, '' where it was not.
    """

    run: int
    states: dict[Combination, CellState] = field(default_factory=dict)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    unexpected: int = 0
    stopped: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every cell ran to its end, and nothing failed that no finding explains."""
        ended = all(state is CellState.DONE for state in self.states.values())
        return ended and not self.unexpected and not self.stopped


def run_matrix(
    results: Results,
    number: int,
    selection: Selection,
    *,
    project: Path,
    watcher: Watcher,
    execute: Executor,
    at_most: int | None = None,
    junit: Path | None = None,
    deadline: float | None = None,
) -> Summary:
    """Run all unfinished cells of the run ``number`` of ``results``, and say what came of it.

    ``selection`` is what it was to do, with the scenarios of the folder ``project``.  ``watcher``
    is told what happens, ``execute`` runs jobs; ``at_most`` so many cells make one (default: all of
    a kernel).  A JUnit file for each cell goes to the folder ``junit``.  After ``deadline`` seconds
    what is running is stopped, and what has not begun stays planned.
    """
    if junit is not None:
        junit.mkdir(parents=True, exist_ok=True)
    cells = {
        cell.id: Combination(cell.kernel, cell.iproute2, cell.backend)
        for cell in results.unfinished(number)
    }
    watcher.cells(cells)
    writer, cancellation = ResultsWriter(results, watcher, junit), Cancellation()
    jobs = jobs_of(list(cells.items()), selection.job(project), at_most=at_most)
    with (
        packed_project(selection.kernels, project, watcher.notify) as archive,
        _alarm(cancellation, deadline),
    ):
        execute(jobs, archive, writer.take, cancellation, watcher.notify)
    if not results.unfinished(number):
        results.end_run(number)
    return summary_of(results, number, cancellation.reason)


@contextlib.contextmanager
def _alarm(cancellation: Cancellation, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    reason = f"the run's deadline of {seconds:g} s"
    timer = threading.Timer(seconds, cancellation.cancel, [reason])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def prepare(selection: Selection, notify: Notify) -> None:
    """Fetch all that a run needs; VxlabError where a kernel or an iproute2 is not to be had."""
    from vxlab.vm import bundles
    from vxlab.vm.run import prepare_kernel

    for name in selection.iproute2:
        if name != SYSTEM:
            bundles.find(name, notify)
    modules = Path(selection.modules) if selection.modules else None
    for name in selection.kernels:
        if name != HERE:
            prepare_kernel(kernel=name, modules=modules, notify=notify)


def summary_of(results: Results, number: int, stopped: str = "") -> Summary:
    """What came of the run ``number`` of ``results``; ``stopped`` says why it was ended early."""
    from vxlab.results.comparison import Column

    summary = Summary(run=number, stopped=stopped)
    for cell in results.cells(number):
        summary.states[Combination(cell.kernel, cell.iproute2, cell.backend)] = cell.state
        column = Column(cell, {})
        for case in results.cases(cell.id):
            summary.outcomes[case.outcome] = summary.outcomes.get(case.outcome, 0) + 1
            known = any(each.covers(column.version(each.of)) for each in case.known)
            summary.unexpected += case.outcome.is_bad and not known
    return summary
