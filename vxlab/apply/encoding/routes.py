"""What operations on routes are to the kernel (linux/rtnetlink.h)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

from vxlab.describe.routes import RouteHop, RouteType
from vxlab.netlink.messages import (
    NLA_F_NESTED,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    ROUTE,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    IndexOf,
    Request,
    attribute,
    family,
    u32,
)
from vxlab.plan.operations import AddRoute, DelRoute

_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_RTA_METRICS, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA, _RTA_NH_ID = 8, 9, 15, 18, 30
_RTAX_MTU = 2
_RTNH_F_ONLINK = 4
_RTPROT_BOOT = 3  # as ip(8) has it
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_NOWHERE = 0, 253, 255

#: RTN_*
_TYPES: dict[RouteType, int] = {"unicast": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8}

#: struct rtnexthop: length, flags, weight - 1, interface index
_NEXTHOP = struct.Struct("=HBBi")


def encode(operation: object, index_of: IndexOf) -> Request | None:
    """Message type, flags and body of an operation, or None for one that is not known here.

    ``index_of`` gives the interface index of a node and an interface name.
    """
    match operation:
        case AddRoute():
            new = NLM_F_REPLACE if operation.replace else NLM_F_EXCL
            return Request(
                RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_CREATE | new, _route(operation, index_of)
            )
        case DelRoute():
            return Request(RTM_DELROUTE, NLM_F_REQUEST, _route(operation, index_of))
    return None


def _route(route: AddRoute | DelRoute, index_of: IndexOf) -> bytes:
    version, prefix, body = _version(route), 0, b""
    if route.destination != "default":
        network = ipaddress.ip_network(route.destination)
        prefix = network.prefixlen
        body += attribute(_RTA_DST, network.network_address.packed)
    onlink = isinstance(route, AddRoute) and route.onlink
    body += _way(route.via, version)
    if route.interface:
        body += u32(_RTA_OIF, index_of(route.node, route.interface))
    body += u32(_RTA_TABLE, route.table)
    body += u32(_RTA_PRIORITY, route.metric) if route.metric else b""
    if isinstance(route, AddRoute):
        body += _more(route, version, lambda device: index_of(route.node, device))
    table = route.table if route.table < 256 else 0
    protocol = _RTPROT_BOOT if isinstance(route, AddRoute) else 0
    flags = _RTNH_F_ONLINK if onlink else 0
    scope, kind = _scope(route, version), _TYPES[route.type]
    return ROUTE.pack(family(version), prefix, 0, 0, table, protocol, scope, kind, flags) + body


def _version(route: AddRoute | DelRoute) -> int:
    """The route's address family, 4 or 6; that of its gateway where it is a default route."""
    if route.destination != "default":
        return ipaddress.ip_network(route.destination).version
    hops = route.hops if isinstance(route, AddRoute) else ()
    gateways = [route.via, *(hop.via for hop in hops)]
    return next((ipaddress.ip_address(each).version for each in gateways if each), 4)


def _scope(route: AddRoute | DelRoute, version: int) -> int:
    """As ip(8) chooses it (iproute_modify() in ip/iproute.c)."""
    if isinstance(route, DelRoute):
        return _SCOPE_NOWHERE if version == 4 else _SCOPE_UNIVERSE
    direct = not route.via and not route.hops and route.nhid is None
    return _SCOPE_LINK if version == 4 and direct and route.type == "unicast" else _SCOPE_UNIVERSE


def _way(via: str | None, version: int) -> bytes:
    """The gateway; one of the other family has an attribute of its own (struct rtvia)."""
    if not via:
        return b""
    gateway = ipaddress.ip_address(via)
    if gateway.version == version:
        return attribute(_RTA_GATEWAY, gateway.packed)
    return attribute(_RTA_VIA, struct.pack("=H", family(gateway.version)) + gateway.packed)


def _more(route: AddRoute, version: int, index_of: Callable[[str], int]) -> bytes:
    body = b""
    if route.source:
        body += attribute(_RTA_PREFSRC, ipaddress.ip_address(route.source).packed)
    if route.mtu:
        body += attribute(_RTA_METRICS | NLA_F_NESTED, u32(_RTAX_MTU, route.mtu))
    if route.nhid is not None:
        body += u32(_RTA_NH_ID, route.nhid)
    if route.hops:
        hops = (_hop(hop, version, index_of) for hop in route.hops)
        body += attribute(_RTA_MULTIPATH, b"".join(hops))
    return body


def _hop(hop: RouteHop, version: int, index_of: Callable[[str], int]) -> bytes:
    way = _way(hop.via, version)
    index = index_of(hop.interface) if hop.interface else 0
    flags = _RTNH_F_ONLINK if hop.onlink else 0
    return _NEXTHOP.pack(_NEXTHOP.size + len(way), flags, hop.weight - 1, index) + way
