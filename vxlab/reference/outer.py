"""Outer packets with every field given, for what no UDP socket would send.

scapy builds them and a raw socket sends them, so the kernel still routes them and finds the next
hop's MAC, and changes nothing that was asked for (raw(7), IP_HDRINCL; for IPv6 IPPROTO_RAW does
the same).  This module loads scapy, most of a second: import it only where it is used.
"""

from __future__ import annotations

import random
import socket
from typing import Literal

from scapy.layers import inet
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet

from vxlab.describe import checks
from vxlab.errors import TopologyError, VxlabError
from vxlab.live.node import Node
from vxlab.reference.udp import aim, family_of, sockaddr

#: What stands in the UDP checksum: the right sum, none at all (0), or a number that is wrong.
Checksum = Literal["right", "zero", "wrong"]

_IPV6_WITH_FRAGMENT = 40 + 8  # bytes of the IPv6 header and the fragment header


def build(
    payload: bytes,
    *,
    source: str,
    to: str,
    source_port: int,
    port: int,
    ttl: int,
    tos: int,
    df: bool,
    checksum: Checksum,
    fragment: int | None,
) -> list[bytes]:
    """A UDP datagram as one IP packet, or as fragments.

    ``payload`` are the bytes behind the UDP header; ``source`` and ``to`` IP addresses of one
    family; ``source_port`` and ``port`` the UDP ports; ``ttl`` and ``tos`` (the whole byte) those
    of the IP header, in IPv6 hop limit and traffic class.  ``df`` sets the DF bit, of IPv4 only.
    ``checksum`` is that of UDP.  ``fragment`` is the most bytes of IP payload in one packet, a
    multiple of 8; None: not fragmented.  VxlabError for what no packet can hold.
    """
    _check(source_port, port, ttl, tos, fragment)
    number = random.randrange(1, 1 << 16)
    if family_of(to) == socket.AF_INET:
        ip: Packet = IP(src=source, dst=to, ttl=ttl, tos=tos, flags="DF" if df else 0, id=number)
    elif df:
        raise VxlabError(f"wanted DF on the way to {to}, found IPv6, which has no such bit")
    else:
        ip = IPv6(src=source, dst=to, hlim=ttl, tc=tos)
        ip = ip if fragment is None else ip / IPv6ExtHdrFragment(id=number)
    packet = ip / _udp(ip, payload, source_port, port, checksum)
    return [bytes(packet)] if fragment is None else _fragments(packet, fragment)


def _fragments(packet: Packet, size: int) -> list[bytes]:
    if isinstance(packet, IP):
        return [bytes(part) for part in inet.fragment(packet, fragsize=size)]
    return [bytes(part) for part in fragment6(packet, _IPV6_WITH_FRAGMENT + size)]


def _check(source_port: int, port: int, ttl: int, tos: int, fragment: int | None) -> None:
    for field, value, most in (
        ("source_port", source_port, 65535),
        ("port", port, 65535),
        ("ttl", ttl, 255),
        ("tos", tos, 255),
    ):
        checks.number("outer packet", field, value, 0, most)
    if fragment is not None and checks.number("outer packet", "fragment", fragment, 8, 65528) % 8:
        wanted = f"wanted a multiple of 8 bytes, found {fragment}"
        raise TopologyError("outer packet", "fragment", wanted)


def _udp(ip: Packet, payload: bytes, source_port: int, port: int, checksum: Checksum) -> Packet:
    """UDP and its payload; scapy computes the sum unless it is given."""
    if checksum not in ("right", "zero", "wrong"):
        raise VxlabError(f"wanted a checksum right, zero or wrong, found {checksum!r}")
    udp = UDP(sport=source_port, dport=port)
    if checksum == "wrong":
        whole = ip.__class__(bytes(ip / udp / payload))
        udp.chksum = whole[UDP].chksum ^ 0x5555 or 0xAAAA
    elif checksum == "zero":
        udp.chksum = 0
    return udp / payload


def send(node: Node, packets: list[bytes], to: str, index: int = 0) -> None:
    """Send whole IP ``packets`` out of ``node`` to the address ``to``.

    ``index`` is the interface index for groups and link-local addresses.  VxlabError where the
    kernel refuses one.
    """
    family = family_of(to)
    with node.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        aim(sock, index)
        for packet in packets:
            try:
                sock.sendto(packet, sockaddr(to, 0, index))
            except OSError as error:
                size = f"{len(packet)} bytes"
                raise VxlabError(
                    f"{node.name}: wanted to send an IP packet of {size} to {to}, "
                    f"found: {error.strerror}"
                ) from error
