"""5.2 Joining and leaving groups: when a device does, and which devices share a membership.

    a eth0 192.168.10.2 ── vbr ── 192.168.10.3 eth0 b
      vxlan0 192.168.42.2         192.168.42.3 vxlan0        group 239.1.1.1 (ff08::239:1:1:1)

The membership is that of the UDP socket on the lower device; devices on one UDP port share the
socket.
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
    copies_sent_to,
    datagram_frame,
    group_of,
    membership_count,
    send_frames,
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
DOWN = SetLink("a", "vxlan0", up=False)


@pytest.fixture
def group_restored(lab):
    """Restores vxlan0's group and `dev`: with others it hangs kernels that have K61."""
    yield
    for host in "ab":
        with contextlib.suppress(VxlabError):  # where it is deleted
            lab.apply(
                SetVxlan(host, "vxlan0", (("group", group_of(lab)), ("dev", "eth0"))), by="netlink"
            )


#: The marks of a scenario that changes a device's group or `dev` (K61: docs/findings.md).
DEADLY = pytest.mark.known_difference("K61", until="6.1", deadly=True)
RESTORED = pytest.mark.usefixtures("group_restored")


def second_device(lab, vni, group=None, port=4789, *, up=True):
    """The operation that makes a second vxlan device, vxlan1, on a."""
    attributes = (
        ("id", vni),
        ("group", group or group_of(lab)),
        ("dev", "eth0"),
        ("dstport", port),
    )
    return AddLink("a", "vxlan1", "vxlan", 0, attributes, up=up)


def is_second_device(operation):
    """Whether an operation makes the device vxlan1."""
    return isinstance(operation, AddLink) and operation.name == "vxlan1"


def without_second_device(operation):
    """Leave out the device vxlan1."""
    return None if is_second_device(operation) else operation


def with_second_port(operation, port):
    """The same operation, vxlan1 made on another UDP port."""
    if not is_second_device(operation):
        return operation
    attributes = {**dict(operation.attributes), "dstport": port}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


def second_on_port_4790(operation):
    return with_second_port(operation, 4790)


def second_on_port_4789(operation):
    return with_second_port(operation, 4789)


def says(what, group):
    """A predicate: the frame is a report that a group is joined or left (`join`, `leave`)."""
    return lambda frame: f"{what} {group}" in frame.summary()


def memberships(lab, *groups):
    """How many memberships a has in each of some groups, on eth0."""
    return tuple(membership_count(lab, "a", group) for group in groups)


