"""4.8 Next hops: one MAC behind several VTEPs at a time.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from fdb_tools import (
    MAC,
    MULTICAST,
    Copy,
    address,
    collected_copies,
    entries,
    entry,
    remote_of_each_flow,
)

from vxlab import catalog
from vxlab.errors import ApplyError
from vxlab.operations import AddFdb, AddNexthop, DelFdb, DelNexthop

CORE = "drivers/net/vxlan/vxlan_core.c"
NEXTHOP = "net/ipv4/nexthop.c"

both = pytest.mark.parametrize("by", ["netlink", "iproute2"])
pytestmark = [
    pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3),
    pytest.mark.requires("bridge.nhid", "ip.nexthop_fdb"),
]


def group(lab, *members):
    """Next hops 1 (b) and 2 (c), and group 10 of those named."""
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 2, via=address(lab, "c")))
    lab.apply(AddNexthop("a", 10, group=members))


def refused(lab, operation, by):
    """The error with which an operation is refused."""
    with pytest.raises(ApplyError) as refusal:
        lab.apply(operation, by=by)
    return refusal.value


def explained(error, by, code, words):
    """Whether an error is the kernel's, with its words; `bridge` and `ip` tell the words alone."""
    return (error.errno, error.extack.rstrip(".")) == (code if by == "netlink" else None, words)


def only_first(made):
    """A group of its first member alone."""
    if isinstance(made, AddNexthop) and made.group:
        return dataclasses.replace(made, group=made.group[:1])
    return made


@pytest.mark.behaviour("an entry may name a group of next hops", source=f"{CORE}: vxlan_fdb_info()")
@pytest.mark.control("the group has another number", change=lambda made: renumbered(made))
@both
def test_an_entry_names_its_group(lab, by):
    group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), by=by)
    found = entry(lab, MAC)
    assert (found.nhid, found.dst, found.port, found.vni) == (10, None, None, None)
    rows = [row for row in lab["a"].bridge("fdb", "show", "dev", "vxlan0") if row["mac"] == MAC]
    assert rows == [{"mac": MAC, "nhid": 10, "flags": ["self"], "state": "permanent"}]


def renumbered(made):
    if isinstance(made, AddNexthop) and made.id == 10:
        return dataclasses.replace(made, id=11)
    return dataclasses.replace(made, nhid=11) if getattr(made, "nhid", None) == 10 else made


@pytest.mark.behaviour(
    "flows are spread evenly over the members", source=f"{NEXTHOP}: nexthop_path_fdb_result()"
)
@pytest.mark.control("the group has one member", change=only_first, because="assert")
def test_flows_are_spread_over_the_members(lab):
    group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    found = list(remote_of_each_flow(lab, MAC, 256).values())
    shares = [found.count(address(lab, host)) for host in "bc"]
    assert sum(shares) == 256
    assert min(shares) > 64  # eight standard deviations below one half


@pytest.mark.behaviour(
    "a flow stays with its member", source=f"{NEXTHOP}: nexthop_path_fdb_result()"
)
@pytest.mark.control("the group has one member", change=only_first, because="assert")
def test_a_flow_stays_with_its_member(lab):
    group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    before = remote_of_each_flow(lab, MAC, 64)
    assert len(set(before.values())) == 2
    assert remote_of_each_flow(lab, MAC, 64) == before


@pytest.mark.behaviour(
    "members may have weights",
    source="man 8 ip-nexthop: group; nexthop.c: nh_hthr_group_rebalance()",
)
@pytest.mark.control(
    "they weigh the same",
    change=lambda made: (
        dataclasses.replace(made, group=((1, 1), (2, 1)))
        if isinstance(made, AddNexthop) and made.group
        else made
    ),
    because="assert",
)
@both
def test_weights_of_members_count(lab, by):
    nexthops = [AddNexthop("a", n, via=address(lab, host)) for n, host in ((1, "b"), (2, "c"))]
    lab.apply(*nexthops, AddNexthop("a", 10, group=((1, 1), (2, 15))), by=by)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), by=by)
    found = list(remote_of_each_flow(lab, MAC, 256).values())
    assert found.count(address(lab, "b")) < 64  # 16 are expected, 128 with equal weights
    assert address(lab, "c") in found


