"""8.1 From one card to another: what follows a device whose `dev` is changed, and what does not.

a eth0 192.168.57.50 ── lan ───── 192.168.57.54 eth0 b
  eth1 192.168.58.50 ── lan2 ──── 192.168.58.54 eth1
  vxlan0, on eth0 at first
"""

from __future__ import annotations

import pytest
from device_tools import PORTS, A, B, device, holds, link_of, swap_at, tunnels

from vxlab import TopologyBuilder
from vxlab.operations import DelLink, SetVxlan

CHANGE = "drivers/net/vxlan/vxlan_core.c: vxlan_changelink()"
OVER_THERE = "192.168.58.54"
GROUP = "239.1.1.1"


def two_cards():
    """Hosts a and b joined by two cables."""
    t = TopologyBuilder("two cards")
    t.cable("lan", "192.168.57.0/24").cable("lan2", "192.168.58.0/24")
    for name, last in (("a", 50), ("b", 54)):
        t.host(name, "lan", f"192.168.57.{last}/24")
        t.nic(name, "lan2", f"192.168.58.{last}/24", device="eth1")
    return t.build()


pytestmark = pytest.mark.topology(two_cards())
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def unchanged(operation):
    return None if isinstance(operation, SetVxlan) else operation


def to_eth1(lab, by="netlink", **more):
    lab.apply(SetVxlan("a", "vxlan0", (("dev", "eth1"), *more.items())), by=by)


def flood(lab):
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    return [(row["dst"], row.get("viaIf")) for row in rows]


def ways_out(lab):
    """The cards by which a broadcast leaves, proven by a ping on each that comes later."""
    with lab.capture("a:eth0", "a:eth1", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.255", b"out")
        for address in (B, OVER_THERE):
            assert lab["a"].ping(address)
    assert all(capture.was_live for capture in seen.values())
    return [place for place in ("a:eth0", "a:eth1") if tunnels(seen[place], b"out")]


def with_remote(operation):
    if not isinstance(operation, SetVxlan):
        return operation
    return SetVxlan("a", "vxlan0", (*operation.attributes, ("remote", OVER_THERE)))


@pytest.mark.behaviour("a device lives and dies with the card it was changed to", source=CHANGE)
@pytest.mark.control("it is not changed", change=unchanged, because="None")
@BOTH
def test_a_device_belongs_to_its_new_card(lab, by):
    lab.apply(*device("a", id=42, remote=B, dev="eth0"))
    to_eth1(lab, by)
    lab.apply(DelLink("a", "eth0"))
    assert link_of(lab, "a") is not None, "None"
    lab.apply(DelLink("a", "eth1"))
    assert link_of(lab, "a") is None


@pytest.mark.behaviour("card and remote changed together take the flood entry along", source=CHANGE)
@pytest.mark.control("they are not changed", change=unchanged, because="eth0")
@BOTH
def test_card_and_remote_together_move_what_is_flooded(lab, by):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, dev="eth0"))
    assert ways_out(lab) == ["a:eth0"]
    to_eth1(lab, by, remote=OVER_THERE)
    assert flood(lab) == [(OVER_THERE, "eth1")]
    assert ways_out(lab) == ["a:eth1"]


# A defect of the kernel: the default entry is only made anew where its remote changes too.
@pytest.mark.behaviour(
    "a change of the card alone leaves the flood entry behind, on the old card", source=CHANGE
)
@pytest.mark.control("the remote changes too", change=with_remote)
@BOTH
def test_the_card_alone_leaves_what_is_flooded_behind(lab, by):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, dev="eth0"))
    to_eth1(lab, by)
    assert link_of(lab, "a").attributes["dev"] == "eth1"
    assert flood(lab) == [(B, "eth0")]
    assert ways_out(lab) == ["a:eth0"]


@pytest.mark.behaviour(
    "a group is left on the old card and joined on the new one",
    source=CHANGE + ", vxlan_multicast_join()",
)
@pytest.mark.known_difference("K61", until="6.1", deadly=True)
@pytest.mark.control("the card is not changed", change=unchanged, because="eth0")
def test_a_group_is_joined_on_the_new_card(lab):
    def joined():
        rows = lab["a"].state.memberships
        return [row.interface for row in rows if row.group == GROUP]

    lab.apply(*device("a", id=42, group=GROUP, dev="eth0"))
    assert joined() == ["eth0"]
    to_eth1(lab)
    try:
        assert joined() == ["eth1"]
    finally:  # on another card than it has joined on it hangs kernels that have K61
        lab.apply(SetVxlan("a", "vxlan0", (("dev", "eth0"),)), by="netlink")


@pytest.mark.behaviour(
    "what b sends to the new card is received, and to the old one too",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()",
)
@pytest.mark.control("a's device has VNI 43", change=swap_at("a", id=43), because="waited")
@pytest.mark.parametrize("to", [A, "192.168.58.50"], ids=["the-old-card", "the-new-card"])
def test_the_card_does_not_matter_for_what_is_received(lab, to):
    lab.apply(*device("a", id=42, remote=B, dev="eth0"))
    to_eth1(lab)
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=to))
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.255", b"in")
        seen["a:vxlan0"].wait_for(holds(b"in"), "the datagram", timeout=3)
