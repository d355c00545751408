"""6.4 Route short circuit: frames for a router go to where the router would send them.

    a eth0 .50 ── lan 192.168.57.0 ──┬── .54 eth0 b   the router's MAC is behind b
      vxlan0  rsc                    └── .55 eth0 c   the neighbour 10.9.9.9 (fd09::9) behind c

A frame for a MAC whose forwarding entry has the flag `router` is sent straight to the
neighbour that the device knows for the packet's destination.
"""

from __future__ import annotations

import dataclasses

import pytest
from flood_tools import (
    SENDER,
    carries,
    copies_sent_to,
    datagram_frame,
    send_frames,
    underlay_address,
)
from neighbour_tools import REQUEST, Misses, arp_message

from vxlab import catalog, decapsulate
from vxlab.frames import ip_header
from vxlab.operations import AddFdb, AddNeighbour, SetSysctl

SOURCE = "drivers/net/vxlan/vxlan_core.c: route_shortcircuit()"
ROUTER, MAC = "02:00:00:00:00:fe", "02:00:00:00:00:99"
TARGETS = {"ipv4": "10.9.9.9", "ipv6": "fd09::9"}

both = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
IPV6_ON = SetSysctl("a", "net.ipv6.conf.vxlan0.disable_ipv6", "0")


def short(**attributes):
    """Three hosts; a's device takes short circuits."""
    made = catalog.point_to_point(hosts=3)
    return made.with_vtep("a", "overlay", **{"rsc": True, **attributes})


def know(lab, target, *, state="permanent", mac=MAC, flags=("self", "router"), neighbour=True):
    """Tell a's device of the router behind b and, if so, of the neighbour behind c."""
    lab.apply(
        IPV6_ON,
        AddFdb("a", "vxlan0", ROUTER, underlay_address(lab, "b"), flags=flags),
        AddFdb("a", "vxlan0", MAC, underlay_address(lab, "c")),
    )
    if neighbour:
        lab.apply(AddNeighbour("a", "vxlan0", target, mac, state=state))


def packet(target, data=b"packet"):
    """A frame for the router, with a packet for ``target``."""
    source = "10.1.1.1" if "." in target else "fd01::1"
    return datagram_frame(ROUTER, data, src=source, dst=target)


def sent(lab, frame, data=b"packet"):
    """What a sends for one frame: outer destination, and the inner frame."""
    with lab.capture("a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", frame)
        found = seen["a:eth0"].wait_for(carries(data, lab.topology.ports), "the packet")
    assert len(copies_sent_to(seen["a:eth0"], data)) == 1
    return found.outer_dst, decapsulate(found, lab.topology.ports).inner


def unchanged(lab, found):
    """Whether what was sent went to the router, just as it was."""
    outer, inner = found
    return (outer, inner.dst, inner.src) == (underlay_address(lab, "b"), ROUTER, SENDER)


@pytest.mark.behaviour(
    "a packet for a router goes straight to the neighbour it is for", source=SOURCE
)
@pytest.mark.control("the device has no rsc", vteps={"a": {"rsc": False}})
@pytest.mark.parametrize("state", ["permanent", "reachable", "stale"])
@both
@pytest.mark.topology(short())
def test_a_packet_for_a_router_goes_straight_to_the_neighbour(lab, target, state):
    know(lab, target, state=state)
    outer, inner = sent(lab, packet(target))
    assert (outer, inner.dst, inner.src) == (underlay_address(lab, "c"), MAC, ROUTER)


@pytest.mark.behaviour("the short circuit changes MACs only: no hop is counted", source=SOURCE)
@pytest.mark.control("the device has no rsc", vteps={"a": {"rsc": False}})
@both
@pytest.mark.topology(short())
def test_a_short_circuit_counts_no_hop(lab, target):
    know(lab, target)
    _, inner = sent(lab, packet(target))
    assert inner.data[12:] == packet(target)[12:]  # all behind the MACs, with the TTL
    assert (inner.dst, ip_header(inner.data).ttl) == (MAC, 64)


@pytest.mark.behaviour("without the flag `router` nothing is short", source=SOURCE)
@pytest.mark.control("the entry has it", change=lambda op: as_router(op))
@both
@pytest.mark.topology(short())
def test_without_the_router_flag_a_packet_goes_to_the_router(lab, target):
    know(lab, target, flags=("self",))
    assert unchanged(lab, sent(lab, packet(target)))


def as_router(operation):
    if not isinstance(operation, AddFdb) or operation.mac != ROUTER:
        return operation
    return dataclasses.replace(operation, flags=("self", "router"))


