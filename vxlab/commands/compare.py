"""``vxlab compare``: what differs between two runs, or between the versions of one."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vxlab.commands import Command
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.results.comparison import Change, Column, Limits
    from vxlab.results.model import Case, Run
    from vxlab.results.notes import Note
    from vxlab.results.pairs import Comparison
    from vxlab.results.timelines import Timeline

_SIDE = re.compile(
    r"(?P<file>.+?)(?:#(?P<run>\d+))?(?::(?P<picks>(?:kernel|iproute2|backend)=.*))?", re.DOTALL
)
_HELP = "FILE (its latest run), FILE#RUN, or either with :kernel=6.1,iproute2=6.15,backend=netlink"


@dataclass(frozen=True)
class Side:
    """One of the things to compare: a run, and those of its columns that were picked."""

    path: str
    run: Run
    columns: tuple[Column, ...]
    picks: Mapping[str, str]

    @property
    def title(self) -> str:
        """Which it is, in words."""
        from vxlab.results.text import counted, printable

        picked = "".join(f", {name} {value}" for name, value in self.picks.items())
        when = self.run.started[:16].replace("T", " ")
        count = counted(len(self.columns), "column")
        return printable(f"{self.path}, run {self.run.id} of {when} UTC{picked}: {count}")


def read(text: str) -> Side:
    """The run, or the columns of it, that a word of the command line means."""
    from vxlab.results.comparison import Column, in_order
    from vxlab.results.store import Results
    from vxlab.results.timelines import AXES, value_of

    path, number, picks = _parts(text)
    with Results.open(path) as results:
        run = results.latest_run() if number is None else results.run(number)
        columns = in_order(
            Column(cell, {case.nodeid: case for case in results.cases(cell.id)})
            for cell in results.cells(run.id)
        )
    chosen = tuple(
        column
        for column in columns
        if all(value_of(column, axis) == picks.get(axis, value_of(column, axis)) for axis in AXES)
    )
    if not chosen:
        wanted = " and ".join(f"{name} {value}" for name, value in picks.items())
        found = ", ".join(column.name for column in columns) or "none"
        raise VxlabError(f"{path}: wanted a column with {wanted or 'results'}, found {found}")
    return Side(path, run, chosen, picks)


def _parts(text: str) -> tuple[str, int | None, dict[str, str]]:
    """File, number of the run if there is one, and what was picked, of a word."""
    from vxlab.results.timelines import AXES

    if os.path.exists(text):
        return text, None, {}
    found = _SIDE.fullmatch(text)
    if found is None:
        raise VxlabError(f"wanted {_HELP}, found {text!r}")
    picks: dict[str, str] = {}
    for pick in (found["picks"] or "").split(",") if found["picks"] else ():
        name, separator, value = pick.partition("=")
        if name not in AXES or not separator or not value:
            wanted = "wanted kernel=…, iproute2=… or backend=… with commas between"
            raise VxlabError(f"{text}: {wanted}, found {pick!r}")
        if name in picks:
            raise VxlabError(f"{text}: wanted one {name}, found two")
        picks[name] = value
    return found["file"], int(found["run"]) if found["run"] else None, picks


def paired(before: Side, after: Side, limits: Limits) -> Comparison:
    """Compare columns that agree in all that was not picked; single ones whatever they are."""
    from vxlab.results.pairs import compare_all
    from vxlab.results.timelines import AXES, key_by

    axes = [axis for axis in AXES if axis not in before.picks and axis not in after.picks]
    if len(before.columns) == len(after.columns) == 1:
        axes = []
    key = key_by(axes)
    for side in (before, after):
        if len({key(column) for column in side.columns}) < len(side.columns):
            missing = ", ".join(axis for axis in AXES if axis not in side.picks)
            raise VxlabError(
                f"wanted one column of {side.path} for each of the other, found several: "
                f"pick also one of {missing}, as in {side.path}:kernel=6.1"
            )
    comparison = compare_all(before.columns, after.columns, key, limits)
    if not comparison.pairs:
        names = [", ".join(column.name for column in side.columns) for side in (before, after)]
        raise VxlabError(
            f"wanted a column that both have, found {names[0]} in {before.path} and {names[1]} in "
            f"{after.path}: pick what to compare, as in {before.path}:kernel=6.1"
        )
    return comparison


def _options(options: argparse.ArgumentParser) -> None:
    options.add_argument("before", metavar="A", type=_word, help=_HELP)
    options.add_argument(
        "after",
        metavar="B",
        type=_word,
        nargs="?",
        help="the same; without B all columns of A are compared",
    )
    options.add_argument("--json", action="store_true", help="print one object")
    options.add_argument("--html", metavar="FILE", help="write a page that shows all of it")
    options.add_argument(
        "--slower",
        metavar="FACTOR",
        type=_factor,
        default=2.0,
        help="of two runs: a scenario is slower from this many times the time on, if that is 1 s "
        "more (default: 2; 0: never)",
    )


def _word(text: str) -> str:
    """A word that can mean one of the things to compare; no file is opened yet."""
    try:
        _parts(text)
    except VxlabError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _factor(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number != 0 and not 1 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"wanted 0, or 1 and more, found {text}")
    return number


def _compare(arguments: argparse.Namespace) -> int:
    """Compare two runs, or the versions of one; 1 where something is unexpectedly worse."""
    before = read(arguments.before)
    if arguments.after is None:
        return _show_versions(before, arguments)
    return _show_pairs(before, read(arguments.after), arguments)


def write_page(word: str, path: str | os.PathLike[str]) -> None:
    """Write the page of a run, named as :func:`read` has it; VxlabError where that cannot be."""
    side = read(word)
    _write_page(path, "Scenarios by version", [side], side.columns, _along_versions(side)[1])


def _along_versions(side: Side) -> tuple[tuple[Timeline, ...], list[Note]]:
    """What changes at which version, and the notes on it and on dead cells."""
    from vxlab.results import notes
    from vxlab.results.timelines import timelines

    found = timelines(side.columns)
    return found, [*notes.of_dead_cells(side.columns), *notes.of_timelines(found)]


def _show_versions(side: Side, arguments: argparse.Namespace) -> int:
    from vxlab.results import text

    found, noted = _along_versions(side)
    worse = any(note.is_unexpectedly_worse for note in noted)
    if arguments.html:
        _write_page(arguments.html, "Scenarios by version", [side], side.columns, noted)
    if arguments.json:
        objects = {
            "run": _run(side),
            "columns": [_column(column) for column in side.columns],
            "changes": [
                {
                    "nodeid": each.nodeid,
                    "axis": each.axis,
                    "changes at": each.changes_at,
                    "versions": each.versions,
                    "outcomes": each.outcomes,
                    "what": each.what,
                    "where": [place for place in each.where if place],
                    "known": each.known,
                    "worse": each.is_worse,
                }
                for each in found
            ],
            "unexpected and worse": worse,
        }
        print(json.dumps(objects, indent=1))
        return int(worse)
    print("\n".join([side.title, "", *text.text_of(noted), text.counts_of_notes(noted)]))
    return int(worse)


def _show_pairs(before: Side, after: Side, arguments: argparse.Namespace) -> int:
    from vxlab.results import notes, text
    from vxlab.results.comparison import Limits

    comparison = paired(before, after, Limits(factor=arguments.slower))
    noted = notes.of_comparison(comparison)
    code = int(comparison.is_unexpectedly_worse)
    alone = [
        text.printable(f"only in {letter}: {column.name}")
        for letter, found in (("A", comparison.only_before), ("B", comparison.only_after))
        for column in found
    ]
    if arguments.html:
        columns = [
            replace(column, label=letter)
            for pair in comparison.pairs
            for letter, column in (("A", pair.before), ("B", pair.after))
        ]
        _write_page(arguments.html, "Two runs compared", [before, after], columns, noted, alone)
    if arguments.json:
        print(json.dumps(_objects(before, after, comparison), indent=1))
        return code
    lines = [f"A  {before.title}", f"B  {after.title}", *alone]
    print("\n".join([*lines, "", *text.text_of(noted), text.counts_of(comparison)]))
    return code


def _write_page(
    path: str | os.PathLike[str],
    title: str,
    sides: Sequence[Side],
    columns: Sequence[Column],
    noted: Sequence[Note],
    facts: Sequence[str] = (),
) -> None:
    from vxlab.results.page import page

    text = page(title, [(side.title, side.run) for side in sides], columns, noted, facts)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise VxlabError(f"wanted to write {path}, found: {error.strerror}") from error


# --- objects for --json ----------------------------------------------------------------------


def _objects(before: Side, after: Side, comparison: Comparison) -> dict[str, Any]:
    return {
        "before": _run(before),
        "after": _run(after),
        "columns": [
            {
                "before": _column(pair.before),
                "after": _column(pair.after),
                "changes": [_change(change) for change in pair.changes],
            }
            for pair in comparison.pairs
        ],
        "only before": [_column(column) for column in comparison.only_before],
        "only after": [_column(column) for column in comparison.only_after],
        "unexpected and worse": comparison.is_unexpectedly_worse,
    }


def _run(side: Side) -> dict[str, Any]:
    return {"file": side.path, "run": side.run.id, "started": side.run.started}


def _column(column: Column) -> dict[str, str]:
    cell = column.cell
    named = {"kernel": cell.kernel, "iproute2": cell.iproute2, "backend": cell.backend}
    return {**named, "state": str(cell.state), "reason": cell.reason, "last": cell.last}


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": str(change.kind),
        "nodeid": change.nodeid,
        "before": _case(change.before),
        "after": _case(change.after),
        "known": change.known,
        "worse": change.is_worse,
    }


def _case(case: Case | None) -> dict[str, Any] | None:
    if case is None:
        return None
    return {"outcome": str(case.outcome), "seconds": case.seconds, "reason": case.reason}


#: The subcommands of this module.
COMMANDS = (
    Command("compare", "show what differs between kernels, or between runs", _options, _compare),
)
