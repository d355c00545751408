"""Topologies of people who use VXLAN: network plugins, routers, guides, reports of mistakes."""

from __future__ import annotations

from kernel_topologies import ANY
from known_topologies import access, known, pair

from vxlab import (
    Bridge,
    Loopback,
    NftRules,
    PortVlan,
    RouteHop,
    Rule,
    TopologyBuilder,
    Vlan,
    Vrf,
    Vxlan,
)
from vxlab.operations import AddFdb, AddNeighbour, AddVni


@known("flannel, backend vxlan (issues 1155, 1795, 1330)", ("pod1", "10.244.2.2"))
def flannel() -> TopologyBuilder:
    """Pods behind cni0, routed into flannel.1, which learns nothing."""
    t = TopologyBuilder("flannel")
    t.switch("lan", "192.168.57.0/24")
    t.segment("pods", 1, flood="none", attributes={"learning": False})
    for n, other in ((1, 2), (2, 1)):
        h, mac, far = f"n{n}", f"02:00:00:00:0a:0{n}", f"02:00:00:00:0a:0{other}"
        t.host(h, "lan", f"192.168.57.{n}/24", forwarding=True)
        t.device(h, Bridge("cni0", addresses=f"10.244.{n}.1/24", mtu=1450))
        t.vtep(h, "pods", device="flannel.1", addresses=f"10.244.{n}.0/32", mac=mac)
        gateway = f"10.244.{other}.0"
        t.route(h, f"10.244.{other}.0/24", gateway, interface="flannel.1", onlink=True)
        t.then(
            AddNeighbour(h, "flannel.1", gateway, far),
            AddFdb(h, "flannel.1", far, f"192.168.57.{other}"),
        )
        t.container(f"pod{n}", h, "cni0", f"10.244.{n}.2/24", mtu=1450)
        t.route(f"pod{n}", "default", f"10.244.{n}.1")
    return t


@known("Calico, backend vxlan: routed pods without a bridge", ("pod1", "10.5.2.2"))
def calico() -> TopologyBuilder:
    """Each pod has a link of its own to its host, and 169.254.1.1 as gateway."""
    t = TopologyBuilder("calico")
    t.cable("lan", "192.0.2.0/24")
    t.segment("pods", 4096, port=4789, flood="none", attributes={"learning": False})
    for n, other in ((1, 2), (2, 1)):
        h, mac, far = f"n{n}", f"66:00:00:00:00:0{n}", f"66:00:00:00:00:0{other}"
        t.host(h, "lan", f"192.0.2.{n}/24", forwarding=True)
        t.vtep(h, "pods", device="vxlan.calico", addresses=f"10.5.{n}.0/32", mac=mac)
        t.container(
            f"pod{n}",
            h,
            None,
            f"10.5.{n}.2/32",
            host_device=f"cali{n}",
            host_addresses=(),
            mtu=1450,
        )
        t.setting(h, f"net.ipv4.conf.cali{n}.proxy_arp", 1)
        t.route(h, f"10.5.{n}.2/32", interface=f"cali{n}")
        t.route(h, "default", f"192.0.2.{other}")
        t.route(f"pod{n}", "169.254.1.1/32", interface="eth0")
        t.route(f"pod{n}", "default", "169.254.1.1")
        gateway = f"10.5.{other}.0"
        t.route(h, f"10.5.{other}.0/26", gateway, interface="vxlan.calico", onlink=True)
        t.then(
            AddNeighbour(h, "vxlan.calico", gateway, far),
            AddFdb(h, "vxlan.calico", far, f"192.0.2.{other}"),
        )
    return t


@known("calico 5171: a node behind NAT")
def behind_nat() -> TopologyBuilder:
    """One node's packets arrive from the router's address."""
    t = TopologyBuilder("nat")
    t.cable("home", "192.168.1.0/24")
    t.cable("wan", "198.51.100.0/24")
    masquerade = Rule(("-t", "nat", "-A", "POSTROUTING", "-o", "eth1", "-j", "MASQUERADE"))
    t.router("nat", "home", "wan", daemon=None, rules=(masquerade,))
    t.segment("pods", 4096, port=4789)
    for n, (host, net) in enumerate((("inside", "home"), ("outside", "wan")), 1):
        t.host(host, net)
        t.vtep(host, "pods", addresses=f"10.42.0.{n}/24")
    return t


