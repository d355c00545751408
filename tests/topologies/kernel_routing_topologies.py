"""The topologies of the kernel's selftests that route between segments, or tag twice."""

from __future__ import annotations

from kernel_topologies import ANY
from known_topologies import access, known, pair, trunk

from vxlab import Bridge, Loopback, Macvlan, TopologyBuilder, Vlan, Vrf
from vxlab.operations import AddFdb, AddNeighbour

GATEWAY = "00:00:5e:00:01:01"


def _with_loopbacks(name: str, local: str, length: int, network: str) -> TopologyBuilder:
    """Two hosts with a cable, the addresses of their VTEPs on their loopback devices."""
    t = TopologyBuilder(name)
    t.cable("lan", network)
    for n in (1, 2):
        t.host(f"h{n}", "lan", forwarding=True)
        t.device(f"h{n}", Loopback(addresses=f"{local.format(n)}/{length}"))
    return t


def _asymmetric(name: str, t: TopologyBuilder, inner: str, gateway: str, length: int) -> None:
    for vlan in (10, 20):
        t.segment(f"v{vlan}", 1000 + vlan, port=4789)
    for n in (1, 2):
        h = f"h{n}"
        t.device(h, Bridge("br1", vlan_filtering=True, vlan_default_pvid=0, vlans=(10, 20)))
        for vlan in (10, 20):
            device = f"vx{vlan}"
            t.vtep(h, f"v{vlan}", device=device, nic="lo", bridge="br1", vlans=access(vlan))
            own = f"{inner.format(vlan, 10 + n)}/{length}"
            shared = f"{gateway.format(vlan)}/{length}"
            t.device(
                h,
                Vlan(f"vlan{vlan}", link="br1", id=vlan, addresses=own, mtu=1430),
                Macvlan(f"vlan{vlan}-v", link=f"vlan{vlan}", mac=GATEWAY, addresses=shared),
            )
            c = f"c{vlan}{n}"
            t.container(c, h, "br1", f"{inner.format(vlan, n)}/{length}", vlans=access(vlan))
            t.route(c, "default", gateway.format(vlan))


_PINGS = (
    ("c101", "10.1.10.2"),
    ("c101", "10.1.20.1"),
    ("c101", "10.1.20.2"),
    ("c201", "10.1.10.2"),
)


@known("forwarding/vxlan_asymmetric.sh", *_PINGS)
def asymmetric() -> TopologyBuilder:
    """Each host routes between the VLANs, with the same gateway everywhere."""
    t = _with_loopbacks("asymmetric", "10.0.0.{}", 32, "192.0.2.0/24")
    _asymmetric("asymmetric", t, "10.1.{}.{}", "10.1.{}.254", 24)
    return t


_PINGS6 = tuple(
    (node, f"2001:db8:{net}::{n}") for node, net, n in (("c101", 10, 2), ("c101", 20, 2))
)


@known("forwarding/vxlan_asymmetric_ipv6.sh", *_PINGS6)
def asymmetric_ipv6() -> TopologyBuilder:
    """The same of IPv6."""
    t = _with_loopbacks("asymmetric6", "2001:db8:3::{}", 128, "2001:db8:4::/64")
    _asymmetric("asymmetric6", t, "2001:db8:{}::{}", "2001:db8:{}::fe", 64)
    return t


def _symmetric(t: TopologyBuilder, inner: str, lengths: tuple[int, int], locals_: str) -> None:
    subnet, host = lengths
    t.segment("v10", 1010, port=4789)
    t.segment("v20", 1020, port=4789)
    t.segment("l3", 104001, port=4789, flood="none", attributes={"learning": False})
    for n, vlan in ((1, 10), (2, 20)):
        h, other, far = f"h{n}", 3 - n, 30 - vlan
        t.device(
            h,
            Vrf("vrf-green", table=10),
            Bridge("br1", vlan_filtering=True, vlan_default_pvid=0, vlans=(vlan, 4001)),
        )
        for name, segment, vid in (("vx1", f"v{vlan}", vlan), ("vx4001", "l3", 4001)):
            t.vtep(h, segment, device=name, nic="lo", bridge="br1", vlans=access(vid))
        gateway = f"{inner.format(vlan, 254)}/{subnet}"
        router_mac = f"02:00:00:00:00:a{n}"
        t.device(
            h,
            Vlan("vlan1", link="br1", id=vlan, master="vrf-green", addresses=gateway, mtu=1430),
            Vlan("vlan4001", link="br1", id=4001, master="vrf-green", mac=router_mac, mtu=1430),
        )
        t.container(f"c{n}", h, "br1", f"{inner.format(vlan, n)}/{subnet}", vlans=access(vlan))
        t.route(f"c{n}", "default", inner.format(vlan, 254))
        target, via = inner.format(far, other), locals_.format(other)
        t.route(h, f"{target}/{host}", via, interface="vlan4001", onlink=True, vrf="vrf-green")
        far_mac = f"02:00:00:00:00:a{other}"
        t.then(
            AddNeighbour(h, "vlan4001", via, far_mac),
            AddFdb(h, "vx4001", far_mac, via),
            AddFdb(h, "vx4001", far_mac, vlan=4001, flags=("master",), state="static"),
        )


