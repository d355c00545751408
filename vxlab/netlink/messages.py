"""The parts of netlink messages: numbers, attributes, headers (linux/{netlink,rtnetlink}.h)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

# message types (rtnetlink.h) and flags (netlink.h)
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR, RTM_NEWROUTE = 20, 21, 22, 24
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_NEW = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL

# link attributes (if_link.h)
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER = 1, 3, 4, 10
IFLA_PROTINFO, IFLA_LINKINFO = 12, 18
IFLA_NET_NS_FD, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 28, 1, 2, 1
IFLA_VRF_TABLE = 1
NLA_F_NESTED = 0x8000
IFF_UP = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
#: struct ifinfomsg: family, type, index, flags, change
IFINFO = struct.Struct("=BxHiII")

#: Gives the interface index of (node, interface name).
IndexOf = Callable[[str, str], int]
#: Message type, flags and body.
Request = tuple[int, int, bytes]
#: Gives the file descriptor of a node's network namespace.
NamespaceOf = Callable[[str], int]


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """One netlink message."""
    return _HEADER.pack(len(body) + 16, kind, flags, sequence, 0) + body


def u32(kind: int, value: int) -> bytes:
    """An attribute that is a number of 32 bits."""
    return attribute(kind, struct.pack("=I", value))


def family(version: int) -> int:
    """The address family of an IP version, 4 or 6."""
    return socket.AF_INET if version == 4 else socket.AF_INET6