_NOTRACK = (
    "table inet raw { "
    "chain prerouting { type filter hook prerouting priority raw; udp dport 4789 notrack; } "
    "chain output { type filter hook output priority raw; udp dport 4789 notrack; } }"
)


@known("calico 8934: NOTRACK for the tunnel, by nftables", ("h1", "172.18.1.2"))
def notrack() -> TopologyBuilder:
    """The tunnel's packets are not tracked."""
    t = pair("notrack")
    t.segment("pods", 42, port=4789)
    for n in (1, 2):
        t.rule(f"h{n}", NftRules(_NOTRACK))
        t.vtep(f"h{n}", "pods", addresses=f"172.18.1.{n}/24")
    return t


@known("moby 53004: the addresses of VTEPs are on lo", ("c1", "10.0.0.2"))
def moby_loopback() -> TopologyBuilder:
    """Docker's overlay, with --data-path-addr on the loopback device."""
    t = TopologyBuilder("moby")
    t.cable("p2p", "172.31.0.0/30")
    t.segment("ov", 4097, port=4789, flood="none", attributes={"proxy": True, "learning": False})
    for n, other in ((1, 2), (2, 1)):
        h, far = f"h{n}", f"02:42:0a:00:00:0{other}"
        t.host(h, "p2p", f"172.31.0.{n}/30")
        t.device(h, Loopback(addresses=f"9.9.9.{n}/32"))
        t.vtep(h, "ov", bridge="br0", nic="lo", dev=False, local=f"9.9.9.{n}")
        t.container(f"c{n}", h, "br0", f"10.0.0.{n}/24", mac=f"02:42:0a:00:00:0{n}", mtu=1450)
        t.then(
            AddNeighbour(h, "vxlan0", f"10.0.0.{other}", far),
            AddFdb(h, "vxlan0", far, f"9.9.9.{other}"),
        )
    return t


@known("moby 52661, 31588: swarm of three", ("c1", "10.0.0.2"), ("c2", "10.0.0.3"))
def swarm() -> TopologyBuilder:
    """Docker's overlay: all entries come from a controller, the device answers ARP."""
    t = TopologyBuilder("swarm")
    t.switch("lan", "192.168.57.0/24")
    attributes = {"proxy": True, "l2miss": True, "l3miss": True}
    t.segment("ov", 4097, port=4789, flood="none", attributes=attributes)
    for n in (1, 2, 3):
        t.host(f"h{n}", "lan", f"192.168.57.{n}/24")
        t.vtep(f"h{n}", "ov", bridge="br0")
        t.container(f"c{n}", f"h{n}", "br0", f"10.0.0.{n}/24", mac=f"02:42:0a:00:00:0{n}")
        for other in {1, 2, 3} - {n}:
            far = f"02:42:0a:00:00:0{other}"
            t.then(
                AddFdb(f"h{n}", "vxlan0", far, f"192.168.57.{other}"),
                AddNeighbour(f"h{n}", "vxlan0", f"10.0.0.{other}", far),
            )
    return t


@known("FRR 19121: EVPN with suppression", ("c1", "10.0.0.2"))
def evpn() -> TopologyBuilder:
    """Entries as a BGP daemon writes them, on the device and on its port."""
    t = pair("evpn", "192.168.57.0/24")
    t.segment("ov", 100010, port=4789, flood="none", attributes={"learning": False})
    for n, other in ((1, 2), (2, 1)):
        h, far, remote = f"h{n}", f"02:42:0a:00:00:0{other}", f"192.168.57.{other}"
        port = {"neigh_suppress": True, "learning": False}
        t.vtep(h, "ov", bridge="br0", dev=False, port=port)
        t.container(f"c{n}", h, "br0", f"10.0.0.{n}/24", mac=f"02:42:0a:00:00:0{n}")
        learned = {"state": "static"}
        t.then(
            AddFdb(h, "vxlan0", far, remote, flags=("self", "extern_learn"), **learned),
            AddFdb(h, "vxlan0", far, flags=("master", "extern_learn"), **learned),
            AddFdb(h, "vxlan0", ANY, remote, append=True),
        )
    return t


