"""Packet sockets: where frames come from.

:class:`Ring` and the functions beside it are for :mod:`vxlab.observe.capture`, which knows when a
capture may be believed; nothing else should need them.

Numbers: linux/if_packet.h, if_ether.h, if_arp.h, filter.h, sockios.h, ethtool.h; packet(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import socket
import struct
import threading
from typing import NamedTuple

from vxlab.observe.frames import Frame
from vxlab.system.namespaces import Namespaces

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_COPY_THRESH = 5, 6, 7
PACKET_AUXDATA, PACKET_VERSION = 8, 10
PACKET_OUTGOING = 4
#: Bytes of the socket's own queue asked for: the kernel grants up to net.core.rmem_max.
QUEUE = 4 << 20
_SO_ATTACH_FILTER = 26
_READY, _COPIED, _TAGGED, _TAG_TYPE = 1, 2, 1 << 4, 1 << 6  # TP_STATUS_*
_WITH_ETHERNET = (1, 772)  # ARPHRD_ETHER, ARPHRD_LOOPBACK
_SLOT_SIZE = 2048
_SLOT = struct.Struct("=IIIHHIIHH4x2xHiHB")  # struct tpacket2_hdr, then sockaddr_ll
_libc = ctypes.CDLL(None, use_errno=True)
_closing: list[threading.Thread] = []


class InterfaceInfo(NamedTuple):
    """An interface as the kernel describes it.

    ``name`` is its name and ``number`` its interface index; ``up`` is True where it is set up;
    ``mac`` is its MAC address of 6 bytes; ``driver`` its kind, ``lo`` for the loopback device.
    """

    name: str
    number: int
    up: bool
    mac: bytes
    driver: str


def find_interface(sock: socket.socket, name: str) -> InterfaceInfo | None:
    """The interface of that name in the socket's namespace, or None."""

    def ask(request: int, fill: bytes = b"") -> bytes:
        return fcntl.ioctl(sock, request, struct.pack("16s24s", name.encode(), fill))[16:]

    try:
        (index,) = struct.unpack_from("i", ask(0x8933))  # SIOCGIFINDEX
        (flags,) = struct.unpack_from("H", ask(0x8913))  # SIOCGIFFLAGS
        mac = ask(0x8927)[2:8]  # SIOCGIFHWADDR
    except OSError:
        return None
    info = ctypes.create_string_buffer(struct.pack("I192x", 3))  # ETHTOOL_GDRVINFO
    with contextlib.suppress(OSError):  # not all drivers say
        ask(0x8946, struct.pack("P", ctypes.addressof(info)))  # SIOCETHTOOL
    driver = info.raw[4:36].partition(b"\0")[0].decode(errors="replace")
    # IFF_UP, IFF_LOOPBACK
    return InterfaceInfo(
        name=name,
        number=index,
        up=bool(flags & 0x1),
        mac=mac,
        driver="lo" if flags & 0x8 else driver,
    )


def packet_counters(namespaces: Namespaces) -> dict[str, tuple[int, int]]:
    """How many packets each interface of a node has received and sent (/proc/net/dev)."""
    lines = namespaces.read("/proc/thread-self/net/dev").splitlines()[2:]
    fields = {name.strip(): rest.split() for name, _, rest in (x.partition(":") for x in lines)}
    return {name: (int(numbers[1]), int(numbers[9])) for name, numbers in fields.items()}


def listen(sock: socket.socket, index: int) -> None:
    """Receive from interface ``index``, or from all for 0, which Python's own bind() cannot do."""
    where = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(3), index, 0, 0, 0)  # ETH_P_ALL
    if _libc.bind(sock.fileno(), where, len(where)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"bind of a packet socket: {os.strerror(code)}")


