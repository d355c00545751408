"""6.5 Neighbour suppression: the bridge answers requests, and keeps them out of the tunnel.

    ns0 eth0 172.18.1.2 ─┐                           ┌─ 172.18.1.4 eth0 ns2
                         ├ br0 ─ vxlan0 a ── b vxlan0 ─ br0 ┤
    ns1 eth0 172.18.1.3 ─┘                           └─ 172.18.1.5 eth0 ns3

Requests are sent from ns0.  The bridge of a looks into the neighbour table of br0 and into its own
FDB: it answers where the neighbour's MAC is behind a port with `neigh_suppress`.
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

arp_and_nd = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
bridges = pytest.mark.topology(catalog.bridged(containers=2))


def add_neighbours(lab, *, state="permanent", flags=()):
    """Put all targets into the neighbour table of a's bridge."""
    lab.apply(IPV6_ON)
    for target in TARGETS.values():
        lab.apply(AddNeighbour("a", "br0", target, MAC, state=state, flags=flags))


def add_entry(lab, port="vxlan0"):
    """Give a's bridge an FDB entry of the targets' MAC, behind a port."""
    lab.apply(AddFdb("a", port, MAC, flags=("master",), state="static"))


def add_neighbours_and_entry(lab):
    """Let a's bridge have all that it needs to answer: neighbours, and their MAC's FDB entry."""
    add_neighbours(lab)
    add_entry(lab)


def suppress(lab):
    """Set `neigh_suppress` on a's bridge port to the tunnel."""
    lab.apply(SUPPRESS)


@dataclasses.dataclass
class Outcome:
    """What became of a frame of ns0: the MACs in replies to ns0, and where it was sent."""

    replies: list
    in_tunnel: bool
    at_ns1: bool

    def __str__(self):
        places = []
        if self.in_tunnel:
            places.append("into the tunnel")
        if self.at_ns1:
            places.append("to ns1")
        replies = ", ".join(self.replies) or "no MAC"
        return f"replies with {replies}; sent {' and '.join(places) or 'nowhere'}"


#: What controls expect: the bridge answered in place of the neighbour, or it did not.
ANSWERED = f"outcome: replies with {MAC}; sent to ns1\n"
FLOODED = "outcome: replies with no MAC; sent into the tunnel and to ns1\n"


def outcome_of(lab, frame):
    """Send a frame from ns0, and see where it is when later frames have been everywhere."""
    with lab.capture("a:eth0", "ns0", "ns1") as seen:
        send_frames(lab["ns0"], "eth0", frame, datagram_frame(BROADCAST, b"behind"))
        seen["a:eth0"].wait_for(carries(b"behind", lab.topology.ports), "a later frame")
        seen["ns1"].wait_for_payload(b"behind")
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"after", mac=UNKNOWN))
        seen["ns0"].wait_for_payload(b"after")
    inside = [packet.inner for packet in seen["a:eth0"].encapsulated() if packet.inner.outgoing]
    messages = [read_message(one) for one in seen["ns0"].frames if not one.outgoing]
    return Outcome(
        [message[2] for message in messages if message and message[0] == "reply"],
        any(one.data[: len(frame)] == frame for one in inside),
        any(one.data[: len(frame)] == frame for one in seen["ns1"].frames),
    )


def assert_outcome(lab, frame, *, replies, in_tunnel, at_ns1):
    """Send a frame from ns0, and assert what becomes of it."""
    found = outcome_of(lab, frame)
    assert found == Outcome(replies, in_tunnel, at_ns1), f"outcome: {found}"


@pytest.mark.behaviour(
    "a bridge answers a request for a neighbour in its table whose MAC is behind a port with "
    "`neigh_suppress`, and does not send the request out of that port",
    source=SOURCE,
)
@pytest.mark.control(
    "the port to the tunnel has no `neigh_suppress`", without=SetPort, because=FLOODED
)
@pytest.mark.parametrize("state", ["permanent", "noarp", "reachable", "stale"])
@arp_and_nd
@bridges
def test_the_bridge_answers_for_a_known_neighbour(lab, target, state):
    suppress(lab)
    add_neighbours(lab, state=state)
    add_entry(lab)
    assert_outcome(lab, request_for(target), replies=[MAC], in_tunnel=False, at_ns1=True)


