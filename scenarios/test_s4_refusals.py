"""4.3 Refused FDB entries: by the kernel, and by `bridge` before it asks the kernel.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from fdb_tools import (
    ANY,
    BROADCAST,
    LATER,
    MAC,
    MULTICAST,
    OTHER,
    address,
    arrives,
    assert_macs,
    assert_no_entry,
    assert_refusal,
    assert_remotes,
    changed_entries,
    entries,
    found_remotes,
    refusal,
)

from vxlab import catalog
from vxlab.operations import AddFdb, DelFdb

CORE = "drivers/net/vxlan/vxlan_core.c"
BRIDGE = "iproute2 bridge/fdb.c: fdb_modify()"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
ipv4_only = pytest.mark.topology(catalog.point_to_point())
both_families = pytest.mark.topology(catalog.point_to_point, family=[4, 6])

NOT_ADDED = "not refused: bridge -n a fdb add"
NOT_REPLACED = "not refused: bridge -n a fdb replace"
NOT_DELETED = "not refused: bridge -n a fdb del"


@pytest.mark.behaviour(
    "`bridge fdb add` of a MAC that has an FDB entry is refused with EEXIST, with the same remote "
    "and with another",
    source=f"{CORE}: vxlan_fdb_update()",
)
@pytest.mark.control(
    "the second entry for the MAC is appended, not added",
    change=changed_entries(append=True),
    because=NOT_ADDED,
)
@both_families
@both_ways
@pytest.mark.parametrize("dst", ["b", "a"], ids=["same-remote", "other-remote"])
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_a_duplicate_is_refused(lab, by, dst, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")))
    assert_refusal(lab, AddFdb("a", "vxlan0", mac, address(lab, dst)), by, errno.EEXIST)
    assert_remotes(lab, mac, address(lab, "b"))


@pytest.mark.behaviour(
    "an FDB entry without a remote is refused with EINVAL", source=f"{CORE}: vxlan_fdb_add()"
)
@pytest.mark.control(
    "the FDB entry has a remote", change=changed_entries(dst="192.0.2.1"), because=NOT_ADDED
)
@ipv4_only
@both_ways
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_an_entry_without_a_remote_is_refused(lab, by, mac):
    assert_refusal(lab, AddFdb("a", "vxlan0", mac), by, errno.EINVAL)
    assert_no_entry(lab, mac)


IPV4_REMOTE, IPV6_REMOTE = "192.0.2.1", "2001:db8::1"


def with_remote_of_the_same_family(operation):
    """The remote of the entry is of the family of the underlay."""
    swapped = {IPV4_REMOTE: IPV6_REMOTE, IPV6_REMOTE: IPV4_REMOTE}
    if isinstance(operation, AddFdb) and operation.dst in swapped:
        return dataclasses.replace(operation, dst=swapped[operation.dst])
    return operation


@pytest.mark.behaviour(
    "an FDB entry whose remote is of the other address family than the device's remotes is refused "
    "with EAFNOSUPPORT",
    source=f"{CORE}: vxlan_fdb_add()",
)
@pytest.mark.control(
    "the remote of the FDB entry is of the device's address family",
    change=with_remote_of_the_same_family,
    because=NOT_ADDED,
)
@both_families
@both_ways
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_a_remote_of_the_other_family_is_refused(lab, by, mac):
    dst = IPV4_REMOTE if ":" in address(lab, "b") else IPV6_REMOTE
    assert_refusal(lab, AddFdb("a", "vxlan0", mac, dst), by, errno.EAFNOSUPPORT)
    assert_no_entry(lab, mac)


@pytest.mark.behaviour(
    "`bridge fdb replace` of a multicast, broadcast or default FDB entry is refused with "
    "EOPNOTSUPP",
    source=f"{CORE}: vxlan_fdb_update_existing()",
)
@pytest.mark.control(
    "the remote is appended to the FDB entry, it does not replace the entry",
    change=changed_entries(replace=False, append=True),
    because=NOT_REPLACED,
)
@both_families
@both_ways
@pytest.mark.parametrize("mac", [MULTICAST, ANY, BROADCAST], ids=["multicast", "default", "all"])
def test_replacing_an_entry_for_a_group_is_refused(lab, by, mac):
    if mac != ANY:
        lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b"), append=True))
    before = entries(lab, mac)
    replacing = AddFdb("a", "vxlan0", mac, address(lab, "a"), replace=True)
    words = "Cannot replace non-unicast fdb entries"
    assert_refusal(lab, replacing, by, errno.EOPNOTSUPP, words)
    assert before == entries(lab, mac)


def as_unicast(operation):
    """What is replaced is an entry for a unicast MAC."""
    if isinstance(operation, AddFdb) and operation.replace:
        return dataclasses.replace(operation, mac=MAC)
    return operation


@pytest.mark.behaviour(
    "`bridge fdb replace` of a multicast or broadcast MAC without an FDB entry is refused with "
    "EOPNOTSUPP, and makes no entry",
    source=f"{CORE}: vxlan_fdb_update_create()",
)
@pytest.mark.control("the MAC of the FDB entry is unicast", change=as_unicast, because=NOT_REPLACED)
@ipv4_only
@both_ways
@pytest.mark.parametrize("mac", [MULTICAST, BROADCAST], ids=["multicast", "all"])
def test_replace_cannot_make_an_entry_for_a_group(lab, by, mac):
    replacing = AddFdb("a", "vxlan0", mac, address(lab, "b"), replace=True)
    assert_refusal(lab, replacing, by, errno.EOPNOTSUPP)
    assert_no_entry(lab, mac)


def add_entry(lab):
    """Give a an FDB entry for the MAC."""
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b")))


@pytest.mark.behaviour(
    "deleting the FDB entry of a MAC that has none is refused with ENOENT",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@pytest.mark.control("VTEP a has an FDB entry for the MAC", lab=add_entry, because=NOT_DELETED)
@both_families
@both_ways
@pytest.mark.parametrize("named", [False, True], ids=["mac", "mac-and-remote"])
def test_deleting_a_missing_entry_is_refused(lab, by, named):
    missing = DelFdb("a", "vxlan0", MAC, dst=address(lab, "b") if named else None)
    assert_refusal(lab, missing, by, errno.ENOENT)


@pytest.mark.behaviour(
    "an FDB entry with the flag `master` is refused with EOPNOTSUPP on a device that is no bridge "
    "port",
    source="net/core/rtnetlink.c: rtnl_fdb_add()",
)
@pytest.mark.control(
    "the FDB entry has the flag `self` in place of `master`",
    change=changed_entries(flags=("self",)),
    because=NOT_ADDED,
)
@ipv4_only
@both_ways
def test_master_without_a_bridge_is_refused(lab, by):
    of_master = AddFdb("a", "vxlan0", MAC, address(lab, "b"), flags=("master",))
    assert_refusal(lab, of_master, by, errno.EOPNOTSUPP)
    assert_no_entry(lab, MAC)


def limited_to_three(family):
    """Two hosts, of which a takes three MACs: the default entry's and two more."""
    return catalog.point_to_point(family=family).with_vtep("a", "overlay", maxaddress=3)


