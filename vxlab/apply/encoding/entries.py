"""What operations on forwarding entries, VNIs, groups and neighbours are to the kernel.

Layouts are those of ``include/uapi/linux/{neighbour,if_link,if_bridge,nexthop}.h``; the fields come
from :mod:`vxlab.describe.entries`.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from vxlab.describe import entries
from vxlab.netlink.messages import (
    BRIDGE_PORT,
    MDB_ENTRY,
    NEIGHBOUR,
    NEXTHOP,
    NEXTHOP_MEMBER,
    NLA_F_NESTED,
    NLM_F_APPEND,
    NLM_F_BULK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    RTM_DELMDB,
    RTM_DELNEIGH,
    RTM_DELNEXTHOP,
    RTM_DELTUNNEL,
    RTM_NEWMDB,
    RTM_NEWNEIGH,
    RTM_NEWNEXTHOP,
    RTM_NEWTUNNEL,
    TUNNEL,
    IndexOf,
    Request,
    attribute,
    family,
    u32,
)
from vxlab.netlink.values import mac_bytes
from vxlab.plan.operations import (
    AddFdb,
    AddMdb,
    AddNeighbour,
    AddNexthop,
    AddVni,
    DelFdb,
    DelMdb,
    DelNeighbour,
    DelNexthop,
    DelVni,
    FlushFdb,
    FlushMdb,
)

NDA_FLAGS_EXT, NDA_NDM_STATE_MASK, NDA_NDM_FLAGS_MASK = 15, 16, 17  # neighbour.h
NHA_GROUP = 2  # nexthop.h
VXLAN_VNIFILTER_ENTRY = 1  # if_link.h
MDBA_SET_ENTRY, MDBA_SET_ENTRY_ATTRS = 1, 2  # if_bridge.h, as are the next ones
MDB_TEMPORARY, MDB_PERMANENT = 0, 1
MDBE_ATTR_SRC_LIST, MDBE_SRC_LIST_ENTRY, MDBE_SRCATTR_ADDRESS = 2, 1, 1
MDBE_ATTR_STATE_MASK = 10
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


def encode(operation: object, index_of: IndexOf) -> Request | None:
    """Message type, flags and body of an operation, or None for one that is not known here."""
    match operation:
        case AddFdb():
            return Request(RTM_NEWNEIGH, _new_flags(operation), _fdb(operation, index_of))
        case DelFdb():
            return Request(RTM_DELNEIGH, NLM_F_REQUEST, _fdb(operation, index_of))
        case FlushFdb():
            return Request(RTM_DELNEIGH, NLM_F_REQUEST | NLM_F_BULK, _flush(operation, index_of))
        case AddNeighbour():
            return Request(RTM_NEWNEIGH, _new_flags(operation), _neighbour(operation, index_of))
        case DelNeighbour():
            return Request(RTM_DELNEIGH, NLM_F_REQUEST, _neighbour(operation, index_of))
        case AddVni():
            return Request(RTM_NEWTUNNEL, NLM_F_REQUEST | NLM_F_CREATE, _vni(operation, index_of))
        case DelVni():
            return Request(RTM_DELTUNNEL, NLM_F_REQUEST, _vni(operation, index_of))
        case AddMdb():
            return Request(RTM_NEWMDB, _new_flags(operation), _mdb(operation, index_of))
        case DelMdb():
            return Request(RTM_DELMDB, NLM_F_REQUEST, _mdb(operation, index_of))
        case FlushMdb():
            flags = NLM_F_REQUEST | NLM_F_BULK
            return Request(RTM_DELMDB, flags, _mdb_flush(operation, index_of))
        case AddNexthop():
            return Request(RTM_NEWNEXTHOP, _new_flags(operation), _nexthop(operation, index_of))
        case DelNexthop():
            return Request(RTM_DELNEXTHOP, NLM_F_REQUEST, _nexthop(operation, index_of))
    return None


def _new_flags(entry: AddFdb | AddNeighbour | AddMdb | AddNexthop) -> int:
    if getattr(entry, "append", False):
        return NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND
    return NLM_F_REQUEST | NLM_F_CREATE | (NLM_F_REPLACE if entry.replace else NLM_F_EXCL)


def _head(family: int, index: int, state: int, flags: int) -> bytes:
    """The header of a neighbour message (struct ndmsg)."""
    return NEIGHBOUR.pack(family, index, state, flags, 0)


def _fields(table: tuple[entries.Field, ...], entry: object, node: str, index_of: IndexOf) -> bytes:
    found = entries.encoded(table, entry, lambda device: index_of(node, device))
    return b"".join(attribute(number, payload) for number, payload in found)


def _fdb(entry: AddFdb | DelFdb, index_of: IndexOf) -> bytes:
    index = index_of(entry.node, entry.interface)
    state = 0
    if isinstance(entry, AddFdb):
        state = entries.find(entries.FDB_STATES, entry.state, "state of a forwarding entry")
    head = _head(socket.AF_BRIDGE, index, state, entries.bits(entry.flags, entries.FLAGS))
    return head + _fields(entries.FDB, entry, entry.node, index_of)


def _flush(flush: FlushFdb, index_of: IndexOf) -> bytes:
    """A state or flag that must be there is in value and mask, one that must not in the mask."""
    state = state_mask = 0
    for word in (*flush.states, *(f"no{each}" for each in flush.no_states)):
        value, mask = entries.find(entries.FLUSH_STATES, word, "state of a forwarding entry")
        state, state_mask = state | value, state_mask | mask
    flags = entries.bits(flush.flags, entries.FLAGS)
    flag_mask = entries.bits((*flush.flags, *flush.no_flags), entries.FLAGS)
    index = index_of(flush.node, flush.interface)
    body = _head(socket.AF_BRIDGE, index, state, flags | entries.FLAGS["self"])
    body += _fields(entries.FDB, flush, flush.node, index_of)
    if flag_mask:
        body += attribute(NDA_NDM_FLAGS_MASK, struct.pack("=B", flag_mask))
    if state_mask:
        body += attribute(NDA_NDM_STATE_MASK, struct.pack("=H", state_mask))
    return body


def _neighbour(entry: AddNeighbour | DelNeighbour, index_of: IndexOf) -> bytes:
    address = ipaddress.ip_address(entry.address)
    index, flags, state, extended = index_of(entry.node, entry.interface), 0, 0, 0
    body = attribute(1, address.packed)  # NDA_DST
    if isinstance(entry, AddNeighbour):
        plain = [flag for flag in entry.flags if flag not in entries.EXTENDED_FLAGS]
        flags = entries.bits(plain, entries.FLAGS)
        extended = entries.bits(set(entry.flags) - set(plain), entries.EXTENDED_FLAGS)
        state = entries.find(entries.NEIGHBOUR_STATES, entry.state, "state of a neighbour entry")
        state = 0 if entry.proxy else state
        body = _fields(entries.NEIGHBOUR, entry, entry.node, index_of)
    flags |= entries.FLAGS["proxy"] if entry.proxy else 0
    body += u32(NDA_FLAGS_EXT, extended) if extended else b""
    return _head(family(address.version), index, state, flags) + body


def _vni(entry: AddVni | DelVni, index_of: IndexOf) -> bytes:
    head = TUNNEL.pack(socket.AF_BRIDGE, 0, 0, index_of(entry.node, entry.interface))
    fields = _fields(entries.VNI, entry, entry.node, index_of)
    return head + attribute(VXLAN_VNIFILTER_ENTRY | NLA_F_NESTED, fields)


def _mdb(entry: AddMdb | DelMdb, index_of: IndexOf) -> bytes:
    index = index_of(entry.node, entry.interface)
    port, vlan = index, 0
    if isinstance(entry, AddMdb):
        port = index_of(entry.node, entry.port_name) if entry.port_name else index
        vlan = entry.vlan or 0
    state = MDB_TEMPORARY if getattr(entry, "state", "permanent") == "temp" else MDB_PERMANENT
    row = MDB_ENTRY.pack(port, state, 0, vlan, *_group(entry.group))
    body = BRIDGE_PORT.pack(socket.AF_BRIDGE, index) + attribute(MDBA_SET_ENTRY, row)
    nested = _mdb_fields(entry, index_of)
    return body + attribute(MDBA_SET_ENTRY_ATTRS | NLA_F_NESTED, nested) if nested else body


def _group(group: str) -> tuple[bytes, bytes]:
    """Address and ethertype of a group; a MAC address has no ethertype."""
    if group.count(":") == 5 and "::" not in group:
        return mac_bytes(group), bytes(2)
    address = ipaddress.ip_address(group)
    return address.packed, _ETHERTYPES[address.version]


def _mdb_fields(entry: AddMdb | DelMdb, index_of: IndexOf) -> bytes:
    found = _fields(entries.MDB, entry, entry.node, index_of)
    sources = b"".join(
        attribute(
            MDBE_SRC_LIST_ENTRY | NLA_F_NESTED,
            attribute(MDBE_SRCATTR_ADDRESS, ipaddress.ip_address(source).packed),
        )
        for source in (entry.source_list if isinstance(entry, AddMdb) else ())
    )
    return found + (attribute(MDBE_ATTR_SRC_LIST | NLA_F_NESTED, sources) if sources else b"")


def _mdb_flush(flush: FlushMdb, index_of: IndexOf) -> bytes:
    index = index_of(flush.node, flush.interface)
    port = index_of(flush.node, flush.port_name) if flush.port_name else 0
    fields = _fields(entries.MDB, flush, flush.node, index_of)
    state = 0
    if flush.state is not None:
        state = entries.find(entries.MDB_FLUSH_STATES, flush.state, "state of a group entry")
        fields += attribute(MDBE_ATTR_STATE_MASK, struct.pack("=B", MDB_PERMANENT))
    row = MDB_ENTRY.pack(port, state, 0, flush.vlan or 0, b"", b"")
    body = BRIDGE_PORT.pack(socket.AF_BRIDGE, index) + attribute(MDBA_SET_ENTRY, row)
    return body + attribute(MDBA_SET_ENTRY_ATTRS | NLA_F_NESTED, fields) if fields else body


def _nexthop(entry: AddNexthop | DelNexthop, index_of: IndexOf) -> bytes:
    kind = socket.AF_UNSPEC
    if isinstance(entry, AddNexthop) and entry.via:
        kind = socket.AddressFamily(family(ipaddress.ip_address(entry.via).version))
    head = NEXTHOP.pack(kind, 0, 0, 0)
    body = _fields(entries.NEXTHOP, entry, entry.node, index_of)
    if isinstance(entry, AddNexthop) and entry.group:
        members = (NEXTHOP_MEMBER.pack(one, weight - 1) for one, weight in entry.members())
        body += attribute(NHA_GROUP, b"".join(members))
    return head + body