@pytest.mark.behaviour(
    "with `neigh_suppress`, a bridge answers also for neighbour entries with the flag "
    "extern_learn, which a controller adds",
    source=SOURCE,
)
@pytest.mark.control("the neighbour has no entry", without=AddNeighbour, because=FLOODED)
@arp_and_nd
@bridges
def test_the_bridge_answers_for_an_extern_learn_entry(lab, target):
    suppress(lab)
    add_neighbours(lab, state="reachable", flags=("extern_learn",))
    add_entry(lab)
    assert_outcome(lab, request_for(target), replies=[MAC], in_tunnel=False, at_ns1=True)
    flags = [row.flags for row in lab["a"].state.neighbours if row.address == target]
    assert flags == [("extern_learn",)]


@pytest.mark.behaviour(
    "a request for an unknown neighbour is flooded into the tunnel even by a port with "
    "`neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control(
    "the neighbour is in the bridge's neighbour table, and its MAC in the FDB",
    lab=add_neighbours_and_entry,
    because=ANSWERED,
)
@arp_and_nd
@bridges
def test_a_request_for_an_unknown_neighbour_is_flooded(lab, target):
    suppress(lab)
    assert_outcome(lab, request_for(target), replies=[], in_tunnel=True, at_ns1=True)


@pytest.mark.behaviour(
    "without `neigh_suppress` on the port, a request for a known neighbour is flooded into the "
    "tunnel",
    source=SOURCE,
)
@pytest.mark.control("the port has `neigh_suppress`", lab=suppress, because=ANSWERED)
@arp_and_nd
@bridges
def test_without_suppression_a_request_for_a_known_neighbour_is_flooded(lab, target):
    add_neighbours_and_entry(lab)
    assert_outcome(lab, request_for(target), replies=[], in_tunnel=True, at_ns1=True)


@pytest.mark.behaviour(
    "a request for a neighbour in the table whose MAC has no FDB entry in the bridge is flooded "
    "into the tunnel even by a port with `neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control(
    "the neighbour's MAC has an FDB entry behind the port", lab=add_entry, because=ANSWERED
)
@arp_and_nd
@bridges
def test_a_request_for_a_neighbour_without_an_fdb_entry_is_flooded(lab, target):
    suppress(lab)
    add_neighbours(lab)
    assert_outcome(lab, request_for(target), replies=[], in_tunnel=True, at_ns1=True)


def entry_behind_the_tunnel(operation):
    """The FDB entry of the targets' MAC behind the port to the tunnel."""
    if not isinstance(operation, AddFdb) or operation.mac != MAC:
        return operation
    return dataclasses.replace(operation, interface="vxlan0")


@pytest.mark.behaviour(
    "a request for a neighbour behind a local port without `neigh_suppress` is left to the "
    "neighbour to answer, and not sent out of the port with `neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control(
    "the neighbour's MAC is behind the port to the tunnel",
    change=entry_behind_the_tunnel,
    because=ANSWERED,
)
@arp_and_nd
@bridges
def test_a_request_for_a_local_neighbour_stays_out_of_the_tunnel(lab, target):
    suppress(lab)
    add_neighbours(lab)
    add_entry(lab, "ns1-eth0")
    assert_outcome(lab, request_for(target), replies=[], in_tunnel=False, at_ns1=True)


#: Messages to all hosts that ask for no answer.
ANNOUNCEMENTS = {
    "arp-announcement": arp_message(REQUEST, "172.18.1.200", "172.18.1.200"),
    "gratuitous-reply": arp_message(REPLY, "172.18.1.200", "172.18.1.200"),
    "unsolicited-na": nd_message(ADVERTISEMENT, "fd42::200", flags=0x20),
}
#: Messages that ask whether an address is in use.
PROBES = {
    "arp-probe": arp_message(REQUEST, "0.0.0.0", "172.18.1.200"),
    "dad": request_for("fd42::200", source="::"),
}


