"""4.4 One MAC, one remote or several: append, replace, delete, and the default entry.

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
    collected_copies,
    entries,
    entry,
    inject,
    macs,
    remotes,
)

from vxlab import catalog, state, wait_until
from vxlab.operations import AddFdb, DelFdb

CORE = "drivers/net/vxlan/vxlan_core.c"

both = pytest.mark.parametrize("by", ["netlink", "iproute2"])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)


def to(lab, *hosts):
    """A copy to each of these hosts, as the device sends by default."""
    return sorted(Copy(address(lab, host), 4789, 42) for host in hosts)


def changed(**fields):
    """A change of all entries that are made."""

    def change(made):
        return dataclasses.replace(made, **fields) if isinstance(made, AddFdb) else made

    return change


def left_out(**fields):
    """A change that leaves out what is added with these fields, but no default entry."""

    def change(made):
        named = (
            isinstance(made, AddFdb)
            and made.mac != ANY
            and all(getattr(made, name) == value for name, value in fields.items())
        )
        return None if named else made

    return change


@pytest.mark.behaviour(
    "appending to a unicast MAC says nothing, and does nothing",
    source=f"{CORE}: vxlan_fdb_update_existing()",
)
@pytest.mark.control("the MAC is a multicast one", arguments={"mac": MULTICAST}, because="assert")
@three
@both
@pytest.mark.parametrize("mac", [MAC], ids=["unicast"])
def test_append_to_a_unicast_mac_is_ignored(lab, by, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")))
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "c"), append=True), by=by)
    assert remotes(lab, mac) == {address(lab, "b")}
    assert collected_copies(lab, mac) == to(lab, "b")


@pytest.mark.behaviour(
    "a group MAC takes several remotes, and each gets one copy", source=f"{CORE}: vxlan_xmit()"
)
@pytest.mark.control("nothing is appended", change=left_out(append=True), because="assert")
@three
@both
@pytest.mark.parametrize("mac", [MULTICAST, BROADCAST], ids=["multicast", "broadcast"])
def test_a_group_mac_takes_several_remotes(lab, by, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")), by=by)
    last = "02:00:00:00:00:77"  # a MAC nobody has: flooded by the default entry
    assert collected_copies(lab, mac, after=last) == to(lab, "b")
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "c"), append=True), by=by)
    assert collected_copies(lab, mac, after=last) == to(lab, "b", "c")


@pytest.mark.behaviour(
    "the same remote appended twice is there once", source=f"{CORE}: vxlan_fdb_append()"
)
@pytest.mark.control("it is another port", change=lambda made: other_port(made), because="assert")
@three
@both
@pytest.mark.parametrize("mac", [MULTICAST, ANY], ids=["multicast", "default"])
def test_a_remote_is_there_once(lab, by, mac):
    again = AddFdb("a", "vxlan0", mac, address(lab, "c"), append=True)
    lab.apply(again, by=by)
    before = entries(lab, mac)
    lab.apply(dataclasses.replace(again, state="permanent", flags=("self",)), by=by)
    assert entries(lab, mac) == before
    assert len({(row.dst, row.port) for row in before}) == len(before)


_ports = itertools.count(5000)


def other_port(made):
    """Each entry with a port that no other has."""
    return dataclasses.replace(made, port=next(_ports)) if isinstance(made, AddFdb) else made


@pytest.mark.behaviour(
    "remotes of one MAC differ in address, port, VNI or device",
    source=f"{CORE}: vxlan_fdb_find_rdst()",
)
@pytest.mark.control("nothing is appended", change=left_out(append=True), because="assert")
@three
@pytest.mark.parametrize(
    "more",
    [{"port": 4790}, {"vni": 43}, {"via": "eth0"}],
    ids=["other-port", "other-vni", "other-device"],
)
def test_one_address_may_be_several_remotes(lab, more):
    plain = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(plain, dataclasses.replace(plain, append=True, **more))
    assert len(entries(lab, MULTICAST)) == 2
    twice = Copy(address(lab, "b"), more.get("port", 4789), more.get("vni", 42))
    assert collected_copies(lab, MULTICAST) == sorted([*to(lab, "b"), twice])


@pytest.mark.behaviour(
    "replace moves a unicast MAC to another remote", source=f"{CORE}: vxlan_fdb_replace()"
)
@pytest.mark.control("nothing is replaced", change=left_out(replace=True), because="assert")
@three
@both
def test_replace_moves_a_unicast_mac(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b")), by=by)
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), replace=True), by=by)
    assert entry(lab, MAC).dst == address(lab, "c")
    assert collected_copies(lab, MAC) == to(lab, "c")


@pytest.mark.behaviour(
    "replace makes a unicast entry that was not there",
    source=f"{CORE}: vxlan_fdb_update_create()",
)
@pytest.mark.control("nothing is replaced", change=left_out(replace=True), because="wanted one")
@three
@both
def test_replace_makes_a_new_unicast_entry(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), replace=True), by=by)
    assert (entry(lab, MAC).dst, entry(lab, MAC).state) == (address(lab, "b"), "permanent")


@pytest.mark.behaviour(
    "one of several remotes can be deleted, the others stay",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@pytest.mark.control("nothing is deleted", without=DelFdb, because="assert")
@three
@both
def test_one_of_several_remotes_is_deleted(lab, by):
    first = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(first, dataclasses.replace(first, dst=address(lab, "c"), append=True))
    lab.apply(DelFdb("a", "vxlan0", MULTICAST, address(lab, "b")), by=by)
    assert remotes(lab, MULTICAST) == {address(lab, "c")}
    assert collected_copies(lab, MULTICAST) == to(lab, "c")


@pytest.mark.behaviour(
    "a MAC deleted without a remote loses all of them", source=f"{CORE}: __vxlan_fdb_delete()"
)
@pytest.mark.control("nothing is deleted", without=DelFdb, because="assert")
@three
@both
def test_a_mac_is_deleted_with_all_its_remotes(lab, by):
    first = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(first, dataclasses.replace(first, dst=address(lab, "c"), append=True))
    lab.apply(DelFdb("a", "vxlan0", MULTICAST), by=by)
    assert not entries(lab, MULTICAST)
    assert collected_copies(lab, MULTICAST) == to(lab, "b", "c")  # as of any unknown MAC


@pytest.mark.behaviour(
    "deleting a remote that a MAC has not says nothing, and does nothing",
    source=f"{CORE}: __vxlan_fdb_delete()",
)
@pytest.mark.control(
    "it is the remote there is",
    change=lambda made: (
        dataclasses.replace(made, port=None, via=None) if isinstance(made, DelFdb) else made
    ),
    because="assert",
)
@three
@both
@pytest.mark.parametrize("more", [{"port": 4790}, {"via": "eth0"}], ids=["port", "device"])
@pytest.mark.parametrize("mac", [MAC, MULTICAST], ids=["unicast", "multicast"])
def test_deleting_a_remote_that_is_not_there_does_nothing(lab, by, more, mac):
    lab.apply(AddFdb("a", "vxlan0", mac, address(lab, "b")))
    lab.apply(DelFdb("a", "vxlan0", mac, address(lab, "b"), **more), by=by)
    assert remotes(lab, mac) == {address(lab, "b")}


@pytest.mark.behaviour(
    "the default entry floods one copy to each of its remotes", source=f"{CORE}: vxlan_xmit()"
)
@pytest.mark.control("c is no remote", vteps={"a": {"remotes": ("192.168.57.54",)}})
@pytest.mark.topology(catalog.point_to_point, hosts=[3, 5])
@pytest.mark.parametrize(
    "dst", [MAC, MULTICAST, BROADCAST], ids=["unknown", "multicast", "broadcast"]
)
def test_the_default_entry_sends_one_copy_to_each_remote(lab, dst):
    others = [host.name for host in lab.topology.hosts[1:]]
    assert len(entries(lab, ANY)) == len(others)
    assert collected_copies(lab, dst) == to(lab, *others)


@pytest.mark.behaviour(
    "the default entry of the device's own remote is bound to its card, those added are not",
    source=f"{CORE}: __vxlan_dev_create()",
)
@pytest.mark.control("a's device has no card", vteps={"a": {"dev": False}}, because="assert")
@three
def test_the_first_default_remote_has_the_device_s_card(lab):
    found = {(row.dst, row.via, row.state) for row in entries(lab, ANY)}
    b, c = address(lab, "b"), address(lab, "c")
    assert found == {(b, "eth0", "permanent"), (c, None, "permanent")}


@pytest.mark.behaviour(
    "a default remote with a card is deleted only by naming the card",
    source=f"{CORE}: vxlan_fdb_find_rdst()",
)
@pytest.mark.control("nothing is deleted", without=DelFdb, because="assert")
@three
@both
def test_a_default_remote_is_deleted_with_its_card(lab, by):
    lab.apply(DelFdb("a", "vxlan0", ANY, address(lab, "b")), by=by)
    assert remotes(lab, ANY) == {address(lab, "b"), address(lab, "c")}
    lab.apply(DelFdb("a", "vxlan0", ANY, address(lab, "b"), via="eth0"), by=by)
    assert remotes(lab, ANY) == {address(lab, "c")}


@pytest.mark.behaviour(
    "without a default entry an unknown MAC is dropped, and counted as tx_dropped",
    source=f"{CORE}: vxlan_xmit()",
)
@pytest.mark.control("the default entry stays", without=DelFdb, because="assert")
@three
@pytest.mark.parametrize("dst", [MAC, BROADCAST], ids=["unknown", "broadcast"])
def test_without_a_default_entry_nothing_is_flooded(lab, dst):
    lab.apply(DelFdb("a", "vxlan0", ANY), AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "c"), append=True))
    before = dropped(lab)
    assert collected_copies(lab, dst, after=MULTICAST) == []
    assert dropped(lab) == before + 1


def dropped(lab):
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    return link.counters.tx_dropped


@pytest.mark.behaviour(
    "a thousand entries are all there, whatever their order", source=f"{CORE}: vxlan_fdb_dump()"
)
@pytest.mark.control("one is lost", change=left_out(mac="02:00:00:03:03:e7"), because="assert")
@three
@both
def test_a_thousand_entries_are_all_there(lab, by):
    many = {f"02:00:00:03:{number.to_bytes(2).hex(':')}" for number in range(1000)}
    lab.apply(*(AddFdb("a", "vxlan0", mac, address(lab, "b")) for mac in many), by=by)
    assert macs(lab) == many | {ANY}
    shown = [row["mac"] for row in lab["a"].bridge("fdb", "show", "dev", "vxlan0")]
    assert sorted(shown) == sorted([*many, *[ANY] * 2])
    inject(lab, "a", OTHER)  # and the device still works
    wait_until(
        lambda: collected_copies(lab, min(many)) == to(lab, "b"), "a copy to the remote of one MAC"
    )
