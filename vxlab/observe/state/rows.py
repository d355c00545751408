"""One frozen class for each kind of row that a network namespace holds.

Names and values are spelled as ``ip`` and ``bridge`` spell them (ip-link(8), bridge(8),
ip-neighbour(8), ip-route(8), ip-mroute(8)); ``str(row)`` reads like their line.  Rows are sortable
and hashable.  Counters are no part of a row's identity: two rows that differ in nothing else are
equal.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from vxlab.describe.vxlan import BY_NAME, Value
from vxlab.describe.vxlan import words as spelled

Family = Literal["inet", "inet6"]

#: Route tables with a name (linux/rtnetlink.h, RT_TABLE_*).
TABLES = {253: "default", 254: "main", 255: "local"}


def _sortable(value: Any) -> tuple[bool, Any]:
    """A key that orders None before everything else, and mappings by their text."""
    if isinstance(value, Mapping):
        value = str(sorted(value.items()))
    return value is not None, value


class Row:
    """Base of all rows: gives them an order, that of their fields from left to right."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return sort_key(self) < sort_key(other)


@functools.cache
def _compared(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.compare)


def sort_key(row: Any) -> tuple[Any, ...]:
    """What a row is sorted by."""
    return tuple([_sortable(getattr(row, name)) for name in _compared(row.__class__)])


def words(kind: str, attributes: Mapping[str, Value]) -> str:
    """Attributes as one line of words, vxlan's as ``ip link add`` takes them, without defaults.

    The defaults of other kinds are not known here: what is off, zero or empty is left out.
    """
    shown: list[str] = []
    for name, value in attributes.items():
        if kind == "vxlan" and name in BY_NAME:
            if value != BY_NAME[name].default:
                shown += spelled(name, value)
        elif value:
            shown.append(f"{name} {value}")
    return " ".join(shown)


