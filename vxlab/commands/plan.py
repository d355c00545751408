"""``vxlab plan``: the operations that build a topology."""

from __future__ import annotations

import argparse

from vxlab.commands.catalog_topology import add_topology_options, topology_of
from vxlab.commands.subcommand import Subcommand


def _run(arguments: argparse.Namespace) -> int:
    """Print the operations that build a topology, a line each."""
    from vxlab.plan.planner import make_plan

    for operation in make_plan(topology_of(arguments.name, arguments.settings)):
        print(operation)
    return 0


COMMAND = Subcommand(
    name="plan",
    summary="print the operations that build a topology",
    add_options=add_topology_options,
    run=_run,
)
