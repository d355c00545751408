"""Netlink messages as bytes: what each operation looks like to the kernel.

Layouts are those of ``include/uapi/linux/{netlink,rtnetlink,if_link,neighbour}.h``.  All
functions are pure.  Encoding by hand instead of by a library is what makes building a lab take
hardly longer than the kernel needs for it; see ``bench/``.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable

from vxlab import vxlan
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNeighbour,
    AddRoute,
    DelFdb,
    DelLink,
    Operation,
    SetLink,
    SetVxlan,
)

# message types (rtnetlink.h) and flags (netlink.h)
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 17, 18, 20, 22
RTM_NEWROUTE, RTM_NEWNEIGH, RTM_DELNEIGH = 24, 28, 29
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x400, 0x800
NLM_F_NEW = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL

# link attributes (if_link.h)
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_NET_NS_FD, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 28, 1, 2, 1
IFLA_VRF_TABLE = 1
_BRIDGE = {"forward_delay": (1, "=I"), "stp_state": (5, "=I"), "mcast_snooping": (23, "=B")}
IFF_UP = 1

# neighbour attributes, states and flags (neighbour.h)
NDA_DST, NDA_LLADDR, NDA_PORT, NDA_VNI = 1, 2, 6, 7
NUD_PERMANENT, NTF_SELF = 0x80, 0x02

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_IFINFO = struct.Struct("=BxHiII")

#: Gives the interface index of (node, interface name).
IndexOf = Callable[[str, str], int]
#: Gives the file descriptor of a node's network namespace.
NamespaceOf = Callable[[str], int]


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One netlink message."""
    return _HEADER.pack(len(body) + 16, kind, flags, sequence, 0) + body


def _name(text: str) -> bytes:
    return attribute(IFLA_IFNAME, text.encode() + b"\0")


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _link_head(index: int, flags: int = 0, change: int = 0) -> bytes:
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, change)


def encode(
    operation: Operation, index_of: IndexOf, namespace_of: NamespaceOf
) -> tuple[int, int, bytes]:
    """Message type, flags and body of an operation that is one netlink request."""
    match operation:
        case AddLink():
            return RTM_NEWLINK, NLM_F_NEW, _add_link(operation, index_of, namespace_of)
        case SetLink():
            return RTM_NEWLINK, NLM_F_REQUEST, _set_link(operation, index_of)
        case SetVxlan():
            return RTM_NEWLINK, NLM_F_REQUEST, _set_vxlan(operation, index_of)
        case DelLink():
            index = index_of(operation.node, operation.name)
            return RTM_DELLINK, NLM_F_REQUEST, _link_head(index)
        case AddAddress():
            return RTM_NEWADDR, NLM_F_NEW, _add_address(operation, index_of)
        case AddRoute():
            return RTM_NEWROUTE, NLM_F_NEW, _add_route(operation, index_of)
        case AddFdb():
            flags = NLM_F_REQUEST | NLM_F_CREATE
            flags |= NLM_F_APPEND if operation.append else NLM_F_EXCL
            return RTM_NEWNEIGH, flags, _fdb(operation, index_of, operation.port, operation.vni)
        case DelFdb():
            return RTM_DELNEIGH, NLM_F_REQUEST, _fdb(operation, index_of)
        case AddNeighbour():
            return RTM_NEWNEIGH, NLM_F_NEW, _add_neighbour(operation, index_of)
    raise TypeError(f"no netlink message for {operation!r}")


def _add_link(link: AddLink, index_of: IndexOf, namespace_of: NamespaceOf) -> bytes:
    flags = IFF_UP if link.up else 0
    body = _link_head(link.index, flags, flags) + _name(link.name)
    if link.master:
        body += _u32(IFLA_MASTER, index_of(link.node, link.master))
    if link.mac:
        body += attribute(IFLA_ADDRESS, _mac(link.mac))
    if link.mtu:
        body += _u32(IFLA_MTU, link.mtu)
    info = attribute(IFLA_INFO_KIND, link.kind.encode())
    data = _info_data(link, index_of, namespace_of)
    if data:
        info += attribute(IFLA_INFO_DATA, data)
    return body + attribute(IFLA_LINKINFO, info)


