"""7.8 VNI filter and groups: each VNI of one device may flood to a group of its own.

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
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])

pytestmark = [pytest.mark.requires("vxlan.vnifilter"), pytest.mark.topology(bare())]


def filtering(lab):
    """a's device with a filter, bound to its card, and no VNI yet."""
    lab.apply(*device("a", external=True, vnifilter=True, dev="eth0"))


def groups(lab):
    found = lab["a"].state.memberships
    return {row.group for row in found if row.interface == "eth0" and row.group[:4] == "239."}


def keep_vnis(operation):
    """A control: no VNI is taken away."""
    return None if isinstance(operation, DelVni) else operation


def stay_up(operation):
    return None if isinstance(operation, SetLink) and operation.up is False else operation


def always_1(operation):
    return (
        dataclasses.replace(operation, group="239.1.1.1")
        if isinstance(operation, AddVni)
        else operation
    )


@pytest.mark.behaviour(
    "the group of a VNI is joined with it, and left with it",
    source=FILTER + "vxlan_vni_update_group(), vxlan_vni_delete_group()",
)
@pytest.mark.control("no VNI is taken away", change=keep_vnis, because="set")
@BOTH
def test_a_group_is_joined_and_left_with_its_vnis(lab, by):
    filtering(lab)
    for vni, group in ((42, "239.1.1.1"), (43, "239.1.1.1"), (44, "239.1.1.2")):
        lab.apply(AddVni("a", "vxlan0", vni, group=group), by=by)
    assert groups(lab) == {"239.1.1.1", "239.1.1.2"}
    lab.apply(DelVni("a", "vxlan0", 44), by=by)
    assert groups(lab) == {"239.1.1.1"}


@pytest.mark.behaviour(
    "down leaves the groups of all VNIs, up joins them again",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_multicast_join_vnigrp()",
)
@pytest.mark.control("it is not taken down", change=stay_up, because="set")
def test_groups_follow_up_and_down(lab):
    filtering(lab)
    lab.apply(
        AddVni("a", "vxlan0", 42, group="239.1.1.1"), AddVni("a", "vxlan0", 43, group="239.1.1.2")
    )
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert groups(lab) == set()
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert groups(lab) == {"239.1.1.1", "239.1.1.2"}
    lab.apply(DelLink("a", "vxlan0"))
    wait_until(lambda: not groups(lab), "the groups to be left")


@pytest.mark.behaviour(
    "another group for a VNI leaves the old one and joins the new one",
    source=FILTER + "vxlan_vni_update_group()",
)
@pytest.mark.control("it is the same group", change=always_1, because="239.1.1.1")
@BOTH
def test_a_changed_group_is_joined(lab, by):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 42, group="239.1.1.1"))
    lab.apply(AddVni("a", "vxlan0", 42, group="239.1.1.9"), by=by)
    assert groups(lab) == {"239.1.1.9"}


# A defect of the kernel: while one device has the socket for itself, vxlan_group_used() does not
# look at that device's other VNIs.
@pytest.mark.behaviour(
    "a group that VNIs of one device share is left with the first of them: the others go deaf",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_group_used()",
)
@pytest.mark.control("no VNI is taken away", change=keep_vnis, because="239.1.1.1")
def test_a_shared_group_is_left_with_the_first_of_its_vnis(lab):
    filtering(lab)
    lab.apply(AddVni("a", "vxlan0", 42, 43, group="239.1.1.1"))
    far = {"id": 43, "group": "239.1.1.1", "dev": "eth0"}
    lab.apply(*device("b", "172.18.43.3/24", **far))
    with lab.capture("a:eth0", "a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.43.255", b"heard")
        seen["a:vxlan0"].wait_for_payload(b"heard")
        lab.apply(DelVni("a", "vxlan0", 42))
        assert groups(lab) == set()
        lab["b"].send_marked("172.18.43.255", b"unheard")
        seen["a:eth0"].wait_for(holds(b"unheard"), "the packet at the card")
        assert lab["b"].ping(at(lab, "a"))  # comes later
    seen["a:vxlan0"].assert_silent(holds(b"unheard"), "frame of VNI 43")
