"""What operations on the VLANs of bridges are to the kernel (linux/if_bridge.h)."""

from __future__ import annotations

import socket
import struct

from vxlab.netlink.messages import (
    IFINFO,
    IFLA_AF_SPEC,
    NLA_F_NESTED,
    NLM_F_REQUEST,
    RTM_DELLINK,
    RTM_SETLINK,
    IndexOf,
    Request,
    attribute,
    u32,
)
from vxlab.plan.operations import AddVlan, AddVlanTunnel, DelVlan, DelVlanTunnel

_IFLA_BRIDGE_FLAGS, _IFLA_BRIDGE_VLAN_INFO, _IFLA_BRIDGE_VLAN_TUNNEL_INFO = 0, 2, 3
_TUNNEL_ID, _TUNNEL_VID, _TUNNEL_FLAGS = 1, 2, 3  # IFLA_BRIDGE_VLAN_TUNNEL_*
_BRIDGE_FLAGS_SELF = 2
_VLAN_INFO_PVID, _VLAN_INFO_UNTAGGED = 0x2, 0x4
_VLAN_INFO_RANGE_BEGIN, _VLAN_INFO_RANGE_END = 0x8, 0x10


def encode(operation: object, index_of: IndexOf) -> Request | None:
    """Message type, flags and body of an operation, or None for one that is not known here.

    ``index_of`` gives the interface index of a node and an interface name.
    """
    match operation:
        case AddVlan():
            return Request(RTM_SETLINK, NLM_F_REQUEST, _vlan(operation, index_of))
        case DelVlan():
            return Request(RTM_DELLINK, NLM_F_REQUEST, _vlan(operation, index_of))
        case AddVlanTunnel():
            return Request(RTM_SETLINK, NLM_F_REQUEST, _tunnel(operation, index_of))
        case DelVlanTunnel():
            return Request(RTM_DELLINK, NLM_F_REQUEST, _tunnel(operation, index_of))
    return None


def _ends(first: int, last: int | None) -> list[tuple[int, int]]:
    """A VLAN with its flags; two of them are a range."""
    if not last or last == first:
        return [(first, 0)]
    return [(first, _VLAN_INFO_RANGE_BEGIN), (last, _VLAN_INFO_RANGE_END)]


def _vlan(entry: AddVlan | DelVlan, index_of: IndexOf) -> bytes:
    flags = 0
    if isinstance(entry, AddVlan):
        flags |= _VLAN_INFO_PVID if entry.pvid else 0
        flags |= _VLAN_INFO_UNTAGGED if entry.untagged else 0
    body = b""
    if entry.itself:
        body += attribute(_IFLA_BRIDGE_FLAGS, struct.pack("=H", _BRIDGE_FLAGS_SELF))
    for vlan, end in _ends(entry.vlan, entry.last):
        body += attribute(_IFLA_BRIDGE_VLAN_INFO, struct.pack("=HH", flags | end, vlan))
    return _head(entry, index_of) + attribute(IFLA_AF_SPEC | NLA_F_NESTED, body)


def _tunnel(entry: AddVlanTunnel | DelVlanTunnel, index_of: IndexOf) -> bytes:
    body = b""
    for vlan, end in _ends(entry.vlan, entry.last):
        row = u32(_TUNNEL_ID, entry.vni + vlan - entry.vlan)
        row += attribute(_TUNNEL_VID, struct.pack("=H", vlan))
        row += attribute(_TUNNEL_FLAGS, struct.pack("=H", end))
        body += attribute(_IFLA_BRIDGE_VLAN_TUNNEL_INFO | NLA_F_NESTED, row)
    return _head(entry, index_of) + attribute(IFLA_AF_SPEC | NLA_F_NESTED, body)


def _head(entry: AddVlan | DelVlan | AddVlanTunnel | DelVlanTunnel, index_of: IndexOf) -> bytes:
    return IFINFO.pack(socket.AF_BRIDGE, 0, index_of(entry.node, entry.interface), 0, 0)
