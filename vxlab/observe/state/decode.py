"""Addresses, neighbours, forwarding entries and routes: messages become rows.

Each function takes the bytes of one message and ``name_of``, which finds the name of an interface's
index.  Numbers are those of linux/neighbour.h, linux/if_addr.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from socket import AF_INET, AF_INET6
from typing import Any

from vxlab.describe import entries
from vxlab.netlink.decoding import DecodedMessage, raw, slots
from vxlab.netlink.messages import (
    HEADER,
    NEIGHBOUR,
    NTF_EXT_LEARNED,
    NTF_EXT_LOCKED,
    NTF_MASTER,
    NTF_OFFLOADED,
    NTF_PROXY,
    NTF_ROUTER,
    NTF_SELF,
    NTF_STICKY,
    NUD_NOARP,
    NUD_PERMANENT,
    NUD_REACHABLE,
    NUD_STALE,
    attributes,
)
from vxlab.observe.state.forwarding_rows import FdbEntry
from vxlab.observe.state.rows import Address, Family, MulticastRoute, Neighbour, Route

Names = Callable[[int], str]

FAMILIES: dict[int, Family] = {AF_INET: "inet", AF_INET6: "inet6"}

#: Families of the multicast forwarding caches (RTNL_FAMILY_IPMR, RTNL_FAMILY_IP6MR), and the
#: family of the addresses in them.
MULTICAST_FAMILIES = {128: AF_INET, 129: AF_INET6}

IFA_F_PERMANENT = 0x80
NDA_MASTER, NDA_LINK_NETNSID, NDA_FLAGS_EXT = 9, 10, 15  # neighbour.h
RTNH_F_UNRESOLVED = 0x20
RTM_F_CLONED = 0x200

NEIGHBOUR_STATES = {
    0x01: "INCOMPLETE",
    NUD_REACHABLE: "REACHABLE",
    NUD_STALE: "STALE",
    0x08: "DELAY",
    0x10: "PROBE",
    0x20: "FAILED",
    NUD_NOARP: "NOARP",
    NUD_PERMANENT: "PERMANENT",
}
FDB_STATES = {
    NUD_PERMANENT: "permanent",
    NUD_NOARP: "static",
    NUD_STALE: "stale",
    NUD_REACHABLE: "reachable",
}
NEIGHBOUR_FLAGS = {NTF_ROUTER: "router", NTF_PROXY: "proxy", NTF_EXT_LEARNED: "extern_learn"}
FDB_FLAGS = {
    NTF_SELF: "self",
    NTF_ROUTER: "router",
    NTF_EXT_LEARNED: "extern_learn",
    NTF_OFFLOADED: "offload",
    NTF_MASTER: "master",
    NTF_STICKY: "sticky",
}
ADDRESS_FLAGS = {
    0x01: "secondary",  # called "temporary" where the address is an IPv6 one
    0x02: "nodad",
    0x04: "optimistic",
    0x08: "dadfailed",
    0x10: "home",
    0x20: "deprecated",
    0x40: "tentative",
    0x100: "mngtmpaddr",
    0x200: "noprefixroute",
    0x400: "autojoin",
    0x800: "stable-privacy",
}
ROUTE_FLAGS = {
    0x01: "dead",
    0x02: "pervasive",
    0x04: "onlink",
    0x08: "offload",
    0x10: "linkdown",
    0x40: "trap",
}
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}


def _names(bits: int, table: dict[int, str]) -> tuple[str, ...]:
    return tuple(name for bit, name in table.items() if bits & bit)


def _first(bits: int, table: dict[int, str]) -> str:
    return next(iter(_names(bits, table)), "")


def _number(table: dict[Any, Any], number: int) -> str:
    return str(table.get(number, number))


def address_row(data: bytes, name_of: Names) -> Address | None:
    """An RTM_NEWADDR message; None where it is of another family."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    message = DecodedMessage(ifaddrmsg, data)
    family = FAMILIES.get(message["family"])
    if family is None:
        return None
    far = message.get("IFA_ADDRESS")
    own = message.get("IFA_LOCAL") or far
    bits = message.get("IFA_FLAGS", message["flags"])
    flags = _names(bits, ADDRESS_FLAGS) + (() if bits & IFA_F_PERMANENT else ("dynamic",))
    if family == "inet6":
        flags = tuple("temporary" if flag == "secondary" else flag for flag in flags)
    return Address(
        interface=name_of(message["index"]),
        address=own,
        prefix=message["prefixlen"],
        family=family,
        scope=_number(SCOPES, message["scope"]),
        peer=far if far != own else None,
        flags=flags,
    )


def neighbour_row(data: bytes, name_of: Names) -> Neighbour | None:
    """An RTM_NEWNEIGH message of ARP or ND; None for those that ``ip neigh`` hides.

    Hidden are entries without a state, and those of state NOARP: the kernel derives the MAC of a
    multicast address, nothing was asked or learned.
    """
    from pyroute2.netlink.rtnl.ndmsg import ndmsg

    message = DecodedMessage(ndmsg, data)
    state, flags = message["state"], message["flags"]
    shown = flags & (NTF_PROXY | NTF_EXT_LEARNED) or state & ~NUD_NOARP
    if message["family"] not in FAMILIES or not shown:
        return None
    return Neighbour(
        interface=name_of(message["ifindex"]) if message["ifindex"] else "",
        address=message.get("NDA_DST", ""),
        mac=message.get("NDA_LLADDR", ""),
        state="" if flags & NTF_PROXY else _first(state, NEIGHBOUR_STATES),
        flags=_names(flags, NEIGHBOUR_FLAGS),
    )


