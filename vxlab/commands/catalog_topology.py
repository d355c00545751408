"""A topology on the command line, by its name in the catalog or in a file, and its settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vxlab.commands import own_topology
from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology


def add_topology_options(parser: argparse.ArgumentParser) -> None:
    """Define what names a topology."""
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a topology (`vxlab list` shows all), or your own: FILE.py:FUNCTION",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="an argument of the topology, such as family=6; may be given several times",
    )


def topology_of(name: str, settings: Sequence[str] = ()) -> Topology:
    """The topology of the catalog of that name, or of a file, with settings ``key=value``.

    VxlabError for an unknown name, an unknown key, or a value that does not fit.
    """
    return described(name, settings)[0]


def described(name: str, settings: Sequence[str]) -> tuple[Topology, str, Sequence[str]]:
    """The same topology, what it says of itself in a line, and the lines that draw it."""
    from vxlab.catalog import picture_of, summary_of
    from vxlab.commands.setting_values import arguments_of

    if own_topology.is_of_a_file(name):
        make = own_topology.function_of(name)
        topology = own_topology.topology_by(make, name, arguments_of(make, name, settings))
        return topology, own_topology.summary_of(make), ()
    make = _of_the_catalog(name)
    topology = make(**arguments_of(make, name, settings))
    return topology, summary_of(topology.name), picture_of(topology.name)


def _of_the_catalog(name: str) -> Callable[..., Topology]:
    """What makes the topology of that name; VxlabError with a name that is near it."""
    from vxlab.catalog import CATALOG

    if name not in CATALOG:
        import difflib

        near = difflib.get_close_matches(name, CATALOG, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        known = ", ".join(CATALOG)
        raise VxlabError(f"wanted a topology of the catalog ({known}), found {name!r}{hint}")
    return CATALOG[name]
