"""A live stream of a capture shows each frame at once, and never harms the capture."""

from __future__ import annotations

import io
import os

import pytest
from capture_tools import VethPair, numbered, numbers, send

from vxlab.errors import CaptureError
from vxlab.observe import pcapng
from vxlab.observe.capture import Capture


def test_a_live_stream_shows_each_frame_before_the_capture_ends(veth: VethPair) -> None:
    read_fd, write_fd = os.pipe()
    with (
        open(read_fd, "rb", buffering=0) as reader,
        open(write_fd, "wb", buffering=0) as writer,
        Capture(veth.b, "eth0", node="b") as capture,
    ):
        send(veth.a, "eth0", numbered(1))
        stream = capture.pipe_to(writer)
        assert numbered(1) in read_until(reader, numbered(1))
        send(veth.a, "eth0", numbered(2))
        assert numbered(2) in read_until(reader, numbered(2))
        send(veth.a, "eth0", numbered(3))
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


def test_a_viewer_that_goes_away_does_not_harm_the_capture(veth: VethPair) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with open(write_fd, "wb", buffering=0) as writer, Capture(veth.b, "eth0", node="b") as capture:
        stream = capture.pipe_to(writer)
        send(veth.a, "eth0", numbered(1))
    assert isinstance(stream.error, BrokenPipeError)
    assert numbers(capture.frames) == [1]
    assert capture.was_live


def test_frames_read_elsewhere_wake_the_stream(
    veth: VethPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[pcapng.LiveStream] = []
    wake = pcapng.LiveStream.wake
    monkeypatch.setattr(
        pcapng.LiveStream, "wake", lambda stream: (woken.append(stream), wake(stream))
    )
    with Capture(veth.b, "eth0", node="b") as capture:
        stream = capture.pipe_to(io.BytesIO())
        assert capture.frames == ()
        assert woken == []
        send(veth.a, "eth0", numbered(1))
        capture.wait_for(lambda frame: True, "the frame")
        assert woken == [stream]


def test_a_stream_needs_a_running_capture(veth: VethPair) -> None:
    with pytest.raises(CaptureError, match="not running"):
        Capture(veth.b, "eth0", node="b").pipe_to(io.BytesIO())
