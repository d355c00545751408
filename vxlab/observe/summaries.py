"""A frame's contents in one readable line: ``ARP who-has 1.1.1.2 tell 1.1.1.1``.

What is cut short is said to be, what is unknown goes by its number.  ICMP RFC 792, ICMPv6
RFC 4443, IGMP RFC 3376, MLD RFC 3810, TCP RFC 9293.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from vxlab.observe.headers import (
    ICMP,
    ICMPV6,
    IGMP,
    MARK_PREFIX,
    PIM,
    TCP,
    UDP,
    IpHeader,
    address,
    unpack_two_u16,
    unpack_u16,
    with_port,
)
from vxlab.observe.protocols import Message, read_arp, read_message

_CUT_SHORT = "cut short"


def arp_summary(data: bytes) -> str | None:
    """The ARP packet in a frame in one line; None where it has none, or not all of one."""
    arp = read_arp(data)
    if arp is None or arp.target is None:
        return None
    if arp.operation == 1:
        return f"ARP who-has {arp.target} tell {arp.sender}"
    if arp.operation == 2:
        return f"ARP reply {arp.sender} is-at {arp.sender_mac}"
    return f"ARP operation {arp.operation} {arp.sender} > {arp.target}"


def ip_summary(data: bytes, ip: IpHeader) -> str:
    """The IP packet in a frame in one line: ``ICMP echo request 1.1.1.1 > 1.1.1.2``."""
    source, destination = address(ip.source), address(ip.destination)
    name = _NAMES.get(ip.protocol, f"IP protocol {ip.protocol}")
    if ip.later:
        return f"{name} later fragment {source} > {destination}"
    body, tail = data[ip.payload : ip.end], ""
    if ip.protocol in (TCP, UDP) and len(body) >= 4:
        ports = unpack_two_u16(body)
        source, destination = with_port(source, ports[0]), with_port(destination, ports[1])
        tail = f" {_datagram(body)}" if ip.protocol == UDP else ""
    payload = _payload(ip.protocol, body, read_message(data))
    return f"{name}{payload and ' '}{payload} {source} > {destination}{tail}"


def _payload(protocol: int, body: bytes, message: Message | None) -> str:
    """What an IP packet says, '' for protocols that are not read here."""
    if message is not None:
        return _message(message)
    summary = _SUMMARIES.get(protocol)
    try:
        return summary(body) if summary else ""
    except (IndexError, struct.error, ValueError):
        return _CUT_SHORT


def _message(message: Message) -> str:
    if message.type == "neighbour-solicitation":
        return f"ND who-has {message.target}" if message.target else _CUT_SHORT
    if message.type == "neighbour-advertisement":
        return f"ND {message.sender} is here" if message.sender else _CUT_SHORT
    return message.type.replace("-", " ")


def _datagram(body: bytes) -> str:
    """A UDP datagram's length in bytes, or what it carries where that is marked."""
    if body[8:].startswith(MARK_PREFIX):
        return f"marked {body[8 + len(MARK_PREFIX) :]!r}"
    return f"length {max(len(body) - 8, 0)}"


def _icmp(body: bytes) -> str:
    if body[0] == 3:
        return f"unreachable ({_UNREACHABLE.get(body[1], f'code {body[1]}')})"
    return _ICMP_TYPES.get(body[0], f"type {body[0]}")


def _icmpv6(body: bytes) -> str:
    if body[0] in _MLD_TYPES:
        return f"MLD {_MLD_TYPES[body[0]]} {address(body[8:24])}"
    if body[0] == 143:
        return "MLD " + _group_records(body, 16)
    return _ICMPV6_TYPES.get(body[0], f"type {body[0]}")


def _igmp(body: bytes) -> str:
    if body[0] == 0x22:
        return _group_records(body, 4)
    return f"{_IGMP_TYPES.get(body[0], f'type {body[0]}')} {address(body[4:8])}"


def _group_records(body: bytes, size: int) -> str:
    """The group records of an IGMPv3 or MLDv2 report (RFC 3376, 3810); ``size`` of an address."""
    records, at = [], 8
    for _ in range(unpack_u16(body, 6)[0]):
        record_type, more, sources = struct.unpack_from("!BBH", body, at)
        is_leave = record_type in (1, 3)
        verb = f"{sources} sources of" if sources else "leave" if is_leave else "join"
        records.append(f"{verb} {address(body[at + 4 : at + 4 + size])}")
        at += 4 + size * (1 + sources) + more * 4
    return ", ".join(records) or "report of nothing"


def _tcp(body: bytes) -> str:
    return "[" + "".join(flag for bit, flag in enumerate("FSRPAUEC") if body[13] >> bit & 1) + "]"


_NAMES = {ICMP: "ICMP", IGMP: "IGMP", TCP: "TCP", UDP: "UDP", ICMPV6: "ICMPv6", PIM: "PIM"}
_SUMMARIES: Mapping[int, Callable[[bytes], str]] = {
    ICMP: _icmp,
    ICMPV6: _icmpv6,
    IGMP: _igmp,
    TCP: _tcp,
}
_ICMP_TYPES = {5: "redirect", 11: "time exceeded"}
_UNREACHABLE = {0: "network", 1: "host", 3: "port", 4: "needs fragmenting", 13: "prohibited"}
_ICMPV6_TYPES = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    133: "ND find routers",
    134: "ND router here",
}
_MLD_TYPES = {130: "query", 131: "join", 132: "leave"}
_IGMP_TYPES = {0x11: "query", 0x12: "join", 0x16: "join", 0x17: "leave"}
