"""6.1 The proxy: a device that answers ARP requests and neighbour solicitations itself.

    a eth0 192.168.57.50 ── lan ── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2             172.18.1.3 vxlan0
        fd42::2   proxy               fd42::3

Requests are sent through a's device, which looks into its own neighbour table.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from flood_tools import SENDER, send_frames, underlay_address
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
MAC, OTHER_MAC = "02:00:00:00:00:77", "02:00:00:00:00:78"
#: The neighbour that is asked for last: with the reply about it, all frames before are dealt with.
LAST, LAST_MAC = "172.18.1.250", "02:00:00:00:00:fa"

arp_and_nd = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


def replies_to(lab, *requests):
    """The frames by which a's device replies to requests."""
    lab.apply(AddNeighbour("a", "vxlan0", LAST, LAST_MAC))
    with lab.capture("a:vxlan0") as seen:
        send_frames(lab["a"], "vxlan0", *requests, request_for(LAST))
        seen["a:vxlan0"].wait_for(is_reply_about(LAST), "the reply to a later request")
    received = [frame for frame in seen["a:vxlan0"].frames if not frame.outgoing]
    messages = [(frame, read_message(frame)) for frame in received]
    return [frame for frame, message in messages if message and message[:2] not in UNRELATED]


#: Other messages that a's device receives: the last reply, and b's duplicate address detection.
UNRELATED = [("reply", LAST), ("request", "fd42::2"), ("request", "fd42::3")]


def changed_entry(operation, **fields):
    """The same operation, the neighbour entry of a target changed."""
    if not isinstance(operation, AddNeighbour) or operation.address == LAST:
        return operation
    return dataclasses.replace(operation, **fields)


def stale_entry(operation):
    return changed_entry(operation, state="stale")


def reachable_entry(operation):
    return changed_entry(operation, state="reachable")


def entry_with_another_mac(operation):
    return changed_entry(operation, mac=OTHER_MAC)


@pytest.mark.behaviour(
    "a device with `proxy` answers requests for neighbours in its neighbour table", source=REDUCE
)
@pytest.mark.control(
    "the neighbour entry is stale", change=stale_entry, because=r"the proxy's replies: \[\]"
)
@pytest.mark.parametrize("state", ["permanent", "noarp", "reachable", "extern_learn"])
@arp_and_nd
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_answers_for_a_neighbour_in_its_table(lab, target, state):
    entry = AddNeighbour("a", "vxlan0", target, MAC, state=state)
    if state == "extern_learn":
        entry = AddNeighbour("a", "vxlan0", target, MAC, "reachable", flags=("extern_learn",))
    lab.apply(entry)
    replies = [read_message(frame) for frame in replies_to(lab, request_for(target))]
    assert replies == [("reply", target, MAC)], f"the proxy's replies: {replies}"


@pytest.mark.behaviour(
    "a proxy's reply is the frame that the neighbour itself would have sent", source=REDUCE
)
@pytest.mark.control(
    "the neighbour entry has another MAC",
    change=entry_with_another_mac,
    because=f"the reply is not the neighbour's own, but one from {OTHER_MAC}",
)
@arp_and_nd
@pytest.mark.topology(proxy_at_a())
def test_a_proxys_reply_looks_like_the_neighbours_own(lab, target):
    lab.apply(AddNeighbour("a", "vxlan0", target, MAC))
    (frame,) = replies_to(lab, request_for(target))
    if ":" in target:  # flags: solicited, override
        wanted = nd_message(
            ADVERTISEMENT, target, mac=MAC, source=target, flags=0x60, to=SENDER, dst=REQUESTER[6]
        )
    else:
        wanted = arp_message(REPLY, target, REQUESTER[4], mac=MAC, target_mac=SENDER, to=SENDER)
    problem = f"the reply is not the neighbour's own, but one from {frame.src}"
    assert frame.data[: len(wanted)] == wanted, problem


def opposite_router_flag(operation):
    """The same FDB entry with the flag `router`, or without it."""
    if not isinstance(operation, AddFdb):
        return operation
    flags = ("self",) if "router" in operation.flags else ("self", "router")
    return dataclasses.replace(operation, flags=flags)


