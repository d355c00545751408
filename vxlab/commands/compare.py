"""``vxlab compare``: what differs between two runs, or between the versions of one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from vxlab.commands.compared_side import HELP, Side, paired, parts_of, read_side
from vxlab.commands.output_file import check_not_input
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.results.comparison import Column
    from vxlab.results.pairs import Comparison


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", type=_word, help=HELP)
    parser.add_argument(
        "after",
        metavar="B",
        type=_word,
        nargs="?",
        help="the same; without B all columns of A are compared",
    )
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--html", metavar="FILE", help="write a page that shows all of it")
    parser.add_argument(
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
        parts_of(text)
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


def _run(arguments: argparse.Namespace) -> int:
    """Compare two runs, or the versions of one; 1 where something is unexpectedly worse."""
    if arguments.html is not None:
        words = filter(None, (arguments.before, arguments.after))
        check_not_input("--html", arguments.html, [parts_of(word)[0] for word in words])
    before = read_side(arguments.before)
    if arguments.after is None:
        return _show_versions(before, arguments)
    return _show_pairs(before, read_side(arguments.after), arguments)


def _show_versions(side: Side, arguments: argparse.Namespace) -> int:
    import json

    from vxlab.commands.compare_json import versions_object
    from vxlab.commands.compare_page import along_versions, write_page
    from vxlab.results import text

    found, noted = along_versions(side)
    worse = any(note.is_unexpectedly_worse for note in noted)
    if arguments.html is not None:
        write_page(arguments.html, "Scenarios by version", [side], side.columns, noted)
    if arguments.json:
        objects = versions_object(side, found, worse=worse)
        print(json.dumps(objects, indent=1))
        return int(worse)
    print("\n".join([side.title, "", *text.text_of(noted), text.counts_of_notes(noted)]))
    return int(worse)


def _show_pairs(before: Side, after: Side, arguments: argparse.Namespace) -> int:
    import json

    from vxlab.commands.compare_json import pairs_object
    from vxlab.commands.compare_page import write_page
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
    if arguments.html is not None:
        columns = _labelled(comparison)
        write_page(arguments.html, "Two runs compared", [before, after], columns, noted, alone)
    if arguments.json:
        print(json.dumps(pairs_object(before, after, comparison), indent=1))
        return code
    lines = [f"A  {before.title}", f"B  {after.title}", *alone]
    print("\n".join([*lines, "", *text.text_of(noted), text.counts_of(comparison)]))
    return code


def _labelled(comparison: Comparison) -> list[Column]:
    """The columns of all pairs, with the letters of their sides."""
    return [
        replace(column, label=letter)
        for pair in comparison.pairs
        for letter, column in (("A", pair.before), ("B", pair.after))
    ]


COMMAND = Subcommand(
    name="compare",
    summary="show what differs between kernels, or between runs",
    add_options=_add_options,
    run=_run,
)
