"""5.6 Groups beyond a router: the TTL, and what happens without its daemon.

a vxlan0 192.168.42.2 ── net1 ── eth0 ┐
b vxlan0 192.168.42.3 ── net2 ── eth1 ┼ router      group 239.1.1.1 (ff08::239:1:1:1)
c vxlan0 192.168.42.4 ── net3 ── eth2 ┘
"""

from __future__ import annotations

import pytest
from flood_tools import (
    BROADCAST,
    address_of,
    carries,
    copies,
    group_of,
    is_tunnel,
    link_of,
    marked,
    send,
)

from vxlab import catalog, wait_until
from vxlab.operations import AddFdb, StartDaemon

TTL = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(): 1 for groups unless set"
FORWARD = "net/ipv4/ipmr.c: ip_mr_forward(); net/ipv6/ip6mr.c: ip6_mr_forward()"


def with_ttl(*, family=4, ttl=None, group=None):
    """Three subnets and a router; a's device with a ttl, where one is given."""
    made = catalog.routed(family=family, ttl=None, port=4789, group=group)
    return made if ttl is None else made.with_vtep("a", "overlay", ttl=ttl)


def wait_for_passage(lab, seen):
    """Send a packet from a through the router to b's network, and wait until it has passed."""
    lab["a"].send_marked(address_of(lab, "b"), b"through")
    seen.wait_for(lambda frame: frame.outgoing and frame.mark == b"through", "what is routed")


@pytest.mark.behaviour("a flood to a group has TTL 1 and dies at the first router", source=TTL)
@pytest.mark.control("a's device has ttl 8", vteps={"a": {"ttl": 8}}, because="wanted no")
@pytest.mark.topology(with_ttl, family=[4, 6])
@pytest.mark.topology(with_ttl, family=[4, 6], ttl=1)
def test_with_ttl_1_a_flood_dies_at_the_first_router(lab):
    flood, tunnel = carries(b"flood", lab.topology.ports), is_tunnel(lab.topology.ports)
    with lab.capture("router:eth0", "router:eth1") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"first"))
        wait_for_route(lab)  # from now on the router itself decides, at once
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"))
        arrived = seen["router:eth0"].wait_for(flood, "the flood to arrive")
        wait_for_passage(lab, seen["router:eth1"])
        seen["router:eth1"].assert_silent(tunnel, "flood behind the router")
    assert arrived.ttl == 1


def wait_for_route(lab):
    """Wait until the router knows where a's flood goes."""
    wanted = address_of(lab, "a"), group_of(lab), False
    wait_until(
        lambda: (
            wanted
            in [
                (row.source, row.group, row.unresolved)
                for row in lab["router"].state.multicast_routes
            ]
        ),
        "a route for a's flood",
    )


@pytest.mark.behaviour("with a higher ttl a flood passes, its TTL one less", source=FORWARD)
@pytest.mark.control("a's device has ttl 1", vteps={"a": {"ttl": 1}})
@pytest.mark.topology(with_ttl, family=[4, 6], ttl=[2, 8, 255])
def test_with_a_higher_ttl_a_flood_passes_the_router(lab):
    sent = dict(lab.topology.host("a").vteps[0].attributes)["ttl"]
    flood = carries(b"flood", lab.topology.ports)
    with lab.capture("b:eth0", "c:eth0") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"))
        for place in seen:
            frame = seen[place].wait_for(flood, "the flood behind the router", timeout=3)
            assert (frame.ttl, frame.outer_dst) == (sent - 1, group_of(lab))


