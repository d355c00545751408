"""4.6 Entries with unusual remotes: a group, nothing, no route, the host itself, the own MAC.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses

import pytest
from fdb_tools import MAC, Copy, address, collected_copies

from vxlab import catalog, state
from vxlab.operations import AddFdb

CORE = "drivers/net/vxlan/vxlan_core.c"

both = pytest.mark.parametrize("by", ["netlink", "iproute2"])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)


@pytest.mark.behaviour("an entry may send to a multicast group", source=f"{CORE}: vxlan_xmit_one()")
@pytest.mark.control(
    "the remote is b",
    change=lambda made: (
        dataclasses.replace(made, dst="192.168.57.54")
        if isinstance(made, AddFdb) and made.mac == MAC
        else made
    ),
    because="assert",
)
@pytest.mark.topology(catalog.point_to_point, hosts=3)
@both
def test_an_entry_may_name_a_group(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, "239.1.1.1"), by=by)
    assert collected_copies(lab, MAC) == [Copy("239.1.1.1", 4789, 42)]


@pytest.mark.behaviour(
    "an entry without a usable remote drops its frames, and counts tx_dropped",
    source=f"{CORE}: vxlan_xmit_one()",
)
@pytest.mark.control(
    "the remote is b",
    change=lambda made: (
        dataclasses.replace(made, dst="192.168.57.54")
        if isinstance(made, AddFdb) and made.mac == MAC
        else made
    ),
    because="assert",
)
@pytest.mark.topology(catalog.point_to_point, hosts=3)
@both
def test_the_unspecified_remote_drops(lab, by):
    lab.apply(AddFdb("a", "vxlan0", MAC, "0.0.0.0"), by=by)
    before = counters(lab)
    assert collected_copies(lab, MAC) == []
    after = counters(lab)
    assert (after.tx_dropped, after.tx_errors) == (before.tx_dropped + 1, before.tx_errors)


@pytest.mark.behaviour(
    "a remote without a route counts tx_errors and tx_carrier_errors",
    source=f"{CORE}: vxlan_xmit_one()",
)
@pytest.mark.control(
    "the remote is b",
    change=lambda made: (
        dataclasses.replace(made, dst="192.168.57.54")
        if isinstance(made, AddFdb) and made.mac == MAC
        else made
    ),
    because="assert",
)
@pytest.mark.topology(catalog.point_to_point, hosts=3)
def test_a_remote_without_a_route_is_an_error(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, "198.51.100.1"))
    before = sent(lab)
    assert collected_copies(lab, MAC) == []
    after = sent(lab)
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert (moved.pop("errors"), moved.pop("carrier_errors")) == (1, 1)
    assert moved == {"packets": 2, "bytes": moved["bytes"]}  # the later frame, to b and to c


def counters(lab):
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    return link.counters


def sent(lab):
    """All that a's vxlan0 counts of what it sends."""
    (link,) = lab["a"].ip("-s", "-s", "link", "show", "vxlan0")
    return link["stats64"]["tx"]


@pytest.mark.behaviour(
    "an entry whose remote is the host itself comes back to the device",
    source=f"{CORE}: vxlan_encap_bypass()",
)
@pytest.mark.control(
    "the remote is another host",
    change=lambda made: (
        dataclasses.replace(made, dst=other_host(made.dst))
        if isinstance(made, AddFdb) and made.mac == MAC
        else made
    ),
    because="assert",
)
@three
def test_a_remote_that_is_the_host_itself_comes_back(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "a")))
    before = counters(lab)
    assert collected_copies(lab, MAC) == []  # nothing leaves the host
    after = counters(lab)
    assert (after.rx_packets, after.tx_errors) == (before.rx_packets + 1, before.tx_errors)


def other_host(dst):
    return "192.168.57.54" if "." in dst else "fd00:192:168:57::54"


@pytest.mark.behaviour(
    "an entry for the device's own MAC is taken, and sends away what is for it",
    source=f"{CORE}: vxlan_fdb_add()",
)
@pytest.mark.control("there is no such entry", change=lambda made: not_own(made), because="assert")
@three
def test_the_device_s_own_mac_may_be_elsewhere(lab):
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    lab.apply(AddFdb("a", "vxlan0", link.mac, address(lab, "c")))
    assert collected_copies(lab, link.mac) == [Copy(address(lab, "c"), 4789, 42)]


def not_own(made):
    return None if isinstance(made, AddFdb) and made.dst and not made.append else made
