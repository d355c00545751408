"""4.8 Next hops: FDB entries that name a group of VTEPs.

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
    address,
    assert_copies,
    assert_no_entry,
    assert_refusal,
    default_copies,
    entry,
    found_copies,
    remote_of_each_flow,
)

from vxlab import catalog
from vxlab.operations import AddFdb, AddNexthop, DelFdb, DelNexthop

CORE = "drivers/net/vxlan/vxlan_core.c"
NEXTHOP = "net/ipv4/nexthop.c"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
pytestmark = [
    pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3),
    pytest.mark.requires("bridge.nhid", "ip.nexthop_fdb"),
]


def add_group(lab, *members):
    """Add next hops 1 (host b) and 2 (host c), and group 10 of those named."""
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 2, via=address(lab, "c")))
    lab.apply(AddNexthop("a", 10, group=members))


def nexthop_ids(lab):
    """The numbers of a's next hops and groups."""
    return {row["id"] for row in lab["a"].ip("nexthop", "show")}


def only_first_member(operation):
    """A group has its first member alone."""
    if isinstance(operation, AddNexthop) and operation.group:
        return dataclasses.replace(operation, group=operation.group[:1])
    return operation


def without_replacing(operation):
    """What would replace something is left out."""
    return None if getattr(operation, "replace", False) else operation


def one_member(because):
    """A control: the group does not have two members."""
    return pytest.mark.control(
        "the next hop group has host b as its only member",
        change=only_first_member,
        because=because,
    )


def as_group_11(operation):
    """The group, and the entry's next hop, have the number 11 in place of 10."""
    if isinstance(operation, AddNexthop) and operation.id == 10:
        return dataclasses.replace(operation, id=11)
    if isinstance(operation, AddFdb) and operation.nhid == 10:
        return dataclasses.replace(operation, nhid=11)
    return operation


@pytest.mark.behaviour(
    "an FDB entry can name a next hop group, and is shown with the group's number and no remote",
    source=f"{CORE}: vxlan_fdb_info()",
)
@pytest.mark.control(
    "the next hop group has the number 11 in place of 10",
    change=as_group_11,
    because=f"(?m)wanted an entry with nhid 10, found {MAC} .* nhid 11 self permanent$",
)
@both_ways
def test_an_entry_names_its_group(lab, by):
    add_group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), by=by)
    found = entry(lab, MAC)
    fields = (found.nhid, found.dst, found.port, found.vni)
    assert fields == (10, None, None, None), f"wanted an entry with nhid 10, found {found}"
    rows = [row for row in lab["a"].bridge("fdb", "show", "dev", "vxlan0") if row["mac"] == MAC]
    assert rows == [{"mac": MAC, "nhid": 10, "flags": ["self"], "state": "permanent"}]


@pytest.mark.behaviour(
    "frames of different flows for a MAC with a next hop group are spread over the members of the "
    "group, to about equal parts",
    source=f"{NEXTHOP}: nexthop_path_fdb_result()",
)
@one_member(r"of 256 flows \[256, 0\] went to b and c")
def test_flows_are_spread_over_the_members(lab):
    add_group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    found = list(remote_of_each_flow(lab, MAC, 256).values())
    shares = [found.count(address(lab, host)) for host in "bc"]
    text = f"of 256 flows {shares} went to b and c"
    assert sum(shares) == 256, text
    assert min(shares) > 64, text  # eight standard deviations below one half


@pytest.mark.behaviour(
    "frames of the same flow for a MAC with a next hop group are always sent to the same member of "
    "the group",
    source=f"{NEXTHOP}: nexthop_path_fdb_result()",
)
@one_member("64 flows went to 1 of 2 members")
def test_a_flow_stays_with_its_member(lab):
    add_group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    before = remote_of_each_flow(lab, MAC, 64)
    used = len(set(before.values()))
    assert used == 2, f"64 flows went to {used} of 2 members"
    assert remote_of_each_flow(lab, MAC, 64) == before


def of_equal_weight(operation):
    """The members of a group have the same weight."""
    if isinstance(operation, AddNexthop) and operation.group:
        return dataclasses.replace(operation, group=((1, 1), (2, 1)))
    return operation


@pytest.mark.behaviour(
    "a member of a next hop group that has a smaller weight than another gets fewer flows",
    source="man 8 ip-nexthop: group; nexthop.c: nh_hthr_group_rebalance()",
)
@pytest.mark.control(
    "both members of the next hop group have the weight 1",
    change=of_equal_weight,
    because=r"(6[4-9]|[7-9]\d|1\d\d) of 256 flows went to the member of weight 1 of 16",
)
@both_ways
def test_weights_of_members_count(lab, by):
    nexthops = [AddNexthop("a", n, via=address(lab, host)) for n, host in ((1, "b"), (2, "c"))]
    lab.apply(*nexthops, AddNexthop("a", 10, group=((1, 1), (2, 15))), by=by)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), by=by)
    found = list(remote_of_each_flow(lab, MAC, 256).values())
    light = found.count(address(lab, "b"))
    # 16 are expected, 128 with equal weights
    assert light < 64, f"{light} of 256 flows went to the member of weight 1 of 16"
    assert address(lab, "c") in found


