"""5.1 Flooding to remotes: one copy for each, and none comes back.

    a eth0 .50 ── lan 192.168.57.0 ──┬── .54 eth0 b vxlan0
      vxlan0                         ├── .55 eth0 c vxlan0
                                     └── …           d, e, f

a's device has one FDB entry for the MAC 00:00:00:00:00:00 with all the others as remotes.
Frames are handed to a's device just as they are; nothing but a test's own frames is on the way.
"""

from __future__ import annotations

import dataclasses

import pytest
from flood_tools import (
    ANY_MAC,
    BROADCAST,
    SENDER,
    address_of,
    carries,
    copies,
    counters_of,
    is_tunnel,
    marked,
    send,
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
    return [host.name for host in lab.topology.hosts[1:]]


def without_more_remotes(operation):
    """Leave a device with its first remote only."""
    return None if isinstance(operation, AddFdb) else operation


@pytest.mark.behaviour("a flooded frame leaves once for each remote", source=XMIT)
@pytest.mark.control("a knows only its first remote", change=without_more_remotes)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[3, 4, 6])
def test_a_broadcast_leaves_once_for_each_remote(lab):
    places = [f"{host.name}:eth0" for host in lab.topology.hosts]
    with lab.capture(*places) as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"all"))
        for host in others_of(lab):
            seen[f"{host}:eth0"].wait_for(
                carries(b"all", lab.topology.ports), "its copy", timeout=3
            )
    sent = copies(seen["a:eth0"], b"all")
    assert sorted(sent) == sorted(address_of(lab, host) for host in others_of(lab))
    for host in others_of(lab):
        assert copies(seen[f"{host}:eth0"], b"all") == [address_of(lab, host)]


@pytest.mark.behaviour("broadcast, multicast and unknown unicast are all flooded", source=XMIT)
@pytest.mark.control("a knows where the MAC is", lab=lambda lab: settle_all(lab, "b"))
@pytest.mark.topology(catalog.point_to_point, hosts=3)
@kinds()
def test_what_has_no_entry_is_flooded(lab, mac):
    with lab.capture("a", "c") as seen:
        send(lab["a"], "vxlan0", marked(mac, b"any"))
        seen["c"].wait_for(carries(b"any", lab.topology.ports), "c's copy", timeout=3)
    assert sorted(copies(seen["a"], b"any")) == [address_of(lab, "b"), address_of(lab, "c")]


def settle_all(lab, host):
    """Give a an entry for each MAC of these scenarios: it is behind ``host``."""
    for mac in ALL_KINDS.values():
        lab.apply(AddFdb("a", "vxlan0", mac, address_of(lab, host)))


@pytest.mark.behaviour("unicast to a learned MAC goes to one remote only", source=XMIT)
@pytest.mark.control(
    "a does not learn", vteps={"a": {"learning": False}}, because="not flooded|wanted no"
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
def test_unicast_to_a_learned_mac_is_not_flooded(lab):
    with lab.capture("a:eth0", "a:vxlan0", "b") as seen:
        send(lab["b"], "vxlan0", marked(BROADCAST, b"hello", mac=UNKNOWN))
        seen["a:vxlan0"].wait_for_payload(b"hello")
        send(lab["a"], "vxlan0", marked(UNKNOWN, b"answer"))
        seen["b"].wait_for(carries(b"answer", lab.topology.ports), "the answer")
    sent = copies(seen["a:eth0"], b"answer")
    assert sent == [address_of(lab, "b")], "wanted it not flooded"


@pytest.mark.behaviour(
    "a multicast MAC with an entry of its own goes to that entry's remotes alone", source=XMIT
)
@pytest.mark.control("the group has no entry", without=AddFdb)
@pytest.mark.parametrize("members", [("c",), ("b", "d")], ids=["one-remote", "two-remotes"])
@pytest.mark.parametrize("mac", [IPV4_GROUP, IPV6_GROUP, BROADCAST], ids=["ipv4", "ipv6", "all"])
@pytest.mark.topology(catalog.point_to_point, hosts=4)
def test_a_group_with_an_entry_of_its_own_goes_there_alone(lab, mac, members):
    for host in members:
        lab.apply(AddFdb("a", "vxlan0", mac, address_of(lab, host), append=True))
    with lab.capture("a") as seen:
        send(lab["a"], "vxlan0", marked(mac, b"group"), marked(UNKNOWN, b"later"))
        wait_until(lambda: len(copies(seen["a"], b"later")) == 3, "the later frame's three copies")
    assert sorted(copies(seen["a"], b"group")) == [address_of(lab, host) for host in members]


@pytest.mark.behaviour("the copies of one frame count one by one in tx_packets", source=XMIT)
@pytest.mark.control("a knows only its first remote", change=without_more_remotes)
@pytest.mark.topology(catalog.point_to_point, hosts=[3, 6])
def test_the_device_counts_every_copy_as_sent(lab):
    before = counters_of(lab, "a")
    with lab.capture("a") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"all"))
        seen["a"].wait_for(carries(b"all", lab.topology.ports), "a copy")
    after = counters_of(lab, "a")
    assert after.tx_packets - before.tx_packets == len(lab.topology.hosts) - 1
    assert after.tx_dropped == before.tx_dropped


