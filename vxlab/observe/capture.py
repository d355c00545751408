"""Raw capture of what passes the interfaces of a node, proven live before it is believed.

The kernel writes the frames of a :class:`Capture` into a ring in memory shared with this process.
An ordinary user in a user namespace may have a ring of any size, where a socket's own queue is
held to ``net.core.rmem_max``: a few hundred frames on many kernels.

**Proof of life.**  At start and at stop a probe, a frame with a fresh nonce, is sent from a second
socket and must be seen; all that came before it is then complete.  Probes are never shown among
the frames.  They go out of the interface itself where that is harmless, else over lo:

* veth, dummy, vrf, lo: itself, to 01:80:c2:00:00:01, which a bridge neither learns from nor
  forwards (net/bridge/br_input.c).  The other end of a veth counts one more frame received for
  each; a vrf drops it as a transmit error.
* all others, and ``interface=None``: lo, so that nothing leaves the node.  (A bridge sends even
  what is for its own MAC out of the port it has that MAC from; a vxlan device would flood it.)
  One socket receives from the interface and, from lo, the probes: a filter chooses by index.  That
  proves socket, filter, ring and reader, not the device.  So at stop the device must be the same
  and up, and where its counters moved, frames of that direction must have been seen.

The proof is about what the kernel has handed to the device.  A frame still on its way from another
node may come later: before silence counts, wait for something that is known to come after it.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Collection
from typing import IO, TYPE_CHECKING, Self

from vxlab.errors import CaptureError, VxlabError, WaitTimeout
from vxlab.observe import packetsocket as ps
from vxlab.observe import pcapng, probes
from vxlab.observe.frames import VXLAN_PORTS, Encapsulated, Frame, decapsulate
from vxlab.observe.pcapng import LiveStream
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import DEADLINE

if TYPE_CHECKING:
    from scapy.packet import Packet

#: Bytes of kernel memory that a capture takes unless told otherwise.
BUFFER = 16 << 20

_DIRECT = ("veth", "dummy", "vrf", "lo")
_DEAF = (0x06, 0, 0, 0)  # BPF: accept nothing


class Capture:
    """Captures on one interface of a node, or on all for ``interface=None``; a context manager.

    ``namespaces`` are the node's, ``interface`` and ``node`` are names.  ``ports`` are the UDP
    ports on which VXLAN is taken apart.  ``buffer`` is the size of the ring in bytes of kernel
    memory, held from start to stop: 2048 for each frame between two reads, so that 16 MB take a
    burst of 8192 (64 MB take the kernel four times as long to provide).  lo shows each frame twice,
    sent and received; a vrf shows as sent what it receives (drivers/net/vrf.c).

    :meth:`vxlab.Lab.capture` makes captures by the names of nodes, with the ports of the lab.
    """

    #: Seconds that one proof may take; it takes microseconds unless probes have to queue.
    proof_timeout = 2.0

    def __init__(
        self,
        namespaces: Namespaces,
        interface: str | None,
        *,
        node: str,
        ports: Collection[int] = VXLAN_PORTS,
        buffer: int = BUFFER,
    ) -> None:
        self.node, self.interface, self.ports = node, interface, ports
        self._namespaces, self._buffer = namespaces, buffer
        self._where = f"{node}/{interface or 'any'}"
        self._ring: ps.Ring | None = None
        self._sender: socket.socket | None = None
        self._frames: list[Frame] = []
        self._packets: list[Packet] = []
        self._probes: set[bytes] = set()
        self._proofs: list[str] = []  # one a proof: empty, or what was wrong
        self._dropped = 0
        self._lock = threading.RLock()
        self._streams: list[LiveStream] = []

    def start(self) -> Self:
        """Capture from now on; CaptureError where that cannot be done, or not be proven live."""
        if self._proofs:
            raise CaptureError(f"{self._where}: this capture has run already: make a new one")
        try:
            self._attach()
            self._proofs.append(self._prove())
            if self._proofs[0]:
                raise CaptureError(f"{self._where}: wanted a live capture, found {self._proofs[0]}")
            self._counted = ps.packet_counters(self._namespaces)
        except BaseException:
            self._release()
            raise
        return self

    def stop(self) -> None:
        """Prove the capture once more, read what is left, and close it; safe to call twice.

        It raises nothing where the proof fails: :attr:`was_live` and :attr:`proof` tell.
        """
        if self._ring is None:
            return
        try:
            self._proofs.append(self._prove() or self._check_interface())
        except VxlabError as error:
            self._proofs.append(f"that its node had gone ({error})")
        finally:
            for stream in self._streams:
                stream.close()
            self._release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _attach(self) -> None:
        """Open the sockets and the ring, and listen."""
        sender = self._sender = self._namespaces.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._link = self._find_up(self.interface or "lo")
        direct = self._link.driver in _DIRECT
        self._path = self._link if direct else self._find_up("lo")
        sender.bind((self._path.name, 0))
        sock = self._namespaces.socket(socket.AF_PACKET, socket.SOCK_RAW)
        try:
            self._ring = ps.Ring(sock, self._buffer, self.node)
        except (OSError, struct.error) as error:  # struct: not even the number fits
            sock.close()
            ring = f"{self._where}: wanted a ring of {self._buffer} bytes"
            raise CaptureError(f"{ring}, found {error}: give a smaller buffer") from error
        if not direct:  # this interface, and of lo what has the ethertype of a probe
            load_index, load_type = (0x20, 0, 0, 0xFFFFF008), (0x28, 0, 0, 12)
            wanted, on_lo = (0x15, 3, 0, self._link.number), (0x15, 0, 3, self._path.number)
            is_probe, take = (0x15, 0, 1, 0x88B5), (0x06, 0, 0, 0x40000)
            ps.attach_filter(sock, load_index, wanted, on_lo, load_type, is_probe, take, _DEAF)
        ps.listen(sock, self._link.number if direct and self.interface else 0)

    def _find_up(self, name: str) -> ps.InterfaceInfo:
        assert self._sender
        found = ps.find_interface(self._sender, name)
        if found is None:
            names = ", ".join(ps.packet_counters(self._namespaces))
            raise CaptureError(f"{self.node}: wanted the interface {name!r}, found only {names}")
        if not found.up:
            why = "" if name == self.interface else ", for the proof of life goes there"
            raise CaptureError(f"{self._where}: found {name} down: set it up first{why}")
        return found

    def _prove(self) -> str:
        """Send probes until one is seen.  Returns nothing, or what was wrong."""
        assert self._sender
        deadline, pause, mine = time.monotonic() + self.proof_timeout, 0.001, set[bytes]()
        self._since(0)  # makes room for the probe
        while True:
            late, problem = time.monotonic() >= deadline, "that no probe was seen"
            mine.add(nonce := os.urandom(16))
            try:
                self._sender.send(probes.frame_of(self._path.mac, nonce))
            except OSError as error:
                problem = f"that no probe could be sent ({error.strerror})"
            self._since(0)
            if mine & self._probes:
                return ""
            if late:
                return f"{problem} on {self._path.name} within {self.proof_timeout:g} s"
            self._wait(pause)
            pause = min(pause * 2, 0.1)

    def _check_interface(self) -> str:
        """Where probes took another way: what is wrong with the interface itself, or nothing."""
        if self.interface is None or self._path is self._link:
            return ""
        assert self._sender
        found = ps.find_interface(self._sender, self.interface)
        if found is None or found.number != self._link.number or not found.up:
            return f"that {self.interface} had gone away or down"
        deadline, before = time.monotonic() + self.proof_timeout, self._counted[self.interface]
        while True:  # what is counted may still be on its way
            late = time.monotonic() >= deadline
            after = ps.packet_counters(self._namespaces)[self.interface]
            seen = {frame.outgoing for frame in self._since(0)}
            if self.dropped or all(before[way] == after[way] or way in seen for way in (0, 1)):
                return ""
            if late:
                return f"counters of {self.interface} moving from {before} to {after}, and no frame"
            self._wait(0.01)

    def _release(self) -> None:
        with self._lock:
            if self._sender is not None:
                ps.close_soon(self._sender)
            if self._ring is not None:
                self._dropped += ps.take_drops(self._ring.sock)
                self._ring.close()
            self._ring = self._sender = None

    def deafen(self) -> None:
        """Let this running capture receive nothing more: the control of a test of silence.

        Its proof at stop fails from now on, without waiting long for it.
        """
        if self._ring is None:
            raise CaptureError(f"{self._where}: wanted a running capture, found it not running")
        self.proof_timeout = min(self.proof_timeout, 0.1)
        ps.attach_filter(self._ring.sock, _DEAF)

    def _since(self, number: int) -> list[Frame]:
        """Read what has come, without waiting; the frames from ``number`` on."""
        with self._lock:
            before = len(self._frames)
            for frame in self._ring.read() if self._ring else ():
                if (nonce := probes.nonce_of(frame)) is None:
                    self._frames.append(frame)
                else:
                    self._probes.add(nonce)
            for stream in self._streams if len(self._frames) > before else ():
                stream.wake()
            return self._frames[number:]

    def _wait(self, seconds: float) -> None:
        """Wait for a frame; not for long, as another thread may read it first."""
        if self._ring is not None:
            poll = select.poll()
            poll.register(self._ring.sock, select.POLLIN)
            poll.poll(max(1, min(50, seconds * 1000)))

    @property
    def was_live(self) -> bool:
        """True where the proof at start and, once stopped, the one at stop succeeded."""
        wanted = 1 if self._ring else 2
        return len(self._proofs) == wanted and not any(self._proofs)

    @property
    def proof(self) -> str:
        """How the capture was proven live, or why it was not, in one sentence."""
        if not self.was_live:
            return f"not proven live: found {next(filter(None, self._proofs), 'it never started')}"
        when = "at start" if self._ring else "at start and stop"
        checked = "" if self._path is self._link else f"; {self._where} itself by its counters"
        return f"proven live {when} by a probe on {self._path.name}{checked}"

    @property
    def dropped(self) -> int:
        """How many frames the kernel saw and had no room for: exact, probes included."""
        with self._lock:
            if self._ring is not None:
                self._dropped += ps.take_drops(self._ring.sock)
            return self._dropped

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All frames so far, in the order the kernel saw them."""
        return tuple(self._since(0))

    def packets(self) -> list[Packet]:
        """All frames so far as scapy packets (see :meth:`Frame.packet`); each is made once."""
        self._packets += (frame.packet(self.ports) for frame in self._since(len(self._packets)))
        return list(self._packets)

    def payloads(self) -> list[bytes]:
        """The marked payloads received, not sent, outside of tunnels, as often as they came."""
        marks = (frame.mark for frame in self._since(0) if not frame.outgoing)
        return [mark for mark in marks if mark is not None]

    def encapsulated(self) -> list[Encapsulated]:
        """All VXLAN packets so far, sent and received."""
        found = (decapsulate(frame, self.ports) for frame in self._since(0))
        return [tunnel for tunnel in found if tunnel is not None]

    def wait_for(
        self, predicate: Callable[[Frame], bool], what: str, *, timeout: float = DEADLINE
    ) -> Frame:
        """The first frame since the start for which ``predicate`` is true, waiting for it.

        ``what`` names it in the error.  WaitTimeout after ``timeout`` seconds says what was
        awaited, and what came instead.
        """
        begun, number = time.monotonic(), 0
        while True:
            passed = time.monotonic() - begun
            late = passed >= timeout or self._ring is None
            fresh = self._since(number)
            for frame in fresh:
                if predicate(frame):
                    return frame
            number += len(fresh)
            if late:
                break
            self._wait(timeout - passed)
        last = "; ".join(frame.summary(self.ports) for frame in self._frames[-5:])
        instead = f"{number} other frames, the last of them {last}" if number else "no frame at all"
        lost = f", and {self.dropped} dropped" if self.dropped else ""
        raise WaitTimeout(f"{self._where}: waited {passed:.3g} s for {what}; found {instead}{lost}")

    def wait_for_payload(self, data: bytes, *, timeout: float = DEADLINE) -> Frame:
        """The first received frame that carries the marked payload ``data``, waiting for it."""
        what = f"the marked payload {data!r}"
        return self.wait_for(lambda x: not x.outgoing and x.mark == data, what, timeout=timeout)

    def assert_silent(self, predicate: Callable[[Frame], bool], what: str) -> None:
        """Assert that no frame so far was ``what``, as ``predicate`` tells.

        AssertionError where one was.  CaptureError where silence would mean nothing: the capture
        was not live (while it runs it is proven now), or it dropped frames.
        """
        found = self._prove() if self._ring else "" if self.was_live else self.proof
        if not found and self.dropped:
            found = f"{self.dropped} frames dropped: give a larger buffer"
        if found:
            raise CaptureError(f"{self._where}: wanted to be sure of no {what}, found {found}")
        seen = [frame.summary(self.ports) for frame in self._since(0) if predicate(frame)]
        if seen:
            found = f"{len(seen)}: {'; '.join(seen[:5])}"
            raise AssertionError(f"{self._where}: wanted no {what}, found {found}")

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write all frames so far as pcapng."""
        pcapng.write(path, self)

    def pipe_to(self, file: IO[bytes]) -> LiveStream:
        """Write all frames as pcapng, those so far and each as it comes, until stop().

        As ``tcpdump -U -w -`` does: ``capture.pipe_to(viewer.stdin)``.  ``file`` stays open.
        """
        if self._ring is None:
            raise CaptureError(f"{self._where}: wanted to stream, the capture is not running")
        stream = LiveStream(self, self._since, self._ring.sock.fileno(), file)
        self._streams.append(stream)
        return stream
