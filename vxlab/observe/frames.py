"""One captured Ethernet frame, read by fixed offsets and only as far as somebody asks.

Decoding here costs about a microsecond a property, so thousands of frames can be searched in a
test; scapy is loaded only by :meth:`Frame.packet`.  A frame that is cut short, or is no IP at
all, gives ``None`` where the missing part would be: never an exception.

Numbers: ethertypes and protocols by IANA; IPv4 RFC 791, IPv6 RFC 8200, UDP RFC 768, ARP RFC 826,
IGMP RFC 3376, MLD RFC 3810, VXLAN RFC 7348, VXLAN-GPE draft-ietf-nvo3-vxlan-gpe.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from socket import AF_INET, AF_INET6, inet_ntop
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from scapy.packet import Packet

#: Where VXLAN is looked for unless told otherwise: the kernel's default port, then IANA's.
VXLAN_PORTS = (8472, 4789)
#: Marked payloads are UDP datagrams to this port which begin with :data:`MARK_PREFIX`.
MARK_PORT = 40404
MARK_PREFIX = b"vxlab:"

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, IGMP, TCP, UDP, ICMPV6, PIM = 1, 2, 6, 17, 58, 103

_VLAN_TAGS = (0x8100, 0x88A8, 0x9100)
_FRAGMENT, _AUTHENTICATION = 44, 51
_CHAINED = (0, 43, 60, 135, 139, 140)  # IPv6 extension headers whose length counts 8 bytes
_GPE_INNER = {1: IPV4, 2: IPV6}  # GPE's "next protocol"; 3 is Ethernet

_word = struct.Struct("!H").unpack_from
_two_words = struct.Struct("!HH").unpack_from


@dataclass(frozen=True, slots=True)
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
        return tuple(_word(self.data, at)[0] & 0xFFF for at in range(14, end - 2, 4))

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
        """What a marked datagram carries; None for all other frames, fragments, and tunnels."""
        ip = ip_header(self.data)
        ports = udp_ports(self.data, ip) if ip else None
        if ip is None or ports is None or ports[1] != MARK_PORT or ip.fragment:
            return None
        end = ip.payload + _word(self.data, ip.payload + 4)[0]
        payload = self.data[ip.payload + 8 : end]
        if end > len(self.data) or not payload.startswith(MARK_PREFIX):
            return None
        return payload[len(MARK_PREFIX) :]

    def packet(self, ports: Collection[int] = VXLAN_PORTS) -> Packet:
        """The frame as a scapy packet, with VXLAN taken apart on all UDP ``ports``.

        scapy's own table of ports is global and stays as it is: VXLAN is laid over the payload
        of this one packet.  The first call in a process loads scapy, most of a second.
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
            to = _with_port(tunnel.outer_dst, tunnel.port)
            odd = "" if tunnel.flags == 0x08 else f" flags 0x{tunnel.flags:02x}"
            return (
                f"{tags}VXLAN vni {tunnel.vni}{odd} {tunnel.outer_src} > {to} ttl {tunnel.ttl}"
                f" | {tunnel.inner.summary(ports)}"
            )
        if (ip := ip_header(self.data)) is not None:
            return tags + _ip_line(self.data, ip)
        kind = self.ethertype
        if kind == ARP and (found := _arp_line(self.data)):
            return tags + found
        name = f"ethertype 0x{kind:04x}" if kind is not None else "cut short,"
        return f"{tags}{name} {self.src} > {self.dst} length {self.length}"


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """What one VXLAN packet says, outside and inside.

    ``flags`` is the first byte of the VXLAN header (0x08: the VNI is valid, RFC 7348; 0x80: GBP),
    ``vni`` its 24 bits whatever the flags are; ``port`` the UDP destination port; ``ttl`` the
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


class IpHeader(NamedTuple):
    """Where things are in an IP packet, as offsets into the frame.

    ``payload`` is behind all IP headers; ``end`` is behind the packet, as its header has it
    (link padding comes later, and a frame may be cut before).  ``fragment`` is True for each
    piece of a fragmented packet, ``later`` for all of them but the first.
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


def layer3(data: bytes) -> tuple[int, int] | None:
    """The ethertype behind all VLAN tags, and the offset of what it names."""
    at = 12
    while len(data) >= at + 2:
        kind = _word(data, at)[0]
        if kind not in _VLAN_TAGS:
            return kind, at + 2
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
    total, (fragment,) = _word(data, at + 2)[0], _word(data, at + 6)
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
    length, protocol, offset = _word(data, at + 4)[0], data[at + 6], at + 40
    fragment = later = False
    while protocol in _CHAINED or protocol in (_FRAGMENT, _AUTHENTICATION):
        if len(data) < offset + 8:
            return None
        size = (data[offset + 1] + 1) * 8
        if protocol == _FRAGMENT:
            piece, size = _word(data, offset + 2)[0], 8
            fragment, later = fragment or bool(piece & 0xFFF9), later or bool(piece & 0xFFF8)
        elif protocol == _AUTHENTICATION:
            size = (data[offset + 1] + 2) * 4
        protocol, offset = data[offset], offset + size
        if later:
            break  # what follows is the middle of something
    return IpHeader(
        payload=offset,
        end=at + 40 + length if length else len(data),  # 0: a jumbogram
        protocol=protocol,
        ttl=data[at + 7],
        fragment=fragment,
        later=later,
        source=data[at + 8 : at + 24],
        destination=data[at + 24 : at + 40],
    )


