"""11.3 Routing between segments: asymmetric, by SVIs in all VLANs, and symmetric, by an L3 VNI.

    c101 ── VLAN 10 ┐                                                   ┌ VLAN 10 ── c102
                    ├ br0 of h1: vlan10, vlan20 (SVIs), gw10, gw20 … h2 ┤
    c201 ── VLAN 20 ┘                                                   └ VLAN 20 ── c202

The anycast gateways gw10 and gw20 have the same addresses and MAC address on both hosts.
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import at, holds, mac_of, tunnels
from flood_tools import BROADCAST, datagram_frame, send_frames
from neighbour_tools import (
    REQUEST,
    SOLICITATION,
    arp_message,
    is_reply_about,
    nd_message,
    read_message,
)
from vlan_tools import NETWORK, UNDERLAY, access, address, subnet

from vxlab import Bridge, Macvlan, TopologyBuilder, Vlan, Vrf
from vxlab.operations import (
    AddFdb,
    AddNeighbour,
    AddRoute,
    AddVlan,
    DelNeighbour,
    SetPort,
)

VNIS = {10: 1010, 20: 1020}
GATEWAY_MAC = "00:00:5e:00:01:01"
ROUTER_MACS = ("02:00:00:00:0f:01", "02:00:00:00:0f:02")
FORWARDING = "net/ipv4/ip_forward.c, net/ipv6/ip6_output.c: ip{,6}_forward()"
ASYMMETRIC = FORWARDING + "; selftest forwarding/vxlan_asymmetric.sh: "
SYMMETRIC = FORWARDING + "; selftest forwarding/vxlan_symmetric.sh: ping_ipv4"


def asymmetric(family=4):
    """Two hosts with an SVI and an anycast gateway in each VLAN."""
    t = TopologyBuilder("asymmetric routing")
    t.cable("lan", NETWORK[family])
    for vlan, vni in VNIS.items():
        t.segment(f"vlan{vlan}", vni)
    for n in (1, 2):
        add_gateway_host(t, n, family)
    return t.build()


def add_gateway_host(t, n, family, vrf=None, vlans=(10, 20)):
    """A host that routes between VLANs 10 and 20, in a VRF or not, with an endpoint in each."""
    host, length = f"h{n}", {4: 32, 6: 128}[family]
    t.host(host, "lan", forwarding=True)
    t.setting(host, "net.ipv4.conf.all.arp_ignore", 1)  # an SVI does not answer for its gateway
    t.device(host, Bridge("br0", vlan_filtering=True, vlan_default_pvid=0, vlans=vlans))
    for vlan in VNIS:
        own, svi, gateway = f"c{vlan}{n}", f"vlan{vlan}", address(family, vlan, 254)
        t.vtep(host, svi, device=f"vx{vlan}", bridge="br0", vlans=access(vlan))
        addresses = subnet(family, vlan)(10 + n)
        t.device(host, Vlan(svi, link="br0", id=vlan, addresses=addresses, master=vrf))
        anycast = {"mac": GATEWAY_MAC, "addresses": f"{gateway}/{length}"}
        t.device(host, Macvlan(f"gw{vlan}", link=svi, master=vrf, **anycast))
        t.container(own, host, "br0", subnet(family, vlan)(n), vlans=access(vlan))
        t.route(own, "default", gateway)
        # Frames to it stay on this host, also where that of the other host was learned before.
        t.then(AddFdb(host, "br0", GATEWAY_MAC, vlan=vlan, replace=True))


def symmetric(family=4):
    """The same hosts in a VRF, with routes to the other host's endpoints by an L3 VNI."""
    t = TopologyBuilder("symmetric routing")
    t.cable("lan", NETWORK[family])
    for vlan, vni in VNIS.items():
        t.segment(f"vlan{vlan}", vni)
    t.segment("l3", 104001, flood="none", attributes={"learning": False})
    for n in (1, 2):
        add_gateway_host(t, n, family, "tenant", (10, 20, 4001))
        add_l3_vni(t, n, family)
    return t.build()


def add_l3_vni(t, n, family):
    """The VRF of a host, its SVI in the L3 VNI, and host routes by the other host's router MAC."""
    host, length = f"h{n}", {4: 32, 6: 128}[family]
    own, other, far = ROUTER_MACS[n - 1], ROUTER_MACS[2 - n], UNDERLAY[family][2 - n]
    t.device(host, Vrf("tenant", table=10))
    t.device(host, Vlan("vlan4001", link="br0", id=4001, mac=own, master="tenant"))
    t.setting(host, "net.ipv6.conf.vlan4001.disable_ipv6", 0)  # which it is without an address
    t.vtep(host, "l3", device="vx4001", bridge="br0", vlans=access(4001))
    for vlan in VNIS:
        route = {"interface": "vlan4001", "onlink": True, "table": 10}
        t.route(host, f"{address(family, vlan, 3 - n)}/{length}", far, **route)
    t.then(
        AddFdb(host, "br0", own, vlan=4001),
        AddFdb(host, "vx4001", other, far),
        AddFdb(host, "vx4001", other, vlan=4001, state="static", flags=("master",)),
        AddNeighbour(host, "vlan4001", far, other),
    )


