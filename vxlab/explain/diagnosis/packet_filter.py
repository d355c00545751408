"""Could a packet filter rule have dropped a packet?  What iptables-save(8) prints says so."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from vxlab.observe.frames import ICMP, ICMPV6, UDP, Frame, address, ip_header, udp_ports

#: The chains that a packet passes in a node which it is sent to, sent by, routed by (iptables(8)).
INPUT_CHAINS = ("PREROUTING", "INPUT")
OUTPUT_CHAINS = ("OUTPUT", "POSTROUTING")
FORWARD_CHAINS = ("PREROUTING", "FORWARD", "POSTROUTING")

_BUILT_IN = {*INPUT_CHAINS, *OUTPUT_CHAINS, *FORWARD_CHAINS}
_PROTOCOLS = {"udp": UDP, "icmp": ICMP, "ipv6-icmp": ICMPV6, "icmpv6": ICMPV6}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredPacket:
    """What a packet filter sees of an IP packet; None for what is not known.

    ``version`` is 4 or 6, ``protocol`` IANA's number, ``port`` the UDP destination port,
    ``in_interface`` the interface that it comes in by.
    """

    version: int
    protocol: int
    source: str | None = None
    destination: str | None = None
    port: int | None = None
    in_interface: str | None = None


def filtered_packet(frame: Frame) -> FilteredPacket | None:
    """The IP packet in a frame, the outer one of a tunnel; None for ARP."""
    ip = ip_header(frame.data)
    if ip is None:
        return None
    ports = udp_ports(frame.data, ip)
    return FilteredPacket(
        version=4 if len(ip.source) == 4 else 6,
        protocol=ip.protocol,
        source=address(ip.source),
        destination=address(ip.destination),
        port=ports[1] if ports else None,
        in_interface=None if frame.outgoing else frame.interface,
    )


def could_drop(rule: str, packet: FilteredPacket, chains: Collection[str]) -> bool:
    """False where a rule cannot have dropped a packet in one of the ``chains``.

    ``rule`` is a command, ``iptables -A INPUT -p udp -j DROP``.  Chains of a person's own may be
    called from anywhere; what a rule says in other words than addresses, interface, protocol and
    port is left to its counter.
    """
    words = shlex.split(rule)
    at = words.index("-A") if "-A" in words else words.index("-P")
    chain = words[at + 1]
    if (words[0] == "iptables") != (packet.version == 4):
        return False
    if chain in _BUILT_IN and chain not in chains:
        return False
    matches = _matches(packet)
    for before, option, value in zip(words[at:], words[at + 1 :], words[at + 2 :], strict=False):
        if option in matches and matches[option](value) == (before == "!"):
            return False
    return True


def _matches(packet: FilteredPacket) -> Mapping[str, Callable[[str], bool]]:
    """Whether the packet matches the value of each option of a rule."""
    protocol, interface = packet.protocol, packet.in_interface
    return {
        "-p": lambda value: _PROTOCOLS.get(value, value) in (protocol, str(protocol)),
        "-s": lambda value: _is_within(packet.source, value),
        "-d": lambda value: _is_within(packet.destination, value),
        "-i": lambda value: not interface or fnmatch(interface, value.replace("+", "*")),
        "--dport": lambda value: _is_in_range(packet.port, value),
    }


def _is_within(one: str | None, network: str) -> bool:
    return one is None or ipaddress.ip_address(one) in ipaddress.ip_network(network, strict=False)


def _is_in_range(port: int | None, value: str) -> bool:
    low, _, high = value.partition(":")
    return port is None or int(low) <= port <= int(high or low)
