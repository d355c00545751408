"""5.4 Snooping switches: out of which ports frames to a group are forwarded.

    a eth0 192.168.10.2 ──┐       ┌── 192.168.10.4 eth0 c      a, b, c: group 239.1.1.1
                          ├─ vbr ─┤                            d: another group
    b eth0 192.168.10.3 ──┘       └── 192.168.10.5 eth0 d

The switch snoops: it learns from IGMP and MLD reports behind which ports a group has members.  It
restricts a group to those ports only while a querier is on the link; here it is the querier itself.
"""

from __future__ import annotations

import pytest
from flood_tools import (
    BROADCAST,
    carries,
    counters_of,
    datagram_frame,
    group_of,
    link_of,
    member_ports,
    send_frames,
    start_querier,
    with_snooping,
)

from vxlab import catalog, wait_until
from vxlab.operations import AddLink, SetLink, SetVxlan

FORWARD = "net/bridge/br_input.c: br_handle_frame_finish(); br_multicast_querier_exists()"
OTHER = {4: "239.2.2.2", 6: "ff08::239:2:2:2"}


def four_hosts(*, family=4, group=None):
    """Four hosts on a snooping switch; d's device is in another group."""
    made = catalog.one_switch(family=family, port=4789, hosts=4, group=group)
    return with_snooping(made.with_vtep("d", "overlay", group=OTHER[family]))


def without_snooping(topology):
    """The same topology with a switch that does not snoop."""
    return with_snooping(topology, False)


def d_in_the_group(topology):
    """The same topology with d's device in the group of the others."""
    return topology.with_vtep("d", "overlay", group=topology.segments[0].group)


def receivers_of_flood(lab, data, *, device="vxlan0"):
    """The hosts other than a that receive, on eth0, a frame that a device of a floods."""
    with lab.capture("b", "c", "d") as seen:
        send_frames(lab["a"], device, datagram_frame(BROADCAST, data))
        for host in "bcd":  # a later packet has arrived by the same way: so has the frame
            lab["a"].send_marked(lab.topology.host(host).nics[0].ip, b"behind " + data)
            seen[host].wait_for_payload(b"behind " + data)
        flooded = carries(data, lab.topology.ports)
        return [host for host in "bcd" if any(map(flooded, seen[host].frames))]


def wait_until_restricted(lab, hosts=("b", "c"), device="vxlan0"):
    """Wait until the switch forwards a group to its members only: a while after the first query."""
    wait_until(
        lambda: receivers_of_flood(lab, b"probe", device=device) == list(hosts),
        "the switch to forward the group to its members only",
        timeout=5,
    )


def wait_for_ports(lab, *hosts):
    """Wait until the switch has found members behind these ports and no others."""
    wait_until(
        lambda: member_ports(lab, group_of(lab)) == list(hosts),
        f"the group's members behind {' '.join(hosts)} only",
        timeout=5,
        found=lambda: str(member_ports(lab, group_of(lab))),
    )


def start_effective_querier(lab):
    """Start a querier, and wait until the switch restricts the group."""
    start_querier(lab)
    wait_until_restricted(lab)


@pytest.mark.behaviour(
    "with a querier, a snooping switch forwards frames to a group to its members only, IPv6 groups "
    "of link-local scope included",
    source=FORWARD,
)
@pytest.mark.control(
    "the switch does not snoop",
    topology=without_snooping,
    because="waited .* for the switch to forward the group to its members only",
)
@pytest.mark.topology(four_hosts, family=[4, 6])
@pytest.mark.topology(four_hosts, family=6, group=["ff02::100", "ff05::100"])
def test_with_a_querier_only_members_get_a_copy(lab):
    start_querier(lab)
    wait_until_restricted(lab)
    wait_for_ports(lab, "a", "b", "c")
    assert receivers_of_flood(lab, b"for members") == ["b", "c"]
    assert lab["b"].ping("192.168.42.2")


@pytest.mark.behaviour(
    "without a querier, a snooping switch floods frames to a group out of all ports", source=FORWARD
)
@pytest.mark.control(
    "a querier is on the link",
    lab=start_effective_querier,
    because=r"the frame was received by \['b', 'c'\]",
)
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_without_a_querier_all_hosts_get_a_copy(lab):
    found = receivers_of_flood(lab, b"for all")
    assert found == ["b", "c", "d"], f"the frame was received by {found}"


@pytest.mark.behaviour(
    "frames to a group that a host has not joined may reach its lower device, but not its vxlan "
    "device",
    source="net/ipv4/route.c: ip_route_input_rcu(); net/ipv6/ip6_input.c: ip6_mc_input()",
)
@pytest.mark.control(
    "d's device has joined the group",
    topology=d_in_the_group,
    because="d's vxlan device received the frame",
)
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_a_device_receives_nothing_of_a_group_it_has_not_joined(lab):
    before = counters_of(lab, "d")
    assert "d" in receivers_of_flood(lab, b"for members")
    received = counters_of(lab, "d").rx_packets - before.rx_packets
    assert received == 0, "d's vxlan device received the frame"
    send_frames(lab["d"], "vxlan0", datagram_frame(BROADCAST, b"own"))  # the device does work
    assert counters_of(lab, "d").tx_packets == before.tx_packets + 1