@pytest.mark.behaviour("a router sends one copy out of each other interface", source=FORWARD)
@pytest.mark.control("the router has no daemon", lab=lambda lab: lab.stop_daemon("router"))
@pytest.mark.topology(with_ttl, family=[4, 6], ttl=8)
def test_a_router_sends_one_copy_out_of_each_other_interface(lab):
    flood = carries(b"flood", lab.topology.ports)
    with lab.capture("router:eth0", "router:eth1", "router:eth2") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"))
        for card in ("router:eth1", "router:eth2"):
            seen[card].wait_for(flood, "the flood", timeout=3)
        wait_for_passage(lab, seen["router:eth1"])
    assert {card: len(copies(seen[card], b"flood")) for card in seen} == dict.fromkeys(seen, 1)
    assert [frame.outgoing for frame in seen["router:eth0"].frames if flood(frame)] == [False]


def link_scope(*, family=4, group):
    """The router routes the usual group, for c; a and b are in ``group``."""
    made = with_ttl(family=family, ttl=8, group=group)
    return made.with_vtep("c", "overlay", group=catalog.GROUPS[family])


@pytest.mark.behaviour(
    "a group of the link passes no router, whatever its TTL",
    source="RFC 5771 section 4; RFC 4291 section 2.7",
)
@pytest.mark.control("the group is of wider scope", topology=lambda t: widened(t))
@pytest.mark.topology(link_scope, group="224.0.0.100")
@pytest.mark.topology(link_scope, family=6, group="ff02::100")
def test_a_group_of_the_link_passes_no_router(lab):
    inner, tunnel = "01:00:5e:01:02:03", is_tunnel(lab.topology.ports)
    routed = lab.topology.attributes(lab.topology.host("c"), lab.topology.host("c").vteps[0])
    lab.apply(AddFdb("a", "vxlan0", inner, routed["group"], via="eth0"))
    with lab.capture("router:eth0", "router:eth1", "router:eth2") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"flood"), marked(inner, b"later"))
        arrived = seen["router:eth0"].wait_for(tunnel, "the flood to arrive")
        seen["router:eth2"].wait_for(carries(b"later", lab.topology.ports), "what is routed")
        wait_for_passage(lab, seen["router:eth1"])
    assert (arrived.ttl, arrived.outer_dst) == (8, group_of(lab))
    assert not copies(seen["router:eth1"], b"flood"), "wanted no flood behind the router"


def widened(topology):
    """The same topology, a's and b's group a second one that is not of the link."""
    family = topology.hosts[0].nics[0].interface.version
    return link_scope(family=family, group="239.2.2.2" if family == 4 else "ff08::2:2:2")


@pytest.mark.behaviour(
    "without its daemon a router routes no group; when it is back, the flood passes again",
    source=FORWARD,
)
@pytest.mark.control("the daemon does not come back", without=StartDaemon)
@pytest.mark.topology(with_ttl, family=[4, 6], ttl=8)
def test_after_a_restart_of_the_router_the_flood_passes_again(lab):
    with lab.capture("router:eth1", "b") as seen:
        lab.stop_daemon("router")
        send(lab["a"], "vxlan0", marked(BROADCAST, b"while away"))
        wait_for_passage(lab, seen["router:eth1"])
        lab.start_daemon("router")
        send(lab["a"], "vxlan0", marked(BROADCAST, b"again"))
        seen["b"].wait_for(carries(b"again", lab.topology.ports), "the flood", timeout=3)
    assert copies(seen["b"], b"while away") == []


@pytest.mark.behaviour("what is learned goes on without multicast routing", source=FORWARD)
@pytest.mark.control("a does not learn", vteps={"a": {"learning": False}})
@pytest.mark.topology(catalog.routed, family=[4, 6], port=4789)
def test_learned_unicast_goes_on_without_the_daemon(lab):
    assert lab["a"].ping("192.168.42.3")
    mac = link_of(lab, "b").mac
    with lab.capture("b") as seen:
        lab.stop_daemon("router")
        send(lab["a"], "vxlan0", marked(mac, b"answer"))
        seen["b"].wait_for(carries(b"answer", lab.topology.ports), "the answer", timeout=3)
    assert copies(seen["b"], b"answer") == [address_of(lab, "b")]
