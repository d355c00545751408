"""5.2 Joining and leaving groups: when a device does, and who shares a membership.

    a eth0 192.168.10.2 ── vbr ── 192.168.10.3 eth0 b
      vxlan0 192.168.42.2         192.168.42.3 vxlan0        group 239.1.1.1 (ff08::239:1:1:1)

A host's membership belongs to its card and to the socket of a UDP port; devices on one port share
that socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import re

import pytest
from flood_tools import (
    ANY_MAC,
    BROADCAST,
    carries,
    copies,
    group_of,
    marked,
    send,
    users_of,
)

from vxlab import ApplyError, TopologyBuilder, VxlabError, catalog
from vxlab.operations import AddLink, DelLink, SetLink, SetVxlan

JOIN = "drivers/net/vxlan/vxlan_multicast.c: vxlan_multicast_join()"
LEAVE = "drivers/net/vxlan/vxlan_multicast.c: vxlan_multicast_leave()"
IN_USE = "drivers/net/vxlan/vxlan_multicast.c: vxlan_group_used()"
VALIDATE = "drivers/net/vxlan/vxlan_core.c: vxlan_config_validate()"
XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"

OTHER = {"239.1.1.1": "239.2.2.2", "ff08::239:1:1:1": "ff08::239:2:2:2"}


@pytest.fixture
def group_given_back(lab):
    """Gives vxlan0 its group and card back: with others it hangs kernels that have K61."""
    yield
    for host in "ab":
        with contextlib.suppress(VxlabError):  # where it is deleted
            lab.apply(
                SetVxlan(host, "vxlan0", (("group", group_of(lab)), ("dev", "eth0"))), by="netlink"
            )


#: What marks a scenario that changes a group, or a card.
DEADLY = pytest.mark.known_difference("K61", until="6.1", deadly=True)
GIVEN_BACK = pytest.mark.usefixtures("group_given_back")


def one_more(lab, name, vni, group=None, port=4789, *, up=True):
    """A second vxlan device on a: the operation that makes it."""
    attributes = (
        ("id", vni),
        ("group", group or group_of(lab)),
        ("dev", "eth0"),
        ("dstport", port),
    )
    return AddLink("a", name, "vxlan", 0, attributes, up=up)


def says(what, group):
    """A predicate: the frame is a report that a group is joined or left (`join`, `leave`)."""
    return lambda frame: f"{what} {group}" in frame.summary()


@pytest.mark.behaviour("a device joins its group when it is set up", source=JOIN)
@pytest.mark.control("it is not set up", without=SetLink)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_device_joins_when_it_is_set_up(lab):
    other = OTHER[group_of(lab)]
    lab.apply(one_more(lab, "vxlan1", 43, other, up=False))
    assert users_of(lab, "a", other) == 0
    with lab.capture("b") as seen:
        lab.apply(SetLink("a", "vxlan1", up=True))
        assert users_of(lab, "a", other) == 1
        seen["b"].wait_for(says("join", other), "a's report", timeout=3)


@pytest.mark.behaviour("a device leaves its group when it is set down or deleted", source=LEAVE)
@pytest.mark.control("it stays up", without=(SetLink, DelLink))
@pytest.mark.parametrize(
    "operation",
    [SetLink("a", "vxlan0", up=False), DelLink("a", "vxlan0")],
    ids=["down", "delete"],
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_device_leaves_when_it_goes(lab, operation):
    group = group_of(lab)
    assert users_of(lab, "a", group) == 1
    with lab.capture("b") as seen:
        lab.apply(operation)
        assert users_of(lab, "a", group) == 0
        seen["b"].wait_for(says("leave", group), "a's leave", timeout=3)


@pytest.mark.behaviour(
    "a new group is joined and the old one left, seen on the wire", source=CHANGE
)
@DEADLY
@GIVEN_BACK
@pytest.mark.control("the group is not changed", without=SetVxlan)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_changing_the_group_joins_the_new_one_and_leaves_the_old(lab, by):
    old, new = group_of(lab), OTHER[group_of(lab)]
    with lab.capture("b") as seen:
        # `ip` wants to hear the device again, the kernel does not
        again = (("dev", "eth0"),) if by == "iproute2" else ()
        lab.apply(SetVxlan("a", "vxlan0", (("group", new), *again)), by=by)
        assert (users_of(lab, "a", old), users_of(lab, "a", new)) == (0, 1)
        seen["b"].wait_for(says("join", new), "a's report of the new group", timeout=3)
        seen["b"].wait_for(says("leave", old), "a's leave of the old group", timeout=3)


@pytest.mark.behaviour("after a change of group the flood goes to the new one", source=CHANGE)
@DEADLY
@GIVEN_BACK
@pytest.mark.control("the group is not changed", without=SetVxlan)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_after_a_change_of_group_both_ways_use_the_new_one(lab):
    new = OTHER[group_of(lab)]
    for host in "ab":
        lab.apply(SetVxlan(host, "vxlan0", (("group", new),)), by="netlink")
    with lab.capture("a", "b") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"there"))
        seen["b"].wait_for(carries(b"there", lab.topology.ports), "a's flood")
    assert copies(seen["b"], b"there") == [new]
    assert lab["b"].ping("192.168.42.2")
    assert [row.dst for row in lab["a"].state.fdb if row.mac == ANY_MAC] == [new]


@pytest.mark.behaviour("a device with a new group leaves that when it goes down", source=LEAVE)
@DEADLY
@pytest.mark.control("it stays up", without=SetLink)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_new_group_is_left_when_the_device_goes_down(lab):
    old, new = group_of(lab), OTHER[group_of(lab)]
    lab.apply(SetVxlan("a", "vxlan0", (("group", new),)), DOWN, by="netlink")
    assert (users_of(lab, "a", old), users_of(lab, "a", new)) == (0, 0)


@pytest.mark.behaviour(
    "a device that is down joins a new group only when it comes up", source=CHANGE
)
@pytest.mark.control("it is up", change=lambda op: None if op == DOWN else op)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_new_group_of_a_device_that_is_down_is_joined_later(lab):
    old, new = group_of(lab), OTHER[group_of(lab)]
    lab.apply(DOWN, SetVxlan("a", "vxlan0", (("group", new),)), by="netlink")
    assert (users_of(lab, "a", old), users_of(lab, "a", new)) == (0, 0)
    lab.apply(SetLink("a", "vxlan0", up=True), by="netlink")
    assert (users_of(lab, "a", old), users_of(lab, "a", new)) == (0, 1)


DOWN = SetLink("a", "vxlan0", up=False)


@pytest.mark.behaviour("two VNIs on one port share one membership", source=JOIN)
@pytest.mark.control(
    "the second is on another port",
    change=lambda op: on_port(op, 4790),
    because="2 == 1",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_two_vnis_share_one_membership_until_the_last_leaves(lab):
    group = group_of(lab)
    lab.apply(one_more(lab, "vxlan1", 43))
    assert users_of(lab, "a", group) == 1
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert users_of(lab, "a", group) == 1
    lab.apply(SetLink("a", "vxlan1", up=False))
    assert users_of(lab, "a", group) == 0


def on_port(operation, port):
    """The same operation, vxlan1 made on another UDP port."""
    if not is_vxlan1(operation):
        return operation
    attributes = {**dict(operation.attributes), "dstport": port}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


@pytest.mark.behaviour("the group that one VNI leaves stays joined for another", source=IN_USE)
@GIVEN_BACK
@pytest.mark.control("there is no other", change=lambda op: None if is_vxlan1(op) else op)
@pytest.mark.parametrize("way", ["down", "delete", pytest.param("change", marks=DEADLY)])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_shared_group_stays_joined_when_one_vni_leaves_it(lab, way):
    lab.apply(one_more(lab, "vxlan1", 43), by="netlink")
    lab.apply(
        {
            "down": DOWN,
            "delete": DelLink("a", "vxlan0"),
            "change": SetVxlan("a", "vxlan0", (("group", OTHER[group_of(lab)]),)),
        }[way],
        by="netlink",
    )
    assert users_of(lab, "a", group_of(lab)) == 1


def is_vxlan1(operation):
    return isinstance(operation, AddLink) and operation.name == "vxlan1"


@pytest.mark.behaviour("two ports with one group are two memberships", source=JOIN)
@pytest.mark.control(
    "the second is on the same port",
    change=lambda op: on_port(op, 4789),
    because="1 == 2",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_two_ports_with_one_group_join_it_twice(lab):
    group = group_of(lab)
    lab.apply(one_more(lab, "vxlan1", 43, port=4790))
    assert users_of(lab, "a", group) == 2
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert users_of(lab, "a", group) == 1
    lab.apply(SetLink("a", "vxlan1", up=False))
    assert users_of(lab, "a", group) == 0


@pytest.mark.behaviour("a group without a device is refused", source=VALIDATE)
@pytest.mark.control("a device is named", change=lambda op: with_card(op), because="DID NOT RAISE")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_group_without_a_device_is_refused(lab, by):
    attributes = (("id", 43), ("group", group_of(lab)), ("dstport", 4789))
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddLink("a", "vxlan1", "vxlan", 0, attributes), by=by)
    if by == "netlink":
        assert refused.value.errno == errno.EINVAL
        # older kernels gave no explanation
        assert re.fullmatch("|.*interface required for multicast.*", refused.value.extack)
    else:  # `ip` looks for itself
        assert "'group' requires 'dev'" in str(refused.value)


def with_card(operation):
    if not is_vxlan1(operation):
        return operation
    return dataclasses.replace(operation, attributes=(*operation.attributes, ("dev", "eth0")))


def two_cards(*, family=4):
    """a and b joined by two cables, each bound to its first card."""
    t = TopologyBuilder("two cards")
    for number in (1, 2):
        network = f"192.168.{number}.0/24" if family == 4 else f"fd00:{number}::/64"
        t.cable(f"net{number}", network)
    t.segment("overlay", 42, group=catalog.GROUPS[family], port=4789)
    for host in "ab":
        t.host(host, "net1")
        t.nic(host, "net2", device="eth1")
        t.vtep(host, "overlay")
    return t.build()


@pytest.mark.behaviour("another device is joined on, and the first one left", source=CHANGE)
@DEADLY
@GIVEN_BACK
@pytest.mark.control("the device is not changed", without=SetVxlan)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(two_cards, family=[4, 6])
def test_changing_the_device_moves_the_membership(lab, by):
    group = group_of(lab)
    with lab.capture("b:eth0", "b:eth1") as seen:
        lab.apply(SetVxlan("a", "vxlan0", (("dev", "eth1"),)), by=by)
        assert (users_of(lab, "a", group), users_of(lab, "a", group, "eth1")) == (0, 1)
        seen["b:eth1"].wait_for(says("join", group), "the report on eth1", timeout=3)
        seen["b:eth0"].wait_for(says("leave", group), "the leave on eth0", timeout=3)


@pytest.mark.behaviour("a flood to a group leaves by `dev` alone", source=XMIT)
@pytest.mark.control("a's device is on the other card", change=lambda op: on_eth1(op))
@pytest.mark.topology(two_cards, family=[4, 6])
def test_a_flood_leaves_by_its_device_alone(lab):
    with lab.capture("a:eth0", "a:eth1") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"there"))
        seen["a:eth0"].wait_for(carries(b"there", lab.topology.ports), "the flood", timeout=3)
        seen["a:eth1"].assert_silent(carries(b"there", lab.topology.ports), "copy by eth1")


def on_eth1(operation):
    """The same device of a on its second card."""
    if not isinstance(operation, AddLink) or operation.kind != "vxlan" or operation.node != "a":
        return operation
    attributes = {**dict(operation.attributes), "dev": "eth1"}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))
