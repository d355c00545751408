"""E1 broken on purpose: what does not work then, and what vxlab's diagnosis says of it."""

from __future__ import annotations

import pytest
from absence_tools import assert_filtered, assert_not_decapsulated
from flood_tools import carries, counters_of

from vxlab import catalog, diagnose, drop_udp, wait_until


def changed_at_b(family=4, **changes):
    """The same topology, with changes to b's vxlan device."""
    return catalog.point_to_point(family=family).with_vtep("b", "overlay", **changes)


def with_a_firewall(family=4):
    """The same topology, with a packet filter on b that drops VXLAN's UDP port."""
    rules = (drop_udp(4789, 4 if family == 4 else 6),)
    return catalog.point_to_point(family=family).with_host("b", rules=rules)


def without_the_firewall(topology):
    return topology.with_host("b", rules=())


@pytest.mark.control(
    "b's vxlan device has a's VNI",
    vteps={"b": {"id": 42}},
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(changed_at_b, family=[4, 6], id=43)
def test_control_hosts_with_different_vnis_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "a", "172.18.1.255")
    assert diagnose(lab, "a", "172.18.1.3").code == "vni-mismatch"


@pytest.mark.control(
    "b's vxlan device has a's UDP port",
    vteps={"b": {"dstport": 4789}},
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(changed_at_b, family=[4, 6], dstport=4790)
def test_control_hosts_with_different_udp_ports_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "a", "172.18.1.255")
    assert diagnose(lab, "a", "172.18.1.3").code == "port-mismatch"


@pytest.mark.control(
    "b's packet filter has no rule",
    topology=without_the_firewall,
    because="b/vxlan0: wanted no frame of a",
)
@pytest.mark.topology(with_a_firewall, family=[4, 6])
def test_control_a_firewall_that_drops_the_udp_port_stops_the_traffic(lab):
    assert_filtered(lab, "a", "172.18.1.255")
    assert diagnose(lab, "a", "172.18.1.3").code == "firewall"


@pytest.mark.control(
    "b's vxlan device has the remote a",
    vteps={"b": {"remotes": None}},
    because="b/eth0: wanted no frame of b",
)
@pytest.mark.topology(changed_at_b, remotes=())
def test_control_a_device_without_remotes_learns_one_only_from_traffic(lab):
    with lab.capture("b") as seen:
        dropped = counters_of(lab, "b").tx_dropped
        lab["b"].send_marked("172.18.1.255", b"nowhere")
        wait_until(
            lambda: seen["b"].encapsulated() or counters_of(lab, "b").tx_dropped > dropped,
            "b's vxlan0 to drop the frame, or to send it",
        )
    seen["b"].assert_silent(carries(b"nowhere", lab.topology.ports), "frame of b")
    assert diagnose(lab, "b", "172.18.1.2").code == "no-remote"
    assert lab["a"].ping("172.18.1.3")  # b learns a's MAC and VTEP from it
    assert lab["b"].ping("172.18.1.2")


@pytest.mark.topology(catalog.point_to_point())
def test_control_a_capture_that_receives_nothing_is_not_proven_live(lab):
    with lab.capture("b") as seen:
        seen["b"].deafen()
        assert lab["a"].ping("172.18.1.3")
    assert not seen["b"].frames
    assert not seen["b"].was_live