@pytest.mark.behaviour(
    "when a next hop group is replaced, frames for the MACs that name the group are sent to its "
    "new member",
    source=f"{NEXTHOP}: replace_nexthop()",
)
@pytest.mark.control(
    "the next hop group is not replaced", change=without_replacing, because=found_copies("b")
)
@both_ways
def test_replacing_a_group_moves_the_traffic(lab, by):
    add_group(lab, 1)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    assert_copies(lab, MAC, default_copies(lab, "b"))
    lab.apply(AddNexthop("a", 10, group=(2,), replace=True), by=by)
    assert_copies(lab, MAC, default_copies(lab, "c"))


@pytest.mark.behaviour(
    "when a member of a next hop group is replaced, frames for the MACs that name the group are "
    "sent to the member's new address",
    source=f"{NEXTHOP}: replace_nexthop()",
)
@pytest.mark.control(
    "the member of the next hop group is not replaced",
    change=without_replacing,
    because=found_copies("b"),
)
@both_ways
def test_replacing_a_member_moves_the_traffic(lab, by):
    add_group(lab, 1)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    lab.apply(AddNexthop("a", 1, via=address(lab, "c"), replace=True), by=by)
    assert_copies(lab, MAC, default_copies(lab, "c"))


@pytest.mark.behaviour(
    "a next hop that is deleted leaves its group, and all flows go to the members that remain",
    source=f"{NEXTHOP}: remove_nexthop_from_groups()",
)
@pytest.mark.control(
    "the next hop is not deleted",
    without=DelNexthop,
    because=r"32 flows went to \S+[.:]54, \S+[.:]55\b",
)
@both_ways
def test_a_deleted_member_leaves_its_groups(lab, by):
    add_group(lab, 1, 2)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    lab.apply(DelNexthop("a", 1), by=by)
    found = set(remote_of_each_flow(lab, MAC, 32).values())
    assert found == {address(lab, "c")}, f"32 flows went to {', '.join(sorted(found))}"


@pytest.mark.behaviour(
    "a next hop in use can be deleted; a group that is deleted, or loses its last member, is "
    "removed together with the FDB entries that name it",
    source=f"{CORE}: vxlan_nexthop_event()",
)
@pytest.mark.control(
    "neither the next hop group nor its member is deleted",
    without=DelNexthop,
    because=f"wanted no entry for {MAC}, found {MAC} .* nhid 10 ",
)
@both_ways
@pytest.mark.parametrize("deleted", [10, 1], ids=["the-group", "its-last-member"])
def test_entries_go_with_their_group(lab, by, deleted):
    add_group(lab, 1)
    lab.apply(*(AddFdb("a", "vxlan0", mac, nhid=10) for mac in (MAC, MULTICAST)))
    lab.apply(DelNexthop("a", deleted), by=by)
    assert_no_entry(lab, MAC)
    assert_no_entry(lab, MULTICAST)
    assert nexthop_ids(lab) == {1, 2} - {deleted}


@pytest.mark.behaviour(
    "when an FDB entry with a next hop group is deleted, the group and its members stay",
    source=f"{CORE}: vxlan_fdb_destroy()",
)
@pytest.mark.control(
    "the FDB entry is not deleted",
    without=DelFdb,
    because=f"wanted no entry for {MAC}, found {MAC} .* nhid 10 ",
)
@both_ways
def test_the_next_hop_outlives_its_entry(lab, by):
    add_group(lab, 1)
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10), DelFdb("a", "vxlan0", MAC), by=by)
    assert_no_entry(lab, MAC)
    assert nexthop_ids(lab) == {1, 2, 10}


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


def add_other_groups(lab):
    """Add groups 10 (of b), 20 (for routes, not for entries) and 40 (of the other family)."""
    add_group(lab, 1)
    routed = dataclasses.replace(
        AddNexthop("a", 21, via=address(lab, "b"), interface="eth0"), fdb=False
    )
    other_family = "2001:db8::1" if "." in address(lab, "b") else "192.0.2.1"
    lab.apply(routed, AddNexthop("a", 20, group=(21,), fdb=False))
    lab.apply(AddNexthop("a", 41, via=other_family), AddNexthop("a", 40, group=(41,)))


def with_group_10_alone(operation):
    """The entry for MAC has group 10 as its next hop, and nothing beside it."""
    if isinstance(operation, AddFdb) and operation.mac == MAC:
        return AddFdb("a", "vxlan0", MAC, nhid=10)
    return operation


valid_entry = pytest.mark.control(
    "the FDB entry names a group of FDB next hops of the device's family, and nothing else",
    change=with_group_10_alone,
    because=f"not refused: bridge -n a fdb add {MAC}",
)


