"""One captured Ethernet frame, decoded only as far as is asked for, and what VXLAN carries in it.

Decoding here costs about a microsecond a property, so thousands of frames can be searched in a
test; scapy is loaded only by :meth:`Frame.packet`.  A frame that is cut short, or is no IP at
all, gives ``None`` where the missing part would be: never an exception.

VXLAN RFC 7348, VXLAN-GPE draft-ietf-nvo3-vxlan-gpe; other headers and numbers are those of
:mod:`vxlab.observe.headers`.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vxlab.observe.headers import (
    ARP,
    ICMP,
    ICMPV6,
    IGMP,
    IPV4,
    IPV6,
    MARK_PORT,
    MARK_PREFIX,
    PIM,
    TCP,
    UDP,
    IpHeader,
    address,
    ip_header,
    layer3,
    udp_ports,
    unpack_u16,
    with_port,
)
from vxlab.observe.summaries import arp_summary, ip_summary

if TYPE_CHECKING:
    from scapy.packet import Packet

__all__ = [
    "ARP",
    "ICMP",
    "ICMPV6",
    "IGMP",
    "IPV4",
    "IPV6",
    "MARK_PORT",
    "MARK_PREFIX",
    "PIM",
    "TCP",
    "UDP",
    "VXLAN_PORTS",
    "Encapsulated",
    "Frame",
    "IpHeader",
    "address",
    "decapsulate",
    "ip_header",
    "layer3",
    "udp_ports",
]

#: Where VXLAN is looked for unless told otherwise: the kernel's default port, then IANA's.
VXLAN_PORTS = (8472, 4789)

_GPE_INNER = {1: IPV4, 2: IPV6}  # GPE's "next protocol"; 3 is Ethernet


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An Ethernet frame as one capture saw it.

    ``time_ns`` is the kernel's time stamp in nanoseconds since 1970; ``data`` the bytes that were
    kept, from the destination MAC on; ``length`` how many there were; ``outgoing`` is True for
    what the node sent out of ``interface``; ``node`` and ``interface`` say where it was seen.
    """

    time_ns: int
    data: bytes
    length: int
    outgoing: bool
    node: str
    interface: str

    @property
    def dst(self) -> str | None:
        """The destination MAC, ``02:00:00:00:00:01``."""
        return self.data[:6].hex(":") if len(self.data) >= 6 else None

    @property
    def src(self) -> str | None:
        """The source MAC."""
        return self.data[6:12].hex(":") if len(self.data) >= 12 else None

    @property
    def ethertype(self) -> int | None:
        """The ethertype behind all VLAN tags."""
        found = layer3(self.data)
        return found[0] if found else None

    @property
    def vlans(self) -> tuple[int, ...]:
        """The VLAN ids of the frame's 802.1Q and 802.1ad tags, the outermost first."""
        _, end = layer3(self.data) or (0, 0)
        return tuple(unpack_u16(self.data, at)[0] & 0xFFF for at in range(14, end - 2, 4))

    @property
    def outer_src(self) -> str | None:
        """The source address of the frame's own (not an encapsulated) IPv4 or IPv6 header."""
        ip = ip_header(self.data)
        return address(ip.source) if ip else None

    @property
    def outer_dst(self) -> str | None:
        """The destination address of the frame's own IPv4 or IPv6 header."""
        ip = ip_header(self.data)
        return address(ip.destination) if ip else None

    @property
    def ttl(self) -> int | None:
        """IPv4 time to live, or IPv6 hop limit."""
        ip = ip_header(self.data)
        return ip.ttl if ip else None

    @property
    def udp_ports(self) -> tuple[int, int] | None:
        """UDP source and destination port; None for later fragments, which hold none."""
        ip = ip_header(self.data)
        return udp_ports(self.data, ip) if ip else None

    @property
    def is_arp(self) -> bool:
        """True for ARP."""
        return self.ethertype == ARP

    @property
    def is_broadcast(self) -> bool:
        """True where the destination MAC is ff:ff:ff:ff:ff:ff."""
        return self.data[:6] == b"\xff" * 6

    @property
    def mark(self) -> bytes | None:
        """What a marked UDP datagram carries, whatever its port; None for all other frames.

        Fragments have none, nor have tunnels: the frame inside has it.
        """
        ip = ip_header(self.data)
        if ip is None or udp_ports(self.data, ip) is None or ip.fragment:
            return None
        end = ip.payload + unpack_u16(self.data, ip.payload + 4)[0]
        payload = self.data[ip.payload + 8 : end]
        if end > len(self.data) or not payload.startswith(MARK_PREFIX):
            return None
        return payload[len(MARK_PREFIX) :]

    def packet(self, ports: Collection[int] = VXLAN_PORTS) -> Packet:
        """The frame as a scapy packet, with VXLAN taken apart on all UDP ``ports``.

        scapy's own table of ports is global and stays as it is: only the payload of this packet
        becomes VXLAN.  The first call in a process loads scapy, most of a second.
        """
        import scapy.layers.inet6  # noqa: F401 - so that IPv6 is taken apart
        from scapy.layers import inet, l2, vxlan
        from scapy.utils import EDecimal

        packet: Any = l2.Ether(self.data)
        layer = packet
        while found := layer.getlayer(inet.UDP):
            layer = found.payload
            if found.dport in ports and not isinstance(layer, vxlan.VXLAN) and len(layer) >= 8:
                layer = vxlan.VXLAN(bytes(layer))
                found.remove_payload()
                found.add_payload(layer)
        packet.time = EDecimal(self.time_ns) / 10**9
        packet.sniffed_on = self.interface
        packet.wirelen = self.length
        return packet

    def summary(self, ports: Collection[int] = VXLAN_PORTS) -> str:
        """The frame in one readable line, as ``ARP who-has 1.1.1.2 tell 1.1.1.1``."""
        tags = "".join(f"vlan {tag} " for tag in self.vlans)
        if (tunnel := decapsulate(self, ports)) is not None:
            to = with_port(tunnel.outer_dst, tunnel.port)
            odd = "" if tunnel.flags == 0x08 else f" flags 0x{tunnel.flags:02x}"
            return (
                f"{tags}VXLAN vni {tunnel.vni}{odd} {tunnel.outer_src} > {to} ttl {tunnel.ttl}"
                f" | {tunnel.inner.summary(ports)}"
            )
        if (ip := ip_header(self.data)) is not None:
            return tags + ip_summary(self.data, ip)
        if (arp := arp_summary(self.data)) is not None:
            return tags + arp
        ethertype = self.ethertype
        name = f"ethertype 0x{ethertype:04x}" if ethertype is not None else "cut short,"
        return f"{tags}{name} {self.src} > {self.dst} length {self.length}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encapsulated:
    """What one VXLAN packet says, outside and inside.

    ``flags`` is the first byte of the VXLAN header (0x08: the VNI is valid, RFC 7348; 0x80: GBP),
    ``vni`` its 24 bits whatever the flags are; ``outer_src`` and ``outer_dst`` are the outer IP
    addresses, ``source_port`` and ``port`` the UDP source and destination port, ``ttl`` is the
    outer one.  ``inner`` is the frame that was carried, at the time and place of the outer one.
    """

    vni: int
    flags: int
    outer_src: str
    outer_dst: str
    source_port: int
    port: int
    ttl: int
    inner: Frame