@pytest.mark.behaviour("a device joins its group when it is set up, and reports that", source=JOIN)
@pytest.mark.control(
    "a's second device is not set up", without=SetLink, because="a has not joined the group"
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_device_joins_its_group_when_it_is_set_up(lab):
    other = OTHER[group_of(lab)]
    lab.apply(second_device(lab, 43, other, up=False))
    assert membership_count(lab, "a", other) == 0, "a has joined the group too early"
    with lab.capture("b") as seen:
        lab.apply(SetLink("a", "vxlan1", up=True))
        assert membership_count(lab, "a", other) == 1, "a has not joined the group"
        seen["b"].wait_for(says("join", other), "a's report", timeout=3)


@pytest.mark.behaviour(
    "a device leaves its group when it is set down or deleted, and reports that", source=LEAVE
)
@pytest.mark.control(
    "a's device is neither set down nor deleted",
    without=(SetLink, DelLink),
    because="a has not left the group",
)
@pytest.mark.parametrize("operation", [DOWN, DelLink("a", "vxlan0")], ids=["down", "delete"])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_device_leaves_its_group_when_it_is_set_down_or_deleted(lab, operation):
    group = group_of(lab)
    assert membership_count(lab, "a", group) == 1, "a is not a member at first"
    with lab.capture("b") as seen:
        lab.apply(operation)
        assert membership_count(lab, "a", group) == 0, "a has not left the group"
        seen["b"].wait_for(says("leave", group), "a's leave", timeout=3)


@pytest.mark.behaviour(
    "a device whose group is changed leaves the old group and joins the new one, and reports both",
    source=CHANGE,
)
@DEADLY
@RESTORED
@pytest.mark.control(
    "the group of a's device is not changed",
    without=SetVxlan,
    because=r"memberships in the old and the new group: \(1, 0\)",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_device_whose_group_is_changed_leaves_the_old_one_and_joins_the_new(lab, by):
    old, new = group_of(lab), OTHER[group_of(lab)]
    with lab.capture("b") as seen:
        # `ip` requires that `dev` is named again, the kernel does not
        again = (("dev", "eth0"),) if by == "iproute2" else ()
        lab.apply(SetVxlan("a", "vxlan0", (("group", new), *again)), by=by)
        found = memberships(lab, old, new)
        assert found == (0, 1), f"memberships in the old and the new group: {found}"
        seen["b"].wait_for(says("join", new), "a's report of the new group", timeout=3)
        seen["b"].wait_for(says("leave", old), "a's leave of the old group", timeout=3)


@pytest.mark.behaviour(
    "when both VTEPs have changed their group, frames are flooded to the new group", source=CHANGE
)
@DEADLY
@RESTORED
@pytest.mark.control(
    "the group of neither device is changed",
    without=SetVxlan,
    because="the frame was not flooded to the new group",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_after_a_change_of_group_frames_are_flooded_to_the_new_one(lab):
    new = OTHER[group_of(lab)]
    for host in "ab":
        lab.apply(SetVxlan(host, "vxlan0", (("group", new),)), by="netlink")
    with lab.capture("a", "b") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"there"))
        seen["b"].wait_for(carries(b"there", lab.topology.ports), "the flooded frame")
    sent = copies_sent_to(seen["b"], b"there")
    assert sent == [new], "the frame was not flooded to the new group"
    assert lab["b"].ping("192.168.42.2")
    assert [row.dst for row in lab["a"].state.fdb if row.mac == ANY_MAC] == [new]


@pytest.mark.behaviour(
    "a device whose group was changed leaves the new group when it is set down", source=LEAVE
)
@DEADLY
@pytest.mark.control(
    "a's device is not set down",
    without=SetLink,
    because=r"memberships in the old and the new group: \(0, 1\)",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_changed_group_is_left_when_the_device_is_set_down(lab):
    old, new = group_of(lab), OTHER[group_of(lab)]
    lab.apply(SetVxlan("a", "vxlan0", (("group", new),)), DOWN, by="netlink")
    found = memberships(lab, old, new)
    assert found == (0, 0), f"memberships in the old and the new group: {found}"


def without_going_down(operation):
    """Leave a's device up."""
    return None if operation == DOWN else operation


@pytest.mark.behaviour(
    "a device that is down joins a new group only when it is set up", source=CHANGE
)
@pytest.mark.control(
    "a's device is up while its group is changed",
    change=without_going_down,
    because=r"memberships before the device is set up: \(0, 1\)",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_new_group_of_a_device_that_is_down_is_joined_later(lab):
    old, new = group_of(lab), OTHER[group_of(lab)]
    lab.apply(DOWN, SetVxlan("a", "vxlan0", (("group", new),)), by="netlink")
    found = memberships(lab, old, new)
    assert found == (0, 0), f"memberships before the device is set up: {found}"
    lab.apply(SetLink("a", "vxlan0", up=True), by="netlink")
    assert memberships(lab, old, new) == (0, 1)


@pytest.mark.behaviour(
    "two VNIs on one UDP port share one membership in their group until the last one leaves it",
    source=JOIN,
)
@pytest.mark.control(
    "the second VNI is on another UDP port",
    change=second_on_port_4790,
    because="memberships with both devices up: 2",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_two_vnis_share_one_membership_until_the_last_leaves(lab):
    group = group_of(lab)
    lab.apply(second_device(lab, 43))
    found = membership_count(lab, "a", group)
    assert found == 1, f"memberships with both devices up: {found}"
    lab.apply(DOWN)
    assert membership_count(lab, "a", group) == 1
    lab.apply(SetLink("a", "vxlan1", up=False))
    assert membership_count(lab, "a", group) == 0


@pytest.mark.behaviour(
    "a group that one of two VNIs leaves stays joined for the other", source=IN_USE
)
@RESTORED
@pytest.mark.control(
    "a has no second VNI in the group",
    change=without_second_device,
    because="a is no longer a member of the group",
)
@pytest.mark.parametrize("way", ["down", "delete", pytest.param("change", marks=DEADLY)])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_shared_group_stays_joined_when_one_vni_leaves_it(lab, way):
    ways = {
        "down": DOWN,
        "delete": DelLink("a", "vxlan0"),
        "change": SetVxlan("a", "vxlan0", (("group", OTHER[group_of(lab)]),)),
    }
    lab.apply(second_device(lab, 43), by="netlink")
    lab.apply(ways[way], by="netlink")
    found = membership_count(lab, "a", group_of(lab))
    assert found == 1, "a is no longer a member of the group"


@pytest.mark.behaviour(
    "devices in one group on two UDP ports have two memberships, and each is left by itself",
    source=JOIN,
)
@pytest.mark.control(
    "the second device is on the same UDP port",
    change=second_on_port_4789,
    because="memberships with both devices up: 1",
)
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_devices_on_two_ports_join_their_group_twice(lab):
    group = group_of(lab)
    lab.apply(second_device(lab, 43, port=4790))
    found = membership_count(lab, "a", group)
    assert found == 2, f"memberships with both devices up: {found}"
    lab.apply(DOWN)
    assert membership_count(lab, "a", group) == 1
    lab.apply(SetLink("a", "vxlan1", up=False))
    assert membership_count(lab, "a", group) == 0


def with_dev(operation):
    """The device vxlan1 with a lower device."""
    if not is_second_device(operation):
        return operation
    return dataclasses.replace(operation, attributes=(*operation.attributes, ("dev", "eth0")))


@pytest.mark.behaviour("a device with a group but without `dev` is refused", source=VALIDATE)
@pytest.mark.control("the device has a `dev`", change=with_dev, because="DID NOT RAISE ApplyError")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.one_switch, family=[4, 6], port=4789)
def test_a_group_without_dev_is_refused(lab, by):
    attributes = (("id", 43), ("group", group_of(lab)), ("dstport", 4789))
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddLink("a", "vxlan1", "vxlan", 0, attributes), by=by)
    if by == "netlink":
        assert refused.value.errno == errno.EINVAL
        # older kernels gave no explanation
        assert re.fullmatch("|.*interface required for multicast.*", refused.value.extack)
    else:  # `ip` checks it itself
        assert "'group' requires 'dev'" in str(refused.value)


def two_cables(*, family=4):
    """a and b joined by two cables, eth0 and eth1; their vxlan devices have eth0 as `dev`."""
    t = TopologyBuilder("two cables")
    for number in (1, 2):
        network = f"192.168.{number}.0/24" if family == 4 else f"fd00:{number}::/64"
        t.cable(f"net{number}", network)
    t.segment("overlay", 42, group=catalog.GROUPS[family], port=4789)
    for host in "ab":
        t.host(host, "net1")
        t.nic(host, "net2", device="eth1")
        t.vtep(host, "overlay")
    return t.build()


@pytest.mark.behaviour(
    "a device whose `dev` is changed joins its group on the new lower device and leaves it on the "
    "old one",
    source=CHANGE,
)
@DEADLY
@RESTORED
@pytest.mark.control(
    "the `dev` of a's device is not changed",
    without=SetVxlan,
    because=r"memberships on eth0 and eth1: \(1, 0\)",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(two_cables, family=[4, 6])
def test_changing_the_lower_device_moves_the_membership(lab, by):
    group = group_of(lab)
    with lab.capture("b:eth0", "b:eth1") as seen:
        lab.apply(SetVxlan("a", "vxlan0", (("dev", "eth1"),)), by=by)
        found = tuple(membership_count(lab, "a", group, name) for name in ("eth0", "eth1"))
        assert found == (0, 1), f"memberships on eth0 and eth1: {found}"
        seen["b:eth1"].wait_for(says("join", group), "the report on eth1", timeout=3)
        seen["b:eth0"].wait_for(says("leave", group), "the leave on eth0", timeout=3)


def on_eth1(operation):
    """The same vxlan device of a with the lower device eth1."""
    if not isinstance(operation, AddLink) or operation.kind != "vxlan" or operation.node != "a":
        return operation
    attributes = {**dict(operation.attributes), "dev": "eth1"}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


@pytest.mark.behaviour("a frame flooded to a group is sent out of `dev` only", source=XMIT)
@pytest.mark.control(
    "a's vxlan device has eth1 as its `dev`",
    change=on_eth1,
    because="a/eth0: waited .* for the flooded frame",
)
@pytest.mark.topology(two_cables, family=[4, 6])
def test_a_frame_is_flooded_out_of_the_lower_device_only(lab):
    with lab.capture("a:eth0", "a:eth1") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"there"))
        flooded = carries(b"there", lab.topology.ports)
        seen["a:eth0"].wait_for(flooded, "the flooded frame", timeout=3)
        seen["a:eth1"].assert_silent(flooded, "copy of the frame")
