"""The tables of what a vxlan device holds: forwarding entries, VNIs, groups, neighbours.

As :mod:`vxlab.describe.vxlan` does for the device itself, each table says once how a field is
called, which netlink attribute it is, which words of ``ip`` or ``bridge`` set it, and under which
key their JSON shows it.  What operations encode with a table, snapshots read back with it.
Numbers are those of ``include/uapi/linux/{neighbour,if_link,if_bridge,nexthop}.h``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeVar

from vxlab.netlink import values
from vxlab.netlink.messages import (
    NTF_EXT_LEARNED,
    NTF_EXT_MANAGED,
    NTF_MASTER,
    NTF_OFFLOADED,
    NTF_PROXY,
    NTF_ROUTER,
    NTF_SELF,
    NTF_STICKY,
    NTF_USE,
    NUD_NOARP,
    NUD_PERMANENT,
    NUD_REACHABLE,
    NUD_STALE,
)
from vxlab.netlink.values import ValueType

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an entry.

    ``name`` is the field of the operation; ``number`` the netlink attribute, ``number6`` the one
    for an IPv6 address where it differs; ``kind`` its encoding; ``word`` what `ip` or `bridge`
    call it (empty for the entry's first word); ``json`` the key in their JSON; ``reported`` the
    attribute that the kernel reports it as, where that is another one.
    """

    name: str
    number: int
    kind: ValueType
    word: str
    json: str
    _: KW_ONLY
    number6: int = 0
    reported: int = 0


#: A forwarding entry of a vxlan device or bridge (NDA_*; `bridge fdb`).
FDB = (
    Field("mac", 2, "mac", "", "mac"),
    Field("dst", 1, "address", "dst", "dst"),
    Field("vlan", 5, "u16", "vlan", "vlan"),
    Field("port", 6, "u16be", "port", "port"),
    Field("vni", 7, "u32", "vni", "vni"),
    Field("via", 8, "device", "via", "viaIf"),
    Field("src_vni", 11, "u32", "src_vni", "src_vni"),
    Field("nhid", 13, "u32", "nhid", "nhid"),
)

#: States of a forwarding entry, as `bridge fdb` sets them (NUD_* of neighbour.h).
FDB_STATES = {
    "permanent": NUD_PERMANENT | NUD_NOARP,
    "static": NUD_REACHABLE | NUD_NOARP,
    "dynamic": NUD_REACHABLE,
}

#: What a flush by state asks for, as value and mask (fdb_flush() in iproute2's bridge/fdb.c).
FLUSH_STATES = {
    "permanent": (NUD_PERMANENT, NUD_PERMANENT),
    "nopermanent": (0, NUD_PERMANENT),
    "static": (NUD_NOARP, NUD_PERMANENT | NUD_NOARP),
    "nostatic": (0, NUD_NOARP),
    "dynamic": (0, NUD_PERMANENT | NUD_NOARP),
    "nodynamic": (NUD_NOARP, NUD_NOARP),
}

#: Flags of forwarding and neighbour entries (NTF_*).
FLAGS = {
    "use": NTF_USE,
    "self": NTF_SELF,
    "master": NTF_MASTER,
    "proxy": NTF_PROXY,
    "extern_learn": NTF_EXT_LEARNED,
    "offloaded": NTF_OFFLOADED,
    "sticky": NTF_STICKY,
    "router": NTF_ROUTER,
}

#: Flags that have an attribute of their own, NDA_FLAGS_EXT (NTF_EXT_*).
EXTENDED_FLAGS = {"managed": NTF_EXT_MANAGED}

#: A neighbour entry (NDA_*; `ip neigh`).
NEIGHBOUR = (
    Field("address", 1, "address", "", "dst"),
    Field("mac", 2, "mac", "lladdr", "lladdr"),
)

#: States of a neighbour entry that a person may set (NUD_*).
NEIGHBOUR_STATES = {
    "permanent": NUD_PERMANENT,
    "noarp": NUD_NOARP,
    "reachable": NUD_REACHABLE,
    "stale": NUD_STALE,
}

