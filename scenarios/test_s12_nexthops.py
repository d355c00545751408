"""12.1 Next hops of FDB entries, as in test_vxlan_nh.sh and fib_nexthops.sh.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct

import pytest
from fdb_tools import MAC, address, assert_refusal, remote_of_each_flow
from flood_tools import send_frames
from neighbour_tools import (
    TARGETS,
    is_reply_about,
    is_request_for,
    proxy_at_a,
    read_message,
    request_for,
)

from vxlab import catalog
from vxlab.operations import AddFdb, AddNeighbour, AddNexthop, AddRoute

SELFTEST = "tools/testing/selftests/net/"
NEXTHOP = "net/ipv4/nexthop.c"
REDUCE = "drivers/net/vxlan/vxlan_core.c: arp_reduce(), neigh_reduce()"
#: The neighbour that is asked for last: with the reply about it, all frames before are dealt with.
LAST, LAST_MAC = "172.18.1.250", "02:00:00:00:00:fa"

RTM_GETNEXTHOP = 106  # linux/rtnetlink.h
NHA_ID, NHA_OP_FLAGS, NHA_GROUP_STATS = 1, 14, 15  # linux/nexthop.h, as the next three
NHA_OP_FLAG_DUMP_STATS = 1
ENTRY_ID, ENTRY_PACKETS = 1, 2

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
both_families = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
pytestmark = pytest.mark.requires("bridge.nhid", "ip.nexthop_fdb")


def add_group(lab):
    """Add next hops 1 (host b) and 2 (host c), and group 10 of both."""
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 2, via=address(lab, "c")))
    lab.apply(AddNexthop("a", 10, group=(1, 2)))


def stale_neighbour(operation):
    """A control: the neighbour entry of a target is stale."""
    if isinstance(operation, AddNeighbour) and operation.address != LAST:
        return dataclasses.replace(operation, state="stale")
    return operation


@pytest.mark.behaviour(
    "a device with `proxy` answers ARP requests and neighbour solicitations for a neighbour whose "
    "MAC has an FDB entry with a next hop group, and sends nothing into the tunnel for them",
    source=f"{SELFTEST}test_vxlan_nh.sh: ipv4_proxy_basic, ipv6_proxy_basic; {REDUCE}",
)
@pytest.mark.known_difference("K50", until="6.12", deadly=True)
@pytest.mark.control(
    "the neighbour entry is stale", change=stale_neighbour, because=r"the proxy's replies: \[\]"
)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_answers_for_a_mac_behind_a_next_hop(lab, target):
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), AddNeighbour("a", "vxlan0", target, MAC))
    lab.apply(AddNeighbour("a", "vxlan0", LAST, LAST_MAC))
    with lab.capture("a:vxlan0", "a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", request_for(target), request_for(LAST))
        seen["a:vxlan0"].wait_for(is_reply_about(LAST), "the reply to a later request")
    replies = [read_message(frame) for frame in seen["a:vxlan0"].frames if not frame.outgoing]
    replies = [reply for reply in replies if reply and reply[1] == target]
    assert replies == [("reply", target, MAC)], f"the proxy's replies: {replies}"
    inner = [packet.inner for packet in seen["a:eth0"].encapsulated()]
    assert not any(is_request_for(target)(frame) for frame in inner)


def attributes(data):
    """The attributes of a netlink message by their number."""
    found, at = [], 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found.append((kind & 0x3FFF, data[at + 4 : at + length]))
        at += max((length + 3) & ~3, 4)
    return found


def packets_of_members(lab, group):
    """How many packets the kernel has counted for each member of a next hop group."""
    body = struct.pack("=BBBBI", 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, NHA_ID, group)
    body += struct.pack("=HHI", 8, NHA_OP_FLAGS, NHA_OP_FLAG_DUMP_STATS)
    with lab["a"].socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(struct.pack("=IHHII", 16 + len(body), RTM_GETNEXTHOP, 1, 1, 0) + body)
        answer = sock.recv(1 << 16)
    stats = dict(attributes(answer[24:])).get(NHA_GROUP_STATS, b"")
    members = [dict(attributes(entry)) for _, entry in attributes(stats)]
    return {
        int.from_bytes(one[ENTRY_ID], "little"): int.from_bytes(one[ENTRY_PACKETS], "little")
        for one in members
    }


def without_member_2(operation):
    """A control: the group has next hop 1 alone."""
    if isinstance(operation, AddNexthop) and operation.group:
        return dataclasses.replace(operation, group=operation.group[:1])
    return operation


@pytest.mark.behaviour(
    "the packet counters of a next hop group count each frame that an FDB entry sends by it, at "
    "the member that it goes to",
    source=f"{SELFTEST}test_vxlan_nh.sh: ipv4_basic_tx, ipv6_basic_tx; {NEXTHOP}: "
    "nh_grp_entry_stats_inc()",
)
@pytest.mark.control(
    "the group has the next hop of host b alone",
    change=without_member_2,
    because=r"64 flows, of which 0 to host c, are counted as \{1: 64\}",
)
@both_families
def test_a_group_counts_the_packets_of_its_members(lab):
    add_group(lab)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    before = packets_of_members(lab, 10)
    sent = list(remote_of_each_flow(lab, MAC, 64).values())
    counted = packets_of_members(lab, 10)
    to_b, to_c = (sent.count(address(lab, host)) for host in "bc")
    text = f"64 flows, of which {to_c} to host c, are counted as {counted}"
    assert (before, counted) == ({1: 0, 2: 0}, {1: to_b, 2: to_c}), text
    assert to_b + to_c == 64
    assert min(to_b, to_c) > 0


NO_DEVICE = "Fdb attribute can not be used with encap, oif or blackhole"
WRONG = {
    "blackhole": (("blackhole",), NO_DEVICE),
    "oif": (("via", "REMOTE", "dev", "eth0"), NO_DEVICE),
    "onlink": (("via", "REMOTE", "onlink"), "Unsupported nexthop flags in ancillary header"),
    "encap": (("via", "REMOTE", "encap", "ip", "id", "7", "dst", "192.0.2.9"), NO_DEVICE),
}


@pytest.mark.behaviour(
    "a next hop for FDB entries is refused if it is a blackhole, or has an outgoing interface, the "
    "flag `onlink` or an encapsulation",
    source=f"{SELFTEST}fib_nexthops.sh: ipv4_fdb_grp_fcnal, ipv6_fdb_grp_fcnal; {NEXTHOP}: "
    "rtm_to_nh_config()",
)
@pytest.mark.control(
    "the next hop has the address of a VTEP, and nothing beside it",
    arguments={"words": ("via", "REMOTE")},
    because=r"not refused: ip nexthop add id 14 via \S+ fdb",
)
@both_families
@pytest.mark.parametrize(("words", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_next_hop_for_entries_has_a_remote_only(lab, words, reason):
    line = ["ip", "nexthop", "add", "id", "14"]
    line += [address(lab, "b") if word == "REMOTE" else word for word in words]
    result = lab["a"].run(*line, "fdb", check=False)
    assert not result, f"not refused: {' '.join(line)} fdb"
    assert reason in result.stderr
    assert not lab["a"].ip("nexthop", "show")


def for_entries(operation):
    """A control: every next hop is one for FDB entries, with a remote and no interface."""
    if isinstance(operation, AddNexthop):
        return dataclasses.replace(operation, fdb=True, interface=None)
    return operation


@pytest.mark.behaviour(
    "a next hop for FDB entries that no group has may be replaced by one for routes, and back",
    source=f"{SELFTEST}fib_nexthops.sh: ipv4_fdb_grp_fcnal, ipv6_fdb_grp_fcnal; {NEXTHOP}: "
    "replace_nexthop_single()",
)
@pytest.mark.control(
    "the next hop for FDB entries is replaced by another one for FDB entries",
    change=for_entries,
    because=r"is for entries: \[True, True, True\]",
)
@both_families
@both_ways
def test_a_lone_next_hop_changes_its_purpose(lab, by):
    found = []
    for fdb in (True, False, True):
        purpose = {"fdb": fdb, "interface": None if fdb else "eth0"}
        lab.apply(AddNexthop("a", 1, via=address(lab, "b"), replace=True, **purpose), by=by)
        (row,) = lab["a"].ip("nexthop", "show")
        found.append("fdb" in row)
    assert found == [True, False, True], f"is for entries: {found}"


def of_no_group(operation):
    """A control: no group is added."""
    return None if isinstance(operation, AddNexthop) and operation.group else operation


@pytest.mark.behaviour(
    "a next hop that is in a group cannot be changed from one for FDB entries to one for routes, "
    "nor the other way",
    source=f"{SELFTEST}fib_nexthops.sh: ipv4_fdb_grp_fcnal, ipv6_fdb_grp_fcnal; {NEXTHOP}: "
    "replace_nexthop_single()",
)
@pytest.mark.control(
    "no group has the next hop",
    change=of_no_group,
    because="not refused: ip -n a nexthop replace id 1 ",
)
@both_families
@both_ways
@pytest.mark.parametrize("fdb", [True, False], ids=["for-entries", "for-routes"])
def test_a_next_hop_of_a_group_keeps_its_purpose(lab, by, fdb):
    first, second = ({"fdb": one, "interface": None if one else "eth0"} for one in (fdb, not fdb))
    lab.apply(AddNexthop("a", 1, via=address(lab, "b"), **first))
    lab.apply(AddNexthop("a", 10, group=(1,), fdb=fdb))
    other = AddNexthop("a", 1, via=address(lab, "b"), replace=True, **second)
    words = "Cannot change nexthop FDB status while in a group"
    assert_refusal(lab, other, by, errno.EINVAL, words)
    found = {row["id"]: "fdb" in row for row in lab["a"].ip("nexthop", "show")}
    assert found == {1: fdb, 10: fdb}


def for_routes(operation):
    """A control: every next hop is one for routes."""
    if isinstance(operation, AddNexthop):
        return dataclasses.replace(
            operation, fdb=False, interface=None if operation.group else "eth0"
        )
    return operation


@pytest.mark.behaviour(
    "a route is refused if it names a next hop, or a next hop group, that is for FDB entries",
    source=f"{SELFTEST}fib_nexthops.sh: ipv4_fdb_grp_fcnal, ipv6_fdb_grp_fcnal; {NEXTHOP}: "
    "fib_check_nexthop(), fib6_check_nexthop()",
)
@pytest.mark.control(
    "the next hops and their group are for routes",
    change=for_routes,
    because="not refused: ip -n a route add ",
)
@both_families
@both_ways
@pytest.mark.parametrize("nhid", [1, 10], ids=["next-hop", "group"])
def test_a_route_does_not_take_a_next_hop_for_entries(lab, by, nhid):
    add_group(lab)
    to = "2001:db8:9::/48" if ":" in address(lab, "b") else "198.51.100.0/24"
    words = "Route cannot point to a fdb nexthop"
    assert_refusal(lab, AddRoute("a", to, nhid=nhid), by, errno.EINVAL, words)
    assert not [route for route in lab["a"].state.routes if route.destination == to]