@known("forwarding/vxlan_symmetric.sh", ("c1", "10.1.20.2"), ("c2", "10.1.10.1"))
def symmetric() -> TopologyBuilder:
    """Both hosts route: between them is a segment of its own."""
    t = _with_loopbacks("symmetric", "10.0.0.{}", 32, "192.0.2.0/24")
    _symmetric(t, "10.1.{}.{}", (24, 32), "10.0.0.{}")
    return t


def _q_in_vni(name: str, network: str, inner: str) -> TopologyBuilder:
    t = pair(name, network)
    t.segment("customer", 1000, port=4789)
    for n in (1, 2):
        h, c = f"h{n}", f"c{n}"
        bridge = Bridge("br1", vlan_filtering=True, vlan_protocol="802.1ad", vlan_default_pvid=0)
        t.device(h, bridge)
        t.vtep(h, "customer", device="vx100", bridge="br1", vlans=access(100))
        t.container(c, h, "br1", vlans=access(100))
        for vlan in (10, 20):
            address = inner.format(vlan, n)
            t.device(c, Vlan(f"eth0.{vlan}", link="eth0", id=vlan, addresses=address, mtu=1400))
    return t


@known("forwarding/q_in_vni.sh", ("c1", "10.0.10.2"), ("c1", "10.0.20.2"))
def q_in_vni() -> TopologyBuilder:
    """All VLANs of a customer in one VNI."""
    return _q_in_vni("q in vni", "192.0.2.0/28", "10.0.{}.{}/24")


@known("forwarding/q_in_vni_ipv6.sh", ("c1", "2001:db8:10::2"), ("c1", "2001:db8:20::2"))
def q_in_vni_ipv6() -> TopologyBuilder:
    """The same of IPv6."""
    return _q_in_vni("q in vni 6", "2001:db8:4::/64", "2001:db8:{}::{}/64")


@known("forwarding/dual_vxlan_bridge.sh", ("c1", "10.0.10.2"), ("d1", "10.0.20.2"))
def dual_bridge() -> TopologyBuilder:
    """An 802.1ad bridge and a plain one on one host, a VNI each."""
    t = pair("dual bridge", "192.0.2.0/28")
    t.segment("customer", 1000, port=4789)
    t.segment("plain", 2000, port=4789)
    for n in (1, 2):
        h = f"h{n}"
        customer = Bridge("br1", vlan_filtering=True, vlan_protocol="802.1ad", vlan_default_pvid=0)
        t.device(h, customer, Bridge("br2"))
        t.vtep(h, "customer", device="vx100", bridge="br1", vlans=access(100))
        t.vtep(h, "plain", device="vx200", bridge="br2")
        t.container(f"c{n}", h, "br1", vlans=access(100))
        inner = f"10.0.10.{n}/24"
        t.device(f"c{n}", Vlan("eth0.10", link="eth0", id=10, addresses=inner, mtu=1400))
        t.container(f"d{n}", h, "br2", f"10.0.20.{n}/24")
    return t


@known("forwarding/vxlan_bridge_1q_mc_ul.sh", ("w1", "192.0.2.2"))
def multicast_underlay() -> TopologyBuilder:
    """The flood goes to a group through a router, by trunks in VLAN-aware bridges."""
    t = TopologyBuilder("mc ul")
    for n in (1, 2):
        t.cable(f"net{n}", f"198.51.{n}.0/28")
    t.router("r1", "net1", "net2", daemon="smcroute")
    t.segment("v10", 1000, port=4789, group="233.252.0.1", attributes={"ttl": 100})
    for n in (1, 2):
        t.host(f"h{n}", f"net{n}")
        t.device(f"h{n}", Bridge("br1", vlan_filtering=True, vlan_default_pvid=0))
        t.vtep(f"h{n}", "v10", device="vx10", bridge="br1", vlans=access(10))
        t.container(f"w{n}", f"h{n}", "br1", vlans=trunk(10))
        inner = f"192.0.2.{n}/28"
        t.device(f"w{n}", Vlan("vlan10", link="eth0", id=10, addresses=inner, mtu=1430))
    return t


@known("forwarding/vxlan_bridge_1d.sh, flood list by hand", ("c1", "10.0.0.2"))
def flood_list() -> TopologyBuilder:
    """Devices without a remote; the flood list is written afterwards, with one that is dead."""
    t = pair("flood list", "192.0.2.0/24")
    t.segment("one", 10, port=4789, flood="none")
    for n, other in ((1, 2), (2, 1)):
        t.vtep(f"h{n}", "one", bridge="br0")
        t.container(f"c{n}", f"h{n}", "br0", f"10.0.0.{n}/24")
        t.then(
            AddFdb(f"h{n}", "vxlan0", ANY, "192.0.2.99", append=True),
            AddFdb(f"h{n}", "vxlan0", ANY, f"192.0.2.{other}", append=True),
        )
    return t