def udp_ports(data: bytes, ip: IpHeader) -> tuple[int, int] | None:
    """Source and destination port where ``ip`` carries a whole UDP header."""
    if ip.protocol != UDP or ip.later or len(data) < ip.payload + 8:
        return None
    source, destination = _two_words(data, ip.payload)
    return source, destination


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
    header, at = data[ip.payload + 8 : ip.payload + 16], ip.payload + 16
    inner = data[at : ip.end]
    length = (_word(data, ip.payload + 4)[0] - 16) if ip.fragment else ip.end - at
    if header[0] & 0x04 and header[3] in _GPE_INNER:
        inner = bytes(12) + struct.pack("!H", _GPE_INNER[header[3]]) + inner
        length += 14
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


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _arp_line(data: bytes) -> str | None:
    found = layer3(data)
    body = data[found[1] : found[1] + 28] if found else b""
    if len(body) < 28:
        return None
    sender, target = address(body[14:18]), address(body[24:28])
    operation = _word(body, 6)[0]
    if operation == 2:
        return f"ARP reply {sender} is-at {body[8:14].hex(':')}"
    asks = f"ARP who-has {target} tell {sender}"
    return asks if operation == 1 else f"ARP operation {operation} {sender} > {target}"


def _ip_line(data: bytes, ip: IpHeader) -> str:
    """``ICMP echo request 1.1.1.1 > 1.1.1.2``; what is cut short or unknown goes by number."""
    source, destination = address(ip.source), address(ip.destination)
    name = _NAMES.get(ip.protocol, f"IP protocol {ip.protocol}")
    body, tail = data[ip.payload : ip.end], ""
    if ip.later:
        return f"{name} later fragment {source} > {destination}"
    if ip.protocol in (TCP, UDP) and len(body) >= 4:
        ports = _two_words(body)
        source, destination = _with_port(source, ports[0]), _with_port(destination, ports[1])
        tail = f" length {max(len(body) - 8, 0)}" if ip.protocol == UDP else ""
        if ports[1] == MARK_PORT and body[8:].startswith(MARK_PREFIX):
            tail = f" marked {body[8 + len(MARK_PREFIX) :]!r}"
    tell = _TELL.get(ip.protocol)
    try:
        what = f" {tell(body)}" if tell else ""
    except (IndexError, struct.error, ValueError):
        what = " cut short"
    return f"{name}{what} {source} > {destination}{tail}"


def _icmp(body: bytes) -> str:
    if body[0] == 3:
        return f"unreachable ({_UNREACHABLE.get(body[1], f'code {body[1]}')})"
    return _ICMP_TYPES.get(body[0], f"type {body[0]}")


def _icmpv6(body: bytes) -> str:
    if body[0] == 135:
        return f"ND who-has {address(body[8:24])}"
    if body[0] == 136:
        return f"ND {address(body[8:24])} is here"
    if body[0] in _MLD_TYPES:
        return f"MLD {_MLD_TYPES[body[0]]} {address(body[8:24])}"
    if body[0] == 143:
        return "MLD " + _records(body, 16)
    return _ICMPV6_TYPES.get(body[0], f"type {body[0]}")


def _igmp(body: bytes) -> str:
    if body[0] == 0x22:
        return _records(body, 4)
    return f"{_IGMP_TYPES.get(body[0], f'type {body[0]}')} {address(body[4:8])}"


def _records(body: bytes, size: int) -> str:
    """The group records of an IGMPv3 or MLDv2 report (RFC 3376, 3810); ``size`` of an address."""
    said, at = [], 8
    for _ in range(_word(body, 6)[0]):
        kind, more, sources = struct.unpack_from("!BBH", body, at)
        verb = f"{sources} sources of" if sources else "leave" if kind in (1, 3) else "join"
        said.append(f"{verb} {address(body[at + 4 : at + 4 + size])}")
        at += 4 + size * (1 + sources) + more * 4
    return ", ".join(said) or "report of nothing"


def _tcp(body: bytes) -> str:
    return "[" + "".join(flag for bit, flag in enumerate("FSRPAUEC") if body[13] >> bit & 1) + "]"


_NAMES = {ICMP: "ICMP", IGMP: "IGMP", TCP: "TCP", UDP: "UDP", ICMPV6: "ICMPv6", PIM: "PIM"}
_TELL = {ICMP: _icmp, ICMPV6: _icmpv6, IGMP: _igmp, TCP: _tcp}
_ICMP_TYPES = {0: "echo reply", 5: "redirect", 8: "echo request", 11: "time exceeded"}
_UNREACHABLE = {0: "network", 1: "host", 3: "port", 4: "needs fragmenting", 13: "prohibited"}
_ICMPV6_TYPES = {1: "unreachable", 2: "packet too big", 3: "time exceeded", 133: "ND find routers"}
_ICMPV6_TYPES |= {128: "echo request", 129: "echo reply", 134: "ND router here"}
_MLD_TYPES = {130: "query", 131: "join", 132: "leave"}
_IGMP_TYPES = {0x11: "query", 0x12: "join", 0x16: "join", 0x17: "leave"}
