"""Typed snapshots of what a node's network namespace holds.

    before = snapshot(namespaces)
    ...
    assert difference(before, snapshot(namespaces)) == []

Everything is read from the kernel by netlink dumps over a socket that belongs to the namespace,
wherever it is called from, and by any number of threads at once.  All functions return sorted rows,
and raise :class:`~vxlab.errors.VxlabError` where the node is closed or the kernel refuses.
"""

from __future__ import annotations

from vxlab.observe.state.forwarding_rows import FdbEntry, MdbEntry, NextHop, VlanEntry, Vni
from vxlab.observe.state.node import NodeState, difference
from vxlab.observe.state.proc import read_counters, read_memberships
from vxlab.observe.state.read import explained, in_order, reading, table_number
from vxlab.observe.state.rows import (
    Address,
    Counters,
    Link,
    Membership,
    MulticastRoute,
    Neighbour,
    Route,
)
from vxlab.system.namespaces import Namespaces

__all__ = [
    "Address",
    "Counters",
    "FdbEntry",
    "Link",
    "MdbEntry",
    "Membership",
    "MulticastRoute",
    "Neighbour",
    "NextHop",
    "NodeState",
    "Route",
    "VlanEntry",
    "Vni",
    "addresses",
    "difference",
    "fdb",
    "links",
    "mdb",
    "memberships",
    "multicast_routes",
    "neighbours",
    "nexthops",
    "read_snmp",
    "routes",
    "snapshot",
    "vlans",
    "vnis",
]


def links(namespaces: Namespaces) -> tuple[Link, ...]:
    """All network devices, by index."""
    with reading(namespaces, "links") as reader:
        return reader.links()


def addresses(namespaces: Namespaces) -> tuple[Address, ...]:
    """All IPv4 and IPv6 addresses."""
    with reading(namespaces, "addresses") as reader:
        return reader.addresses()


def fdb(namespaces: Namespaces, interface: str | None = None) -> tuple[FdbEntry, ...]:
    """Forwarding entries of one interface (VxlabError where there is no such one), or of all."""
    with reading(namespaces, "forwarding entries") as reader:
        return reader.fdb(interface)


def vlans(namespaces: Namespaces) -> tuple[VlanEntry, ...]:
    """The VLANs of bridges that filter, and of their ports."""
    with reading(namespaces, "VLANs") as reader:
        return reader.vlans()


def neighbours(namespaces: Namespaces) -> tuple[Neighbour, ...]:
    """ARP and ND entries that ``ip neigh`` shows, and those of ``ip neigh show proxy``."""
    with reading(namespaces, "neighbours") as reader:
        return reader.neighbours()


def routes(namespaces: Namespaces, table: int | str | None = None) -> tuple[Route, ...]:
    """Unicast routes of both families: of one table, by number or name, or of all."""
    number = None if table is None else table_number(table)
    with reading(namespaces, "routes") as reader:
        return reader.routes(number)


def multicast_routes(namespaces: Namespaces) -> tuple[MulticastRoute, ...]:
    """The multicast forwarding caches of both families, with entries that are not resolved yet."""
    with reading(namespaces, "multicast routes") as reader:
        return reader.multicast_routes()


def memberships(namespaces: Namespaces) -> tuple[Membership, ...]:
    """The multicast groups that each interface listens to."""
    with explained(namespaces, "multicast groups"):
        return in_order(read_memberships(namespaces))


def vnis(namespaces: Namespaces) -> tuple[Vni, ...]:
    """The VNIs of devices with vnifilter, with their statistics."""
    with reading(namespaces, "VNIs") as reader:
        return reader.vnis()


def mdb(namespaces: Namespaces) -> tuple[MdbEntry, ...]:
    """The multicast groups of bridges and vxlan devices."""
    with reading(namespaces, "multicast groups of bridges and vxlan devices") as reader:
        return reader.mdb()


def nexthops(namespaces: Namespaces) -> tuple[NextHop, ...]:
    """All next hops, and groups of them."""
    with reading(namespaces, "next hops") as reader:
        return reader.nexthops()


def read_snmp(namespaces: Namespaces) -> dict[str, int]:
    """The protocols' counters by name.

    IPv4's and the transports' are named as in ``/proc/net/snmp`` (``Udp.NoPorts``,
    ``Udp.InCsumErrors``, ``Ip.InHdrErrors``, ``Ip.ForwDatagrams``) and ``/proc/net/netstat``
    (``TcpExt.TCPTimeouts``, ``IpExt.InMcastPkts``), IPv6's as in ``/proc/net/snmp6``
    (``Udp6NoPorts``).  RFC 4293 and RFC 4113 say what they count.
    """
    with explained(namespaces, "counters"):
        return read_counters(namespaces)


def snapshot(namespaces: Namespaces) -> NodeState:
    """Everything at once.

    The kinds of row are read one after the other: each is consistent in itself, but what changes
    meanwhile may be in one of them and not yet in the next.
    """
    with reading(namespaces, "state") as reader:
        return NodeState(
            name=namespaces.name,
            links=reader.links(),
            addresses=reader.addresses(),
            fdb=reader.fdb(None),
            vlans=reader.vlans(),
            neighbours=reader.neighbours(),
            routes=reader.routes(None),
            multicast_routes=reader.multicast_routes(),
            memberships=in_order(read_memberships(namespaces)),
            vnis=reader.vnis(),
            mdb=reader.mdb(),
            nexthops=reader.nexthops(),
            counters=read_counters(namespaces),
        )
