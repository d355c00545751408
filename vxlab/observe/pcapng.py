"""pcapng: what was captured, as a file for Wireshark and similar programs.

:func:`write` makes a file, :class:`PcapngStream` writes one live into a pipe.  One interface block
stands for each (node, interface), named ``node/interface``; time stamps are in nanoseconds; each
packet says whether the node received or sent it; the statistics block at the end says how many
frames the kernel had to drop.

Numbers: IETF draft-ietf-opsawg-pcapng (block types and options, sections 4.1 to 4.6).
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Protocol

from vxlab.observe.frames import Frame

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1  # LINKTYPE_ETHERNET
_APPLICATION = 4  # options of the section block
_NAME, _DESCRIPTION, _RESOLUTION = 2, 3, 9  # of an interface block
_FLAGS, _INBOUND, _OUTBOUND = 2, 1, 2  # of a packet block
_RECEIVED, _DROPPED = 4, 5  # of a statistics block


class Source(Protocol):
    """What is written of a capture: its frames, and how far they can be trusted."""

    @property
    def node(self) -> str:
        """The node it ran in."""
        ...

    @property
    def interface(self) -> str | None:
        """The interface it listened on; None for all of them."""
        ...

    @property
    def frames(self) -> Sequence[Frame]:
        """All frames so far."""
        ...

    @property
    def dropped(self) -> int:
        """How many frames the kernel saw but had no room for."""
        ...

    @property
    def proof(self) -> str:
        """One sentence on whether the capture was proven live; it becomes if_description."""
        ...


class PcapngStream:
    """Writes one pcapng section to a binary file object, block by block.

    Every block is written at once and flushed, so a viewer at the other end of a pipe shows each
    frame as it comes (as with ``tcpdump -U -w -``).  Errors of the file object, BrokenPipeError
    among them, reach the caller.  The file object stays open.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._interfaces: dict[tuple[str, str], int] = {}
        self._last_ns = 0
        version = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)  # -1: a section of any length
        self._block(_SECTION, version + _options((_APPLICATION, b"vxlab")))
        file.flush()

    def declare(self, node: str, interface: str, description: str = "") -> int:
        """The number of an interface within the section; its block is written the first time.

        ``node`` and ``interface`` are names, ``description`` is its option ``if_description``.
        """
        number = self._interfaces.get((node, interface))
        if number is None:
            number = self._interfaces[node, interface] = len(self._interfaces)
            options = [(_NAME, f"{node}/{interface}".encode()), (_RESOLUTION, b"\x09")]
            if description:
                options.insert(1, (_DESCRIPTION, description.encode()))
            self._block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + _options(*options))
        return number

    def add(self, frame: Frame) -> None:
        """Write one frame, after the block of its interface where that is new."""
        number = self.declare(frame.node, frame.interface)
        self._last_ns = max(self._last_ns, frame.time_ns)
        head = struct.pack(
            "<IIIII", number, *_time(frame.time_ns), len(frame.data), max(frame.length, 0)
        )
        direction = struct.pack("<I", _OUTBOUND if frame.outgoing else _INBOUND)
        self._block(_PACKET, head + _padded(frame.data) + _options((_FLAGS, direction)))
        self._file.flush()

    def statistics(self, node: str, interface: str, received: int, dropped: int) -> None:
        """Write the statistics of one interface.

        ``node`` and ``interface`` are names, ``received`` is the number of frames that arrived,
        ``dropped`` how many of them there was no room for.
        """
        number = self.declare(node, interface)
        counts = [(_RECEIVED, received), (_DROPPED, dropped)]
        options = _options(*((code, struct.pack("<Q", count)) for code, count in counts))
        self._block(_STATISTICS, struct.pack("<III", number, *_time(self._last_ns)) + options)
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self._file.write(struct.pack("<I", kind) + size + body + size)


class LiveStream:
    """Writes the frames of a running capture in a thread of its own; see ``Capture.pipe_to``.

    ``source`` is the capture, ``since`` gives its frames from a number on, ``fd`` is a descriptor
    that is readable when there are more of them, ``file`` what is written to.  A viewer that ends
    ends the stream and nothing else: ``error`` then holds what happened.
    """

    #: Seconds that the end of a stream waits for a viewer to read what is left.
    patience = 2.0

    def __init__(
        self, source: Source, since: Callable[[int], list[Frame]], fd: int, file: IO[bytes]
    ) -> None:
        self.error: Exception | None = None
        self._source, self._since, self._fd, self._file = source, since, fd, file
        self._ending = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.thread = threading.Thread(target=self._work, name="vxlab-stream", daemon=True)
        self.thread.start()

    def wake(self) -> None:
        """Tell the thread to look for new frames."""
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Write what is left and end; the thread is left behind where the viewer does not read."""
        self._ending = True
        self.wake()
        self.thread.join(self.patience)
        if self.thread.is_alive():
            self.error = TimeoutError("the viewer of a live capture does not read")
        elif self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _work(self) -> None:
        source, number, poll = self._source, 0, select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        try:
            stream, place = PcapngStream(self._file), (source.node, source.interface or "any")
            stream.declare(*place, source.proof)
            while True:
                ending = self._ending
                for frame in self._since(number):
                    stream.add(frame)
                    number += 1
                if ending:
                    break
                poll.poll()
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            stream.statistics(*place, number + source.dropped, source.dropped)
        except (OSError, ValueError) as error:  # ValueError: the file object was closed
            self.error = error


def write(path: str | os.PathLike[str], what: Source | Iterable[Source | Frame]) -> None:
    """Write captures, or frames, or a mixture of both, to a pcapng file in order of time.

    ``what`` is one capture or any number of captures and frames.  Frames with equal time stamps
    stay in the order given.  A capture on all interfaces of a node has its drop count on an
    interface named ``node/any``.  OSError where the file cannot be written.
    """
    items = list(what) if isinstance(what, Iterable) else [what]
    sources = [item for item in items if not isinstance(item, Frame)]
    frames: list[Frame] = []
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for item in items:
        if isinstance(item, Frame):
            frames.append(item)
            continue
        seen = item.frames
        frames += seen
        place = (item.node, item.interface or "any")
        received, dropped = totals.get(place, (0, 0))
        totals[place] = (received + len(seen) + item.dropped, dropped + item.dropped)
    with Path(path).open("wb") as file:
        stream = PcapngStream(file)
        for source in sources:
            stream.declare(source.node, source.interface or "any", source.proof)
        for frame in sorted(frames, key=lambda frame: frame.time_ns):
            stream.add(frame)
        for place, counts in totals.items():
            stream.statistics(*place, *counts)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    """Options, each padded to 32 bits, and the mark that ends them."""
    written = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join(written) + bytes(4)


def _time(ns: int) -> tuple[int, int]:
    return ns >> 32 & 0xFFFFFFFF, ns & 0xFFFFFFFF