def fdb_row(data: bytes, name_of: Names) -> FdbEntry:
    """An RTM_NEWNEIGH message of family AF_BRIDGE, read with the table it is written with.

    pyroute2 (0.8 to 0.9 at least) knows NDA_NH_ID in its newest versions only.
    """
    _, index, state, bits, _ = NEIGHBOUR.unpack_from(data, HEADER.size)
    found = dict(attributes(data[HEADER.size + NEIGHBOUR.size :]))
    master = int.from_bytes(found.get(NDA_MASTER, b""), sys.byteorder)
    extended = int.from_bytes(found.get(NDA_FLAGS_EXT, b""), sys.byteorder)
    flags = _names(bits, FDB_FLAGS)
    if master and "master" not in flags:
        flags = (*flags, "master")
    if extended & NTF_EXT_LOCKED:
        flags = (*flags, "locked")
    below = _foreign if NDA_LINK_NETNSID in found else name_of
    fields = entries.decoded(entries.FDB, found, below)
    return FdbEntry(
        **fields
        | {
            "interface": name_of(index),
            "mac": fields["mac"] or "",
            "vlan": fields["vlan"] or None,
            "flags": flags,
            "state": _first(state, FDB_STATES),
            "master": name_of(master) if master else None,
        }
    )


def _foreign(index: int) -> str:
    """The name of an interface of another namespace, which must not be looked up in this one."""
    return f"if{index}"


def route_rows(data: bytes, name_of: Names) -> list[Route]:
    """An RTM_NEWROUTE message: one row for each next hop; none for a cached route."""
    from pyroute2.netlink.rtnl import rt_proto, rt_type
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    message = DecodedMessage(rtmsg, data)
    if message["family"] not in FAMILIES or message["flags"] & RTM_F_CLONED:
        return []
    return [
        Route(
            destination=_destination(message),
            gateway=get("RTA_GATEWAY") or (get("RTA_VIA") or {}).get("addr"),
            interface=name_of(index) if index else None,
            source=message.get("RTA_PREFSRC"),
            table=message.get("RTA_TABLE", message["table"]),
            protocol=_number(rt_proto, message["proto"]),
            scope=_number(SCOPES, message["scope"]),
            metric=message.get("RTA_PRIORITY", 0),
            family=FAMILIES[message["family"]],
            type=_number(rt_type, message["type"]),
            flags=_names(flags, ROUTE_FLAGS),
            weight=weight,
        )
        for get, index, flags, weight in _next_hops(message)
    ]


def _next_hops(message: DecodedMessage) -> list[tuple[Callable[[str], Any], int, int, int]]:
    """Of each next hop of a route: attributes, interface, flags and weight."""
    several = message.get("RTA_MULTIPATH")
    if several:
        return [_next_hop(hop) for hop in several]
    return [(message.get, message.get("RTA_OIF"), message["flags"], 1)]


def _next_hop(hop: Any) -> tuple[Callable[[str], Any], int, int, int]:
    """Attributes, interface, flags and weight of one of several next hops."""
    values = {name: slot[1] for name, slot in slots(hop).items()}
    return values.get, hop["oif"], hop["flags"], hop["hops"] + 1


def _destination(message: DecodedMessage) -> str:
    length = message["dst_len"]
    if not length:
        return "default"
    full = 32 if message["family"] == AF_INET else 128
    address = str(message.get("RTA_DST"))
    return address if length == full else f"{address}/{length}"


def multicast_route_row(data: bytes, name_of: Names) -> MulticastRoute | None:
    """An RTM_NEWROUTE message of a multicast forwarding cache; None for any other family."""
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    family = MULTICAST_FAMILIES.get(data[16])
    if family is None:
        return None
    # pyroute2 decodes addresses by the family in the header, and knows the unicast ones only.
    message = DecodedMessage(rtmsg, data[:16] + bytes([family]) + data[17:])
    iif = message.get("RTA_IIF")
    # struct rta_mfc_stats; pyroute2 (0.8 to 0.9 at least) fails on it.
    counted = raw(message.slot("RTA_MFC_STATS")).ljust(24, b"\0")
    packets, _, wrong_if = struct.unpack_from("=QQQ", counted)
    hops = message.get("RTA_MULTIPATH") or []
    return MulticastRoute(
        source=message.get("RTA_SRC", ""),
        group=message.get("RTA_DST", ""),
        iif=name_of(iif) if iif else None,
        oifs=tuple(sorted(name_of(hop["oif"]) for hop in hops)),
        family=FAMILIES[family],
        unresolved=bool(message["flags"] & RTNH_F_UNRESOLVED),
        packets=packets,
        wrong_if=wrong_if,
    )
