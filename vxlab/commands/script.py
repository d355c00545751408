"""``vxlab script``: a shell script that builds a topology and stands alone."""

from __future__ import annotations

import argparse
import os
import sys

from vxlab.commands.catalog_topology import add_topology_options, described
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError
from vxlab.system import files


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_topology_options(parser)
    parser.add_argument("-o", metavar="FILE", dest="output", help="write it there, executable")


def _run(arguments: argparse.Namespace) -> int:
    """Print the script of a topology, or write it to a file."""
    import shlex

    from vxlab.apply.script import script_of

    topology, summary, picture = described(arguments.name, arguments.settings)
    words = ["vxlab", "script", arguments.name]
    for setting in arguments.settings:
        words += ["--set", setting]
    text = script_of(topology, summary=summary, picture=picture, made_by=shlex.join(words))
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        with files.open_to_write(arguments.output) as file:
            file.write(text)
            mode = os.fstat(file.fileno()).st_mode
            os.fchmod(file.fileno(), mode | (mode & 0o444) >> 2)
    except OSError as error:
        problem = f"wanted to write {arguments.output}, found: {error.strerror}"
        raise VxlabError(problem) from error
    return 0


COMMAND = Subcommand(
    name="script",
    summary="print a shell script that stands alone and does it",
    add_options=_add_options,
    run=_run,
)
