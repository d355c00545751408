"""4.3 Entries that are refused: by the kernel itself, and by `bridge` before it is asked.

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
    MAC,
    MULTICAST,
    OTHER,
    address,
    arrives,
    entries,
    macs,
    remotes,
)

from vxlab import catalog
from vxlab.errors import ApplyError
from vxlab.operations import AddFdb, DelFdb

CORE = "drivers/net/vxlan/vxlan_core.c"
BRIDGE = "iproute2 bridge/fdb.c: fdb_modify()"
DID_NOT = "DID NOT RAISE"

both = pytest.mark.parametrize("by", ["netlink", "iproute2"])
one = pytest.mark.topology(catalog.point_to_point())
two = pytest.mark.topology(catalog.point_to_point, family=[4, 6])


def refused(lab, operation, by):
    """The error with which an operation is refused."""
    with pytest.raises(ApplyError) as refusal:
        lab.apply(operation, by=by)
    return refusal.value


def explained(error, by, code, words):
    """Whether an error is the kernel's, with its words; `bridge` tells either words or number."""
    known = code if by == "netlink" or not words else None
    return (error.errno, error.extack.rstrip(".")) == (known, words)


def changed(**fields):
    """A change of all entries that are made."""

    def change(made):
        return dataclasses.replace(made, **fields) if isinstance(made, AddFdb) else made

    return change


@pytest.mark.behaviour(
    "a second `add` of a MAC is refused with EEXIST", source=f"{CORE}: vxlan_fdb_update()"
)
@pytest.mark.control("it is appended", change=changed(append=True), because=DID_NOT)
@two
@both
@pytest.mark.parametrize("dst", ["b", "a"], ids=["same-remote", "other-remote"])
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_a_duplicate_is_refused(lab, by, dst, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")))
    error = refused(lab, AddFdb("a", "vxlan0", mac, address(lab, dst)), by)
    assert explained(error, by, errno.EEXIST, "")
    assert remotes(lab, mac) == {address(lab, "b")}


@pytest.mark.behaviour(
    "an entry without a remote is refused with EINVAL", source=f"{CORE}: vxlan_fdb_add()"
)
@pytest.mark.control("it has a remote", change=changed(dst="192.0.2.1"), because=DID_NOT)
@one
@both
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_an_entry_needs_a_remote(lab, by, mac):
    assert explained(refused(lab, AddFdb("a", "vxlan0", mac), by), by, errno.EINVAL, "")
    assert not entries(lab, mac)


@pytest.mark.behaviour(
    "a remote of the other family is refused with EAFNOSUPPORT", source=f"{CORE}: vxlan_fdb_add()"
)
@pytest.mark.control("the device has the other family", topology=lambda topology: other(topology))
@two
@both
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_a_remote_of_the_other_family_is_refused(lab, by, mac, request):
    dst = "192.0.2.1" if "ipv6" in request.node.name else "2001:db8::1"
    error = refused(lab, AddFdb("a", "vxlan0", mac, dst), by)
    assert explained(error, by, errno.EAFNOSUPPORT, "")
    assert not entries(lab, mac)


def other(topology):
    """The same lab on an underlay of the other family."""
    return catalog.point_to_point(family=6 if "." in topology.host("b").nics[0].ip else 4)


@pytest.mark.behaviour(
    "an entry with several remotes cannot be replaced",
    source=f"{CORE}: vxlan_fdb_update_existing()",
)
@pytest.mark.control("it is appended", change=changed(replace=False, append=True), because=DID_NOT)
@two
@both
@pytest.mark.parametrize("mac", [MULTICAST, ANY, BROADCAST], ids=["multicast", "default", "all"])
def test_replacing_an_entry_for_many_is_refused(lab, by, mac):
    if mac != ANY:
        lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b"), append=True))
    before = entries(lab, mac)
    error = refused(lab, AddFdb("a", "vxlan0", mac, address(lab, "a"), replace=True), by)
    assert explained(error, by, errno.EOPNOTSUPP, "Cannot replace non-unicast fdb entries")
    assert before == entries(lab, mac)


@pytest.mark.behaviour(
    "replace cannot make an entry for a group MAC", source=f"{CORE}: vxlan_fdb_update_create()"
)
@pytest.mark.control("the MAC is unicast", change=changed(mac=MAC), because=DID_NOT)
@one
@both
@pytest.mark.parametrize("mac", [MULTICAST, BROADCAST], ids=["multicast", "all"])
def test_replace_cannot_make_an_entry_for_many(lab, by, mac):
    error = refused(lab, AddFdb("a", "vxlan0", mac, address(lab, "b"), replace=True), by)
    assert explained(error, by, errno.EOPNOTSUPP, "")
    assert not entries(lab, mac)


@pytest.mark.behaviour(
    "deleting a MAC that has no entry is refused with ENOENT",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@pytest.mark.control(
    "there is an entry",
    lab=lambda lab: lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"))),
    because=DID_NOT,
)
@two
@both
@pytest.mark.parametrize("named", [False, True], ids=["mac", "mac-and-remote"])
def test_deleting_what_is_not_there_is_refused(lab, by, named):
    gone = DelFdb("a", "vxlan0", MAC, dst=address(lab, "b") if named else None)
    assert explained(refused(lab, gone, by), by, errno.ENOENT, "")


@pytest.mark.behaviour(
    "a device outside of a bridge has no entries of a master",
    source="net/core/rtnetlink.c: rtnl_fdb_add()",
)
@pytest.mark.control("the entry is the device's own", change=changed(flags=("self",)))
@one
@both
def test_master_without_a_bridge_is_refused(lab, by):
    error = refused(lab, AddFdb("a", "vxlan0", MAC, address(lab, "b"), flags=("master",)), by)
    assert explained(error, by, errno.EOPNOTSUPP, "")
    assert not entries(lab, MAC)


limited = pytest.mark.topology(
    lambda family: catalog.point_to_point(family=family).with_vtep("a", "overlay", maxaddress=3),
    family=[4, 6],
)
unlimited = pytest.mark.control(
    "there is room for more", vteps={"a": {"maxaddress": 9}}, because=f"{DID_NOT}|assert"
)


@pytest.mark.behaviour(
    "maxaddress counts MACs, the default entry too; one more is refused with ENOSPC",
    source=f"{CORE}: vxlan_fdb_create()",
)
@unlimited
@limited
@both
def test_a_full_table_refuses_one_more_mac(lab, by):
    assert macs(lab) == {ANY}
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (MAC, OTHER)))
    error = refused(lab, AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")), by)
    assert explained(error, by, errno.ENOSPC, "")
    assert macs(lab) == {ANY, MAC, OTHER}


@pytest.mark.behaviour(
    "a full table learns nothing, but what comes is delivered", source=f"{CORE}: vxlan_snoop()"
)
@unlimited
@limited
def test_a_full_table_learns_nothing(lab):
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (OTHER, MULTICAST)))
    assert arrives(lab, "b", src=MAC)
    assert macs(lab) == {ANY, OTHER, MULTICAST}


