"""The headers of a captured frame, found by fixed offsets: Ethernet, VLAN tags, IPv4, IPv6, UDP.

A frame that is cut short, or is no IP at all, gives ``None``: never an exception.

Numbers: ethertypes and protocols by IANA; IPv4 RFC 791, IPv6 RFC 8200, UDP RFC 768.
"""

from __future__ import annotations

import struct
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, IGMP, TCP, UDP, ICMPV6, PIM = 1, 2, 6, 17, 58, 103

#: Marked payloads are those of UDP datagrams that begin with :data:`MARK_PREFIX`, on any port;
#: they go to MARK_PORT unless another is given.
MARK_PORT = 40404
MARK_PREFIX = b"vxlab:"

_VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
_FRAGMENT, _AUTHENTICATION = 44, 51
_CHAINED = (0, 43, 60, 135, 139, 140)  # IPv6 extension headers whose length counts 8 bytes

#: One and two numbers of 16 bits at an offset, as tuples.
unpack_u16 = struct.Struct("!H").unpack_from
unpack_two_u16 = struct.Struct("!HH").unpack_from


class IpHeader(NamedTuple):
    """What an IP header says, and where things are in the packet, as offsets into the frame.

    ``payload`` is behind all IP headers; ``end`` is behind the packet, as its header has it
    (link padding comes later, and a frame may be cut before).  ``protocol`` is the number of what
    it carries, ``ttl`` the time to live or hop limit.  ``fragment`` is True for each piece of a
    fragmented packet, ``later`` for all of them but the first.  ``source`` and ``destination`` are
    addresses of 4 or 16 bytes.
    """

    payload: int
    end: int
    protocol: int
    ttl: int
    fragment: bool
    later: bool
    source: bytes
    destination: bytes


def address(raw: bytes) -> str:
    """4 or 16 bytes as an IPv4 or IPv6 address."""
    return inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, raw)


def with_port(host: str, port: int) -> str:
    """An address and a port as one text, ``10.0.0.1:4789`` or ``[fd00::1]:4789``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def layer3(data: bytes) -> tuple[int, int] | None:
    """The ethertype behind all VLAN tags, and the offset of what it names."""
    at = 12
    while len(data) >= at + 2:
        ethertype = unpack_u16(data, at)[0]
        if ethertype not in _VLAN_TAGS:
            return ethertype, at + 2
        at += 4
    return None


def ip_header(data: bytes) -> IpHeader | None:
    """The frame's IPv4 or IPv6 header with its extension headers."""
    found = layer3(data)
    if found is None:
        return None
    if found[0] == IPV4:
        return _ipv4(data, found[1])
    return _ipv6(data, found[1]) if found[0] == IPV6 else None


def _ipv4(data: bytes, at: int) -> IpHeader | None:
    if len(data) < at + 20 or data[at] >> 4 != 4:
        return None
    total, (fragment,) = unpack_u16(data, at + 2)[0], unpack_u16(data, at + 6)
    return IpHeader(
        payload=at + (data[at] & 15) * 4,
        end=at + total if total else len(data),  # 0: the kernel's own packets above 64 KB
        protocol=data[at + 9],
        ttl=data[at + 8],
        fragment=bool(fragment & 0x3FFF),
        later=bool(fragment & 0x1FFF),
        source=data[at + 12 : at + 16],
        destination=data[at + 16 : at + 20],
    )


def _ipv6(data: bytes, at: int) -> IpHeader | None:
    if len(data) < at + 40 or data[at] >> 4 != 6:
        return None
    chain = _extension_headers(data, data[at + 6], at + 40)
    if chain is None:
        return None
    protocol, payload, fragment, later = chain
    length = unpack_u16(data, at + 4)[0]
    return IpHeader(
        payload=payload,
        end=at + 40 + length if length else len(data),  # 0: a jumbogram
        protocol=protocol,
        ttl=data[at + 7],
        fragment=fragment,
        later=later,
        source=data[at + 8 : at + 24],
        destination=data[at + 24 : at + 40],
    )


def _extension_headers(data: bytes, protocol: int, at: int) -> tuple[int, int, bool, bool] | None:
    """What is behind the chain of IPv6 extension headers: protocol, offset, fragment, later."""
    fragment = later = False
    while protocol in _CHAINED or protocol in (_FRAGMENT, _AUTHENTICATION):
        if len(data) < at + 8:
            return None
        size = (data[at + 1] + 1) * 8
        if protocol == _FRAGMENT:
            piece, size = unpack_u16(data, at + 2)[0], 8
            fragment, later = fragment or bool(piece & 0xFFF9), later or bool(piece & 0xFFF8)
        elif protocol == _AUTHENTICATION:
            size = (data[at + 1] + 2) * 4
        protocol, at = data[at], at + size
        if later:
            break  # what follows is the middle of something
    return protocol, at, fragment, later


def udp_ports(data: bytes, ip: IpHeader) -> tuple[int, int] | None:
    """Source and destination port where ``ip`` carries a whole UDP header."""
    if ip.protocol != UDP or ip.later or len(data) < ip.payload + 8:
        return None
    source, destination = unpack_two_u16(data, ip.payload)
    return source, destination