def all_pairs(family):
    """Each endpoint with the address of each other one."""
    ends = [(vlan, n) for vlan in VNIS for n in (1, 2)]
    return [
        (f"c{vlan}{n}", address(family, *there))
        for vlan, n in ends
        for there in ends
        if there != (vlan, n)
    ]


def bridge_not_in_vlan_20(operation):
    """A control: h1's bridge itself is not in VLAN 20, and so has no entry there."""
    if (isinstance(operation, AddVlan) and operation.itself) or isinstance(operation, AddFdb):
        return None if (operation.node, operation.vlan) == ("h1", 20) else operation
    return operation


def wrong_router_mac(operation):
    """A control: h1 has a wrong MAC address for h2 in the L3 VNI."""
    if isinstance(operation, AddNeighbour) and operation.node == "h1":
        return dataclasses.replace(operation, mac="02:00:00:00:0f:99")
    return operation


def without_host_routes(operation):
    """A control: h1 has no routes by the L3 VNI."""
    if isinstance(operation, AddRoute) and operation.node == "h1":
        return None if operation.interface == "vlan4001" else operation
    return operation


def family_of(lab):
    """The IP family of a lab, which is that of its underlay."""
    return 6 if ":" in at(lab, "h1") else 4


def route_by_the_other_svi(lab):
    """A control: h1 sends what is for VLAN 20 to h2's SVI in VLAN 10."""
    family = family_of(lab)
    length = {4: 32, 6: 128}[family]
    to = f"{address(family, 20, 2)}/{length}"
    lab.apply(AddRoute("h1", to, address(family, 10, 12)))


def carried_both_ways(lab, family):
    """Of a datagram from c101 to c202, and one back: the tunnelled packets, as h1 sees them."""
    there, back = address(family, 20, 2), address(family, 10, 1)
    assert lab["c101"].ping(there), "no answer from c202"
    with lab.capture("h1:eth0") as seen:
        lab["c101"].send_marked(there, b"there")
        lab["c202"].send_marked(back, b"back")
        for data in (b"there", b"back"):
            seen["h1:eth0"].wait_for(holds(data), f"the datagram {data!r}")
    ((first,), (second,)) = (tunnels(seen["h1:eth0"], data) for data in (b"there", b"back"))
    return first, second


@pytest.mark.behaviour(
    "hosts with an SVI and an anycast gateway in each VLAN connect all endpoints, of the same or"
    " another VLAN, on the same or another host",
    source=ASYMMETRIC + "ping_ipv4",
)
@pytest.mark.control(
    "h1's bridge itself is not in VLAN 20",
    change=bridge_not_in_vlan_20,
    because=r"no answer: \[\('c101', '(10\.0\.20\.1|fd00:10:20::1)'\)",
)
@pytest.mark.topology(asymmetric, family=[4, 6])
def test_svis_connect_all_endpoints(lab, chosen):
    missing = lab.unreached(all_pairs(chosen["family"]))
    assert missing == [], f"no answer: {missing}"


@pytest.mark.behaviour(
    "with an SVI in each VLAN, the host of the sender routes a packet into the receiver's VLAN, so"
    " that each direction is carried in another VNI",
    source=ASYMMETRIC + "ping_ipv4",
)
@pytest.mark.control(
    "h1 sends what is for VLAN 20 to h2's SVI in VLAN 10",
    lab=route_by_the_other_svi,
    because=r"there, back: \[\(1010, 63",
)
@pytest.mark.topology(asymmetric, family=[4, 6])
def test_each_direction_has_the_vni_of_its_receiver(lab, chosen):
    first, second = carried_both_ways(lab, chosen["family"])
    found = [(one.vni, one.inner.ttl, one.inner.dst) for one in (first, second)]
    macs = [mac_of(lab, name, "eth0") for name in ("c202", "c101")]
    assert found == [(1020, 63, macs[0]), (1010, 63, macs[1])], f"there, back: {found}"


