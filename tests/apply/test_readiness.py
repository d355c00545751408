"""When the links of a node can send, and its addresses answer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from vxlab.apply import encoding
from vxlab.apply.readiness import settle_links, tentative_addresses
from vxlab.netlink.messages import Request
from vxlab.netlink.requests import NetlinkSocket
from vxlab.operations import AddAddress, AddLink, Operation, Peer, SetLink
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until


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


def settled(sock: NetlinkSocket) -> None:
    wait_until(lambda: not settle_links(sock), "links to settle")


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
    wait_until(lambda: not tentative_addresses(sock), "addresses that answer")
