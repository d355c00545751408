"""A recorder: the last frames of a node, for the report of a test that fails."""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import Any, Self

from vxlab.observe import packetsocket as ps
from vxlab.observe.frames import Frame
from vxlab.observe.probes import nonce_of
from vxlab.system.namespaces import Namespaces

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h


class Recorder:
    """A recorder for failure reports: the last ``limit`` frames on all interfaces of a node.

    ``namespaces`` are the node's, ``node`` is its name.  One socket, no thread, not proven live.
    :meth:`drain` must be called now and then: until then the kernel keeps the *oldest* frames, what
    fits in ``buffer`` bytes or in ``net.core.rmem_max`` where that is less, and counts the others
    in ``dropped``.

    Frames that wait in its queue are shared, and GRO does not merge those (gro_cells_receive() in
    net/core/gro_cells.c): in a test of GRO, close the recorders first.
    """

    interface: str | None = None
    proof = "a recorder, not proven live"

    def __init__(
        self, namespaces: Namespaces, *, node: str, limit: int = 1000, buffer: int = 4 << 20
    ) -> None:
        self.node, self.dropped = node, 0
        self._frames: deque[Frame] = deque(maxlen=limit)
        self._room = bytearray(1 << 16)
        self._sock = namespaces.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._sock.setsockopt(ps.SOL_PACKET, ps.PACKET_AUXDATA, 1)
        ps.listen(self._sock, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def drain(self) -> int:
        """Read, without waiting, what has come; returns the number of frames."""
        count = 0
        while self._sock.fileno() >= 0:
            try:
                size, notes, _, sender = self._sock.recvmsg_into(
                    [self._room], 256, socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                self.dropped += ps.take_drops(self._sock)
                break
            frame = self._frame(size, notes, sender)
            if nonce_of(frame) is None:
                self._frames.append(frame)
                count += 1
        return count

    def _frame(self, size: int, notes: list[tuple[int, int, bytes]], sender: Any) -> Frame:
        """What was read last: ``size`` bytes, with what the kernel noted of them."""
        said = {(level, kind): value for level, kind, value in notes}
        seconds, ns = struct.unpack("ll", said[socket.SOL_SOCKET, _SO_TIMESTAMPNS])
        aux = struct.unpack("IIIHHHH", said[ps.SOL_PACKET, ps.PACKET_AUXDATA])
        info = ps.FrameInfo(
            status=aux[0],
            length=aux[1],
            tag=aux[5],
            tag_type=aux[6],
            protocol=sender[1],
            arp_type=sender[3],
            kind=sender[2],
        )
        when, place = seconds * 10**9 + ns, sender[0] or "gone"
        return info.frame(bytes(self._room[:size]), when, self.node, place)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The frames that are kept, the oldest first."""
        self.drain()
        return tuple(self._frames)

    def last(self, count: int = 20) -> tuple[Frame, ...]:
        """The last ``count`` frames, the oldest of them first."""
        return self.frames[-count:] if count > 0 else ()

    def close(self) -> None:
        """Read what is left and close the socket; the frames stay.  Safe to call twice."""
        if self._sock.fileno() >= 0:
            self.drain()
            ps.close_soon(self._sock)
