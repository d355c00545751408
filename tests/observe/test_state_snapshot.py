"""Snapshots as a whole: as JSON, as text, compared; and what may go wrong while reading."""

from __future__ import annotations

import json
import pickle
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
from state_tools import bridge, ip, one_node, run, two_nodes

from vxlab import state
from vxlab.errors import VxlabError
from vxlab.netlink.dumps import dump
from vxlab.observe.state import FdbEntry, Link, MulticastRoute, Neighbour, NodeState
from vxlab.observe.state.linkinfo import link_row
from vxlab.observe.state.read import RTM_GETADDR
from vxlab.system.namespaces import Namespaces


@pytest.fixture
def node() -> Iterator[Namespaces]:
    with one_node() as node:
        yield node


FUNCTIONS: list[Callable[[Namespaces], object]] = [
    state.links,
    state.addresses,
    state.fdb,
    state.neighbours,
    state.routes,
    state.multicast_routes,
    state.memberships,
    state.read_snmp,
    state.snapshot,
]


def test_a_snapshot_holds_what_the_functions_read(node: Namespaces) -> None:
    taken = state.snapshot(node)
    assert taken.name == "n"
    for function in FUNCTIONS[:-2]:
        assert getattr(taken, function.__name__) == function(node), function.__name__
    assert set(taken.counters) == set(state.read_snmp(node))
    assert hash(taken.links[0]) == hash(state.links(node)[0])
    assert pickle.loads(pickle.dumps(taken)) == taken


def test_a_snapshot_becomes_json(node: Namespaces) -> None:
    ip(node, "link add vx type vxlan id 5 dstport 4789 srcport 5 6")
    plain = state.snapshot(node).to_json()
    assert json.loads(json.dumps(plain)) == plain
    (vx,) = (link for link in plain["links"] if link["name"] == "vx")
    assert vx["attributes"]["srcport"] == [5, 6]
    assert vx["counters"]["tx_packets"] == 0
    assert plain["addresses"][0]["address"] == "127.0.0.1"
    assert plain["counters"]["Udp.NoPorts"] == 0


def test_a_snapshot_becomes_text(node: Namespaces) -> None:
    ip(node, "link add vx type vxlan id 5 dstport 4789 local 10.0.0.1 nolearning")
    bridge(node, "fdb add 02:00:00:00:00:01 dev vx dst 10.0.0.2 vni 6")
    text = state.snapshot(node).text()
    assert text.startswith("state of n\n\nlinks (4)\n  1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536")
    assert "vxlan id 5 local 10.0.0.1 nolearning srcport 0 0 dstport 4789" in text
    lines = text.splitlines()
    titles = [line for line in lines if line and not line.startswith(" ")]
    names = [title.split(" (")[0] for title in titles]
    wanted = ["state of n", "links", "addresses", "fdb", "routes", "memberships"]
    assert names == [*wanted, "counters that are not 0"]
    head = next(number for number, line in enumerate(lines) if line.startswith("fdb ("))
    (row,) = (line for line in lines if "02:00:00:00:00:01" in line)
    for column, value in (("interface", "vx"), ("dst", "10.0.0.2"), ("vni", "6")):
        assert row[lines[head + 1].index(column) :].startswith(value)
    assert "nhid" not in lines[head + 1], "a column without values is left out"


def test_an_empty_state_is_one_line_of_text() -> None:
    assert NodeState("nobody").text() == "state of nobody\n"


# --- difference ------------------------------------------------------------------------------


def test_traffic_and_time_make_no_difference() -> None:
    with two_nodes() as (a, _):
        run(a, "ping", "-c1", "172.16.0.2")
        before = state.snapshot(a)
        run(a, "ping", "-c2", "-i0.01", "172.16.0.2")
        ip(a, "neigh change 172.16.0.2 dev vx nud stale", "neigh add 172.16.0.9 dev vx nud failed")
        after = state.snapshot(a)
    assert state.difference(before, after) == []
    assert before.neighbours != after.neighbours
    assert before.links == after.links, "counters are no part of a row's identity"
    assert [link.counters for link in before.links] != [link.counters for link in after.links]


