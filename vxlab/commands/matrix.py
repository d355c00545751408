"""``vxlab matrix`` and ``vxlab bisect-run``: scenarios on many kernels, or on one."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vxlab import apply
from vxlab.commands import Command, seconds
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.matrix.run import Executor, Request, Summary
    from vxlab.results import Results

_RESULTS = "vxlab-results.sqlite"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _whole(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"wanted a whole number, 1 or more, found {text!r}")


def add_selection(options: argparse.ArgumentParser) -> None:
    """Define what says which scenarios: as pytest has it."""
    options.add_argument("-k", metavar="EXPRESSION", help="scenarios whose names match, as pytest")
    options.add_argument("-m", metavar="MARKERS", help="scenarios with markers, as pytest")
    options.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files of scenarios (default: scenarios); after -- also options of pytest",
    )


def arguments_of(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The arguments of pytest that a selection means."""
    words = tuple(arguments.paths) or ("scenarios",)
    for word in words:
        if word.startswith("-"):  # from here on they belong to pytest
            break
        if not Path(word.partition("::")[0]).exists():
            raise VxlabError(f"wanted files or folders of scenarios, found no {word}")
    for option in ("k", "m"):
        value = getattr(arguments, option)
        words += (f"-{option}", value) if value is not None else ()
    return words


def _options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--kernels",
        type=_names,
        metavar="A,B",
        help="versions that the system's mirror offers (6.12), .deb files, bzImages, or `here` for "
        "the kernel that runs already (default: here)",
    )
    options.add_argument(
        "--modules", metavar="DIR", help="the modules of a bzImage (lib/modules/REL)"
    )
    options.add_argument(
        "--iproute2",
        type=_names,
        metavar="A,B",
        help="versions that the mirror offers, folders of your own builds, or `system` (default)",
    )
    options.add_argument(
        "--backends",
        type=_names,
        metavar="A,B",
        help="how labs are built: netlink, iproute2 (default), script",
    )
    add_selection(options)
    options.add_argument(
        "--results", type=Path, default=Path(_RESULTS), metavar="FILE", help=f"default: {_RESULTS}"
    )
    options.add_argument(
        "--junit", type=Path, metavar="DIR", help="write a JUnit file for each cell"
    )
    options.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page that shows all of it"
    )
    options.add_argument(
        "--resume", action="store_true", help="go on with the latest run of the results file"
    )
    options.add_argument(
        "--machines", type=_whole, metavar="N", help="so many side by side (default: what fits)"
    )
    options.add_argument(
        "--cell-deadline", type=seconds, metavar="SECONDS", help="of each cell (default: 1800)"
    )
    options.add_argument(
        "--scenario-deadline", type=seconds, metavar="SECONDS", help="of each one (default: 300)"
    )
    options.add_argument("--deadline", type=seconds, metavar="SECONDS", help="of the whole run")
    options.add_argument("--memory", type=_whole, metavar="MB", help="of a machine (default: 1024)")
    options.add_argument(
        "--dask", metavar="ADDRESS", help="run cells on the workers of this Dask scheduler"
    )
    options.add_argument(
        "--workflow",
        action="store_true",
        help="run nothing: print a workflow for GitHub Actions that does, with a job for each "
        "kernel",
    )


#: Options that a run keeps, so that they cannot be given again to go on with it.
_KEPT = (
    *("kernels", "modules", "iproute2", "backends", "k", "m", "paths"),
    *("memory", "cell_deadline", "scenario_deadline"),
)


def _request(arguments: argparse.Namespace) -> Request:
    from vxlab.matrix.run import Request

    given = {
        "kernels": arguments.kernels or ["here"],
        "iproute2": arguments.iproute2,
        "backends": arguments.backends,
        "deadline": arguments.cell_deadline,
        "scenario": arguments.scenario_deadline,
        "memory": arguments.memory,
        "modules": arguments.modules,
        "arguments": arguments_of(arguments),
    }
    return Request(**{name: value for name, value in given.items() if value is not None})


def _matrix(arguments: argparse.Namespace) -> int:
    """Run a table; 0 where every cell is done and nothing failed that no finding explains."""
    from vxlab.matrix import run
    from vxlab.matrix.progress import Progressing
    from vxlab.results import Results

    if arguments.resume:
        given = [name for name in _KEPT if getattr(arguments, name)]
        if given:
            raise VxlabError(f"--resume: the run has its own {given[0]}: leave that out")
    request = None if arguments.resume else _request(arguments)
    if arguments.workflow:
        return _workflow(arguments, request)
    with _ended_by_signals(), contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progressing())
        if request is not None:  # what is wrong with it is said before there is a file
            execute, at_most = _executor(arguments, request)
            run.prepare(request, progress.notify)
        _make_folder(arguments.junit)
        results = stack.enter_context(Results.open(arguments.results, create=not arguments.resume))
        if request is None:
            results = stack.enter_context(Results.open(arguments.results, create=True))
            number, request = run.resume(results)
            execute, at_most = _executor(arguments, request)
            run.prepare(request, progress.notify)
        else:
            number = run.begin(results, request)
        summary = run.run(
            results,
            number,
            request,
            project=Path.cwd(),
            watcher=progress,
            execute=execute,
            at_most=at_most,
            junit=arguments.junit,
            deadline=arguments.deadline,
        )
        if arguments.html:
            _page(results, number, arguments.html)
    return _tell(arguments, summary)


