"""Topologies that others made up: how they are collected, and what each must carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vxlab import PortVlan, Topology, TopologyBuilder


@dataclass(frozen=True, slots=True)
class Known:
    """A topology of somebody else.

    ``make`` writes it down; ``source`` is where it stands, ``pings`` are who reaches what there, by
    node and address.
    """

    make: Callable[[], TopologyBuilder]
    source: str
    pings: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return self.make.__name__

    def build(self) -> Topology:
        """The topology."""
        return self.make().build()


#: All of them, in the order in which they were written down.
KNOWN: list[Known] = []


def known(
    source: str, *pings: tuple[str, str]
) -> Callable[[Callable[[], TopologyBuilder]], Callable[[], TopologyBuilder]]:
    """Add the decorated function to :data:`KNOWN`; ``source`` and ``pings`` are those of it."""

    def add(make: Callable[[], TopologyBuilder]) -> Callable[[], TopologyBuilder]:
        KNOWN.append(Known(make, source, pings))
        return make

    return add


def access(vlan: int) -> tuple[PortVlan, ...]:
    """What an access port of a VLAN has."""
    return (PortVlan(vlan, pvid=True, untagged=True),)


def trunk(*vlans: int) -> tuple[PortVlan, ...]:
    """What a port has that carries tagged frames of several VLANs."""
    return tuple(PortVlan(vlan) for vlan in vlans)


def pair(name: str, network: str | tuple[str, ...] = "192.0.2.0/24") -> TopologyBuilder:
    """Two hosts h1 and h2 with one cable between them."""
    t = TopologyBuilder(name)
    t.cable("lan", network)
    for n in (1, 2):
        t.host(f"h{n}", "lan")
    return t
