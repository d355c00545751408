"""E5: two tenants, equal addresses, separate segments, a multicast router between their hosts.

    kim-srv1 1.1.1.1 ── br-10 ── vxlan10 ┐                            ┌ vxlan10 ── br-10 ── 1.1.1.2 kim-srv2
                                         ├ lxc1 ─ net1 ─ router ─ net2 ─ lxc2 ┤
    lee-srv1 1.1.1.1 ── br-20 ── vxlan20 ┘                            └ vxlan20 ── br-20 ── 1.1.1.2 lee-srv2

Both segments flood to the group 239.1.1.1 by the kernel's default port 8472. Multicast leaves with
TTL 1, so a packet filter rule (or the device's own ttl) raises it, or it dies at the router.
"""  # noqa: E501 - the picture

from __future__ import annotations

import dataclasses

import pytest

from vxlab import catalog, decapsulate, diagnose, operations, steps, wait_until

WAYS = [
    pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"], ttl=["rule", "device"]),
    pytest.mark.topology(
        catalog.kim_and_lee, router="smcroute", ttl=["rule", "device"], family=[6]
    ),
]
pytestmark = WAYS

OTHER = {"kim": "lee", "lee": "kim"}
tenants = pytest.mark.parametrize("tenant", ["kim", "lee"])


# How labs are broken for the controls.


def stop_the_daemon(lab):
    lab.stop_daemon("router")


def leaked(topology):
    """All servers on kim's bridges, and so in kim's segment."""
    containers = tuple(dataclasses.replace(c, bridge="br-10") for c in topology.containers)
    segments = tuple(dataclasses.replace(s, duplicates=True) for s in topology.segments)
    return dataclasses.replace(topology, containers=containers, segments=segments)


def introduce_peers(lab):
    """Each server knows its own peer, since addresses are no longer unique."""
    for number in (1, 2):
        for name in OTHER:
            place, peer = f"{name}-srv{number}", f"{name}-srv{3 - number}"
            address = f"1.1.1.{3 - number}"
            lab.apply(operations.AddNeighbour(place, "eth0", address, mac_of(lab, peer)))


def lend_a_mac(lab):
    lab.apply(operations.SetLink("lee-srv2", "eth0", mac=mac_of(lab, "kim-srv2")))


def on_switches(**which):
    """A switch on each side of the router in place of a cable."""
    topology = catalog.kim_and_lee(**which)
    return topology.with_switch("net1", cable=False).with_switch("net2", cable=False)


def with_a_tenants_mac(topology):
    """lxc1's card with the MAC of a tenant's server."""
    mac = topology.containers[0].mac
    nics = (dataclasses.replace(topology.host("lxc1").nics[0], mac=mac),)
    return topology.with_host("lxc1", nics=nics)


@pytest.mark.behaviour(
    "a tenant's segment crosses a multicast router, both ways",
    source="RFC 7348, section 4.2; net/ipv4/ipmr.c: ip_mr_forward()",
)
@pytest.mark.control("the router's daemon is stopped", lab=stop_the_daemon)
@tenants
def test_a_tenant_reaches_its_own_peer_both_ways(lab, tenant):
    assert lab[f"{tenant}-srv1"].ping("1.1.1.2")
    assert lab[f"{tenant}-srv2"].ping("1.1.1.1")


@pytest.mark.behaviour(
    "what is sent in one VNI, to one or to all, is never heard in another",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), vxlan_vs_find_vni(); RFC 7348, section 4",
)
@pytest.mark.control(
    "lee is plugged into kim's bridges", topology=leaked, lab=introduce_peers, because="for all"
)
@tenants
@pytest.mark.parametrize("there", [1, 2])
def test_a_tenant_never_sees_the_other(lab, tenant, there):
    heard = talk(lab, tenant, there)
    assert heard == {
        f"{tenant}-srv{there}": [b"for one", b"for all"],
        f"{OTHER[tenant]}-srv{there}": [b"the end"],
    }


def talk(lab, tenant, there):
    """What a tenant's server and the stranger beside it hear when the tenant's other one talks.

    The stranger's own peer speaks last, by the same way: silence before that is no accident.
    """
    here, target, stranger = (
        f"{name}-srv{number}"
        for name, number in ((tenant, 3 - there), (tenant, there), (OTHER[tenant], there))
    )
    with lab.capture(target, stranger) as seen:
        lab[here].send_marked(f"1.1.1.{there}", b"for one")
        seen[target].wait_for_payload(b"for one")
        lab[here].send_marked("1.1.1.255", b"for all")
        seen[target].wait_for_payload(b"for all")
        lab[f"{OTHER[tenant]}-srv{3 - there}"].send_marked(f"1.1.1.{there}", b"the end")
        seen[stranger].wait_for_payload(b"the end")
    assert all(capture.was_live and not capture.dropped for capture in seen.values())
    return {place: capture.payloads() for place, capture in seen.items()}


