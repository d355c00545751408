"""5.4 Snooping switches: who of the link gets a copy of what goes to a group.

    a eth0 192.168.10.2 ──┐       ┌── 192.168.10.4 eth0 c      a, b, c: group 239.1.1.1
                          ├─ vbr ─┤                            d: another group
    b eth0 192.168.10.3 ──┘       └── 192.168.10.5 eth0 d

The switch listens to the reports.  It keeps a group to its members only once it knows that a
querier will ask after them: here it is the querier itself.
"""

from __future__ import annotations

import dataclasses

import pytest
from flood_tools import (
    BROADCAST,
    carries,
    counters_of,
    group_of,
    link_of,
    marked,
    ports_of,
    send,
    snooping,
    start_querier,
)

from vxlab import catalog, wait_until
from vxlab.operations import AddLink, SetLink, SetVxlan

FORWARD = "net/bridge/br_input.c: br_handle_frame_finish(); br_multicast_querier_exists()"
OTHER = {4: "239.2.2.2", 6: "ff08::239:2:2:2"}


def sparse(*, family=4, group=None):
    """Four hosts on a snooping switch; d's device is in another group."""
    made = catalog.one_switch(family=family, port=4789, hosts=4, group=group)
    return snooping(made.with_vtep("d", "overlay", group=OTHER[family]))


def deaf(topology):
    """The same topology with a switch that does not snoop."""
    switches = tuple(dataclasses.replace(switch, snooping=False) for switch in topology.switches)
    return dataclasses.replace(topology, switches=switches)


def heard_by(lab, data, *, device="vxlan0"):
    """The hosts other than a whose cards hear what a device of a floods."""
    with lab.capture("b", "c", "d") as seen:
        send(lab["a"], device, marked(BROADCAST, data))
        for host in "bcd":  # what comes by the same way later has come: so has the flood
            lab["a"].send_marked(lab.topology.host(host).nics[0].ip, b"behind " + data)
            seen[host].wait_for_payload(b"behind " + data)
        heard = carries(data, lab.topology.ports)
        return [host for host in "bcd" if any(map(heard, seen[host].frames))]


def wait_for_sparse(lab, *hosts, device="vxlan0"):
    """Wait until the switch keeps a group to its members: some time after its first query."""
    wait_until(
        lambda: heard_by(lab, b"probe", device=device) == list(hosts or "bc"),
        "the switch to keep the group to its members",
        timeout=5,
    )


@pytest.mark.behaviour(
    "with a querier only members get a copy of what goes to a group", source=FORWARD
)
@pytest.mark.control("the switch does not snoop", topology=deaf, because="Timeout")
@pytest.mark.topology(sparse, family=[4, 6])
@pytest.mark.topology(sparse, family=6, group=["ff02::100", "ff05::100"])
def test_with_a_querier_only_members_get_a_copy(lab):
    start_querier(lab)
    wait_for_sparse(lab)
    wait_for_ports(lab, "a", "b", "c")
    assert heard_by(lab, b"for members") == ["b", "c"]
    assert lab["b"].ping("192.168.42.2")


@pytest.mark.behaviour("without a querier a snooping switch floods groups to all", source=FORWARD)
@pytest.mark.control("there is a querier", lab=lambda lab: quietly(lab), because=r"\['b', 'c'\]")
@pytest.mark.topology(sparse, family=[4, 6])
def test_without_a_querier_all_cards_hear_the_flood(lab):
    assert heard_by(lab, b"for all") == ["b", "c", "d"]


def quietly(lab):
    """Start a querier, and wait until it has its effect."""
    start_querier(lab)
    wait_for_sparse(lab)


@pytest.mark.behaviour(
    "a card that hears a group which its host has not joined gives nothing to the device",
    source="net/ipv4/route.c: ip_route_input_rcu(); net/ipv6/ip6_input.c: ip6_mc_input()",
)
@pytest.mark.control(
    "d has joined", topology=lambda t: t.with_vtep("d", "overlay", group=t.segments[0].group)
)
@pytest.mark.topology(sparse, family=[4, 6])
def test_a_device_gets_nothing_of_a_group_it_has_not_joined(lab):
    before = counters_of(lab, "d")
    assert "d" in heard_by(lab, b"for members")
    assert counters_of(lab, "d").rx_packets == before.rx_packets
    send(lab["d"], "vxlan0", marked(BROADCAST, b"own"))  # it works, though
    assert counters_of(lab, "d").tx_packets == before.tx_packets + 1


