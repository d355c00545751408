"""E5: two tenants, equal addresses, separate segments, a multicast router between their hosts.

    kim-srv1 1.1.1.1 ── br-10 ── vxlan10 ┐                            ┌ vxlan10 ── br-10 ── 1.1.1.2 kim-srv2
                                         ├ lxc1 ─ net1 ─ router ─ net2 ─ lxc2 ┤
    lee-srv1 1.1.1.1 ── br-20 ── vxlan20 ┘                            └ vxlan20 ── br-20 ── 1.1.1.2 lee-srv2

Both segments flood to the group 239.1.1.1 by the kernel's default port 8472. Multicast leaves a
vxlan device with TTL 1 and would be dropped by the router, so a packet filter rule (or the device's
own ttl) raises the TTL.
"""  # noqa: E501 - the picture

from __future__ import annotations

import dataclasses

import pytest
from absence_tools import assert_not_routed
from article_tools import addresses, forwarding_nodes, mtus, unlike_defaults
from kim_and_lee_tools import OTHER, add_neighbour_entries, mac_of, payloads_received, tenants

from vxlab import catalog, diagnose, operations, steps

pytestmark = [
    pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"], ttl=["rule", "device"]),
    pytest.mark.topology(
        catalog.kim_and_lee, router="smcroute", ttl=["rule", "device"], family=[6]
    ),
]

#: The hosts' addresses on the underlay, the router's on its two links, and the group.
VTEPS = {
    4: ("192.168.11.10", "192.168.12.10"),
    6: ("fd00:192:168:11::10", "fd00:192:168:12::10"),
}
ROUTER = {
    4: ("192.168.11.1", "192.168.12.1"),
    6: ("fd00:192:168:11::1", "fd00:192:168:12::1"),
}
GROUP = {4: "239.1.1.1", 6: "ff08::239:1:1:1"}

#: The TTL of VXLAN packets before the router, to the group and to one VTEP, by what raises it.
TTL = {"rule": (1 + 1, 64), "device": (8, 8)}

# How labs are broken for the controls.


def stop_the_daemon(lab):
    lab.stop_daemon("router")


def with_all_servers_in_kims_segment(topology):
    """The topology with all servers on kim's bridges."""
    containers = tuple(dataclasses.replace(c, bridge="br-10") for c in topology.containers)
    segments = tuple(dataclasses.replace(s, duplicates=True) for s in topology.segments)
    return dataclasses.replace(topology, containers=containers, segments=segments)


def lower_the_mtu_of_vxlan10(lab):
    lab.apply(operations.SetLink("lxc1", "vxlan10", mtu=1400))


def forward_on_lxc1(lab):
    lab["lxc1"].sysctl("net.ipv4.ip_forward", 1)
    lab["lxc1"].sysctl("net.ipv6.conf.all.forwarding", 1)


def give_lee_srv2_the_mac_of_kim_srv2(lab):
    lab.apply(operations.SetLink("lee-srv2", "eth0", mac=mac_of(lab, "kim-srv2")))


def with_switches(**which):
    """The topology with a switch on each side of the router in place of a cable."""
    topology = catalog.kim_and_lee(**which)
    return topology.with_switch("net1", cable=False).with_switch("net2", cable=False)


def with_a_tenants_mac(topology):
    """The topology with the MAC of a tenant's server on lxc1's card."""
    mac = topology.containers[0].mac
    nics = (dataclasses.replace(topology.host("lxc1").nics[0], mac=mac),)
    return topology.with_host("lxc1", nics=nics)


@pytest.mark.behaviour(
    "a tenant's servers on both sides of a multicast router reach each other through their VXLAN "
    "segment",
    source="RFC 7348, section 4.2; net/ipv4/ipmr.c: ip_mr_forward()",
)
@pytest.mark.control(
    "the router's multicast daemon is stopped",
    lab=stop_the_daemon,
    because=r"(kim|lee)-srv1 got no echo reply from 1\.1\.1\.2",
)
@tenants
def test_a_tenants_servers_reach_each_other_across_the_router(lab, tenant):
    assert lab[f"{tenant}-srv1"].ping("1.1.1.2"), f"{tenant}-srv1 got no echo reply from 1.1.1.2"
    assert lab[f"{tenant}-srv2"].ping("1.1.1.1"), f"{tenant}-srv2 got no echo reply from 1.1.1.1"


