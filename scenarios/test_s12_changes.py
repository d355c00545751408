"""12.4 Changes of devices, and looking up entries, as in test_vxlan_fdb_changelink.sh and others.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0                        └── 192.168.57.55 eth0 c
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import bare, details, device
from fdb_tools import (
    ANY,
    MAC,
    address,
    assert_copies,
    assert_remotes,
    default_copies,
    entries,
)
from flood_tools import membership_count

from vxlab import catalog
from vxlab.operations import AddFdb, SetVxlan

SELFTEST = "tools/testing/selftests/net/"
CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"

three = pytest.mark.topology(bare, family=[4, 6], hosts=3)
both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def group_of_family(lab):
    """A multicast group of the underlay's family."""
    return "ff08::1" if ":" in address(lab, "a") else "239.1.1.1"


@pytest.mark.behaviour(
    "a device whose multicast group is changed to a unicast remote leaves the group, and floods to "
    "the remote alone",
    source=f"{SELFTEST}test_vxlan_fdb_changelink.sh: test_change_mc_remote; {CHANGE}",
)
@pytest.mark.known_difference("K61", until="6.1", deadly=True)
@pytest.mark.control(
    "the group is not changed",
    without=SetVxlan,
    because="a is a member of the group in 1 sockets after the change",
)
@three
@both_ways
def test_a_group_that_becomes_a_remote_is_left(lab, by):
    group = group_of_family(lab)
    lab.apply(*device("a", id=42, group=group, dev="eth0"))
    assert membership_count(lab, "a", group) == 1
    lab.apply(SetVxlan("a", "vxlan0", (("remote", address(lab, "b")),)), by=by)
    left = membership_count(lab, "a", group)
    assert left == 0, f"a is a member of the group in {left} sockets after the change"
    assert_remotes(lab, ANY, address(lab, "b"))


def to_a_third(operation):
    """A control: the device is given a remote that is not among the appended ones."""
    if isinstance(operation, SetVxlan):
        ((name, remote),) = operation.attributes
        return dataclasses.replace(operation, attributes=((name, remote[:-1] + "9"),))
    return operation


@pytest.mark.behaviour(
    "a device that is given a remote which was appended to its default FDB entry before has the "
    "remote once, beside the others, and sends one copy of a flooded frame to each",
    source=f"{SELFTEST}test_vxlan_fdb_changelink.sh: test_set_remote; {CHANGE}",
)
@pytest.mark.control(
    "the device is given a remote that was not appended",
    change=to_a_third,
    because=r"(?m)the default entry has the remotes \S+54, \S+55, \S+59$",
)
@three
@both_ways
def test_a_remote_that_was_appended_is_not_doubled(lab, by):
    b, c = address(lab, "b"), address(lab, "c")
    lab.apply(*device("a", id=42, local=address(lab, "a")))
    lab.apply(*(AddFdb("a", "vxlan0", ANY, dst, append=True) for dst in (b, c)))
    for _ in range(2):
        lab.apply(SetVxlan("a", "vxlan0", (("remote", c),)), by=by)
        found = sorted(row.dst for row in entries(lab, ANY))
        assert found == [b, c], f"the default entry has the remotes {', '.join(found)}"
    shown = details(lab, "a")
    assert shown.get("remote", shown.get("remote6")) == c
    assert_copies(lab, MAC, default_copies(lab, "b", "c"))


@pytest.mark.behaviour(
    "a device that is created with the operational state up is up, and is so again after it was "
    "set down and up",
    source=f"{SELFTEST}rtnetlink.sh: kci_test_operstate; net/core/link_watch.c",
)
@pytest.mark.control(
    "the device is created without an operational state",
    arguments={"words": ()},
    because=r"operational states: \['UNKNOWN', 'DOWN', 'UNKNOWN'\]",
)
@pytest.mark.topology(bare())
@pytest.mark.parametrize("words", [("state", "up")], ids=["state-up"])
def test_an_operational_state_of_creation_survives(lab, words):
    a, found = lab["a"], []
    attributes = ("type", "vxlan", "id", "42", "dstport", "4789")
    a.run("ip", "link", "add", "vxlan0", "up", *words, *attributes)
    for change in (None, "down", "up"):
        if change:
            a.run("ip", "link", "set", "vxlan0", change)
        (link,) = a.ip("link", "show", "vxlan0")
        found.append(link["operstate"])
    assert found == ["UP", "DOWN", "UP"], f"operational states: {found}"


def at_the_other_port(operation):
    """A control: the bridge has the entry at the port of the container."""
    if isinstance(operation, AddFdb) and "master" in operation.flags:
        return dataclasses.replace(operation, interface="ns0-eth0")
    return operation


@pytest.mark.behaviour(
    "`bridge fdb get` finds the bridge's entry for a MAC by the bridge and by the port, and the "
    "entry of the vxlan device at the port with `self`",
    source=f"{SELFTEST}rtnetlink.sh: kci_test_fdb_get; net/core/rtnetlink.c: rtnl_fdb_get()",
)
@pytest.mark.control(
    "the bridge has the entry at another port",
    change=at_the_other_port,
    because="found by the bridge: .*'ifname': 'ns0-eth0'",
)
@pytest.mark.requires("bridge.fdb_get")
@pytest.mark.topology(catalog.bridged())
def test_an_entry_is_found_by_bridge_and_by_port(lab):
    remote = address(lab, "b")
    lab.apply(AddFdb("a", "vxlan0", MAC, state="static", flags=("master",)))
    lab.apply(AddFdb("a", "vxlan0", MAC, remote))
    of_bridge = {"mac": MAC, "ifname": "vxlan0", "flags": [], "master": "br0", "state": "static"}
    found = lab["a"].bridge("fdb", "get", MAC, "br", "br0")
    assert found == [of_bridge], f"found by the bridge: {found}"
    found = lab["a"].bridge("fdb", "get", MAC, "brport", "vxlan0")
    assert found == [of_bridge], f"found by the port: {found}"
    (found,) = lab["a"].bridge("fdb", "get", MAC, "dev", "vxlan0", "self")
    assert (found["dst"], found["flags"]) == (remote, ["self"])