@pytest.mark.behaviour(
    "equal addresses in two VNIs are learned apart",
    source="RFC 7348, section 3.1",
)
@pytest.mark.control("lee-srv2 has kim-srv2's MAC as well", lab=lend_a_mac)
def test_both_tenants_at_once_learn_equal_addresses_apart(lab):
    for tenant in OTHER:
        assert lab[f"{tenant}-srv1"].ping("1.1.1.2")
    known = {
        tenant: [(row["dst"], row["lladdr"]) for row in lab[f"{tenant}-srv1"].ip("neigh")]
        for tenant in OTHER
    }
    for tenant in OTHER:
        mac = lab[f"{tenant}-srv2"].ip("link", "show", "eth0")[0]["address"]
        assert known[tenant] == [("1.1.1.2", mac)]
    assert known["kim"] != known["lee"]


@pytest.mark.behaviour(
    "a router and the switches of the underlay never learn a MAC of the overlay",
    source="RFC 7348, section 3.3",
)
@pytest.mark.control(
    "lxc1's card has a tenant's MAC", topology=with_a_tenants_mac, because="assert not"
)
@pytest.mark.topology(on_switches, router=["smcroute", "pimd"])
@pytest.mark.topology(on_switches, router="smcroute", family=[6])
def test_the_router_never_sees_a_tenant(lab):
    for tenant in OTHER:
        assert lab[f"{tenant}-srv1"].ping("1.1.1.2")
    tenants_macs = {
        lab[name].ip("link", "show", "eth0")[0]["address"] for name in lab if "srv" in name
    }
    seen = {row["lladdr"] for row in lab["router"].ip("neigh") if "lladdr" in row}
    assert seen
    assert not seen & tenants_macs
    for switch in ("net1", "net2"):
        entries = lab[switch].bridge("fdb", "show")
        learned = {entry["mac"] for entry in entries if entry.get("state") != "permanent"}
        assert learned
        assert not learned & tenants_macs


@pytest.mark.behaviour(
    "two VNIs of one host share a group and a UDP port",
    source="RFC 7348, section 4.2; drivers/net/vxlan/vxlan_core.c: vxlan_sock_add()",
)
@pytest.mark.control(
    "kim's device on lxc1 has the port 4789", vteps={"lxc1": {"dstport": 4789}}, because="4789"
)
def test_both_segments_share_one_group_and_the_default_port(lab):
    for host in ("lxc1", "lxc2"):
        for vni in (10, 20):
            (link,) = lab[host].ip("-d", "link", "show", f"vxlan{vni}")
            data = link["linkinfo"]["info_data"]
            assert (data["id"], data["port"]) == (vni, 8472)
            assert data.get("group", data.get("group6")) == lab.topology.segment("kim").group


@pytest.mark.behaviour(
    "ARP over VXLAN, step by step: who floods, who learns, who answers, and what is unicast then",
    source="RFC 7348, section 4.1",
)
@pytest.mark.control("lxc1's device does not learn", vteps={"lxc1": {"learning": False}})
def test_learning_step_by_step(lab):
    """Steps A to H: how kim-srv1 finds kim-srv2, and how every table on the way fills."""
    one, two = (mac_of(lab, f"kim-srv{n}") for n in (1, 2))
    vtep1, vtep2 = (lab.topology.host(f"lxc{n}").nics[0].ip for n in (1, 2))
    group = lab.topology.segment("kim").group
    assert lab["lee-srv1"].ping("1.1.1.2")  # the router has its routes: no question waits there
    assert lab["kim-srv1"].ip("neigh") == []  # A: no entry, so it must ask
    with lab.capture("kim-srv1", "lxc1", "lxc2", "kim-srv2") as seen:
        assert lab["kim-srv1"].ping("1.1.1.2", count=2)
    ports = seen["lxc1"].ports
    talk = steps(seen["kim-srv1"].frames, ports)
    assert [step.kind for step in talk] == ["who-has", "is-at", *["echo-request", "echo-reply"] * 2]
    assert talk[0].frame.is_broadcast  # A
    sent = [step for step in steps(seen["lxc1"].frames, ports) if step.vni]
    assert [(step.kind, step.vni, step.outer_src, step.outer_dst) for step in sent] == [
        ("who-has", 10, vtep1, group),  # B: VTEP 1 sends it to the group
        ("is-at", 10, vtep2, vtep1),  # E: the answer goes from VTEP to VTEP
        ("echo-request", 10, vtep1, vtep2),  # H: from now on unicast only
        ("echo-reply", 10, vtep2, vtep1),
        ("echo-request", 10, vtep1, vtep2),
        ("echo-reply", 10, vtep2, vtep1),
    ]
    assert port_of(lab, "lxc1", one) == "kim-srv1-eth0"  # B: its bridge has learned VM 1
    assert vtep_of(lab, "lxc2", one) == vtep1  # C: VTEP 2 has learned VM 1 → VTEP 1
    assert port_of(lab, "lxc2", one) == "vxlan10"  # C: and flooded its bridge
    assert [step.kind for step in steps(seen["kim-srv2"].frames, ports)][:2] == ["who-has", "is-at"]
    assert neighbour_of(lab, "kim-srv2") == ("1.1.1.1", one)  # D: VM 2 has learned VM 1
    assert vtep_of(lab, "lxc1", two) == vtep2  # F: VTEP 1 has learned VM 2 → VTEP 2
    assert neighbour_of(lab, "kim-srv1") == ("1.1.1.2", two)  # G: VM 1 knows VM 2


