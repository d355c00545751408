"""E2: containers behind a bridge on each host, the bridges joined by VXLAN.

    ns0 eth0 172.18.1.2 ── br0 ── vxlan0 ─ a ════ lan ════ b ─ vxlan0 ── br0 ── 172.18.1.3 eth0 ns1

With several containers a host they are numbered through: ns0, ns1 on a; ns2, ns3 on b; and so on.
"""

from __future__ import annotations

import itertools

import pytest
from absence_tools import assert_filtered, assert_not_decapsulated

from vxlab import Lab, catalog, decapsulate, diagnose, drop_udp, operations, steps


def address_of(lab: Lab, container: str) -> str:
    """A container's address in the overlay."""
    (found,) = [c.addresses[0] for c in lab.topology.containers if c.name == container]
    return found.split("/")[0]


def containers_of(lab: Lab, host: str) -> list[str]:
    """The containers behind one host."""
    return [c.name for c in lab.topology.containers if c.host == host]


# How labs are broken for the controls.


def stop_learning_at_the_port_of_ns1(lab: Lab) -> None:
    lab.apply(operations.SetPort("a", "ns1-eth0", (("learning", False),)))


def give_ns0_a_neighbour_entry(lab: Lab) -> None:
    """Let ns0 know ns1's MAC: it sends no ARP request, and ns1 asks for ns0's MAC instead."""
    mac = lab["ns1"].ip("link", "show", "eth0")[0]["address"]
    lab.apply(operations.AddNeighbour("ns0", "eth0", "172.18.1.3", mac))


@pytest.mark.behaviour(
    "containers behind bridges that VXLAN joins reach each other across hosts, with the VNIs 1, 42 "
    "and 16777215 and the UDP ports 4789, 8472 and 14789",
    source="RFC 7348, section 4.1",
)
@pytest.mark.control(
    "b's vxlan device has VNI 43, a's has another",
    vteps={"b": {"id": 43}},
    because=r"ns0 got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(
    catalog.bridged, family=[4, 6], vni=[1, 42, 16777215], port=[8472, 4789, 14789]
)
def test_containers_reach_each_other_across_hosts(lab):
    assert lab["ns0"].ping("172.18.1.3"), "ns0 got no echo reply from 172.18.1.3"
    assert lab["ns1"].ping("172.18.1.2"), "ns1 got no echo reply from 172.18.1.2"


@pytest.mark.behaviour(
    "containers reach each other across hosts also where the bridges are in a VRF",
    source="Documentation/networking/vrf.rst",
)
@pytest.mark.control(
    "b's vxlan device has VNI 43, a's has VNI 42",
    vteps={"b": {"id": 43}},
    because=r"ns0 got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(catalog.bridged, vrf=True, family=[4, 6])
def test_containers_reach_each_other_with_the_bridge_in_a_vrf(lab):
    (link,) = lab["a"].ip("-d", "link", "show", "br0")
    assert link["master"] == "vrf0"
    assert lab["ns0"].ping("172.18.1.3"), "ns0 got no echo reply from 172.18.1.3"


@pytest.mark.behaviour(
    "containers reach each other on one host, and across any two of up to eight hosts",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control(
    "b's vxlan device has VNI 43, the other hosts' have VNI 42",
    vteps={"b": {"id": 43}},
    because=r"no echo reply for \[\('ns0', '172\.18\.1\.4'\)",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6], hosts=[2, 3, 8], containers=2)
def test_every_container_reaches_every_other(lab):
    names = [container.name for container in lab.topology.containers]
    pairs = [(one, address_of(lab, other)) for one, other in itertools.permutations(names, 2)]
    unreached = lab.unreached(pairs)
    assert unreached == [], f"no echo reply for {unreached}"


@pytest.mark.behaviour(
    "a bridge that has learned the MACs of two local containers sends no frame between them into "
    "the tunnel",
    source="net/bridge/br_input.c: br_handle_frame_finish()",
)
@pytest.mark.control(
    "a's bridge does not learn at the port of ns1",
    lab=stop_learning_at_the_port_of_ns1,
    because="the tunnel carried frames between ns0 and ns1",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6], containers=3)
def test_containers_on_one_host_do_not_use_the_underlay_once_their_macs_are_learned(lab):
    one, two, _ = containers_of(lab, "a")
    assert lab[one].ping(address_of(lab, two))  # its ARP request is flooded into the tunnel
    with lab.capture("a") as seen:
        assert lab[one].ping(address_of(lab, two), count=3)
        assert lab["ns3"].ping(address_of(lab, "ns4"))  # the same on b: ARP crosses the tunnel
        assert lab[one].ping(address_of(lab, "ns3"))  # across hosts: the capture sees the tunnel
    inside = [step for step in steps(seen["a"].frames, seen["a"].ports) if step.vni is not None]
    local_macs = {lab[one].state.links[1].mac, lab[two].state.links[1].mac}
    assert seen["a"].was_live
    assert "echo-request" in [step.kind for step in inside]
    local = [step for step in inside if {step.frame.src, step.frame.dst} <= local_macs]
    assert not local, f"the tunnel carried frames between {one} and {two}"


