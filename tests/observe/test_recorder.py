"""A recorder keeps the last frames of all interfaces of a node."""

from __future__ import annotations

from capture_tools import VethPair, numbered, numbers, send

from vxlab.observe.capture import Capture
from vxlab.observe.recorder import Recorder


def test_a_recorder_keeps_the_last_frames_of_all_interfaces(veth: VethPair) -> None:
    veth.vxlan()
    with Recorder(veth.a, node="a", limit=5) as recorder:
        send(veth.a, "eth0", *(numbered(number) for number in range(8)))
        send(veth.a, "vx0", numbered(8))
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


def test_a_recorder_counts_exactly_what_it_lost(veth: VethPair) -> None:
    with Recorder(veth.b, node="b", limit=100_000, buffer=4096) as recorder:
        send(veth.a, "eth0", *(numbered(number) for number in range(3_000)))
        received = recorder.drain()
        assert 0 < received < 3_000
        assert received + recorder.dropped == 3_000
    assert numbers(recorder.frames) == list(range(received))


def test_a_recorder_stamps_frames_as_a_capture_does(veth: VethPair) -> None:
    with Recorder(veth.b, node="b") as recorder, Capture(veth.b, "eth0", node="b") as capture:
        send(veth.a, "eth0", numbered(1))
    (one,), (other,) = recorder.frames, capture.frames
    assert (one.data, one.length, one.interface) == (other.data, other.length, other.interface)
    assert abs(one.time_ns - other.time_ns) < 1_000_000_000