@pytest.mark.behaviour(
    "what a VTEP received it does not send into the tunnel again (split horizon)",
    source="net/bridge/br_forward.c: should_deliver(); RFC 7348 section 4.2",
)
@pytest.mark.control(
    "b's bridge sends out of the port it received on",
    lab=lambda lab: lab.apply(SetPort("b", "vxlan0", (("hairpin", True),))),
    because="wanted no",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6], hosts=3, containers=1)
@kinds("broadcast", "unknown-unicast", "ipv4-multicast")
def test_a_bridge_never_reflects_a_flood_into_the_tunnel(lab, mac):
    tunnel = is_tunnel(lab.topology.ports)
    with lab.capture("b:eth0", "ns1") as seen:
        send(lab["ns0"], "eth0", marked(mac, b"flood"))
        seen["ns1"].wait_for_payload(b"flood")
        send(lab["ns1"], "eth0", marked(SENDER, b"later", mac=UNKNOWN))  # b has learned SENDER
        seen["b:eth0"].wait_for(carries(b"later", lab.topology.ports), "what b sends itself")
    sent = [tunnel.inner.mark for tunnel in seen["b:eth0"].encapsulated() if tunnel.inner.outgoing]
    seen["b:eth0"].assert_silent(
        lambda frame: frame.outgoing and tunnel(frame) and not frame.data.endswith(b"later"),
        "frame of the tunnel back in the tunnel",
    )
    assert sent == [b"later"]


@pytest.mark.behaviour("a flood reaches every endpoint of the segment once", source=XMIT)
@pytest.mark.control("c's device is of another VNI", vteps={"c": {"id": 43}})
@pytest.mark.topology(catalog.bridged, hosts=3, containers=2)
@kinds("broadcast", "unknown-unicast", "ipv6-multicast")
def test_a_flood_reaches_every_endpoint_once(lab, mac):
    ends = [container.name for container in lab.topology.containers[1:]]
    with lab.capture(*ends) as seen:
        send(lab["ns0"], "eth0", marked(mac, b"first"))
        send(lab["ns0"], "eth0", marked(mac, b"second"))
        for end in ends:
            seen[end].wait_for_payload(b"second", timeout=3)
    for end in ends:
        assert seen[end].payloads() == [b"first", b"second"]


@pytest.mark.behaviour("a remote that is taken from the flood entry gets no copy", source=XMIT)
@pytest.mark.control("b stays a remote", without=DelFdb, because="wanted no")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
def test_a_removed_remote_gets_no_copy_any_more(lab):
    lab.apply(DelFdb("a", "vxlan0", ANY_MAC, address_of(lab, "b"), via="eth0"))
    with lab.capture("a", "c") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"less"), marked(BROADCAST, b"later"))
        seen["c"].wait_for(carries(b"later", lab.topology.ports), "c's later copy")
    sent = copies(seen["a"], b"less")
    assert sent == [address_of(lab, "c")], "wanted no copy for b"


# The first remote is the device's own, and has the device's `dev` as its `via`.
@pytest.mark.behaviour(
    "taking a remote away under another via is accepted, and takes nothing away",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_fdb_delete()",
)
@pytest.mark.control(
    "the right via is named",
    change=lambda op: dataclasses.replace(op, via="eth0") if isinstance(op, DelFdb) else op,
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)
def test_a_remote_removed_without_its_via_stays(lab):
    lab.apply(DelFdb("a", "vxlan0", ANY_MAC, address_of(lab, "b")))
    remotes = [row.dst for row in lab["a"].state.fdb if row.mac == ANY_MAC]
    assert sorted(remotes) == [address_of(lab, "b"), address_of(lab, "c")]


@pytest.mark.behaviour("a remote that is added to the flood entry gets its copy", source=XMIT)
@pytest.mark.control("b is not added", without=AddFdb)
@pytest.mark.topology(catalog.point_to_point(hosts=3).with_vtep("a", "overlay", remotes=()))
def test_an_added_remote_gets_a_copy(lab):
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, address_of(lab, "b"), append=True))
    with lab.capture("b") as seen:
        send(lab["a"], "vxlan0", marked(BROADCAST, b"more"))
        seen["b"].wait_for(carries(b"more", lab.topology.ports), "b's copy", timeout=3)
    assert copies(seen["b"], b"more") == [address_of(lab, "b")]


@pytest.mark.behaviour(
    "without any remote a frame is dropped, and counted in tx_dropped", source=XMIT
)
@pytest.mark.control("a has a remote", vteps={"a": {"remotes": None}})
@pytest.mark.topology(catalog.point_to_point().with_vtep("a", "overlay", remotes=()))
@kinds()
def test_without_a_remote_a_frame_is_dropped_and_counted(lab, mac):
    before = counters_of(lab, "a")
    send(lab["a"], "vxlan0", marked(mac, b"one"), marked(mac, b"two"))
    after = counters_of(lab, "a")
    assert (after.tx_dropped - before.tx_dropped, after.tx_packets - before.tx_packets) == (2, 0)
