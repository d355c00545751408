"""The command line: ``vxlab doctor``, ``list``, ``plan``, ``script``, ``vm``, ``compare``.

Each subcommand is a :class:`~vxlab.commands.Command`: its options, and a function that runs it
and returns the exit code (0 for success, 1 for a plain no, 2 for a wrong command line, as argparse
has it).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING

from vxlab.commands import Command, bundles, compare, machines, matrix, results, topologies
from vxlab.errors import SandboxError, VxlabError

if TYPE_CHECKING:
    from vxlab.features import Feature

#: Columns of the table make room for cells of this length; a longer one moves its own row only.
_WIDEST = 80

_GREEN, _RED, _YELLOW, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vxlab`` with ``argv`` (default: the process's own) and return its exit code.

    An error of vxlab becomes one line on stderr and the exit code 1.
    """
    top, below = _parsers()
    arguments, unknown = top.parse_known_args(argv)
    if unknown:  # the subcommand says so, as of all else: its exit code may mean something
        below[arguments.command.name].error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code = int(arguments.command.run(arguments))
        sys.stdout.flush()
    except VxlabError as error:
        print(f"vxlab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # nobody reads on, as in `vxlab script NAME | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; the chosen :class:`Command` ends up in ``command``."""
    return _parsers()[0]


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and those of the subcommands."""
    top = argparse.ArgumentParser(prog="vxlab", description="Throw-away VXLAN topologies.")
    subcommands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        below = subcommands.add_parser(
            command.name, help=command.summary, description=command.summary
        )
        command.options(below)
        below.set_defaults(command=command)
    return top, subcommands.choices


# --- doctor ----------------------------------------------------------------------------------


def _doctor_options(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "names", metavar="FEATURE", nargs="*", help="look at these only, and want all of them"
    )
    options.add_argument("--json", action="store_true", help="print a list of objects")


def _doctor(arguments: argparse.Namespace) -> int:
    """Show what can be done here; 0 where all that is wanted is there, 1 where something is not.

    Wanted are the features named, or by default those that every scenario needs.
    """
    from vxlab import features, sandbox

    if not sandbox.inside():
        options = ["--json"] if arguments.json else []
        program = [sys.executable, "-m", "vxlab", "doctor", *options, "--", *arguments.names]
        with contextlib.suppress(SandboxError):  # shown below, as a feature that is missing
            return sandbox.run(program)
    found = tuple(map(features.probe, arguments.names)) or features.all_features()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(feature) for feature in found], indent=2))
    else:
        print(table(found, colour=wants_colour(sys.stdout)))
    wanted = found if arguments.names else [feature for feature in found if feature.required]
    return 0 if all(feature.available for feature in wanted) else 1


def table(found: Sequence[Feature], *, colour: bool = False) -> str:
    """Features as text: name, yes or no, version or reason, hint; then one line that sums up."""
    rows = [("FEATURE", "HERE", "VERSION, OR WHY NOT", "WHAT TO DO")]
    rows += [
        (item.name, "yes" if item.available else "no", item.version or item.reason, item.hint)
        for item in found
    ]
    widths = [max(min(len(row[column]), _WIDEST) for row in rows) for column in range(3)]
    paint = [""] + [_colour_of(item) if colour else "" for item in found]
    lines = []
    for row, code in zip(rows, paint, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if code:
            cells[1] = f"{code}{cells[1]}{_PLAIN}"
        lines.append("  ".join([*cells, row[3]]).rstrip())
    return "\n".join([*lines, "", _summary(found)])


def _colour_of(feature: Feature) -> str:
    if feature.available:
        return _GREEN
    return _RED if feature.required else _YELLOW


def _summary(found: Iterable[Feature]) -> str:
    from vxlab.features import NOT_TRIED

    gone = [item for item in found if not item.available and item.reason != NOT_TRIED]
    needed = [feature.name for feature in gone if feature.required]
    others = [feature.name for feature in gone if not feature.required]
    if needed:
        return f"No scenario can run without {', '.join(needed)}."
    if others:
        return f"Scenarios run here; those that need one of these are skipped: {', '.join(others)}."
    return "All that was looked for is here."


def wants_colour(stream: IO[str]) -> bool:
    """True for a terminal, unless NO_COLOR is set to anything, or TERM is ``dumb``."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


#: All subcommands, in the order that ``vxlab --help`` shows them.
COMMANDS: tuple[Command, ...] = (
    Command("doctor", "show what this machine and its kernel can do", _doctor_options, _doctor),
    *topologies.COMMANDS,
    *machines.COMMANDS,
    *bundles.COMMANDS,
    *matrix.COMMANDS,
    *compare.COMMANDS,
    *results.COMMANDS,
)
