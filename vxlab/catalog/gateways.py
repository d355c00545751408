"""Hosts that route between segments."""

from __future__ import annotations

from vxlab.catalog.underlay import address_of, network_of
from vxlab.catalog.vlans import access, ends
from vxlab.describe import checks, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.devices import Bridge, Macvlan, Vlan, Vrf
from vxlab.describe.topology import Topology
from vxlab.plan.operations import AddFdb, AddNeighbour

#: The MAC address of the gateway, the same on all hosts (RFC 5798 section 7.3).
_GATEWAY = "00:00:5e:00:01:01"


def irb_asymmetric(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """Each host routes between two segments, which both reach every host.

        a1 10.0.10.1 ─┐                                    ┌─ 10.0.10.2 a2
                      ├ br0 ─ vxlan10, 20 ── lan ── vxlan10, 20 ─ br0 ┤
        b1 10.0.20.1 ─┘                                    └─ 10.0.20.2 b2

    The gateways 10.0.10.254 and 10.0.20.254 have one MAC address on both hosts (macvlan devices
    gw10 and gw20).  ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472) that of both
    segments.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("irb-asymmetric")
    for vlan in (10, 20):
        t.segment(f"v{vlan}", 1000 + vlan, port=port)
    for host in ends(t, family, forwarding=True):
        n = int(host[1:])
        t.device(host, Bridge("br0", vlan_filtering=True, vlan_default_pvid=0, vlans=(10, 20)))  # type: ignore[arg-type]
        for vlan, name in ((10, "a"), (20, "b")):
            t.vtep(host, f"v{vlan}", device=f"vxlan{vlan}", bridge="br0", vlans=access(vlan))
            own, shared = f"10.0.{vlan}.{10 + n}/24", f"10.0.{vlan}.254/24"
            below = f"vlan{vlan}"
            t.device(
                host,
                Vlan(below, link="br0", id=vlan, addresses=(own,), mtu=1430),
                Macvlan(f"gw{vlan}", link=below, mac=_GATEWAY, addresses=(shared,)),
            )
            t.container(f"{name}{n}", host, "br0", f"10.0.{vlan}.{n}/24", vlans=access(vlan))
            t.route(f"{name}{n}", "default", f"10.0.{vlan}.254")
    return t.build()


def irb_symmetric(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """Each host routes its own segment into a third one, which joins the routers.

        a1 10.0.10.1 ─ br-a ─ vrf ─ br-l3 ─ vxlan0 ── lan ── vxlan0 ─ br-l3 ─ vrf ─ br-a ─ 10.0.20.1 b1

    The segment between the routers has VNI 4001; what is to go to the other host is sent to that
    one's router MAC address.  ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472)
    that of the segment.  TopologyError for a value that cannot be.
    """  # noqa: E501 - the picture
    t = TopologyBuilder("irb-symmetric")
    addresses = ends(t, family, forwarding=True)
    t.segment("l3", 4001, port=port, flood="none", attributes={"learning": False})
    for n, far in ((1, 2), (2, 1)):
        host, name, mac = f"h{n}", "ab"[n - 1] + "1", f"02:00:00:00:40:0{far}"
        inside = f"10.0.{n}0"
        t.device(
            host,
            Vrf("tenant", table=100),
            Bridge(
                "br-l3",
                master="tenant",
                mac=f"02:00:00:00:40:0{n}",
                mtu=1430,
                addresses=(f"10.255.0.{n}/32",),
            ),
            Bridge("br-a", master="tenant", addresses=(f"{inside}.254/24",)),
        )
        t.vtep(host, "l3", bridge="br-l3", port={"learning": False})
        t.container(name, host, "br-a", f"{inside}.1/24", mtu=1430)
        t.route(name, "default", f"{inside}.254")
        gateway = f"10.255.0.{far}"
        t.route(host, f"10.0.{far}0.0/24", gateway, interface="br-l3", onlink=True, vrf="tenant")
        t.then(
            AddNeighbour(host, "br-l3", gateway, mac=mac),
            AddFdb(host, "vxlan0", mac, dst=addresses[f"h{far}"]),
        )
    return t.build()


def flannel(*, family: int = 4, hosts: int = 2) -> Topology:
    """Pods behind bridges that route into VXLAN, as flannel builds it.

        p1 10.244.1.2 ─ cni0 n1 flannel.1 ── lan ── flannel.1 n2 cni0 ─ 10.244.2.2 p2

    The devices learn nothing and flood nothing: each node has a route, a neighbour and a forwarding
    entry for every other one.  ``family`` (4, 6) is that of the underlay, ``hosts`` the number of
    nodes, 1 to 26.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("flannel")
    t.switch("lan", network_of(family, "192.168.57.0/24"))
    t.segment("pods", 1, flood="none", attributes={"learning": False})
    numbers = range(1, checks.number(t.name, "hosts", hosts, 1, 26) + 1)
    for n in numbers:
        node, mac = f"n{n}", f"02:00:00:00:f1:{n:02x}"
        t.host(node, "lan", address_of(family, f"192.168.57.{n}"), forwarding=True)
        t.device(node, Bridge("cni0", addresses=(f"10.244.{n}.1/24",), mtu=1430))
        t.vtep(node, "pods", device="flannel.1", addresses=f"10.244.{n}.0/32", mac=mac)
        t.container(f"p{n}", node, "cni0", f"10.244.{n}.2/24", mtu=1430)
        t.route(f"p{n}", "default", f"10.244.{n}.1")
        for far in numbers:
            if far != n:
                _reach(t, node, far, address_of(family, f"192.168.57.{far}").partition("/")[0])
    return t.build()


def _reach(t: TopologyBuilder, node: str, far: int, remote: str) -> None:
    """What a node is told of the one with the number ``far`` at the address ``remote``."""
    gateway, mac = f"10.244.{far}.0", f"02:00:00:00:f1:{far:02x}"
    t.route(node, f"10.244.{far}.0/24", gateway, interface="flannel.1", onlink=True)
    t.then(
        AddNeighbour(node, "flannel.1", gateway, mac=mac),
        AddFdb(node, "flannel.1", mac, dst=remote),
    )