@pytest.mark.behaviour(
    "a full table takes more remotes for the MACs it has", source=f"{CORE}: vxlan_fdb_append()"
)
@pytest.mark.control("nothing is appended", change=lambda made: not_appended(made))
@limited
@both
def test_a_full_table_takes_more_remotes(lab, by):
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (OTHER, MULTICAST)))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "a"), append=True), by=by)
    assert remotes(lab, MULTICAST) == {address(lab, "a"), address(lab, "b")}


def not_appended(made):
    return None if isinstance(made, AddFdb) and made.append and made.mac == MULTICAST else made


@pytest.mark.behaviour(
    "a deletion makes room in a full table", source=f"{CORE}: vxlan_fdb_destroy()"
)
@pytest.mark.control("nothing is deleted", without=DelFdb, because="No space left")
@limited
def test_a_deletion_makes_room_in_a_full_table(lab):
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in (MAC, OTHER)))
    lab.apply(DelFdb("a", "vxlan0", MAC), AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")))
    assert macs(lab) == {ANY, MULTICAST, OTHER}


REFUSED_BY_BRIDGE = {
    "vni": ({"vni": 1 << 24}, "invalid VNI"),
    "port": ({"port": 65536}, "invalid port"),
    "device": ({"via": "nowhere"}, 'Cannot find device "nowhere"'),
    "mac": ({"mac": "02:00:00:00:01"}, "Invalid mac address 02:00:00:00:01"),
    "nhid-and-remote": ({"nhid": 10}, "mutually exclusive with nhid"),
}


@pytest.mark.behaviour(
    "`bridge` refuses what cannot be meant before the kernel sees it", source=BRIDGE
)
@pytest.mark.control("it is a good entry", arguments={"fields": {}}, because=DID_NOT)
@one
@pytest.mark.parametrize(
    ("fields", "words"), REFUSED_BY_BRIDGE.values(), ids=REFUSED_BY_BRIDGE.keys()
)
def test_bridge_refuses_by_itself(lab, fields, words):
    good = AddFdb("a", "vxlan0", MAC, address(lab, "b"))
    error = refused(lab, dataclasses.replace(good, **fields), "iproute2")
    assert words in str(error)
    assert error.errno is None
    assert macs(lab) == {ANY}
