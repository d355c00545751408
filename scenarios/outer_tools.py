"""Send an inner frame into the vxlan device of a, and read the outer packet as b receives it.

The decoder here shares no code with vxlab.frames, so that an error of the one is noticed.
"""

from __future__ import annotations

import dataclasses
import itertools
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from far_end import ARRIVAL_DEADLINE, INNER_DESTINATION, INNER_SOURCE

from vxlab import TopologyBuilder, catalog

#: The source MAC of inner frames, which no device has.
SENDER = "02:00:00:00:00:01"

#: The IPv6 counterparts of far_end's inner addresses.
INNER_SOURCE6, INNER_DESTINATION6 = "2001:db8::1", "2001:db8::2"

_numbers = itertools.count()


@dataclass(frozen=True)
class Outer:
    """An outer packet, or another IP packet with UDP.

    ``flags`` are the 16 bits of IPv4 that hold DF, MF and the fragment offset, ``label`` is the
    flow label of IPv6.
    """

    mac_to: str
    mac_from: str
    version: int
    tos: int
    label: int
    length: int
    id: int
    flags: int
    ttl: int
    protocol: int
    source: str
    destination: str
    ip: bytes
    udp: bytes

    @property
    def source_port(self):
        """The UDP source port."""
        return int.from_bytes(self.udp[0:2], "big")

    @property
    def port(self):
        """The UDP destination port."""
        return int.from_bytes(self.udp[2:4], "big")

    @property
    def udp_length(self):
        """The length in the UDP header."""
        return int.from_bytes(self.udp[4:6], "big")

    @property
    def checksum(self):
        """The UDP checksum."""
        return int.from_bytes(self.udp[6:8], "big")

    @property
    def header(self):
        """The 8 bytes of the VXLAN header."""
        return self.udp[8:16]

    @property
    def vni(self):
        """The VNI, whatever the flags are."""
        return int.from_bytes(self.udp[12:15], "big")

    @property
    def inner(self):
        """The inner frame."""
        return self.udp[16:]

    @property
    def df(self):
        """IPv4's don't-fragment bit."""
        return bool(self.flags & 0x4000)

    @property
    def checksum_is_right(self):
        """Whether the UDP checksum is right (RFC 768; RFC 8200, section 8.1)."""
        addresses = ip_address(self.source).packed + ip_address(self.destination).packed
        pseudo = addresses + struct.pack("!II", len(self.udp), self.protocol)
        return ones_sum(pseudo + self.udp) == 0xFFFF


def ones_sum(data):
    """The ones' complement sum of 16-bit words (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def dissect(data):
    """The fields of an Ethernet frame with IPv4 or IPv6 and UDP, without extension headers."""
    macs = {"mac_to": data[0:6].hex(":"), "mac_from": data[6:12].hex(":")}
    if data[14] >> 4 == 4:
        fields = struct.unpack("!BBHHHBBH4s4s", data[14:34])
        _, tos, length, number, flags, ttl, protocol, _, source, destination = fields
        label, start, total = 0, 14 + (data[14] & 15) * 4, length
    else:
        word, length, protocol, ttl, source, destination = struct.unpack("!IHBB16s16s", data[14:54])
        tos, label, number, flags = word >> 20 & 0xFF, word & 0xFFFFF, 0, 0
        start, total = 54, 40 + length
    return Outer(
        **macs,
        version=data[14] >> 4,
        tos=tos,
        label=label,
        length=length,
        id=number,
        flags=flags,
        ttl=ttl,
        protocol=protocol,
        source=str(ip_address(source)),
        destination=str(ip_address(destination)),
        ip=data[14:start],
        udp=data[start : 14 + total],
    )


def send_frame(lab, frame, place="a:vxlan0"):
    """Send an Ethernet frame out of a device."""
    node, device = place.split(":")
    with lab[node].socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.sendto(frame, (device, int.from_bytes(frame[12:14], "big")))


def outer_packet(lab, frame, place="b:eth0", timeout=ARRIVAL_DEADLINE):
    """Send a frame into the vxlan device of a; the outer packet of that frame, as b receives it."""
    return outer_packets(lab, [frame], place, timeout)[0]


def outer_packets(lab, frames, place="b:eth0", timeout=ARRIVAL_DEADLINE):
    """The same for several frames, which are sent one after the other."""
    what = "an outer packet with the inner frame"
    with lab.capture(place) as seen:
        for frame in frames:
            send_frame(lab, frame)
        arrived = [
            seen[place].wait_for(lambda x, end=frame: is_carrying(x, end), what, timeout=timeout)
            for frame in frames
        ]
    return [dissect(each.data) for each in arrived]


def is_carrying(outer, inner):
    """Whether a received frame ends with that inner frame, and has headers in front of it."""
    return not outer.outgoing and len(outer.data) > len(inner) and outer.data.endswith(inner)


def ip_frame(far, version=4, *, tos=0, ttl=64, df=False, label=0, ports=(1000, 2000), more=b""):
    """An inner frame with IPv4 or IPv6, UDP, and a payload that no other frame has."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    if version == 4:
        ip = IP(src=INNER_SOURCE, dst=INNER_DESTINATION, tos=tos, ttl=ttl, flags="DF" if df else 0)
    else:
        ip = IPv6(src=INNER_SOURCE6, dst=INNER_DESTINATION6, tc=tos, hlim=ttl, fl=label)
    udp = UDP(sport=ports[0], dport=ports[1])
    return bytes(Ether(src=SENDER, dst=far.mac) / ip / udp / (unique_bytes() + more))


def ethernet_frame(far, ethertype, payload, *, to=None):
    """An inner frame of any ethertype."""
    macs = bytes.fromhex(((to or far.mac) + SENDER).replace(":", ""))
    return macs + ethertype.to_bytes(2, "big") + payload


def unique_bytes():
    """16 bytes that no other frame has."""
    return b"frame %010d" % next(_numbers)


def one_tunnel(family=4, vni=42, port=4789, bind="a", **attributes):
    """Two hosts with a vxlan device each, both with these attributes."""
    plain = catalog.point_to_point(family=family, vni=vni, port=port, bind=bind)
    (segment,) = plain.segments
    segment = dataclasses.replace(segment, attributes=tuple(attributes.items()))
    return dataclasses.replace(plain, segments=(segment,))


def across_a_router(family=4, mtu=1500, **attributes):
    """The same two hosts, with router r between them; the link from r to b has ``mtu``."""
    one, two = ("10.1.0.0/24", "10.2.0.0/24") if family == 4 else ("fd00:1::/64", "fd00:2::/64")
    t = TopologyBuilder("across-a-router")
    t.cable("net1", one).cable("net2", two, mtu=mtu)
    t.router("r", "net1", "net2", daemon=None)
    t.segment("overlay", 42, port=4789, attributes=attributes)
    for number, name in enumerate("ab"):
        t.host(name, f"net{number + 1}")
        t.vtep(name, "overlay", addresses=f"172.18.1.{2 + number}/24")
    return t.build()


def configured(lab, name):
    """The value of an attribute that the topology gives to all vxlan devices."""
    return dict(lab.topology.segment("overlay").attributes)[name]


def family_of(lab):
    """The IP version of the underlay, 4 or 6."""
    return lab.topology.host("a").nics[0].interface.version
