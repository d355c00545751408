"""7.8 VNI filter and groups: each VNI of one device may have a multicast group of its own.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 external vnifilter        vxlan0 VNI 43
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import PORTS, at, bare, device, holds

from vxlab import wait_until
from vxlab.operations import AddVni, DelLink, DelVni, SetLink

FILTER = "drivers/net/vxlan/vxlan_vnifilter.c: "
GROUP, OTHER_GROUP = "239.1.1.1", "239.1.1.2"
NO_VNI_IS_DELETED = "no VNI is deleted from the filter"
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])

pytestmark = [pytest.mark.requires("vxlan.vnifilter"), pytest.mark.topology(bare())]


def make_filtering_device(lab):
    """Make a's device with a VNI filter and the lower device eth0, and no VNI in it yet."""
    lab.apply(*device("a", external=True, vnifilter=True, dev="eth0"))


def joined_groups(lab):
    """The groups of the scenarios that a's eth0 has joined, sorted."""
    found = lab["a"].state.memberships
    on_eth0 = {row.group for row in found if row.interface == "eth0"}
    return sorted(group for group in on_eth0 if group.startswith("239."))


def assert_joined(lab, wanted):
    """Assert which groups a's eth0 has joined."""
    found = joined_groups(lab)
    assert found == wanted, f"{joined(found)}, not {joined(wanted)}"


def joined(groups):
    """These groups in the words of `assert_joined`."""
    return f"joined: {', '.join(groups) or 'none'}"


def keep_vnis(operation):
    """A control: no VNI is deleted."""
    return None if isinstance(operation, DelVni) else operation


def stay_up(operation):
    """A control: the device is not set down."""
    return None if isinstance(operation, SetLink) and operation.up is False else operation


def always_group_1(operation):
    """A control: every VNI has the first group."""
    if isinstance(operation, AddVni):
        return dataclasses.replace(operation, group=GROUP)
    return operation


@pytest.mark.behaviour(
    "the multicast group of a VNI is joined when the VNI is added to the filter, and left when it "
    "is deleted",
    source=FILTER + "vxlan_vni_update_group(), vxlan_vni_delete_group()",
)
@pytest.mark.control(
    NO_VNI_IS_DELETED,
    change=keep_vnis,
    because=f"{GROUP}, {OTHER_GROUP}, not joined: {GROUP}",
)
@BOTH
def test_a_group_is_joined_and_left_with_its_vnis(lab, by):
    make_filtering_device(lab)
    for vni, group in ((42, GROUP), (43, GROUP), (44, OTHER_GROUP)):
        lab.apply(AddVni("a", "vxlan0", vni, group=group), by=by)
    assert_joined(lab, [GROUP, OTHER_GROUP])
    lab.apply(DelVni("a", "vxlan0", 44), by=by)
    assert_joined(lab, [GROUP])


@pytest.mark.behaviour(
    "setting a device down, or deleting it, leaves the multicast groups of all its VNIs; setting "
    "it up joins them again",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_multicast_join_vnigrp()",
)
@pytest.mark.control(
    "the device is not set down",
    change=stay_up,
    because=f"{GROUP}, {OTHER_GROUP}, not joined: none",
)
def test_groups_follow_up_and_down(lab):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 42, group=GROUP), AddVni("a", "vxlan0", 43, group=OTHER_GROUP))
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert_joined(lab, [])
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert_joined(lab, [GROUP, OTHER_GROUP])
    lab.apply(DelLink("a", "vxlan0"))
    wait_until(lambda: not joined_groups(lab), "the groups to be left")


@pytest.mark.behaviour(
    "when a VNI is given another multicast group, the old group is left and the new one joined",
    source=FILTER + "vxlan_vni_update_group()",
)
@pytest.mark.control(
    "the VNI is given the group that it has",
    change=always_group_1,
    because=f"joined: {GROUP}, not joined: {OTHER_GROUP}",
)
@BOTH
def test_a_changed_group_is_joined(lab, by):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 42, group=GROUP))
    lab.apply(AddVni("a", "vxlan0", 42, group=OTHER_GROUP), by=by)
    assert_joined(lab, [OTHER_GROUP])


# A defect of the kernel: while one device has the socket for itself, vxlan_group_used() does not
# look at that device's other VNIs.
@pytest.mark.behaviour(
    "a multicast group that several VNIs of a device share is left when the first of them is "
    "deleted: the others no longer receive what is sent to it",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_group_used()",
)
@pytest.mark.control(
    NO_VNI_IS_DELETED,
    change=keep_vnis,
    because=f"joined: {GROUP}, not joined: none",
)
def test_a_shared_group_is_left_with_the_first_of_its_vnis(lab):
    make_filtering_device(lab)
    lab.apply(AddVni("a", "vxlan0", 42, 43, group=GROUP))
    lab.apply(*device("b", "172.18.43.3/24", id=43, group=GROUP, dev="eth0"))
    with lab.capture("a:eth0", "a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.43.255", b"before")
        seen["a:vxlan0"].wait_for_payload(b"before")
        lab.apply(DelVni("a", "vxlan0", 42))
        assert_joined(lab, [])
        lab["b"].send_marked("172.18.43.255", b"after")
        seen["a:eth0"].wait_for(holds(b"after"), "the packet on the lower device")
        assert lab["b"].ping(at(lab, "a"))  # its request comes after the packet
    seen["a:vxlan0"].assert_silent(holds(b"after"), "frame of VNI 43")