@pytest.mark.behaviour(
    "the router flag of a proxy's neighbour advertisement is that of the MAC's FDB entry",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_na_create()",
)
@pytest.mark.control(
    "the FDB entry has the opposite `router` flag",
    change=opposite_router_flag,
    because="the advertisement's router flag is not the FDB entry's",
)
@pytest.mark.parametrize("router", [True, False], ids=["router", "host"])
@pytest.mark.topology(proxy_at_a())
def test_an_advertisement_has_the_router_flag_of_the_fdb_entry(lab, router):
    flags = ("self", "router") if router else ("self",)
    lab.apply(
        AddNeighbour("a", "vxlan0", TARGETS["nd"], MAC),
        AddFdb("a", "vxlan0", MAC, underlay_address(lab, "b"), flags=flags),
    )
    (frame,) = replies_to(lab, request_for(TARGETS["nd"]))
    found = bool(frame.data[58] & 0x80)  # 14 Ethernet, 40 IPv6, 4 ICMPv6
    assert found is router, "the advertisement's router flag is not the FDB entry's"


@pytest.mark.behaviour(
    "a proxy does not answer for a neighbour whose entry is stale", source=REDUCE
)
@pytest.mark.control(
    "the neighbour entry is reachable",
    change=reachable_entry,
    because=rf"the proxy's replies: \[\('reply', .*'{MAC}'\)\]",
)
@arp_and_nd
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_does_not_answer_for_a_stale_entry(lab, target):
    lab.apply(AddNeighbour("a", "vxlan0", target, MAC, state="stale"))
    replies = [read_message(frame) for frame in replies_to(lab, request_for(target))]
    assert replies == [], f"the proxy's replies: {replies}"


def add_neighbours(lab):
    """Put all targets into the neighbour table of a's device."""
    for target in TARGETS.values():
        lab.apply(AddNeighbour("a", "vxlan0", target, MAC))


@pytest.mark.behaviour(
    "a proxy does not answer for a neighbour that is not in its neighbour table", source=REDUCE
)
@pytest.mark.control(
    "the neighbour is in the neighbour table of a's device",
    lab=add_neighbours,
    because=rf"the proxy's replies: \[\('reply', .*'{MAC}'\)\]",
)
@arp_and_nd
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_does_not_answer_for_an_unknown_neighbour(lab, target):
    replies = [read_message(frame) for frame in replies_to(lab, request_for(target))]
    assert replies == [], f"the proxy's replies: {replies}"


@pytest.mark.behaviour(
    "a proxy does not answer for a MAC whose FDB entry has the remote 0.0.0.0: the MAC is on the "
    "proxy's own side of the tunnel",
    source=REDUCE,
)
@pytest.mark.control(
    "the MAC has no FDB entry",
    without=AddFdb,
    because=rf"the proxy's replies: \[\('reply', .*'{MAC}'\)\]",
)
@arp_and_nd
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_does_not_answer_for_a_mac_of_its_own_side(lab, target):
    lab.apply(AddNeighbour("a", "vxlan0", target, MAC), AddFdb("a", "vxlan0", MAC, dst="0.0.0.0"))
    replies = [read_message(frame) for frame in replies_to(lab, request_for(target))]
    assert replies == [], f"the proxy's replies: {replies}"


@pytest.mark.behaviour(
    "a proxy answers ARP probes and duplicate address detection for neighbours in its table",
    source=REDUCE,
)
@pytest.mark.control(
    "the neighbour entries are stale",
    change=stale_entry,
    because=r"the proxy replied with the MACs \[\]",
)
@pytest.mark.parametrize(
    "frame",
    [arp_message(REQUEST, "0.0.0.0", TARGETS["arp"]), request_for(TARGETS["nd"], source="::")],
    ids=["arp-probe", "dad"],
)
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_answers_probes_for_the_addresses_in_its_table(lab, frame):
    add_neighbours(lab)
    macs = [read_message(reply)[2] for reply in replies_to(lab, frame)]
    assert macs == [MAC], f"the proxy replied with the MACs {macs}"


def enable_ipv6(lab):
    """Enable IPv6 on a's device."""
    lab.apply(SetSysctl("a", "net.ipv6.conf.vxlan0.disable_ipv6", "0"))


@pytest.mark.behaviour(
    "an IPv6 neighbour entry is refused on a device on which IPv6 is disabled",
    source="net/ipv6/ndisc.c: ndisc_allow_add()",
)
@pytest.mark.control(
    "IPv6 is enabled on the device", lab=enable_ipv6, because="DID NOT RAISE ApplyError"
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(catalog.point_to_point())
def test_an_ipv6_neighbour_is_refused_where_ipv6_is_disabled(lab, by):
    with pytest.raises(ApplyError, match="IPv6 is disabled on this device") as refused:
        lab.apply(AddNeighbour("a", "vxlan0", "fd42::77", MAC), by=by)
    if by == "netlink":
        assert refused.value.errno == errno.EINVAL