@pytest.mark.behaviour(
    "replacing a group moves the traffic of all its entries", source=f"{NEXTHOP}: replace_nexthop()"
)
@pytest.mark.control(
    "it is not replaced",
    change=lambda made: None if getattr(made, "replace", False) else made,
    because="assert",
)
@both
def test_replacing_a_group_moves_the_traffic(lab, by):
    group(lab, 1)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    assert collected_copies(lab, MAC) == [Copy(address(lab, "b"), 4789, 42)]
    lab.apply(AddNexthop("a", 10, group=(2,), replace=True), by=by)
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 42)]


@pytest.mark.behaviour(
    "replacing a member moves the traffic of all its groups", source=f"{NEXTHOP}: replace_nexthop()"
)
@pytest.mark.control(
    "it is not replaced",
    change=lambda made: None if getattr(made, "replace", False) else made,
    because="assert",
)
@both
def test_replacing_a_member_moves_the_traffic(lab, by):
    group(lab, 1)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    lab.apply(AddNexthop("a", 1, via=address(lab, "c"), replace=True), by=by)
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 42)]


@pytest.mark.behaviour(
    "a deleted member leaves its groups", source=f"{NEXTHOP}: remove_nexthop_from_groups()"
)
@pytest.mark.control("it is not deleted", without=DelNexthop, because="assert")
@both
def test_a_deleted_member_leaves_its_groups(lab, by):
    group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    lab.apply(DelNexthop("a", 1), by=by)
    assert set(remote_of_each_flow(lab, MAC, 32).values()) == {address(lab, "c")}


@pytest.mark.behaviour(
    "a next hop in use can be deleted; a group without members goes, and its entries with it",
    source=f"{CORE}: vxlan_nexthop_event()",
)
@pytest.mark.control("nothing is deleted", without=DelNexthop, because="assert")
@both
@pytest.mark.parametrize("deleted", [10, 1], ids=["the-group", "its-last-member"])
def test_entries_go_with_their_group(lab, by, deleted):
    group(lab, 1)
    lab.apply(*(AddFdb("a", "vxlan0", mac, nhid=10) for mac in (MAC, MULTICAST)))
    lab.apply(DelNexthop("a", deleted), by=by)
    assert not entries(lab, MAC)
    assert not entries(lab, MULTICAST)
    assert 10 not in {row["id"] for row in lab["a"].ip("nexthop", "show")}
    assert {row["id"] for row in lab["a"].ip("nexthop", "show")} == {1, 2} - {deleted}


@pytest.mark.behaviour(
    "an entry with a next hop can be deleted; the next hop stays",
    source=f"{CORE}: vxlan_fdb_destroy()",
)
@pytest.mark.control("it is not deleted", without=DelFdb, because="assert")
@both
def test_the_next_hop_outlives_its_entry(lab, by):
    group(lab, 1)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), DelFdb("a", "vxlan0", MAC), by=by)
    assert not entries(lab, MAC)
    assert {row["id"] for row in lab["a"].ip("nexthop", "show")} == {1, 2, 10}


UNEXPLAINED = pytest.mark.known_difference("K66", until="6.1")
EXCLUSIVE = "DST, VNI, ifindex and port are mutually exclusive with NH_ID"
WRONG_ENTRIES = {
    "remote": ({"nhid": 10, "dst": "192.0.2.1"}, errno.EINVAL, EXCLUSIVE),
    "port": ({"nhid": 10, "port": 4790}, errno.EINVAL, EXCLUSIVE),
    "vni": ({"nhid": 10, "vni": 43}, errno.EINVAL, EXCLUSIVE),
    "device": ({"nhid": 10, "via": "eth0"}, errno.EINVAL, EXCLUSIVE),
    "unknown": ({"nhid": 99}, errno.EINVAL, "Nexthop id does not exist"),
    "no-group": ({"nhid": 1}, errno.EINVAL, "Nexthop is not a multipath group"),
    "route-group": ({"nhid": 20}, errno.EINVAL, "Nexthop is not a fdb nexthop"),
    "other-family": ({"nhid": 40}, errno.EAFNOSUPPORT, "Nexthop group family not supported"),
}


def prepared(lab):
    """Groups 10 (of b), 20 (for routes, not for entries) and 40 (of the other family)."""
    group(lab, 1)
    routed = dataclasses.replace(
        AddNexthop("a", 21, via=address(lab, "b"), interface="eth0"), fdb=False
    )
    stranger = "2001:db8::1" if "." in address(lab, "b") else "192.0.2.1"
    lab.apply(routed, AddNexthop("a", 20, group=(21,), fdb=False))
    lab.apply(AddNexthop("a", 41, via=stranger), AddNexthop("a", 40, group=(41,)))


