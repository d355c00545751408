"""The parts of netlink messages: numbers, headers, attributes (linux/{netlink,rtnetlink}.h)."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from vxlab.errors import VxlabError

# protocols and socket options (netlink.h)
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12

# message types (rtnetlink.h)
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWMDB, RTM_DELMDB, RTM_GETMDB = 84, 85, 86
RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP = 104, 105, 106
RTM_NEWTUNNEL, RTM_DELTUNNEL, RTM_GETTUNNEL = 120, 121, 122
NLMSG_ERROR, NLMSG_DONE = 2, 3

# flags of messages (netlink.h); some bits mean another thing in another kind of message
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_NEW = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
NLM_F_BULK = 0x200  # of a RTM_DEL*: all that match
NLM_F_ACK_TLVS = 0x200  # of an acknowledgement

# attributes of links (if_link.h), and flags and states of links (if.h)
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_PROTINFO, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_NET_NS_FD = 12, 16, 18, 26, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA, VETH_INFO_PEER = 1, 2, 5, 1
IFLA_VRF_TABLE = 1
IFF_UP, IFF_RUNNING, IFF_LOWER_UP = 0x1, 0x40, 0x10000
IF_OPER_UP = 6

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

# states and flags of neighbour and forwarding entries (neighbour.h)
NUD_REACHABLE, NUD_STALE, NUD_NOARP, NUD_PERMANENT = 0x02, 0x04, 0x40, 0x80
NTF_USE, NTF_SELF, NTF_MASTER, NTF_PROXY = 0x01, 0x02, 0x04, 0x08
NTF_EXT_LEARNED, NTF_OFFLOADED, NTF_STICKY, NTF_ROUTER = 0x10, 0x20, 0x40, 0x80
NTF_EXT_MANAGED, NTF_EXT_LOCKED = 0x1, 0x2  # of NDA_FLAGS_EXT

#: struct nlmsghdr: length, type, flags, sequence number, port
HEADER = struct.Struct("=IHHII")
#: struct nlattr: length, type
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=HHI")  # one with a number of 32 bits behind it
_PADDING = (b"", bytes(3), bytes(2), bytes(1))  # by the lowest two bits of the length
#: struct ifinfomsg: family, type, index, flags, change
IFINFO = struct.Struct("=BxHiII")
#: struct ifaddrmsg: family, prefix length, flags, scope, index
IFADDR = struct.Struct("=BBBBI")
#: struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags
ROUTE = struct.Struct("=BBBBBBBBI")
#: struct ndmsg: family, index, state, flags, type
NEIGHBOUR = struct.Struct("=BxxxiHBB")
#: struct tunnel_msg (if_link.h): family, flags, reserved, index
TUNNEL = struct.Struct("=BBHI")
#: struct br_port_msg (if_bridge.h): family, index
BRIDGE_PORT = struct.Struct("=BxxxI")
#: struct nhmsg (nexthop.h): family, scope, protocol, flags
NEXTHOP = struct.Struct("=BBBxI")
#: struct nexthop_grp: id, weight - 1
NEXTHOP_MEMBER = struct.Struct("=IBxxx")
#: struct br_mdb_entry: index, state, flags, VLAN id, address, ethertype
MDB_ENTRY = struct.Struct("=IBBH16s2sxx")

#: Longer than any part of a dump: the kernel makes parts of at most 32 KiB, unless one device
#: alone needs more (rtnetlink.c, rtnl_calcit).
BUFFER = 256 * 1024

#: Gives the interface index of (node, interface name).
IndexOf = Callable[[str, str], int]
#: Gives the file descriptor of a node's network namespace.
NamespaceOf = Callable[[str], int]


class Request(NamedTuple):
    """What is asked of the kernel: message type (RTM_*), flags (NLM_F_*), and all behind them."""

    type: int
    flags: int
    body: bytes


class NetlinkMessage(NamedTuple):
    """One message of the kernel; ``data`` are all its bytes, its header among them."""

    type: int
    flags: int
    sequence: int
    data: bytes

    @property
    def body(self) -> bytes:
        """What follows the header."""
        return self.data[HEADER.size :]

    @property
    def error(self) -> int:
        """The error number that NLMSG_ERROR, or a dump's NLMSG_DONE, carries; 0 for success."""
        (code,) = struct.unpack_from("=i", self.data.ljust(HEADER.size + 4, b"\0"), HEADER.size)
        return -int(code) if code < 0 else 0


def attribute(number: int, payload: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    size = len(payload)
    return _ATTRIBUTE.pack(size + 4, number) + payload + _PADDING[size & 3]


def u32(number: int, value: int) -> bytes:
    """An attribute that is a number of 32 bits."""
    return _U32.pack(8, number, value)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in ``data``, each as its number, without flags, and its payload."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, number = _ATTRIBUTE.unpack_from(data, at)
        yield number & _NLA_TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3 or 4


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """The bytes of one netlink message: its header, then ``body``.

    ``kind`` is the message type (RTM_*), ``flags`` are NLM_F_*; ``sequence`` is repeated by the
    kernel in its answers.
    """
    return HEADER.pack(len(body) + HEADER.size, kind, flags, sequence, 0) + body


class _ReceiveBuffer(threading.local):
    """Where datagrams are received, one for each thread.

    A new one would cost more than what is received: the kernel clears its pages, one by one.
    """

    def __init__(self) -> None:
        self.buffer = bytearray(BUFFER)


_receive_buffer = _ReceiveBuffer()


def receive(sock: socket.socket) -> list[NetlinkMessage]:
    """The messages of the next datagram, waiting for it.

    VxlabError where it is longer than :data:`BUFFER`, or no sequence of netlink messages.
    """
    buffer = _receive_buffer.buffer
    size, _, how, _ = sock.recvmsg_into([buffer])
    if how & socket.MSG_TRUNC:
        raise VxlabError(f"wanted a netlink message, found one longer than {len(buffer)} bytes")
    return list(_split(bytes(memoryview(buffer)[:size])))


def _split(data: bytes) -> Iterator[NetlinkMessage]:
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size:
            raise VxlabError(f"wanted a netlink message, found one of {length} bytes")
        whole = data[at : at + length]
        yield NetlinkMessage(type=kind, flags=flags, sequence=sequence, data=whole)
        at += (length + 3) & ~3


def refusal(code: int) -> OSError:
    """An error number of the kernel as an exception."""
    return OSError(code, os.strerror(code))


def family(version: int) -> int:
    """The address family of an IP version, 4 or 6."""
    return socket.AF_INET if version == 4 else socket.AF_INET6
