"""``vxlab iproute2``: the iproute2 of another version, for ``pytest --iproute2=DIR``."""

from __future__ import annotations

import argparse
import sys

from vxlab.commands.subcommand import Subcommand


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "wanted",
        nargs="?",
        metavar="VERSION|DIR",
        help="a version that the system's mirror offers (6.15), or the folder of your own build; "
        "prints the folder for `pytest --iproute2`. Without it, lists the versions that there are",
    )


def notify(text: str) -> None:
    """Tell a person who waits what is being done."""
    print(f"vxlab iproute2: {text}", file=sys.stderr, flush=True)


def _run(arguments: argparse.Namespace) -> int:
    from vxlab.vm import bundles

    if arguments.wanted is None:
        for version, suite in bundles.offered(notify).items():
            print(f"{version}  {suite}")
    else:
        print(bundles.find(arguments.wanted, notify).folder)
    return 0


COMMAND = Subcommand(
    name="iproute2",
    summary="get iproute2 of another version",
    add_options=_add_options,
    run=_run,
)
