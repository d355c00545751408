"""E5 broken on purpose: what does not work then, and what vxlab's diagnosis says of it."""

from __future__ import annotations

import pytest
from absence_tools import assert_not_routed
from kim_and_lee_tools import OTHER, add_neighbour_entries, payloads_received, tenants

from vxlab import catalog, diagnose, operations, wait_until


def with_smcroute(topology):
    return topology.with_router("router", daemon="smcroute")


@pytest.mark.control(
    "the router runs smcroute",
    topology=with_smcroute,
    because="router/eth1: wanted no packet that kim-srv1 flooded",
)
@pytest.mark.topology(catalog.kim_and_lee, router=[None], family=[4, 6])
def test_control_a_router_without_a_daemon_forwards_no_multicast(lab):
    assert_not_routed(lab, "kim-srv1", "1.1.1.255", between=("lxc1", "lxc2"))
    assert diagnose(lab, "kim-srv1", "1.1.1.2").code == "no-daemon"


@pytest.mark.control(
    "the router's multicast daemon is not stopped",
    without=operations.StopDaemon,
    because="router/eth1: wanted no packet that lee-srv1 flooded",
)
@pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"])
def test_control_only_learned_macs_are_reached_while_the_routers_daemon_is_stopped(lab):
    assert lab["kim-srv1"].ping("1.1.1.2")
    lab.stop_daemon("router")
    assert_not_routed(lab, "lee-srv1", "1.1.1.255", between=("lxc1", "lxc2"))
    assert lab["kim-srv1"].ping("1.1.1.2")  # frames for a learned MAC are unicast: no group needed
    assert diagnose(lab, "lee-srv1", "1.1.1.2").code == "no-daemon"
    lab.start_daemon("router")
    assert wait_until(
        lambda: lab["lee-srv1"].ping("1.1.1.2"), "a ping to be answered after the daemon's restart"
    )


@tenants
@pytest.mark.parametrize("there", [1, 2])
@pytest.mark.topology(catalog.kim_and_lee, leak=True, router=["smcroute", "pimd"])
def test_control_tenants_in_one_segment_receive_each_others_broadcasts(lab, tenant, there):
    """A deliberate leak: the same datagrams as above reach the other tenant's server."""
    add_neighbour_entries(lab)
    received = payloads_received(lab, tenant, there)
    assert b"for all" in received[f"{OTHER[tenant]}-srv{there}"]


@pytest.mark.topology(catalog.kim_and_lee, family=4)
def test_control_a_capture_that_receives_nothing_is_not_proven_live(lab):
    with lab.capture("kim-srv2", "lee-srv2") as seen:
        seen["kim-srv2"].deafen()
        lab["kim-srv1"].send_marked("1.1.1.2", b"kim only")
        lab["lee-srv1"].send_marked("1.1.1.2", b"lee only")
        seen["lee-srv2"].wait_for_payload(b"lee only")
    assert seen["lee-srv2"].was_live
    assert not seen["kim-srv2"].payloads()
    assert not seen["kim-srv2"].was_live
