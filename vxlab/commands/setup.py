"""``vxlab setup``: what vxlab needs beside Python packages, for this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

_DESCRIPTION = """\
Looks for what vxlab needs beside Python packages, and changes only what is missing. The multicast
routers smcroute and pimd are unpacked into a cache ($VXLAB_TOOLS, else vxlab/tools in /var/cache
for root and in ~/.cache for others) and never installed. Debian packages are installed by root, or
by a user with passwordless sudo; others are told which are missing, and the exit code is 1.
"""
#: The shell script that has the steps, which the set-up of the project reads too.
SCRIPT = Path(__file__).with_name("setup.sh")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--no-machines",
        dest="machines",
        action="store_false",
        help="leave out QEMU and its like, which `vxlab vm` and `vxlab matrix` need",
    )


def _run(arguments: argparse.Namespace) -> int:
    """Become the shell that does it, which then has the terminal and the signals to itself."""
    steps = ["look_for_programs", "look_for_machines"][: 1 + arguments.machines]
    words = ['. "$0"', *steps, "provide_daemons", "install_packages", "conclude"]
    sys.stdout.flush()
    try:
        os.execvp("sh", ["sh", "-euc", "; ".join(words), str(SCRIPT)])
    except OSError as error:
        raise VxlabError(f"wanted to run sh, found: {error.strerror}: put it in PATH") from error


COMMAND = Subcommand(
    name="setup",
    summary="get what vxlab needs beside Python packages",
    add_options=_add_options,
    run=_run,
)
