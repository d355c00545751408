"""6.2 The proxy and its tunnel: which ARP and ND messages enter the tunnel, and the consequences.

a eth0 192.168.57.50 ── lan ── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             172.18.1.3 vxlan0
    fd42::2   proxy               fd42::3
"""

from __future__ import annotations

import pytest
from absence_tools import on_one_processor
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
    bridged_with_ipv6,
    is_reply_about,
    is_request_for,
    nd_message,
    proxy_at_a,
    read_message,
    request_for,
)

from vxlab.operations import AddFdb, AddNeighbour, DelFdb, FlushFdb, SetSysctl, SetVxlan

ARP_C = "drivers/net/vxlan/vxlan_core.c: arp_reduce()"
REDUCE = "drivers/net/vxlan/vxlan_core.c: arp_reduce(), neigh_reduce()"
MAC = "02:00:00:00:00:77"


#: What a device with `proxy` does not send into the tunnel, whether it can answer or not.
CONSUMED = {
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


def messages_in_tunnel(lab, frame):
    """The ARP and ND messages that enter a's tunnel when a frame is sent: only those of SENDER."""
    with lab.capture("a:eth0") as seen:
        send_frames(lab["a"], "vxlan0", frame)
        wait_for_a_later_frame(lab, seen["a:eth0"])
    return messages_from(seen["a:eth0"], SENDER)


def wait_for_a_later_frame(lab, seen):
    """Send a frame out of a's vxlan device, and wait until it has entered the tunnel."""
    send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"behind"))
    seen.wait_for(carries(b"behind", lab.topology.ports), "a later frame")


def messages_from(seen, mac):
    """The ARP and ND messages of a MAC that have entered a's tunnel."""
    inner = [packet.inner for packet in seen.encapsulated()]
    found = [read_message(one) for one in inner if one.outgoing and one.src == mac]
    return [message for message in found if message]


@pytest.mark.behaviour(
    "a device with `proxy` sends no ARP messages and no neighbour solicitations into the tunnel",
    source=REDUCE,
)
@pytest.mark.control(
    "a's device has no `proxy`",
    vteps={"a": {"proxy": False}},
    because=r"messages that entered the tunnel: \[\('",
)
@pytest.mark.parametrize("frame", CONSUMED.values(), ids=CONSUMED.keys())
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_sends_no_request_into_the_tunnel(lab, frame):
    entries = ("172.18.1.3", "fd42::3")
    lab.apply(*(AddNeighbour("a", "vxlan0", entry, MAC) for entry in entries))
    found = messages_in_tunnel(lab, frame)
    assert found == [], f"messages that entered the tunnel: {found}"


def drop_the_advertisement(lab):
    """Let a's device drop what is for the advertisement's MAC, as its FDB entry leads nowhere."""
    lab.apply(AddFdb("a", "vxlan0", "33:33:ff:00:02:00", dst="0.0.0.0"))


@pytest.mark.behaviour(
    "a device with `proxy` sends neighbour advertisements into the tunnel", source=REDUCE
)
@pytest.mark.control(
    "the advertisement's destination MAC has an FDB entry with the remote 0.0.0.0",
    lab=drop_the_advertisement,
    because=r"messages that entered the tunnel: \[\]",
)
@pytest.mark.parametrize("flags", [0x60, 0x20], ids=["solicited", "unsolicited"])
@pytest.mark.topology(proxy_at_a())
def test_a_proxy_sends_advertisements_into_the_tunnel(lab, flags):
    frame = nd_message(ADVERTISEMENT, "fd42::200", flags=flags)
    found = messages_in_tunnel(lab, frame)
    wanted = [("reply", "fd42::200", SENDER)]
    assert found == wanted, f"messages that entered the tunnel: {found}"


@pytest.mark.behaviour(
    "ARP requests that a proxy drops without an answer are counted neither as sent nor as dropped "
    "nor as errors",
    source=ARP_C,
)
@pytest.mark.control(
    "a's device has no `proxy`",
    vteps={"a": {"proxy": False}},
    because=r"tx_packets grew by 1\d\d\b",
)
@pytest.mark.topology(proxy_at_a())
def test_requests_that_a_proxy_drops_are_not_counted(lab):
    before = counters_of(lab, "a")
    send_frames(lab["a"], "vxlan0", *[request_for(TARGETS["arp"])] * 100)
    after = counters_of(lab, "a")
    assert after.tx_dropped == before.tx_dropped
    assert after.tx_errors == before.tx_errors
    sent = after.tx_packets - before.tx_packets  # a few reports of groups are always sent
    assert sent < 50, f"tx_packets grew by {sent}"


