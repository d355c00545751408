"""3.3 The inner source MAC: which frames are dropped for whom they are from.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device
"""

from __future__ import annotations

import dataclasses

import pytest
from fdb_tools import ANY, BROADCAST, MAC, MULTICAST, OTHER, entries, entry, marked
from reception_tools import accepted, far_end, one_end, outcome, refused, underlay

from vxlab import state
from vxlab.operations import AddFdb, AddNexthop

SNOOP = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"
SET_MAC = "drivers/net/vxlan/vxlan_core.c: vxlan_set_mac()"

both = pytest.mark.topology(one_end, family=[4, 6])
deaf = pytest.mark.topology(lambda family: one_end(family, learning=False), family=[4, 6])


def sent_from(lab, mac):
    """What comes of a frame with that source MAC; "own" is vxlan0's."""
    if mac == "own":
        (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
        mac = link.mac
    frame = marked(OTHER, mac, b"from " + mac.encode())
    with far_end(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send(frame), frame)


#: Sources that nobody can have.
NOBODY = pytest.mark.parametrize(
    "mac", [ANY, MULTICAST, BROADCAST], ids=["zero", "multicast", "broadcast"]
)


@pytest.mark.behaviour(
    "a device that learns drops frames from impossible MACs, uncounted", source=SNOOP
)
@pytest.mark.control("the MAC is a good one", arguments={"mac": MAC}, because="assert")
@both
@NOBODY
def test_an_impossible_source_is_dropped_uncounted(lab, mac):
    before = len(entries(lab, mac))
    assert sent_from(lab, mac) == refused()
    assert len(entries(lab, mac)) == before  # nor learned


@pytest.mark.behaviour("a device that does not learn takes them", source=SET_MAC)
@pytest.mark.control("a's device learns", vteps={"a": {"learning": True}}, because="assert")
@deaf
@NOBODY
def test_without_learning_an_impossible_source_is_taken(lab, mac):
    assert sent_from(lab, mac) == accepted()


@pytest.mark.behaviour(
    "the device's own MAC as source is a loop: dropped uncounted", source=SET_MAC
)
@pytest.mark.control("the MAC is another", arguments={"mac": MAC}, because="assert")
@pytest.mark.topology(
    lambda family, learning: one_end(family, learning=learning),
    family=[4, 6],
    learning=[True, False],
)
@pytest.mark.parametrize("mac", ["own"])
def test_the_own_mac_as_source_is_dropped_uncounted(lab, mac):
    assert sent_from(lab, mac) == refused()


def elsewhere(lab):
    """An underlay address that is not b's."""
    return underlay(lab, "b") + "9" if ":" in underlay(lab, "b") else "192.168.57.99"


def as_dynamic(made):
    return dataclasses.replace(made, state="dynamic") if getattr(made, "mac", "") == MAC else made


@pytest.mark.behaviour(
    "a static MAC that comes from another VTEP is dropped uncounted", source=SNOOP
)
@pytest.mark.control("the entry is dynamic", change=as_dynamic, because="assert")
@both
@pytest.mark.parametrize("kept", ["permanent", "static"])
def test_a_static_mac_from_elsewhere_is_dropped_uncounted(lab, kept):
    lab.apply(AddFdb("a", "vxlan0", MAC, elsewhere(lab), state=kept))
    assert sent_from(lab, MAC) == refused()
    assert entry(lab, MAC).dst == elsewhere(lab)


@pytest.mark.behaviour("a static MAC that comes from its own VTEP is taken", source=SNOOP)
@pytest.mark.control(
    "its VTEP is another",
    change=lambda made: (
        dataclasses.replace(made, dst=made.dst[:-1] + "9")
        if getattr(made, "mac", "") == MAC
        else made
    ),
    because="assert",
)
@both
@pytest.mark.parametrize("kept", ["permanent", "static"])
def test_a_static_mac_from_its_own_vtep_is_taken(lab, kept):
    lab.apply(AddFdb("a", "vxlan0", MAC, underlay(lab, "b"), state=kept))
    assert sent_from(lab, MAC) == accepted()


@pytest.mark.behaviour("port and VNI of a static entry do not matter to a receiver", source=SNOOP)
@pytest.mark.control(
    "its VTEP is another",
    change=lambda made: (
        dataclasses.replace(made, dst=made.dst[:-1] + "9")
        if getattr(made, "mac", "") == MAC
        else made
    ),
    because="assert",
)
@both
@pytest.mark.parametrize("more", [{"port": 4790}, {"vni": 43}], ids=["port", "vni"])
def test_only_the_address_of_a_static_entry_must_match(lab, more):
    lab.apply(AddFdb("a", "vxlan0", MAC, underlay(lab, "b"), **more))
    assert sent_from(lab, MAC) == accepted()


@pytest.mark.behaviour("a static entry bound to a card conflicts with every packet", source=SNOOP)
@pytest.mark.control(
    "it is not bound",
    change=lambda made: (
        dataclasses.replace(made, via=None) if getattr(made, "mac", "") == MAC else made
    ),
    because="assert",
)
@both
def test_a_static_entry_with_a_card_conflicts_with_its_own_vtep(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, underlay(lab, "b"), via="eth0"))
    assert sent_from(lab, MAC) == refused()


@pytest.mark.behaviour("a MAC behind a next hop is dropped uncounted, wherever from", source=SNOOP)
@pytest.mark.known_difference("K50", until="6.12", deadly=True)
@pytest.mark.control(
    "there is no such entry",
    change=lambda made: None if getattr(made, "nhid", None) else made,
    because="assert",
)
@both
def test_a_mac_behind_a_next_hop_is_dropped_uncounted(lab):
    lab.apply(AddNexthop("a", 1, via=underlay(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    assert sent_from(lab, MAC) == refused()


@pytest.mark.behaviour("a device that does not learn sees no conflict", source=SET_MAC)
@pytest.mark.control("a's device learns", vteps={"a": {"learning": True}}, because="assert")
@deaf
@pytest.mark.parametrize("kept", ["permanent", "static"])
def test_without_learning_a_static_mac_from_elsewhere_is_taken(lab, kept):
    lab.apply(AddFdb("a", "vxlan0", MAC, elsewhere(lab), state=kept))
    assert sent_from(lab, MAC) == accepted()
    assert entry(lab, MAC).dst == elsewhere(lab)
