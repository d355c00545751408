"""Two nodes joined by a veth pair, and frames to send from one to the other."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from vxlab.observe import packetsocket
from vxlab.observe.frames import MARK_PORT, MARK_PREFIX, Frame
from vxlab.system.namespaces import Namespaces

TEST_TYPE = b"\x88\xb6"  # IEEE 802 local experimental ethertype 2
A_MAC, B_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")


def ip(node: Namespaces, command: str) -> str:
    """Run one ``ip`` command in a node; the process's own /proc is seen, for netns paths."""
    with node.entered():
        return subprocess.run(
            ["ip", *command.split()], check=True, text=True, stdout=subprocess.PIPE
        ).stdout


@dataclass
class VethPair:
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
    """A frame of ``size`` bytes from a to b that carries a number."""
    return (B_MAC + A_MAC + TEST_TYPE + struct.pack("!I", number)).ljust(size, b"\0")


def send(node: Namespaces, interface: str, *frames: bytes) -> None:
    """Send frames as they are from an interface of a node."""
    with raw(node, interface) as sock:
        for frame in frames:
            sock.send(frame)


def send_marked(node: Namespaces, to: str, data: bytes, family: int = socket.AF_INET) -> None:
    """Send a datagram that a capture recognises as marked."""
    with node.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(MARK_PREFIX + data, (to, MARK_PORT))


def numbers(frames: tuple[Frame, ...]) -> list[int]:
    """The numbers of those frames that were made by ``numbered``."""
    return [
        struct.unpack_from("!I", frame.data, 14)[0]
        for frame in frames
        if frame.data[12:14] == TEST_TYPE
    ]


def counters(node: Namespaces, interface: str) -> tuple[int, int]:
    """How many packets an interface has received and sent."""
    return packetsocket.packet_counters(node)[interface]
