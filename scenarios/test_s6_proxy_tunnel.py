"""6.2 The proxy and its tunnel: what of ARP and ND gets through, and what that means.

a eth0 192.168.57.50 ── lan ── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             172.18.1.3 vxlan0
    fd42::2   proxy               fd42::3
"""

from __future__ import annotations

import dataclasses

import pytest
from flood_tools import (
    ANY_MAC,
    BROADCAST,
    SENDER,
    carries,
    counters_of,
    datagram_frame,
    link_of,
    send_frames,
    underlay_address,
)
from neighbour_tools import (
    ADVERTISEMENT,
    REPLY,
    REQUEST,
    TARGETS,
    arp_message,
    is_reply_about,
    nd_message,
    proxy_at_a,
    read_message,
    request_for,
)

from vxlab import catalog
from vxlab.operations import AddNeighbour, DelFdb, FlushFdb, SetSysctl, SetVxlan

ARP_C = "drivers/net/vxlan/vxlan_core.c: arp_reduce()"
REDUCE = "drivers/net/vxlan/vxlan_core.c: arp_reduce(), neigh_reduce()"
MAC = "02:00:00:00:00:77"


#: What a device with proxy keeps for itself, whether it can answer or not.
SWALLOWED = {
    "arp-unknown": request_for(TARGETS["arp"]),
    "arp-known": request_for("172.18.1.3"),
    "arp-unicast": request_for(TARGETS["arp"], to=MAC),
    "arp-reply": arp_message(REPLY, "172.18.1.200", "172.18.1.3", target_mac=MAC, to=MAC),
    "arp-announcement": arp_message(REQUEST, "172.18.1.200", "172.18.1.200"),
    "gratuitous-reply": arp_message(REPLY, "172.18.1.200", "172.18.1.200"),
    "arp-probe": arp_message(REQUEST, "0.0.0.0", "172.18.1.200"),
    "nd-unknown": request_for(TARGETS["nd"]),
    "nd-known": request_for("fd42::3"),
    "dad": request_for(TARGETS["nd"], source="::"),
}


@pytest.mark.behaviour("of a proxy no ARP, and no solicitation, enters the tunnel", source=REDUCE)
@pytest.mark.control("it is no proxy", vteps={"a": {"proxy": False}}, because="wanted no")
@pytest.mark.parametrize("frame", SWALLOWED.values(), ids=SWALLOWED.keys())
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_lets_no_question_into_the_tunnel(lab, frame):
    entries = ("172.18.1.3", "fd42::3")
    lab.apply(*(AddNeighbour("a", "vxlan0", entry, MAC) for entry in entries))
    crossed = sent_through(lab, frame)
    assert told_in(crossed) == [], "wanted no question in the tunnel"


def sent_through(lab, frame):
    """The frames that enter the tunnel from when a frame is sent until one behind it has."""
    with lab.capture("a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", frame, datagram_frame(BROADCAST, b"behind"))
        seen["a:eth0"].wait_for(carries(b"behind", lab.topology.ports), "what was sent behind")
    return [tunnel.inner for tunnel in seen["a:eth0"].encapsulated() if tunnel.inner.outgoing]


def told_in(frames):
    """What those of some frames say that came from the hand-made sender."""
    return [read_message(frame) for frame in frames if frame.src == SENDER and read_message(frame)]


@pytest.mark.behaviour("of a proxy advertisements enter the tunnel", source=REDUCE)
@pytest.mark.control("it has nowhere to send them to", vteps={"a": {"remotes": ()}})
@pytest.mark.parametrize("flags", [0x60, 0x20], ids=["solicited", "unsolicited"])
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_lets_advertisements_into_the_tunnel(lab, flags):
    frame = nd_message(ADVERTISEMENT, "fd42::200", flags=flags)
    assert told_in(sent_through(lab, frame)) == [("reply", "fd42::200", SENDER)]


@pytest.mark.behaviour("what a proxy swallows without an answer is counted nowhere", source=ARP_C)
@pytest.mark.control("it is no proxy", vteps={"a": {"proxy": False}})
@pytest.mark.topology(proxy_at_a())
def test_what_a_proxy_swallows_is_not_counted(lab):
    before = counters_of(lab, "a")
    send_frames(
        lab["a"], "vxlan0", *[request_for(TARGETS["arp"])] * 100
    )  # reports of groups are fewer
    after = counters_of(lab, "a")
    assert after.tx_dropped == before.tx_dropped
    assert after.tx_errors == before.tx_errors
    assert after.tx_packets - before.tx_packets < 50


