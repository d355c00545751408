"""6.1 The proxy: a device that answers questions for neighbours itself.

    a eth0 192.168.57.50 ── lan ── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2             172.18.1.3 vxlan0
        fd42::2   proxy               fd42::3

Questions (ARP, neighbour solicitations) are handed to a's device, which looks into its own
neighbour table.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from flood_tools import (
    SENDER,
    send_frames,
    underlay_address,
)
from neighbour_tools import (
    ADVERTISEMENT,
    REPLY,
    REQUEST,
    REQUESTER,
    TARGETS,
    arp_message,
    is_reply_about,
    nd_message,
    proxy_at_a,
    read_message,
    request_for,
)

from vxlab import ApplyError, catalog
from vxlab.operations import AddFdb, AddNeighbour, SetSysctl

REDUCE = "drivers/net/vxlan/vxlan_core.c: arp_reduce(), neigh_reduce()"
MAC = "02:00:00:00:00:77"
LAST, LAST_MAC = "172.18.1.250", "02:00:00:00:00:fa"

both = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def asked(lab, *frames):
    """Captures of what a's device does with frames; it has done with them when that is over."""
    lab.apply(AddNeighbour("a", "vxlan0", LAST, LAST_MAC))
    with lab.capture("a:vxlan0") as seen:
        send_frames(lab["a"], "vxlan0", *frames, request_for(LAST))
        seen["a:vxlan0"].wait_for(is_reply_about(LAST), "the answer to a later question")
    return seen["a:vxlan0"]


def answers(seen):
    """What was answered before the last: frames."""
    return [
        frame
        for frame in seen.frames
        if not frame.outgoing and read_message(frame) and read_message(frame)[:2] not in OTHERS
    ]


OTHERS = [("reply", LAST), *(("request", f"fd42::{number}") for number in (2, 3))]


@pytest.mark.behaviour(
    "with proxy a device answers for the neighbours that it knows", source=REDUCE
)
@pytest.mark.control("the entry is stale", change=lambda op: staled(op))
@pytest.mark.parametrize("state", ["permanent", "noarp", "reachable", "extern_learn"])
@both
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_answers_for_a_neighbour_that_it_knows(lab, target, state):
    entry = AddNeighbour("a", "vxlan0", target, MAC, state=state)
    if state == "extern_learn":
        entry = AddNeighbour("a", "vxlan0", target, MAC, "reachable", flags=("extern_learn",))
    lab.apply(entry)
    found = answers(asked(lab, request_for(target)))
    assert [read_message(frame) for frame in found] == [("reply", target, MAC)]


def staled(operation):
    """The same entry, but not one that counts as known."""
    if not isinstance(operation, AddNeighbour) or operation.address == LAST:
        return operation
    return dataclasses.replace(operation, state="stale")


@pytest.mark.behaviour("the answer looks as if the neighbour had sent it", source=REDUCE)
@pytest.mark.control("the entry has another MAC", change=lambda op: moved(op))
@both
@pytest.mark.topology(proxy_at_a())
def test_the_answer_looks_like_the_neighbours_own(lab, target):
    lab.apply(AddNeighbour("a", "vxlan0", target, MAC))
    (frame,) = answers(asked(lab, request_for(target)))
    version = 6 if ":" in target else 4
    if version == 4:
        wanted = arp_message(REPLY, target, REQUESTER[4], mac=MAC, target_mac=SENDER, to=SENDER)
    else:  # solicited, override
        wanted = nd_message(
            ADVERTISEMENT, target, mac=MAC, source=target, flags=0x60, to=SENDER, dst=REQUESTER[6]
        )
    assert frame.data[: len(wanted)] == wanted


def moved(operation):
    """The same entry with another MAC."""
    if not isinstance(operation, AddNeighbour) or operation.address == LAST:
        return operation
    return dataclasses.replace(operation, mac="02:00:00:00:00:78")


