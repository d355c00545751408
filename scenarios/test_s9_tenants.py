"""9.3 Tenants: equal MACs and addresses in two VNIs, on the same hosts, never meet.

    kim-a 172.18.1.1 VNI 10 ┐                                            ┌ VNI 10 172.18.1.2 kim-b
                            ├ a 192.168.57.50 ── lan ── 192.168.57.54 b ─┤
    lee-a 172.18.1.1 VNI 20 ┘                                            └ VNI 20 172.18.1.2 lee-b

All four are namespaces that hold nothing but a vxlan device, whose underlay is a's or b's.  The
MACs are alike too: 02:00:00:00:00:01 on a, :02 on b.
"""

from __future__ import annotations

import pytest
from device_tools import PORTS, at, device, holds, link_of, swap_at, tunnels
from tenants import (
    ADDRESS,
    EVERYBODY,
    MAC,
    VNIS,
    both_move_in,
    houses,
    move_in,
    ports_mixed_up,
    vnis_mixed_up,
    vnis_of_nobody,
)

from vxlab.operations import AddAddress, MoveLink, SetLink

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni(); RFC 7348, section 4"
GROUP = "239.1.1.1"
PLACES = {"family": [4, 6]}
OTHER = {"kim": "lee", "lee": "kim"}

TENANTS = pytest.mark.parametrize("tenant", ["kim", "lee"])
HOSTS = pytest.mark.parametrize("host", ["a", "b"])


def heard(lab, tenant, host, to):
    """What both tenants hear at the other host when one sends, and then the other."""
    there = {"a": "b", "b": "a"}[host]
    with lab.capture(*(f"{name}-{there}:{name}-{there}" for name in VNIS), ports=PORTS) as seen:
        for name in (tenant, OTHER[tenant]):
            lab[f"{name}-{host}"].send_marked(to or ADDRESS[there], name.encode())
            seen[f"{name}-{there}:{name}-{there}"].wait_for_payload(name.encode(), timeout=3)
    assert all(capture.was_live for capture in seen.values())
    return {place.split("-")[0]: capture.payloads() for place, capture in seen.items()}


OWN = {"kim": [b"kim"], "lee": [b"lee"]}


def another_group(operation):
    return swap_at("a", group="239.1.1.2")(operation) if "lee" in str(operation) else operation


def lee_in_20(operation):
    return swap_at("b", id=20)(operation)


@pytest.mark.behaviour("a tenant reaches its own peer, whatever others are called", source=RECEIVE)
@pytest.mark.control("on b they have VNIs of nobody", change=vnis_of_nobody, because="ping")
@pytest.mark.topology(houses, **PLACES)
@HOSTS
@TENANTS
def test_a_tenant_reaches_its_peer(lab, tenant, host):
    both_move_in(lab)
    there = {"a": "b", "b": "a"}[host]
    assert lab[f"{tenant}-{host}"].ping(ADDRESS[there], timeout=3)


@pytest.mark.behaviour("a datagram reaches the tenant's own peer and no namesake", source=RECEIVE)
@pytest.mark.control("on b they have each other's VNI", change=vnis_mixed_up, because="waited")
@pytest.mark.topology(houses, **PLACES)
@HOSTS
@TENANTS
@pytest.mark.parametrize("to", [None, EVERYBODY], ids=["unicast", "broadcast"])
def test_a_tenant_is_heard_by_its_own_alone(lab, tenant, host, to):
    both_move_in(lab)
    assert heard(lab, tenant, host, to) == OWN


@pytest.mark.behaviour(
    "with one group for both VNIs each tenant gets its own alone", source=RECEIVE
)
@pytest.mark.control("on b they have each other's VNI", change=vnis_mixed_up, because="waited")
@pytest.mark.topology(houses())
@HOSTS
@TENANTS
def test_a_shared_group_is_still_two_tenants(lab, tenant, host):
    both_move_in(lab, group=GROUP, dev="eth0")
    assert heard(lab, tenant, host, EVERYBODY) == OWN


@pytest.mark.behaviour(
    "the packets of all tenants of a group come to every member", source="RFC 7348, section 4.2"
)
@pytest.mark.control("lee has another group", change=another_group, because="10")
@pytest.mark.topology(houses())
def test_a_shared_group_brings_everybodys_packets_to_the_host(lab):
    both_move_in(lab, group=GROUP, dev="eth0")
    with lab.capture("b:eth0", ports=PORTS) as seen:
        for tenant in VNIS:
            lab[f"{tenant}-a"].send_marked(EVERYBODY, b"flooded")
        seen["b:eth0"].wait_for(holds(b"flooded"), "the first")
        seen["b:eth0"].wait_for(lambda frame: len(tunnels(seen["b:eth0"], b"flooded")) == 2, "both")
    found = {(row.vni, row.outer_dst) for row in tunnels(seen["b:eth0"], b"flooded")}
    assert found == {(10, GROUP), (20, GROUP)}


