"""Frames made of bytes or by scapy."""

from __future__ import annotations

from typing import Any

from vxlab.observe.frames import Frame

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
ETHERNET = bytes.fromhex("02000000000b02000000000a")
ARP = bytes.fromhex("ffffffffffff02000000000a0806000108000604000102000000000a01010101")
ARP += bytes.fromhex("00000000000001010102")
#: Three group records: change to exclude nothing, to include nothing, and include 9.9.9.9.
IGMPV3_REPORT = "220000000000000304000000ef01010103000000ef01010201000001ef01010309090909"


def frame(data: bytes, length: int | None = None) -> Frame:
    """A received frame of these bytes, which had ``length`` bytes before it was cut."""
    return Frame(
        time_ns=1_700_000_000_123_456_789,
        data=data,
        length=length or len(data),
        outgoing=False,
        node="a",
        interface="eth0",
    )


def made(*parts: Any) -> Frame:
    """A frame from scapy's layers, the outermost first."""
    packet = parts[0]
    for layer in parts[1:]:
        packet = packet / layer
    return frame(bytes(packet))


def ethernet(layers: Any) -> Any:
    """scapy's Ethernet header from A to B."""
    return layers.Ether(src=A, dst=B)


def vxlan_frame(layers: Any, port: int = 8472, flags: int = 8, inner: bytes = ARP) -> Frame:
    """``inner`` in a tunnel, from 10.0.0.1 to 10.0.0.2."""
    udp = layers.UDP(sport=50000, dport=port)
    return made(
        ethernet(layers),
        layers.IP(src="10.0.0.1", dst="10.0.0.2", ttl=7),
        udp,
        layers.VXLAN(flags=flags, vni=0xABCDEF),
        layers.Raw(inner),
    )
