"""What operations on links, addresses and routes are to the kernel (linux/{if_link,if_addr}.h)."""

from __future__ import annotations

import ipaddress
import socket
import struct

from vxlab.describe import entries, vxlan
from vxlab.netlink import values
from vxlab.netlink.messages import (
    IFADDR,
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_PROTINFO,
    IFLA_VRF_TABLE,
    NLA_F_NESTED,
    NLM_F_NEW,
    NLM_F_REQUEST,
    ROUTE,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTM_SETLINK,
    VETH_INFO_PEER,
    IndexOf,
    NamespaceOf,
    Request,
    attribute,
    family,
    u32,
)
from vxlab.plan.operations import (
    AddAddress,
    AddLink,
    AddRoute,
    DelAddress,
    DelLink,
    MoveLink,
    SetLink,
    SetPort,
    SetVxlan,
)


def _name(text: str) -> bytes:
    return attribute(IFLA_IFNAME, text.encode() + b"\0")


def _link_head(index: int, flags: int = 0, change: int = 0) -> bytes:
    return IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, change)


def encode(operation: object, index_of: IndexOf, namespace_of: NamespaceOf) -> Request | None:
    """Message type, flags and body of an ``operation``, or None for one that is not known here.

    ``index_of`` and ``namespace_of`` are as for :func:`vxlab.apply.encoding.encode`.
    """
    match operation:
        case AddLink():
            return Request(RTM_NEWLINK, NLM_F_NEW, _add_link(operation, index_of, namespace_of))
        case SetLink():
            return Request(RTM_NEWLINK, NLM_F_REQUEST, _set_link(operation, index_of))
        case SetVxlan():
            return Request(RTM_NEWLINK, NLM_F_REQUEST, _set_vxlan(operation, index_of))
        case SetPort():
            return Request(RTM_SETLINK, NLM_F_REQUEST, _set_port(operation, index_of))
        case DelLink():
            index = index_of(operation.node, operation.name)
            return Request(RTM_DELLINK, NLM_F_REQUEST, _link_head(index))
        case MoveLink():
            body = _link_head(index_of(operation.node, operation.name))
            body += u32(IFLA_NET_NS_FD, namespace_of(operation.to))
            return Request(RTM_NEWLINK, NLM_F_REQUEST, body)
        case AddAddress():
            return Request(RTM_NEWADDR, NLM_F_NEW, _address(operation, index_of))
        case DelAddress():
            return Request(RTM_DELADDR, NLM_F_REQUEST, _address(operation, index_of))
        case AddRoute():
            return Request(RTM_NEWROUTE, NLM_F_NEW, _add_route(operation, index_of))
    return None


def _add_link(link: AddLink, index_of: IndexOf, namespace_of: NamespaceOf) -> bytes:
    flags = IFF_UP if link.up else 0
    body = _link_head(link.index, flags, flags) + _name(link.name)
    if link.master:
        body += u32(IFLA_MASTER, index_of(link.node, link.master))
    if link.mac:
        body += attribute(IFLA_ADDRESS, values.mac_bytes(link.mac))
    if link.mtu:
        body += u32(IFLA_MTU, link.mtu)
    info = attribute(IFLA_INFO_KIND, link.kind.encode())
    data = _info_data(link, index_of, namespace_of)
    if data:
        info += attribute(IFLA_INFO_DATA, data)
    return body + attribute(IFLA_LINKINFO, info)


def _info_data(link: AddLink, index_of: IndexOf, namespace_of: NamespaceOf) -> bytes:
    if link.kind == "vxlan":
        return _vxlan_data(link.node, link.attributes, index_of)
    if link.kind == "bridge":
        return b"".join(_bridge_setting(name, value) for name, value in link.attributes)
    if link.kind == "vrf" and not link.attributes:
        raise ValueError("a VRF without its table")
    known = {"table": IFLA_VRF_TABLE} if link.kind == "vrf" else {}
    data = b""
    for name, value in link.attributes:
        number = entries.find(known, name, f"attribute of {link.kind} here")
        data += u32(number, int(value))  # type: ignore[arg-type]
    return data + _peer_data(link, namespace_of)


