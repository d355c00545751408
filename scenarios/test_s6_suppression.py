"""6.5 Neighbour suppression: the bridge answers, and keeps questions out of the tunnel.

    ns0 eth0 172.18.1.2 ─┐                           ┌─ 172.18.1.4 eth0 ns2
                         ├ br0 ─ vxlan0 a ── b vxlan0 ─ br0 ┤
    ns1 eth0 172.18.1.3 ─┘                           └─ 172.18.1.5 eth0 ns3

ns0 asks by hand.  The bridge of a looks into the neighbour table of br0 and into its own
forwarding entries: the MAC has to be behind a port with `neigh_suppress`.
"""

from __future__ import annotations

import dataclasses

import pytest
from address_tools import wait_for_addresses
from flood_tools import BROADCAST, carries, datagram_frame, link_of, send_frames
from neighbour_tools import (
    ADVERTISEMENT,
    REPLY,
    REQUEST,
    TARGETS,
    arp_message,
    is_reply_about,
    is_request_for,
    nd_message,
    read_message,
    request_for,
)

from vxlab import catalog
from vxlab.operations import AddAddress, AddFdb, AddNeighbour, SetPort, SetSysctl

SOURCE = "net/bridge/br_arp_nd_proxy.c: br_do_proxy_suppress_arp(), br_do_suppress_nd()"
MAC, UNKNOWN = "02:00:00:00:00:77", "02:00:00:00:00:31"
SUPPRESS = SetPort("a", "vxlan0", (("neigh_suppress", True),))
IPV6_ON = SetSysctl("a", "net.ipv6.conf.br0.disable_ipv6", "0")

both = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
bridges = pytest.mark.topology(catalog.bridged(containers=2))


def know(lab, *, port="vxlan0", state="permanent", flags=()):
    """Tell a's bridge of the neighbours, and behind which port they are."""
    lab.apply(IPV6_ON)
    for target in TARGETS.values():
        lab.apply(AddNeighbour("a", "br0", target, MAC, state=state, flags=flags))
    if port:
        lab.apply(AddFdb("a", port, MAC, flags=("master",), state="static"))


@dataclasses.dataclass
class Fate:
    """What became of a frame of ns0: who told it a MAC, and where else the frame was seen."""

    answers: list
    in_tunnel: bool
    at_ns1: bool


def fate_of(lab, frame):
    """Send a frame from ns0, and look where it is when a later one has been everywhere."""
    with lab.capture("a:eth0", "ns0", "ns1") as seen:
        send_frames(lab["ns0"], "eth0", frame, datagram_frame(BROADCAST, b"behind"))
        seen["a:eth0"].wait_for(carries(b"behind", lab.topology.ports), "what is behind it")
        seen["ns1"].wait_for_payload(b"behind")
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"after", mac=UNKNOWN))
        seen["ns0"].wait_for_payload(b"after")
    inside = [tunnel.inner for tunnel in seen["a:eth0"].encapsulated() if tunnel.inner.outgoing]
    heard = [
        read_message(one) for one in seen["ns0"].frames if not one.outgoing and read_message(one)
    ]
    return Fate(
        [mac for verb, _, mac in heard if verb == "reply"],
        any(one.data[: len(frame)] == frame for one in inside),
        any(one.data[: len(frame)] == frame for one in seen["ns1"].frames),
    )


@pytest.mark.behaviour(
    "the bridge answers for a neighbour that it knows behind the port", source=SOURCE
)
@pytest.mark.control("the port does not suppress", without=SetPort)
@pytest.mark.parametrize("state", ["permanent", "noarp", "reachable", "stale"])
@both
@bridges
def test_a_known_neighbour_is_answered_for_and_not_flooded(lab, target, state):
    lab.apply(SUPPRESS)
    know(lab, state=state)
    assert fate_of(lab, request_for(target)) == Fate([MAC], in_tunnel=False, at_ns1=True)


@pytest.mark.behaviour("an entry of a controller (extern_learn) counts as any other", source=SOURCE)
@pytest.mark.control("there is no entry", without=AddNeighbour)
@both
@bridges
def test_an_entry_of_a_controller_is_answered_for(lab, target):
    lab.apply(SUPPRESS)
    know(lab, state="reachable", flags=("extern_learn",))
    flags = [row.flags for row in lab["a"].state.neighbours if row.address == target]
    assert flags == [("extern_learn",)]
    assert fate_of(lab, request_for(target)) == Fate([MAC], in_tunnel=False, at_ns1=True)


