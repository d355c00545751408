"""8.3 Changing the lower device: what follows a change of `dev`, and what does not.

a eth0 192.168.57.50 ── lan ───── 192.168.57.54 eth0 b
  eth1 192.168.58.50 ── lan2 ──── 192.168.58.54 eth1
  vxlan0, with the lower device eth0 at first
"""

from __future__ import annotations

import pytest
from device_tools import PORTS, A, B, device, find_link, holds, swap_at, tunnels

from vxlab import TopologyBuilder
from vxlab.operations import DelLink, SetVxlan

CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"
B_ON_LAN2 = "192.168.58.54"
GROUP = "239.1.1.1"


def two_links():
    """Hosts a and b joined by two cables."""
    t = TopologyBuilder("two links")
    t.cable("lan", "192.168.57.0/24").cable("lan2", "192.168.58.0/24")
    for name, last in (("a", 50), ("b", 54)):
        t.host(name, "lan", f"192.168.57.{last}/24")
        t.nic(name, "lan2", f"192.168.58.{last}/24", device="eth1")
    return t.build()


pytestmark = pytest.mark.topology(two_links())
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def change_to_eth1(lab, by="netlink", **more):
    """Change the lower device of a's vxlan0 to eth1, and further attributes with it."""
    lab.apply(SetVxlan("a", "vxlan0", (("dev", "eth1"), *more.items())), by=by)


def default_entries(lab):
    """Remote and interface of each FDB entry of a's vxlan0, which has default entries alone."""
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    return [(row["dst"], row.get("viaIf")) for row in rows]


def interfaces_flooded_through(lab):
    """The interfaces of a that a broadcast leaves by; a later ping on each proves its capture."""
    with lab.capture("a:eth0", "a:eth1", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.255", b"out")
        for address in (B, B_ON_LAN2):
            assert lab["a"].ping(address)
    assert all(capture.was_live for capture in seen.values())
    return [place for place in ("a:eth0", "a:eth1") if tunnels(seen[place], b"out")]


def with_remote(operation):
    """A control: a change of the vxlan device also changes its remote."""
    if not isinstance(operation, SetVxlan):
        return operation
    return SetVxlan("a", "vxlan0", (*operation.attributes, ("remote", B_ON_LAN2)))


@pytest.mark.behaviour(
    "after a change of `dev` a vxlan device survives the deletion of its old lower device and is"
    " deleted with the new one",
    source=CHANGE,
)
@pytest.mark.control(
    "the change of `dev` to eth1 is left out",
    without=SetVxlan,
    because="vxlan0 was deleted with its old lower device eth0",
)
@BOTH
def test_a_device_is_deleted_with_its_new_lower_device(lab, by):
    lab.apply(*device("a", id=42, remote=B, dev="eth0"))
    change_to_eth1(lab, by)
    lab.apply(DelLink("a", "eth0"))
    assert find_link(lab, "a") is not None, "vxlan0 was deleted with its old lower device eth0"
    lab.apply(DelLink("a", "eth1"))
    assert find_link(lab, "a") is None, "vxlan0 was not deleted with its new lower device eth1"


@pytest.mark.behaviour(
    "a change of `dev` and `remote` together moves the default FDB entry, and with it flooded"
    " traffic, to the new lower device",
    source=CHANGE,
)
@pytest.mark.control(
    "the change of `dev` and `remote` is left out",
    without=SetVxlan,
    because="the default FDB entry did not move to eth1",
)
@BOTH
def test_dev_and_remote_together_move_the_default_entry(lab, by):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, dev="eth0"))
    assert interfaces_flooded_through(lab) == ["a:eth0"]
    change_to_eth1(lab, by, remote=B_ON_LAN2)
    moved = [(B_ON_LAN2, "eth1")]
    assert default_entries(lab) == moved, "the default FDB entry did not move to eth1"
    assert interfaces_flooded_through(lab) == ["a:eth1"]


# A defect of the kernel: the default entry is replaced only where its remote changes too.
@pytest.mark.behaviour(
    "a change of `dev` alone leaves the default FDB entry, and with it flooded traffic, on the old"
    " lower device",
    source=CHANGE,
)
@pytest.mark.control(
    "`remote` is changed together with `dev`",
    change=with_remote,
    because="the default FDB entry did not stay on eth0",
)
@BOTH
def test_dev_alone_leaves_the_default_entry_behind(lab, by):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, dev="eth0"))
    change_to_eth1(lab, by)
    assert find_link(lab, "a").attributes["dev"] == "eth1"
    assert default_entries(lab) == [(B, "eth0")], "the default FDB entry did not stay on eth0"
    assert interfaces_flooded_through(lab) == ["a:eth0"]


@pytest.mark.behaviour(
    "after a change of `dev` the device's multicast group is left on the old lower device and"
    " joined on the new one",
    source=CHANGE + ", vxlan_multicast_join()",
)
@pytest.mark.known_difference("K61", until="6.1", deadly=True)
@pytest.mark.control(
    "the change of `dev` to eth1 is left out",
    without=SetVxlan,
    because="the group is not joined on eth1 alone",
)
def test_a_group_is_joined_on_the_new_lower_device(lab):
    def joined():
        rows = lab["a"].state.memberships
        return [row.interface for row in rows if row.group == GROUP]

    lab.apply(*device("a", id=42, group=GROUP, dev="eth0"))
    assert joined() == ["eth0"]
    change_to_eth1(lab)
    try:
        assert joined() == ["eth1"], "the group is not joined on eth1 alone"
    finally:  # kernels with K61 hang where `dev` is another interface than the group is joined on
        lab.apply(SetVxlan("a", "vxlan0", (("dev", "eth0"),)), by="netlink")


@pytest.mark.behaviour(
    "after a change of `dev` packets to the address of the old lower device are received as well"
    " as packets to that of the new one",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()",
)
@pytest.mark.control(
    "a's device has VNI 43, b's has VNI 42",
    change=swap_at("a", id=43),
    because="waited .* for b's datagram, decapsulated; found no frame",
)
@pytest.mark.parametrize(
    "to", [A, "192.168.58.50"], ids=["the-old-lower-device", "the-new-lower-device"]
)
def test_packets_to_the_old_and_the_new_lower_device_are_received(lab, to):
    lab.apply(*device("a", id=42, remote=B, dev="eth0"))
    change_to_eth1(lab)
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=to))
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.255", b"in")
        seen["a:vxlan0"].wait_for(holds(b"in"), "b's datagram, decapsulated", timeout=3)