@known("FRR topotests, bgp_evpn_rt5: two leafs, VRF, L3 VNI", ("c1", "10.2.0.2"))
def evpn_type5() -> TopologyBuilder:
    """Only prefixes cross: a bridge without ports but the device is the router's interface."""
    t = TopologyBuilder("evpn rt5")
    t.cable("lan", "192.168.100.0/24")
    t.segment("l3", 101, port=4789, flood="none", attributes={"learning": False})
    for n, other in ((1, 2), (2, 1)):
        h, far = f"r{n}", f"02:00:00:00:01:0{other}"
        t.host(h, "lan", f"192.168.100.{n}/24", forwarding=True)
        t.device(
            h,
            Vrf("vrf-101", table=101),
            Bridge("bridge-101", master="vrf-101", mac=f"02:00:00:00:01:0{n}", mtu=1450),
            Bridge("lan-101", master="vrf-101", addresses=f"10.{n}.0.1/24"),
        )
        t.vtep(h, "l3", device="vxlan-101", bridge="bridge-101", port={"learning": False})
        t.container(f"c{n}", h, "lan-101", f"10.{n}.0.2/24", mtu=1450)
        t.route(f"c{n}", "default", f"10.{n}.0.1")
        via = f"192.168.100.{other}"
        t.route(h, f"10.{other}.0.0/24", via, interface="bridge-101", onlink=True, vrf="vrf-101")
        t.then(
            AddNeighbour(h, "bridge-101", via, far),
            AddFdb(h, "vxlan-101", far, via),
        )
    return t


@known("zebra-rs 1843: single vxlan device", ("c1", "10.0.0.2"))
def single_vxlan_device() -> TopologyBuilder:
    """A tagged VLAN with its VNI; flooding by an entry for all MAC addresses."""
    t = pair("svd", "192.168.57.0/24")
    for n, other in ((1, 2), (2, 1)):
        h = f"h{n}"
        attributes = {"external": True, "vnifilter": True, "learning": False, "dstport": 4789}
        device = Vxlan(
            "vxlan0",
            attributes={**attributes, "local": f"192.168.57.{n}"},
            master="br0",
            port={"vlan_tunnel": True, "learning": False},
            vlans=(PortVlan(10, vni=1010),),
        )
        t.device(h, Bridge("br0", vlan_filtering=True), device)
        t.container(f"c{n}", h, "br0", f"10.0.0.{n}/24", mtu=1450, vlans=access(10))
        remote = f"192.168.57.{other}"
        t.then(
            AddVni(h, "vxlan0", 1010),
            AddFdb(h, "vxlan0", ANY, remote, src_vni=1010, append=True),
            AddFdb(h, "vxlan0", f"02:76:78:00:0{other}:01", remote, src_vni=1010),
        )
    return t


@known("systemd 20305: VTEPs with link-local addresses", ("g1", "10.9.0.2"), ("g2", "10.9.0.3"))
def link_local() -> TopologyBuilder:
    """Flooding to fe80:: addresses of one card."""
    t = TopologyBuilder("link-local")
    t.switch("wg", "fe80::/64")
    t.segment("welt", 4831583)
    for n in (1, 2, 3):
        t.host(f"g{n}", "wg", f"fe80::{n}/64")
        t.vtep(f"g{n}", "welt", addresses=f"10.9.0.{n}/24")
    return t


@known("gluon, mesh-vxlan: a mesh on cables", ("node1", "fdca:ffee::2"))
def gluon() -> TopologyBuilder:
    """Freifunk: a group in the link, on link-local addresses, VNI from the domain's seed."""
    t = TopologyBuilder("gluon")
    t.switch("mesh", "fe80::/64")
    attributes = {"ttl": 1, "udp6zerocsumtx": True, "udp6zerocsumrx": True}
    t.segment("mesh", 4711, port=4789, group="ff02::15c", attributes=attributes)
    for n in (1, 2, 3):
        t.host(f"node{n}", "mesh", f"fe80::{n}/64", device="mesh-lan")
        t.vtep(f"node{n}", "mesh", device="vx_mesh_lan", addresses=f"fdca:ffee::{n}/64")
    return t


