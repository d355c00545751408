"""The netlink socket: batches of requests, and the kernel's refusals."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vxlab import state
from vxlab.apply import encoding
from vxlab.netlink.messages import (
    BUFFER,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    RTM_GETADDR,
    Request,
    message,
)
from vxlab.netlink.requests import BATCH, NetlinkSocket
from vxlab.operations import AddAddress, AddLink, DelLink, Operation, SetLink
from vxlab.system.namespaces import Namespaces


@pytest.fixture
def node() -> Iterator[Namespaces]:
    with Namespaces("n") as node:
        yield node


@pytest.fixture
def sock(node: Namespaces) -> Iterator[NetlinkSocket]:
    sock = NetlinkSocket(node)
    yield sock
    sock.close()


def encoded(node: Namespaces, *operations: Operation) -> list[Request]:
    indexes = {name: 10 + n for n, name in enumerate("abcd")}
    return [
        encoding.encode(each, lambda _, name: indexes[name], lambda _: node.net)
        for each in operations
    ]


def address(number: int) -> Request:
    """Adds 10.1.X.Y/32 to lo, whose index is 1."""
    operation = AddAddress("n", "lo", f"10.1.{number // 250}.{number % 250 + 1}/32")
    return encoding.encode(operation, lambda *_: 1, lambda _: 0)


def addresses(node: Namespaces) -> int:
    """How many of them there are."""
    return sum(each.address.startswith("10.1.") for each in state.addresses(node))


def test_no_requests_are_no_trouble(sock: NetlinkSocket) -> None:
    assert sock.request([]) == {}


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 5])
def test_any_number_of_requests(node: Namespaces, sock: NetlinkSocket, count: int) -> None:
    assert sock.request([address(number) for number in range(count)]) == {}
    assert addresses(node) == count


def test_every_refusal_is_reported_at_its_place(node: Namespaces, sock: NetlinkSocket) -> None:
    """More refusals than a receive buffer would hold, had they been asked for at once."""
    count = 5 * BATCH + 3
    requests = [address(number // 2) for number in range(count)]
    failures = sock.request(requests)
    assert set(failures) == set(range(1, count, 2))
    assert {code for code, _ in failures.values()} == {errno.EEXIST}
    assert addresses(node) == (count + 1) // 2


def test_the_kernel_s_own_words_come_along(node: Namespaces, sock: NetlinkSocket) -> None:
    link = AddLink("n", "a", "vxlan", 10, (("id", 5), ("dstport", 4789)))
    twin = AddLink("n", "b", "vxlan", 11, (("id", 5), ("dstport", 4789)))
    failures = sock.request(encoded(node, link, twin, SetLink("n", "a", mtu=10)))
    assert failures == {
        1: (errno.EEXIST, "A VXLAN device with the specified VNI already exists"),
        2: (errno.EINVAL, "mtu less than device minimum"),
    }


def test_a_refusal_without_words(node: Namespaces, sock: NetlinkSocket) -> None:
    assert sock.request(encoded(node, DelLink("n", "d"))) == {0: (errno.ENODEV, "")}


def test_requests_after_a_refusal_are_answered_as_their_own(
    node: Namespaces, sock: NetlinkSocket
) -> None:
    assert {at: code for at, (code, _) in sock.request([address(1), address(1)]).items()} == {
        1: errno.EEXIST
    }
    assert sock.request([address(2)]) == {}
    assert set(sock.request([address(1)])) == {0}


def test_answers_to_an_earlier_question_are_not_taken_for_refusals(
    node: Namespaces, sock: NetlinkSocket
) -> None:
    nonsense = 0xFFF  # a type of message that the kernel refuses
    sock._socket.send(message(nonsense, NLM_F_REQUEST, 12345, bytes(8)))
    sock._socket.send(message(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 12346, bytes(8)))
    assert sock.request([address(3)]) == {}
    assert addresses(node) == 1


def test_the_socket_belongs_to_its_node_from_any_thread(
    node: Namespaces, sock: NetlinkSocket
) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(sock.request, [address(7)]).result() == {}
    assert os.readlink("/proc/thread-self/ns/net") == before
    assert addresses(node) == 1
    with Namespaces("other") as other:
        assert addresses(other) == 0


def test_closing_twice(node: Namespaces) -> None:
    sock = NetlinkSocket(node)
    sock.close()
    sock.close()


def test_a_closed_socket_refuses(node: Namespaces) -> None:
    sock = NetlinkSocket(node)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.request([address(1)])


def test_another_socket_takes_hardly_any_memory(node: Namespaces) -> None:
    NetlinkSocket(node).close()  # the first of a thread gets it its buffer
    tracemalloc.start()
    try:
        sockets = [NetlinkSocket(node) for _ in range(10)]
        assert [each.request([address(n)]) for n, each in enumerate(sockets)] == [{}] * 10
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for each in sockets:
        each.close()
    assert most < BUFFER / 2
