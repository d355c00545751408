"""Captures in two nodes with a wire between them; must be run inside the sandbox."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from vxlab.errors import CaptureError, WaitTimeout
from vxlab.observe import packetsocket, pcapng
from vxlab.observe.capture import Capture
from vxlab.observe.frames import MARK_PORT, MARK_PREFIX, Frame
from vxlab.observe.packetsocket import settle
from vxlab.observe.recorder import Recorder
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until

TEST_TYPE = b"\x88\xb6"  # IEEE 802 local experimental ethertype 2
A_MAC, B_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
SOL_PACKET, PACKET_STATISTICS = 263, 6


def ip(node: Namespaces, command: str) -> str:
    """Run one ``ip`` command in a node; the process's own /proc is seen, for netns paths."""
    with node.entered():
        return subprocess.run(
            ["ip", *command.split()], check=True, text=True, stdout=subprocess.PIPE
        ).stdout


@dataclass
class Wire:
    """Node a and node b, whose eth0 are the two ends of one veth; nothing else talks on it.

    a (eth0 10.0.0.1/24, 02:..:0a) ----- (eth0 10.0.0.2/24, 02:..:0b) b
    """

    a: Namespaces
    b: Namespaces

    def vxlan(self) -> None:
        """Add vx0 with VNI 42 to both nodes, port 8472, with the other as the remote."""
        for node, own, other in ((self.a, 1, 2), (self.b, 2, 1)):
            ip(
                node,
                f"link add vx0 type vxlan id 42 dstport 8472 local 10.0.0.{own} "
                f"remote 10.0.0.{other} dev eth0",
            )
            ip(node, "link set vx0 up")


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Namespaces("a") as a, Namespaces("b") as b:
        for node in (a, b):
            for which in ("all", "default"):
                node.write(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6", "1")
            ip(node, "link set lo up")
        peer = f"peer name eth0 address {B_MAC.hex(':')} netns {b.path()}"
        ip(a, f"link add eth0 address {A_MAC.hex(':')} type veth {peer}")
        for node, number in ((a, 1), (b, 2)):
            ip(node, f"addr add 10.0.0.{number}/24 dev eth0")
            ip(node, "link set eth0 up")
        for node in (a, b):  # up to then the kernel throws away what is sent (noop qdisc)
            wait_until(lambda node=node: "state UP" in ip(node, "link show dev eth0"), "eth0 up")
        yield Wire(a, b)
    settle()


@contextlib.contextmanager
def raw(node: Namespaces, interface: str, kind: int = 0) -> Iterator[socket.socket]:
    """A bare packet socket: to send with, or with kind 3 (ETH_P_ALL) to hear all."""
    with node.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, kind))
        sock.setblocking(False)
        yield sock


def heard(sock: socket.socket) -> list[bytes]:
    """All that a bare socket has queued."""
    frames = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frames.append(sock.recv(65536))
    return frames


def numbered(number: int, size: int = 60) -> bytes:
    return (B_MAC + A_MAC + TEST_TYPE + struct.pack("!I", number)).ljust(size, b"\0")


def send(node: Namespaces, interface: str, *frames: bytes) -> None:
    with raw(node, interface) as sock:
        for frame in frames:
            sock.send(frame)


def send_marked(node: Namespaces, to: str, data: bytes, family: int = socket.AF_INET) -> None:
    with node.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(MARK_PREFIX + data, (to, MARK_PORT))


def numbers(frames: tuple[Frame, ...]) -> list[int]:
    return [
        struct.unpack_from("!I", frame.data, 14)[0]
        for frame in frames
        if frame.data[12:14] == TEST_TYPE
    ]


def counters(node: Namespaces, interface: str) -> tuple[int, int]:
    return packetsocket.packet_counters(node)[interface]


