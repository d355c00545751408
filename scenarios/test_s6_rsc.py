"""6.4 Route short circuit: packets to a router's MAC are sent where the router would send them.

    a eth0 .50 ── lan 192.168.57.0 ──┬── .54 eth0 b   the router's MAC is behind b
      vxlan0  rsc                    └── .55 eth0 c   the neighbour 10.9.9.9 (fd09::9) is behind c

With `rsc`, a packet to a MAC whose FDB entry has the flag `router` is sent straight to the
neighbour that the device's neighbour table has for the packet's destination.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

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

from vxlab import catalog, decapsulate, frames
from vxlab.operations import AddFdb, AddNeighbour, SetSysctl

SOURCE = "drivers/net/vxlan/vxlan_core.c: route_shortcircuit()"
ROUTER, MAC, UNPLACED = "02:00:00:00:00:fe", "02:00:00:00:00:99", "02:00:00:00:00:98"
TARGETS = {"ipv4": "10.9.9.9", "ipv6": "fd09::9"}
IPV6_ON = SetSysctl("a", "net.ipv6.conf.vxlan0.disable_ipv6", "0")
WENT_TO_ROUTER, SHORT_CIRCUITED = "the packet went to the router", "the packet was short-circuited"

ipv4_and_ipv6 = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def with_rsc(**attributes):
    """Three hosts; a's device has `rsc`, unless the attributes say otherwise."""
    made = catalog.point_to_point(hosts=3)
    return made.with_vtep("a", "overlay", **{"rsc": True, **attributes})


def add_router(lab, *, flags=("self", "router")):
    """Give a's device the FDB entries of the router's MAC, behind b, and of MAC, behind c."""
    lab.apply(
        IPV6_ON,
        AddFdb("a", "vxlan0", ROUTER, underlay_address(lab, "b"), flags=flags),
        AddFdb("a", "vxlan0", MAC, underlay_address(lab, "c")),
    )


def add_neighbour(lab, target, *, state="permanent", mac=MAC):
    """Put a neighbour into the table of a's device."""
    lab.apply(AddNeighbour("a", "vxlan0", target, mac, state=state))


def packet_for(target, data=b"packet"):
    """A frame to the router's MAC, with a packet to ``target``."""
    source = "10.1.1.1" if "." in target else "fd01::1"
    return datagram_frame(ROUTER, data, src=source, dst=target)


class Sent(NamedTuple):
    """Where a packet was sent: outer destination, inner destination and source MAC."""

    remote: Any
    to: str
    mac: str


def sent_by_a(lab, frame, data=b"packet"):
    """Where a's device sends one frame, and the inner frame."""
    with lab.capture("a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", frame)
        found = seen["a:eth0"].wait_for(carries(data, lab.topology.ports), "the packet")
    assert len(copies_sent_to(seen["a:eth0"], data)) == 1
    inner = decapsulate(found, lab.topology.ports).inner
    return Sent(found.outer_dst, inner.dst, inner.src), inner


def assert_short_circuited(lab, frame):
    """Assert that a's device sends a frame to the neighbour; the inner frame."""
    sent, inner = sent_by_a(lab, frame)
    assert sent == Sent(underlay_address(lab, "c"), MAC, ROUTER), WENT_TO_ROUTER
    return inner


def assert_sent_to_the_router(lab, frame):
    """Assert that a's device sends a frame to the router, with its MACs as they were."""
    sent, _ = sent_by_a(lab, frame)
    wanted = Sent(underlay_address(lab, "b"), ROUTER, SENDER)
    assert sent == wanted, SHORT_CIRCUITED


@pytest.mark.behaviour(
    "with `rsc`, a packet to a router's MAC is sent straight to the VTEP and MAC of the neighbour "
    "that it is addressed to",
    source=SOURCE,
)
@pytest.mark.control("a's device has no `rsc`", vteps={"a": {"rsc": False}}, because=WENT_TO_ROUTER)
@pytest.mark.parametrize("state", ["permanent", "reachable", "stale"])
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc())
def test_a_packet_for_a_router_goes_straight_to_the_neighbour(lab, target, state):
    add_router(lab)
    add_neighbour(lab, target, state=state)
    assert_short_circuited(lab, packet_for(target))


@pytest.mark.behaviour(
    "a short circuit changes only the MACs of a packet: its TTL stays the same", source=SOURCE
)
@pytest.mark.control("a's device has no `rsc`", vteps={"a": {"rsc": False}}, because=WENT_TO_ROUTER)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc())
def test_a_short_circuit_does_not_change_the_ttl(lab, target):
    add_router(lab)
    add_neighbour(lab, target)
    inner = assert_short_circuited(lab, packet_for(target))
    assert inner.data[12:] == packet_for(target)[12:]  # all behind the MACs
    assert frames.ip_header(inner.data).ttl == 64


def with_router_flag(operation):
    """The FDB entry of the router's MAC with the flag `router`."""
    if not isinstance(operation, AddFdb) or operation.mac != ROUTER:
        return operation
    return dataclasses.replace(operation, flags=("self", "router"))


@pytest.mark.behaviour(
    "without the FDB flag `router`, packets are not short-circuited", source=SOURCE
)
@pytest.mark.control(
    "the FDB entry of the router's MAC has the flag `router`",
    change=with_router_flag,
    because=SHORT_CIRCUITED,
)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc())
def test_without_the_router_flag_a_packet_goes_to_the_router(lab, target):
    add_router(lab, flags=("self",))
    add_neighbour(lab, target)
    assert_sent_to_the_router(lab, packet_for(target))