def _peer_data(link: AddLink, namespace_of: NamespaceOf) -> bytes:
    """The other end of a veth, which all of them have, and no other kind."""
    peer = link.peer
    if peer is None and link.kind == "veth":
        raise ValueError("a veth without its other end (peer)")
    if peer is not None and link.kind != "veth":
        raise ValueError(f"another end (peer), which a {link.kind} has not")
    if peer is None:
        return b""
    body = _link_head(peer.index) + _name(peer.name)
    if peer.mac:
        body += attribute(IFLA_ADDRESS, values.mac_bytes(peer.mac))
    if peer.mtu:
        body += u32(IFLA_MTU, peer.mtu)
    body += u32(IFLA_NET_NS_FD, namespace_of(peer.node))
    return attribute(VETH_INFO_PEER, body)


def _bridge_setting(name: str, value: vxlan.Value) -> bytes:
    number, kind = entries.find(entries.BRIDGE, name, "setting of a bridge")
    return attribute(number, values.encode(kind, value, int))


def _vxlan_data(node: str, attributes: vxlan.Attributes, index_of: IndexOf) -> bytes:
    parts = []
    for name, value in attributes:
        entries.find(vxlan.BY_NAME, name, "vxlan attribute")
        encoded = vxlan.encode(name, value, lambda device: index_of(node, device))
        if encoded:
            parts.append(attribute(*encoded))
    return b"".join(parts)


def _set_link(link: SetLink, index_of: IndexOf) -> bytes:
    change = 0 if link.up is None else IFF_UP
    body = _link_head(index_of(link.node, link.name), IFF_UP if link.up else 0, change)
    if link.master is not None:
        body += u32(IFLA_MASTER, index_of(link.node, link.master) if link.master else 0)
    if link.mtu:
        body += u32(IFLA_MTU, link.mtu)
    if link.mac:
        body += attribute(IFLA_ADDRESS, values.mac_bytes(link.mac))
    return body


def _set_vxlan(link: SetVxlan, index_of: IndexOf) -> bytes:
    info = attribute(IFLA_INFO_KIND, b"vxlan")
    info += attribute(IFLA_INFO_DATA, _vxlan_data(link.node, link.attributes, index_of))
    return _link_head(index_of(link.node, link.name)) + attribute(IFLA_LINKINFO, info)


def _set_port(port: SetPort, index_of: IndexOf) -> bytes:
    settings = b"".join(
        attribute(
            entries.find(entries.PORT, name, "setting of a bridge's port"),
            struct.pack("=B", bool(value)),
        )
        for name, value in port.attributes
    )
    index = index_of(port.node, port.interface)
    head = IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    return head + attribute(IFLA_PROTINFO | NLA_F_NESTED, settings)


def _address(operation: AddAddress | DelAddress, index_of: IndexOf) -> bytes:
    interface = ipaddress.ip_interface(operation.address)
    packed, prefix = interface.ip.packed, interface.network.prefixlen
    index = index_of(operation.node, operation.interface)
    head = IFADDR.pack(family(interface.version), prefix, 0, 0, index)
    body = head + attribute(2, packed)  # IFA_LOCAL
    return body if interface.version == 6 else body + attribute(1, packed)  # IFA_ADDRESS


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
        attributes += u32(4, index_of(route.node, route.interface))  # RTA_OIF
    attributes += u32(15, route.table)  # RTA_TABLE
    scope = 253 if version == 4 and not route.via else 0  # RT_SCOPE_LINK, RT_SCOPE_UNIVERSE
    table = route.table if route.table < 256 else 0
    # family, lengths, tos, table, protocol RTPROT_BOOT (as ip(8) has it), scope, RTN_UNICAST, flags
    head = ROUTE.pack(family(version), prefix, 0, 0, table, 3, scope, 1, 0)
    return head + attributes