@pytest.mark.behaviour(
    "an entry takes a group of fdb next hops, and nothing beside it",
    source=f"{CORE}: vxlan_fdb_parse(), vxlan_fdb_nh_update()",
)
@pytest.mark.control("it is a good entry", arguments={"fields": {"nhid": 10}}, because="RAISE")
@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        pytest.param(*row, id=name, marks=UNEXPLAINED if EXCLUSIVE in row else ())
        for name, row in WRONG_ENTRIES.items()
    ],
)
def test_a_wrong_next_hop_is_refused(lab, fields, code, words):
    prepared(lab)
    error = refused(lab, AddFdb("a", "vxlan0", MAC, **fields), "netlink")
    assert explained(error, "netlink", code, words)
    assert not entries(lab, MAC)


@pytest.mark.behaviour(
    "`bridge` passes on why the kernel refuses a next hop", source="iproute2 lib/libnetlink.c"
)
@pytest.mark.control("it is a good entry", arguments={"nhid": 10}, because="RAISE")
@pytest.mark.parametrize(
    ("nhid", "words"),
    [(fields["nhid"], words) for fields, _, words in WRONG_ENTRIES.values() if len(fields) == 1],
    ids=[name for name, (fields, *_) in WRONG_ENTRIES.items() if len(fields) == 1],
)
def test_bridge_passes_on_why_a_next_hop_is_refused(lab, nhid, words):
    prepared(lab)
    error = refused(lab, AddFdb("a", "vxlan0", MAC, nhid=nhid), "iproute2")
    assert explained(error, "iproute2", None, words)
    assert not entries(lab, MAC)


CHANGES = {
    "append-to-it": (10, {"append": True}, "Cannot append to a nexthop fdb"),
    "instead-of-a-remote": (
        None,
        {"replace": True},
        "Cannot replace an existing non nexthop fdb with a nexthop",
    ),
}


@pytest.mark.behaviour(
    "a remote does not become a next hop, and nothing is appended to one",
    source=f"{CORE}: vxlan_fdb_update_existing()",
)
@pytest.mark.control("it replaces a next hop", arguments={"first": 10, "more": {"replace": True}})
@both
@pytest.mark.parametrize(("first", "more", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_remote_does_not_become_a_next_hop(lab, by, first, more, words):
    group(lab, 1)
    dst = None if first else address(lab, "b")
    lab.apply(AddFdb("a", "vxlan0", MAC, dst, nhid=first))
    error = refused(lab, AddFdb("a", "vxlan0", MAC, nhid=10, **more), by)
    assert explained(error, by, errno.EOPNOTSUPP, words)
    assert (entry(lab, MAC).dst, entry(lab, MAC).nhid) == (dst, first)


@pytest.mark.behaviour(
    "an entry with a next hop can be given another", source=f"{CORE}: vxlan_fdb_nh_update()"
)
@pytest.mark.control(
    "it is not replaced",
    change=lambda made: None if getattr(made, "replace", False) else made,
    because="assert",
)
@both
def test_an_entry_can_be_given_another_group(lab, by):
    group(lab, 1)
    lab.apply(AddNexthop("a", 11, group=(2,)), AddFdb("a", "vxlan0", MAC, nhid=10))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=11, replace=True), by=by)
    assert entry(lab, MAC).nhid == 11
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 42)]


WRONG_GROUPS = {
    "mixed-families": ((1, 41), True, "FDB nexthop group cannot have mixed family nexthops"),
    "route-member": ((1, 21), True, "FDB nexthop group can only have fdb nexthops"),
    "fdb-member": ((1,), False, "Non FDB nexthop group cannot have fdb nexthops"),
}


@pytest.mark.behaviour(
    "a group is of fdb next hops of one family, or of routes' next hops",
    source=f"{NEXTHOP}: nh_check_attr_group()",
)
@pytest.mark.control("it is a good group", arguments={"members": (1, 2), "fdb": True})
@both
@pytest.mark.parametrize(
    ("members", "fdb", "words"), WRONG_GROUPS.values(), ids=WRONG_GROUPS.keys()
)
def test_a_mixed_group_is_refused(lab, by, members, fdb, words):
    prepared(lab)
    error = refused(lab, AddNexthop("a", 30, group=members, fdb=fdb), by)
    assert explained(error, by, errno.EINVAL, words)