@pytest.mark.behaviour(
    "an SVI asks in its own VNI for the MAC of an endpoint that is no longer among its neighbours,"
    " and learns it from the decapsulated reply",
    source="net/ipv4/arp.c: arp_process(), net/ipv6/ndisc.c: ndisc_recv_na(); "
    "selftest forwarding/vxlan_asymmetric.sh: arp_decap",
)
@pytest.mark.control(
    "the neighbour is not deleted",
    without=DelNeighbour,
    because=r"asked and told in the tunnel: \[\]",
)
@pytest.mark.topology(asymmetric, family=[4, 6])
def test_a_neighbour_is_learned_by_a_decapsulated_reply(lab, chosen):
    there = address(chosen["family"], 20, 2)
    assert lab["c101"].ping(there)
    lab.apply(DelNeighbour("h1", "vlan20", there))
    with lab.capture("h1:eth0") as seen:
        assert lab["c101"].ping(there)
        lab["c101"].send_marked(there, b"last")
        seen["h1:eth0"].wait_for(holds(b"last"), "a later datagram")
    found = [(one.vni, read_message(one.inner)) for one in seen["h1:eth0"].encapsulated()]
    found = [(vni, *read[:2]) for vni, read in found if read and read[1] == there]
    wanted = [(1020, "request", there), (1020, "reply", there)]
    assert found == wanted, f"asked and told in the tunnel: {found}"
    assert neighbours(lab, "vlan20", there) == [mac_of(lab, "c202", "eth0")]


def neighbours(lab, interface, wanted):
    """The MAC addresses that h1 has for an address on an interface."""
    rows = lab["h1"].state.neighbours
    return [row.mac for row in rows if (row.interface, row.address) == (interface, wanted)]


@pytest.mark.behaviour(
    "a bridge port with `neigh_suppress` answers requests in a VLAN from the neighbours of the"
    " bridge's SVI in that VLAN, and does not send them into the tunnel",
    source="net/bridge/br_arp_nd_proxy.c: br_do_proxy_suppress_arp(), br_do_suppress_nd(); "
    "selftest forwarding/vxlan_asymmetric.sh: arp_suppression",
)
@pytest.mark.control(
    "the SVI does not have the neighbour",
    without=AddNeighbour,
    because=r"asked in the tunnel: \['(10\.0\.10\.2|fd00:10:10::2)'\]",
)
@pytest.mark.topology(asymmetric, family=[4, 6])
def test_a_port_answers_from_the_neighbours_of_the_svi(lab, chosen):
    family = chosen["family"]
    target, mac = address(family, 10, 2), mac_of(lab, "c102", "eth0")
    lab.apply(
        AddNeighbour("h1", "vlan10", target, mac, replace=True),
        AddFdb("h1", "vx10", mac, vlan=10, state="static", flags=("master",), replace=True),
        SetPort("h1", "vx10", (("neigh_suppress", True),)),
    )
    asker = address(family, 10, 200)
    request = {
        4: lambda: arp_message(REQUEST, asker, target),
        6: lambda: nd_message(SOLICITATION, target, source=asker),
    }[family]()
    with lab.capture("h1:eth0", "c101") as seen:
        send_frames(lab["c101"], "eth0", request)
        answer = seen["c101"].wait_for(is_reply_about(target), "an answer")
        send_frames(lab["c101"], "eth0", datagram_frame(BROADCAST, b"last"))
        seen["h1:eth0"].wait_for(holds(b"last"), "a later broadcast")
    messages = [read_message(one.inner) for one in seen["h1:eth0"].encapsulated()]
    asked = [one[1] for one in messages if one and one[:2] == ("request", target)]
    assert asked == [], f"asked in the tunnel: {asked}"
    assert read_message(answer) == ("reply", target, mac)


@pytest.mark.behaviour(
    "hosts whose VRFs are joined by an L3 VNI connect all endpoints, of the same or another VLAN,"
    " on the same or another host",
    source=SYMMETRIC,
)
@pytest.mark.control(
    "h1 has a wrong MAC address for h2 in the L3 VNI",
    change=wrong_router_mac,
    because=r"no answer: \[\('c101', '(10\.0\.20\.2|fd00:10:20::2)'\)",
)
@pytest.mark.topology(symmetric, family=[4, 6])
def test_an_l3_vni_connects_all_endpoints(lab, chosen):
    missing = lab.unreached(all_pairs(chosen["family"]))
    assert missing == [], f"no answer: {missing}"


@pytest.mark.behaviour(
    "with host routes by an L3 VNI, packets between VLANs are carried in that VNI in both"
    " directions, from the router MAC of one host to that of the other",
    source=SYMMETRIC,
)
@pytest.mark.control(
    "h1 has no routes by the L3 VNI",
    change=without_host_routes,
    because=r"there, back: \[\(1020, 63",
)
@pytest.mark.topology(symmetric, family=[4, 6])
def test_both_directions_have_the_l3_vni(lab, chosen):
    first, second = carried_both_ways(lab, chosen["family"])
    found = [(one.vni, one.inner.ttl, one.inner.src, one.inner.dst) for one in (first, second)]
    h1, h2 = ROUTER_MACS
    assert found == [(104001, 63, h1, h2), (104001, 63, h2, h1)], f"there, back: {found}"