@known("netlab, vxlan-bridging: VLANs of switches, loopbacks", ("c1", "172.16.0.2"))
def netlab() -> TopologyBuilder:
    """Leafs with loopback VTEPs behind a spine, a VLAN each."""
    t = TopologyBuilder("netlab")
    t.router("spine", daemon=None)
    t.device("spine", Loopback(addresses="10.0.0.9/32"))
    t.segment("red", 100000, port=4789)
    for n in (1, 2, 3):
        t.cable(f"p2p{n}", f"10.1.0.{4 * n}/30")
        t.nic("spine", f"p2p{n}")
        t.host(f"s{n}", f"p2p{n}")
        t.device(f"s{n}", Loopback(addresses=f"10.0.0.{n}/32"))
        t.vtep(f"s{n}", "red", device="vxlan1000", nic="lo", bridge="vlan1000")
        t.container(f"c{n}", f"s{n}", "vlan1000", f"172.16.0.{n}/24")
    return t


@known("Cumulus and SONiC guides: spine and leaf, ECMP", ("c1", "172.16.0.2"))
def two_spines() -> TopologyBuilder:
    """Two ways to each leaf, chosen by the ports of the outer UDP header."""
    t = TopologyBuilder("two spines", routing="written")
    t.segment("red", 10100, port=4789)
    t.router("spine1", daemon=None)
    t.router("spine2", daemon=None)
    for n in (1, 2):
        t.host(f"leaf{n}")
        t.device(f"leaf{n}", Loopback(addresses=f"10.255.0.{n}/32"))
        t.setting(f"leaf{n}", "net.ipv4.fib_multipath_hash_policy", 1)
        for s in (1, 2):
            t.cable(f"s{s}l{n}", f"10.{s}.{n}.0/30")
            t.nic(f"spine{s}", f"s{s}l{n}", f"10.{s}.{n}.1/30")
            t.nic(f"leaf{n}", f"s{s}l{n}", f"10.{s}.{n}.2/30")
            t.route(f"spine{s}", f"10.255.0.{n}/32", f"10.{s}.{n}.2")
        hops = tuple(RouteHop(via=f"10.{s}.{n}.1") for s in (1, 2))
        t.route(f"leaf{n}", f"10.255.0.{3 - n}/32", hops=hops)
        t.vtep(f"leaf{n}", "red", nic="lo", dev=False, bridge="br0")
        t.container(f"c{n}", f"leaf{n}", "br0", f"172.16.0.{n}/24", mtu=1450)
    return t


@known("OpenStack Neutron, linuxbridge: underlay on a VLAN", ("vm1", "10.0.0.2"))
def neutron() -> TopologyBuilder:
    """The device stands on a VLAN of the card, its bridge is named after the network."""
    t = TopologyBuilder("neutron")
    t.switch("fabric", None)
    t.segment("net", 1042, group="239.1.1.42")
    for n in (1, 2):
        t.host(f"h{n}")
        t.nic(f"h{n}", "fabric")
        t.device(f"h{n}", Vlan("eth0.30", link="eth0", id=30, addresses=f"172.29.240.{n}/22"))
        t.vtep(f"h{n}", "net", device="vxlan-1042", nic="eth0.30", bridge="brq1042")
        t.container(f"vm{n}", f"h{n}", "brq1042", f"10.0.0.{n}/24", mtu=1446)
    return t


@known("Proxmox SDN, zone vxlan: three nodes, two nets", ("a1", "10.0.1.3"), ("b2", "10.0.2.3"))
def proxmox() -> TopologyBuilder:
    """A bridge for each net, peers by address."""
    t = TopologyBuilder("proxmox")
    t.switch("lan", "192.168.0.0/24")
    t.segment("vnet1", 100000)
    t.segment("vnet2", 100001)
    for n in (1, 2, 3):
        t.host(f"pve{n}", "lan")
        for name, vnet in (("a", 1), ("b", 2)):
            t.vtep(f"pve{n}", f"vnet{vnet}", device=f"vxlan_vnet{vnet}", bridge=f"vnet{vnet}")
            t.container(f"{name}{n}", f"pve{n}", f"vnet{vnet}", f"10.0.{vnet}.{n}/24")
    return t


