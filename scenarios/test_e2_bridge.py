"""E2: containers behind a bridge on each host, the bridges joined by VXLAN.

    ns0 eth0 172.18.1.2 ── br0 ── vxlan0 ─ a ════ lan ════ b ─ vxlan0 ── br0 ── 172.18.1.3 eth0 ns1

With several containers a host they are numbered through: ns0, ns1 on a; ns2, ns3 on b; and so on.
"""

from __future__ import annotations

import itertools

import pytest
from absence_tools import assert_filtered, assert_not_decapsulated
from article_tools import addresses, mtus, underlay_of, unlike_defaults

from vxlab import Lab, catalog, decapsulate, diagnose, drop_udp, operations, steps


def address_of(number):
    """The address of container ``ns<number>`` in the overlay."""
    return f"172.18.1.{2 + number}"


# How labs are broken for the controls.


def without_dev_at_a(topology):
    return topology.with_vtep("a", "overlay", dev=False)


def stop_learning_at_the_port_of_ns1(lab: Lab) -> None:
    lab.apply(operations.SetPort("a", "ns1-eth0", (("learning", False),)))


def give_ns0_a_neighbour_entry(lab: Lab) -> None:
    """Let ns0 know ns1's MAC: it sends no ARP request, and ns1 asks for ns0's MAC instead."""
    mac = lab["ns1"].ip("link", "show", "eth0")[0]["address"]
    lab.apply(operations.AddNeighbour("ns0", "eth0", "172.18.1.3", mac))


@pytest.mark.behaviour(
    "the bridge of a vxlan device, its ports and the containers behind them have the MTU that "
    "encapsulation leaves of 1500: 1450, over IPv6 1430",
    source="net/bridge/br_if.c: br_mtu_auto_adjust(); RFC 7348, section 4.3",
)
@pytest.mark.control(
    "a's vxlan device is not bound to its card",
    topology=without_dev_at_a,
    because=r"the MTUs are .*'a:vxlan0': 1500",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_addresses_and_mtus_are_those_of_the_article(lab, chosen):
    a, b = underlay_of(chosen).values()
    length, inner = (24, 1450) if chosen["family"] == 4 else (64, 1430)
    assert addresses(lab) == {
        "a:eth0": [f"{a}/{length}"],
        "b:eth0": [f"{b}/{length}"],
        "ns0:eth0": ["172.18.1.2/24"],
        "ns1:eth0": ["172.18.1.3/24"],
    }
    inside = ("ns0:eth0", "a:ns0-eth0", "a:br0", "a:vxlan0")
    inside += ("b:vxlan0", "b:br0", "b:ns1-eth0", "ns1:eth0")
    found = mtus(lab, "a:eth0", "b:eth0", *inside)
    wanted = {"a:eth0": 1500, "b:eth0": 1500} | dict.fromkeys(inside, inner)
    assert found == wanted, f"the MTUs are {found}"


@pytest.mark.behaviour(
    "in a bridge a vxlan device has the VNI, the port, the peer and the local address it was "
    "given, and the kernel's defaults besides; the bridge runs no STP",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fill_info(); net/bridge/br_netlink.c",
)
@pytest.mark.control(
    "a's vxlan device has an ageing time of 299 s",
    vteps={"a": {"ageing": 299}},
    because=r"a's vxlan device has .*'ageing': 299",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_the_devices_have_the_settings_of_the_article(lab, chosen):
    a, b = underlay_of(chosen).values()
    for host, local, remote in (("a", a, b), ("b", b, a)):
        found = unlike_defaults(lab, host, "vxlan0")
        wanted = {"id": 42, "remote": remote, "local": local, "dev": "eth0", "dstport": 4789}
        assert found == wanted, f"{host}'s vxlan device has {found}"
        (link,) = lab[host].ip("link", "show", "vxlan0")
        assert link.get("master") == "br0"
        (bridge,) = lab[host].ip("-d", "link", "show", "br0")
        assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
        assert bridge["linkinfo"]["info_data"]["ageing_time"] == 30000


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
def test_every_container_reaches_every_other(lab, chosen):
    numbers = range(2 * chosen["hosts"])
    pairs = [(f"ns{one}", address_of(other)) for one, other in itertools.permutations(numbers, 2)]
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
    assert lab["ns0"].ping("172.18.1.3")  # its ARP request is flooded into the tunnel
    with lab.capture("a") as seen:
        assert lab["ns0"].ping("172.18.1.3", count=3)
        assert lab["ns3"].ping("172.18.1.6")  # the same on b: ARP crosses the tunnel
        assert lab["ns0"].ping("172.18.1.5")  # across hosts: the capture sees the tunnel
    inside = [step for step in steps(seen["a"].frames, seen["a"].ports) if step.vni is not None]
    local_macs = {lab[name].state.links[1].mac for name in ("ns0", "ns1")}
    assert seen["a"].was_live
    assert "echo-request" in [step.kind for step in inside]
    local = [step for step in inside if {step.frame.src, step.frame.dst} <= local_macs]
    assert not local, "the tunnel carried frames between ns0 and ns1"


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
def test_each_bridge_and_each_vtep_learn_where_the_containers_are(lab, chosen):
    assert lab["ns0"].ping("172.18.1.3")
    here, there = (lab[name].ip("link", "show", "eth0")[0]["address"] for name in ("ns0", "ns1"))
    a, b = underlay_of(chosen).values()
    for host, port, near, far, vtep in (
        ("a", "ns0-eth0", here, there, b),
        ("b", "ns1-eth0", there, here, a),
    ):
        entries = lab[host].bridge("fdb", "show")
        ports = {
            e["mac"]: e["ifname"] for e in entries if e.get("master") == "br0" and not e["state"]
        }
        assert ports == {near: port, far: "vxlan0"}
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
        assert lab["ns0"].ping("172.18.1.4")  # ns2, on b
    assert seen["a"].encapsulated()