@pytest.mark.behaviour(
    "the two links of the router have an MTU of 1500, all that is behind a vxlan device has 1450 "
    "(over IPv6 1430)",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply(); RFC 7348, section 4.3",
)
@pytest.mark.control(
    "kim's vxlan device on lxc1 has an MTU of 1400",
    lab=lower_the_mtu_of_vxlan10,
    because=r"the MTUs are .*'lxc1:vxlan10': 1400",
)
def test_addresses_and_mtus_are_those_of_the_article(lab, chosen):
    family = chosen.get("family", 4)
    length, inner = (24, 1450) if family == 4 else (64, 1430)
    assert addresses(lab) == {
        "router:eth0": [f"{ROUTER[family][0]}/{length}"],
        "router:eth1": [f"{ROUTER[family][1]}/{length}"],
        "lxc1:ens33": [f"{VTEPS[family][0]}/{length}"],
        "lxc2:ens33": [f"{VTEPS[family][1]}/{length}"],
        "kim-srv1:eth0": ["1.1.1.1/24"],
        "lee-srv1:eth0": ["1.1.1.1/24"],
        "kim-srv2:eth0": ["1.1.1.2/24"],
        "lee-srv2:eth0": ["1.1.1.2/24"],
    }
    outer = ("router:eth0", "router:eth1", "lxc1:ens33", "lxc2:ens33")
    inside = [
        place
        for number in (1, 2)
        for tenant, vni in (("kim", 10), ("lee", 20))
        for place in (
            f"{tenant}-srv{number}:eth0",
            f"lxc{number}:{tenant}-srv{number}-eth0",
            f"lxc{number}:br-{vni}",
            f"lxc{number}:vxlan{vni}",
        )
    ]
    found = mtus(lab, *outer, *inside)
    wanted = dict.fromkeys(outer, 1500) | dict.fromkeys(inside, inner)
    assert found == wanted, f"the MTUs are {found}"


@pytest.mark.behaviour(
    "only the router forwards packets; the hosts, which have it as their default gateway, do not",
    source="Documentation/networking/ip-sysctl.rst: ip_forward, conf/all/forwarding",
)
@pytest.mark.control(
    "lxc1 forwards packets too",
    lab=forward_on_lxc1,
    because=r"the nodes that forward are \['router', 'lxc1'\]",
)
def test_only_the_router_forwards(lab, chosen):
    family = chosen.get("family", 4)
    found = forwarding_nodes(lab, family)
    assert found == ["router"], f"the nodes that forward are {found}"
    for host, gateway in zip(("lxc1", "lxc2"), ROUTER[family], strict=True):
        routes = [r for r in lab[host].state.routes if r.destination == "default"]
        assert [(r.gateway, r.interface) for r in routes] == [(gateway, "ens33")]


@pytest.mark.behaviour(
    "packets to the multicast group reach the router with TTL 2 where a rule adds 1, with TTL 8 "
    "where the device has ttl 8, and leave it with one less; a rule for the group does not touch "
    "unicast, the device's ttl does",
    source="net/ipv4/ip_forward.c, net/ipv4/ipmr.c: ip_decrease_ttl(); man 8 iptables-extensions: "
    "TTL, HL",
)
@pytest.mark.control(
    "kim's vxlan device on lxc1 has ttl 30",
    vteps={"lxc1": {"ttl": 30}},
    because=r"lxc1's packets reach the router with the TTLs \((30|31), 30\)",
)
def test_the_ttl_before_and_behind_the_router(lab, chosen):
    family = chosen.get("family", 4)
    vtep1, vtep2 = VTEPS[family]
    with lab.capture("router:eth0", "router:eth1") as seen:
        assert lab["kim-srv1"].ping("1.1.1.2")
    sent = [
        [packet for packet in seen[place].encapsulated() if packet.outer_src == vtep1]
        for place in ("router:eth0", "router:eth1")
    ]
    for place, found, less in zip(("reach", "leave"), sent, (0, 1), strict=True):
        ttls = tuple(
            packet.ttl
            for to in (GROUP[family], vtep2)
            for packet in [packet for packet in found if packet.outer_dst == to][:1]
        )
        wanted = tuple(ttl - less for ttl in TTL[chosen["ttl"]])
        assert ttls == wanted, f"lxc1's packets {place} the router with the TTLs {ttls}"


