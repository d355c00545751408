"""pcapng as it is written, read back by scapy and by hand; Wireshark's tools where present."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import struct
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vxlab.observe.frames import Frame
from vxlab.observe.pcapng import LiveStream, PcapngStream, write

START = 1_700_000_000_123_456_789


def frame(
    number: int, node: str = "a", interface: str = "eth0", outgoing: bool = False, size: int = 60
) -> Frame:
    data = bytes(12) + b"\x88\xb6" + bytes([number]) * (size - 14)
    return Frame(
        time_ns=START + number,
        data=data,
        length=size,
        outgoing=outgoing,
        node=node,
        interface=interface,
    )


@dataclass
class Fake:
    """A capture, as far as a file needs one."""

    node: str
    interface: str | None
    frames: list[Frame] = field(default_factory=list)
    dropped: int = 0
    proof: str = "proven live for this test"


@dataclass
class Block:
    kind: int
    body: bytes

    def options(self, skip: int) -> dict[int, bytes]:
        found, at = {}, skip
        while at < len(self.body):
            code, size = struct.unpack_from("<HH", self.body, at)
            if code == 0:
                assert at + 4 == len(self.body)
                return found
            found[code] = self.body[at + 4 : at + 4 + size]
            at += 4 + size + -size % 4
        raise AssertionError("options without an end")


def blocks(data: bytes) -> list[Block]:
    """The blocks of a little-endian section; both lengths of each must agree."""
    found, at = [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        found.append(Block(kind, data[at + 8 : at + size - 4]))
        at += size
    assert at == len(data)
    return found


def read(path: Path) -> list[Any]:
    from scapy.utils import PcapNgReader

    with PcapNgReader(str(path)) as reader:
        return list(reader)


def test_several_captures_become_one_file_in_order_of_time(tmp_path: Path) -> None:
    one = Fake("a", "eth0", [frame(1, outgoing=True), frame(4, outgoing=True)])
    two = Fake("b", "eth0", [frame(2, "b"), frame(5, "b")], dropped=3)
    loose = frame(3, "c", "vx0")
    write(tmp_path / "x.pcapng", [one, loose, two])
    packets = read(tmp_path / "x.pcapng")
    assert [bytes(packet)[20] for packet in packets] == [1, 2, 3, 4, 5]
    assert [packet.sniffed_on for packet in packets] == [
        "a/eth0",
        "b/eth0",
        "c/vx0",
        "a/eth0",
        "b/eth0",
    ]
    assert [int(packet.time * 10**9) for packet in packets] == [START + n for n in range(1, 6)]
    assert [packet.wirelen for packet in packets] == [60] * 5


def test_equal_times_keep_their_order(tmp_path: Path) -> None:
    same = [dataclasses.replace(frame(0), data=bytes(14) + bytes([n])) for n in range(9)]
    write(tmp_path / "x.pcapng", same)
    assert [bytes(packet)[14] for packet in read(tmp_path / "x.pcapng")] == list(range(9))


def test_blocks_are_those_of_the_draft(tmp_path: Path) -> None:
    capture = Fake("a", "eth0", [frame(1, size=61), frame(2, outgoing=True)], dropped=7)
    write(tmp_path / "x.pcapng", capture)
    section, interface, first, second, statistics = blocks((tmp_path / "x.pcapng").read_bytes())
    assert section.kind == 0x0A0D0D0A
    assert struct.unpack_from("<IHHq", section.body) == (0x1A2B3C4D, 1, 0, -1)
    assert section.options(16) == {4: b"vxlab"}
    assert interface.kind == 1
    assert struct.unpack_from("<HHI", interface.body) == (1, 0, 0)
    assert interface.options(8) == {2: b"a/eth0", 3: b"proven live for this test", 9: b"\x09"}
    high, low = (START + 1) >> 32, (START + 1) & 0xFFFFFFFF
    assert (first.kind, second.kind) == (6, 6)
    assert struct.unpack_from("<IIIII", first.body) == (0, high, low, 61, 61)
    assert first.options(20 + 64) == {2: struct.pack("<I", 1)}  # inbound
    assert second.options(20 + 60) == {2: struct.pack("<I", 2)}  # outbound
    assert statistics.kind == 5
    assert struct.unpack_from("<III", statistics.body) == (0, high, low + 1)
    assert statistics.options(12) == {4: struct.pack("<Q", 9), 5: struct.pack("<Q", 7)}


def test_drops_of_a_capture_on_all_interfaces_have_a_place_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "x.pcapng", Fake("a", None, [frame(1)], dropped=2))
    found = blocks((tmp_path / "x.pcapng").read_bytes())
    names = [block.options(8)[2] for block in found if block.kind == 1]
    assert names == [b"a/any", b"a/eth0"]
    (statistics,) = (block for block in found if block.kind == 5)
    assert struct.unpack_from("<I", statistics.body) == (0,)


def test_two_captures_on_one_interface_share_its_block(tmp_path: Path) -> None:
    write(tmp_path / "x.pcapng", [Fake("a", "eth0", [frame(n)], dropped=n) for n in (1, 2)])
    found = blocks((tmp_path / "x.pcapng").read_bytes())
    assert [block.kind for block in found[1:]] == [1, 6, 6, 5]
    assert found[-1].options(12)[5] == struct.pack("<Q", 3)


def test_a_cut_frame_keeps_its_length(tmp_path: Path) -> None:
    cut = dataclasses.replace(frame(0), data=bytes(33), length=1500)
    write(tmp_path / "x.pcapng", [cut])
    (packet,) = read(tmp_path / "x.pcapng")
    assert (len(bytes(packet)), packet.wirelen) == (33, 1500)


def test_nothing_at_all_is_a_valid_file(tmp_path: Path) -> None:
    write(tmp_path / "x.pcapng", [])
    assert [block.kind for block in blocks((tmp_path / "x.pcapng").read_bytes())] == [0x0A0D0D0A]
    write(str(tmp_path / "y.pcapng"), Fake("a", "eth0"))
    assert read(tmp_path / "y.pcapng") == []


def test_each_block_of_a_stream_is_flushed_whole() -> None:
    class Pipe(io.BytesIO):
        flushed = b""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    pipe = Pipe()
    stream = PcapngStream(pipe)
    kinds = []
    assert [block.kind for block in blocks(pipe.flushed)] == [0x0A0D0D0A]
    for number, interface in enumerate(["eth0", "vx0", "eth0"]):
        stream.add(frame(number, interface=interface))
        kinds = [block.kind for block in blocks(pipe.flushed)]
    assert kinds == [0x0A0D0D0A, 1, 6, 1, 6, 6]


def live(file: Any, frames: list[Frame]) -> LiveStream:
    """A stream over a fixed list of frames; its descriptor never becomes readable."""
    source = Fake("a", "eth0", frames)
    read_fd, write_fd = os.pipe()
    stream = LiveStream(source, lambda number: list(frames[number:]), read_fd, file)
    close = stream.close

    def close_all() -> None:
        close()
        os.close(read_fd)
        os.close(write_fd)

    stream.close = close_all  # type: ignore[method-assign]
    return stream


def test_a_live_stream_takes_up_what_it_is_woken_for() -> None:
    class Watched(io.BytesIO):
        def __init__(self) -> None:
            super().__init__()
            self.grown = threading.Condition()

        def flush(self) -> None:
            with self.grown:
                self.grown.notify_all()

        def wait_for_packets(self, count: int) -> None:
            with self.grown:
                assert self.grown.wait_for(lambda: self.packets() >= count, 10)

        def packets(self) -> int:
            return sum(block.kind == 6 for block in blocks(self.getvalue()))

    file, frames = Watched(), [frame(1)]
    stream = live(file, frames)
    file.wait_for_packets(1)
    frames.append(frame(2))
    stream.wake()
    file.wait_for_packets(2)
    frames.append(frame(3))
    stream.close()
    kinds = [block.kind for block in blocks(file.getvalue())]
    assert kinds == [0x0A0D0D0A, 1, 6, 6, 6, 5]
    assert stream.error is None
    stream.wake()  # does nothing any more


def test_a_live_stream_notes_a_file_that_was_closed() -> None:
    file = io.BytesIO()
    file.close()
    stream = live(file, [frame(1)])
    stream.close()
    assert isinstance(stream.error, ValueError)


def test_a_viewer_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveStream, "patience", 0.05)
    read_fd, write_fd = os.pipe()
    with open(write_fd, "wb", buffering=0) as writer:
        stream = live(writer, [frame(n % 256, size=1500) for n in range(200)])
        stream.close()
        assert isinstance(stream.error, TimeoutError)
        os.close(read_fd)  # lets the thread go, with BrokenPipeError
        stream.thread.join(10)
    assert not stream.thread.is_alive()


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")
def test_capinfos_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "x.pcapng", Fake("a", "eth0", [frame(1), frame(2)], dropped=7))
    run = ["capinfos", "-M", str(tmp_path / "x.pcapng")]
    output = subprocess.run(run, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "Number of packets:   2" in output
    assert "nanoseconds" in output
    assert "Name = a/eth0" in output


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "x.pcapng", [frame(1), frame(2, "b", outgoing=True)])
    fields = ["-Tfields", "-eframe.interface_name", "-eframe.packet_flags_direction"]
    run = ["tshark", "-r", str(tmp_path / "x.pcapng"), *fields]
    output = subprocess.run(run, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert output.splitlines() == ["a/eth0\t0x00000001", "b/eth0\t0x00000002"]