@pytest.mark.behaviour(
    "the router flag of an advertisement is that of the forwarding entry",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_na_create()",
)
@pytest.mark.control("the flag is the other one", change=lambda op: flipped(op))
@pytest.mark.parametrize("router", [True, False], ids=["router", "host"])
@pytest.mark.topology(proxy_at_a())
def test_an_advertisement_has_the_router_flag_of_the_forwarding_entry(lab, router):
    flags = ("self", "router") if router else ("self",)
    lab.apply(
        AddNeighbour("a", "vxlan0", TARGETS["nd"], MAC),
        AddFdb("a", "vxlan0", MAC, underlay_address(lab, "b"), flags=flags),
    )
    (frame,) = answers(asked(lab, request_for(TARGETS["nd"])))
    assert bool(frame.data[58] & 0x80) is router  # 14 Ethernet, 40 IPv6, 4 ICMPv6


def flipped(operation):
    if not isinstance(operation, AddFdb):
        return operation
    flags = ("self",) if "router" in operation.flags else ("self", "router")
    return dataclasses.replace(operation, flags=flags)


@pytest.mark.behaviour("a proxy is silent where the entry is stale", source=REDUCE)
@pytest.mark.control("it is reachable", change=lambda op: refreshed(op))
@both
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_is_silent_for_a_stale_entry(lab, target):
    lab.apply(AddNeighbour("a", "vxlan0", target, MAC, state="stale"))
    assert answers(asked(lab, request_for(target))) == []


def refreshed(operation):
    if not isinstance(operation, AddNeighbour) or operation.address == LAST:
        return operation
    return dataclasses.replace(operation, state="reachable")


@pytest.mark.behaviour("a proxy is silent for a neighbour that it does not know", source=REDUCE)
@pytest.mark.control("it knows it", lab=lambda lab: know_all(lab))
@both
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_is_silent_for_an_unknown_neighbour(lab, target):
    assert answers(asked(lab, request_for(target))) == []


def know_all(lab):
    for target in TARGETS.values():
        lab.apply(AddNeighbour("a", "vxlan0", target, MAC))


@pytest.mark.behaviour(
    "a proxy is silent for a MAC of its own side: one whose forwarding entry has no remote",
    source=REDUCE,
)
@pytest.mark.control("it has none such entry", without=AddFdb)
@both
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_is_silent_for_a_mac_of_its_own_side(lab, target):
    lab.apply(AddNeighbour("a", "vxlan0", target, MAC), AddFdb("a", "vxlan0", MAC, dst="0.0.0.0"))
    assert answers(asked(lab, request_for(target))) == []


@pytest.mark.behaviour("the test of an address for duplicates is answered too", source=REDUCE)
@pytest.mark.control("the entry is stale", change=lambda op: staled(op))
@pytest.mark.parametrize(
    "frame",
    [arp_message(REQUEST, "0.0.0.0", TARGETS["arp"]), request_for(TARGETS["nd"], source="::")],
    ids=["arp-probe", "dad"],
)
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_defends_the_addresses_that_it_knows(lab, frame):
    know_all(lab)
    assert [read_message(found)[2] for found in answers(asked(lab, frame))] == [MAC]


@pytest.mark.behaviour(
    "neighbours of IPv6 need IPv6 on the device", source="net/ipv6/ndisc.c: ndisc_allow_add()"
)
@pytest.mark.control("it is on", lab=lambda lab: lab.apply(IPV6_ON), because="DID NOT RAISE")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.point_to_point())
def test_an_ipv6_neighbour_is_refused_where_ipv6_is_off(lab, by):
    with pytest.raises(ApplyError, match="IPv6 is disabled on this device") as refused:
        lab.apply(AddNeighbour("a", "vxlan0", "fd42::77", MAC), by=by)
    if by == "netlink":
        assert refused.value.errno == errno.EINVAL


IPV6_ON = SetSysctl("a", "net.ipv6.conf.vxlan0.disable_ipv6", "0")
