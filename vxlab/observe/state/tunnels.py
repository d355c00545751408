"""VNIs, multicast groups and next hops: messages become rows.

Layouts are those of linux/if_link.h (struct tunnel_msg, VXLAN_VNIFILTER_*), linux/if_bridge.h
(struct br_mdb_entry, MDBA_*) and linux/nexthop.h (NHA_*).  Each function takes the bytes of one
message, header included, and ``name_of``, which finds the name of an interface's index.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Mapping

from vxlab.describe import entries
from vxlab.netlink.messages import (
    BRIDGE_PORT,
    HEADER,
    MDB_ENTRY,
    NEXTHOP,
    NEXTHOP_MEMBER,
    TUNNEL,
    attributes,
)
from vxlab.observe.state.decode import Names
from vxlab.observe.state.forwarding_rows import MdbEntry, NextHop, Vni

_MDBA_MDB, _MDBA_MDB_ENTRY_INFO, _MDBA_MDB_EATTR_SRC_LIST, _MDBA_MDB_SRCATTR_ADDRESS = 1, 1, 2, 1
_MDB_FLAGS_BLOCKED = 8
_VXLAN_VNIFILTER_ENTRY, _VXLAN_VNIFILTER_ENTRY_STATS = 1, 5
_NHA_GROUP = 2
_STATISTICS = (
    "rx_bytes",
    "rx_packets",
    "rx_dropped",
    "rx_errors",
    "tx_bytes",
    "tx_packets",
    "tx_dropped",
    "tx_errors",
)
_ETHERTYPES = {b"\x08\x00": 4, b"\x86\xdd": 16}  # and how long such an address is


def vni_rows(data: bytes, name_of: Names) -> Iterator[Vni]:
    """An RTM_NEWTUNNEL message: one row for each VNI, or range, of a device."""
    *_, index = TUNNEL.unpack_from(data, HEADER.size)
    for number, payload in attributes(data[HEADER.size + TUNNEL.size :]):
        if number != _VXLAN_VNIFILTER_ENTRY:
            continue
        found = dict(attributes(payload))
        fields = entries.decoded(entries.VNI, found, name_of)
        flood, first, last = fields["group"], fields["vni"], fields["last"]
        multicast = flood is not None and ipaddress.ip_address(flood).is_multicast
        yield Vni(
            interface=name_of(index),
            vni=first,
            last=last if last != first else None,
            group=flood if multicast else None,
            remote=None if multicast else flood,
            counters=_statistics(found.get(_VXLAN_VNIFILTER_ENTRY_STATS)),
        )


def _statistics(payload: bytes | None) -> Mapping[str, int]:
    found = dict(attributes(payload or b""))
    return {
        name: int.from_bytes(found[number], sys.byteorder)
        for number, name in enumerate(_STATISTICS, 1)
        if number in found
    }


def mdb_rows(data: bytes, name_of: Names) -> Iterator[MdbEntry]:
    """An RTM_NEWMDB message: one row for each port or remote of a group."""
    _, index = BRIDGE_PORT.unpack_from(data, HEADER.size)
    database = dict(attributes(data[HEADER.size + BRIDGE_PORT.size :])).get(_MDBA_MDB, b"")
    for _, group in attributes(database):
        for number, info in attributes(group):
            if number == _MDBA_MDB_ENTRY_INFO:
                yield _mdb_row(info, name_of(index), name_of)


def _mdb_row(info: bytes, interface: str, name_of: Names) -> MdbEntry:
    index, state, flags, vid, address, ethertype = MDB_ENTRY.unpack_from(info)
    size = _ETHERTYPES.get(ethertype)
    found = dict(attributes(info[MDB_ENTRY.size :]))
    sources = attributes(found.get(_MDBA_MDB_EATTR_SRC_LIST, b""))
    addresses = [dict(attributes(entry))[_MDBA_MDB_SRCATTR_ADDRESS] for _, entry in sources]
    return MdbEntry(
        **entries.decoded(entries.MDB, found, name_of),
        interface=interface,
        port_name=name_of(index),
        group=address[:6].hex(":") if size is None else str(ipaddress.ip_address(address[:size])),
        source_list=tuple(sorted(str(ipaddress.ip_address(each)) for each in addresses)),
        state="permanent" if state else "temp",
        vlan=vid & 0xFFF or None,
        blocked=bool(flags & _MDB_FLAGS_BLOCKED),
    )


def nexthop_row(data: bytes, name_of: Names) -> NextHop:
    """An RTM_NEWNEXTHOP message."""
    found = dict(attributes(data[HEADER.size + NEXTHOP.size :]))
    fields = entries.decoded(entries.NEXTHOP, found, name_of)
    members = NEXTHOP_MEMBER.iter_unpack(found.get(_NHA_GROUP, b""))
    return NextHop(
        **fields | {"fdb": bool(fields["fdb"])},
        group=tuple((one, weight + 1) for one, weight in members),
    )