@pytest.mark.behaviour(
    "a container's ARP request passes its bridge port, the vxlan device and the card of its host, "
    "then the card and the vxlan device of the other host, before it reaches the other container",
    source="net/bridge/br_forward.c: br_flood(); drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()",
)
@pytest.mark.control(
    "ns0 has a neighbour entry for ns1, so the ARP request comes from ns1",
    lab=give_ns0_a_neighbour_entry,
    because=r"the ARP request passed \['ns1:eth0', 'b:vxlan0', 'b:eth0', ",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_arp_passes_the_bridge_before_it_enters_the_tunnel(lab):
    places = ("ns0:eth0", "a:ns0-eth0", "a:vxlan0", "a:eth0", "b:eth0", "b:vxlan0", "ns1:eth0")
    with lab.capture(*places) as seen:
        assert lab["ns0"].ping("172.18.1.3")
    times = {
        place: next(
            step.outer.time_ns
            for step in steps(seen[place].frames, seen[place].ports)
            if step.kind == "who-has"
            and step.frame.is_broadcast
            and "172.18.1." in str(step.frame.summary())
        )
        for place in places
    }
    passed = sorted(places, key=times.__getitem__)  # one time on receipt: card and vxlan device
    assert passed == list(places), f"the ARP request passed {passed}"
    (in_tunnel,) = {
        tunnel.vni
        for frame in seen["a:eth0"].frames
        if (tunnel := decapsulate(frame, seen["a:eth0"].ports))
    }
    assert in_tunnel == 42


@pytest.mark.behaviour(
    "each bridge learns the port behind which a container is, and each VTEP the remote VTEP behind "
    "which the other host's container is",
    source="net/bridge/br_fdb.c: br_fdb_update(); drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control(
    "a's vxlan device has `nolearning`",
    vteps={"a": {"learning": False}},
    because=r"a's vxlan device learned \{\}",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_each_bridge_and_each_vtep_learn_where_the_containers_are(lab):
    assert lab["ns0"].ping("172.18.1.3")
    here, there = (lab[name].ip("link", "show", "eth0")[0]["address"] for name in ("ns0", "ns1"))
    a, b = (host.nics[0].ip for host in lab.topology.hosts)
    for host, near, far, vtep in (("a", here, there, b), ("b", there, here, a)):
        entries = lab[host].bridge("fdb", "show")
        ports = {
            e["mac"]: e["ifname"] for e in entries if e.get("master") == "br0" and not e["state"]
        }
        assert ports == {near: f"{containers_of(lab, host)[0]}-eth0", far: "vxlan0"}
        remotes = {e["mac"]: e["dst"] for e in entries if "dst" in e and not e["state"]}
        assert remotes == {far: vtep}, f"{host}'s vxlan device learned {remotes}"


# Controls of their own: labs that are broken on purpose, and what vxlab's diagnosis says of them.


def changed_at_b(family=4, **changes):
    """The same topology, with changes to b's vxlan device."""
    return catalog.bridged(family=family).with_vtep("b", "overlay", **changes)


def with_a_firewall(family=4):
    """The same topology, with a packet filter on b that drops VXLAN's UDP port."""
    return catalog.bridged(family=family).with_host("b", rules=(drop_udp(4789, family),))


def without_the_firewall(topology):
    return topology.with_host("b", rules=())


@pytest.mark.control(
    "b's vxlan device has a's VNI",
    vteps={"b": {"id": 42}},
    because="b/vxlan0: wanted no frame of ns0",
)
@pytest.mark.topology(changed_at_b, family=[4, 6], id=43)
def test_control_containers_in_different_vnis_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "ns0", "172.18.1.255")
    assert diagnose(lab, "ns0", "172.18.1.3").code == "vni-mismatch"


@pytest.mark.control(
    "b's vxlan device has a's UDP port",
    vteps={"b": {"dstport": 4789}},
    because="b/vxlan0: wanted no frame of ns0",
)
@pytest.mark.topology(changed_at_b, family=[4, 6], dstport=4790)
def test_control_hosts_with_different_udp_ports_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "ns0", "172.18.1.255")
    assert diagnose(lab, "ns0", "172.18.1.3").code == "port-mismatch"


@pytest.mark.control(
    "b's packet filter has no rule",
    topology=without_the_firewall,
    because="b/vxlan0: wanted no frame of ns0",
)
@pytest.mark.topology(with_a_firewall, family=[4, 6])
def test_control_a_firewall_that_drops_the_udp_port_stops_the_traffic(lab):
    assert_filtered(lab, "ns0", "172.18.1.255")
    assert diagnose(lab, "ns0", "172.18.1.3").code == "firewall"


@pytest.mark.topology(catalog.bridged, containers=2)
def test_control_traffic_between_hosts_uses_the_underlay(lab):
    with lab.capture("a") as seen:
        assert lab["ns0"].ping(address_of(lab, "ns2"))
    assert seen["a"].encapsulated()