@pytest.mark.behaviour(
    "a proxy drops its own host's requests too, so that the host needs a neighbour entry for each "
    "address",
    source=ARP_C,
)
@pytest.mark.control(
    "a's device has no `proxy`",
    vteps={"a": {"proxy": False}},
    because=r"messages of a that entered the tunnel: \[\('request',",
)
@pytest.mark.parametrize("address", ["172.18.1.3", "fd42::3"], ids=["arp", "nd"])
@pytest.mark.topology(proxy_at_a())
def test_the_host_of_a_proxy_needs_neighbour_entries(lab, address):
    with lab.capture("a:vxlan0", "a:eth0") as seen:
        lab["a"].send_marked(address, b"asks for the MAC")
        seen["a:vxlan0"].wait_for(is_request_for(address), "a's request")
        wait_for_a_later_frame(lab, seen["a:eth0"])
    found = messages_from(seen["a:eth0"], link_of(lab, "a").mac)
    assert found == [], f"messages of a that entered the tunnel: {found}"
    own = {"172.18.1.3": "172.18.1.2", "fd42::3": "fd42::2"}[address]
    lab.apply(
        AddNeighbour("a", "vxlan0", address, link_of(lab, "b").mac, replace=True),
        AddNeighbour("b", "vxlan0", own, link_of(lab, "a").mac, replace=True),
    )
    assert lab["a"].ping(address)


@pytest.mark.behaviour("a proxy drops the ARP replies of its own host", source=ARP_C)
@pytest.mark.control(
    "a's device has no `proxy`",
    vteps={"a": {"proxy": False}},
    because=r"messages of a that entered the tunnel: \[\('reply',",
)
@pytest.mark.topology(proxy_at_a())
def test_the_host_of_a_proxy_cannot_answer_arp_requests_from_the_tunnel(lab):
    with on_one_processor(), lab.capture("a:vxlan0", "a:eth0") as seen:
        lab["b"].send_marked("172.18.1.2", b"asks for the MAC")
        seen["a:vxlan0"].wait_for(
            lambda frame: frame.outgoing and is_reply_about("172.18.1.2")(frame), "a's ARP reply"
        )
        wait_for_a_later_frame(lab, seen["a:eth0"])
    found = messages_from(seen["a:eth0"], link_of(lab, "a").mac)
    assert found == [], f"messages of a that entered the tunnel: {found}"
    rows = [row for row in lab["b"].state.neighbours if row.address == "172.18.1.2"]
    assert [row.mac for row in rows] == [""]  # b has asked, and received no reply


def without_way_to_b(lab):
    """Take a's remote and its FDB entries away, and let it learn none."""
    lab.apply(
        DelFdb("a", "vxlan0", ANY_MAC, underlay_address(lab, "b"), via="eth0"),
        SetVxlan("a", "vxlan0", (("learning", False),)),
        FlushFdb("a", "vxlan0"),
    )


@pytest.mark.behaviour(
    "the host of a proxy still answers neighbour solicitations from the tunnel", source=REDUCE
)
@pytest.mark.control(
    "a's device has no remote and no FDB entry, and has `nolearning`",
    lab=without_way_to_b,
    because="b's ping was not answered",
)
@pytest.mark.topology(proxy_at_a())
def test_the_host_of_a_proxy_answers_solicitations_from_the_tunnel(lab):
    answered = lab["b"].ping("fd42::2", timeout=3)
    assert answered, "b's ping was not answered"


def proxies_for_containers():
    """Containers on two hosts, with IPv4 and IPv6; both devices have `proxy`."""
    made = bridged_with_ipv6()
    for host in "ab":
        made = made.with_vtep(host, "overlay", proxy=True)
    return made


def overlay_address(lab, name, version):
    """The IPv4 or IPv6 address of a container."""
    (container,) = (one for one in lab.topology.containers if one.name == name)
    ipv4, ipv6 = container.addresses
    return (ipv6 if version == 6 else ipv4).split("/")[0]


@pytest.mark.behaviour(
    "between two proxies with all neighbours in their tables, containers reach each other without "
    "requests in the tunnel",
    source=REDUCE,
)
@pytest.mark.control(
    "b's device has no `proxy`",
    vteps={"b": {"proxy": False}},
    because=r"requests in the tunnel: \[\('request',",
)
@pytest.mark.parametrize("version", [4, 6], ids=["arp", "nd"])
@pytest.mark.topology(proxies_for_containers())
def test_between_proxies_no_request_enters_the_tunnel(lab, version):
    for host, far in (("a", "ns1"), ("b", "ns0")):
        address = overlay_address(lab, far, version)
        mac = lab[far].ip("link", "show", "eth0")[0]["address"]
        lab.apply(SetSysctl(host, "net.ipv6.conf.vxlan0.disable_ipv6", "0"))
        lab.apply(AddNeighbour(host, "vxlan0", address, mac))
    with lab.capture("a") as seen:
        answered = lab["ns0"].ping(overlay_address(lab, "ns1", version))
    messages = [read_message(packet.inner) for packet in seen["a"].encapsulated()]
    found = [message for message in messages if message and message[0] == "request"]
    assert found == [], f"requests in the tunnel: {found}"
    assert answered