@pytest.mark.behaviour("a member that joins gets copies from then on", source=FORWARD)
@pytest.mark.known_difference("K61", until="6.1", deadly=True)
@pytest.mark.control("d joins nothing", without=SetVxlan)
@pytest.mark.topology(sparse, family=[4, 6])
def test_with_a_querier_a_host_that_joins_gets_its_copy(lab):
    start_querier(lab)
    wait_for_sparse(lab)
    old = link_of(lab, "d").attributes["group"]
    lab.apply(SetVxlan("d", "vxlan0", (("group", group_of(lab)),)), by="netlink")
    try:
        wait_for_ports(lab, "a", "b", "c", "d")
        assert heard_by(lab, b"for d too") == ["b", "c", "d"]
    finally:  # with another group than it has joined it hangs kernels that have K61
        lab.apply(SetVxlan("d", "vxlan0", (("group", old),)), by="netlink")


def wait_for_ports(lab, *hosts):
    """Wait until the switch knows members behind these ports and no others."""
    wait_until(
        lambda: ports_of(lab, group_of(lab)) == list(hosts),
        f"members behind {' '.join(hosts)}",
        timeout=5,
        found=lambda: str(ports_of(lab, group_of(lab))),
    )


@pytest.mark.behaviour("a member whose device goes down gets no copy any more", source=FORWARD)
@pytest.mark.control("c stays up", without=SetLink)
@pytest.mark.topology(sparse, family=[4, 6])
def test_with_a_querier_a_host_that_leaves_gets_no_copy(lab):
    start_querier(lab)
    wait_for_sparse(lab)
    lab.apply(SetLink("c", "vxlan0", up=False))
    wait_for_ports(lab, "a", "b")
    assert heard_by(lab, b"not for c") == ["b"]


@pytest.mark.behaviour(
    "what goes to a group that nobody else has joined goes nowhere", source=FORWARD
)
@pytest.mark.control("b and c stay members", without=SetLink)
@pytest.mark.topology(sparse, family=[4, 6])
def test_with_a_querier_a_group_without_members_goes_nowhere(lab):
    start_querier(lab)
    wait_for_sparse(lab)
    lab.apply(SetLink("b", "vxlan0", up=False), SetLink("c", "vxlan0", up=False))
    wait_for_ports(lab, "a")
    assert heard_by(lab, b"for nobody") == []


@pytest.mark.behaviour(
    "groups 224.0.0.0/24 are flooded even with a querier; in IPv6 only ff02::1 is",
    source="RFC 4541 section 2.1.2; net/bridge/br_multicast.c: br_multicast_ipv4_rcv()",
)
@pytest.mark.control("a is in another group", vteps={"a": {"group": "239.1.1.1"}})
@pytest.mark.topology(sparse, group="224.0.0.100")
def test_with_a_querier_an_ipv4_group_of_the_link_is_flooded(lab):
    other = (("id", 43), ("group", OTHER[4]), ("dev", "eth0"), ("dstport", 4789))
    lab.apply(AddLink("a", "vxlan1", "vxlan", 0, other, up=True))
    start_querier(lab)
    wait_for_sparse(lab, "d", device="vxlan1")  # d alone is in that group
    assert heard_by(lab, b"link") == ["b", "c", "d"]


@pytest.mark.behaviour("a port with a multicast router behind it gets all groups", source=FORWARD)
@pytest.mark.known_difference("I12", until="6.1", of="iproute2")
@pytest.mark.control("the port is never a router's", arguments={"router": "0"})
@pytest.mark.parametrize("router", ["2"], ids=["always"])
@pytest.mark.topology(sparse, family=[4, 6])
def test_with_a_querier_the_port_of_a_router_gets_all_groups(lab, router):
    start_querier(lab)
    wait_for_sparse(lab)
    lab["vbr"].run("bridge", "link", "set", "dev", "d", "mcast_router", router)
    assert heard_by(lab, b"for the router") == ["b", "c", "d"]


@pytest.mark.behaviour("when the querier has gone groups are flooded again", source=FORWARD)
@pytest.mark.control("the querier stays", arguments={"querier": "1"})
@pytest.mark.parametrize("querier", ["0"], ids=["off"])
@pytest.mark.topology(sparse, family=[4, 6])
def test_when_the_querier_has_gone_groups_are_flooded_again(lab, querier):
    start_querier(lab)
    wait_for_sparse(lab)
    lab["vbr"].run("ip", "link", "set", "switch", "type", "bridge", "mcast_querier", querier)
    assert heard_by(lab, b"for all") == ["b", "c", "d"]