@known("cilium 8990: two plugins on two ports", ("n1", "10.244.2.1"))
def two_plugins() -> TopologyBuilder:
    """A device with external beside flannel's, on the next port."""
    attributes = {"external": True, "dstport": 8473, "learning": False}
    t = TopologyBuilder("two plugins")
    t.cable("lan", "192.168.57.0/24")
    t.segment("flannel", 1, port=8472)
    for n in (1, 2):
        t.host(f"n{n}", "lan")
        t.vtep(f"n{n}", "flannel", device="flannel.1", addresses=f"10.244.{n}.1/16")
        t.device(f"n{n}", Vxlan("cilium_vxlan", attributes=attributes))
    return t


@known("pod-gateway 10: a client without an address")
def pod_gateway() -> TopologyBuilder:
    """Only the gateway has an address; the pod asks for one by DHCP."""
    t = TopologyBuilder("pod gateway")
    t.cable("lan", "10.42.0.0/24")
    t.segment("gw", 42, port=4789)
    t.host("pod", "lan")
    t.host("gateway", "lan")
    t.vtep("pod", "gw")
    t.vtep("gateway", "gw", addresses="172.16.0.1/24")
    return t


@known("flannel 2388: a switch that filters", ("h1", "10.1.0.2"))
def filtering_switch() -> TopologyBuilder:
    """A firewall between the nodes drops the tunnel, and lets pings pass."""
    t = TopologyBuilder("nsx")
    t.cable("net1", "10.1.0.0/30")
    t.cable("net2", "10.2.0.0/30")
    drop = Rule(("-A", "FORWARD", "-p", "udp", "--dport", "8472", "-j", "DROP"))
    t.router("firewall", "net1", "net2", daemon=None, rules=(drop,))
    t.segment("pods", 1)
    for n in (1, 2):
        t.host(f"h{n}", f"net{n}")
        t.vtep(f"h{n}", "pods", bridge="br0")
        t.container(f"c{n}", f"h{n}", "br0", f"10.0.0.{n}/24")
    return t


@known("how-to articles: addresses on the bridges", ("h1", "10.0.0.2"))
def addresses_on_bridges() -> TopologyBuilder:
    """No containers: each host is in the segment by its bridge."""
    t = pair("svi", "192.168.1.0/24")
    t.segment("one", 100, port=4789)
    for n in (1, 2):
        t.device(f"h{n}", Bridge("br0", addresses=f"10.0.0.{n}/24", mtu=1450))
        t.vtep(f"h{n}", "one", bridge="br0")
    return t


@known("k3s 5101, flannel 463: a narrower way to one node", ("c1", "10.0.0.2"))
def narrow_way() -> TopologyBuilder:
    """A cloud with an MTU of 1400 behind a router."""
    t = TopologyBuilder("narrow way")
    t.cable("net1", "10.1.0.0/24")
    t.cable("net2", "10.2.0.0/24", mtu=1400)
    t.router("r", "net1", "net2", daemon=None)
    t.segment("ov", 1, port=4789, attributes={"df": "set"})
    for n in (1, 2):
        t.host(f"h{n}", f"net{n}")
        t.vtep(f"h{n}", "ov", bridge="br0")
        t.container(f"c{n}", f"h{n}", "br0", f"10.0.0.{n}/24")
    return t


@known("openwrt 19882: port options of the tunnel", ("c1", "10.0.0.2"))
def port_options() -> TopologyBuilder:
    """The tunnel's port neither learns nor floods unknown unicast, and containers are apart."""
    t = pair("port options")
    t.segment("one", 42, port=4789)
    for n in (1, 2):
        port = {"learning": False, "isolated": False, "mcast_flood": True}
        t.vtep(f"h{n}", "one", bridge="br0", port=port)
        for name in ("c", "d"):
            address = f"10.0.0.{n + (10 if name == 'd' else 0)}/24"
            t.container(f"{name}{n}", f"h{n}", "br0", address, port={"isolated": True})
    return t


@known("r24: a /31 between two routers", ("h1", "10.0.0.2"))
def slash_31() -> TopologyBuilder:
    """A network of two addresses."""
    t = pair("slash 31", "172.31.0.0/31")
    t.segment("one", 1)
    for n in (1, 2):
        t.vtep(f"h{n}", "one", addresses=f"10.0.0.{n}/24")
    return t
