"""5.1 Flooding to remotes: one copy for each remote, and none back into the tunnel.

    a eth0 .50 ── lan 192.168.57.0 ──┬── .54 eth0 b vxlan0
      vxlan0                         ├── .55 eth0 c vxlan0
                                     └── …           d, e, f

a's device has one default FDB entry (MAC 00:00:00:00:00:00), which has all other hosts as remotes.
Frames are sent through a's device byte by byte as they are; there is no other traffic.
"""

from __future__ import annotations

import dataclasses

import pytest
from flood_tools import (
    ANY_MAC,
    BROADCAST,
    SENDER,
    carries,
    copies_sent_to,
    counters_of,
    datagram_frame,
    is_vxlan,
    send_frames,
    underlay_address,
)

from vxlab import catalog, wait_until
from vxlab.operations import AddFdb, DelFdb, SetPort

UNKNOWN = "02:00:00:00:00:99"
IPV4_GROUP, IPV6_GROUP = "01:00:5e:01:02:03", "33:33:00:01:02:03"
ALL_KINDS = {
    "broadcast": BROADCAST,
    "unknown-unicast": UNKNOWN,
    "ipv4-multicast": IPV4_GROUP,
    "ipv6-multicast": IPV6_GROUP,
}
XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit()"


def kinds(*names):
    """Parametrise over destination MACs, by their kind."""
    chosen = {name: ALL_KINDS[name] for name in names or ALL_KINDS}
    return pytest.mark.parametrize("mac", chosen.values(), ids=chosen.keys())


def others_of(lab):
    """The names of all hosts but a."""
    return [host.name for host in lab.topology.hosts[1:]]


def without_added_remotes(operation):
    """Leave out the entries by which a device gets more remotes than its own first one."""
    return None if isinstance(operation, AddFdb) else operation


@pytest.mark.behaviour(
    "a flooded frame is sent once to each remote of the default FDB entry", source=XMIT
)
@pytest.mark.control(
    "a's device has only its first remote",
    change=without_added_remotes,
    because="c/eth0: waited .* for c's copy",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[3, 4, 6])
def test_a_broadcast_is_sent_once_to_each_remote(lab):
    places = [f"{host.name}:eth0" for host in lab.topology.hosts]
    with lab.capture(*places) as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"all"))
        for host in others_of(lab):
            seen[f"{host}:eth0"].wait_for(
                carries(b"all", lab.topology.ports), f"{host}'s copy", timeout=3
            )
    sent = copies_sent_to(seen["a:eth0"], b"all")
    assert sorted(sent) == sorted(underlay_address(lab, host) for host in others_of(lab))
    for host in others_of(lab):
        assert copies_sent_to(seen[f"{host}:eth0"], b"all") == [underlay_address(lab, host)]


def add_entries_behind_b(lab):
    """Give a's device an FDB entry for each MAC of these scenarios, with the remote b."""
    for mac in ALL_KINDS.values():
        lab.apply(AddFdb("a", "vxlan0", mac, underlay_address(lab, "b")))


@pytest.mark.behaviour(
    "broadcast, multicast and unknown unicast frames are all flooded", source=XMIT
)
@pytest.mark.control(
    "a's device has an FDB entry for the destination MAC, with b as its only remote",
    lab=add_entries_behind_b,
    because="c/eth0: waited .* for c's copy",
)
@pytest.mark.topology(catalog.point_to_point, hosts=3)
@kinds()
def test_a_frame_to_a_mac_without_an_entry_is_flooded(lab, mac):
    with lab.capture("a", "c") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(mac, b"any"))
        seen["c"].wait_for(carries(b"any", lab.topology.ports), "c's copy", timeout=3)
    sent = copies_sent_to(seen["a"], b"any")
    assert sorted(sent) == [underlay_address(lab, "b"), underlay_address(lab, "c")]