@pytest.mark.behaviour(
    "with a querier, a host that joins a group gets copies from then on", source=FORWARD
)
@pytest.mark.known_difference("K61", until="6.1", deadly=True)
@pytest.mark.control(
    "d's device stays in its other group",
    without=SetVxlan,
    because="waited .* for the group's members behind a b c d only",
)
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_with_a_querier_a_host_that_joins_gets_a_copy(lab):
    start_querier(lab)
    wait_until_restricted(lab)
    old = link_of(lab, "d").attributes["group"]
    lab.apply(SetVxlan("d", "vxlan0", (("group", group_of(lab)),)), by="netlink")
    try:
        wait_for_ports(lab, "a", "b", "c", "d")
        assert receivers_of_flood(lab, b"for d too") == ["b", "c", "d"]
    finally:  # with another group than it has joined it hangs kernels that have K61
        lab.apply(SetVxlan("d", "vxlan0", (("group", old),)), by="netlink")


@pytest.mark.behaviour(
    "with a querier, a host whose device is set down gets no more copies", source=FORWARD
)
@pytest.mark.control(
    "c's device stays up",
    without=SetLink,
    because="waited .* for the group's members behind a b only",
)
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_with_a_querier_a_host_that_leaves_gets_no_copy(lab):
    start_querier(lab)
    wait_until_restricted(lab)
    lab.apply(SetLink("c", "vxlan0", up=False))
    wait_for_ports(lab, "a", "b")
    assert receivers_of_flood(lab, b"not for c") == ["b"]


@pytest.mark.behaviour(
    "with a querier, a frame to a group that no other host has joined is forwarded to no host",
    source=FORWARD,
)
@pytest.mark.control(
    "b and c stay members of the group",
    without=SetLink,
    because="waited .* for the group's members behind a only",
)
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_with_a_querier_a_group_without_other_members_reaches_no_host(lab):
    start_querier(lab)
    wait_until_restricted(lab)
    lab.apply(SetLink("b", "vxlan0", up=False), SetLink("c", "vxlan0", up=False))
    wait_for_ports(lab, "a")
    assert receivers_of_flood(lab, b"for nobody") == []


# In IPv6 only ff02::1 is such a group: see ff02::100 in the first scenario of this chapter.
@pytest.mark.behaviour(
    "frames to a group in 224.0.0.0/24 are flooded out of all ports even with a querier",
    source="RFC 4541 section 2.1.2; net/bridge/br_multicast.c: br_multicast_ipv4_rcv()",
)
@pytest.mark.control(
    "a's device is in group 239.1.1.1",
    vteps={"a": {"group": "239.1.1.1"}},
    because=r"the frame was received by \[\]",
)
@pytest.mark.topology(four_hosts, group="224.0.0.100")
def test_with_a_querier_an_ipv4_link_local_group_is_flooded(lab):
    other = (("id", 43), ("group", OTHER[4]), ("dev", "eth0"), ("dstport", 4789))
    lab.apply(AddLink("a", "vxlan1", "vxlan", 0, other, up=True))
    start_querier(lab)
    wait_until_restricted(lab, ["d"], device="vxlan1")  # only d is in that group
    found = receivers_of_flood(lab, b"link")
    assert found == ["b", "c", "d"], f"the frame was received by {found}"


@pytest.mark.behaviour(
    "a switch port that is set to have a multicast router behind it gets frames to all groups",
    source=FORWARD,
)
@pytest.mark.known_difference("I12", until="6.1", of="iproute2")
@pytest.mark.control(
    "d's port is set to `mcast_router 0`, never a multicast router",
    arguments={"router": "0"},
    because=r"the frame was received by \['b', 'c'\]",
)
@pytest.mark.parametrize("router", ["2"], ids=["always"])
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_with_a_querier_the_port_of_a_router_gets_all_groups(lab, router):
    start_querier(lab)
    wait_until_restricted(lab)
    lab["vbr"].run("bridge", "link", "set", "dev", "d", "mcast_router", router)
    found = receivers_of_flood(lab, b"for the router")
    assert found == ["b", "c", "d"], f"the frame was received by {found}"


@pytest.mark.behaviour(
    "when the querier is switched off, a snooping switch floods frames to groups again",
    source=FORWARD,
)
@pytest.mark.control(
    "the querier is not switched off",
    arguments={"querier": "1"},
    because=r"the frame was received by \['b', 'c'\]",
)
@pytest.mark.parametrize("querier", ["0"], ids=["off"])
@pytest.mark.topology(four_hosts, family=[4, 6])
def test_when_the_querier_has_gone_groups_are_flooded_again(lab, querier):
    start_querier(lab)
    wait_until_restricted(lab)
    lab["vbr"].run("ip", "link", "set", "switch", "type", "bridge", "mcast_querier", querier)
    found = receivers_of_flood(lab, b"for all")
    assert found == ["b", "c", "d"], f"the frame was received by {found}"
