"""What a frame says in the protocols by which two nodes find and reach each other.

ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861) resolve an address to a MAC; ICMP and ICMPv6
echo (RFC 792, RFC 4443) ask whether a node answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vxlab.observe.headers import (
    ARP,
    ICMP,
    ICMPV6,
    IpHeader,
    address,
    ip_header,
    layer3,
    unpack_u16,
)

MessageType = Literal[
    "arp-request",
    "arp-reply",
    "neighbour-solicitation",
    "neighbour-advertisement",
    "echo-request",
    "echo-reply",
]

#: The messages that ask for the MAC of an address, and those that answer.
RESOLUTION_REQUESTS: tuple[MessageType, ...] = ("arp-request", "neighbour-solicitation")
RESOLUTION_REPLIES: tuple[MessageType, ...] = ("arp-reply", "neighbour-advertisement")
#: The messages that ask whether a node answers, and its answers.
ECHO_REQUESTS: tuple[MessageType, ...] = ("echo-request",)
ECHO_REPLIES: tuple[MessageType, ...] = ("echo-reply",)

_ARP_TYPES: Mapping[int, MessageType] = {1: "arp-request", 2: "arp-reply"}
_ICMP_TYPES: Mapping[tuple[int, int], MessageType] = {
    (ICMP, 8): "echo-request",
    (ICMP, 0): "echo-reply",
    (ICMPV6, 128): "echo-request",
    (ICMPV6, 129): "echo-reply",
    (ICMPV6, 135): "neighbour-solicitation",
    (ICMPV6, 136): "neighbour-advertisement",
}
#: Options of neighbour discovery: the MAC of who solicits, and of who advertises.
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of ARP, neighbour discovery or echo; None for what is not in it, or cut off.

    ``type`` is its kind (:data:`MessageType`).  ``sender`` is the IP address of the node that asks
    or answers, ``target`` the one that is asked about or answered to: in a solicitation and an
    advertisement, the target address of RFC 4861 is the ``target`` of the one and the ``sender`` of
    the other.  ``sender_mac`` and ``target_mac`` are the hardware addresses in the message itself:
    of ARP both, of neighbour discovery the sender's where it is given as an option, of echo none.
    """

    type: MessageType
    sender: str | None = None
    target: str | None = None
    sender_mac: str | None = None
    target_mac: str | None = None


class ArpPacket(NamedTuple):
    """An ARP packet for IPv4 over Ethernet; None for what is cut off.

    ``operation`` is 1 for a request, 2 for a reply, others by IANA; ``sender_mac`` and ``sender``
    are the MAC and IP address of the node that sends it, ``target_mac`` and ``target`` those of
    the one that it is about.
    """

    operation: int
    sender_mac: str | None
    sender: str | None
    target_mac: str | None
    target: str | None


def read_message(data: bytes) -> Message | None:
    """The message in an Ethernet frame; None where it is something else, or later fragments."""
    arp = read_arp(data)
    if arp is not None:
        return _arp_message(arp)
    ip = ip_header(data)
    if ip is None or ip.later:
        return None
    body = data[ip.payload : ip.end]
    found = _ICMP_TYPES.get((ip.protocol, body[0])) if body else None
    if found is None:
        return None
    if found == "neighbour-solicitation":
        return _solicitation(ip, body)
    if found == "neighbour-advertisement":
        return _advertisement(ip, body)
    return Message(type=found, sender=address(ip.source), target=address(ip.destination))


def read_arp(data: bytes) -> ArpPacket | None:
    """The ARP packet in an Ethernet frame; None where that has none, or no operation."""
    ethertype, at = layer3(data) or (0, 0)
    body = data[at : at + 28]
    if ethertype != ARP or len(body) < 8:
        return None
    whole = len(body) == 28
    return ArpPacket(
        operation=unpack_u16(body, 6)[0],
        sender_mac=body[8:14].hex(":") if whole else None,
        sender=address(body[14:18]) if whole else None,
        target_mac=body[18:24].hex(":") if whole else None,
        target=address(body[24:28]) if whole else None,
    )


def _arp_message(arp: ArpPacket) -> Message | None:
    found = _ARP_TYPES.get(arp.operation)
    if found is None:
        return None
    return Message(
        type=found,
        sender=arp.sender,
        target=arp.target,
        sender_mac=arp.sender_mac,
        target_mac=arp.target_mac,
    )


def _solicitation(ip: IpHeader, body: bytes) -> Message:
    return Message(
        type="neighbour-solicitation",
        sender=address(ip.source),
        target=_target_address(body),
        sender_mac=_link_layer_option(body, _SOURCE_LINK_LAYER),
    )


def _advertisement(ip: IpHeader, body: bytes) -> Message:
    return Message(
        type="neighbour-advertisement",
        sender=_target_address(body),
        target=address(ip.destination),
        sender_mac=_link_layer_option(body, _TARGET_LINK_LAYER),
    )


def _target_address(body: bytes) -> str | None:
    return address(body[8:24]) if len(body) >= 24 else None


def _link_layer_option(body: bytes, wanted: int) -> str | None:
    """The MAC in an option of neighbour discovery (RFC 4861 section 4.6.1)."""
    at = 24
    while len(body) >= at + 8 and body[at + 1]:  # a length of 0 is invalid
        if body[at] == wanted:
            return body[at + 2 : at + 8].hex(":")
        at += body[at + 1] * 8
    return None
