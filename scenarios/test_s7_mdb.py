"""7.5 MDB: a multicast group inside the tunnel is sent to remotes of its own, not flooded.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0                        ├── .55 eth0 c
                                    └── .56 eth0 d

Without an MDB entry a floods every multicast group to b, c and d.  The MDB is that of a's vxlan
device.  Groups are of IPv4 or IPv6, and so is the underlay.
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import at
from flood_tools import BROADCAST
from mdb_tools import (
    NO_ENTRIES,
    NONE_DELETED,
    OVERLAYS,
    assert_sent_to,
    changed_entries,
    entry,
    flood_to_b_only,
    four_hosts,
    in_all_families,
    keep_entries,
    make_device,
    no_entries,
    no_entry,
    overlay,
    sent_packets,
    sent_to,
)

from vxlab.operations import AddMdb

XMIT = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_entry_skb_get(), vxlan_mdb_xmit()"
ALL = ["b", "c", "d"]

pytestmark = [pytest.mark.requires("vxlan-mdb"), in_all_families]

NO_FLOODING_TO_C_AND_D = "a's device floods to b only"
entries_with_port_and_vni_of_the_device = changed_entries(port=None, vni=None)


def without_the_catch_all(operation):
    """A control: there is no entry for all groups."""
    if isinstance(operation, AddMdb) and operation.group in ("0.0.0.0", "::"):
        return None
    return operation


def entries_of_the_group(operation):
    """A control: all entries are for the group that is sent to."""
    if not isinstance(operation, AddMdb):
        return operation
    family = "6" if ":" in operation.group else "4"
    return dataclasses.replace(operation, group=OVERLAYS[family].group)


def catch_all_for_both(operation):
    """A control: the entry for all IPv6 groups has the remote of that for all IPv4 groups."""
    if isinstance(operation, AddMdb) and operation.group == "::":
        dst = operation.dst.replace("55", "54")
        return dataclasses.replace(operation, dst=dst)
    return operation


@pytest.mark.behaviour("a multicast group without an MDB entry is flooded", source=XMIT)
@pytest.mark.control(
    "the group has an MDB entry with the remote b",
    change=entries_of_the_group,
    because=f" is {sent_to('b')}, not {sent_to(ALL)}",
)
def test_a_group_without_an_entry_is_flooded(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.other))
    assert_sent_to(lab, ALL, inner.group, inner.source)


@pytest.mark.behaviour(
    "a multicast group with an MDB entry is sent to the remotes of the entry only", source=XMIT
)
@pytest.mark.control(NO_ENTRIES, change=no_entries, because=f" is {sent_to(ALL)}, not")
@pytest.mark.parametrize("hosts", ["b", "c", "bd", "bcd"])
def test_a_group_goes_to_its_remotes_only(lab, chosen, hosts):
    inner = overlay(chosen)
    to_hosts = (entry(lab, inner.group, host) for host in reversed(hosts))
    make_device(lab, entry(lab, inner.spare), *to_hosts)
    assert_sent_to(lab, list(hosts), inner.group, inner.source)
    assert_sent_to(lab, ALL, inner.other, inner.source)
    assert_sent_to(lab, ["b"], inner.spare, inner.source)


@pytest.mark.behaviour(
    "a packet to a multicast IP address in a frame to a broadcast or unicast MAC is flooded, even "
    "if the address has an MDB entry, as has the one for all groups",
    source=XMIT,
)
@pytest.mark.control(
    NO_FLOODING_TO_C_AND_D,
    change=flood_to_b_only,
    because=f" is {sent_to('b')}, not {sent_to(ALL)}",
)
@pytest.mark.parametrize("mac", [BROADCAST, "02:00:00:00:00:99"], ids=["broadcast", "unicast"])
def test_a_frame_to_a_mac_of_no_group_is_flooded(lab, chosen, mac):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group), entry(lab, inner.every))
    assert_sent_to(lab, ["b"], inner.group, inner.source)
    assert_sent_to(lab, ALL, inner.group, inner.source, mac)


@pytest.mark.behaviour(
    "a broadcast is flooded, even with an MDB entry for all groups (0.0.0.0)", source=XMIT
)
@pytest.mark.control(
    NO_FLOODING_TO_C_AND_D,
    change=flood_to_b_only,
    because=f"172.18.1.255 is {sent_to('b')}, not {sent_to(ALL)}",
)
@pytest.mark.topology(four_hosts, families=["4-in-4", "4-in-6"])
def test_a_broadcast_is_flooded(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group), entry(lab, inner.every))
    assert_sent_to(lab, ALL, "172.18.1.255", inner.source, BROADCAST)


@pytest.mark.behaviour(
    "a multicast group is flooded again once the last remote of its MDB entry is deleted",
    source=XMIT,
)
@pytest.mark.control(
    NONE_DELETED, change=keep_entries, because=f" is {sent_to('bc')}, not {sent_to('c')}"
)
def test_without_its_remotes_a_group_is_flooded_again(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, *(entry(lab, inner.group, host) for host in "bc"))
    lab.apply(no_entry(lab, inner.group, "b"))
    assert_sent_to(lab, ["c"], inner.group, inner.source)
    lab.apply(no_entry(lab, inner.group, "c"))
    assert_sent_to(lab, ALL, inner.group, inner.source)


# The fields of an entry, and the VNI and the UDP port of its packets.
OWN = {
    "port": ({"port": 14789}, 42, 14789),
    "vni": ({"vni": 77}, 77, 4789),
    "both": ({"port": 14789, "vni": 16777215}, 16777215, 14789),
}


def assert_sent_as(lab, inner, wanted):
    """Assert that a datagram to the group leaves as these packets: (host, VNI, UDP port)."""
    found = sent_packets(lab, inner.group, inner.source)
    assert found == wanted, f"{inner.group} is sent as (host, VNI, UDP port) {found}"


@pytest.mark.behaviour(
    "a remote in an MDB entry may have a UDP port and a VNI of its own", source=XMIT
)
@pytest.mark.control(
    "the remotes in the MDB entries have the UDP port and VNI of the device",
    change=entries_with_port_and_vni_of_the_device,
    because=r"\(host, VNI, UDP port\) .*\('c', 42, 4789\)",
)
@pytest.mark.parametrize("case", OWN)
def test_a_remote_has_its_own_port_and_vni(lab, chosen, case):
    fields, vni, port = OWN[case]
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group), entry(lab, inner.group, "c", **fields))
    assert_sent_as(lab, inner, [("b", 42, 4789), ("c", vni, port)])


@pytest.mark.behaviour(
    "a remote in an MDB entry may be replaced, with another UDP port and VNI",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_replace()",
)
@pytest.mark.control(
    "the replacement has the UDP port and VNI of the device",
    change=entries_with_port_and_vni_of_the_device,
    because=r"\(host, VNI, UDP port\) \[\('b', 42, 4789\)\]",
)
def test_a_replaced_remote_has_another_port(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group))
    lab.apply(entry(lab, inner.group, port=14789, vni=77, replace=True))
    assert_sent_as(lab, inner, [("b", 77, 14789)])


@pytest.mark.behaviour(
    "a remote in an MDB entry may be a multicast group of the underlay", source=XMIT
)
@pytest.mark.control(
    NO_ENTRIES, change=no_entries, because=rf"is {sent_to(ALL)}, not sent to (239\.2|ff0e::2)"
)
def test_a_remote_may_be_a_group_of_the_underlay(lab, chosen):
    inner = overlay(chosen)
    outer_group = "239.2.2.2" if "." in at(lab, "b") else "ff0e::22"
    make_device(lab, entry(lab, inner.group, outer_group, via="eth0"))
    assert_sent_to(lab, [outer_group], inner.group, inner.source)


@pytest.mark.behaviour(
    "the MDB entry 0.0.0.0 is for all IPv4 groups without an entry of their own, and :: for all "
    "such IPv6 groups",
    source=XMIT,
)
@pytest.mark.control(
    "the MDB has no entry 0.0.0.0 or ::",
    change=without_the_catch_all,
    because=f" is {sent_to(ALL)}, not {sent_to('c')}",
)
def test_the_catch_all_takes_every_other_group(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.every, "c"), entry(lab, inner.group))
    assert_sent_to(lab, ["b"], inner.group, inner.source)
    assert_sent_to(lab, ["c"], inner.other, inner.source)


@pytest.mark.behaviour(
    "the MDB entry 0.0.0.0 is not for IPv6 groups, nor :: for IPv4 groups", source=XMIT
)
@pytest.mark.control(
    "the entry :: has the remote of the entry 0.0.0.0",
    change=catch_all_for_both,
    because=f"ff0e::1 is {sent_to('b')}, not {sent_to('c')}",
)
@pytest.mark.topology(four_hosts, families=["4-in-4", "4-in-6"])
def test_each_family_has_its_catch_all(lab):
    four, six = OVERLAYS["4"], OVERLAYS["6"]
    make_device(lab, entry(lab, "0.0.0.0", "b"), entry(lab, "::", "c"))
    assert_sent_to(lab, ["b"], four.group, four.source)
    assert_sent_to(lab, ["c"], six.group, six.source)
    lab.apply(no_entry(lab, "::", "c"))
    assert_sent_to(lab, ["b"], four.group, four.source)
    assert_sent_to(lab, ALL, six.group, six.source)


@pytest.mark.behaviour(
    "a link-local multicast group (224.0.0.x, ff02::x) is flooded, even with an MDB entry for all "
    "groups (0.0.0.0, ::)",
    source=XMIT,
)
@pytest.mark.control(
    NO_FLOODING_TO_C_AND_D,
    change=flood_to_b_only,
    because=rf"(224\.0\.0\.77|ff02::77) is {sent_to('b')}, not {sent_to(ALL)}",
)
def test_link_local_groups_are_flooded(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.every, "c"))
    assert_sent_to(lab, ["c"], inner.other, inner.source)
    assert_sent_to(lab, ALL, inner.link_local, inner.source)