#: One VNI, or a range, of a device with vnifilter (VXLAN_VNIFILTER_ENTRY_*; `bridge vni`).
VNI = (
    Field("vni", 1, "u32", "vni", "vni"),
    Field("last", 2, "u32", "", "vniEnd"),
    Field("group", 3, "address", "group", "group", number6=4),
    Field("remote", 3, "address", "remote", "remote", number6=4),
)

#: A remote of a multicast group of a vxlan device (MDBE_ATTR_*, reported as MDBA_MDB_EATTR_*;
#: `bridge mdb`).
MDB = (
    Field("source", 1, "address", "src", "src", reported=4),
    Field("filter_mode", 3, "mode", "filter_mode", "filter_mode", reported=3),
    Field("protocol", 4, "u8", "proto", "protocol", reported=5),
    Field("dst", 5, "address", "dst", "dst", reported=6),
    Field("port", 6, "u16", "dst_port", "dst_port", reported=7),
    Field("vni", 7, "u32", "vni", "vni", reported=8),
    Field("via", 8, "device", "via", "via", reported=9),
    Field("src_vni", 9, "u32", "src_vni", "src_vni", reported=10),
)

#: What a flush by state asks for of a group's remotes; the mask is MDB_PERMANENT.
MDB_FLUSH_STATES = {"permanent": 1, "nopermanent": 0}

#: A next hop, or a group of them (NHA_*; `ip nexthop`).
NEXTHOP = (
    Field("id", 1, "u32", "id", "id"),
    Field("interface", 5, "device", "dev", "dev"),
    Field("via", 6, "address", "via", "gateway"),
    Field("fdb", 11, "flag", "fdb", "fdb"),
)


def encoded(
    table: Iterable[Field], entry: object, index_of: Callable[[str], int]
) -> Iterator[tuple[int, bytes]]:
    """Number and payload of each field of ``table`` that ``entry`` has, and that has a value.

    ``index_of`` turns a device's name into its interface index.  ValueError, KeyError, TypeError
    or struct.error where a value does not fit its type.
    """
    for field in table:
        value = getattr(entry, field.name, None)
        if value is None or value is False:
            continue
        payload = values.encode(field.kind, value, index_of)
        six = field.number6 and len(payload) == 16
        yield (field.number6 if six else field.number), payload


def decoded(
    table: Iterable[Field], found: Mapping[int, bytes], name_of: Callable[[int], str]
) -> dict[str, Any]:
    """The values of the fields of ``table`` in an entry's netlink attributes; None where missing.

    ``found`` are payloads by attribute number; ``name_of`` turns an interface index into the
    device's name.
    """
    values_of: dict[str, Any] = {}
    for field in table:
        payload = found.get(field.reported or field.number, found.get(field.number6))
        value = None if payload is None else values.decode(field.kind, payload, name_of)
        values_of[field.name] = value
    return values_of


def words(table: Iterable[Field], entry: object) -> list[str]:
    """The words of ip(8) or bridge(8) for all fields that have a word, and a value in ``entry``."""
    line: list[str] = []
    for field in table:
        value: Any = getattr(entry, field.name, None)
        if not field.word or value is None or value is False:
            continue
        line += [field.word] if field.kind == "flag" else [field.word, str(value)]
    return line


def find(table: Mapping[str, T], name: str, kind: str) -> T:
    """What ``table`` has for ``name``; ValueError, naming those it has, where that is nothing.

    ``kind`` says what its names are: ``setting of a bridge's port``.
    """
    if name not in table:
        near = difflib.get_close_matches(str(name), table, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name!r}, which is no {kind} ({', '.join(table)}){hint}")
    return table[name]


def bits(names: Iterable[str], *tables: Mapping[str, int]) -> int:
    """The bits of several names, each out of any of the tables; ValueError for an unknown one."""
    known = {name: bit for table in tables for name, bit in table.items()}
    total = 0
    for name in names:
        total |= find(known, name, "flag")
    return total
