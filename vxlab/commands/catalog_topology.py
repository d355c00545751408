"""A topology of the catalog, by its name and settings on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology


def add_topology_options(parser: argparse.ArgumentParser) -> None:
    """Define what names a topology."""
    parser.add_argument("name", metavar="NAME", help="a topology (`vxlab list` shows all)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="an argument of the topology, such as family=6; may be given several times",
    )


def topology_of(name: str, settings: Sequence[str] = ()) -> Topology:
    """The topology of the catalog of that name, with settings ``key=value``.

    VxlabError for an unknown name, an unknown key, or a value that does not fit.
    """
    from vxlab.catalog import CATALOG
    from vxlab.commands.setting_values import arguments_of

    if name not in CATALOG:
        import difflib

        near = difflib.get_close_matches(name, CATALOG, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        known = ", ".join(CATALOG)
        raise VxlabError(f"wanted a topology of the catalog ({known}), found {name!r}{hint}")
    return CATALOG[name](**arguments_of(CATALOG[name], name, settings))