@pytest.mark.behaviour(
    "neither unicast nor broadcast that a tenant sends in its VNI is received in the other "
    "tenant's VNI, although both tenants have the same IP addresses",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), vxlan_vs_find_vni(); RFC 7348, section 4",
)
@pytest.mark.control(
    "lee's servers are on kim's bridges, and so in kim's VNI",
    topology=with_all_servers_in_kims_segment,
    lab=add_neighbour_entries,
    because=r"srv[12] of the other tenant received .*b'for all'",
)
@tenants
@pytest.mark.parametrize("there", [1, 2])
def test_a_tenant_never_receives_the_other_tenants_traffic(lab, tenant, there):
    received = payloads_received(lab, tenant, there)
    own, other = f"{tenant}-srv{there}", f"{OTHER[tenant]}-srv{there}"
    assert received[other] == [b"the end"], (
        f"{other} of the other tenant received {received[other]}"
    )
    assert received[own] == [b"for one", b"for all"]


@pytest.mark.behaviour(
    "where servers of two VNIs have the same IP address, each tenant's servers resolve it to the "
    "MAC of their own tenant's server",
    source="RFC 7348, section 3.1",
)
@pytest.mark.control(
    "lee-srv2 has the same MAC as kim-srv2",
    lab=give_lee_srv2_the_mac_of_kim_srv2,
    because="both tenants resolved 1.1.1.2 to the same MAC",
)
def test_each_tenant_resolves_the_same_address_to_its_own_server(lab):
    for tenant in OTHER:
        assert lab[f"{tenant}-srv1"].ping("1.1.1.2")
    known = {
        tenant: [(row["dst"], row["lladdr"]) for row in lab[f"{tenant}-srv1"].ip("neigh")]
        for tenant in OTHER
    }
    for tenant in OTHER:
        mac = lab[f"{tenant}-srv2"].ip("link", "show", "eth0")[0]["address"]
        assert known[tenant] == [("1.1.1.2", mac)]
    assert known["kim"] != known["lee"], "both tenants resolved 1.1.1.2 to the same MAC"


@pytest.mark.behaviour(
    "while tenants communicate, neither the router nor the switches of the underlay learn a MAC of "
    "the overlay",
    source="RFC 7348, section 3.3",
)
@pytest.mark.control(
    "lxc1's card has the MAC of a tenant's server",
    topology=with_a_tenants_mac,
    because="the router's neighbour table holds a tenant's MAC",
)
@pytest.mark.topology(with_switches, router=["smcroute", "pimd"])
@pytest.mark.topology(with_switches, router="smcroute", family=[6])
def test_the_underlay_never_learns_a_tenants_mac(lab):
    for tenant in OTHER:
        assert lab[f"{tenant}-srv1"].ping("1.1.1.2")
    tenants_macs = {
        lab[name].ip("link", "show", "eth0")[0]["address"] for name in lab if "srv" in name
    }
    seen = {row["lladdr"] for row in lab["router"].ip("neigh") if "lladdr" in row}
    assert seen
    assert not seen & tenants_macs, "the router's neighbour table holds a tenant's MAC"
    for switch in ("net1", "net2"):
        entries = lab[switch].bridge("fdb", "show")
        learned = {entry["mac"] for entry in entries if entry.get("state") != "permanent"}
        assert learned
        assert not learned & tenants_macs, f"the FDB of switch {switch} holds a tenant's MAC"


@pytest.mark.behaviour(
    "vxlan devices of two VNIs on one host can have the same multicast group and UDP port",
    source="RFC 7348, section 4.2; drivers/net/vxlan/vxlan_core.c: vxlan_sock_add()",
)
@pytest.mark.control(
    "kim's vxlan device on lxc1 has the UDP port 4789",
    vteps={"lxc1": {"dstport": 4789}},
    because=r"lxc1's vxlan10 has VNI and port \(10, 4789\)",
)
def test_both_segments_share_one_group_and_the_default_port(lab, chosen):
    group = GROUP[chosen.get("family", 4)]
    for host in ("lxc1", "lxc2"):
        for vni in (10, 20):
            (link,) = lab[host].ip("-d", "link", "show", f"vxlan{vni}")
            data = link["linkinfo"]["info_data"]
            found = (data["id"], data["port"])
            assert found == (vni, 8472), f"{host}'s vxlan{vni} has VNI and port {found}"
            assert data.get("group", data.get("group6")) == group
            wanted = {"id": vni, "group": group, "dev": "ens33", "dstport": 8472}
            wanted |= {"ttl": 8} if chosen["ttl"] == "device" else {}
            assert unlike_defaults(lab, host, f"vxlan{vni}") == wanted


