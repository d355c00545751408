"""Many operations at once by netlink: in batches, and in their order."""

from __future__ import annotations

import errno

import pytest
from ip_output_tools import fdb, links

from vxlab.errors import ApplyError, VxlabError
from vxlab.live.lab import Lab
from vxlab.netlink.requests import BATCH
from vxlab.operations import AddAddress, AddFdb, AddLink, AddNamespace, DelLink, Peer, SetLink
from vxlab.plan.planner import ANY_MAC


def test_more_operations_than_one_batch_holds_are_applied(lab: Lab) -> None:
    count = 3 * BATCH + 7
    macs = [f"02:00:00:00:{n // 256:02x}:{n % 256:02x}" for n in range(count)]
    lab.apply(*(AddFdb("h1", "vxlan0", mac, "10.0.0.2") for mac in macs))
    found = {mac for mac, dst, _ in fdb(lab, "h1", "vxlan0") if dst == "10.0.0.2"}
    assert found == {ANY_MAC, *macs}


@pytest.mark.parametrize("place", [0, 1, BATCH - 1, BATCH, 2 * BATCH + 3])
def test_the_first_refusal_of_many_is_the_one_that_is_named(lab: Lab, place: int) -> None:
    entries = [
        AddFdb("h1", "vxlan0", f"02:00:00:00:01:{n:02x}", "10.0.0.2") for n in range(2 * BATCH + 4)
    ]
    lab.apply(entries[place], *([entries[-1]] if place != len(entries) - 1 else []))
    with pytest.raises(ApplyError, match=entries[place].mac) as caught:
        lab.apply(*entries)
    assert caught.value.errno == errno.EEXIST


def test_operations_on_several_nodes_stay_in_order(lab: Lab) -> None:
    """A pair made from one node and used from both, back and forth."""
    lab.apply(
        AddLink("h1", "v", "veth", 90, peer=Peer("h2", "w", 91)),
        SetLink("h2", "w", up=True),
        SetLink("h1", "v", up=True),
        AddAddress("h2", "w", "10.5.0.2/24"),
        AddAddress("h1", "v", "10.5.0.1/24"),
        SetLink("h1", "v", mtu=1400),
        SetLink("h2", "w", mtu=1400),
    )
    assert lab["h1"].ping("10.5.0.2", timeout=5)


def test_a_name_means_what_it_means_at_its_place_in_the_order(lab: Lab) -> None:
    """Removed and made anew in one go, with another index."""
    lab.apply(
        DelLink("h1", "vxlan0"),
        AddLink("h1", "vxlan0", "bridge", 95, up=True),
        SetLink("h1", "vxlan0", mtu=1400),
    )
    link = links(lab, "h1")["vxlan0"]
    assert (link["ifindex"], link["mtu"]) == (95, 1400)
    assert link["linkinfo"]["info_kind"] == "bridge"


def test_an_index_may_be_left_to_the_kernel(lab: Lab) -> None:
    lab.apply(AddLink("h1", "br7", "bridge", 0), SetLink("h1", "br7", up=True))
    assert "UP" in links(lab, "h1")["br7"]["flags"]


def test_a_refused_link_does_not_change_what_its_name_means(lab: Lab) -> None:
    with pytest.raises(ApplyError, match="EEXIST"):
        lab.apply(AddLink("h1", "vxlan0", "bridge", 96))
    lab.apply(SetLink("h1", "vxlan0", mtu=1300))
    assert links(lab, "h1")["vxlan0"]["mtu"] == 1300


def test_what_programs_changed_is_noticed(lab: Lab) -> None:
    lab.apply(SetLink("h1", "vxlan0", mtu=1400))
    lab["h1"].run("ip", "link", "del", "vxlan0")
    lab["h1"].run("ip", "link", "add", "vxlan0", "index", "99", "type", "bridge")
    lab.apply(SetLink("h1", "vxlan0", mtu=1300))
    assert links(lab, "h1")["vxlan0"]["mtu"] == 1300
    lab["h1"].run("ip", "link", "del", "vxlan0")
    with pytest.raises(VxlabError, match="h1: wanted the interface 'vxlan0', found lo, eth0"):
        lab.apply(SetLink("h1", "vxlan0", mtu=1200))


def test_a_node_and_its_links_are_added_to_a_lab(lab: Lab) -> None:
    lab.apply(
        AddNamespace("h3"),
        AddLink("lan", "h3", "veth", 90, master="switch", peer=Peer("h3", "eth0", 2), up=True),
        SetLink("h3", "eth0", up=True),
        AddAddress("h3", "eth0", "10.0.0.3/24"),
    )
    assert lab["h3"].ping("10.0.0.1", timeout=5)
    with pytest.raises(VxlabError, match="wanted a new node, found 'h3' in use"):
        lab.apply(AddNamespace("h3"))