def test_a_burst_of_20000_frames_is_captured_without_loss(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b", buffer=64 << 20) as capture:
        send(wire.a, "eth0", *(numbered(number) for number in range(20_000)))
    assert capture.dropped == 0
    assert len(capture.frames) == 20_000
    assert numbers(capture.frames) == list(range(20_000))
    assert capture.was_live


def test_a_burst_of_20000_full_sized_frames_is_captured_without_loss(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b", buffer=64 << 20) as capture:
        send(wire.a, "eth0", *(numbered(number, 1514) for number in range(20_000)))
    assert (len(capture.frames), capture.dropped) == (20_000, 0)
    assert all(len(frame.data) == frame.length == 1514 for frame in capture.frames)


@pytest.mark.parametrize("buffer", [1, 4096, 64 << 10, 1 << 20])
def test_what_a_small_buffer_cannot_hold_is_counted_exactly(wire: Wire, buffer: int) -> None:
    with Capture(wire.b, "eth0", node="b", buffer=buffer) as capture:
        send(wire.a, "eth0", *(numbered(number) for number in range(2_000)))
        count = len(capture.frames)
        assert count == max(buffer, 4096) // 2048
        assert count + capture.dropped == 2_000
        send(wire.a, "eth0", numbered(2_000))
    assert numbers(capture.frames) == [*range(count), 2_000]
    assert count + capture.dropped == 2_000
    assert capture.was_live


def test_frames_tell_time_direction_node_and_interface(wire: Wire) -> None:
    with Capture(wire.a, "eth0", node="a") as out, Capture(wire.b, "eth0", node="b") as back:
        send(wire.a, "eth0", numbered(1))
    sent, received = out.frames[0], back.frames[0]
    assert (sent.outgoing, sent.node, sent.interface) == (True, "a", "eth0")
    assert (received.outgoing, received.node, received.interface) == (False, "b", "eth0")
    assert sent.data == received.data == numbered(1)
    assert (received.src, received.dst) == (A_MAC.hex(":"), B_MAC.hex(":"))
    assert sent.time_ns <= received.time_ns
    with open("/proc/uptime") as uptime, open("/proc/stat") as stat:
        boot = next(int(line.split()[1]) for line in stat if line.startswith("btime"))
        now = boot + float(uptime.read().split()[0])
    assert abs(received.time_ns / 1e9 - now) < 60


@pytest.mark.parametrize("tag", ["8100002a", "88a80064", "88a800648100002a"])
def test_vlan_tags_stay_where_they_were(wire: Wire, tag: str) -> None:
    frame = numbered(7)
    tagged = frame[:12] + bytes.fromhex(tag) + frame[12:]
    with (
        Capture(wire.a, "eth0", node="a") as out,
        Capture(wire.b, "eth0", node="b") as back,
        Recorder(wire.b, node="b") as recorder,
    ):
        send(wire.a, "eth0", tagged)
    for seen in (out.frames, back.frames, recorder.frames):
        assert [(frame.data, frame.length) for frame in seen] == [(tagged, len(tagged))]
    assert back.frames[0].ethertype == 0x88B6


def test_frames_larger_than_a_slot_are_whole(wire: Wire) -> None:
    for node in (wire.a, wire.b):
        ip(node, "link set eth0 mtu 9000")
    large = [(B_MAC + A_MAC + TEST_TYPE + bytes([n]) * 8986) for n in range(50)]
    mixed = [frame for n, frame in enumerate(large) for frame in (frame, numbered(n))]
    with Capture(wire.b, "eth0", node="b") as capture:
        send(wire.a, "eth0", *mixed)
    assert [frame.data for frame in capture.frames] == mixed
    assert capture.frames[0].length == 9000


def test_an_unknown_interface_is_an_error_that_names_the_others(wire: Wire) -> None:
    capture = Capture(wire.a, "eth7", node="a")
    with pytest.raises(CaptureError, match=r"a: wanted the interface 'eth7', found only lo, eth0"):
        capture.start()


def test_an_interface_that_is_down_is_an_error(wire: Wire) -> None:
    ip(wire.a, "link set eth0 down")
    with pytest.raises(CaptureError, match=r"a/eth0: found eth0 down: set it up first$"):
        Capture(wire.a, "eth0", node="a").start()


@pytest.mark.parametrize("interface", [None, "vx0"])
def test_where_probes_need_lo_it_must_be_up(wire: Wire, interface: str | None) -> None:
    wire.vxlan()
    ip(wire.a, "link set lo down")
    with pytest.raises(CaptureError, match=r"found lo down: .* the proof of life goes there"):
        Capture(wire.a, interface, node="a").start()


def test_a_wire_without_its_other_end_cannot_be_proven(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    ip(wire.b, "link set eth0 down")
    wait_until(lambda: "DOWN mode" in ip(wire.a, "link show dev eth0"), "a to notice")
    with pytest.raises(CaptureError, match="wanted a live capture, found that no probe"):
        Capture(wire.a, "eth0", node="a").start()


def test_a_ring_the_kernel_refuses_is_an_error(wire: Wire) -> None:
    capture = Capture(wire.a, "eth0", node="a", buffer=1 << 46)
    with pytest.raises(CaptureError, match="a/eth0: wanted a ring of"):
        capture.start()


def test_a_socket_that_does_not_listen_fails_at_once(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    monkeypatch.setattr(packetsocket, "listen", lambda sock, index: None)
    capture = Capture(wire.a, "eth0", node="a")
    with pytest.raises(CaptureError, match=r"no probe was seen on eth0 within 0\.05 s"):
        capture.start()
    assert not capture.was_live
    assert "no probe was seen" in capture.proof


def test_a_capture_runs_only_once(wire: Wire) -> None:
    with Capture(wire.a, "eth0", node="a") as capture:
        pass
    with pytest.raises(CaptureError, match="has run already"):
        capture.start()
    capture.stop()
    assert capture.was_live


@pytest.mark.parametrize("interface", ["eth0", "lo", "vx0", "br0", None])
def test_a_capture_that_went_deaf_was_not_live(
    wire: Wire, interface: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    wire.vxlan()
    ip(wire.a, "link add br0 type bridge mcast_snooping 0")
    ip(wire.a, "link set br0 up")
    with Capture(wire.a, interface, node="a") as capture:
        assert capture.was_live
        capture.deafen()
        with pytest.raises(CaptureError, match="wanted to be sure of no frame, found that no pro"):
            capture.assert_silent(lambda frame: True, "frame")
    assert not capture.was_live
    assert capture.proof.startswith("not proven live: found that no probe was seen on ")
    with pytest.raises(CaptureError, match="not proven live"):
        capture.assert_silent(lambda frame: True, "frame")


def test_only_a_running_capture_can_be_deafened(wire: Wire) -> None:
    capture = Capture(wire.a, "eth0", node="a")
    with pytest.raises(CaptureError, match="wanted a running capture, found it not running"):
        capture.deafen()


def test_silence_counts_while_a_live_capture_runs_and_after(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b") as capture:
        capture.assert_silent(lambda frame: True, "frame")
        send(wire.a, "eth0", numbered(1))
        with pytest.raises(AssertionError, match="wanted no frame, found 1: ethertype 0x88b6"):
            capture.assert_silent(lambda frame: True, "frame")
        capture.assert_silent(lambda frame: frame.is_arp, "ARP")
    capture.assert_silent(lambda frame: frame.is_arp, "ARP")


def test_silence_of_a_capture_that_dropped_counts_for_nothing(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b", buffer=4096) as capture:
        send(wire.a, "eth0", *(numbered(number) for number in range(10)))
    with pytest.raises(CaptureError, match="8 frames dropped: give a larger buffer"):
        capture.assert_silent(lambda frame: frame.is_arp, "ARP")


def test_an_interface_that_vanished_was_not_live(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    wire.vxlan()
    with Capture(wire.a, "vx0", node="a") as tunnel, Capture(wire.a, "eth0", node="a") as link:
        ip(wire.a, "link del vx0")
        ip(wire.a, "link del eth0")
    assert "vx0 had gone away" in tunnel.proof
    assert "no probe could be sent" in link.proof
    assert not tunnel.was_live
    assert not link.was_live


def test_a_link_that_was_down_for_a_while_is_live_again(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b") as capture:
        ip(wire.b, "link set eth0 down")
        assert capture.frames == ()
        ip(wire.b, "link set eth0 up")
        capture.assert_silent(lambda frame: frame.data[12:14] == TEST_TYPE, "numbered frame")
        send(wire.b, "eth0", numbered(1))
    assert numbers(capture.frames) == [1]
    assert capture.was_live


def test_probes_cross_a_veth_and_are_shown_to_nobody(wire: Wire) -> None:
    with (
        Capture(wire.b, "eth0", node="b") as other,
        Recorder(wire.b, node="b") as recorder,
        raw(wire.b, "eth0", 3) as bare,
    ):
        before = counters(wire.b, "eth0")
        with Capture(wire.a, "eth0", node="a") as capture:
            pass
        after = counters(wire.b, "eth0")
        mine = heard(bare)
    assert capture.was_live
    assert capture.frames == other.frames == recorder.frames == ()
    assert len(mine) >= 2
    assert all(frame[:14].hex() == "0180c2000001" + A_MAC.hex() + "88b5" for frame in mine)
    assert after == (before[0] + len(mine), before[1])


def test_a_bridge_neither_learns_from_a_probe_nor_forwards_it(wire: Wire) -> None:
    ip(wire.b, "link add br0 type bridge mcast_snooping 0")
    ip(wire.b, "link add left type veth peer name right")
    for name in ("left", "right", "br0"):
        ip(wire.b, f"link set {name} up")
    for name in ("eth0", "left"):
        ip(wire.b, f"link set {name} master br0")
    known = fdb(wire.b)
    with raw(wire.b, "right", 3) as port, raw(wire.b, "br0", 3) as bridge:
        heard(port), heard(bridge)
        with Capture(wire.a, "eth0", node="a") as capture:
            pass
        assert (heard(port), heard(bridge)) == ([], [])
    assert capture.was_live
    assert fdb(wire.b) == known


def fdb(node: Namespaces) -> str:
    with node.entered():
        return subprocess.run(
            ["bridge", "fdb", "show"], check=True, text=True, stdout=subprocess.PIPE
        ).stdout


@pytest.mark.parametrize("interface", ["vx0", "br0", "mv0", "lo", None])
def test_no_probe_leaves_the_node_where_the_device_would_pass_it_on(
    wire: Wire, interface: str | None
) -> None:
    wire.vxlan()
    ip(wire.a, "link add br0 type bridge mcast_snooping 0")
    if interface == "br0":  # it takes over the MAC of its port, and sends to it by that port
        ip(wire.a, "link set eth0 master br0")
    else:
        ip(wire.a, "link add mv0 link eth0 type macvlan")
        ip(wire.a, "link set mv0 up")
    ip(wire.a, "link set br0 up")
    with raw(wire.b, "eth0", 3) as peer, raw(wire.b, "vx0", 3) as tunnel:
        heard(peer), heard(tunnel)
        before = counters(wire.a, "eth0"), counters(wire.a, "vx0"), counters(wire.b, "eth0")
        with Capture(wire.a, interface, node="a") as capture:
            capture.assert_silent(lambda frame: True, "frame")
        after = counters(wire.a, "eth0"), counters(wire.a, "vx0"), counters(wire.b, "eth0")
        assert (heard(peer), heard(tunnel)) == ([], [])
    assert after == before
    assert capture.was_live
    assert capture.frames == ()
    assert "by a probe on lo" in capture.proof


def test_a_vxlan_device_shows_the_inner_and_its_wire_the_outer_frame(wire: Wire) -> None:
    wire.vxlan()
    with (
        Capture(wire.b, "vx0", node="b") as inside,
        Capture(wire.b, "eth0", node="b") as outside,
    ):
        send(wire.a, "vx0", numbered(5))
        inside.wait_for(lambda frame: True, "the inner frame")
    assert numbers(inside.frames) == [5]
    (found,) = outside.encapsulated()
    assert (found.vni, found.flags, found.port, found.ttl) == (42, 0x08, 8472, 64)
    assert (found.outer_src, found.outer_dst) == ("10.0.0.1", "10.0.0.2")
    assert found.inner.data == numbered(5)
    assert inside.was_live
    assert outside.was_live
    assert "b/vx0 itself by its counters" in inside.proof


def test_counters_that_moved_unseen_mean_not_live(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Capture, "proof_timeout", 0.05)
    wire.vxlan()
    with Capture(wire.b, "vx0", node="b") as capture:
        ring = capture._ring
        assert ring
        only_lo = (0x20, 0, 0, 0xFFFFF008), (0x15, 0, 1, 1), (6, 0, 0, 0x40000), (6, 0, 0, 0)
        packetsocket.attach_filter(ring.sock, *only_lo)
        send(wire.a, "vx0", numbered(5))
        with contextlib.suppress(WaitTimeout):
            capture.wait_for(lambda frame: True, "nothing", timeout=0.05)
    assert capture.frames == ()
    assert not capture.was_live
    assert "found counters of vx0 moving" in capture.proof


def test_all_interfaces_together_have_their_own_names(wire: Wire) -> None:
    wire.vxlan()
    with Capture(wire.b, None, node="b") as capture:
        send(wire.a, "vx0", numbered(5))
        capture.wait_for(lambda frame: frame.interface == "vx0", "a frame on vx0")
    assert [frame.interface for frame in capture.frames if frame.data[12:14] != b"\x08\x06"] == [
        "eth0",
        "vx0",
    ]
    assert capture.was_live


def test_lo_shows_each_frame_twice(wire: Wire) -> None:
    with Capture(wire.a, "lo", node="a") as capture:
        send_marked(wire.a, "127.0.0.1", b"hello")
    marked = [(frame.outgoing, frame.mark) for frame in capture.frames if frame.mark]
    assert marked == [(True, b"hello"), (False, b"hello")]
    assert capture.payloads() == [b"hello"]


def test_marked_payloads_are_listed_as_often_as_they_came(wire: Wire) -> None:
    with Capture(wire.a, "eth0", node="a") as out, Capture(wire.b, "eth0", node="b") as back:
        for data in (b"one", b"two", b"two", b""):
            send_marked(wire.a, "10.0.0.2", data)
            back.wait_for_payload(data)
    assert back.payloads() == [b"one", b"two", b"two", b""]
    assert out.payloads() == []


def test_marked_payloads_are_found_over_ipv6(wire: Wire) -> None:
    for node, number in ((wire.a, 1), (wire.b, 2)):
        node.write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0")
        ip(node, f"addr add fd00::{number}/64 dev eth0 nodad")
    with Capture(wire.b, "eth0", node="b") as capture:
        send_marked(wire.a, "fd00::2", b"six", socket.AF_INET6)
        frame = capture.wait_for_payload(b"six")
    assert (frame.outer_src, frame.outer_dst) == ("fd00::1", "fd00::2")
    assert capture.payloads() == [b"six"]


def test_wait_for_blocks_until_the_frame_comes(wire: Wire) -> None:
    looked = threading.Event()

    def later() -> None:
        assert looked.wait(10)
        send(wire.a, "eth0", numbered(2))

    def second(frame: Frame) -> bool:
        looked.set()
        return numbers((frame,)) == [2]

    sender = threading.Thread(target=later)
    sender.start()
    with Capture(wire.b, "eth0", node="b") as capture:
        send(wire.a, "eth0", numbered(1))
        assert capture.wait_for(second, "the second frame").data == numbered(2)
        assert capture.wait_for(second, "the second frame again").data == numbered(2)
    sender.join()


def test_wait_for_says_what_came_instead(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b") as capture:
        with pytest.raises(WaitTimeout, match=r"b/eth0: waited .* s for ARP; found no frame at al"):
            capture.wait_for(lambda frame: frame.is_arp, "ARP", timeout=0.01)
        send(wire.a, "eth0", numbered(1), numbered(2))
        with pytest.raises(WaitTimeout) as caught:
            capture.wait_for_payload(b"x", timeout=0.01)
    assert "for the marked payload b'x'; found 2 other frames" in str(caught.value)
    assert "ethertype 0x88b6 02:00:00:00:00:0a > 02:00:00:00:00:0b" in str(caught.value)
    with pytest.raises(WaitTimeout, match="found 2 other frames"):
        capture.wait_for(lambda frame: frame.is_arp, "ARP", timeout=3600)


def test_packets_are_dissected_once_and_on_the_port_of_the_capture(wire: Wire) -> None:
    with Capture(wire.b, "eth0", node="b", ports=[5555]) as capture:
        with wire.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(bytes.fromhex("0800000000002a00") + numbered(1), ("10.0.0.2", 5555))
        capture.wait_for(lambda frame: frame.udp_ports is not None, "the datagram")
        packets = capture.packets()
        send(wire.a, "eth0", numbered(2))
        again = capture.packets()
    (tunnel,) = (packet["VXLAN"] for packet in packets if "VXLAN" in packet)
    assert (tunnel.vni, bytes(tunnel.payload)) == (42, numbered(1))
    assert all(one is other for one, other in zip(packets, again, strict=False))
    assert len(again) > len(packets)
    assert [found.vni for found in capture.encapsulated()] == [42]


def test_a_live_stream_shows_each_frame_before_the_capture_ends(wire: Wire) -> None:
    read_fd, write_fd = os.pipe()
    with (
        open(read_fd, "rb", buffering=0) as reader,
        open(write_fd, "wb", buffering=0) as writer,
        Capture(wire.b, "eth0", node="b") as capture,
    ):
        send(wire.a, "eth0", numbered(1))
        stream = capture.pipe_to(writer)
        assert numbered(1) in read_until(reader, numbered(1))
        send(wire.a, "eth0", numbered(2))
        assert numbered(2) in read_until(reader, numbered(2))
        send(wire.a, "eth0", numbered(3))
        assert len(capture.frames) == 3  # read here first: the stream must get it all the same
        assert numbered(3) in read_until(reader, numbered(3))
        capture.stop()
        assert stream.error is None
        statistics = reader.read(65536)
        assert statistics[:4] == b"\x05\0\0\0"
    assert capture.was_live


def read_until(reader: io.RawIOBase, wanted: bytes) -> bytes:
    data = b""
    while wanted not in data:
        more = reader.read(65536)
        assert more, f"the stream ended before {wanted!r}"
        data += more
    return data


def test_a_viewer_that_goes_away_does_not_harm_the_capture(wire: Wire) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with open(write_fd, "wb", buffering=0) as writer, Capture(wire.b, "eth0", node="b") as capture:
        stream = capture.pipe_to(writer)
        send(wire.a, "eth0", numbered(1))
    assert isinstance(stream.error, BrokenPipeError)
    assert numbers(capture.frames) == [1]
    assert capture.was_live


def test_frames_read_elsewhere_wake_the_stream(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[pcapng.LiveStream] = []
    wake = pcapng.LiveStream.wake
    monkeypatch.setattr(
        pcapng.LiveStream, "wake", lambda stream: (woken.append(stream), wake(stream))
    )
    with Capture(wire.b, "eth0", node="b") as capture:
        stream = capture.pipe_to(io.BytesIO())
        assert capture.frames == ()
        assert woken == []
        send(wire.a, "eth0", numbered(1))
        capture.wait_for(lambda frame: True, "the frame")
        assert woken == [stream]


def test_a_stream_needs_a_running_capture(wire: Wire) -> None:
    with pytest.raises(CaptureError, match="not running"):
        Capture(wire.b, "eth0", node="b").pipe_to(io.BytesIO())


def test_a_stopped_capture_gives_everything_back(wire: Wire) -> None:
    settle()
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Capture(wire.b, "eth0", node="b", buffer=1 << 20) as capture:
            capture.pipe_to(io.BytesIO())
        with Recorder(wire.b, node="b"):
            pass
        with pytest.raises(CaptureError):
            Capture(wire.b, "eth7", node="b").start()
    settle()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_recorder_keeps_the_last_frames_of_all_interfaces(wire: Wire) -> None:
    wire.vxlan()
    with Recorder(wire.a, node="a", limit=5) as recorder:
        send(wire.a, "eth0", *(numbered(number) for number in range(8)))
        send(wire.a, "vx0", numbered(8))
        assert recorder.drain() >= 10
        last = recorder.last(5)
        assert len(last) == len(recorder.frames) == 5
        assert ("vx0", True) in {(frame.interface, frame.outgoing) for frame in last}
        assert {frame.node for frame in last} == {"a"}
        assert 8 in numbers(last)
        assert numbers(recorder.last(1)) != numbers(last)
    assert recorder.last(0) == ()
    assert recorder.dropped == 0
    assert recorder.last(5) == last


def test_a_recorder_counts_exactly_what_it_lost(wire: Wire) -> None:
    with Recorder(wire.b, node="b", limit=100_000, buffer=4096) as recorder:
        send(wire.a, "eth0", *(numbered(number) for number in range(3_000)))
        received = recorder.drain()
        assert 0 < received < 3_000
        assert received + recorder.dropped == 3_000
    assert numbers(recorder.frames) == list(range(received))


def test_a_recorder_stamps_frames_as_a_capture_does(wire: Wire) -> None:
    with Recorder(wire.b, node="b") as recorder, Capture(wire.b, "eth0", node="b") as capture:
        send(wire.a, "eth0", numbered(1))
    (one,), (other,) = recorder.frames, capture.frames
    assert (one.data, one.length, one.interface) == (other.data, other.length, other.interface)
    assert abs(one.time_ns - other.time_ns) < 1_000_000_000


def test_frames_of_a_device_without_ethernet_get_a_header(wire: Wire) -> None:
    ip(wire.a, "link add vx1 type vxlan external gpe dstport 4790")
    ip(wire.a, "link set vx1 up")
    with Recorder(wire.a, node="a") as recorder, Capture(wire.a, "vx1", node="a") as capture:
        ip(wire.a, "addr add 10.9.0.1/24 dev vx1")
        with wire.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"hello", ("10.9.0.2", 9))
        capture.wait_for(lambda frame: frame.outer_dst == "10.9.0.2", "the datagram")
    assert [frame.udp_ports[1] for frame in capture.frames if frame.udp_ports] == [9]
    assert [frame.outer_dst for frame in recorder.frames if frame.interface == "vx1"] == [
        "10.9.0.2"
    ]
