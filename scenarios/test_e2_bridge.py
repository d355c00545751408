"""E2: containers behind a bridge on each host, the bridges joined by VXLAN.

    ns0 eth0 172.18.1.2 ── br0 ── vxlan0 ─ a ════ lan ════ b ─ vxlan0 ── br0 ── 172.18.1.3 eth0 ns1

With several containers a host they are numbered through: ns0, ns1 on a; ns2, ns3 on b; and so on.
"""

from __future__ import annotations

import itertools

import pytest

from vxlab import Captures, Lab, catalog, decapsulate, diagnose, drop_udp, operations, steps


def address_of(lab: Lab, container: str) -> str:
    """A container's address in the overlay."""
    (found,) = [c.addresses[0] for c in lab.topology.containers if c.name == container]
    return found.split("/")[0]


def containers_of(lab: Lab, host: str) -> list[str]:
    """The containers behind one host."""
    return [c.name for c in lab.topology.containers if c.host == host]


# How labs are broken for the controls.


def forget_ns1(lab: Lab) -> None:
    lab.apply(operations.SetPort("a", "ns1-eth0", (("learning", False),)))


def mistake_the_ends(lab: Lab) -> None:
    """What is captured at ns0 is taken for what is captured at ns1, and the other way round."""
    start_captures = lab.capture

    def capture(*places: str) -> Captures:
        found = start_captures(*places)
        return Captures({**found, "ns0:eth0": found["ns1:eth0"], "ns1:eth0": found["ns0:eth0"]})

    lab.capture = capture


@pytest.mark.behaviour(
    "bridges joined by VXLAN are one Ethernet, whatever VNI and port carry it",
    source="RFC 7348, section 4.1",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}})
@pytest.mark.topology(
    catalog.bridged, family=[4, 6], vni=[1, 42, 16777215], port=[8472, 4789, 14789]
)
def test_containers_reach_each_other_across_hosts(lab):
    assert lab["ns0"].ping("172.18.1.3")
    assert lab["ns1"].ping("172.18.1.2")


@pytest.mark.behaviour(
    "a bridge in a VRF carries its containers' traffic as any other does",
    source="Documentation/networking/vrf.rst",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}})
@pytest.mark.topology(catalog.bridged, vrf=True, family=[4, 6])
def test_containers_reach_each_other_with_the_bridge_in_a_vrf(lab):
    (link,) = lab["a"].ip("-d", "link", "show", "br0")
    assert link["master"] == "vrf0"
    assert lab["ns0"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "containers reach each other on one host, and across any two of many hosts",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}})
@pytest.mark.topology(catalog.bridged, family=[4, 6], hosts=[2, 3, 8], containers=2)
def test_every_container_reaches_every_other(lab):
    names = [container.name for container in lab.topology.containers]
    pairs = [(one, address_of(lab, other)) for one, other in itertools.permutations(names, 2)]
    assert lab.unreached(pairs) == []


@pytest.mark.behaviour(
    "a bridge that has learned both MACs keeps their frames off the tunnel",
    source="net/bridge/br_input.c: br_handle_frame_finish()",
)
@pytest.mark.control("a's bridge does not learn where ns1 is", lab=forget_ns1)
@pytest.mark.topology(catalog.bridged, family=[4, 6], containers=3)
def test_containers_on_one_host_do_not_use_the_underlay_once_they_know_each_other(lab):
    one, two, _ = containers_of(lab, "a")
    assert lab[one].ping(address_of(lab, two))  # its ARP request goes everywhere
    with lab.capture("a") as seen:
        assert lab[one].ping(address_of(lab, two), count=3)
        assert lab["ns3"].ping(address_of(lab, "ns4"))  # and b's own, for ARP crosses once
        assert lab[one].ping(address_of(lab, "ns3"))  # across: the capture hears the tunnel
    inside = [step for step in steps(seen["a"].frames, seen["a"].ports) if step.vni is not None]
    local = {lab[one].state.links[1].mac, lab[two].state.links[1].mac}
    assert seen["a"].was_live
    assert "echo-request" in [step.kind for step in inside]
    assert not [step for step in inside if {step.frame.src, step.frame.dst} <= local]


@pytest.mark.behaviour(
    "an ARP request passes bridge, vxlan device and card, in reverse on the far host",
    source="net/bridge/br_forward.c: br_flood(); drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()",
)
@pytest.mark.control("the captures at both ends are mistaken for each other", lab=mistake_the_ends)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_arp_passes_the_bridge_before_it_enters_the_tunnel(lab):
    places = ("ns0:eth0", "a:ns0-eth0", "a:vxlan0", "a:eth0", "b:eth0", "b:vxlan0", "ns1:eth0")
    with lab.capture(*places) as seen:
        assert lab["ns0"].ping("172.18.1.3")
    times = [
        next(
            step.outer.time_ns
            for step in steps(seen[place].frames, seen[place].ports)
            if step.kind == "who-has"
            and step.frame.is_broadcast
            and "172.18.1." in str(step.frame.summary())
        )
        for place in places
    ]
    assert times == sorted(times)
    (in_tunnel,) = {
        tunnel.vni
        for frame in seen["a:eth0"].frames
        if (tunnel := decapsulate(frame, seen["a:eth0"].ports))
    }
    assert in_tunnel == 42


@pytest.mark.behaviour(
    "a bridge learns the port, and a VTEP learns the VTEP, behind which a container is",
    source="net/bridge/br_fdb.c: br_fdb_update(); drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control("a's device does not learn", vteps={"a": {"learning": False}})
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
        assert {e["mac"]: e["dst"] for e in entries if "dst" in e and not e["state"]} == {far: vtep}


# Controls: broken on purpose, and red for the right reason.


def broken(family=4, **changes):
    """The same topology, b's device made differently."""
    return catalog.bridged(family=family).with_vtep("b", "overlay", **changes)


def walled(family=4):
    """The same topology, a firewall on b."""
    return catalog.bridged(family=family).with_host("b", rules=(drop_udp(4789, family),))


@pytest.mark.topology(broken, family=[4, 6], id=43)
def test_control_two_vnis_do_not_meet(lab):
    assert not lab["ns0"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "ns0", "172.18.1.3").code == "vni-mismatch"


@pytest.mark.topology(broken, family=[4, 6], dstport=4790)
def test_control_two_ports_do_not_meet(lab):
    assert not lab["ns0"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "ns0", "172.18.1.3").code == "port-mismatch"


@pytest.mark.topology(walled, family=[4, 6])
def test_control_a_firewall_on_udp_is_fatal(lab):
    assert not lab["ns0"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "ns0", "172.18.1.3").code == "firewall"


@pytest.mark.topology(catalog.bridged, containers=2)
def test_control_traffic_between_hosts_does_use_the_underlay(lab):
    with lab.capture("a") as seen:
        assert lab["ns0"].ping(address_of(lab, "ns2"))
    assert seen["a"].encapsulated()
