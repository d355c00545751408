"""Bridges that know VLANs, and the VNIs that those stand for."""

from __future__ import annotations

from vxlab.catalog.underlay import address_of, network_of
from vxlab.describe import vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.devices import Bridge, PortVlan, Vlan, Vxlan
from vxlab.describe.topology import Topology
from vxlab.plan.operations import AddVni

#: The names of two containers on each host by their VLANs.
_TENANTS = {10: "a", 20: "b"}


def access(vlan: int) -> tuple[PortVlan, ...]:
    """The VLANs of a port whose frames belong to ``vlan``, and have no tag."""
    return (PortVlan(vlan, pvid=True, untagged=True),)


def ends(t: TopologyBuilder, family: int, *, forwarding: bool = False) -> dict[str, str]:
    """Add hosts h1 and h2 on a cable lan to ``t``; the address of each by its name.

    ``family`` (4, 6) is that of the addresses; with ``forwarding`` the hosts are routers too.
    """
    t.cable("lan", network_of(family, "192.168.57.0/24"))
    found = {}
    for n in (1, 2):
        address = address_of(family, f"192.168.57.{n}")
        t.host(f"h{n}", "lan", address, forwarding=forwarding)
        found[f"h{n}"] = address.partition("/")[0]
    return found


def vlan_aware(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """Two VNIs in one VLAN-aware bridge, a vxlan device for each.

        a1 10.0.10.1 ─┐      ┌─ vxlan10 ── lan ── vxlan10 ─┐      ┌─ 10.0.10.2 a2
                      ├ br0 ─┤                             ├─ br0 ┤
        b1 10.0.20.1 ─┘      └─ vxlan20 ── lan ── vxlan20 ─┘      └─ 10.0.20.2 b2

    VLAN 10 is a's and has VNI 1010, VLAN 20 is b's and has VNI 1020.  ``family`` (4, 6) is that of
    the underlay, ``port`` (UDP; 0: 8472) that of both segments.  TopologyError for a value that
    cannot be.
    """
    t = TopologyBuilder("vlan-aware")
    for vlan in _TENANTS:
        t.segment(f"v{vlan}", 1000 + vlan, port=port)
    for host in ends(t, family):
        t.device(host, Bridge("br0", vlan_filtering=True, vlan_default_pvid=0))
        for vlan, name in _TENANTS.items():
            t.vtep(host, f"v{vlan}", device=f"vxlan{vlan}", bridge="br0", vlans=access(vlan))
            address = f"10.0.{vlan}.{host[1:]}/24"
            t.container(f"{name}{host[1:]}", host, "br0", address, vlans=access(vlan))
    return t.build()


def single_device(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """Two VNIs on one vxlan device, which a VLAN-aware bridge tells apart.

        a1 10.0.10.1 ─┐                             ┌─ 10.0.10.2 a2
                      ├ br0 ─ vxlan0 ── lan ── vxlan0 ─ br0 ┤
        b1 10.0.20.1 ─┘                             └─ 10.0.20.2 b2

    VLAN 10 is a's and has VNI 1010, VLAN 20 is b's and has VNI 1020: the device is ``external``
    with ``vnifilter``.  ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472) the
    device's.  TopologyError for a value that cannot be.
    """
    t = TopologyBuilder("single-device")
    addresses = ends(t, family)
    mapping = tuple(PortVlan(vlan, vni=1000 + vlan) for vlan in _TENANTS)
    usual = {"external": True, "vnifilter": True, "learning": True}
    for host, address in addresses.items():
        attributes = {**usual, "local": address, "dstport": port or vxlan.KERNEL_PORT}
        tunnel = {"vlan_tunnel": True}
        device = Vxlan("vxlan0", master="br0", attributes=attributes, port=tunnel, vlans=mapping)  # type: ignore[arg-type]
        t.device(host, Bridge("br0", vlan_filtering=True, vlan_default_pvid=0), device)
        (remote,) = (each for other, each in addresses.items() if other != host)
        for vlan, name in _TENANTS.items():
            t.then(AddVni(host, "vxlan0", 1000 + vlan, remote=remote))
            inner = f"10.0.{vlan}.{host[1:]}/24"
            t.container(f"{name}{host[1:]}", host, "br0", inner, mtu=1430, vlans=access(vlan))
    return t.build()


def q_in_vni(*, family: int = 4, port: int = vxlan.IANA_PORT) -> Topology:
    """A customer's VLANs all in one VNI, behind 802.1ad bridges.

        c1 eth0.10 10.0.10.1 ─┐                                  ┌─ 10.0.10.2 eth0.10 c2
                              ├ br0 ─ vxlan0 ── lan ── vxlan0 ─ br0 ┤
           eth0.20 10.0.20.1 ─┘                                  └─ 10.0.20.2 eth0.20

    The customer's frames keep their tags; to the bridge all of them are of its VLAN 100.
    ``family`` (4, 6) is that of the underlay, ``port`` (UDP; 0: 8472) the segment's.  TopologyError
    for a value that cannot be.
    """
    t = TopologyBuilder("q-in-vni")
    t.segment("customer", 1000, port=port)
    for host in ends(t, family):
        name = f"c{host[1:]}"
        bridge = Bridge("br0", vlan_filtering=True, vlan_protocol="802.1ad", vlan_default_pvid=0)
        t.device(host, bridge)
        t.vtep(host, "customer", bridge="br0", vlans=access(100))
        t.container(name, host, "br0", mtu=1430, vlans=access(100))
        for vlan in _TENANTS:
            inner = f"10.0.{vlan}.{host[1:]}/24"
            t.device(name, Vlan(f"eth0.{vlan}", link="eth0", id=vlan, addresses=(inner,), mtu=1426))
    return t.build()
