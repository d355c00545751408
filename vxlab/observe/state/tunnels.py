"""VNIs, multicast groups and next hops: messages become rows.

Layouts are those of linux/if_link.h (struct tunnel_msg, VXLAN_VNIFILTER_*), linux/if_bridge.h
(struct br_mdb_entry, MDBA_*) and linux/nexthop.h (NHA_*).  Each function takes the bytes of one
message, header included, and ``name_of``, which finds the name of an interface's index.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Callable, Iterator, Mapping

from vxlab.netlink.requests import attributes
from vxlab.netlink.values import FILTER_MODES
from vxlab.observe.state.rows import MdbEntry, NextHop, Vni

Names = Callable[[int], str]

RTM_GETMDB, RTM_GETNEXTHOP, RTM_GETTUNNEL = 86, 106, 122
TUNNEL_MSG_FLAG_STATS = 0x01

_HEADER = 16  # struct nlmsghdr
_MDB_ENTRY = struct.Struct("=IBBH16s2sxx")  # ifindex, state, flags, vid, address, ethertype
_MDBA_MDB, _MDBA_MDB_ENTRY, _MDBA_MDB_ENTRY_INFO = 1, 1, 1
_SRC_LIST, _GROUP_MODE, _SOURCE, _DST, _PORT, _VNI, _IFINDEX, _SRC_VNI = 2, 3, 4, 6, 7, 8, 9, 10
_VXLAN_VNIFILTER_ENTRY = 1
_START, _END, _GROUP, _GROUP6, _STATS = 1, 2, 3, 4, 5
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
_ID, _NH_GROUP, _OIF, _GATEWAY, _FDB = 1, 2, 5, 6, 11
_MODES = {number: name for name, number in FILTER_MODES.items()}


def _number(payload: bytes | None) -> int | None:
    return None if payload is None else int.from_bytes(payload, sys.byteorder)


def _address(payload: bytes | None) -> str | None:
    return None if payload is None else str(ipaddress.ip_address(payload))


def vni_rows(data: bytes, name_of: Names) -> Iterator[Vni]:
    """An RTM_NEWTUNNEL message: one row for each VNI, or range, of a device."""
    (index,) = struct.unpack_from("=I", data, _HEADER + 4)
    for number, payload in attributes(data[_HEADER + 8 :]):
        if number != _VXLAN_VNIFILTER_ENTRY:
            continue
        entry = dict(attributes(payload))
        flood = _address(entry.get(_GROUP) or entry.get(_GROUP6))
        multicast = flood is not None and ipaddress.ip_address(flood).is_multicast
        last = _number(entry.get(_END))
        first = _number(entry[_START]) or 0
        yield Vni(
            interface=name_of(index),
            vni=first,
            last=last if last != first else None,
            group=flood if multicast else None,
            remote=None if multicast else flood,
            counters=_statistics(entry.get(_STATS)),
        )


def _statistics(payload: bytes | None) -> Mapping[str, int]:
    found = dict(attributes(payload or b""))
    return {
        name: _number(found[number]) or 0
        for number, name in enumerate(_STATISTICS, 1)
        if number in found
    }


def mdb_rows(data: bytes, name_of: Names) -> Iterator[MdbEntry]:
    """An RTM_NEWMDB message: one row for each port or remote of a group."""
    (index,) = struct.unpack_from("=I", data, _HEADER + 4)
    database = dict(attributes(data[_HEADER + 8 :])).get(_MDBA_MDB, b"")
    for _, group in attributes(database):
        for kind, info in attributes(group):
            if kind == _MDBA_MDB_ENTRY_INFO:
                yield _mdb_row(info, name_of(index), name_of)


def _mdb_row(info: bytes, interface: str, name_of: Names) -> MdbEntry:
    index, state, _, vid, address, ethertype = _MDB_ENTRY.unpack_from(info)
    size = _ETHERTYPES.get(ethertype)
    found = dict(attributes(info[_MDB_ENTRY.size :]))
    via, mode = _number(found.get(_IFINDEX)), _number(found.get(_GROUP_MODE))
    sources = [dict(attributes(entry)) for _, entry in attributes(found.get(_SRC_LIST, b""))]
    return MdbEntry(
        interface=interface,
        port_name=name_of(index),
        group=address[:6].hex(":") if size is None else str(ipaddress.ip_address(address[:size])),
        source=_address(found.get(_SOURCE)),
        dst=_address(found.get(_DST)),
        port=_number(found.get(_PORT)),
        vni=_number(found.get(_VNI)),
        src_vni=_number(found.get(_SRC_VNI)),
        via=name_of(via) if via else None,
        filter_mode=None if mode is None else _MODES[mode],
        source_list=tuple(sorted(str(_address(each[1])) for each in sources)),
        state="permanent" if state else "temp",
        vlan=vid & 0xFFF or None,
    )


def nexthop_row(data: bytes, name_of: Names) -> NextHop:
    """An RTM_NEWNEXTHOP message."""
    found = dict(attributes(data[_HEADER + 8 :]))
    members = found.get(_NH_GROUP, b"")
    oif = _number(found.get(_OIF))
    return NextHop(
        id=_number(found[_ID]) or 0,
        via=_address(found.get(_GATEWAY)),
        interface=name_of(oif) if oif else None,
        group=tuple((one, weight + 1) for one, weight in struct.iter_unpack("=IBxxx", members)),
        fdb=_FDB in found,
    )
