"""``vxlab list``: the topologies of the catalog."""

from __future__ import annotations

import argparse

from vxlab.commands.subcommand import Subcommand


def _run(arguments: argparse.Namespace) -> int:
    """Print the names of all topologies, each with what it is, and what can be set."""
    from vxlab.catalog import CATALOG, summary_of
    from vxlab.commands.setting_values import shown_parameters

    del arguments
    width = max(map(len, CATALOG))
    for name, make in CATALOG.items():
        print(f"{name:{width}}  {summary_of(name)}")
        print(f"{'':{width}}  --set {shown_parameters(make)}")
    return 0


COMMAND = Subcommand(name="list", summary="list the topologies of the catalog", run=_run)
