"""What operations on links and addresses are to the kernel (linux/{if_link,if_addr}.h)."""

from __future__ import annotations

import socket

from vxlab.describe import checks, entries
from vxlab.describe.devices import PORT, kind_of
from vxlab.describe.vxlan import Attributes
from vxlab.netlink import values
from vxlab.netlink.messages import (
    IFADDR,
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    IFLA_PROTINFO,
    NLA_F_NESTED,
    NLM_F_NEW,
    NLM_F_REQUEST,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
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
    DelAddress,
    DelLink,
    MoveLink,
    SetBridge,
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
            return Request(RTM_NEWLINK, NLM_F_REQUEST, _set_kind("vxlan", operation, index_of))
        case SetBridge():
            return Request(RTM_NEWLINK, NLM_F_REQUEST, _set_kind("bridge", operation, index_of))
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
    return None


def _add_link(link: AddLink, index_of: IndexOf, namespace_of: NamespaceOf) -> bytes:
    flags = IFF_UP if link.up else 0
    body = _link_head(link.index, flags, flags) + _name(link.name)
    if link.link:
        body += u32(IFLA_LINK, index_of(link.node, link.link))
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
    if link.kind == "veth":
        return _peer(link, namespace_of)
    if link.peer is not None:
        raise ValueError(f"another end (peer), which a {link.kind} has not")
    if link.kind == "vrf" and not link.attributes:
        raise ValueError("a VRF without its table")
    return _settings(link.kind, link.node, link.attributes, index_of)


def _peer(link: AddLink, namespace_of: NamespaceOf) -> bytes:
    peer = link.peer
    if peer is None:
        raise ValueError("a veth without its other end (peer)")
    body = _link_head(peer.index) + _name(peer.name)
    if peer.mac:
        body += attribute(IFLA_ADDRESS, values.mac_bytes(peer.mac))
    if peer.mtu:
        body += u32(IFLA_MTU, peer.mtu)
    body += u32(IFLA_NET_NS_FD, namespace_of(peer.node))
    return attribute(VETH_INFO_PEER, body)


def _settings(kind: str, node: str, settings: Attributes, index_of: IndexOf) -> bytes:
    return kind_of(kind).encode(settings, lambda device: index_of(node, device))


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


def _set_kind(kind: str, link: SetVxlan | SetBridge, index_of: IndexOf) -> bytes:
    info = attribute(IFLA_INFO_KIND, kind.encode())
    info += attribute(IFLA_INFO_DATA, _settings(kind, link.node, link.attributes, index_of))
    return _link_head(index_of(link.node, link.name)) + attribute(IFLA_LINKINFO, info)


def _set_port(port: SetPort, index_of: IndexOf) -> bytes:
    settings = b"".join(_port_setting(port, name, index_of) for name, _ in port.attributes)
    index = index_of(port.node, port.interface)
    head = IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    return head + attribute(IFLA_PROTINFO | NLA_F_NESTED, settings)


def _port_setting(port: SetPort, name: str, index_of: IndexOf) -> bytes:
    setting = entries.find(PORT, name, "setting of a bridge's port")
    value = dict(port.attributes)[name]
    if setting.type == "device" and not value:
        return u32(setting.number, 0)
    payload = values.encode(setting.type, value, lambda device: index_of(port.node, device))
    return attribute(setting.number, payload)


def _address(operation: AddAddress | DelAddress, index_of: IndexOf) -> bytes:
    interface = checks.parsed(operation.address)
    packed, prefix = interface.ip.packed, interface.network.prefixlen
    index = index_of(operation.node, operation.interface)
    head = IFADDR.pack(family(interface.version), prefix, 0, 0, index)
    body = head + attribute(2, packed)  # IFA_LOCAL
    return body if interface.version == 6 else body + attribute(1, packed)  # IFA_ADDRESS
