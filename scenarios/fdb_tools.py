"""Tools for scenarios of the FDB: frames made by hand, FDB entries, and where frames are sent."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import struct
import sys
from typing import NamedTuple

from vxlab import ApplyError, decapsulate, frames, state, wait_until
from vxlab.operations import AddFdb

ANY, BROADCAST = "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"
MULTICAST = "01:00:5e:01:01:01"
#: A station behind b or c, another one, and one behind a.
MAC, OTHER, SENDER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:ff:ff"
#: The source of a later frame, after which an earlier one would have come.
LATER = "02:00:00:00:ee:ee"

RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29  # linux/rtnetlink.h
RTMGRP_NEIGH = 4
NUD_STALE = 0x04  # linux/neighbour.h
NDA_DST, NDA_LLADDR, NDA_VLAN = 1, 2, 5

_numbers = itertools.count(1)


class Copy(NamedTuple):
    """One encapsulated copy of a frame: where it was sent, and with which VNI."""

    dst: str
    port: int
    vni: int

    def __str__(self):
        return f"{self.dst} port {self.port} VNI {self.vni}"


class Event(NamedTuple):
    """A notification about an FDB entry: it was added or changed, or it was deleted.

    ``vlan`` is the VLAN of a bridge's entry, 0 for none.
    """

    kind: int
    mac: str
    dst: str
    state: int
    vlan: int = 0


def address(lab, host):
    """The underlay address of a host."""
    return lab.topology.host(host).nics[0].ip


def entries(lab, mac, host="a"):
    """The FDB entries for a MAC, in no order."""
    return [row for row in state.fdb(lab[host].namespaces, "vxlan0") if row.mac == mac]


def entry(lab, mac, host="a"):
    """The one FDB entry for a MAC."""
    found = entries(lab, mac, host)
    assert len(found) == 1, f"wanted one entry for {mac}, found {_listed(found)}"
    return found[0]


def macs(lab, host="a"):
    """All MACs that have an FDB entry."""
    return {row.mac for row in state.fdb(lab[host].namespaces, "vxlan0")}


def remotes(lab, mac, host="a"):
    """The remotes of a MAC, in no order."""
    return {row.dst for row in entries(lab, mac, host)}


def assert_no_entry(lab, mac):
    """Assert that a's FDB has no entry for a MAC."""
    found = entries(lab, mac)
    assert not found, f"wanted no entry for {mac}, found {_listed(found)}"


def assert_macs(lab, wanted):
    """Assert that exactly these MACs have an entry in a's FDB."""
    found = macs(lab)
    unexpected, missing = found - set(wanted), set(wanted) - found
    text = f"MACs in the FDB: unexpected {_listed(unexpected)}; missing {_listed(missing)}"
    assert not unexpected | missing, text


def assert_remotes(lab, mac, *wanted, host="a"):
    """Assert that a MAC has exactly these remotes."""
    found = remotes(lab, mac, host)
    text = f"remotes of {mac}: wanted {_listed(wanted)}; found {_listed(found)}"
    assert found == set(wanted), text


def assert_copies(lab, dst, wanted, **options):
    """Assert that a sends exactly these copies of a frame for ``dst``."""
    found = collected_copies(lab, dst, **options)
    text = f"copies for {dst}: wanted {_listed(wanted)}; found {_listed(found)}"
    assert found == sorted(wanted), text


def _listed(found):
    return ", ".join(sorted(map(str, found))) or "none"


#: How the underlay addresses end: those of hosts, and that of ``at_another_remote``.
ENDINGS = {"b": "54", "c": "55", "nowhere": "59"}


def found_copies(*hosts, port=4789, vni=42):
    """The ``because`` of a control under which copies go to exactly these hosts."""
    each = (rf"\S+[.:]{ENDINGS[host]} port {port} VNI {vni}" for host in hosts)
    return f"copies for .*; found {', '.join(each) or 'none'}$"


def found_remotes(*hosts):
    """The ``because`` of a control under which a MAC has exactly these hosts as remotes."""
    each = (rf"\S+[.:]{ENDINGS[host]}" for host in hosts)
    return f"remotes of .*; found {', '.join(each) or 'none'}$"


def default_copies(lab, *hosts):
    """A copy to each of these hosts, with the device's own port and VNI."""
    return sorted(Copy(address(lab, host), 4789, 42) for host in hosts)


def assert_refusal(lab, operation, by, code, words=""):
    """Assert that the kernel refuses an operation with this error number and these words.

    Of a refusal with words ``bridge`` and ``ip`` show the words alone.
    """
    error = refusal(lab, operation, by)
    shown = code if by == "netlink" or not words else None
    found, wanted = (error.errno, error.extack.rstrip(".")), (shown, words)
    assert found == wanted, f"wanted a refusal with {wanted}, found {found}"


def refusal(lab, operation, by):
    """The error with which an operation is refused."""
    try:
        lab.apply(operation, by=by)
    except ApplyError as error:
        return error
    raise AssertionError(f"not refused: {operation}")


def changed_entries(mac=None, /, **fields):
    """For a control: a change of each FDB entry that is added, of one MAC or of all."""

    def change(operation):
        if isinstance(operation, AddFdb) and mac in (None, operation.mac):
            return dataclasses.replace(operation, **fields)
        return operation

    return change


def omitted_entries(**fields):
    """For a control: FDB entries with these fields are not added, but for the default entry's."""

    def change(operation):
        if not isinstance(operation, AddFdb) or operation.mac == ANY:
            return operation
        found = {name: getattr(operation, name) for name in fields}
        return None if found == fields else operation

    return change