@pytest.mark.behaviour("a question about an unknown neighbour is flooded as ever", source=SOURCE)
@pytest.mark.control("it is known", lab=know)
@both
@bridges
def test_a_question_about_an_unknown_neighbour_is_flooded(lab, target):
    lab.apply(SUPPRESS)
    assert fate_of(lab, request_for(target)) == Fate([], in_tunnel=True, at_ns1=True)


@pytest.mark.behaviour("a port that does not suppress gets all questions", source=SOURCE)
@pytest.mark.control("it suppresses", lab=lambda lab: lab.apply(SUPPRESS))
@both
@bridges
def test_without_suppression_a_known_neighbour_is_asked_for(lab, target):
    know(lab)
    assert fate_of(lab, request_for(target)) == Fate([], in_tunnel=True, at_ns1=True)


@pytest.mark.behaviour("a neighbour whose MAC the bridge does not know is asked for", source=SOURCE)
@pytest.mark.control("it knows it", lab=lambda lab: lab.apply(PLACED))
@both
@bridges
def test_a_neighbour_without_a_forwarding_entry_is_asked_for(lab, target):
    lab.apply(SUPPRESS)
    know(lab, port=None)
    assert fate_of(lab, request_for(target)) == Fate([], in_tunnel=True, at_ns1=True)


PLACED = AddFdb("a", "vxlan0", MAC, flags=("master",), state="static")


@pytest.mark.behaviour(
    "a local neighbour answers itself, and the tunnel is not asked", source=SOURCE
)
@pytest.mark.control("it is behind the tunnel", change=lambda op: behind(op, "vxlan0"))
@both
@bridges
def test_a_neighbour_behind_a_local_port_is_asked_there_only(lab, target):
    lab.apply(SUPPRESS)
    know(lab, port="ns1-eth0")
    assert fate_of(lab, request_for(target)) == Fate([], in_tunnel=False, at_ns1=True)


def behind(operation, port):
    """The same forwarding entry behind another port."""
    if not isinstance(operation, AddFdb) or operation.mac != MAC:
        return operation
    return dataclasses.replace(operation, interface=port)


#: What tells all, and asks for no answer.
ANNOUNCEMENTS = {
    "arp-announcement": arp_message(REQUEST, "172.18.1.200", "172.18.1.200"),
    "gratuitous-reply": arp_message(REPLY, "172.18.1.200", "172.18.1.200"),
    "unsolicited-na": nd_message(ADVERTISEMENT, "fd42::200", flags=0x20),
}
#: What asks whether an address is taken.
PROBES = {
    "arp-probe": arp_message(REQUEST, "0.0.0.0", "172.18.1.200"),
    "dad": request_for("fd42::200", source="::"),
}


@pytest.mark.behaviour("announcements stay out of a port that suppresses", source=SOURCE)
@pytest.mark.control("it does not", without=SetPort)
@pytest.mark.parametrize("frame", ANNOUNCEMENTS.values(), ids=ANNOUNCEMENTS.keys())
@bridges
def test_announcements_stay_out_of_the_tunnel(lab, frame):
    lab.apply(SUPPRESS)
    assert fate_of(lab, frame) == Fate([], in_tunnel=False, at_ns1=True)


# Newer kernels let them pass, so that an address that is taken elsewhere is found out.
@pytest.mark.behaviour("probes for an address stay out of a port that suppresses", source=SOURCE)
@pytest.mark.known_difference("K62", since="7.2")
@pytest.mark.control("it does not", without=SetPort)
@pytest.mark.parametrize("frame", PROBES.values(), ids=PROBES.keys())
@bridges
def test_probes_stay_out_of_the_tunnel(lab, frame):
    lab.apply(SUPPRESS)
    assert fate_of(lab, frame) == Fate([], in_tunnel=False, at_ns1=True)


ANSWERS = {
    "arp-reply": arp_message(REPLY, "172.18.1.200", "172.18.1.201", to=UNKNOWN),
    "solicited-na": nd_message(ADVERTISEMENT, "fd42::200", flags=0x60, to=UNKNOWN),
}


@pytest.mark.behaviour("answers pass a port that suppresses", source=SOURCE)
@pytest.mark.control("the port gets no unknown unicast", lab=lambda lab: lab.apply(NO_FLOOD))
@pytest.mark.parametrize("frame", ANSWERS.values(), ids=ANSWERS.keys())
@bridges
def test_answers_pass_into_the_tunnel(lab, frame):
    lab.apply(SUPPRESS)
    assert fate_of(lab, frame).in_tunnel