def _line(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _pair(name: str, value: object) -> str:
    """``name value``, or nothing where there is no value."""
    return "" if value is None or value == "" else f"{name} {value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Packets and bytes that a link has seen (struct rtnl_link_stats64, linux/if_link.h)."""

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

    ``kind`` is empty for the loopback device; ``up`` is what a person set, ``running`` and
    ``state`` (``UP``, ``DOWN``, ``LOWERLAYERDOWN``, ``UNKNOWN`` …) are what the device makes of it.
    ``mac`` is empty where a device has none.  ``link`` is the device below it, or a veth's peer; it
    reads ``if7`` where that lives in another namespace.  ``attributes`` are those of its kind: of a
    vxlan device under the names, and with the values, of :mod:`vxlab.describe.vxlan`; of others under the
    kernel's names in lower case (IFLA_BR_VLAN_FILTERING is ``vlan_filtering``), numbers and words
    only.  ``port`` is what its bridge keeps about it (IFLA_BRPORT_NEIGH_SUPPRESS is
    ``neigh_suppress``).
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
        return _line(
            f"{self.index}: {name}: <{','.join(self.flags)}> mtu {self.mtu}",
            _pair("master", self.master),
            _pair("state", self.state),
            _pair("address", self.mac),
            self.kind,
            words(self.kind, self.attributes),
            _pair("port", words("", self.port)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address(Row):
    """An address of an interface; ``peer`` is the far end of a point-to-point one.

    ``flags``: ``tentative``, ``dynamic`` (it has a lifetime), ``noprefixroute`` … as ``ip addr``
    has them.
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
        return _line(
            f"{self.family} {address}/{self.prefix} dev {self.interface} scope {self.scope}",
            " ".join(self.flags),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FdbEntry(Row):
    """A forwarding entry of a bridge, a vxlan device, or a device's own address filter.

    ``vni`` and ``port`` are None where the device's own apply.  ``via`` is the device that packets
    leave through.  ``flags``: ``self``, ``master``, ``router``, ``extern_learn``, ``offload``,
    ``sticky``, ``locked``.  ``state``: ``permanent``, ``static``, ``stale``, ``reachable``
    (learned; ``bridge fdb`` prints nothing for it), or empty.  ``master`` is the bridge that holds
    it; such an entry has the flag ``master`` too.
    """

    interface: str
    mac: str
    dst: str | None
    vni: int | None
    port: int | None
    via: str | None
    nhid: int | None
    flags: tuple[str, ...]
    state: str
    vlan: int | None
    master: str | None = None
    src_vni: int | None = None

    def __str__(self) -> str:
        return _line(
            f"{self.mac} dev {self.interface}",
            _pair("dst", self.dst),
            _pair("vlan", self.vlan),
            _pair("port", self.port),
            _pair("vni", self.vni),
            _pair("src_vni", self.src_vni),
            _pair("via", self.via),
            _pair("nhid", self.nhid),
            " ".join(flag for flag in self.flags if flag != "master" or not self.master),
            _pair("master", self.master),
            self.state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour(Row):
    """An ARP or ND entry; ``mac`` is empty while it is not known.

    ``state``: ``PERMANENT``, ``REACHABLE``, ``STALE``, ``DELAY``, ``PROBE``, ``INCOMPLETE``,
    ``FAILED``, ``NOARP``, or empty for one that this node answers for (``proxy`` in ``flags``).
    """

    interface: str
    address: str
    mac: str
    state: str
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _line(
            f"{self.address} dev {self.interface}",
            _pair("lladdr", self.mac),
            " ".join(self.flags),
            self.state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Row):
    """A unicast route, or one next hop of it where it has several.

    ``destination`` is ``default``, a prefix, or a bare address; ``source`` the preferred source
    address; ``table`` its number (254 is main, 255 local); ``metric`` 0 where it has none.
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
        return _line(
            self.type if self.type != "unicast" else "",
            self.destination,
            _pair("via", self.gateway),
            _pair("dev", self.interface),
            f"table {TABLES.get(self.table, self.table)} proto {self.protocol} scope {self.scope}",
            _pair("src", self.source),
            _pair("metric", self.metric or None),
            _pair("weight", self.weight if self.weight > 1 else None),
            " ".join(self.flags),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MulticastRoute(Row):
    """An entry of the multicast forwarding cache, (S,G) or, with source ``0.0.0.0``, (*,G).

    ``unresolved``: packets came, and no routing daemon has said yet where they go; such an entry
    has no interfaces and goes away by itself after 10 s (net/ipv4/ipmr.c).
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
        return _line(
            f"({self.source},{self.group})",
            _pair("Iif:", self.iif),
            _pair("Oifs:", " ".join(self.oifs)),
            f"State: {'unresolved' if self.unresolved else 'resolved'}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership(Row):
    """A multicast group that an interface listens to; ``users`` counts who asked for it."""

    interface: str
    group: str
    family: Family
    users: int

    def __str__(self) -> str:
        return f"{self.family} {self.group} dev {self.interface} users {self.users}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vni(Row):
    """A VNI, or the range up to ``last``, of a device with vnifilter (``bridge vni``).

    ``counters`` are its statistics by name (``rx_packets`` …), where the kernel keeps them.
    """

    interface: str
    vni: int
    last: int | None = None
    group: str | None = None
    remote: str | None = None
    counters: Mapping[str, int] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        shown = f"{self.vni}-{self.last}" if self.last else str(self.vni)
        return _line(
            f"{shown} dev {self.interface}",
            _pair("group", self.group),
            _pair("remote", self.remote),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MdbEntry(Row):
    """A port of a bridge, or a remote of a vxlan device, that listens to a group (``bridge mdb``).

    ``group`` is an address or, at layer 2, a MAC; fields that are None are the device's own.
    """

    interface: str
    port_name: str
    group: str
    source: str | None = None
    dst: str | None = None
    port: int | None = None
    vni: int | None = None
    src_vni: int | None = None
    via: str | None = None
    filter_mode: str | None = None
    source_list: tuple[str, ...] = ()
    state: str = "permanent"
    vlan: int | None = None

    def __str__(self) -> str:
        return _line(
            f"dev {self.interface} port {self.port_name} grp {self.group}",
            _pair("src", self.source),
            self.state,
            _pair("filter_mode", self.filter_mode),
            _pair("source_list", ",".join(self.source_list)),
            _pair("vid", self.vlan),
            _pair("dst", self.dst),
            _pair("dst_port", self.port),
            _pair("vni", self.vni),
            _pair("src_vni", self.src_vni),
            _pair("via", self.via),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop(Row):
    """A next hop, or a group of them with their weights (``ip nexthop``)."""

    id: int
    via: str | None = None
    interface: str | None = None
    group: tuple[tuple[int, int], ...] = ()
    fdb: bool = False

    def __str__(self) -> str:
        shown = (f"{one},{weight}" if weight > 1 else str(one) for one, weight in self.group)
        return _line(
            f"id {self.id}",
            _pair("group", "/".join(shown)),
            _pair("via", self.via),
            _pair("dev", self.interface),
            "fdb" if self.fdb else "",
        )