CHANGES = {
    "link set v1 mtu 1400": "link 2: v1@v0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 ",
    "link set v1 promisc on": "link 2: v1@v0: <BROADCAST,MULTICAST,PROMISC,UP,LOWER_UP> ",
    "link set v1 master br-10": "fdb ",
    "link set vx type vxlan learning": "link ",
    "addr add 10.5.0.1/32 dev v0": "address inet 10.5.0.1/32 dev v0 scope global",
    "route add 10.7.0.0/16 dev v0": "route 10.7.0.0/16 dev v0 table main proto boot scope link",
    "neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev v0": "neighbour 10.0.0.9 dev v0 lladdr ",
    "addr add 239.0.0.9/32 dev v0 autojoin": "group inet 239.0.0.9 dev v0 users 1",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_a_difference_and_back(node: Namespaces, change: str) -> None:
    ip(node, "link add br-10 type bridge", "link add vx type vxlan id 5 dstport 4789 nolearning")
    before = state.snapshot(node)
    ip(node, change)
    after = state.snapshot(node)
    lines = state.difference(before, after)
    assert any(line.startswith(f"+ {CHANGES[change]}") for line in lines), lines
    swapped = {"+": "-", "-": "+"}
    back = [swapped[line[0]] + line[1:] for line in lines]
    assert sorted(state.difference(after, before)) == sorted(back)


def test_what_changes_by_itself_makes_no_difference() -> None:
    entry = FdbEntry(
        interface="vx", mac="02:00:00:00:00:01", dst="10.0.0.2", vni=None, port=None, via=None,
        nhid=None, flags=("self",), state="reachable", vlan=None,
    )  # fmt: skip
    known = Neighbour(
        interface="vx", address="10.0.0.2", mac="02:00:00:00:00:01", state="REACHABLE"
    )
    pending = MulticastRoute(
        source="10.0.0.1", group="239.1.1.1", iif=None, oifs=(), family="inet", unresolved=True
    )
    link = Link(
        index=2,
        name="v0",
        kind="veth",
        up=True,
        running=True,
        state="UP",
        mtu=1500,
        mac="02:00:00:00:00:09",
        master=None,
        link=None,
    )
    before = NodeState("n", links=(link,), fdb=(entry,), neighbours=(known,))
    after = NodeState(
        "n",
        links=(replace(link, state="DOWN", running=False, flags=("NO-CARRIER",)),),
        fdb=(replace(entry, state="stale"),),
        neighbours=(
            replace(known, state="PROBE"),
            Neighbour(interface="vx", address="10.0.0.3", mac="", state="INCOMPLETE"),
        ),
        multicast_routes=(pending,),
        counters={"Udp.NoPorts": 1},
    )
    assert state.difference(before, after) == []
    fixed = NodeState(
        "n", links=(link,), fdb=(entry,), neighbours=(replace(known, state="PERMANENT"),)
    )
    assert state.difference(before, fixed) == [
        "- neighbour 10.0.0.2 dev vx lladdr 02:00:00:00:00:01 learned",
        "+ neighbour 10.0.0.2 dev vx lladdr 02:00:00:00:00:01 PERMANENT",
    ]
    twice = NodeState("n", links=(link,), fdb=(entry, entry), neighbours=(known,))
    assert state.difference(before, twice) == [
        "+ fdb 02:00:00:00:00:01 dev vx dst 10.0.0.2 self learned"
    ]


def test_rows_sort_with_and_without_values() -> None:
    entry = FdbEntry(
        interface="vx",
        mac="02:00:00:00:00:01",
        dst=None,
        vni=None,
        port=None,
        via=None,
        nhid=None,
        flags=(),
        state="",
        vlan=None,
    )
    rows = [replace(entry, dst="10.0.0.2"), replace(entry, vni=3), entry, replace(entry, vni=2)]
    assert sorted(rows) == [rows[2], rows[3], rows[1], rows[0]]
    links = [
        Link(
            index=1,
            name="a",
            kind="",
            up=True,
            running=True,
            state="UP",
            mtu=1,
            mac="",
            master=None,
            link=None,
            attributes={"id": n},
        )
        for n in (2, 1)
    ]
    assert sorted(links)[0] is links[1]
    with pytest.raises(TypeError):
        sorted([entry, links[0]])  # type: ignore[type-var]


# --- what may go wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_closed_node_is_an_error_that_says_so(function: Callable[[Namespaces], object]) -> None:
    node = Namespaces("gone")
    node.close()
    with pytest.raises(VxlabError, match=r"gone: wanted its .* closed"):
        function(node)


def test_the_kernel_s_refusal_is_an_error_with_its_reason(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(sock: socket.socket, kind: int, payload: bytes) -> list[bytes]:
        return dump(sock, RTM_GETADDR, b"\2\7" + bytes(6))  # a header the kernel does not accept

    monkeypatch.setattr("vxlab.observe.state.read.dump", refused)
    with pytest.raises(VxlabError, match=r"n: wanted its links, .*Invalid argument \(EINVAL\)"):
        state.links(node)


def test_a_message_that_was_cut_off_is_an_error(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = SimpleNamespace(buffer=bytearray(512))
    monkeypatch.setattr("vxlab.netlink.messages._receive_buffer", short)
    with pytest.raises(VxlabError, match="longer than 512 bytes"):
        state.links(node)


def test_a_kernel_without_strict_checking_is_read_as_well(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip(node, "link add vx type vxlan id 5 dstport 4789", "route add 10.7.0.0/16 dev v0 table 100")
    bridge(node, "fdb add 02:00:00:00:00:01 dev vx dst 10.0.0.2")
    wanted = state.snapshot(node), state.fdb(node, "vx"), state.routes(node, 100)
    assert wanted[1:] > ((), ())
    monkeypatch.setattr("vxlab.netlink.dumps.NETLINK_GET_STRICT_CHK", 9999)
    assert (state.snapshot(node), state.fdb(node, "vx"), state.routes(node, 100)) == wanted
    assert state.routes(node, 4242) == ()


def test_a_tunnel_s_address_is_not_read_as_a_mac() -> None:
    def message(*attributes: tuple[int, bytes]) -> bytes:
        body = struct.pack("=BxHiII", 0, 768, 4, 0, 0)
        for number, payload in attributes:
            body += struct.pack("=HH", 4 + len(payload), number) + payload
            body += bytes(-len(payload) % 4)
        return struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body

    name = (3, b"t0\0")
    for payload, wanted in (
        (bytes([10, 0, 0, 1]), "10.0.0.1"),
        (bytes(15) + b"\1", "::1"),
        (bytes([2, 0, 0, 0, 0, 9]), "02:00:00:00:00:09"),
        (b"", ""),
    ):
        row = link_row(message(name, (1, payload), (4, bytes(4))), str)
        assert (row.name, row.mac) == ("t0", wanted)


def test_threads_read_the_nodes_they_ask_for() -> None:
    count, rounds = 6, 15
    with ThreadPoolExecutor(count) as pool:
        nodes = [Namespaces(f"n{number}") for number in range(count)]
        try:
            for number, node in enumerate(nodes):
                ip(
                    node,
                    f"link add vx{number} type vxlan id {number + 1} dstport 4789",
                    f"link set vx{number} up",
                    f"addr add 10.{number}.0.1/24 dev vx{number}",
                )
                bridge(node, *(f"fdb add 02:00:00:00:{number:02x}:{low:02x} dev vx{number} "
                               f"dst 10.{number}.0.2" for low in range(50)))  # fmt: skip

            def read(number: int) -> None:
                for _ in range(rounds):
                    taken = state.snapshot(nodes[number])
                    assert [link.name for link in taken.links] == ["lo", f"vx{number}"]
                    entries = [entry for entry in taken.fdb if entry.dst]
                    assert {entry.dst for entry in entries} == {f"10.{number}.0.2"}
                    assert len(entries) == 50
                    assert f"10.{number}.0.1" in {row.address for row in taken.addresses}
                    assert {row.interface for row in taken.memberships} == {"lo", f"vx{number}"}

            list(pool.map(read, range(count)))
        finally:
            for node in nodes:
                node.close()