NO_FLOOD = SetPort("a", "vxlan0", (("flood", False),))


# A host that probes whether a neighbour is still there: older kernels answered that too.
@pytest.mark.behaviour("a question to one MAC is not answered for, known or not", source=SOURCE)
@pytest.mark.known_difference("K54", until="6.18")
@pytest.mark.control("it is to all", arguments={"to": None})
@pytest.mark.parametrize("to", [MAC])
@both
@bridges
def test_a_question_to_one_mac_goes_through(lab, target, to):
    lab.apply(SUPPRESS)
    know(lab)
    frame = request_for(target, to=to) if to else request_for(target)
    assert fate_of(lab, frame) == Fate([], in_tunnel=True, at_ns1=False)


@pytest.mark.behaviour("questions from the tunnel are not answered for", source=SOURCE)
@pytest.mark.control("vxlan0 does not suppress", change=lambda op: None if op == SUPPRESS else op)
@both
@bridges
def test_questions_from_the_tunnel_are_not_answered_for(lab, target):
    lab.apply(SUPPRESS, SetPort("a", "ns1-eth0", (("neigh_suppress", True),)))
    know(lab, port="ns1-eth0")
    with lab.capture("ns0", "a:eth0") as seen:
        send_frames(lab["ns2"], "eth0", request_for(target))
        seen["ns0"].wait_for(is_request_for(target), "the question from the tunnel")
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"later"))
        seen["a:eth0"].wait_for(carries(b"later", lab.topology.ports), "a later frame")
    inside = [tunnel.inner for tunnel in seen["a:eth0"].encapsulated()]
    assert [read_message(inner) for inner in inside if is_reply_about(target)(inner)] == []


@pytest.mark.behaviour("what is asked about the bridge itself stays on its side", source=SOURCE)
@pytest.mark.control("the port does not suppress", without=SetPort)
@pytest.mark.parametrize("address", ["172.18.1.99", "fd42::99"], ids=["arp", "nd"])
@bridges
def test_a_question_about_the_bridge_itself_stays_here(lab, address):
    prefix = "/64" if ":" in address else "/24"
    lab.apply(SUPPRESS, IPV6_ON, AddAddress("a", "br0", address + prefix))
    wait_for_addresses(lab, "a")
    own = link_of(lab, "a", "br0").mac  # it is the host that answers
    assert fate_of(lab, request_for(address)) == Fate([own], in_tunnel=False, at_ns1=True)


@pytest.mark.behaviour("the setting of a port reads back", source="man 8 bridge: neigh_suppress")
@pytest.mark.control("it is not set", without=SetPort)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("name", ["neigh_suppress", "isolated"])
@bridges
def test_the_setting_of_a_port_reads_back(lab, name, by):
    lab.apply(SetPort("a", "vxlan0", ((name, True),)), by=by)
    (row,) = lab["a"].bridge("-d", "link", "show", "dev", "vxlan0")
    assert (row[name], bool(link_of(lab, "a").port[name])) == (True, True)


def isolate(*ports):
    return [SetPort("a", port, (("isolated", True),)) for port in ports]


@pytest.mark.behaviour("two isolated ports do not meet", source="man 8 bridge: isolated")
@pytest.mark.control("none is isolated", without=SetPort)
@bridges
def test_an_isolated_endpoint_does_not_reach_an_isolated_tunnel(lab):
    lab.apply(*isolate("vxlan0", "ns0-eth0"))
    with lab.capture("a:eth0", "ns1") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"isolated"))
        seen["ns1"].wait_for_payload(b"isolated")
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"free", mac=UNKNOWN))
        seen["a:eth0"].wait_for(carries(b"free", lab.topology.ports), "what ns1 sends")
        seen["a:eth0"].assert_silent(carries(b"isolated", lab.topology.ports), "ns0's frame")


@pytest.mark.behaviour("an isolated port meets all that are not", source="man 8 bridge: isolated")
@pytest.mark.control("the other is isolated too", lab=lambda lab: lab.apply(*isolate("ns0-eth0")))
@bridges
def test_an_endpoint_that_is_not_isolated_reaches_an_isolated_tunnel(lab):
    lab.apply(*isolate("vxlan0"))
    with lab.capture("ns2") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"free"))
        seen["ns2"].wait_for_payload(b"free", timeout=3)
    assert seen["ns2"].payloads() == [b"free"]
