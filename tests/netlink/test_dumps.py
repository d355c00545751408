"""Dumps: asked for again where a change interrupts them, and never mixed up."""

from __future__ import annotations

import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from state_tools import ip

from vxlab.errors import VxlabError
from vxlab.netlink.dumps import dump, open_socket
from vxlab.netlink.messages import BUFFER, RTM_GETADDR, RTM_GETLINK, NetlinkMessage, receive
from vxlab.observe.state.linkinfo import link_row
from vxlab.system.namespaces import Namespaces


@pytest.fixture
def node() -> Iterator[Namespaces]:
    with Namespaces("n") as node:
        yield node


class Meddler:
    """A netlink socket that lets something happen before it first hands over an answer."""

    def __init__(self, sock: socket.socket, happen: Callable[[], None], times: int) -> None:
        self.sock, self.happen, self.times, self.sent = sock, happen, times, 0

    def send(self, data: bytes) -> int:
        self.sent += 1
        size = self.sock.send(data)
        if self.sent <= self.times:
            self.happen()
        return size

    def recvmsg_into(self, buffers: list[bytearray]) -> Any:
        return self.sock.recvmsg_into(buffers)


def test_a_dump_that_a_change_interrupts_is_asked_for_again(node: Namespaces) -> None:
    ip(node, *(f"link add x{number} type veth peer name y{number}" for number in range(20)))
    with open_socket(node) as sock:
        meddler = Meddler(sock, lambda: ip(node, "link add late type vxlan id 5 dstport 4789"), 1)
        answers = dump(meddler, RTM_GETLINK, bytes(16))  # type: ignore[arg-type]
    assert meddler.sent == 2
    names = [link_row(answer, str).name for answer in answers]
    assert len(names) == len(set(names)) == 42
    assert "late" in names


def test_a_state_that_never_holds_still_is_an_error(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vxlab.netlink.dumps.TRIES", 3)
    ip(node, *(f"link add x{number} type veth peer name y{number}" for number in range(20)))
    change = "link add z0 type veth peer name z1", "link del z0"
    with open_socket(node) as sock:
        meddler = Meddler(sock, lambda: ip(node, *change), 3)
        with pytest.raises(VxlabError, match="changed during each of 3 tries"):
            dump(meddler, RTM_GETLINK, bytes(16))  # type: ignore[arg-type]


def test_an_answer_to_another_question_is_not_taken_for_this_one(node: Namespaces) -> None:
    with open_socket(node) as sock:
        one = len(dump(sock, RTM_GETADDR, bytes(8)))
        sock.send(struct.pack("=IHHII", 32, RTM_GETLINK, 0x1, 12345, 0) + bytes(16))
        assert len(dump(sock, RTM_GETADDR, bytes(8))) == one


def test_a_refused_dump_is_an_error_with_the_kernel_s_number(node: Namespaces) -> None:
    with open_socket(node) as sock, pytest.raises(OSError, match="Invalid argument"):
        dump(sock, RTM_GETADDR, b"\2\7" + bytes(6))  # a header the kernel does not accept


def pair_of_sockets() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_what_is_no_netlink_message_is_an_error() -> None:
    ours, theirs = pair_of_sockets()
    with ours, theirs:
        theirs.send(struct.pack("=IHHII", 3, 16, 0, 1, 0))
        with pytest.raises(VxlabError, match="found one of 3 bytes"):
            receive(ours)


def test_messages_of_one_datagram_come_one_by_one() -> None:
    ours, theirs = pair_of_sockets()
    with ours, theirs:
        one = struct.pack("=IHHII", 17, 16, 2, 7, 0) + b"x" + bytes(3)  # padded to 4 bytes
        end = struct.pack("=IHHIIi", 20, 3, 2, 7, 0, -95)
        theirs.send(one + end)
        found = receive(ours)
    assert found == [NetlinkMessage(16, 2, 7, one[:17]), NetlinkMessage(3, 2, 7, end)]
    assert [each.body for each in found] == [b"x", struct.pack("=i", -95)]
    assert found[1].error == 95


def test_a_dump_takes_no_memory_beyond_what_it_receives(node: Namespaces) -> None:
    with open_socket(node) as sock:
        dump(sock, RTM_GETLINK, bytes(16))  # the first of a thread gets it its buffer
        tracemalloc.start()
        try:
            found = dump(sock, RTM_GETLINK, bytes(16))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sum(map(len, found)) < most < BUFFER / 2
