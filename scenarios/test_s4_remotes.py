"""4.4 Remotes of a MAC: append, replace, delete, and the default FDB entry.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from fdb_tools import (
    ANY,
    BROADCAST,
    MAC,
    MULTICAST,
    OTHER,
    Copy,
    address,
    assert_copies,
    assert_macs,
    assert_no_entry,
    assert_remotes,
    collected_copies,
    default_copies,
    entries,
    entry,
    found_copies,
    found_remotes,
    inject,
    omitted_entries,
)

from vxlab import catalog, state, wait_until
from vxlab.operations import AddFdb, DelFdb

CORE = "drivers/net/vxlan/vxlan_core.c"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)


def not_deleted(because):
    """A control: nothing is deleted."""
    return pytest.mark.control(
        "nothing is deleted from the FDB of VTEP a", without=DelFdb, because=because
    )


@pytest.mark.behaviour(
    "`bridge fdb append` of a second remote to a unicast MAC returns success, and changes nothing",
    source=f"{CORE}: vxlan_fdb_update_existing()",
)
@pytest.mark.control(
    "the MAC is a multicast one", arguments={"mac": MULTICAST}, because=found_remotes("b", "c")
)
@three
@both_ways
@pytest.mark.parametrize("mac", [MAC], ids=["unicast"])
def test_append_to_a_unicast_mac_is_ignored(lab, by, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")))
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "c"), append=True), by=by)
    assert_remotes(lab, mac, address(lab, "b"))
    assert_copies(lab, mac, default_copies(lab, "b"))


@pytest.mark.behaviour(
    "a multicast or broadcast MAC can have several remotes, and one copy of a frame is sent to "
    "each",
    source=f"{CORE}: vxlan_xmit()",
)
@pytest.mark.control(
    "the second remote of the MAC is not appended",
    change=omitted_entries(append=True),
    because=found_copies("b"),
)
@three
@both_ways
@pytest.mark.parametrize("mac", [MULTICAST, BROADCAST], ids=["multicast", "broadcast"])
def test_a_group_mac_takes_several_remotes(lab, by, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")), by=by)
    unknown = "02:00:00:00:00:77"  # flooded by the default entry
    assert_copies(lab, mac, default_copies(lab, "b"), after=unknown)
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "c"), append=True), by=by)
    assert_copies(lab, mac, default_copies(lab, "b", "c"), after=unknown)


_ports = itertools.count(5000)


def on_another_port(operation):
    """Each entry is added with a port that no other has."""
    if isinstance(operation, AddFdb):
        return dataclasses.replace(operation, port=next(_ports))
    return operation


@pytest.mark.behaviour(
    "appending a remote that a multicast MAC or the default entry already has adds no second one",
    source=f"{CORE}: vxlan_fdb_append()",
)
@pytest.mark.control(
    "the remote is appended with another port each time",
    change=on_another_port,
    because=r"after the second append the MAC has [1-9] more entries",
)
@three
@both_ways
@pytest.mark.parametrize("mac", [MULTICAST, ANY], ids=["multicast", "default"])
def test_a_remote_is_not_added_twice(lab, by, mac):
    again = AddFdb("a", "vxlan0", mac, address(lab, "c"), append=True)
    lab.apply(again, by=by)
    before = entries(lab, mac)
    lab.apply(dataclasses.replace(again, state="permanent", flags=("self",)), by=by)
    after = entries(lab, mac)
    more = len(after) - len(before)
    assert after == before, f"after the second append the MAC has {more} more entries"
    assert len({(row.dst, row.port) for row in before}) == len(before)


@pytest.mark.behaviour(
    "one address can be several remotes of a multicast MAC, which differ in port, VNI or lower "
    "device, and one copy of a frame is sent to each",
    source=f"{CORE}: vxlan_fdb_find_rdst()",
)
@pytest.mark.control(
    "the second remote of the MAC is not appended",
    change=omitted_entries(append=True),
    because=f"wanted 2 entries for {MULTICAST}, found 1",
)
@three
@pytest.mark.parametrize(
    "more",
    [{"port": 4790}, {"vni": 43}, {"via": "eth0"}],
    ids=["other-port", "other-vni", "other-device"],
)
def test_one_address_may_be_several_remotes(lab, more):
    plain = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(plain, dataclasses.replace(plain, append=True, **more))
    found = len(entries(lab, MULTICAST))
    assert found == 2, f"wanted 2 entries for {MULTICAST}, found {found}"
    second = Copy(address(lab, "b"), more.get("port", 4789), more.get("vni", 42))
    assert_copies(lab, MULTICAST, [*default_copies(lab, "b"), second])


not_replaced = omitted_entries(replace=True)


@pytest.mark.behaviour(
    "`bridge fdb replace` of a unicast MAC that has an FDB entry gives the entry another remote",
    source=f"{CORE}: vxlan_fdb_replace()",
)
@pytest.mark.control(
    "the FDB entry is not replaced", change=not_replaced, because=found_remotes("b")
)
@three
@both_ways
def test_replace_gives_a_unicast_mac_another_remote(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b")), by=by)
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), replace=True), by=by)
    assert entry(lab, MAC)
    assert_remotes(lab, MAC, address(lab, "c"))
    assert_copies(lab, MAC, default_copies(lab, "c"))


@pytest.mark.behaviour(
    "`bridge fdb replace` of a unicast MAC that has no FDB entry makes one",
    source=f"{CORE}: vxlan_fdb_update_create()",
)
@pytest.mark.control(
    "`bridge fdb replace` is left out",
    change=not_replaced,
    because=f"wanted one entry for {MAC}, found none",
)
@three
@both_ways
def test_replace_makes_a_new_unicast_entry(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), replace=True), by=by)
    assert (entry(lab, MAC).dst, entry(lab, MAC).state) == (address(lab, "b"), "permanent")


@pytest.mark.behaviour(
    "deleting one of several remotes of a multicast MAC leaves the others, which still get a copy "
    "of each frame",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@not_deleted(found_remotes("b", "c"))
@three
@both_ways
def test_one_of_several_remotes_is_deleted(lab, by):
    first = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(first, dataclasses.replace(first, dst=address(lab, "c"), append=True))
    lab.apply(DelFdb("a", "vxlan0", MULTICAST, address(lab, "b")), by=by)
    assert_remotes(lab, MULTICAST, address(lab, "c"))
    assert_copies(lab, MULTICAST, default_copies(lab, "c"))


@pytest.mark.behaviour(
    "deleting a MAC without naming a remote deletes all of its remotes, and frames for it are "
    "flooded",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@not_deleted(f"wanted no entry for {MULTICAST}, found {MULTICAST} .*, {MULTICAST} ")
@three
@both_ways
def test_a_mac_is_deleted_with_all_its_remotes(lab, by):
    first = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(first, dataclasses.replace(first, dst=address(lab, "c"), append=True))
    lab.apply(DelFdb("a", "vxlan0", MULTICAST), by=by)
    assert_no_entry(lab, MULTICAST)
    assert_copies(lab, MULTICAST, default_copies(lab, "b", "c"))


def only_by_address(operation):
    """What is deleted is named by its MAC and address alone."""
    if isinstance(operation, DelFdb):
        return dataclasses.replace(operation, port=None, via=None)
    return operation


@pytest.mark.behaviour(
    "deleting a remote of a MAC by a port or a lower device that the remote does not have returns "
    "success, and deletes nothing",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@pytest.mark.control(
    "the remote is deleted by its address alone",
    change=only_by_address,
    because=found_remotes(),
)
@three
@both_ways
@pytest.mark.parametrize("more", [{"port": 4790}, {"via": "eth0"}], ids=["port", "device"])
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_deleting_a_remote_that_a_mac_lacks_does_nothing(lab, by, more, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")))
    lab.apply(DelFdb("a", "vxlan0", mac, address(lab, "b"), **more), by=by)
    assert_remotes(lab, mac, address(lab, "b"))


@pytest.mark.behaviour(
    "frames for unknown, multicast and broadcast MACs are flooded: one copy is sent to each remote "
    "of the default FDB entry",
    source=f"{CORE}: vxlan_xmit()",
)
@pytest.mark.control(
    "the default FDB entry of VTEP a has host b as its only remote",
    vteps={"a": {"remotes": ("192.168.57.54",)}},
    because=found_remotes("b"),
)
@pytest.mark.topology(catalog.point_to_point, hosts=[3, 5])
@pytest.mark.parametrize(
    "dst", [MAC, MULTICAST, BROADCAST], ids=["unknown", "multicast", "broadcast"]
)
def test_the_default_entry_sends_one_copy_to_each_remote(lab, dst):
    others = [host.name for host in lab.topology.hosts[1:]]
    assert_remotes(lab, ANY, *(address(lab, host) for host in others))
    assert len(entries(lab, ANY)) == len(others)
    assert_copies(lab, dst, default_copies(lab, *others))


@pytest.mark.behaviour(
    "in the default FDB entry the remote that a device is made with has the device's lower device, "
    "remotes added later have none",
    source=f"{CORE}: __vxlan_dev_create()",
)
@pytest.mark.control(
    "VTEP a has no lower device",
    vteps={"a": {"dev": False}},
    because=r"lower devices are \{.*[.:]54': None",
)
@three
def test_the_first_default_remote_has_the_lower_device(lab):
    rows = entries(lab, ANY)
    found = {row.dst: row.via for row in rows}
    wanted = {address(lab, "b"): "eth0", address(lab, "c"): None}
    assert found == wanted, f"the lower devices are {found}"
    assert [row.state for row in rows] == ["permanent", "permanent"]


@pytest.mark.behaviour(
    "a remote of the default FDB entry that has a lower device is deleted only if the deletion "
    "names that device",
    source=f"{CORE}: vxlan_fdb_find_rdst()",
)
@not_deleted(r"remotes of .*: wanted \S+[.:]55; found \S+[.:]54, \S+[.:]55$")
@three
@both_ways
def test_a_default_remote_is_deleted_with_its_lower_device(lab, by):
    lab.apply(DelFdb("a", "vxlan0", ANY, address(lab, "b")), by=by)
    assert_remotes(lab, ANY, address(lab, "b"), address(lab, "c"))
    lab.apply(DelFdb("a", "vxlan0", ANY, address(lab, "b"), via="eth0"), by=by)
    assert_remotes(lab, ANY, address(lab, "c"))


@pytest.mark.behaviour(
    "a device without a default FDB entry drops frames for MACs that have no entry, and counts "
    "them in tx_dropped",
    source=f"{CORE}: vxlan_xmit()",
)
@not_deleted(found_copies("b", "c"))
@three
@pytest.mark.parametrize("dst", [MAC, BROADCAST], ids=["unknown", "broadcast"])
def test_without_a_default_entry_nothing_is_flooded(lab, dst):
    lab.apply(DelFdb("a", "vxlan0", ANY), AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "c"), append=True))
    before = tx_dropped(lab)
    assert_copies(lab, dst, [], after=MULTICAST)
    assert tx_dropped(lab) == before + 1


def tx_dropped(lab):
    """The tx_dropped of a's vxlan0."""
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    return link.counters.tx_dropped


@pytest.mark.behaviour(
    "an FDB of a thousand entries is shown in full, in whatever order the entries were added, and "
    "the device still sends to their remotes",
    source=f"{CORE}: vxlan_fdb_dump()",
)
@pytest.mark.control(
    "one of the thousand FDB entries is not added",
    change=omitted_entries(mac="02:00:00:03:03:e7"),
    because="unexpected none; missing 02:00:00:03:03:e7$",
)
@three
@both_ways
def test_a_thousand_entries_are_all_shown(lab, by):
    many = {f"02:00:00:03:{number.to_bytes(2).hex(':')}" for number in range(1000)}
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in many), by=by)
    assert_macs(lab, many | {ANY})
    shown = [row["mac"] for row in lab["a"].bridge("fdb", "show", "dev", "vxlan0")]
    assert sorted(shown) == sorted([*many, *[ANY] * 2])
    inject(lab, "a", OTHER)  # and the device still works
    wanted, mac = default_copies(lab, "b"), min(many)
    wait_until(lambda: collected_copies(lab, mac) == wanted, f"one copy, to the remote of {mac}")