def attach_filter(sock: socket.socket, *program: tuple[int, int, int, int]) -> None:
    """Let a classic BPF program of (code, jump if true, if false, operand) choose the frames."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    where = struct.pack("HP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)


def take_drops(sock: socket.socket) -> int:
    """How many frames the socket had no room for since this was last asked."""
    return int(struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1])


def close_soon(sock: socket.socket) -> None:
    """Close in a thread: the kernel waits 8 to 24 ms (RCU) whenever a packet socket is closed."""
    thread = threading.Thread(target=sock.close, name="vxlab-close", daemon=True)
    _closing[:] = [other for other in _closing if other.is_alive()] + [thread]
    thread.start()


def settle() -> None:
    """Wait until all sockets of ended captures are gone; until then their namespaces stay."""
    while _closing:
        _closing.pop().join()


class FrameInfo(NamedTuple):
    """What a packet socket says of a frame beside its bytes.

    ``status`` is TP_STATUS_*; ``length`` the frame's in bytes before it was cut; ``tag`` and
    ``tag_type`` are the VLAN tag and its ethertype; ``protocol`` is the ethertype, ``arp_type``
    the device's ARPHRD_*, ``kind`` PACKET_OUTGOING or another direction.
    """

    status: int
    length: int
    tag: int
    tag_type: int
    protocol: int
    arp_type: int
    kind: int

    def frame(self, data: bytes, time_ns: int, node: str, interface: str) -> Frame:
        """The frame, with its VLAN tag, which the kernel keeps apart, back in its place.

        ``data`` are its bytes, ``time_ns`` is the time stamp in nanoseconds since 1970; ``node``
        and ``interface`` say where it was captured.  Where the device has no Ethernet header (an
        IP tunnel) the frame is given one of zeros.
        """
        length = self.length
        if self.arp_type not in _WITH_ETHERNET:
            data, length = bytes(12) + struct.pack("!H", self.protocol) + data, length + 14
        if self.status & _TAGGED:
            kind = self.tag_type if self.status & _TAG_TYPE else 0x8100
            data = data[:12] + struct.pack("!HH", kind, self.tag) + data[12:]
            length += 4
        return Frame(
            time_ns=time_ns,
            data=data,
            length=length,
            outgoing=self.kind == PACKET_OUTGOING,
            node=node,
            interface=interface,
        )


class Ring:
    """A packet socket whose frames the kernel writes into ``size`` bytes shared with this process.

    ``sock`` is the packet socket, not bound yet; ``node`` the name of the node it is in.
    TPACKET_V2: each frame can be read at once, where version 3 gives whole blocks, the last
    of them only after a timer.  A slot takes 1982 bytes; what is larger comes by the queue too.
    OSError where the kernel has not that much memory.
    """

    def __init__(self, sock: socket.socket, size: int, node: str) -> None:
        block = max(mmap.PAGESIZE, min(1 << 20, 1 << max(size, 1).bit_length() - 1))
        count = max(1, size // block)
        self.sock, self._node, self._at = sock, node, 0
        self._slots = count * block // _SLOT_SIZE
        self._names: dict[int, str] = {}
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, 1)
        sock.setsockopt(SOL_PACKET, PACKET_COPY_THRESH, 1)
        shape = struct.pack("4I", block, count, _SLOT_SIZE, self._slots)
        sock.setsockopt(SOL_PACKET, PACKET_RX_RING, shape)
        self._memory = mmap.mmap(sock.fileno(), count * block)

    def read(self) -> list[Frame]:
        """All frames that are there, without waiting, but no more than the ring holds."""
        frames: list[Frame] = []
        memory = self._memory
        self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # a link went down: ask to clear
        for _ in range(self._slots):
            at = self._at * _SLOT_SIZE
            head = _SLOT.unpack_from(memory, at)
            if not head[0] & _READY:
                break
            frames.append(self._frame(at, *head))
            struct.pack_into("I", memory, at, 0)
            self._at = (self._at + 1) % self._slots
        return frames

    def _frame(self, at: int, status: int, length: int, kept: int, start: int, *rest: int) -> Frame:
        """The frame in the slot at that offset of the memory."""
        _, seconds, ns, tag, tag_type, protocol, index, arp_type, kind = rest
        data = self._memory[at + start : at + start + kept]
        if status & _COPIED:
            with contextlib.suppress(OSError):  # the slot has the start of it at least
                data = self.sock.recv(length, socket.MSG_DONTWAIT)
        info = FrameInfo(
            status=status,
            length=length,
            tag=tag,
            tag_type=tag_type,
            protocol=socket.ntohs(protocol),
            arp_type=arp_type,
            kind=kind,
        )
        name = self._names.get(index) or self._lookup(index)
        return info.frame(data, seconds * 10**9 + ns, self._node, name)

    def _lookup(self, index: int) -> str:
        self._names[index] = f"gone-{index}"
        with contextlib.suppress(OSError):
            found = fcntl.ioctl(self.sock, 0x8910, struct.pack("16xi20x", index))  # SIOCGIFNAME
            self._names[index] = found[:16].partition(b"\0")[0].decode()
        return self._names[index]

    def close(self) -> None:
        """Give the memory back; the socket is closed in the background."""
        self._memory.close()
        close_soon(self.sock)