def _info_data(link: AddLink, index_of: IndexOf, namespace_of: NamespaceOf) -> bytes:
    if link.kind == "vxlan":
        return _vxlan_data(link.node, link.attributes, index_of)
    if link.kind == "vrf":
        return _u32(IFLA_VRF_TABLE, int(dict(link.attributes)["table"]))  # type: ignore[arg-type]
    if link.kind == "bridge":
        return b"".join(
            attribute(_BRIDGE[name][0], struct.pack(_BRIDGE[name][1], value))
            for name, value in link.attributes
        )
    peer = link.peer
    if peer is None:
        raise TypeError(f"a veth needs its peer: {link!r}")
    body = _link_head(peer.index) + _name(peer.name)
    if peer.mac:
        body += attribute(IFLA_ADDRESS, _mac(peer.mac))
    if peer.mtu:
        body += _u32(IFLA_MTU, peer.mtu)
    body += _u32(IFLA_NET_NS_FD, namespace_of(peer.node))
    return attribute(VETH_INFO_PEER, body)


def _vxlan_data(node: str, attributes: vxlan.Attributes, index_of: IndexOf) -> bytes:
    parts = []
    for name, value in attributes:
        encoded = vxlan.encode(name, value, lambda device: index_of(node, device))
        if encoded:
            parts.append(attribute(*encoded))
    return b"".join(parts)


def _set_link(link: SetLink, index_of: IndexOf) -> bytes:
    change = 0 if link.up is None else IFF_UP
    body = _link_head(index_of(link.node, link.name), IFF_UP if link.up else 0, change)
    if link.master is not None:
        body += _u32(IFLA_MASTER, index_of(link.node, link.master) if link.master else 0)
    if link.mtu:
        body += _u32(IFLA_MTU, link.mtu)
    if link.mac:
        body += attribute(IFLA_ADDRESS, _mac(link.mac))
    return body


def _set_vxlan(link: SetVxlan, index_of: IndexOf) -> bytes:
    info = attribute(IFLA_INFO_KIND, b"vxlan")
    info += attribute(IFLA_INFO_DATA, _vxlan_data(link.node, link.attributes, index_of))
    return _link_head(index_of(link.node, link.name)) + attribute(IFLA_LINKINFO, info)


def _add_address(operation: AddAddress, index_of: IndexOf) -> bytes:
    interface = ipaddress.ip_interface(operation.address)
    packed, prefix = interface.ip.packed, interface.network.prefixlen
    index = index_of(operation.node, operation.interface)
    if interface.version == 6:
        head = struct.pack("=BBBBI", socket.AF_INET6, prefix, 0, 0, index)
        return head + attribute(2, packed)  # IFA_LOCAL
    head = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, index)
    body = head + attribute(2, packed) + attribute(1, packed)  # IFA_LOCAL, IFA_ADDRESS
    if prefix < 31:
        body += attribute(4, interface.network.broadcast_address.packed)  # IFA_BROADCAST
    return body


def _add_route(route: AddRoute, index_of: IndexOf) -> bytes:
    attributes, version = b"", 4
    if route.via:
        gateway = ipaddress.ip_address(route.via)
        attributes, version = attribute(5, gateway.packed), gateway.version  # RTA_GATEWAY
    prefix = 0
    if route.destination != "default":
        network = ipaddress.ip_network(route.destination)
        prefix, version = network.prefixlen, network.version
        attributes += attribute(1, network.network_address.packed)  # RTA_DST
    if route.interface:
        attributes += _u32(4, index_of(route.node, route.interface))  # RTA_OIF
    attributes += _u32(15, route.table)  # RTA_TABLE
    scope = 253 if version == 4 and not route.via else 0  # RT_SCOPE_LINK, RT_SCOPE_UNIVERSE
    table = route.table if route.table < 256 else 0
    # family, lengths, tos, table, protocol RTPROT_STATIC, scope, type RTN_UNICAST, flags
    head = struct.pack("=BBBBBBBBI", _family(version), prefix, 0, 0, table, 4, scope, 1, 0)
    return head + attributes


def _neighbour_head(family: int, index: int, flags: int) -> bytes:
    return struct.pack("=BxxxiHBB", family, index, NUD_PERMANENT, flags, 0)


def _fdb(
    entry: AddFdb | DelFdb, index_of: IndexOf, port: int | None = None, vni: int | None = None
) -> bytes:
    index = index_of(entry.node, entry.interface)
    body = _neighbour_head(socket.AF_BRIDGE, index, NTF_SELF)
    body += attribute(NDA_LLADDR, _mac(entry.mac))
    body += attribute(NDA_DST, ipaddress.ip_address(entry.dst).packed)
    if port is not None:
        body += attribute(NDA_PORT, struct.pack(">H", port))
    if vni is not None:
        body += _u32(NDA_VNI, vni)
    return body


def _add_neighbour(entry: AddNeighbour, index_of: IndexOf) -> bytes:
    address = ipaddress.ip_address(entry.address)
    index = index_of(entry.node, entry.interface)
    body = _neighbour_head(_family(address.version), index, 0)
    return body + attribute(NDA_DST, address.packed) + attribute(NDA_LLADDR, _mac(entry.mac))
