"""11.2 Provider bridges: a customer's VLANs in one VNI, alone and beside an 802.1D bridge.

red1  ── VLANs 10, 20 ── S-VLAN 100 ┐                          ┌ S-VLAN 100 ── red2
                                    ├ br0 802.1ad: VNI 1000, VNI 2000
blue1 ── VLANs 10, 20 ── S-VLAN 200 ┘                          └ S-VLAN 200 ── blue2
"""

from __future__ import annotations

import dataclasses

import pytest
from absence_tools import on_one_processor
from device_tools import tunnels
from vlan_tools import INGRESS, NETWORK, access

from vxlab import Bridge, TopologyBuilder, Vlan, wait_until
from vxlab.operations import AddLink, AddVlan

CUSTOMERS = {"red": (100, 1000), "blue": (200, 2000)}
PROVIDER = INGRESS + "; selftest forwarding/q_in_vni.sh: ping_ipv4"
DUAL = INGRESS + "; selftest forwarding/dual_vxlan_bridge.sh: ping_ipv4"
#: Room for the customer's tag in the tunnel: 1500 - 50 - 4, over IPv6 20 less.
MTU = 1426


def q_in_vni(family=4):
    """Two customers with the same VLANs and addresses, each with an S-VLAN and a VNI."""
    t = TopologyBuilder("customers' VLANs in a VNI")
    t.cable("lan", NETWORK[family])
    for name, (_, vni) in CUSTOMERS.items():
        t.segment(name, vni)
    for n in (1, 2):
        host = f"h{n}"
        t.host(host, "lan")
        add_provider_bridge(t, host)
        for name, (vlan, vni) in CUSTOMERS.items():
            t.vtep(host, name, device=f"vx{vni}", bridge="br0", vlans=access(vlan))
            t.container(f"{name}{n}", host, "br0", vlans=access(vlan))
            add_customer_vlans(t, f"{name}{n}", n)
    return t.build()


def add_provider_bridge(t, host):
    """An 802.1ad bridge, whose ports are in no VLAN by default."""
    provider = {"vlan_filtering": True, "vlan_protocol": "802.1ad", "vlan_default_pvid": 0}
    t.device(host, Bridge("br0", **provider))


def add_customer_vlans(t, container, last):
    """VLANs 10 and 20 of a customer's machine."""
    for vlan in (10, 20):
        address = f"10.0.{vlan}.{last}/24"
        t.device(container, Vlan(f"eth0.{vlan}", link="eth0", id=vlan, addresses=address, mtu=MTU))


def dual_bridge(family=4):
    """On each host an 802.1ad bridge, and an 802.1D bridge with a port of VLAN 20."""
    t = TopologyBuilder("provider bridge beside a plain one")
    t.cable("lan", NETWORK[family])
    t.segment("provider", 1000)
    t.segment("plain", 2000)
    for n in (1, 2):
        host = f"h{n}"
        t.host(host, "lan")
        add_provider_bridge(t, host)
        t.vtep(host, "provider", device="vx1000", bridge="br0", vlans=access(100))
        t.container(f"red{n}", host, "br0", vlans=access(100))
        add_customer_vlans(t, f"red{n}", n)
        t.device(host, Bridge("br1"), Vlan("blue.20", link="blue", id=20, master="br1"))
        t.vtep(host, "plain", device="vx2000", bridge="br1")
        t.container(f"blue{n}", host, None, host_device="blue")
        add_customer_vlans(t, f"blue{n}", n)
    return t.build()


def as_customer_bridges(operation):
    """A control: the bridges are 802.1Q ones."""
    if isinstance(operation, AddLink) and operation.kind == "bridge":
        kept = {**dict(operation.attributes), "vlan_protocol": "802.1Q"}
        return dataclasses.replace(operation, attributes=tuple(kept.items()))
    return operation


def red_vlan_on_all_ports(operation):
    """A control: all ports of h2 are in red's S-VLAN."""
    if isinstance(operation, AddVlan) and operation.node == "h2":
        return dataclasses.replace(operation, vlan=100)
    return operation