def decapsulate(frame: Frame, ports: Collection[int] = VXLAN_PORTS) -> Encapsulated | None:
    """The VXLAN packet in a frame: UDP to one of ``ports`` with a whole VXLAN header.

    None for everything else.  The inner frame may be cut short, even empty: the first piece of a
    fragmented packet holds only the start of it.  An inner IP packet of VXLAN-GPE, which has no
    Ethernet header, is given one with MACs of zeros.
    """
    data = frame.data
    ip = ip_header(data)
    udp = udp_ports(data, ip) if ip else None
    if ip is None or udp is None or udp[1] not in ports or len(data) < ip.payload + 16:
        return None
    header = data[ip.payload + 8 : ip.payload + 16]
    inner, length = _inner_frame(data, ip, header)
    return Encapsulated(
        vni=int.from_bytes(header[4:7], "big"),
        flags=header[0],
        outer_src=address(ip.source),
        outer_dst=address(ip.destination),
        source_port=udp[0],
        port=udp[1],
        ttl=ip.ttl,
        inner=replace(frame, data=inner, length=max(length, len(inner))),
    )


def _inner_frame(data: bytes, ip: IpHeader, vxlan_header: bytes) -> tuple[bytes, int]:
    """The bytes of the inner frame that are there, and how many there were."""
    at = ip.payload + 16
    inner = data[at : ip.end]
    length = (unpack_u16(data, ip.payload + 4)[0] - 16) if ip.fragment else ip.end - at
    if vxlan_header[0] & 0x04 and vxlan_header[3] in _GPE_INNER:
        ethertype = struct.pack("!H", _GPE_INNER[vxlan_header[3]])
        return bytes(12) + ethertype + inner, length + 14
    return inner, length