@pytest.mark.behaviour("a unicast frame to a learned MAC is sent to one remote only", source=XMIT)
@pytest.mark.control(
    "a's device has `nolearning`",
    vteps={"a": {"learning": False}},
    because="the unicast frame was flooded",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
def test_unicast_to_a_learned_mac_is_not_flooded(lab):
    with lab.capture("a:eth0", "a:vxlan0", "b") as seen:
        send_frames(lab["b"], "vxlan0", datagram_frame(BROADCAST, b"hello", mac=UNKNOWN))
        seen["a:vxlan0"].wait_for_payload(b"hello")
        send_frames(lab["a"], "vxlan0", datagram_frame(UNKNOWN, b"answer"))
        seen["b"].wait_for(carries(b"answer", lab.topology.ports), "the unicast frame")
    sent = copies_sent_to(seen["a:eth0"], b"answer")
    assert sent == [underlay_address(lab, "b")], "the unicast frame was flooded"


@pytest.mark.behaviour(
    "a frame to a multicast or broadcast MAC with an FDB entry of its own is sent to that entry's "
    "remotes only",
    source=XMIT,
)
@pytest.mark.control(
    "the destination MAC has no FDB entry of its own",
    without=AddFdb,
    because="the frame was not sent to the entry's remotes only",
)
@pytest.mark.parametrize("members", [("c",), ("b", "d")], ids=["one-remote", "two-remotes"])
@pytest.mark.parametrize("mac", [IPV4_GROUP, IPV6_GROUP, BROADCAST], ids=["ipv4", "ipv6", "all"])
@pytest.mark.topology(catalog.point_to_point, hosts=4)
def test_a_multicast_mac_with_an_entry_is_sent_to_its_remotes_only(lab, mac, members):
    for host in members:
        lab.apply(AddFdb("a", "vxlan0", mac, underlay_address(lab, host), append=True))
    with lab.capture("a") as seen:
        send_frames(
            lab["a"], "vxlan0", datagram_frame(mac, b"group"), datagram_frame(UNKNOWN, b"later")
        )
        wait_until(
            lambda: len(copies_sent_to(seen["a"], b"later")) == 3, "three copies of a later frame"
        )
    sent = sorted(copies_sent_to(seen["a"], b"group"))
    wanted = [underlay_address(lab, host) for host in members]
    assert sent == wanted, "the frame was not sent to the entry's remotes only"


@pytest.mark.behaviour(
    "each copy of a flooded frame is counted as one packet in tx_packets", source=XMIT
)
@pytest.mark.control(
    "a's device has only its first remote",
    change=without_added_remotes,
    because=r"tx_packets grew by 1\b",
)
@pytest.mark.topology(catalog.point_to_point, hosts=[3, 6])
def test_each_copy_is_counted_in_tx_packets(lab):
    before = counters_of(lab, "a")
    with lab.capture("a") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"all"))
        seen["a"].wait_for(carries(b"all", lab.topology.ports), "a copy")
    after = counters_of(lab, "a")
    sent = after.tx_packets - before.tx_packets
    assert sent == len(others_of(lab)), f"tx_packets grew by {sent}"
    assert after.tx_dropped == before.tx_dropped


def reflect_at_b(lab):
    """Let b's bridge forward frames out of the port that they came in by."""
    lab.apply(SetPort("b", "vxlan0", (("hairpin", True),)))


@pytest.mark.behaviour(
    "a bridge does not forward a frame from the tunnel back into the tunnel (split horizon)",
    source="net/bridge/br_forward.c: should_deliver(); RFC 7348 section 4.2",
)
@pytest.mark.control(
    "b's bridge port to the vxlan device is in hairpin mode",
    lab=reflect_at_b,
    because="b/eth0: wanted no frame sent back into the tunnel",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6], hosts=3, containers=1)
@kinds("broadcast", "unknown-unicast", "ipv4-multicast")
def test_a_bridge_does_not_send_a_frame_back_into_the_tunnel(lab, mac):
    in_tunnel = is_vxlan(lab.topology.ports)
    with lab.capture("b:eth0", "ns1") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(mac, b"flood"))
        seen["ns1"].wait_for_payload(b"flood")
        later = datagram_frame(SENDER, b"later", mac=UNKNOWN)  # b has learned SENDER
        send_frames(lab["ns1"], "eth0", later)
        seen["b:eth0"].wait_for(carries(b"later", lab.topology.ports), "a later frame of ns1")
    seen["b:eth0"].assert_silent(
        lambda frame: frame.outgoing and in_tunnel(frame) and not frame.data.endswith(b"later"),
        "frame sent back into the tunnel",
    )
    packets = [packet.inner for packet in seen["b:eth0"].encapsulated()]
    assert [inner.mark for inner in packets if inner.outgoing] == [b"later"]


