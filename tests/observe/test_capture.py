"""What a capture keeps: each frame once, whole, with its time, direction and interface."""

from __future__ import annotations

import io
import os
import socket

import pytest
from capture_tools import (
    A_MAC,
    B_MAC,
    TEST_TYPE,
    VethPair,
    ip,
    numbered,
    numbers,
    send,
    send_marked,
)

from vxlab.errors import CaptureError
from vxlab.observe.capture import Capture
from vxlab.observe.packetsocket import settle
from vxlab.observe.recorder import Recorder


def test_a_burst_of_20000_frames_is_captured_without_loss(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b", buffer=64 << 20) as capture:
        send(veth.a, "eth0", *(numbered(number) for number in range(20_000)))
    assert capture.dropped == 0
    assert len(capture.frames) == 20_000
    assert numbers(capture.frames) == list(range(20_000))
    assert capture.was_live


def test_a_burst_of_20000_full_sized_frames_is_captured_without_loss(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b", buffer=64 << 20) as capture:
        send(veth.a, "eth0", *(numbered(number, 1514) for number in range(20_000)))
    assert (len(capture.frames), capture.dropped) == (20_000, 0)
    assert all(len(frame.data) == frame.length == 1514 for frame in capture.frames)


@pytest.mark.parametrize("buffer", [1, 4096, 64 << 10, 1 << 20])
def test_what_a_small_buffer_cannot_hold_is_counted_exactly(veth: VethPair, buffer: int) -> None:
    with Capture(veth.b, "eth0", node="b", buffer=buffer) as capture:
        send(veth.a, "eth0", *(numbered(number) for number in range(2_000)))
        count = len(capture.frames)
        assert count == max(buffer, 4096) // 2048
        assert count + capture.dropped == 2_000
        send(veth.a, "eth0", numbered(2_000))
    assert numbers(capture.frames) == [*range(count), 2_000]
    assert count + capture.dropped == 2_000
    assert capture.was_live


def test_frames_tell_time_direction_node_and_interface(veth: VethPair) -> None:
    with Capture(veth.a, "eth0", node="a") as out, Capture(veth.b, "eth0", node="b") as back:
        send(veth.a, "eth0", numbered(1))
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
def test_vlan_tags_stay_where_they_were(veth: VethPair, tag: str) -> None:
    frame = numbered(7)
    tagged = frame[:12] + bytes.fromhex(tag) + frame[12:]
    with (
        Capture(veth.a, "eth0", node="a") as out,
        Capture(veth.b, "eth0", node="b") as back,
        Recorder(veth.b, node="b") as recorder,
    ):
        send(veth.a, "eth0", tagged)
    for seen in (out.frames, back.frames, recorder.frames):
        assert [(frame.data, frame.length) for frame in seen] == [(tagged, len(tagged))]
    assert back.frames[0].ethertype == 0x88B6


def test_frames_larger_than_a_slot_are_whole(veth: VethPair) -> None:
    for node in (veth.a, veth.b):
        ip(node, "link set eth0 mtu 9000")
    large = [(B_MAC + A_MAC + TEST_TYPE + bytes([n]) * 8986) for n in range(50)]
    mixed = [frame for n, frame in enumerate(large) for frame in (frame, numbered(n))]
    with Capture(veth.b, "eth0", node="b") as capture:
        send(veth.a, "eth0", *mixed)
    assert [frame.data for frame in capture.frames] == mixed
    assert capture.frames[0].length == 9000


def test_a_capture_runs_only_once(veth: VethPair) -> None:
    with Capture(veth.a, "eth0", node="a") as capture:
        pass
    with pytest.raises(CaptureError, match="has run already"):
        capture.start()
    capture.stop()
    assert capture.was_live


def test_a_vxlan_device_shows_the_inner_frame_and_its_veth_the_outer_one(veth: VethPair) -> None:
    veth.vxlan()
    with (
        Capture(veth.b, "vx0", node="b") as inside,
        Capture(veth.b, "eth0", node="b") as outside,
    ):
        send(veth.a, "vx0", numbered(5))
        inside.wait_for(lambda frame: True, "the inner frame")
    assert numbers(inside.frames) == [5]
    (found,) = outside.encapsulated()
    assert (found.vni, found.flags, found.port, found.ttl) == (42, 0x08, 8472, 64)
    assert (found.outer_src, found.outer_dst) == ("10.0.0.1", "10.0.0.2")
    assert found.inner.data == numbered(5)
    assert inside.was_live
    assert outside.was_live
    assert "b/vx0 itself by its counters" in inside.proof


def test_all_interfaces_together_have_their_own_names(veth: VethPair) -> None:
    veth.vxlan()
    with Capture(veth.b, None, node="b") as capture:
        send(veth.a, "vx0", numbered(5))
        capture.wait_for(lambda frame: frame.interface == "vx0", "a frame on vx0")
    assert [frame.interface for frame in capture.frames if frame.data[12:14] != b"\x08\x06"] == [
        "eth0",
        "vx0",
    ]
    assert capture.was_live


def test_lo_shows_each_frame_twice(veth: VethPair) -> None:
    with Capture(veth.a, "lo", node="a") as capture:
        send_marked(veth.a, "127.0.0.1", b"hello")
    marked = [(frame.outgoing, frame.mark) for frame in capture.frames if frame.mark]
    assert marked == [(True, b"hello"), (False, b"hello")]
    assert capture.payloads() == [b"hello"]


def test_packets_are_dissected_once_and_on_the_port_of_the_capture(veth: VethPair) -> None:
    with Capture(veth.b, "eth0", node="b", ports=[5555]) as capture:
        with veth.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(bytes.fromhex("0800000000002a00") + numbered(1), ("10.0.0.2", 5555))
        capture.wait_for(lambda frame: frame.udp_ports is not None, "the datagram")
        packets = capture.packets()
        send(veth.a, "eth0", numbered(2))
        again = capture.packets()
    (tunnel,) = (packet["VXLAN"] for packet in packets if "VXLAN" in packet)
    assert (tunnel.vni, bytes(tunnel.payload)) == (42, numbered(1))
    assert all(one is other for one, other in zip(packets, again, strict=False))
    assert len(again) > len(packets)
    assert [found.vni for found in capture.encapsulated()] == [42]


def test_a_stopped_capture_gives_everything_back(veth: VethPair) -> None:
    settle()
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Capture(veth.b, "eth0", node="b", buffer=1 << 20) as capture:
            capture.pipe_to(io.BytesIO())
        with Recorder(veth.b, node="b"):
            pass
        with pytest.raises(CaptureError):
            Capture(veth.b, "eth7", node="b").start()
    settle()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_frames_of_a_device_without_ethernet_get_a_header(veth: VethPair) -> None:
    ip(veth.a, "link add vx1 type vxlan external gpe dstport 4790")
    ip(veth.a, "link set vx1 up")
    with Recorder(veth.a, node="a") as recorder, Capture(veth.a, "vx1", node="a") as capture:
        ip(veth.a, "addr add 10.9.0.1/24 dev vx1")
        with veth.a.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"hello", ("10.9.0.2", 9))
        capture.wait_for(lambda frame: frame.outer_dst == "10.9.0.2", "the datagram")
    assert [frame.udp_ports[1] for frame in capture.frames if frame.udp_ports] == [9]
    assert [frame.outer_dst for frame in recorder.frames if frame.interface == "vx1"] == [
        "10.9.0.2"
    ]