@pytest.mark.behaviour(
    "an FDB entry is refused if its next hop is unknown, not a group, for routes or of the "
    "other address family, or if the entry also has a remote, port, VNI or lower device",
    source=f"{CORE}: vxlan_fdb_parse(), vxlan_fdb_nh_update()",
)
@valid_entry
@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        pytest.param(*row, id=name, marks=UNEXPLAINED if EXCLUSIVE in row else ())
        for name, row in WRONG_ENTRIES.items()
    ],
)
def test_a_wrong_next_hop_is_refused(lab, fields, code, words):
    add_other_groups(lab)
    assert_refusal(lab, AddFdb("a", "vxlan0", MAC, **fields), "netlink", code, words)
    assert_no_entry(lab, MAC)


@pytest.mark.behaviour(
    "`bridge fdb add` prints the kernel's reason when the kernel refuses a next hop",
    source="iproute2 lib/libnetlink.c",
)
@valid_entry
@pytest.mark.parametrize(
    ("nhid", "words"),
    [(fields["nhid"], words) for fields, _, words in WRONG_ENTRIES.values() if len(fields) == 1],
    ids=[name for name, (fields, *_) in WRONG_ENTRIES.items() if len(fields) == 1],
)
def test_bridge_prints_why_a_next_hop_is_refused(lab, nhid, words):
    add_other_groups(lab)
    assert_refusal(lab, AddFdb("a", "vxlan0", MAC, nhid=nhid), "iproute2", None, words)
    assert_no_entry(lab, MAC)


CHANGES = {
    "append-to-it": (10, {"append": True}, "Cannot append to a nexthop fdb"),
    "instead-of-a-remote": (
        None,
        {"replace": True},
        "Cannot replace an existing non nexthop fdb with a nexthop",
    ),
}


def group_replaces_group(operation):
    """The entry for MAC has a group at first, which the second operation replaces."""
    if isinstance(operation, AddFdb) and operation.mac == MAC:
        second = operation.append or operation.replace
        return AddFdb("a", "vxlan0", MAC, nhid=10, replace=second)
    return operation


@pytest.mark.behaviour(
    "an FDB entry with a remote cannot be changed to name a next hop group, and no second group "
    "can be appended to one that names a group: both are refused with EOPNOTSUPP",
    source=f"{CORE}: vxlan_fdb_update_existing()",
)
@pytest.mark.control(
    "the FDB entry names a next hop group, and is replaced by one that names a group",
    change=group_replaces_group,
    because=f"not refused: bridge -n a fdb (append|replace) {MAC}",
)
@both_ways
@pytest.mark.parametrize(("first", "more", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_remote_does_not_become_a_next_hop(lab, by, first, more, words):
    add_group(lab, 1)
    dst = None if first else address(lab, "b")
    lab.apply(AddFdb("a", "vxlan0", MAC, dst, nhid=first))
    second = AddFdb("a", "vxlan0", MAC, nhid=10, **more)
    assert_refusal(lab, second, by, errno.EOPNOTSUPP, words)
    assert (entry(lab, MAC).dst, entry(lab, MAC).nhid) == (dst, first)


@pytest.mark.behaviour(
    "`bridge fdb replace` can give an FDB entry with a next hop group another group, whose members "
    "then get the frames",
    source=f"{CORE}: vxlan_fdb_nh_update()",
)
@pytest.mark.control(
    "the FDB entry is not replaced",
    change=without_replacing,
    because="(?m)the FDB entry names the next hop group 10$",
)
@both_ways
def test_an_entry_can_be_given_another_group(lab, by):
    add_group(lab, 1)
    lab.apply(AddNexthop("a", 11, group=(2,)), AddFdb("a", "vxlan0", MAC, nhid=10))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=11, replace=True), by=by)
    nhid = entry(lab, MAC).nhid
    assert nhid == 11, f"the FDB entry names the next hop group {nhid}"
    assert_copies(lab, MAC, default_copies(lab, "c"))


WRONG_GROUPS = {
    "mixed-families": ((1, 41), True, "FDB nexthop group cannot have mixed family nexthops"),
    "route-member": ((1, 21), True, "FDB nexthop group can only have fdb nexthops"),
    "fdb-member": ((1,), False, "Non FDB nexthop group cannot have fdb nexthops"),
}


def as_valid_group(operation):
    """Group 30 is one of two FDB next hops of the same family."""
    if isinstance(operation, AddNexthop) and operation.id == 30:
        return dataclasses.replace(operation, group=(1, 2), fdb=True)
    return operation


@pytest.mark.behaviour(
    "a next hop group is refused with EINVAL if its members are of both address families, or some "
    "are FDB next hops and the group or another member is for routes",
    source=f"{NEXTHOP}: nh_check_attr_group()",
)
@pytest.mark.control(
    "the next hop group is for the FDB and has two FDB next hops of one address family",
    change=as_valid_group,
    because="not refused: ip -n a nexthop add id 30 ",
)
@both_ways
@pytest.mark.parametrize(
    ("members", "fdb", "words"), WRONG_GROUPS.values(), ids=WRONG_GROUPS.keys()
)
def test_a_mixed_group_is_refused(lab, by, members, fdb, words):
    add_other_groups(lab)
    mixed = AddNexthop("a", 30, group=members, fdb=fdb)
    assert_refusal(lab, mixed, by, errno.EINVAL, words)