@pytest.mark.behaviour(
    "a flooded frame reaches every endpoint of the segment exactly once", source=XMIT
)
@pytest.mark.control(
    "c's device has VNI 43", vteps={"c": {"id": 43}}, because="ns4/eth0: waited .* b'second'"
)
@pytest.mark.topology(catalog.bridged, hosts=3, containers=2)
@kinds("broadcast", "unknown-unicast", "ipv6-multicast")
def test_a_flooded_frame_reaches_every_endpoint_once(lab, mac):
    ends = [container.name for container in lab.topology.containers[1:]]
    with lab.capture(*ends) as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(mac, b"first"))
        send_frames(lab["ns0"], "eth0", datagram_frame(mac, b"second"))
        for end in ends:
            seen[end].wait_for_payload(b"second", timeout=3)
    for end in ends:
        assert seen[end].payloads() == [b"first", b"second"]


@pytest.mark.behaviour(
    "a remote that is deleted from the default FDB entry gets no copy of later flooded frames",
    source=XMIT,
)
@pytest.mark.control(
    "b is not deleted from the remotes of a's device",
    without=DelFdb,
    because="a copy was sent to the deleted remote",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
def test_a_deleted_remote_gets_no_more_copies(lab):
    lab.apply(DelFdb("a", "vxlan0", ANY_MAC, underlay_address(lab, "b"), via="eth0"))
    with lab.capture("a", "c") as seen:
        send_frames(
            lab["a"],
            "vxlan0",
            datagram_frame(BROADCAST, b"less"),
            datagram_frame(BROADCAST, b"later"),
        )
        seen["c"].wait_for(carries(b"later", lab.topology.ports), "c's later copy")
    sent = copies_sent_to(seen["a"], b"less")
    assert sent == [underlay_address(lab, "c")], "a copy was sent to the deleted remote"


def naming_via(operation):
    """The same deletion, with the `via` that the remote has."""
    if not isinstance(operation, DelFdb):
        return operation
    return dataclasses.replace(operation, via="eth0")


# The first remote is that of the device itself, and has the device's `dev` as its `via`.
@pytest.mark.behaviour(
    "deleting a remote that has a `via` without naming it succeeds, but deletes nothing",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_fdb_delete()",
)
@pytest.mark.control(
    "the deletion names the remote's `via`", change=naming_via, because="the remote was deleted"
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
def test_a_remote_that_is_deleted_without_its_via_stays(lab):
    lab.apply(DelFdb("a", "vxlan0", ANY_MAC, underlay_address(lab, "b")))
    remotes = sorted(row.dst for row in lab["a"].state.fdb if row.mac == ANY_MAC)
    wanted = [underlay_address(lab, "b"), underlay_address(lab, "c")]
    assert remotes == wanted, "the remote was deleted"


@pytest.mark.behaviour(
    "a remote that is added to the default FDB entry gets a copy of each flooded frame",
    source=XMIT,
)
@pytest.mark.control(
    "b is not added to the remotes of a's device",
    without=AddFdb,
    because="b/eth0: waited .* for b's copy",
)
@pytest.mark.topology(catalog.point_to_point(hosts=3).with_vtep("a", "overlay", remotes=()))
def test_an_added_remote_gets_a_copy(lab):
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, underlay_address(lab, "b"), append=True))
    with lab.capture("b") as seen:
        send_frames(lab["a"], "vxlan0", datagram_frame(BROADCAST, b"more"))
        seen["b"].wait_for(carries(b"more", lab.topology.ports), "b's copy", timeout=3)
    assert copies_sent_to(seen["b"], b"more") == [underlay_address(lab, "b")]


@pytest.mark.behaviour(
    "a device without any remote drops every frame and counts it in tx_dropped", source=XMIT
)
@pytest.mark.control(
    "a's device has b as its remote",
    vteps={"a": {"remotes": None}},
    because="tx_dropped grew by 0, tx_packets by 2",
)
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", remotes=()))
@kinds()
def test_without_a_remote_a_frame_is_dropped_and_counted(lab, mac):
    before = counters_of(lab, "a")
    send_frames(lab["a"], "vxlan0", datagram_frame(mac, b"one"), datagram_frame(mac, b"two"))
    after = counters_of(lab, "a")
    dropped = after.tx_dropped - before.tx_dropped
    sent = after.tx_packets - before.tx_packets
    assert (dropped, sent) == (2, 0), f"tx_dropped grew by {dropped}, tx_packets by {sent}"
