"""The UDP sockets of a reference VTEP: opened, joined to groups, and read with TTL and TOS.

Numbers: linux/in.h, in6.h, udp.h, sock_diag.h; ip(7), ipv6(7), udp(7).
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from ipaddress import ip_address
from typing import Any, NamedTuple

from vxlab.errors import VxlabError
from vxlab.live.node import Node
from vxlab.observe import packetsocket

_IP, _IPV6, _UDP = socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_UDP
_IP_TOS, _IP_TTL, _IP_MTU_DISCOVER, _IP_RECVTTL, _IP_RECVTOS = 1, 2, 10, 12, 13
_IP_MULTICAST_IF, _IP_MULTICAST_TTL, _IP_MULTICAST_LOOP, _IP_MULTICAST_ALL = 32, 33, 34, 49
_IPV6_MTU_DISCOVER, _IPV6_MULTICAST_ALL = 23, 29
_UDP_NO_CHECK6_RX = 102
_TTL_AND_TOS = {
    socket.AF_INET: (_IP_TTL, _IP_TOS),
    socket.AF_INET6: (socket.IPV6_HOPLIMIT, socket.IPV6_TCLASS),
}
_SO_MEMINFO, _DROPS = 55, 8  # the ninth number is SK_MEMINFO_DROPS
_QUEUE = 4 << 20


class Datagram(NamedTuple):
    """A datagram, with what its IP header said.

    ``source`` is the IP address and ``source_port`` the UDP port that it came from; ``ttl`` is the
    TTL or hop limit; ``tos`` the whole byte, DSCP and ECN; ``payload`` what follows the UDP header.
    """

    source: str
    source_port: int
    ttl: int
    tos: int
    payload: bytes


def family_of(address: str) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def sockaddr(address: str, port: int, index: int = 0) -> tuple[Any, ...]:
    """What Python's socket calls take for an IP ``address`` and UDP ``port``.

    ``index`` is the interface index of the link that a link-local address or group is on.
    """
    parsed = ip_address(address)
    if parsed.version == 4:
        return address, port
    return address, port, 0, index if parsed.is_link_local or parsed.is_multicast else 0


def open_udp(node: Node, address: str, port: int, index: int = 0) -> socket.socket:
    """A socket of ``node`` bound to ``address`` and ``port``, which reports TTL and TOS.

    ``index`` is as for :func:`sockaddr`.  VxlabError where the port is in use, or the node does not
    have that address.
    What it sends may be fragmented (DF clear), as the kernel's VXLAN is by default; and it takes
    IPv6 datagrams without a checksum (RFC 7348 section 4.1, RFC 6935).
    """
    family = family_of(address)
    sock = node.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
        if family == socket.AF_INET:
            options = [(_IP, _IP_RECVTTL, 1), (_IP, _IP_RECVTOS, 1)]
            options += [(_IP, _IP_MTU_DISCOVER, 0), (_IP, _IP_MULTICAST_ALL, 0)]
        else:
            options = [(_IPV6, socket.IPV6_RECVHOPLIMIT, 1), (_IPV6, socket.IPV6_RECVTCLASS, 1)]
            options += [(_IPV6, _IPV6_MTU_DISCOVER, 0), (_IPV6, _IPV6_MULTICAST_ALL, 0)]
            options += [(_IPV6, socket.IPV6_V6ONLY, 1), (_UDP, _UDP_NO_CHECK6_RX, 1)]
        for option in options:
            sock.setsockopt(*option)
        sock.bind(sockaddr(address, port, index))
    except OSError as error:
        sock.close()
        hints = {
            errno.EADDRINUSE: "the port is in use: has the node a vxlan device on it?",
            errno.EADDRNOTAVAIL: "no interface of the node has that address",
        }
        found = hints.get(error.errno or 0, error.strerror)
        wanted = f"wanted the UDP port {port} of {address}"
        raise VxlabError(f"{node.name}: {wanted}, found: {found}") from error
    return sock


def index_of(node: Node, interface: str) -> int:
    """The number of an interface; VxlabError where the node has none of that name."""
    with node.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        found = packetsocket.find_interface(sock, interface)
    if found is None:
        names = ", ".join(packetsocket.packet_counters(node.namespaces))
        raise VxlabError(f"{node.name}: wanted the interface {interface!r}, found only {names}")
    return found.number


def join(sock: socket.socket, group: str, index: int) -> None:
    """Become a member of a group on an interface, until ``sock`` is closed (IGMP, MLD).

    ``group`` is a multicast address of the socket's family, ``index`` the interface index.
    VxlabError where the kernel refuses.
    """
    packed, link = ip_address(group).packed, struct.pack("i", index)
    try:
        if sock.family == socket.AF_INET:
            sock.setsockopt(_IP, socket.IP_ADD_MEMBERSHIP, packed + bytes(4) + link)
        else:
            sock.setsockopt(_IPV6, socket.IPV6_JOIN_GROUP, packed + link)
    except OSError as error:
        raise VxlabError(f"wanted to join {group}, found: {error.strerror}") from error


def aim(sock: socket.socket, index: int, ttl: int | None = None) -> None:
    """Set where ``sock`` sends multicast, and the TTL of all that it sends.

    ``index`` is the interface index for multicast, 0 for the kernel's choice; it never loops back
    to the node itself.  Without a ``ttl`` it is the kernel's: 64, to groups 1.
    """
    if sock.family == socket.AF_INET:
        level, loop, link = _IP, _IP_MULTICAST_LOOP, _IP_MULTICAST_IF
        lives = (_IP_TTL, _IP_MULTICAST_TTL)
        where = bytes(8) + struct.pack("i", index)
    else:
        level, loop, link = _IPV6, socket.IPV6_MULTICAST_LOOP, socket.IPV6_MULTICAST_IF
        lives = (socket.IPV6_UNICAST_HOPS, socket.IPV6_MULTICAST_HOPS)
        where = struct.pack("i", index)
    sock.setsockopt(level, loop, 0)
    if index:
        sock.setsockopt(level, link, where)
    if ttl is not None:
        for option in lives:
            sock.setsockopt(level, option, ttl)


def receive(sock: socket.socket) -> Datagram | None:
    """The next datagram, or None where there is none yet."""
    try:
        payload, notes, _, sender = sock.recvmsg(1 << 16, 256, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    noted = {kind: int.from_bytes(value, sys.byteorder) for _, kind, value in notes}
    ttl, tos = _TTL_AND_TOS[sock.family]
    source = sender[0].partition("%")[0]  # of a link-local address, which link it is on
    return Datagram(
        source=source, source_port=sender[1], ttl=noted[ttl], tos=noted[tos], payload=payload
    )


def dropped(sock: socket.socket) -> int:
    """How many datagrams the kernel had no room for; see ``ReferenceVtep.dropped``."""
    numbers = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
    return int(struct.unpack("9I", numbers)[_DROPS])