@pytest.mark.behaviour(
    "an ARP request is flooded to the multicast group, the bridges, VTEPs and servers on its way "
    "learn the sender, the ARP reply is unicast, and the packets after it are unicast too",
    source="RFC 7348, section 4.1",
)
@pytest.mark.control(
    "kim's vxlan device on lxc1 has `nolearning`",
    vteps={"lxc1": {"learning": False}},
    because=r"the tunnelled packets on lxc1's link are .*"
    r"\('echo-request', 10, '[^']+', '(239\.1\.1\.1|ff08::239:1:1:1)'\)",
)
def test_an_arp_exchange_over_vxlan_fills_every_table_on_its_way(lab, chosen):
    """Steps A to H: how kim-srv1 finds kim-srv2, and how every table on the way is filled."""
    one, two = (mac_of(lab, f"kim-srv{n}") for n in (1, 2))
    vtep1, vtep2 = VTEPS[chosen.get("family", 4)]
    group = GROUP[chosen.get("family", 4)]
    assert lab["lee-srv1"].ping("1.1.1.2")  # the router has its routes: no packet is queued there
    assert lab["kim-srv1"].ip("neigh") == []  # A: no neighbour entry, so ARP is needed
    with lab.capture("kim-srv1", "lxc1", "lxc2", "kim-srv2") as seen:
        assert lab["kim-srv1"].ping("1.1.1.2", count=2)
    ports = seen["lxc1"].ports
    at_server = steps(seen["kim-srv1"].frames, ports)
    kinds = [step.kind for step in at_server]
    assert kinds == ["who-has", "is-at", *["echo-request", "echo-reply"] * 2]
    assert at_server[0].frame.is_broadcast  # A
    tunnelled = [step for step in steps(seen["lxc1"].frames, ports) if step.vni]
    found = [(step.kind, step.vni, step.outer_src, step.outer_dst) for step in tunnelled]
    wanted = [
        ("who-has", 10, vtep1, group),  # B: VTEP 1 floods the request to the group
        ("is-at", 10, vtep2, vtep1),  # E: the reply goes from VTEP to VTEP
        ("echo-request", 10, vtep1, vtep2),  # H: from now on unicast only
        ("echo-reply", 10, vtep2, vtep1),
        ("echo-request", 10, vtep1, vtep2),
        ("echo-reply", 10, vtep2, vtep1),
    ]
    assert found == wanted, f"the tunnelled packets on lxc1's link are {found}"
    assert port_of(lab, "lxc1", one) == "kim-srv1-eth0"  # B: lxc1's bridge has learned kim-srv1
    assert vtep_of(lab, "lxc2", one) == vtep1  # C: VTEP 2 has learned kim-srv1 behind VTEP 1
    assert port_of(lab, "lxc2", one) == "vxlan10"  # C: and lxc2's bridge has learned it
    assert [step.kind for step in steps(seen["kim-srv2"].frames, ports)][:2] == ["who-has", "is-at"]
    assert neighbour_of(lab, "kim-srv2") == ("1.1.1.1", one)  # D: kim-srv2 has resolved kim-srv1
    assert vtep_of(lab, "lxc1", two) == vtep2  # F: VTEP 1 has learned kim-srv2 behind VTEP 2
    assert neighbour_of(lab, "kim-srv1") == ("1.1.1.2", two)  # G: kim-srv1 has resolved kim-srv2


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


# Controls of their own: labs that are broken on purpose, and what vxlab's diagnosis says of them.


@pytest.mark.behaviour(
    "a vxlan device without a ttl sends multicast with TTL 1, which the first router drops, and "
    "vxlab's diagnosis names the TTL as the cause",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), ttl",
)
@pytest.mark.control(
    "kim's vxlan device on lxc1 has ttl 8",
    vteps={"lxc1": {"ttl": 8}},
    because="router/eth1: wanted no packet that kim-srv1 flooded",
)
@pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"], ttl=None)
@pytest.mark.topology(catalog.kim_and_lee, router="smcroute", ttl=None, family=[6])
def test_the_router_drops_multicast_with_the_default_ttl_and_the_diagnosis_says_so(lab):
    arrived = assert_not_routed(lab, "kim-srv1", "1.1.1.255", between=("lxc1", "lxc2"))
    assert arrived.ttl == 1
    verdict = diagnose(lab, "kim-srv1", "1.1.1.2")
    assert verdict.code == "ttl"
    assert "router" in verdict.hop
    assert "TTL" in verdict.sentence or "hop limit" in verdict.sentence
