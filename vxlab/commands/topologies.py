"""``vxlab list``, ``vxlab plan``, ``vxlab script``: the topologies of the catalog, in words."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vxlab.commands import Command
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology


def _no_options(options: argparse.ArgumentParser) -> None:
    del options


def _name_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("name", metavar="NAME", help="a topology (`vxlab list` shows all)")
    options.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="an argument of the topology, such as family=6; may be given several times",
    )


def _script_options(options: argparse.ArgumentParser) -> None:
    _name_options(options)
    options.add_argument("-o", metavar="FILE", dest="output", help="write it there, executable")


def topology_of(name: str, settings: Sequence[str] = ()) -> Topology:
    """The topology of the catalog of that name, with settings ``key=value``.

    VxlabError for an unknown name, an unknown key, or a value that does not fit.
    """
    from vxlab.catalog import CATALOG
    from vxlab.commands.values import arguments_of

    if name not in CATALOG:
        near = difflib.get_close_matches(name, CATALOG, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        known = ", ".join(CATALOG)
        raise VxlabError(f"wanted a topology of the catalog ({known}), found {name!r}{hint}")
    return CATALOG[name](**arguments_of(CATALOG[name], name, settings))


def _list(arguments: argparse.Namespace) -> int:
    """Print the names of all topologies, each with what it is, and what can be set."""
    from vxlab.catalog import CATALOG, summary_of
    from vxlab.commands.values import shown_parameters

    del arguments
    width = max(map(len, CATALOG))
    for name, make in CATALOG.items():
        print(f"{name:{width}}  {summary_of(name)}")
        print(f"{'':{width}}  --set {shown_parameters(make)}")
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    """Print the operations that build a topology, a line each."""
    from vxlab.plan.planner import make_plan

    for operation in make_plan(topology_of(arguments.name, arguments.settings)):
        print(operation)
    return 0


def _script(arguments: argparse.Namespace) -> int:
    """Print the script of a topology, or write it to a file."""
    from vxlab.apply.script import script_of
    from vxlab.catalog import picture_of, summary_of

    topology = topology_of(arguments.name, arguments.settings)
    words = ["vxlab", "script", arguments.name]
    for setting in arguments.settings:
        words += ["--set", setting]
    text = script_of(
        topology,
        summary=summary_of(topology.name),
        picture=picture_of(topology.name),
        made_by=shlex.join(words),
    )
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text)
            mode = os.fstat(file.fileno()).st_mode
            os.fchmod(file.fileno(), mode | (mode & 0o444) >> 2)
    except OSError as error:
        problem = f"wanted to write {arguments.output}, found: {error.strerror}"
        raise VxlabError(problem) from error
    return 0


#: The subcommands of this module.
COMMANDS = (
    Command("list", "list the topologies of the catalog", _no_options, _list),
    Command("plan", "print the operations that build a topology", _name_options, _plan),
    Command(
        "script", "print a shell script that stands alone and does it", _script_options, _script
    ),
)
