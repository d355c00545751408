"""The netlink socket: batches of requests, the kernel's refusals, and waiting for links."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vxlab import state
from vxlab.apply import encoding
from vxlab.netlink.requests import BATCH, NetlinkSocket
from vxlab.operations import AddAddress, AddLink, DelLink, Operation, Peer, SetLink
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until

Request = tuple[int, int, bytes]


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


def settled(sock: NetlinkSocket) -> None:
    wait_until(lambda: not sock.settle_links(), "links to settle")


def carrier(node: Namespaces, name: str) -> str:
    output, _ = node.popen(["ip", "-j", "link", "show", name]).communicate()
    return str(json.loads(output)[0]["operstate"])


def test_links_are_settled_when_they_can_send(node: Namespaces, sock: NetlinkSocket) -> None:
    pair = AddLink("n", "a", "veth", 10, peer=Peer("n", "b", 11), master=None, up=True)
    assert sock.request(encoded(node, pair)) == {}
    settled(sock)  # the other end is down on purpose: nothing to wait for
    assert carrier(node, "a") != "UP"
    assert sock.request(encoded(node, SetLink("n", "b", up=True))) == {}
    settled(sock)
    assert carrier(node, "a") == "UP"
    assert carrier(node, "b") == "UP"


def test_a_bridge_is_settled_with_its_port_and_an_empty_one_at_once(
    node: Namespaces, sock: NetlinkSocket
) -> None:
    empty = AddLink("n", "c", "bridge", 12, up=True)
    full = AddLink("n", "d", "bridge", 13, (("stp_state", 0), ("forward_delay", 0)), up=True)
    assert sock.request(encoded(node, empty, full)) == {}
    settled(sock)
    pair = AddLink("n", "a", "veth", 10, peer=Peer("n", "b", 11), master="d", up=True)
    assert sock.request(encoded(node, pair, SetLink("n", "b", up=True))) == {}
    settled(sock)
    assert carrier(node, "d") in ("UP", "UNKNOWN")
    assert carrier(node, "a") == "UP"


def test_tentative_addresses_become_good(node: Namespaces, sock: NetlinkSocket) -> None:
    node.write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
    pair = AddLink("n", "a", "veth", 10, peer=Peer("n", "b", 11), up=True)
    good = AddAddress("n", "a", "fd00::1/64")
    assert sock.request(encoded(node, pair, SetLink("n", "b", up=True), good)) == {}
    wait_until(lambda: not sock.tentative_addresses(), "addresses that answer")


def test_a_closed_socket_refuses(node: Namespaces) -> None:
    sock = NetlinkSocket(node)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        sock.request([address(1)])
