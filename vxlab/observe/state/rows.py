"""One frozen class for each kind of row that a network namespace holds.

Names and values are spelled as ``ip`` and ``bridge`` spell them (ip-link(8), ip-address(8),
ip-neighbour(8), ip-route(8), ip-mroute(8)); ``str(row)`` reads like their line.  Rows are sortable
and hashable.  Counters are no part of a row's identity: two rows that differ in nothing else are
equal.  Those of bridges and vxlan devices are in :mod:`vxlab.observe.state.forwarding_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vxlab.describe.vxlan import Value
from vxlab.observe.state.base import Row, line, pair, words

Family = Literal["inet", "inet6"]

#: Route tables with a name (linux/rtnetlink.h, RT_TABLE_*).
TABLES = {253: "default", 254: "main", 255: "local"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Packets and bytes that a link has seen (struct rtnl_link_stats64, linux/if_link.h).

    ``rx_packets``, ``rx_bytes``, ``rx_errors`` and ``rx_dropped`` are those received,
    ``tx_packets``, ``tx_bytes``, ``tx_errors`` and ``tx_dropped`` those sent.
    """

    rx_packets: int = 0
    rx_bytes: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0

    def __str__(self) -> str:
        return (
            f"rx {self.rx_packets} packets {self.rx_bytes} bytes "
            f"{self.rx_errors} errors {self.rx_dropped} dropped, "
            f"tx {self.tx_packets} packets {self.tx_bytes} bytes "
            f"{self.tx_errors} errors {self.tx_dropped} dropped"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Row):
    """A network device, as ``ip -d link`` shows it.

    ``index`` is its interface index, ``name`` its name; ``kind`` its type, empty for the loopback
    device; ``up`` is what a person set, ``running`` and ``state`` (``UP``, ``DOWN``,
    ``LOWERLAYERDOWN``, ``UNKNOWN`` …) are what the device makes of it; ``mtu`` is in bytes.
    ``mac`` is empty where a device has none.  ``master`` is the bridge or VRF that it is a port of.
    ``link`` is the device below it, or a veth's peer; it reads ``if7`` where that is in another
    namespace.  ``attributes`` are those of its kind: of a vxlan device under the names, and with
    the values, of :mod:`vxlab.describe.vxlan`; of others under the kernel's names in lower case
    (IFLA_BR_VLAN_FILTERING is ``vlan_filtering``), numbers and words only.  ``counters`` count its
    packets, ``flags`` are those of ``ip link`` (``NO-CARRIER``, ``LOWER_UP`` …).  ``port`` is what
    its bridge keeps about it (IFLA_BRPORT_NEIGH_SUPPRESS is ``neigh_suppress``).
    """

    index: int
    name: str
    kind: str
    up: bool
    running: bool
    state: str
    mtu: int
    mac: str
    master: str | None
    link: str | None
    attributes: Mapping[str, Value] = field(default_factory=dict, hash=False)
    counters: Counters = field(default=Counters(), compare=False)
    flags: tuple[str, ...] = ()
    port: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        name = f"{self.name}@{self.link}" if self.link else self.name
        return line(
            f"{self.index}: {name}: <{','.join(self.flags)}> mtu {self.mtu}",
            pair("master", self.master),
            pair("state", self.state),
            pair("address", self.mac),
            self.kind,
            words(self.kind, self.attributes),
            pair("port", words("", self.port)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address(Row):
    """An address of an interface.

    ``interface`` is a name, ``address`` the IP address, ``prefix`` the length of its prefix,
    ``family`` inet or inet6, ``scope`` as in ``ip addr``; ``peer`` is the far end of a
    point-to-point address.  ``flags``: ``tentative``, ``dynamic`` (it has a lifetime),
    ``noprefixroute`` … as ``ip addr`` has them.
    """

    interface: str
    address: str
    prefix: int
    family: Family
    scope: str
    peer: str | None = None
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        address = f"{self.address} peer {self.peer}" if self.peer else self.address
        return line(
            f"{self.family} {address}/{self.prefix} dev {self.interface} scope {self.scope}",
            " ".join(self.flags),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour(Row):
    """An ARP or ND entry.

    ``interface`` is a name, ``address`` the IP address; ``mac`` is empty while it is not known.
    ``state``: ``PERMANENT``, ``REACHABLE``, ``STALE``, ``DELAY``, ``PROBE``, ``INCOMPLETE``,
    ``FAILED``, ``NOARP``, or empty for one that this node answers for (``proxy`` in ``flags``).
    """

    interface: str
    address: str
    mac: str
    state: str
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return line(
            f"{self.address} dev {self.interface}",
            pair("lladdr", self.mac),
            " ".join(self.flags),
            self.state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Row):
    """A unicast route, or one next hop of it where it has several.

    ``destination`` is ``default``, a prefix, or a bare address; ``gateway`` the IP address and
    ``interface`` the name of the next hop's; ``source`` the preferred source address; ``table`` its
    number (254 is main, 255 local); ``protocol``, ``scope`` and ``type`` are words of ``ip route``;
    ``metric`` is 0 where it has none; ``family`` inet or inet6; ``flags`` are ``onlink``,
    ``linkdown`` and the like; ``weight`` is the next hop's.
    """

    destination: str
    gateway: str | None
    interface: str | None
    source: str | None
    table: int
    protocol: str
    scope: str
    metric: int
    family: Family
    type: str
    flags: tuple[str, ...] = ()
    weight: int = 1

    def __str__(self) -> str:
        return line(
            self.type if self.type != "unicast" else "",
            self.destination,
            pair("via", self.gateway),
            pair("dev", self.interface),
            f"table {TABLES.get(self.table, self.table)} proto {self.protocol} scope {self.scope}",
            pair("src", self.source),
            pair("metric", self.metric or None),
            pair("weight", self.weight if self.weight > 1 else None),
            " ".join(self.flags),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MulticastRoute(Row):
    """An entry of the multicast forwarding cache, (S,G) or, with source ``0.0.0.0``, (*,G).

    ``source`` and ``group`` are IP addresses, ``iif`` and ``oifs`` the names of the interfaces that
    packets come in and go out by; ``family`` is inet or inet6.  ``unresolved``: packets came, and
    no routing daemon has said yet where they go; such an entry has no interfaces and goes away by
    itself after 10 s (net/ipv4/ipmr.c).  ``packets`` counts those forwarded, ``wrong_if`` those
    that came in by another interface.
    """

    source: str
    group: str
    iif: str | None
    oifs: tuple[str, ...]
    family: Family
    unresolved: bool
    packets: int = field(default=0, compare=False)
    wrong_if: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return line(
            f"({self.source},{self.group})",
            pair("Iif:", self.iif),
            pair("Oifs:", " ".join(self.oifs)),
            f"State: {'unresolved' if self.unresolved else 'resolved'}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership(Row):
    """A multicast group that an interface is a member of.

    ``interface`` is a name, ``group`` the group's address, ``family`` inet or inet6; ``users``
    counts the sockets and other users that asked for it.
    """

    interface: str
    group: str
    family: Family
    users: int

    def __str__(self) -> str:
        return f"{self.family} {self.group} dev {self.interface} users {self.users}"