@pytest.mark.behaviour("without rsc the flag `router` means nothing", source=SOURCE)
@pytest.mark.control("the device has rsc", vteps={"a": {"rsc": True}})
@both
@pytest.mark.topology(short(rsc=False))
def test_without_rsc_a_packet_goes_to_the_router(lab, target):
    know(lab, target)
    assert unchanged(lab, sent(lab, packet(target)))


@pytest.mark.behaviour("what is for no known neighbour goes to the router", source=SOURCE)
@pytest.mark.control("the neighbour is known", lab=lambda lab: know_neighbours(lab))
@both
@pytest.mark.topology(short())
def test_a_packet_for_an_unknown_neighbour_goes_to_the_router(lab, target):
    know(lab, target, neighbour=False)
    assert unchanged(lab, sent(lab, packet(target)))


def know_neighbours(lab):
    lab.apply(IPV6_ON)
    for target in TARGETS.values():
        lab.apply(AddNeighbour("a", "vxlan0", target, MAC))


@pytest.mark.behaviour("a neighbour that is the router itself changes nothing", source=SOURCE)
@pytest.mark.control("it is another", change=lambda op: not_the_router(op))
@both
@pytest.mark.topology(short())
def test_a_packet_for_the_router_itself_keeps_its_macs(lab, target):
    know(lab, target, mac=ROUTER)
    assert unchanged(lab, sent(lab, packet(target)))


def not_the_router(operation):
    if not isinstance(operation, AddNeighbour):
        return operation
    return dataclasses.replace(operation, mac=MAC)


@pytest.mark.behaviour("a neighbour whose MAC has no entry is flooded to", source=SOURCE)
@pytest.mark.control("it has an entry", lab=lambda lab: place_mac(lab))
@both
@pytest.mark.topology(short())
def test_a_short_circuit_to_an_unknown_mac_is_flooded(lab, target):
    far = "02:00:00:00:00:98"
    know(lab, target, mac=far)
    with lab.capture("a", "b", "c") as seen:
        send_frames(lab["a"], "vxlan0", packet(target))
        for host in "bc":
            frame = seen[host].wait_for(
                carries(b"packet", lab.topology.ports), "its copy", timeout=3
            )
            inner = decapsulate(frame, lab.topology.ports).inner
            assert (inner.dst, inner.src) == (far, ROUTER)


def place_mac(lab):
    lab.apply(AddFdb("a", "vxlan0", "02:00:00:00:00:98", underlay_address(lab, "c")))


@pytest.mark.behaviour("ARP for a router's MAC is never short", source=SOURCE)
@pytest.mark.control("it is an IPv4 packet", arguments={"frame": packet(TARGETS["ipv4"])})
@pytest.mark.parametrize(
    "frame", [arp_message(REQUEST, "10.1.1.1", TARGETS["ipv4"], to=ROUTER)], ids=["request"]
)
@pytest.mark.topology(short())
def test_arp_for_the_router_is_left_alone(lab, frame):
    know(lab, TARGETS["ipv4"])
    with lab.capture("a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", frame, datagram_frame(MAC, b"behind"))
        seen["a:eth0"].wait_for(carries(b"behind", lab.topology.ports), "what was sent behind")
    found = [row for row in seen["a:eth0"].encapsulated() if row.inner.data[:42] == frame[:42]]
    assert [row.outer_dst for row in found] == [underlay_address(lab, "b")]


@pytest.mark.behaviour("with l3miss an unknown neighbour is an event", source=SOURCE)
@pytest.mark.control("the neighbour is known", lab=lambda lab: know_neighbours(lab))
@both
@pytest.mark.topology(short(l3miss=True))
def test_a_packet_for_an_unknown_neighbour_is_a_miss(lab, target):
    know(lab, target, neighbour=False)
    with Misses(lab["a"]) as misses:
        assert unchanged(lab, sent(lab, packet(target)))
        assert target in misses.all_until_later(lab)


@pytest.mark.behaviour(
    "an answer to the event makes the next packet take the short way", source=SOURCE
)
@pytest.mark.control("nobody answers", without=AddNeighbour)
@both
@pytest.mark.topology(short(l3miss=True))
def test_after_an_answer_to_the_event_the_next_packet_is_short(lab, target):
    know(lab, target, neighbour=False)
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", packet(target, b"first"))
        misses.wait_for(target)
        lab.apply(AddNeighbour("a", "vxlan0", target, MAC))
    outer, inner = sent(lab, packet(target))
    assert (outer, inner.dst) == (underlay_address(lab, "c"), MAC)
