"""Tools for scenarios of reception: send VTEP a one unusual packet, and see what becomes of it."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import struct
from typing import NamedTuple

from fdb_tools import LATER, MAC, OTHER, address, marked_frame

from vxlab import ReferenceVtep, catalog, frames, state

#: What UDP counts, and IP where it counts reassembly; the second names are those of snmp6.
COUNTED = (
    *("Udp.NoPorts", "Udp.InErrors", "Udp.InCsumErrors", "Udp.IgnoredMulti"),
    *("Udp6NoPorts", "Udp6InErrors", "Udp6InCsumErrors", "Udp6IgnoredMulti"),
    *("Ip.ReasmOKs", "Ip.ReasmFails", "Ip6ReasmOKs", "Ip6ReasmFails"),
)
#: What UDP hands to a socket. Older kernels count in the wrong family what is for a tunnel (K56),
#: which is a scenario of its own: everywhere else both are one.
DATAGRAMS = ("Udp.InDatagrams", "Udp6InDatagrams")
#: The counters that move for a packet that is delivered.
COUNTED_WHEN_DELIVERED = {"rx_packets": 1, "InDatagrams": 1}

_numbers = itertools.count(1)


class Outcome(NamedTuple):
    """Whether a frame came out of a's vxlan0, and which counters moved by how much."""

    delivered: bool
    counted: dict[str, int]

    def __str__(self):
        counted = ", ".join(f"{name} {number}" for name, number in self.counted.items())
        delivered = "delivered" if self.delivered else "not delivered"
        return f"{delivered}, counted in {counted or 'nothing'}."


def accepted():
    """The outcome of a packet whose inner frame is delivered."""
    return Outcome(True, COUNTED_WHEN_DELIVERED)


def dropped_by_vxlan(counted=None):
    """The outcome of a packet that UDP hands to the VXLAN device, which drops it."""
    return Outcome(False, {**(counted or {}), "InDatagrams": 1})


def dropped_by_udp(lab, **counted):
    """The outcome of a packet that UDP drops and counts, in the family of the underlay."""
    head = "Udp." if ip_version(lab) == 4 else "Udp6"
    return Outcome(False, {head + name: number for name, number in counted.items()})


def assert_outcome(found, wanted):
    """Assert that a packet had this outcome."""
    assert found == wanted, f"the packet: wanted {wanted} Found {found}"


def found_outcome(outcome):
    """The ``because`` of a control under which the packet has this outcome."""
    return re.escape(f"Found {outcome}")


#: The ``because`` of a control under which UDP drops the packet for its checksum, or its port.
FOUND_CHECKSUM_ERROR = (
    r"Found not delivered, counted in (Udp\.|Udp6)InErrors 1, (Udp\.|Udp6)InCsumErrors 1\."
)
FOUND_NO_PORT = r"Found not delivered, counted in (Udp\.|Udp6)NoPorts 1\."


def kernel_at_a(family=4, **fields):
    """A kernel VTEP on a, and none on b, whose place is for a reference VTEP.

    ``fields`` are those of a's VTEP, and attributes of its device.
    """
    topology = catalog.point_to_point(family=family)
    remotes = (topology.host("b").nics[0].ip,)
    fields.setdefault("remotes", remotes)
    return topology.with_vtep("a", "overlay", **fields).with_host("b", vteps=())


@contextlib.contextmanager
def reference_at_b(lab, **fields):
    """A reference VTEP on b that sends only what a test has it send."""
    a, b = address(lab, "a"), address(lab, "b")
    with ReferenceVtep(lab["b"], local=b, remotes=a, answer=False, **fields) as far:
        yield far


def ip_version(lab):
    """The family of the underlay, 4 or 6."""
    return 4 if "." in address(lab, "a") else 6


