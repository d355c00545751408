"""What the scenarios of chapter 3 share: one odd packet for a, and all that comes of it."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
from typing import NamedTuple

from fdb_tools import MAC, OTHER, marked

from vxlab import catalog, state
from vxlab.observe.frames import MARK_PREFIX
from vxlab.reference import ReferenceVtep

#: What UDP counts, and IP where it counts reassembly; the second names are those of snmp6.
COUNTED = (
    *("Udp.NoPorts", "Udp.InErrors", "Udp.InCsumErrors", "Udp.IgnoredMulti"),
    *("Udp6NoPorts", "Udp6InErrors", "Udp6InCsumErrors", "Udp6IgnoredMulti"),
    *("Ip.ReasmOKs", "Ip.ReasmFails", "Ip6ReasmOKs", "Ip6ReasmFails"),
)
#: What UDP hands to a socket. Older kernels count in the wrong family what is for a tunnel (K56),
#: which is a scenario of its own: everywhere else both are one.
DATAGRAMS = ("Udp.InDatagrams", "Udp6InDatagrams")

_numbers = itertools.count(1)


class Outcome(NamedTuple):
    """Whether a frame came out of a's vxlan0, and which counters moved by how much."""

    delivered: bool
    counted: dict[str, int]


def one_end(family=4, **fields):
    """a with its vxlan device, and b with none: its place is for a reference VTEP.

    ``fields`` are those of a's VTEP, and attributes of its device.
    """
    topology = catalog.point_to_point(family=family)
    remotes = (topology.host("b").nics[0].ip,)
    fields.setdefault("remotes", remotes)
    return topology.with_vtep("a", "overlay", **fields).with_host("b", vteps=())


def version(lab):
    """The family of the underlay, 4 or 6."""
    return 4 if "." in underlay(lab, "a") else 6


def underlay(lab, host):
    """A host's address on the underlay."""
    return lab.topology.host(host).nics[0].ip


def udp(lab, **counted):
    """Names of UDP's counters of errors in the family of the lab, each with how much it moves."""
    head = "Udp." if version(lab) == 4 else "Udp6"
    return {head + name: number for name, number in counted.items()}


def put_on_wire(lab, packets, mac):
    """Send IP packets out of b's eth0 as they are, to a MAC of the underlay."""
    (link,) = lab["b"].ip("link", "show", "eth0")
    head = bytes.fromhex((mac + link["address"]).replace(":", ""))
    with lab["b"].socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("eth0", 0))
        for packet in packets:
            sock.send(head + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet)


def taken():
    """What is counted for a packet that is delivered."""
    return {"rx_packets": 1, "InDatagrams": 1}


@contextlib.contextmanager
def far_end(lab, **fields):
    """A reference VTEP in b's place that only sends what it is told to."""
    a, b = underlay(lab, "a"), underlay(lab, "b")
    with ReferenceVtep(lab["b"], local=b, remotes=a, answer=False, **fields) as far:
        yield far


def counters(lab):
    """All that is counted of what a receives: by vxlan0, and by UDP."""
    (link,) = lab["a"].ip("-s", "-s", "link", "show", "vxlan0")
    device = {f"rx_{name}": value for name, value in link["stats64"]["rx"].items()}
    for name in ("rx_bytes", "rx_otherhost"):  # the latter is shown only where it is not 0
        device.pop(name, None)
    found = state.read_snmp(lab["a"].namespaces)
    device["InDatagrams"] = sum(found.get(name, 0) for name in DATAGRAMS)
    return device | {name: found[name] for name in COUNTED if name in found}


def outcome(lab, far, send, frame=None, comes_as=None):
    """What comes of the packets that ``send(far, frame)`` sends; a good one is sent after them.

    ``frame`` is what the far end carries, else a marked frame for nobody in particular;
    ``comes_as`` is what it looks like when it is delivered, else as it was sent.
    """
    text, last = b"odd %d" % next(_numbers), b"good %d" % next(_numbers)
    frame = marked(OTHER, MAC, text) if frame is None else frame
    good = far.encapsulate(marked(OTHER, "02:00:00:00:ee:ee", last), vni=42)
    with lab.capture("a:vxlan0") as seen:
        before = counters(lab)
        send(far, frame)
        far.send_bytes(good, to=underlay(lab, "a"))
        seen["a:vxlan0"].wait_for_payload(last)
    inner = seen["a:vxlan0"]
    assert inner.was_live, inner.proof
    moved = _moved(before, counters(lab), taken())
    arrived = [one.data for one in inner.frames if not one.outgoing]
    return Outcome((comes_as or frame) in arrived, moved)


def refused(counted=None):
    """The outcome of a packet that vxlan0's socket gets, and that goes no further."""
    return Outcome(False, {**(counted or {}), "InDatagrams": 1})


def accepted():
    """The outcome of a packet that is delivered."""
    return Outcome(True, taken())


def _moved(before, after, usual):
    """The counters that moved, without what the good packet moved."""
    moved = {name: after[name] - before[name] - usual.get(name, 0) for name in after}
    return {name: number for name, number in moved.items() if number}


def ip_inside(text=b"inside", tos=0, dst=OTHER, src=MAC):
    """An Ethernet frame with IPv4 and UDP, whose IPv4 header has this TOS and a right sum."""
    body = MARK_PREFIX + text
    udp = struct.pack("!4H", 40404, 40404, 8 + len(body), 0) + body
    ends = bytes([10, 9, 9, 1, 10, 9, 9, 2])
    head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(udp), 0, 0, 64, 17, 0) + ends
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    summed = head[:10] + (0xFFFF ^ ((total & 0xFFFF) + (total >> 16))).to_bytes(2) + head[12:]
    return bytes.fromhex((dst + src).replace(":", "")) + b"\x08\x00" + summed + udp


def ip6_inside(text=b"inside", tos=0, dst=OTHER, src=MAC):
    """An Ethernet frame with IPv6 and UDP, whose IPv6 header has this traffic class."""
    body = MARK_PREFIX + text
    udp = struct.pack("!4H", 40404, 40404, 8 + len(body), 0xFFFF) + body
    ends = bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2")
    head = struct.pack("!IHBB", 6 << 28 | tos << 20, len(udp), 17, 64)
    return bytes.fromhex((dst + src).replace(":", "")) + b"\x86\xdd" + head + ends + udp
