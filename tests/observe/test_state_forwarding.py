"""Forwarding entries, multicast routes and groups, and the protocols' counters."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from state_tools import agree, bridge, ip, new_node, one_node, run, shown, two_nodes

from vxlab import state
from vxlab.errors import VxlabError
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until


@pytest.fixture
def node() -> Iterator[Namespaces]:
    with one_node() as node:
        yield node


@pytest.fixture
def pair() -> Iterator[tuple[Namespaces, Namespaces]]:
    with two_nodes() as nodes:
        yield nodes


# --- forwarding entries ----------------------------------------------------------------------


@pytest.fixture
def forwarding(node: Namespaces) -> Namespaces:
    """A node with forwarding entries of all sorts."""
    ip(
        node,
        "link add vx type vxlan id 5 dstport 4789",
        "link add vx6 type vxlan id 6 group ff05::6 dev v0 dstport 4790",
        "link add meta type vxlan external dstport 4791",
        "link add br-10 type bridge",
        "link set vx master br-10 up",
        "link set br-10 up",
        "nexthop add id 1 via 10.0.0.2 fdb",
        "nexthop add id 10 group 1 fdb",
        "link add nhs type vxlan id 9 dstport 4792 nolearning",
    )
    bridge(
        node,
        "fdb append 00:00:00:00:00:00 dev vx dst 10.0.0.2",
        "fdb append 00:00:00:00:00:00 dev vx dst 10.0.0.3 vni 77 port 1234 via v0",
        "fdb add 02:00:00:00:00:01 dev vx dst 10.0.0.2 dynamic",
        "fdb add 02:00:00:00:00:02 dev vx dst 10.0.0.2 static",
        "fdb add 02:00:00:00:00:03 dev vx dst 10.0.0.2 extern_learn router",
        "fdb add 02:00:00:00:00:04 dev vx6 dst fd00::2",
        "fdb add 02:00:00:00:00:05 dev meta dst 10.0.0.2 src_vni 55",
        "fdb add 02:00:00:00:00:06 dev nhs nhid 10",
        "fdb add 02:00:00:00:00:07 dev vx master static sticky",
        "fdb add 02:00:00:00:00:08 dev vx master dynamic",
    )
    return node


def _bridge_rows(node: Namespaces) -> list[tuple[Any, ...]]:
    keys = ("ifname", "mac", "dst", "vni", "port", "viaIf", "nhid", "vlan", "master", "src_vni")
    return [
        (*(row.get(key) for key in keys), sorted(row["flags"]), row["state"])
        for row in shown(node, "bridge fdb show")
    ]


def test_forwarding_entries_are_those_of_bridge_fdb(forwarding: Namespaces) -> None:
    agree(
        lambda: [
            (e.interface, e.mac, e.dst, e.vni, e.port, e.via, e.nhid, e.vlan, e.master, e.src_vni,
             sorted(set(e.flags) - ({"master"} if e.master else set())),
             "" if e.state == "reachable" else e.state)
            for e in state.fdb(forwarding)
        ],
        lambda: _bridge_rows(forwarding),
    )  # fmt: skip


def test_forwarding_entries_read_like_bridge_fdb(forwarding: Namespaces) -> None:
    agree(
        lambda: [str(entry).removesuffix(" reachable") for entry in state.fdb(forwarding)],
        lambda: [" ".join(line.split()) for line in run(forwarding, "bridge", "fdb").splitlines()],
    )
    lines = [str(entry) for entry in state.fdb(forwarding, "vx")]
    assert "00:00:00:00:00:00 dev vx dst 10.0.0.3 port 1234 vni 77 via v0 self permanent" in lines


def test_forwarding_entries_of_one_interface_are_read_alone(forwarding: Namespaces) -> None:
    for name in ("vx", "vx6", "meta", "nhs", "br-10", "v0"):
        assert state.fdb(forwarding, name)
        agree(
            lambda name=name: state.fdb(forwarding, name),
            lambda name=name: [e for e in state.fdb(forwarding) if e.interface == name],
        )
    assert state.fdb(forwarding, "lo") == ()
    with pytest.raises(VxlabError, match=r"'vx99'.*found only .*br-10, .*vx6"):
        state.fdb(forwarding, "vx99")


@pytest.mark.parametrize("count", [1, 1500])
def test_dumps_in_many_parts_are_read_whole(node: Namespaces, count: int) -> None:
    macs = [f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(count)]
    ip(node, "link add vx type vxlan id 5 dstport 4789")
    bridge(
        node, *(f"fdb add {mac} dev vx dst 10.1.{n >> 8}.{n & 255}" for n, mac in enumerate(macs))
    )
    for rows in (state.fdb(node, "vx"), [e for e in state.fdb(node) if e.interface == "vx"]):
        assert [entry.mac for entry in rows] == macs
        assert [entry.dst for entry in rows] == [f"10.1.{n >> 8}.{n & 255}" for n in range(count)]


@pytest.mark.parametrize("target", ["172.16.0.2", "fd16::2"])
def test_learned_entries_and_neighbours_are_read(
    pair: tuple[Namespaces, Namespaces], target: str
) -> None:
    a, b = pair
    run(a, "ping", "-c1", "-W5", target)
    for node, mac, dst in (
        (a, "02:00:00:00:00:02", "10.0.0.2"),
        (b, "02:00:00:00:00:01", "10.0.0.1"),
    ):
        learned = [entry for entry in state.fdb(node, "vx") if entry.mac == mac]
        assert [(e.dst, e.flags, e.state) for e in learned] == [(dst, ("self",), "reachable")]
    (neighbour,) = (row for row in state.neighbours(a) if row.address == target)
    assert (neighbour.interface, neighbour.mac) == ("vx", "02:00:00:00:00:02")
    assert neighbour.state in ("REACHABLE", "DELAY", "STALE", "PROBE")


def test_nothing_is_learned_with_learning_off(pair: tuple[Namespaces, Namespaces]) -> None:
    a, b = pair
    ip(a, "link set vx type vxlan nolearning")
    for entry in state.fdb(a, "vx"):
        if entry.state == "reachable":  # from what nodes say when their links come up
            bridge(a, f"fdb del {entry.mac} dev vx dst {entry.dst}")
    run(a, "ping", "-c1", "-W5", "172.16.0.2")
    assert [entry.mac for entry in state.fdb(a, "vx")] == ["00:00:00:00:00:00"]
    assert "02:00:00:00:00:01" in [entry.mac for entry in state.fdb(b, "vx")]


# --- multicast -------------------------------------------------------------------------------

MRT_INIT, MRT_ADD_VIF, MRT_ADD_MFC = 200, 202, 204  # linux/mroute.h, linux/mroute6.h: the same
VIFF_REGISTER, VIFF_USE_IFINDEX = 4, 8


@contextlib.contextmanager
def multicast_router(node: Namespaces, family: int) -> Iterator[socket.socket]:
    """The routing socket of one family, with the interfaces v0 and v1 as 0 and 1."""
    protocol = socket.IPPROTO_IGMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    level = socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
    index = {link.name: link.index for link in state.links(node)}
    with node.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.setsockopt(level, MRT_INIT, 1)
        for number, name in enumerate(("v0", "v1")):
            if family == socket.AF_INET:  # struct vifctl
                vif = struct.pack("=HBBIiI", number, VIFF_USE_IFINDEX, 1, 0, index[name], 0)
            else:  # struct mif6ctl
                vif = struct.pack("=HBBHxxI", number, 0, 1, index[name], 0)
            sock.setsockopt(level, MRT_ADD_VIF, vif)
        yield sock


def add_route4(sock: socket.socket, source: str, group: str, iif: int, oif: int) -> None:
    ttls = bytes(int(number == oif) for number in range(32))
    pair = socket.inet_aton(source) + socket.inet_aton(group)
    sock.setsockopt(
        socket.IPPROTO_IP, MRT_ADD_MFC, pair + struct.pack("=H32sxxIIIi", iif, ttls, 0, 0, 0, 0)
    )


def add_route6(sock: socket.socket, source: str, group: str, iif: int, oif: int) -> None:
    pair = b"".join(
        struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, each), 0)
        for each in (source, group)
    )
    outgoing = (1 << oif).to_bytes(32, "little")
    sock.setsockopt(socket.IPPROTO_IPV6, MRT_ADD_MFC, pair + struct.pack("=Hxx32s", iif, outgoing))


def test_multicast_routes_are_those_of_ip_mroute(node: Namespaces) -> None:
    with (
        multicast_router(node, socket.AF_INET) as four,
        multicast_router(node, socket.AF_INET6) as six,
    ):
        add_route4(four, "10.0.0.9", "239.1.1.1", 0, 1)
        add_route4(four, "10.0.0.8", "239.1.1.1", 1, 0)
        add_route6(six, "fd00::9", "ff05::1", 1, 0)
        read = state.multicast_routes(node)
        lines = (
            run(node, "ip", "mroute").splitlines() + run(node, "ip", "-6", "mroute").splitlines()
        )
    assert [(r.source, r.group, r.iif, r.oifs, r.family, r.unresolved) for r in read] == [
        ("10.0.0.8", "239.1.1.1", "v1", ("v0",), "inet", False),
        ("10.0.0.9", "239.1.1.1", "v0", ("v1",), "inet", False),
        ("fd00::9", "ff05::1", "v1", ("v0",), "inet6", False),
    ]
    assert sorted(map(str, read)) == sorted(" ".join(line.split()) for line in lines if line)
    assert state.multicast_routes(node) == (), "the kernel forgets them with their socket"


def test_multicast_routes_that_nobody_resolved_are_read(
    pair: tuple[Namespaces, Namespaces],
) -> None:
    router, host = pair
    ip(router, "link set eth0 name v0", "link add v1 type veth peer name v2", "link set v1 up")
    with (
        multicast_router(router, socket.AF_INET) as four,
        host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.0.2"))
        sock.sendto(b"hello", ("239.9.9.9", 9))
        (found,) = wait_until(lambda: state.multicast_routes(router), "an unresolved entry")
        assert (found.source, found.group, found.unresolved) == ("10.0.0.2", "239.9.9.9", True)
        assert (found.iif, found.oifs) == (None, ())
        add_route4(four, "10.0.0.2", "239.9.9.9", 0, 1)
        sock.sendto(b"hello", ("239.9.9.9", 9))
        (found,) = wait_until(
            lambda: [row for row in state.multicast_routes(router) if row.packets >= 2],
            "both packets to be forwarded",
        )
        assert (found.iif, found.oifs, found.unresolved) == ("v0", ("v1",), False)


def test_a_device_without_a_hardware_address_is_read(node: Namespaces) -> None:
    with multicast_router(node, socket.AF_INET) as four:
        register = struct.pack("=HBBIII", 2, VIFF_REGISTER, 1, 0, 0, 0)
        four.setsockopt(socket.IPPROTO_IP, MRT_ADD_VIF, register)
        (link,) = (link for link in state.links(node) if link.name == "pimreg")
    assert (link.mac, link.kind, "NOARP" in link.flags) == ("", "", True)


def test_memberships_are_those_of_ip_maddr(node: Namespaces) -> None:
    ip(node, "link add a-long-name-123 type veth peer name x", "link set a-long-name-123 up")
    index = {link.name: link.index for link in state.links(node)}
    with (
        node.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        node.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
        node.socket(socket.AF_INET6, socket.SOCK_DGRAM) as third,
    ):
        for sock in (first, second):
            join = struct.pack("=4s4si", socket.inet_aton("239.1.2.3"), bytes(4), index["v0"])
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        join = socket.inet_pton(socket.AF_INET6, "ff05::1:3") + struct.pack("=i", index["v1"])
        third.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, join)
        agree(
            lambda: [(m.interface, m.group, m.family, m.users) for m in state.memberships(node)],
            lambda: [
                (row["ifname"], group["address"], group["family"], group.get("users", 1))
                for row in shown(node, "ip maddr show")
                for group in row["maddr"]
                if "address" in group
            ],
        )
        lines = [str(row) for row in state.memberships(node)]
    assert "inet 239.1.2.3 dev v0 users 2" in lines
    assert "inet6 ff05::1:3 dev v1 users 1" in lines


# --- counters --------------------------------------------------------------------------------


def test_protocol_counters_count_and_are_this_node_s_own(node: Namespaces) -> None:
    before = state.read_snmp(node)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with node.socket(family, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"to nobody", (host, 9))
    after = state.read_snmp(node)
    changed = {name: after[name] - before.get(name, 0) for name in after}
    assert changed["Udp.NoPorts"] == 1
    assert changed["Udp6NoPorts"] == 1
    assert {"Udp.InCsumErrors", "Ip.InHdrErrors", "Ip.ForwDatagrams", "Ip6InDiscards"} < set(after)
    with new_node("other") as other:
        assert state.read_snmp(other)["Udp.NoPorts"] == 0