def udp_packets(payload, source, to, *, port=4789, fragment=None):
    """A UDP datagram as one IP packet, or as fragments of so many bytes of IP payload each."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet import fragment as fragment4
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6

    datagram = UDP(sport=4789, dport=port) / payload
    if ":" not in to:
        packet = IP(src=source, dst=to, id=next(_numbers)) / datagram
        parts = [packet] if fragment is None else fragment4(packet, fragsize=fragment)
    elif fragment is None:
        parts = [IPv6(src=source, dst=to) / datagram]
    else:
        header = IPv6ExtHdrFragment(id=next(_numbers))
        headers_length = 40 + 8  # IPv6 and the fragment header
        packet = IPv6(src=source, dst=to) / header / datagram
        parts = fragment6(packet, headers_length + fragment)
    return [bytes(part) for part in parts]


def put_on_wire(lab, packets, mac):
    """Send IP packets out of b's eth0 as they are, to a MAC of the underlay."""
    (link,) = lab["b"].ip("link", "show", "eth0")
    head = bytes.fromhex((mac + link["address"]).replace(":", ""))
    with lab["b"].socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth0", 0))
        for packet in packets:
            ethertype = frames.IPV4 if packet[0] >> 4 == 4 else frames.IPV6
            sock.send(head + ethertype.to_bytes(2) + packet)


def reception_counters(lab):
    """The counters of what a receives: those of vxlan0, and those of UDP and IP."""
    (link,) = lab["a"].ip("-s", "-s", "link", "show", "vxlan0")
    device = {f"rx_{name}": value for name, value in link["stats64"]["rx"].items()}
    for name in ("rx_bytes", "rx_otherhost"):  # the latter is shown only where it is not 0
        device.pop(name, None)
    found = state.read_snmp(lab["a"].namespaces)
    device["InDatagrams"] = sum(found.get(name, 0) for name in DATAGRAMS)
    return device | {name: found[name] for name in COUNTED if name in found}


def outcome(lab, far, send, frame=None, comes_as=None):
    """The outcome of the packets that ``send(far, frame)`` sends; a good one is sent after them.

    ``frame`` is the inner frame, else a marked frame to a MAC that no station has;
    ``comes_as`` is what it looks like when it is delivered, else as it was sent.
    """
    text, last = b"odd %d" % next(_numbers), b"good %d" % next(_numbers)
    frame = marked_frame(OTHER, MAC, text) if frame is None else frame
    good = far.encapsulate(marked_frame(OTHER, LATER, last), vni=42)
    with lab.capture("a:vxlan0") as seen:
        before = reception_counters(lab)
        send(far, frame)
        far.send_bytes(good, to=address(lab, "a"))
        seen["a:vxlan0"].wait_for_payload(last)
    inner = seen["a:vxlan0"]
    assert inner.was_live, inner.proof
    moved = _moved(before, reception_counters(lab), COUNTED_WHEN_DELIVERED)
    arrived = [one.data for one in inner.frames if not one.outgoing]
    return Outcome((comes_as or frame) in arrived, moved)


def _moved(before, after, usual):
    """The counters that moved, without what the good packet moved."""
    moved = {name: after[name] - before[name] - usual.get(name, 0) for name in after}
    return {name: number for name, number in moved.items() if number}


def inner_ipv4(text=b"inside", tos=0, dst=OTHER, src=MAC):
    """An Ethernet frame with IPv4 and UDP, whose IPv4 header has this TOS and a right checksum."""
    body = frames.MARK_PREFIX + text
    udp = struct.pack("!4H", frames.MARK_PORT, frames.MARK_PORT, 8 + len(body), 0) + body
    ends = bytes([10, 9, 9, 1, 10, 9, 9, 2])
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(udp), 0, 0, 64, 17, 0) + ends
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    summed = head[:10] + (0xFFFF ^ ((total & 0xFFFF) + (total >> 16))).to_bytes(2) + head[12:]
    return bytes.fromhex((dst + src).replace(":", "")) + frames.IPV4.to_bytes(2) + summed + udp


def inner_ipv6(text=b"inside", tos=0, dst=OTHER, src=MAC):
    """An Ethernet frame with IPv6 and UDP, whose IPv6 header has this traffic class."""
    body = frames.MARK_PREFIX + text
    udp = struct.pack("!4H", frames.MARK_PORT, frames.MARK_PORT, 8 + len(body), 0xFFFF) + body
    ends = bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2")
    head = struct.pack("!IHBB", 6 << 28 | tos << 20, len(udp), 17, 64)
    macs = bytes.fromhex((dst + src).replace(":", ""))
    return macs + frames.IPV6.to_bytes(2) + head + ends + udp