def vlan_port_of_30(operation):
    """A control: the port of the plain bridge has VLAN 30."""
    if isinstance(operation, AddLink) and operation.name == "blue.20":
        return dataclasses.replace(operation, attributes=(("id", 30),))
    return operation


def assert_carried(lab, customer, vlan, wanted):
    """Assert the VNI and the inner tags in which a customer's datagram in a VLAN arrives."""
    data = f"{customer} {vlan}".encode()
    with lab.capture("h1:eth0") as seen:
        answered = lab[f"{customer}1"].ping(f"10.0.{vlan}.2")
        assert answered, f"no answer to {customer} in VLAN {vlan}"
        lab[f"{customer}1"].send_marked(f"10.0.{vlan}.2", data)
        wait_until(lambda: tunnels(seen["h1:eth0"], data), f"{data!r} in a tunnel")
    found = [(packet.vni, packet.inner.vlans) for packet in tunnels(seen["h1:eth0"], data)]
    assert found == [wanted], f"{customer}'s VLAN {vlan} is carried as {found}"


@pytest.mark.behaviour(
    "an 802.1ad bridge takes all VLANs of a customer into the customer's S-VLAN, whose VNI carries"
    " them with their own tags and without the S-VLAN's",
    source=PROVIDER,
)
@pytest.mark.control(
    "the bridges are 802.1Q ones",
    change=as_customer_bridges,
    because="no answer to (red|blue) in VLAN [12]0",
)
@pytest.mark.topology(q_in_vni, family=[4, 6])
@pytest.mark.parametrize("vlan", [10, 20])
@pytest.mark.parametrize(("customer", "vni"), [("red", 1000), ("blue", 2000)])
def test_a_vni_carries_all_vlans_of_a_customer(lab, customer, vni, vlan):
    assert_carried(lab, customer, vlan, (vni, (vlan,)))


@pytest.mark.behaviour(
    "a broadcast in a customer's VLAN reaches the same customer alone, although another one has the"
    " same VLAN behind the same 802.1ad bridges",
    source=PROVIDER,
)
@pytest.mark.control(
    "on h2 all ports are in red's S-VLAN",
    change=red_vlan_on_all_ports,
    because=r"red received \[b'red', b'blue'\], blue received \[b'red', b'blue'\]",
)
@pytest.mark.topology(q_in_vni, family=[4, 6])
def test_a_customers_broadcast_reaches_the_customer_alone(lab):
    assert lab.unreached([("red1", "10.0.10.2"), ("blue1", "10.0.10.2")]) == []
    with on_one_processor(), lab.capture("red2:eth0.10", "blue2:eth0.10") as seen:
        for name in CUSTOMERS:
            data = name.encode()
            lab[f"{name}1"].send_marked("10.0.10.255", data)
            wait_until(
                lambda data=data: any(data in one.payloads() for one in seen.values()),
                f"a customer to receive {data!r}",
            )
    assert all(capture.was_live for capture in seen.values())
    red, blue = seen["red2:eth0.10"].payloads(), seen["blue2:eth0.10"].payloads()
    assert (red, blue) == ([b"red"], [b"blue"]), f"red received {red}, blue received {blue}"


@pytest.mark.behaviour(
    "on hosts with an 802.1ad bridge and an 802.1D bridge that has a VLAN device as port, the VNI"
    " of the first carries the customer's tags, that of the second none",
    source=DUAL,
)
@pytest.mark.control(
    "the VLAN device that is a port of the 802.1D bridge has VLAN 30",
    change=vlan_port_of_30,
    because="no answer to blue in VLAN 20",
)
@pytest.mark.topology(dual_bridge, family=[4, 6])
def test_two_kinds_of_bridge_have_a_vni_each(lab):
    assert_carried(lab, "red", 20, (1000, (20,)))
    assert_carried(lab, "blue", 20, (2000, ()))