def _make_folder(path: Path | None) -> None:
    if path is not None:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VxlabError(
                f"--junit: wanted the folder {path}, found: {error.strerror}"
            ) from error


def _workflow(arguments: argparse.Namespace, request: Request | None) -> int:
    """Print what would run the table elsewhere."""
    from vxlab.matrix import workflow

    if request is None or arguments.dask:
        option = "--dask" if arguments.dask else "--resume"
        raise VxlabError(f"--workflow: wanted options of a new run, found {option}: leave that out")
    print(workflow.workflow(request, deadline=arguments.deadline), end="")
    return 0


def _executor(arguments: argparse.Namespace, request: Request) -> tuple[Executor, int | None]:
    """Who runs the jobs, and how many cells each has at most."""
    from vxlab.matrix import run

    places = request.table()
    if arguments.dask:
        from vxlab.matrix.cluster import Cluster

        cluster = Cluster(arguments.dask)
        return cluster, cluster.cells_a_job(len(places), request.kernels)
    machines = arguments.machines or run.machines_that_fit(request.memory)
    cells = len(places) // len(request.kernels)
    shares = -(-machines // len(request.kernels))  # machines for each kernel, rounded up
    return run.Threads(machines), -(-cells // shares)


def _page(results: Results, number: int, path: Path) -> None:
    from vxlab.commands import compare

    compare.write_page(f"{results.path}#{number}", path)


def _tell(arguments: argparse.Namespace, summary: Summary) -> int:
    from vxlab.results import CellState
    from vxlab.results.text import counted

    dead = [f"{place.name}: {state}" for place, state in summary.states.items() if state.is_dead]
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


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A polite kill ends machines and files as Ctrl-C does; while they end, no other one counts."""
    is_ending = False

    def end(number: int, _: object) -> None:
        nonlocal is_ending
        if not is_ending:
            is_ending = True
            name = "" if number == signal.SIGINT else signal.Signals(number).name
            raise KeyboardInterrupt(name)

    numbers = [
        each
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(each) is not signal.SIG_IGN  # as under nohup
    ]
    before = {each: signal.signal(each, end) for each in numbers}
    try:
        yield
    except KeyboardInterrupt as error:
        print(f"vxlab matrix: interrupted {error}".rstrip(), file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# --- bisect-run ------------------------------------------------------------------------------


#: `git bisect run` ends at a code from 128 on; one below would be an answer (git-bisect(1)).
_WRONG_COMMAND_LINE = 129


def _bisect_options(options: argparse.ArgumentParser) -> None:
    def error(message: str) -> NoReturn:
        options.print_usage(sys.stderr)
        options.exit(_WRONG_COMMAND_LINE, f"{options.prog}: error: {message}\n")

    vars(options)["error"] = error
    options.add_argument(
        "--kernel", required=True, metavar="FILE|VERSION", help="a bzImage, a .deb, or a version"
    )
    options.add_argument(
        "--modules", type=Path, metavar="DIR", help="its modules (lib/modules/REL)"
    )
    options.add_argument(
        "--iproute2", default="system", metavar="VERSION|DIR", help="default: the guest's own"
    )
    options.add_argument("--backend", default="netlink", choices=apply.NAMES)
    options.add_argument(
        "--deadline", type=seconds, default=600.0, metavar="SECONDS", help="default: 600"
    )
    options.add_argument("--memory", type=_whole, default=1024, metavar="MB", help="default: 1024")
    add_selection(options)


def _bisect(arguments: argparse.Namespace) -> int:
    """Say of one kernel: 0 good, 1 bad, 125 cannot be told."""
    from vxlab.matrix.bisect import Verdict, ask

    def notify(text: str) -> None:
        print(f"vxlab bisect-run: {text}", file=sys.stderr, flush=True)

    try:
        with _ended_by_signals():
            answer = ask(
                arguments.kernel,
                arguments_of(arguments),
                modules=arguments.modules,
                iproute2=arguments.iproute2,
                backend=arguments.backend,
                deadline=arguments.deadline,
                memory=arguments.memory,
                notify=notify,
            )
    except Exception as error:  # 1 would say that the kernel is bad
        if not isinstance(error, VxlabError):
            traceback.print_exc()
        print(f"vxlab bisect-run: {error}", file=sys.stderr)
        return Verdict.UNKNOWN
    for text in filter(None, answer.evidence):
        print(text)
    print(f"{answer.verdict.name.lower()}: {answer.why}")
    return answer.verdict


COMMANDS = (
    Command("matrix", "run scenarios on kernels x iproute2 x backends", _options, _matrix),
    Command("bisect-run", "say of a kernel what `git bisect run` asks", _bisect_options, _bisect),
)
