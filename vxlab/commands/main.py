"""The command line of ``vxlab``: its parser, and what runs it.

Each subcommand is a module of this package: its options, and a function that runs it and returns
the exit code (0 for success, 1 for a plain no, 2 for a wrong command line, as argparse has it).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from vxlab.commands import (
    bisect_run,
    compare,
    doctor,
    iproute2,
    matrix,
    merge,
    plan,
    script,
    vm,
)
from vxlab.commands import list as list_
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

#: All subcommands, in the order that ``vxlab --help`` shows them.
SUBCOMMANDS: tuple[Subcommand, ...] = (
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

    An error of vxlab becomes one line on stderr and the exit code 1.
    """
    top, below = _parsers()
    arguments, unknown = top.parse_known_args(argv)
    if unknown:  # the subcommand says so, as of all else: its exit code may mean something
        below[arguments.subcommand.name].error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        code = int(arguments.subcommand.run(arguments))
        sys.stdout.flush()
    except VxlabError as error:
        print(f"vxlab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # nobody reads on, as in `vxlab script NAME | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; the chosen one ends up in ``subcommand``."""
    return _parsers()[0]


def _parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the whole command line, and those of the subcommands."""
    top = argparse.ArgumentParser(prog="vxlab", description="Throw-away VXLAN topologies.")
    names = top.add_subparsers(required=True, metavar="COMMAND")
    for each in SUBCOMMANDS:
        below = names.add_parser(each.name, help=each.summary, description=each.summary)
        each.add_options(below)
        below.set_defaults(subcommand=each)
    return top, names.choices
