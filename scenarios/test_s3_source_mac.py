"""3.3 Receiving the inner source MAC: for which source MACs a frame is dropped.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device
"""

from __future__ import annotations

import pytest
from fdb_tools import (
    ANY,
    BROADCAST,
    MAC,
    MULTICAST,
    OTHER,
    address,
    at_another_remote,
    changed_entries,
    entries,
    entry,
    marked_frame,
    omitted_entries,
)
from reception_tools import (
    accepted,
    assert_outcome,
    dropped_by_vxlan,
    found_outcome,
    kernel_at_a,
    outcome,
    reference_at_b,
)

from vxlab import state
from vxlab.operations import AddFdb, AddNexthop

SNOOP = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"
SET_MAC = "drivers/net/vxlan/vxlan_core.c: vxlan_set_mac()"

both_families = pytest.mark.topology(kernel_at_a, family=[4, 6])
without_learning = pytest.mark.topology(kernel_at_a, family=[4, 6], learning=False)

learning = pytest.mark.control(
    "VTEP a learns MACs",
    vteps={"a": {"learning": True}},
    because=found_outcome(dropped_by_vxlan()),
)
entry_of_another_vtep = pytest.mark.control(
    "the static FDB entry names another remote than the VTEP that sends the frame",
    change=at_another_remote,
    because=found_outcome(dropped_by_vxlan()),
)


def outcome_from(lab, mac):
    """The outcome of a packet whose inner frame has this source MAC; "own" stands for vxlan0's."""
    if mac == "own":
        (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
        mac = link.mac
    frame = marked_frame(OTHER, mac, b"from " + mac.encode())
    with reference_at_b(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send(frame), frame)


#: MACs that no station can have.
invalid_macs = pytest.mark.parametrize(
    "mac", [ANY, MULTICAST, BROADCAST], ids=["zero", "multicast", "broadcast"]
)


@pytest.mark.behaviour(
    "a device that learns drops a frame whose source MAC is zero, multicast or broadcast, and "
    "does not count it",
    source=SNOOP,
)
@pytest.mark.control(
    "VTEP a has `nolearning`",
    vteps={"a": {"learning": False}},
    because=found_outcome(accepted()),
)
@both_families
@invalid_macs
def test_an_invalid_source_mac_is_dropped_uncounted(lab, mac):
    before = len(entries(lab, mac))
    assert_outcome(outcome_from(lab, mac), dropped_by_vxlan())
    assert len(entries(lab, mac)) == before, "the invalid source MAC was learned"


@pytest.mark.behaviour(
    "a device with `nolearning` delivers a frame whose source MAC is zero, multicast or broadcast",
    source=SET_MAC,
)
@learning
@without_learning
@invalid_macs
def test_with_nolearning_an_invalid_source_mac_is_accepted(lab, mac):
    assert_outcome(outcome_from(lab, mac), accepted())


@pytest.mark.behaviour(
    "a frame whose source MAC is that of the receiving device is dropped as a loop, with learning "
    "and without, and the device does not count it",
    source=SET_MAC,
)
@pytest.mark.control(
    "the frame has another source MAC than that of the receiving device",
    arguments={"mac": MAC},
    because=found_outcome(accepted()),
)
@pytest.mark.topology(kernel_at_a, family=[4, 6], learning=[True, False])
@pytest.mark.parametrize("mac", ["own"])
def test_the_device_s_own_mac_as_source_is_dropped_uncounted(lab, mac):
    assert_outcome(outcome_from(lab, mac), dropped_by_vxlan())


def address_of_no_host(lab):
    """An underlay address that is not b's."""
    return address(lab, "b") + "9" if ":" in address(lab, "b") else "192.168.57.99"


@pytest.mark.behaviour(
    "a frame whose source MAC has a static FDB entry for another VTEP is dropped, and the device "
    "does not count it",
    source=SNOOP,
)
@pytest.mark.control(
    "the FDB entry is dynamic",
    change=changed_entries(MAC, state="dynamic"),
    because=found_outcome(accepted()),
)
@both_families
@pytest.mark.parametrize("kept", ["permanent", "static"])
def test_a_static_mac_from_another_vtep_is_dropped_uncounted(lab, kept):
    lab.apply(AddFdb("a", "vxlan0", MAC, address_of_no_host(lab), state=kept))
    assert_outcome(outcome_from(lab, MAC), dropped_by_vxlan())
    assert entry(lab, MAC).dst == address_of_no_host(lab)


@pytest.mark.behaviour(
    "a frame whose source MAC has a static FDB entry for the VTEP that sent it is delivered",
    source=SNOOP,
)
@entry_of_another_vtep
@both_families
@pytest.mark.parametrize("kept", ["permanent", "static"])
def test_a_static_mac_from_its_own_vtep_is_accepted(lab, kept):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), state=kept))
    assert_outcome(outcome_from(lab, MAC), accepted())


@pytest.mark.behaviour(
    "a frame from the remote of its source MAC's static FDB entry is delivered, whatever port and "
    "VNI the entry has",
    source=SNOOP,
)
@entry_of_another_vtep
@both_families
@pytest.mark.parametrize("more", [{"port": 4790}, {"vni": 43}], ids=["port", "vni"])
def test_only_the_address_of_a_static_entry_must_match(lab, more):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), **more))
    assert_outcome(outcome_from(lab, MAC), accepted())


@pytest.mark.behaviour(
    "a frame from the remote of its source MAC's static FDB entry is dropped if the entry names a "
    "lower device (`via`)",
    source=SNOOP,
)
@pytest.mark.control(
    "the static FDB entry names no lower device",
    change=changed_entries(MAC, via=None),
    because=found_outcome(accepted()),
)
@both_families
def test_a_static_mac_with_a_lower_device_is_dropped_uncounted(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), via="eth0"))
    assert_outcome(outcome_from(lab, MAC), dropped_by_vxlan())


@pytest.mark.behaviour(
    "a frame whose source MAC has an FDB entry with a next hop group is dropped, even if a member "
    "of the group sent it, and the device does not count it",
    source=SNOOP,
)
@pytest.mark.known_difference("K50", until="6.12", deadly=True)
@pytest.mark.control(
    "the FDB has no entry with a next hop group",
    change=omitted_entries(nhid=10),
    because=found_outcome(accepted()),
)
@both_families
def test_a_mac_with_a_next_hop_is_dropped_uncounted(lab):
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", MAC, nhid=10))
    assert_outcome(outcome_from(lab, MAC), dropped_by_vxlan())


@pytest.mark.behaviour(
    "a device with `nolearning` delivers a frame whose source MAC has a static FDB entry for "
    "another VTEP, and does not change the entry",
    source=SET_MAC,
)
@learning
@without_learning
@pytest.mark.parametrize("kept", ["permanent", "static"])
def test_with_nolearning_a_static_mac_from_another_vtep_is_accepted(lab, kept):
    lab.apply(AddFdb("a", "vxlan0", MAC, address_of_no_host(lab), state=kept))
    assert_outcome(outcome_from(lab, MAC), accepted())
    assert entry(lab, MAC).dst == address_of_no_host(lab)
