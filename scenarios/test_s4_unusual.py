"""4.6 FDB entries with unusual remotes: a group, no address, no route, the own host, the own MAC.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses

import pytest
from fdb_tools import (
    MAC,
    Copy,
    address,
    assert_copies,
    default_copies,
    found_copies,
    omitted_entries,
)

from vxlab import catalog, state
from vxlab.operations import AddFdb

CORE = "drivers/net/vxlan/vxlan_core.c"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
three_ipv4 = pytest.mark.topology(catalog.point_to_point, hosts=3)
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)


def at_b(operation):
    """The remote of the entry for MAC is b, of the family that the remote had."""
    if isinstance(operation, AddFdb) and operation.mac == MAC:
        b = "192.168.57.54" if "." in operation.dst else "fd00:192:168:57::54"
        return dataclasses.replace(operation, dst=b)
    return operation


remote_is_b = pytest.mark.control(
    "the remote of the FDB entry is host b", change=at_b, because=found_copies("b")
)


@pytest.mark.behaviour(
    "frames for a MAC whose FDB entry has a multicast group as its remote are sent to the group",
    source=f"{CORE}: vxlan_xmit_one()",
)
@remote_is_b
@three_ipv4
@both_ways
def test_an_entry_may_send_to_a_group(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, "239.1.1.1"), by=by)
    assert_copies(lab, MAC, [Copy("239.1.1.1", 4789, 42)])


@pytest.mark.behaviour(
    "frames for a MAC whose FDB entry has the remote 0.0.0.0 are dropped, and counted in "
    "tx_dropped but not in tx_errors",
    source=f"{CORE}: vxlan_xmit_one()",
)
@remote_is_b
@three_ipv4
@both_ways
def test_the_remote_zero_drops(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, "0.0.0.0"), by=by)
    before = link_counters(lab)
    assert_copies(lab, MAC, [])
    after = link_counters(lab)
    assert (after.tx_dropped, after.tx_errors) == (before.tx_dropped + 1, before.tx_errors)


@pytest.mark.behaviour(
    "frames for a MAC whose FDB entry has a remote without a route are dropped, and counted in "
    "tx_errors and tx_carrier_errors",
    source=f"{CORE}: vxlan_xmit_one()",
)
@remote_is_b
@three_ipv4
def test_a_remote_without_a_route_is_an_error(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, "198.51.100.1"))
    before = tx_counters(lab)
    assert_copies(lab, MAC, [])
    after = tx_counters(lab)
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert (moved.pop("errors"), moved.pop("carrier_errors")) == (1, 1)
    assert moved == {"packets": 2, "bytes": moved["bytes"]}  # the later frame, to b and to c


def link_counters(lab):
    """The counters of a's vxlan0, of both directions."""
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    return link.counters


def tx_counters(lab):
    """All counters of a's vxlan0 for what it sends."""
    (link,) = lab["a"].ip("-s", "-s", "link", "show", "vxlan0")
    return link["stats64"]["tx"]


@pytest.mark.behaviour(
    "frames for a MAC whose FDB entry has an address of the host itself as its remote are received "
    "by the sending device, and not sent on the underlay",
    source=f"{CORE}: vxlan_encap_bypass()",
)
@remote_is_b
@three
def test_a_remote_that_is_the_host_itself_is_delivered_locally(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "a")))
    before = link_counters(lab)
    assert_copies(lab, MAC, [])
    after = link_counters(lab)
    assert (after.rx_packets, after.tx_errors) == (before.rx_packets + 1, before.tx_errors)


@pytest.mark.behaviour(
    "an FDB entry for the device's own MAC is accepted, and frames for that MAC are sent to the "
    "entry's remote",
    source=f"{CORE}: vxlan_fdb_add()",
)
@pytest.mark.control(
    "the FDB has no entry for the device's own MAC",
    change=omitted_entries(append=False),
    because=found_copies("b", "c"),
)
@three
def test_the_device_s_own_mac_may_have_a_remote(lab):
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    lab.apply(AddFdb("a", "vxlan0", link.mac, address(lab, "c")))
    assert_copies(lab, link.mac, default_copies(lab, "c"))
