"""``vxlab merge``: the runs of several results files as one run of another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.results import Case, Cell, Results, Run

#: What a merged cell keeps of what it was.
_KEPT = ("seconds", "release", "tools", "config", "reason", "fingerprint", "last", "log")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="made, or given one more run")
    parser.add_argument(
        "files", metavar="FILE", type=Path, nargs="+", help="results, of each the latest run"
    )


def _run(arguments: argparse.Namespace) -> int:
    """Add a run to OUT that has the cells of all files; VxlabError where two have the same one."""
    from vxlab.results import Results

    runs: dict[Path, Run] = {}
    found: dict[str, tuple[Path, Cell, list[Case]]] = {}
    for path in arguments.files:
        with Results.open(path) as results:
            runs[path] = results.latest_run()
            for cell in results.cells(runs[path].id):
                if cell.name in found:
                    raise VxlabError(
                        f"merge: wanted each cell once, found {cell.name} in "
                        f"{found[cell.name][0]} and in {path}: leave one of them out"
                    )
                found[cell.name] = (path, cell, results.cases(cell.id))
    with Results.open(arguments.out, create=True) as out:
        number = out.begin_run(
            selection={"merged": [_origin(path, run) for path, run in runs.items()]},
            host={"merged from": ", ".join(map(str, runs))},
        )
        for _, cell, cases in found.values():
            _copy(out, number, cell, cases)
        out.end_run(number)
    count = f"{len(found)} cells of {len(runs)} files"
    print(f"run {number} in {arguments.out}: {count}")
    return 0


def _origin(path: Path, run: Run) -> dict[str, object]:
    """What a merged run says of one that it was made from."""
    return {
        "file": str(path),
        "run": run.id,
        "started": run.started,
        "version": run.version,
        "host": dict(run.host),
        "selection": run.selection,
    }


def _copy(out: Results, run: int, cell: Cell, cases: list[Case]) -> None:
    """Add a cell; one that was running when its file was copied was interrupted."""
    from vxlab.results import CellState

    added = out.add_cell(run, kernel=cell.kernel, iproute2=cell.iproute2, backend=cell.backend)
    if cell.state is CellState.PLANNED:
        return
    out.begin_cell(added)
    out.record(added, *cases)
    state = CellState.INTERRUPTED if cell.state is CellState.RUNNING else cell.state
    out.end_cell(added, state, **{name: getattr(cell, name) for name in _KEPT})


COMMAND = Subcommand(
    name="merge",
    summary="make one run of several results files",
    add_options=_add_options,
    run=_run,
)