@pytest.mark.behaviour(
    "one VNI on two ports is two tenants",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_find_sock()",
)
@pytest.mark.control("on b they have each other's port", change=ports_mixed_up, because="waited")
@pytest.mark.topology(houses())
@HOSTS
@TENANTS
def test_one_vni_on_two_ports_is_two_tenants(lab, tenant, host):
    move_in(lab, "kim", id=10, dstport=4789)
    move_in(lab, "lee", id=10, dstport=14789)
    assert heard(lab, tenant, host, None) == OWN


@pytest.mark.behaviour(
    "with one VNI two tenants are one: what one says, the other hears", source=RECEIVE
)
@pytest.mark.control("they have two", change=lee_in_20, because="waited")
@pytest.mark.topology(houses())
@pytest.mark.parametrize("to", ["172.18.1.2", EVERYBODY], ids=["unicast", "broadcast"])
def test_a_leak_is_heard(lab, to):
    for node, host, other in (("kim-a", "a", "b"), ("lee-b", "b", "a")):
        more = {"id": 10, "remote": at(lab, other), "mac": MAC[host]}
        lab.apply(*device(host, name=node, up=False, **more), MoveLink(host, node, node))
        lab.apply(SetLink(node, node, up=True), AddAddress(node, node, f"{ADDRESS[host]}/24"))
    with lab.capture("lee-b:lee-b") as seen:
        lab["kim-a"].send_marked(to, b"a secret")
        seen["lee-b:lee-b"].wait_for_payload(b"a secret", timeout=3)


@pytest.mark.behaviour(
    "what one tenant teaches, the other does not learn",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control("on b they have each other's VNI", change=vnis_mixed_up)
@pytest.mark.topology(houses())
@TENANTS
def test_a_tenant_learns_from_its_own_alone(lab, tenant):
    both_move_in(lab)
    assert lab[f"{tenant}-a"].ping("172.18.1.2", timeout=3)

    def learned(name):
        rows = lab[f"{name}-b"].bridge("fdb", "show", "dev", f"{name}-b")
        return [row["mac"] for row in rows if row["mac"] == MAC["a"]]

    assert (learned(tenant), learned(OTHER[tenant])) == ([MAC["a"]], [])


@pytest.mark.behaviour(
    "a tenant sees neither the underlay nor another tenant's device",
    source="drivers/net/vxlan/vxlan_core.c: vxlan->net",
)
@pytest.mark.control("its device is not moved to it", without=MoveLink)
@pytest.mark.topology(houses())
@TENANTS
def test_a_tenant_sees_nothing_but_its_own_device(lab, tenant):
    both_move_in(lab)
    home = f"{tenant}-a"
    assert {link.name for link in lab[home].state.links} == {"lo", home}
    assert link_of(lab, "a", home) is None
    asked = lab[home].run("ping", "-c", "1", "-W", "0.3", at(lab, "b"), check=False)
    assert "Network is unreachable" in asked.stderr


@pytest.mark.behaviour(
    "one VNI may be used twice where the underlay is in two VRFs, on two ports",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_sock_add(), l3mdev_index",
)
@pytest.mark.control("lee's device of b has VNI 20", change=lee_in_20, because="waited|ping")
@pytest.mark.requires("vrf")  # a module, which K67 lets nobody load
@pytest.mark.known_difference("K67", until="6.1")
@pytest.mark.topology(houses())
@TENANTS
def test_one_vni_in_two_vrfs_is_two_tenants(lab, tenant):
    for host in ("a", "b"):
        lab[host].run("ip", "link", "add", "red", "type", "vrf", "table", "100")
        lab[host].run("ip", "link", "set", "red", "up")
        lab[host].run("ip", "link", "set", "eth0", "master", "red")
    move_in(lab, "kim", id=10, dev="eth0")
    move_in(lab, "lee", id=10, dev="eth0", dstport=14789)
    assert lab[f"{tenant}-a"].ping("172.18.1.2", timeout=3)
    assert heard(lab, tenant, "a", None) == OWN