@pytest.mark.behaviour(
    "gratuitous ARP messages and unsolicited neighbour advertisements are not sent out of a port "
    "with `neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control("the port has no `neigh_suppress`", without=SetPort, because=FLOODED)
@pytest.mark.parametrize("frame", ANNOUNCEMENTS.values(), ids=ANNOUNCEMENTS.keys())
@bridges
def test_announcements_stay_out_of_the_tunnel(lab, frame):
    suppress(lab)
    assert_outcome(lab, frame, replies=[], in_tunnel=False, at_ns1=True)


# Newer kernels forward them, so that an address that is in use behind the tunnel is found out.
@pytest.mark.behaviour(
    "ARP probes and the solicitations of duplicate address detection are not sent out of a port "
    "with `neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.known_difference("K62", since="7.2")
@pytest.mark.control("the port has no `neigh_suppress`", without=SetPort, because=FLOODED)
@pytest.mark.parametrize("frame", PROBES.values(), ids=PROBES.keys())
@bridges
def test_probes_stay_out_of_the_tunnel(lab, frame):
    suppress(lab)
    assert_outcome(lab, frame, replies=[], in_tunnel=False, at_ns1=True)


REPLIES = {
    "arp-reply": arp_message(REPLY, "172.18.1.200", "172.18.1.201", to=UNKNOWN),
    "solicited-na": nd_message(ADVERTISEMENT, "fd42::200", flags=0x60, to=UNKNOWN),
}


def stop_unicast_flooding(lab):
    """Let a's bridge flood no unknown unicast out of the port to the tunnel."""
    lab.apply(SetPort("a", "vxlan0", (("flood", False),)))


@pytest.mark.behaviour(
    "ARP replies and solicited neighbour advertisements are sent out of a port with "
    "`neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control(
    "the port has `flood off`, so that it gets no unknown unicast",
    lab=stop_unicast_flooding,
    because="outcome: replies with no MAC; sent to ns1\n",
)
@pytest.mark.parametrize("frame", REPLIES.values(), ids=REPLIES.keys())
@bridges
def test_replies_enter_the_tunnel(lab, frame):
    suppress(lab)
    found = outcome_of(lab, frame)
    assert found.in_tunnel, f"outcome: {found}"


# A host so checks that a neighbour is still there: older kernels answered for it all the same.
@pytest.mark.behaviour(
    "a request in a unicast frame is not answered by the bridge, even for a known neighbour, but "
    "sent out of the port with `neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.known_difference("K54", until="6.18")
@pytest.mark.control(
    "the request is in a broadcast (ARP) or multicast (ND) frame",
    arguments={"to": None},
    because=ANSWERED,
)
@pytest.mark.parametrize("to", [MAC])
@arp_and_nd
@bridges
def test_a_unicast_request_is_not_answered_by_the_bridge(lab, target, to):
    suppress(lab)
    add_neighbours_and_entry(lab)
    frame = request_for(target, to=to) if to else request_for(target)
    assert_outcome(lab, frame, replies=[], in_tunnel=True, at_ns1=False)


def without_suppression_on_the_tunnel(operation):
    """Leave out `neigh_suppress` of a's port to the tunnel."""
    return None if operation == SUPPRESS else operation


@pytest.mark.behaviour(
    "a request that comes in by a port with `neigh_suppress`, from the tunnel, is not answered by "
    "the bridge",
    source=SOURCE,
)
@pytest.mark.control(
    "the port to the tunnel has no `neigh_suppress`",
    change=without_suppression_on_the_tunnel,
    because=rf"replies in the tunnel: \[\('reply', .*'{MAC}'\)\]",
)
@arp_and_nd
@bridges
def test_requests_from_the_tunnel_are_not_answered_by_the_bridge(lab, target):
    lab.apply(SUPPRESS, SetPort("a", "ns1-eth0", (("neigh_suppress", True),)))
    add_neighbours(lab)
    add_entry(lab, "ns1-eth0")
    with lab.capture("ns0", "a:eth0") as seen:
        send_frames(lab["ns2"], "eth0", request_for(target))
        seen["ns0"].wait_for(is_request_for(target), "the request from the tunnel")
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"later"))
        seen["a:eth0"].wait_for(carries(b"later", lab.topology.ports), "a later frame")
    messages = [read_message(packet.inner) for packet in seen["a:eth0"].encapsulated()]
    found = [message for message in messages if message and message[:2] == ("reply", target)]
    assert found == [], f"replies in the tunnel: {found}"


@pytest.mark.behaviour(
    "a request for an address of the bridge itself is answered by the bridge's host, and not sent "
    "out of a port with `neigh_suppress`",
    source=SOURCE,
)
@pytest.mark.control(
    "the port has no `neigh_suppress`",
    without=SetPort,
    because=r"outcome: replies with [0-9a-f:]{17}; sent into the tunnel and to ns1\n",
)
@pytest.mark.parametrize("address", ["172.18.1.99", "fd42::99"], ids=["arp", "nd"])
@bridges
def test_a_request_for_the_bridge_itself_stays_out_of_the_tunnel(lab, address):
    prefix = "/64" if ":" in address else "/24"
    lab.apply(SUPPRESS, IPV6_ON, AddAddress("a", "br0", address + prefix))
    wait_for_addresses(lab, "a")
    own = link_of(lab, "a", "br0").mac
    assert_outcome(lab, request_for(address), replies=[own], in_tunnel=False, at_ns1=True)


@pytest.mark.behaviour(
    "the bridge port settings `neigh_suppress` and `isolated` read back as they were set",
    source="man 8 bridge: neigh_suppress",
)
@pytest.mark.control(
    "the setting is not made",
    without=SetPort,
    because=r"the setting as `bridge` and netlink show it: \(False, False\)",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize("name", ["neigh_suppress", "isolated"])
@bridges
def test_a_setting_of_a_port_reads_back(lab, name, by):
    lab.apply(SetPort("a", "vxlan0", ((name, True),)), by=by)
    (row,) = lab["a"].bridge("-d", "link", "show", "dev", "vxlan0")
    found = row[name], bool(link_of(lab, "a").port[name])
    assert found == (True, True), f"the setting as `bridge` and netlink show it: {found}"


def isolate(lab, *ports):
    """Set `isolated` on ports of a's bridge."""
    lab.apply(*(SetPort("a", port, (("isolated", True),)) for port in ports))


def isolate_ns0(lab):
    """Set `isolated` on the port to ns0."""
    isolate(lab, "ns0-eth0")


@pytest.mark.behaviour(
    "a bridge does not forward frames from one isolated port to another, here from a container "
    "into the tunnel",
    source="man 8 bridge: isolated",
)
@pytest.mark.control(
    "no bridge port is isolated", without=SetPort, because="a/eth0: wanted no frame of ns0"
)
@bridges
def test_an_isolated_port_does_not_reach_another_isolated_port(lab):
    isolate(lab, "vxlan0", "ns0-eth0")
    with lab.capture("a:eth0", "ns1") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"isolated"))
        seen["ns1"].wait_for_payload(b"isolated")
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"free", mac=UNKNOWN))
        seen["a:eth0"].wait_for(carries(b"free", lab.topology.ports), "the frame of ns1")
        seen["a:eth0"].assert_silent(carries(b"isolated", lab.topology.ports), "frame of ns0")


@pytest.mark.behaviour(
    "a bridge forwards frames from a port that is not isolated to an isolated one",
    source="man 8 bridge: isolated",
)
@pytest.mark.control(
    "both bridge ports are isolated", lab=isolate_ns0, because="ns2/eth0: waited .* b'free'"
)
@bridges
def test_a_port_that_is_not_isolated_reaches_an_isolated_port(lab):
    isolate(lab, "vxlan0")
    with lab.capture("ns2") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"free"))
        seen["ns2"].wait_for_payload(b"free", timeout=3)
    assert seen["ns2"].payloads() == [b"free"]