@pytest.mark.behaviour("a proxy swallows the questions of its own host too", source=ARP_C)
@pytest.mark.control("it is no proxy", vteps={"a": {"proxy": False}})
@pytest.mark.parametrize("address", ["172.18.1.3", "fd42::3"], ids=["arp", "nd"])
@pytest.mark.topology(proxy_at_a())
def test_behind_a_proxy_its_own_host_needs_entries(lab, address):
    assert not lab["a"].ping(address, timeout=0.3)
    own = {"172.18.1.3": "172.18.1.2", "fd42::3": "fd42::2"}[address]
    lab.apply(
        AddNeighbour("a", "vxlan0", address, link_of(lab, "b").mac, replace=True),
        AddNeighbour("b", "vxlan0", own, link_of(lab, "a").mac, replace=True),
    )
    assert lab["a"].ping(address)


@pytest.mark.behaviour("a proxy swallows the ARP replies of its own host", source=ARP_C)
@pytest.mark.control("it is no proxy", vteps={"a": {"proxy": False}})
@pytest.mark.topology(proxy_at_a())
def test_the_host_of_a_proxy_cannot_answer_arp_from_the_tunnel(lab):
    with lab.capture("a:vxlan0") as seen:
        assert not lab["b"].ping("172.18.1.2", timeout=0.3)
        seen["a:vxlan0"].wait_for(
            lambda frame: frame.outgoing and is_reply_about("172.18.1.2")(frame), "a's reply"
        )
    rows = [row for row in lab["b"].state.neighbours if row.address == "172.18.1.2"]
    assert [row.mac for row in rows] == [""]  # asked for, and never told


@pytest.mark.behaviour("the host of a proxy still answers solicitations", source=REDUCE)
@pytest.mark.control("it has nowhere to send answers to", lab=lambda lab: be_lonely(lab))
@pytest.mark.topology(proxy_at_a())
def test_the_host_of_a_proxy_answers_solicitations_from_the_tunnel(lab):
    assert lab["b"].ping("fd42::2", timeout=3)


def be_lonely(lab):
    """Let a neither flood nor learn."""
    lab.apply(
        DelFdb("a", "vxlan0", ANY_MAC, underlay_address(lab, "b"), via="eth0"),
        SetVxlan("a", "vxlan0", (("learning", False),)),
        FlushFdb("a", "vxlan0"),
    )


def answering_for_containers():
    """Containers on two hosts, with IPv4 and IPv6; both devices answer for others."""
    made = catalog.bridged()
    containers = tuple(
        dataclasses.replace(one, addresses=(*one.addresses, f"fd42::{number}/64"))
        for number, one in enumerate(made.containers, 2)
    )
    made = dataclasses.replace(made, containers=containers)
    for host in "ab":
        made = made.with_vtep(host, "overlay", proxy=True)
    return made


@pytest.mark.behaviour(
    "between proxies that know all, containers talk without questions", source=REDUCE
)
@pytest.mark.control("b's device is no proxy", vteps={"b": {"proxy": False}})
@pytest.mark.parametrize("version", [4, 6], ids=["arp", "nd"])
@pytest.mark.topology(answering_for_containers())
def test_containers_talk_without_a_question_in_the_tunnel(lab, version):
    for host, far in (("a", "ns1"), ("b", "ns0")):
        address = overlay_address(lab, far, version)
        mac = lab[far].ip("link", "show", "eth0")[0]["address"]
        lab.apply(SetSysctl(host, "net.ipv6.conf.vxlan0.disable_ipv6", "0"))
        lab.apply(AddNeighbour(host, "vxlan0", address, mac))
    with lab.capture("a") as seen:
        assert lab["ns0"].ping(overlay_address(lab, "ns1", version))
    asked = [
        read_message(tunnel.inner)
        for tunnel in seen["a"].encapsulated()
        if read_message(tunnel.inner)
    ]
    assert [one for one in asked if one[0] == "request"] == [], "wanted no question in the tunnel"


def overlay_address(lab, name, version):
    (container,) = (one for one in lab.topology.containers if one.name == name)
    return container.addresses[version == 6].split("/")[0]
