"""``vxlab matrix``: scenarios on many kernels, with many iproute2, by several backends."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from vxlab.commands.option_types import file_name, names, seconds, whole_number
from vxlab.commands.scenario_options import add_scenario_options, pytest_arguments
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.matrix.executors import Executor
    from vxlab.matrix.run import Summary
    from vxlab.matrix.selection import Selection
    from vxlab.results import Results
    from vxlab.vm.notify import Notify

_RESULTS = "vxlab-results.sqlite"


def _add_options(parser: argparse.ArgumentParser) -> None:
    _add_what(parser)
    add_scenario_options(parser)
    _add_files(parser)
    _add_limits(parser)
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="run cells on the workers of this Dask scheduler"
    )
    parser.add_argument(
        "--workflow",
        action="store_true",
        help="run nothing: print a workflow for GitHub Actions that does, with a job for each "
        "kernel",
    )


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Which kernels, iproute2 and backends."""
    parser.add_argument(
        "--kernels",
        type=names,
        metavar="A,B",
        help="versions that the system's mirror offers (6.12), .deb files, bzImages, or `here` for "
        "the kernel that runs already (default: here)",
    )
    parser.add_argument(
        "--modules", metavar="DIR", help="the modules of a bzImage (lib/modules/REL)"
    )
    parser.add_argument(
        "--iproute2",
        type=names,
        metavar="A,B",
        help="versions that the mirror offers, folders of your own builds, or `system` (default)",
    )
    parser.add_argument(
        "--backends",
        type=names,
        metavar="A,B",
        help="how labs are built: netlink, iproute2 (default), script",
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    """What is written."""
    parser.add_argument(
        "--results",
        type=file_name,
        default=Path(_RESULTS),
        metavar="FILE",
        help=f"default: {_RESULTS}",
    )
    parser.add_argument(
        "--junit", type=file_name, metavar="DIR", help="write a JUnit file for each cell"
    )
    parser.add_argument(
        "--html", type=file_name, metavar="FILE", help="write a page that shows all of it"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the latest run of the results file"
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """How much at a time, and for how long."""
    parser.add_argument(
        "--machines",
        type=whole_number,
        metavar="N",
        help="so many side by side (default: what fits)",
    )
    parser.add_argument(
        "--cell-deadline", type=seconds, metavar="SECONDS", help="of each cell (default: 1800)"
    )
    parser.add_argument(
        "--scenario-deadline", type=seconds, metavar="SECONDS", help="of each one (default: 300)"
    )
    parser.add_argument("--deadline", type=seconds, metavar="SECONDS", help="of the whole run")
    parser.add_argument(
        "--memory", type=whole_number, metavar="MB", help="of a machine (default: 1024)"
    )


#: Options that a run keeps, so that they cannot be given again to go on with it.
_KEPT = (
    *("kernels", "modules", "iproute2", "backends", "k", "m", "paths"),
    *("memory", "cell_deadline", "scenario_deadline"),
)


def _selection(arguments: argparse.Namespace) -> Selection:
    from vxlab.matrix.selection import Selection

    given = {
        "kernels": arguments.kernels or ["here"],
        "iproute2": arguments.iproute2,
        "backends": arguments.backends,
        "deadline": arguments.cell_deadline,
        "scenario": arguments.scenario_deadline,
        "memory": arguments.memory,
        "modules": arguments.modules,
        "arguments": pytest_arguments(arguments),
    }
    return Selection(**{name: value for name, value in given.items() if value is not None})


def _run(arguments: argparse.Namespace) -> int:
    """Run a matrix; 0 where every cell is done and nothing failed that no finding explains."""
    if arguments.resume:
        given = [name for name in _KEPT if getattr(arguments, name)]
        if given:
            raise VxlabError(f"--resume: the run has its own {given[0]}: leave that out")
    selection = None if arguments.resume else _selection(arguments)
    _check_page(arguments)
    if arguments.workflow:
        return _print_workflow(arguments, selection)
    from vxlab.commands.interruption import ended_by_signals

    with ended_by_signals("vxlab matrix"):
        summary = _run_cells(arguments, selection)
    return _report(arguments, summary)


def _check_page(arguments: argparse.Namespace) -> None:
    """VxlabError where the page would be written over the results, or over a kernel."""
    from vxlab.commands.output_file import check_not_input

    if arguments.html:
        check_not_input("--html", arguments.html, [arguments.results, *(arguments.kernels or ())])


def _run_cells(arguments: argparse.Namespace, selection: Selection | None) -> Summary:
    """Run what was selected, or what is left of the latest run where that is None."""
    from vxlab.commands.compare_page import write_page_of_run
    from vxlab.matrix.progress import ProgressDisplay
    from vxlab.matrix.run import run_matrix

    with contextlib.ExitStack() as stack:
        display = stack.enter_context(ProgressDisplay())
        if selection is not None:  # what is wrong with it is said before there is a file
            execute, at_most = _prepared(arguments, selection, display.notify)
        results, number, found = _opened(arguments, selection, stack)
        if selection is None:
            execute, at_most = _prepared(arguments, found, display.notify)
        summary = run_matrix(
            results,
            number,
            found,
            project=Path.cwd(),
            watcher=display,
            execute=execute,
            at_most=at_most,
            junit=arguments.junit,
            deadline=arguments.deadline,
        )
        if arguments.html:
            write_page_of_run(f"{results.path}#{number}", arguments.html)
    return summary


def _opened(
    arguments: argparse.Namespace, selection: Selection | None, stack: contextlib.ExitStack
) -> tuple[Results, int, Selection]:
    """The results file, which ``stack`` closes, the run in it, and what that is to do."""
    from vxlab.matrix.selection import begin_run, resume_run
    from vxlab.results import Results

    _make_folder(arguments.junit)
    results = stack.enter_context(Results.open(arguments.results, create=not arguments.resume))
    if selection is not None:
        return results, begin_run(results, selection), selection
    results = stack.enter_context(Results.open(arguments.results, create=True))
    return results, *resume_run(results)


def _prepared(
    arguments: argparse.Namespace, selection: Selection, notify: Notify
) -> tuple[Executor, int | None]:
    """Who runs the jobs, and how many cells each has at most; all that they need is fetched."""
    from vxlab.matrix.run import prepare

    found = _executor(arguments, selection)
    prepare(selection, notify)
    return found


def _make_folder(path: Path | None) -> None:
    if path is not None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VxlabError(
                f"--junit: wanted the folder {path}, found: {error.strerror}"
            ) from error


def _print_workflow(arguments: argparse.Namespace, selection: Selection | None) -> int:
    """Print what would run it elsewhere."""
    from vxlab.matrix import workflow

    if selection is None or arguments.dask:
        option = "--dask" if arguments.dask else "--resume"
        raise VxlabError(f"--workflow: wanted options of a new run, found {option}: leave that out")
    print(workflow.workflow(selection, deadline=arguments.deadline), end="")
    return 0


def _executor(arguments: argparse.Namespace, selection: Selection) -> tuple[Executor, int | None]:
    """Who runs the jobs, and how many cells each has at most."""
    from vxlab.matrix.executors import LocalThreads, machines_that_fit

    cells = len(selection.combinations())
    if arguments.dask:
        from vxlab.matrix.cluster import Cluster

        cluster = Cluster(arguments.dask)
        return cluster, cluster.cells_a_job(cells, selection.kernels)
    machines = arguments.machines or machines_that_fit(selection.memory)
    kernels = len(selection.kernels)
    shares = -(-machines // kernels)  # machines for each kernel, rounded up
    return LocalThreads(machines), -(-(cells // kernels) // shares)


def _report(arguments: argparse.Namespace, summary: Summary) -> int:
    """Print what came of a run; the exit code."""
    from vxlab.results import CellState
    from vxlab.results.text import counted

    dead = [f"{each.name}: {state}" for each, state in summary.states.items() if state.is_dead]
    left = sum(state.is_unfinished for state in summary.states.values())
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items()))
    done = sum(state is CellState.DONE for state in summary.states.values())
    print(
        f"run {summary.run} in {arguments.results}: {counted(done, 'cell')} done, "
        f"{counts or 'no scenario'}"
    )
    for line in dead:
        print(f"  {line}")
    if summary.unexpected:
        print(f"  {summary.unexpected} failed that no known difference explains")
    if left:
        unfinished = f"{counted(left, 'cell')} not run to the end ({summary.stopped})"
        print(f"  {unfinished}: go on with --resume")
    print(f"vxlab compare {arguments.results} shows at which versions scenarios differ")
    return int(not summary.is_good)


COMMAND = Subcommand(
    name="matrix",
    summary="run scenarios on kernels x iproute2 x backends",
    add_options=_add_options,
    run=_run,
)
