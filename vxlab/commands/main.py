"""The command line of ``vxlab``: its parser, and what runs it.

Each subcommand is a module of this package: its options, and a function that runs it and returns
the exit code (0 for success, 1 for a plain no, 2 for a wrong command line, as argparse has it).
``vxlab`` alone shows the help, on stderr, and ends with 2 too: a script that lost its command must
not take that for success.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from vxlab import __version__
from vxlab.commands import (
    bisect_run,
    compare,
    doctor,
    iproute2,
    matrix,
    merge,
    output,
    plan,
    script,
    setup,
    vm,
)
from vxlab.commands import list as list_
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

#: All subcommands, in the order that ``vxlab --help`` shows them.
SUBCOMMANDS: tuple[Subcommand, ...] = (
    setup.COMMAND,
    doctor.COMMAND,
    list_.COMMAND,
    plan.COMMAND,
    script.COMMAND,
    vm.COMMAND,
    iproute2.COMMAND,
    matrix.COMMAND,
    bisect_run.COMMAND,
    compare.COMMAND,
    merge.COMMAND,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vxlab`` with ``argv`` (default: the process's own) and return its exit code.

    An error of vxlab becomes one line on stderr and the exit code 1; so does output that cannot be
    written.
    """
    output.open_closed_streams()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except VxlabError as error:
        output.complain(f"vxlab: {error}")
    except BrokenPipeError:  # nobody reads on, as in `vxlab script NAME | head`
        output.let_go(sys.stdout)
    except OSError as error:
        output.complain(f"vxlab: {output.in_words(error)}")
        output.let_go(sys.stdout)
    return 1


def _run(argv: Sequence[str] | None) -> int:
    top, below = _parsers()
    arguments, unknown = top.parse_known_args(argv)
    if arguments.subcommand is None and not unknown:
        top.print_help(sys.stderr)
        return 2
    if arguments.subcommand is None:
        top.error(f"wanted a command, found {' '.join(unknown)}: `vxlab --help` lists them")
    if unknown:  # the subcommand says so, as of all else: its exit code may mean something
        below[arguments.subcommand.name].error(f"unrecognized arguments: {' '.join(unknown)}")
    return int(arguments.subcommand.run(arguments))


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; the chosen one ends up in ``subcommand``."""
    return _parsers()[0]


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and those of the subcommands."""
    top = output.Parser(prog="vxlab", description="Throw-away VXLAN topologies.")
    top.add_argument("--version", action="version", version=f"vxlab {__version__}")
    top.set_defaults(subcommand=None)
    names = top.add_subparsers(metavar="COMMAND")
    for each in SUBCOMMANDS:
        below = names.add_parser(each.name, help=each.summary, description=each.summary)
        each.add_options(below)
        below.set_defaults(subcommand=each)
    return top, names.choices