limited = pytest.mark.topology(limited_to_three, family=[4, 6])


def unlimited(because):
    """A control: the FDB does not get full."""
    what = "the FDB of VTEP a has room for nine MACs, not for three"
    return pytest.mark.control(what, vteps={"a": {"maxaddress": 9}}, because=because)


@pytest.mark.behaviour(
    "an FDB with `maxaddress` MACs, the default entry included, refuses one more with ENOSPC",
    source=f"{CORE}: vxlan_fdb_create()",
)
@unlimited(NOT_ADDED)
@limited
@both_ways
def test_a_full_fdb_refuses_one_more_mac(lab, by):
    assert_macs(lab, {ANY})
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (MAC, OTHER)))
    assert_refusal(lab, AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")), by, errno.ENOSPC)
    assert_macs(lab, {ANY, MAC, OTHER})


@pytest.mark.behaviour(
    "a device whose FDB has `maxaddress` MACs learns no more, but delivers the frames it receives",
    source=f"{CORE}: vxlan_snoop()",
)
@unlimited(f"MACs in the FDB: unexpected {MAC}, {LATER}; missing none")
@limited
def test_a_full_fdb_learns_nothing(lab):
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (OTHER, MULTICAST)))
    assert arrives(lab, "b", src=MAC)
    assert_macs(lab, {ANY, OTHER, MULTICAST})


def without_appended(operation):
    """No remote is appended to the multicast MAC."""
    appended = isinstance(operation, AddFdb) and operation.append and operation.mac == MULTICAST
    return None if appended else operation


@pytest.mark.behaviour(
    "an FDB with `maxaddress` MACs accepts more remotes for a multicast MAC that has an entry",
    source=f"{CORE}: vxlan_fdb_append()",
)
@pytest.mark.control(
    "the second remote of the multicast MAC is not appended",
    change=without_appended,
    because=found_remotes("b"),
)
@limited
@both_ways
def test_a_full_fdb_takes_more_remotes(lab, by):
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (OTHER, MULTICAST)))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "a"), append=True), by=by)
    assert_remotes(lab, MULTICAST, address(lab, "a"), address(lab, "b"))


@pytest.mark.behaviour(
    "an FDB with `maxaddress` MACs accepts another MAC after one of its entries is deleted",
    source=f"{CORE}: vxlan_fdb_destroy()",
)
@pytest.mark.control(
    "no FDB entry is deleted", without=DelFdb, because="ApplyError: .*No space left on device"
)
@limited
def test_a_deletion_makes_room_in_a_full_fdb(lab):
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (MAC, OTHER)))
    lab.apply(DelFdb("a", "vxlan0", MAC), AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")))
    assert_macs(lab, {ANY, MULTICAST, OTHER})


REFUSED_BY_BRIDGE = {
    "vni": ({"vni": 1 << 24}, "invalid VNI"),
    "port": ({"port": 65536}, "invalid port"),
    "device": ({"via": "nowhere"}, 'Cannot find device "nowhere"'),
    "mac": ({"mac": "02:00:00:00:01"}, "Invalid mac address 02:00:00:00:01"),
    "nhid-and-remote": ({"nhid": 10}, "mutually exclusive with nhid"),
}


@pytest.mark.behaviour(
    "`bridge` itself refuses an FDB entry with a VNI or port out of range, an unknown lower "
    "device, a malformed MAC, or both a next hop and a remote, and does not ask the kernel",
    source=BRIDGE,
)
@pytest.mark.control("the FDB entry is a valid one", arguments={"fields": {}}, because=NOT_ADDED)
@ipv4_only
@pytest.mark.parametrize(
    ("fields", "words"), REFUSED_BY_BRIDGE.values(), ids=REFUSED_BY_BRIDGE.keys()
)
def test_bridge_refuses_invalid_entries_itself(lab, fields, words):
    valid = AddFdb("a", "vxlan0", MAC, address(lab, "b"))
    error = refusal(lab, dataclasses.replace(valid, **fields), "iproute2")
    assert words in str(error)
    assert error.errno is None
    assert_macs(lab, {ANY})