def mac_of(lab, name):
    return lab[name].ip("link", "show", "eth0")[0]["address"]


def neighbour_of(lab, name):
    (row,) = lab[name].ip("neigh")
    return row["dst"], row["lladdr"]


def port_of(lab, host, mac):
    """The bridge port behind which a host has learned a MAC."""
    rows = [e for e in lab[host].bridge("fdb", "show") if e["mac"] == mac and e.get("master")]
    return rows[0]["ifname"] if len(rows) == 1 else rows


def vtep_of(lab, host, mac):
    """The VTEP behind which a host's vxlan device has learned a MAC."""
    rows = [e for e in lab[host].bridge("fdb", "show", "dev", "vxlan10") if e["mac"] == mac]
    rows = [row for row in rows if "dst" in row]
    return rows[0]["dst"] if len(rows) == 1 else rows


# Controls: broken on purpose, and red for the right reason.


@pytest.mark.behaviour(
    "multicast leaves with TTL 1 unless told otherwise, and dies at the first router",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), ttl",
)
@pytest.mark.control("lxc1's device has ttl 8", vteps={"lxc1": {"ttl": 8}})
@pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"], ttl=None)
@pytest.mark.topology(catalog.kim_and_lee, router="smcroute", ttl=None, family=[6])
def test_without_the_ttl_rule_it_fails_and_the_diagnosis_says_why(lab):
    with lab.capture("router:eth0", "router:eth1") as seen:
        assert not lab["kim-srv1"].ping("1.1.1.2", timeout=0.3)
        ports = seen["router:eth0"].ports
        arrived = seen["router:eth0"].wait_for(
            lambda frame: bool(decapsulate(frame, ports)), "the flood to arrive at the router"
        )
    assert arrived.ttl == 1
    seen["router:eth1"].assert_silent(lambda frame: bool(decapsulate(frame, ports)), "tunnel frame")
    verdict = diagnose(lab, "kim-srv1", "1.1.1.2")
    assert verdict.code == "ttl"
    assert "router" in verdict.hop
    assert "TTL" in verdict.sentence or "hop limit" in verdict.sentence


@pytest.mark.topology(catalog.kim_and_lee, router=[None], family=[4, 6])
def test_control_a_router_without_daemon_routes_no_group(lab):
    assert not lab["kim-srv1"].ping("1.1.1.2", timeout=0.3)
    assert diagnose(lab, "kim-srv1", "1.1.1.2").code == "no-daemon"


@pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"])
def test_control_a_router_that_dies_and_returns(lab):
    assert lab["kim-srv1"].ping("1.1.1.2")
    lab.stop_daemon("router")
    assert not lab["lee-srv1"].ping("1.1.1.2", timeout=0.3)
    assert lab["kim-srv1"].ping("1.1.1.2")  # what is learned is unicast, and needs no group
    assert diagnose(lab, "lee-srv1", "1.1.1.2").code == "no-daemon"
    lab.start_daemon("router")
    assert wait_until(lambda: lab["lee-srv1"].ping("1.1.1.2"), "lee after the router's return")


@tenants
@pytest.mark.parametrize("there", [1, 2])
@pytest.mark.topology(catalog.kim_and_lee, leak=True, router=["smcroute", "pimd"])
def test_control_tenants_in_one_segment_hear_each_other(lab, tenant, there):
    """The deliberate leak: the same talk as above, and the stranger hears what it must not."""
    introduce_peers(lab)
    heard = talk(lab, tenant, there)
    assert b"for all" in heard[f"{OTHER[tenant]}-srv{there}"]


@pytest.mark.topology(catalog.kim_and_lee, family=4)
def test_control_a_dead_capture_is_not_taken_for_silence(lab):
    with lab.capture("kim-srv2", "lee-srv2") as seen:
        seen["kim-srv2"].deafen()
        lab["kim-srv1"].send_marked("1.1.1.2", b"kim only")
        lab["lee-srv1"].send_marked("1.1.1.2", b"lee only")
        seen["lee-srv2"].wait_for_payload(b"lee only")
    assert seen["lee-srv2"].was_live
    assert not seen["kim-srv2"].payloads()
    assert not seen["kim-srv2"].was_live