def at_another_remote(operation):
    """For a control: the first remote of each MAC is added with an address that no host has.

    The last digit of the address becomes 9.
    """
    if isinstance(operation, AddFdb) and operation.dst and not operation.append:
        return dataclasses.replace(operation, dst=operation.dst[:-1] + "9")
    return operation


def marked_frame(dst, src, text=b"injected", flow=0):
    """An Ethernet frame with a marked UDP datagram, to an IP address that no host has.

    Frames of different ``flow`` differ in their source IP address.
    """
    body = frames.MARK_PREFIX + text
    udp = struct.pack("!4H", frames.MARK_PORT, frames.MARK_PORT, 8 + len(body), 0) + body
    ends = b"\x0a\x09" + flow.to_bytes(2), bytes([10, 10, 9, 2])
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, frames.UDP, 0, *ends)
    macs = bytes.fromhex((dst + src).replace(":", ""))
    return macs + frames.IPV4.to_bytes(2) + ip + udp


def inject(lab, host, dst, src=SENDER, text=b"injected", flow=0):
    """Have a host's vxlan0 send a frame, as if from a station behind it."""
    inject_all(lab, host, [marked_frame(dst, src, text, flow)])


def inject_all(lab, host, several):
    """Have a host's vxlan0 send frames, by one socket: closing one takes the kernel 12 ms."""
    with lab[host].socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind(("vxlan0", 0))
        for frame in several:
            sock.send(frame)


def remote_of_each_flow(lab, dst, flows):
    """The remote to which a sends a frame of each of so many flows."""
    marks = {b"flow %d" % flow: flow for flow in range(flows)}
    with lab.capture("a:eth0") as seen:
        several = [marked_frame(dst, SENDER, text, flow) for text, flow in marks.items()]
        inject_all(lab, "a", several)
        found = wait_until(lambda: _flows(seen["a:eth0"], marks, flows), f"{flows} flows")
    assert seen["a:eth0"].was_live, seen["a:eth0"].proof
    return found


def _flows(capture, marks, flows):
    """The remote of each flow, once there is a packet of all of them; exactly one of each."""
    tunnels = [found for found in capture.encapsulated() if found.inner.mark in marks]
    if len(tunnels) < flows:
        return None
    assert len(tunnels) == flows, f"wanted {flows} packets, one of each flow, found {len(tunnels)}"
    return {marks[found.inner.mark]: found.outer_dst for found in tunnels}


def inner_mark(capture, frame):
    """The mark in the inner frame of an encapsulated frame."""
    tunnel = decapsulate(frame, capture.ports)
    return tunnel.inner.mark if tunnel else None


def collected_copies(lab, dst, *, after=BROADCAST, ports=(4789, 4790)):
    """The copies that a sends of a frame for ``dst``, sorted.

    Complete: a frame for ``after`` has gone to every underlay host since.
    """
    text, last = b"frame %d" % next(_numbers), b"after it"
    others = len(lab.topology.hosts) - 1
    with lab.capture("a:eth0", ports=ports) as seen:
        sent = seen["a:eth0"]
        inject(lab, "a", dst, text=text)
        inject(lab, "a", after, text=last)
        wait_until(lambda: len(_copies(sent, last)) >= others, "the copies of a later frame")
    assert sent.was_live, sent.proof
    return sorted(_copies(sent, text))


def _copies(capture, text):
    return [
        Copy(found.outer_dst, found.port, found.vni)
        for found in capture.encapsulated()
        if found.inner.outgoing and found.inner.mark == text
    ]


def arrives(lab, source, dst=BROADCAST, src=MAC):
    """Whether a's vxlan0 receives a frame that ``source`` sends; a later one does arrive."""
    text, last = b"frame %d" % next(_numbers), b"after %d" % next(_numbers)
    with lab.capture("a:eth0", "a:vxlan0") as seen:
        outer, inner = seen["a:eth0"], seen["a:vxlan0"]
        inject(lab, source, dst, src, text)
        outer.wait_for(lambda frame: inner_mark(outer, frame) == text, "the frame in its packet")
        inject(lab, source, dst, LATER, last)
        inner.wait_for_payload(last)
    assert inner.was_live, inner.proof
    return text in inner.payloads()


@contextlib.contextmanager
def fdb_events(lab, host="a"):
    """Within the block: a function that gives all events of a host's FDB entries so far."""
    with lab[host].socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.bind((0, RTMGRP_NEIGH))
        seen: list[Event] = []

        def events():
            with contextlib.suppress(BlockingIOError):
                while True:
                    seen.extend(_events(sock.recv(1 << 16, socket.MSG_DONTWAIT)))
            return list(seen)

        yield events


def _events(data):
    """The events in a datagram of netlink messages (struct ndmsg, linux/neighbour.h)."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        family, _index, state_, _flags, _type = struct.unpack_from("=BxxxiHBB", data, at + 16)
        if kind in (RTM_NEWNEIGH, RTM_DELNEIGH) and family == socket.AF_BRIDGE:
            found = dict(_attributes(data[at + 28 : at + length]))
            dst, mac = found.get(NDA_DST, b""), found.get(NDA_LLADDR, b"").hex(":")
            shown = frames.address(dst) if dst else ""
            vlan = int.from_bytes(found.get(NDA_VLAN, b""), sys.byteorder)
            yield Event(kind, mac, shown, state_, vlan)
        at += (length + 3) & ~3


def _attributes(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind, data[at + 4 : at + length]
        at += max((length + 3) & ~3, 4)