@pytest.mark.behaviour(
    "without `rsc` on the device, packets to a MAC with the FDB flag `router` are not "
    "short-circuited",
    source=SOURCE,
)
@pytest.mark.control("a's device has `rsc`", vteps={"a": {"rsc": True}}, because=SHORT_CIRCUITED)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc(rsc=False))
def test_without_rsc_a_packet_goes_to_the_router(lab, target):
    add_router(lab)
    add_neighbour(lab, target)
    assert_sent_to_the_router(lab, packet_for(target))


def add_neighbours(lab):
    """Put all targets into the neighbour table of a's device."""
    lab.apply(IPV6_ON)
    for target in TARGETS.values():
        add_neighbour(lab, target)


@pytest.mark.behaviour(
    "a packet to an address that is not in the device's neighbour table is sent to the router",
    source=SOURCE,
)
@pytest.mark.control(
    "the address is in the neighbour table of a's device",
    lab=add_neighbours,
    because=SHORT_CIRCUITED,
)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc())
def test_a_packet_for_an_unknown_neighbour_goes_to_the_router(lab, target):
    add_router(lab)
    assert_sent_to_the_router(lab, packet_for(target))


def with_another_mac(operation):
    """The neighbour entry with another MAC than the router's."""
    if not isinstance(operation, AddNeighbour):
        return operation
    return dataclasses.replace(operation, mac=MAC)


@pytest.mark.behaviour(
    "a packet to a neighbour whose entry has the router's own MAC is sent to the router with its "
    "MACs unchanged",
    source=SOURCE,
)
@pytest.mark.control(
    "the neighbour entry has another MAC than the router's",
    change=with_another_mac,
    because=SHORT_CIRCUITED,
)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc())
def test_a_packet_for_the_router_itself_keeps_its_macs(lab, target):
    add_router(lab)
    add_neighbour(lab, target, mac=ROUTER)
    assert_sent_to_the_router(lab, packet_for(target))


def place_mac(lab):
    """Give the MAC an FDB entry with the remote c."""
    lab.apply(AddFdb("a", "vxlan0", UNPLACED, underlay_address(lab, "c")))


@pytest.mark.behaviour(
    "a short-circuited packet to a neighbour whose MAC has no FDB entry is flooded", source=SOURCE
)
@pytest.mark.control(
    "the neighbour's MAC has an FDB entry, with the remote c",
    lab=place_mac,
    because="b/eth0: waited .* for b's copy",
)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc())
def test_a_short_circuit_to_an_unknown_mac_is_flooded(lab, target):
    add_router(lab)
    add_neighbour(lab, target, mac=UNPLACED)
    with lab.capture("a", "b", "c") as seen:
        send_frames(lab["a"], "vxlan0", packet_for(target))
        for host in "bc":
            frame = seen[host].wait_for(
                carries(b"packet", lab.topology.ports), f"{host}'s copy", timeout=3
            )
            inner = decapsulate(frame, lab.topology.ports).inner
            assert (inner.dst, inner.src) == (UNPLACED, ROUTER)


@pytest.mark.behaviour("ARP messages to a router's MAC are not short-circuited", source=SOURCE)
@pytest.mark.control(
    "the frame is an IPv4 packet, not an ARP message",
    arguments={"frame": packet_for(TARGETS["ipv4"])},
    because=f"the frame was sent to the MAC {MAC}",
)
@pytest.mark.parametrize(
    "frame", [arp_message(REQUEST, "10.1.1.1", TARGETS["ipv4"], to=ROUTER)], ids=["request"]
)
@pytest.mark.topology(with_rsc())
def test_arp_for_the_router_is_not_short_circuited(lab, frame):
    add_router(lab)
    add_neighbour(lab, TARGETS["ipv4"])
    with lab.capture("a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", frame, datagram_frame(MAC, b"behind"))
        seen["a:eth0"].wait_for(carries(b"behind", lab.topology.ports), "a later frame")
    packets = seen["a:eth0"].encapsulated()
    (sent,) = [one for one in packets if one.inner.data[12 : len(frame)] == frame[12:]]
    assert sent.inner.dst == ROUTER, f"the frame was sent to the MAC {sent.inner.dst}"
    assert sent.outer_dst == underlay_address(lab, "b")


@pytest.mark.behaviour(
    "with `rsc` and `l3miss`, a packet to an address that is not in the neighbour table is "
    "reported as a miss, and sent to the router",
    source=SOURCE,
)
@pytest.mark.control(
    "the address is in the neighbour table of a's device",
    lab=add_neighbours,
    because="the address was not reported as a miss",
)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc(l3miss=True))
def test_a_packet_for_an_unknown_neighbour_is_reported(lab, target):
    add_router(lab)
    with Misses(lab["a"]) as misses:
        sent, _ = sent_by_a(lab, packet_for(target))
        assert target in misses.all_until_later(lab), "the address was not reported as a miss"
    assert sent == Sent(underlay_address(lab, "b"), ROUTER, SENDER), SHORT_CIRCUITED


@pytest.mark.behaviour(
    "when a miss is answered with a neighbour entry, the next packet is short-circuited",
    source=SOURCE,
)
@pytest.mark.control(
    "the miss is not answered with a neighbour entry", without=AddNeighbour, because=WENT_TO_ROUTER
)
@ipv4_and_ipv6
@pytest.mark.topology(with_rsc(l3miss=True))
def test_after_a_miss_is_answered_the_next_packet_is_short_circuited(lab, target):
    add_router(lab)
    with Misses(lab["a"]) as misses:
        send_frames(lab["a"], "vxlan0", packet_for(target, b"first"))
        misses.wait_for(target)
        add_neighbour(lab, target)
    assert_short_circuited(lab, packet_for(target))
