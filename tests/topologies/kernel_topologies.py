"""The topologies of the kernel's selftests of VXLAN (tools/testing/selftests/net)."""

from __future__ import annotations

from known_topologies import access, known, pair, trunk

from vxlab import (
    Bridge,
    Dummy,
    Loopback,
    Netem,
    PortVlan,
    TopologyBuilder,
    Vlan,
    Vrf,
    Vxlan,
)
from vxlab.operations import (
    AddFdb,
    AddMdb,
    AddNeighbour,
    AddNexthop,
    AddVni,
)

ANY = "00:00:00:00:00:00"


@known("test_vxlan_under_vrf.sh", ("vm1", "10.0.0.2"), ("vm2", "10.0.0.1"))
def under_vrf() -> TopologyBuilder:
    """The hypervisors' cards are in a VRF."""
    t = TopologyBuilder("under vrf")
    t.cable("lan", "172.16.0.0/24")
    t.segment("vms", 10, port=4789)
    for n in (1, 2):
        h = f"hv{n}"
        t.host(h)
        t.device(h, Vrf("vrf-underlay", table=1))
        t.nic(h, "lan", f"172.16.0.{n}/24", device="veth-hv", master="vrf-underlay")
        t.vtep(h, "vms", bridge="br0")
        t.container(f"vm{n}", h, "br0", f"10.0.0.{n}/24", host_device="veth-tap")
    return t


@known("test_vxlan_fdb_changelink.sh")
def fdb_changelink() -> TopologyBuilder:
    """One device whose remote changes: nobody answers there."""
    t = TopologyBuilder("fdb changelink")
    t.switch("lan", "192.0.2.0/24")
    t.segment("one", 10, port=4789)
    t.host("h1", "lan")
    t.vtep("h1", "one", device="vx10", remotes=("192.0.2.20",))
    return t


def _nexthops(name: str, network: str, addresses: dict[int, str]) -> TopologyBuilder:
    t = pair(name, network)
    t.segment("one", 10, port=4789, flood="none", attributes={"learning": False})
    for n, other in ((1, 2), (2, 1)):
        h, mac = f"h{n}", f"02:00:00:00:00:0{n}"
        t.vtep(h, "one", device="vx0", addresses=f"10.0.0.{n}/24", mac=mac)
        t.then(
            AddNexthop(h, 1, via=addresses[other], fdb=True),
            AddNexthop(h, 10, group=((1, 1),), fdb=True),
            AddFdb(h, "vx0", f"02:00:00:00:00:0{other}", nhid=10),
            AddNeighbour(h, "vx0", f"10.0.0.{other}", f"02:00:00:00:00:0{other}"),
        )
    return t


@known("test_vxlan_nh.sh, IPv4", ("h1", "10.0.0.2"))
def nexthops() -> TopologyBuilder:
    """Forwarding entries with next hops."""
    return _nexthops("nexthops", "192.0.2.0/24", {1: "192.0.2.1", 2: "192.0.2.2"})


@known("test_vxlan_nh.sh, IPv6", ("h1", "10.0.0.2"))
def nexthops_ipv6() -> TopologyBuilder:
    """Forwarding entries with next hops of IPv6."""
    return _nexthops("nexthops6", "2001:db8:1::/64", {1: "2001:db8:1::1", 2: "2001:db8:1::2"})


@known("test_vxlan_nolocalbypass.sh")
def nolocalbypass() -> TopologyBuilder:
    """Two devices on one host, one sends to the other by the loopback device."""
    t = TopologyBuilder("nolocalbypass")
    t.host("h1")
    t.device(
        "h1",
        Vxlan(
            "vx0",
            attributes={"id": 100, "local": "127.0.0.1", "remote": "127.0.0.1", "dstport": 4789},
        ),
        Vxlan("vx1", attributes={"id": 101, "local": "127.0.0.1", "dstport": 4790}),
    )
    return t


@known("test_vxlan_vnifilter_notify.sh")
def vnifilter_notify() -> TopologyBuilder:
    """A device with vnifilter whose VNIs come and go."""
    t = TopologyBuilder("vnifilter notify")
    t.host("h1")
    t.device("h1", _filtering("vx100", "10.0.0.1"))
    t.then(AddVni("h1", "vx100", 200), AddVni("h1", "vx100", 300, last=305, remote="192.0.2.9"))
    return t


def _filtering(name: str, local: str, **more: object) -> Vxlan:
    attributes = {"external": True, "vnifilter": True, "local": local, "dstport": 4789}
    return Vxlan(name, attributes={**attributes, "learning": True}, **more)  # type: ignore[arg-type]


def _vnifiltering(name: str, network: str, addresses: dict[int, str]) -> TopologyBuilder:
    t = pair(name, network)
    for n, other in ((1, 2), (2, 1)):
        h = f"h{n}"
        vlans = (PortVlan(10, vni=1010), PortVlan(20, vni=1020))
        t.device(
            h,
            Bridge("br0", vlan_filtering=True, vlan_default_pvid=0),
            _filtering("vx0", addresses[n], master="br0", port={"vlan_tunnel": True}, vlans=vlans),
        )
        for vlan in (10, 20):
            t.then(AddVni(h, "vx0", 1000 + vlan, remote=addresses[other]))
            address = f"10.0.{vlan}.{n}/24"
            t.container(f"vm{vlan}{n}", h, "br0", address, mtu=1430, vlans=access(vlan))
    return t


@known("test_vxlan_vnifiltering.sh, IPv4", ("vm101", "10.0.10.2"), ("vm201", "10.0.20.2"))
def vnifiltering() -> TopologyBuilder:
    """One device for all VNIs, which a VLAN-aware bridge gives out."""
    return _vnifiltering("vnifiltering", "10.1.1.0/24", {1: "10.1.1.1", 2: "10.1.1.2"})


@known("test_vxlan_vnifiltering.sh, IPv6", ("vm101", "10.0.10.2"), ("vm201", "10.0.20.2"))
def vnifiltering_ipv6() -> TopologyBuilder:
    """The same over IPv6."""
    return _vnifiltering("vnifiltering6", "2002::/64", {1: "2002::1", 2: "2002::2"})


@known("test_vxlan_mdb.sh", ("vm101", "10.0.10.2"))
def mdb() -> TopologyBuilder:
    """Groups of the overlay go to the VTEPs that want them."""
    t = _vnifiltering("mdb", "192.0.2.0/28", {1: "192.0.2.1", 2: "192.0.2.2"})
    t.then(
        AddMdb("h1", "vx0", "239.1.1.1", "192.0.2.2", src_vni=1010),
        AddMdb("h1", "vx0", "ff0e::1", "192.0.2.2", src_vni=1010),
        AddMdb("h1", "vx0", "0.0.0.0", "192.0.2.2", src_vni=1020),
    )
    return t


@known("fdb_flush.sh")
def fdb_flush() -> TopologyBuilder:
    """Two devices beside a bridge, with entries of all sorts."""
    t = TopologyBuilder("fdb flush")
    t.switch("lan", "192.0.2.0/24")
    t.host("h1", "lan")
    for vni in (10, 20):
        t.segment(f"v{vni}", vni, port=4789, flood="none")
        t.vtep("h1", f"v{vni}", device=f"vx{vni}", bridge="br0")
    for n in range(1, 9):
        t.then(
            AddFdb("h1", "vx10", f"de:ad:be:ef:13:1{n}", f"192.0.2.{100 + n}", src_vni=None),
            AddFdb("h1", "vx20", f"de:ad:be:ef:13:2{n}", "192.0.2.200", port=1000 + n, vni=n),
        )
    return t


@known("test_bridge_neigh_suppress.sh", ("c101", "192.0.2.2"), ("c201", "192.0.4.2"))
def neigh_suppress() -> TopologyBuilder:
    """Two VLANs behind trunks, VTEPs on loopback addresses, suppression on the tunnel's port."""
    t = TopologyBuilder("neigh suppress")
    t.cable("lan", "192.0.3.0/28")
    for n in (1, 2):
        h, other = f"sw{n}", 3 - n
        t.host(h, "lan")
        vlans = (PortVlan(10, vni=10010), PortVlan(20, vni=10020))
        port = {"vlan_tunnel": True, "neigh_suppress": True}
        t.device(
            h,
            Loopback(addresses=f"192.0.2.{n * 32}/32"),
            Bridge("br0", vlan_filtering=True, vlan_default_pvid=0, vlans=(10, 20)),
            Vlan("br0.10", link="br0", id=10),
            Vlan("br0.20", link="br0", id=20),
            _filtering("vx0", f"192.0.2.{n * 32}", master="br0", port=port, vlans=vlans),
        )
        for vlan, third in ((10, 2), (20, 4)):
            t.then(AddVni(h, "vx0", 10000 + vlan, remote=f"192.0.2.{other * 32}"))
            address = f"192.0.{third}.{n}/24"
            t.container(f"c{vlan}{n}", h, "br0", mtu=1450, vlans=trunk(vlan))
            t.device(f"c{vlan}{n}", Vlan(f"eth0.{vlan}", link="eth0", id=vlan, addresses=address))
    return t


@known("test_bridge_backup_port.sh", ("c1", "192.0.2.66"))
def backup_port() -> TopologyBuilder:
    """A port that leads nowhere has the tunnel as its backup."""
    t = pair("backup port", "10.0.3.0/24")
    for n, other in ((1, 2), (2, 1)):
        h = f"h{n}"
        t.device(
            h,
            Bridge("br0", vlan_filtering=True, vlan_default_pvid=0),
            _filtering(
                "vx0",
                f"10.0.3.{n}",
                master="br0",
                port={"vlan_tunnel": True},
                vlans=(PortVlan(10, vni=10),),
            ),
            Dummy("swp2", master="br0", port={"backup_port": "vx0"}, vlans=trunk(10)),
        )
        t.then(AddVni(h, "vx0", 10, remote=f"10.0.3.{other}"))
        t.container(f"c{n}", h, "br0", f"192.0.2.{64 + n}/28", mtu=1450, vlans=access(10))
    return t


def _inherit(name: str, network: str, inner: str) -> TopologyBuilder:
    t = pair(name, network)
    t.segment("one", 100, port=4789, attributes={"tos": "inherit", "ttl": "inherit"})
    for n in (1, 2):
        t.vtep(f"h{n}", "one", addresses=inner.format(n))
    return t


@known("l2_tos_ttl_inherit.sh, IPv4 in IPv4", ("h1", "198.19.0.2"))
def tos_ttl_inherit() -> TopologyBuilder:
    """Type of service and TTL of the inner packet."""
    return _inherit("inherit", "198.18.0.0/24", "198.19.0.{}/24")


@known("l2_tos_ttl_inherit.sh, IPv6 in IPv6", ("h1", "fdd1:ced0:5d88:3fce::2"))
def tos_ttl_inherit_ipv6() -> TopologyBuilder:
    """The same of IPv6."""
    return _inherit("inherit6", "fdd1:ced0:5d88:3fcd::/64", "fdd1:ced0:5d88:3fce::{}/64")


@known("l2_tos_ttl_inherit.sh, with a VLAN", ("h1", "198.19.0.2"))
def tos_ttl_inherit_vlan() -> TopologyBuilder:
    """A VLAN upon the device."""
    t = pair("inherit vlan", "198.18.0.0/24")
    t.segment("one", 100, port=4789, attributes={"tos": "inherit", "ttl": "inherit"})
    for n in (1, 2):
        t.vtep(f"h{n}", "one")
        vlan = Vlan("vlan99", link="vxlan0", id=99, addresses=f"198.19.0.{n}/24", mtu=1446)
        t.device(f"h{n}", vlan)
    return t


def _pmtu(name: str, networks: tuple[str, str]) -> TopologyBuilder:
    t = TopologyBuilder(name)
    t.cable("net1", networks[0], mtu=4000)
    t.cable("net2", networks[1])
    t.router("r1", "net1", "net2", daemon=None)
    t.host("h1", "net1")
    t.host("h2", "net2")
    t.segment("one", 1, port=4789, attributes={"ttl": 64, "df": 1})
    return t


@known("pmtu.sh, pmtu_ipv4_vxlan4_exception", ("h1", "192.168.2.2"))
def pmtu_vxlan4() -> TopologyBuilder:
    """A router with a narrower link behind it."""
    t = _pmtu("pmtu vxlan4", ("10.0.1.0/24", "10.0.3.0/24"))
    for n in (1, 2):
        t.vtep(f"h{n}", "one", mtu=3950, addresses=f"192.168.2.{n}/24")
    return t


@known("pmtu.sh, pmtu_ipv6_vxlan6_exception", ("h1", "fd00:2::2"))
def pmtu_vxlan6() -> TopologyBuilder:
    """The same of IPv6."""
    t = _pmtu("pmtu vxlan6", ("fc00:1::/64", "fc00:3::/64"))
    for n in (1, 2):
        t.vtep(f"h{n}", "one", mtu=3930, addresses=f"fd00:2::{n}/64")
    return t


@known("pmtu.sh, pmtu_ipv4_br_vxlan4_exception", ("c1", "192.168.2.2"))
def pmtu_bridged_vxlan4() -> TopologyBuilder:
    """The same behind bridges."""
    t = _pmtu("pmtu br vxlan4", ("10.0.1.0/24", "10.0.3.0/24"))
    for n in (1, 2):
        t.vtep(f"h{n}", "one", bridge="br0", mtu=3950)
        t.container(f"c{n}", f"h{n}", "br0", f"192.168.2.{n}/24", mtu=3950)
    return t


@known("pmtu.sh, two ways", ("a", "192.168.2.2"))
def pmtu_two_routers() -> TopologyBuilder:
    """Two routers between the hosts, as setup_routing() has them, and routes written down."""
    t = TopologyBuilder("pmtu two ways", routing="written")
    for n in (1, 2, 3, 4):
        t.cable(f"net{n}", f"10.0.{n}.0/24")
    t.host("a")
    t.host("b")
    t.router("r1", daemon=None)
    t.router("r2", daemon=None)
    for net, host, router in ((1, "a", "r1"), (2, "b", "r1"), (3, "a", "r2"), (4, "b", "r2")):
        t.nic(host, f"net{net}", f"10.0.{net}.1/24")
        t.nic(router, f"net{net}", f"10.0.{net}.2/24")
    t.route("a", "10.0.2.0/24", "10.0.1.2")
    t.route("a", "10.0.4.0/24", "10.0.3.2")
    t.route("b", "10.0.1.0/24", "10.0.2.2")
    t.route("b", "10.0.3.0/24", "10.0.4.2")
    t.segment("one", 1, port=4789)
    t.vtep("a", "one", addresses="192.168.2.1/24")
    t.vtep("b", "one", addresses="192.168.2.2/24")
    return t


@known("protodown.sh; rtnetlink.sh, kci_test_encap_vxlan", ("h1", "10.2.11.50"))
def vlan_upon_vxlan() -> TopologyBuilder:
    """A VLAN upon a device with a remote."""
    t = pair("encap vxlan", "10.1.0.0/24")
    t.segment("one", 42, port=4789, attributes={"ttl": 5})
    for n, last in ((1, 49), (2, 50)):
        t.vtep(f"h{n}", "one", device="test-vxlan0", addresses=f"10.2.11.{last}/24")
        t.device(f"h{n}", Vlan("test-vlan1", link="test-vxlan0", id=1))
    return t


@known("udpgro_fwd.sh, over vxlan", ("h1", "172.16.0.2"), ("h1", "2001:db8:a::2"))
def udpgro_fwd() -> TopologyBuilder:
    """IPv4 and IPv6 on a device over IPv4."""
    t = pair("udpgro fwd", "192.168.1.0/24")
    t.segment("one", 2, port=4789)
    for n in (1, 2):
        addresses = (f"172.16.0.{n}/24", f"2001:db8:a::{n}/64")
        t.vtep(f"h{n}", "one", device="vxlan4789", addresses=addresses)
    return t


@known("double_udp_encap.sh, vxlan in vxlan", ("h1", "172.16.2.2"))
def double_encap() -> TopologyBuilder:
    """A device whose packets leave by another one."""
    t = pair("double encap", "172.16.0.0/24")
    t.segment("outer", 100, port=4789)
    for n, other in ((1, 2), (2, 1)):
        t.vtep(f"h{n}", "outer", addresses=f"172.16.1.{n}/24")
        ends = {"local": f"172.16.1.{n}", "remote": f"172.16.1.{other}"}
        attributes = {"id": 200, "dstport": 4790, **ends}
        inner = Vxlan("vxlan1", attributes=attributes, addresses=f"172.16.2.{n}/24", mtu=1400)
        t.device(f"h{n}", inner)
    return t


def _bridge_1d(name: str, port: int, sites: dict[str, str], ipv6: bool = False) -> TopologyBuilder:
    """A switch, two sites behind a router, and hosts on them: vxlan_bridge_1d.sh."""
    t = TopologyBuilder(name)
    t.router("r1", daemon=None)
    t.segment("v1000", 1000, port=port, attributes={"tos": "inherit", "ttl": 100})
    for n, (host, network) in enumerate(sites.items(), 1):
        t.cable(f"net{n}", network)
        t.host(host, f"net{n}")
        t.nic("r1", f"net{n}")
        t.vtep(host, "v1000", device="vx1", bridge="br1")
        inner = f"2001:db8:1::{n}/64" if ipv6 else f"192.0.2.{n}/28"
        t.container(f"w{n}", host, "br1", inner)
    return t


_SITES = {"sw1": "192.0.2.16/28", "ns1": "192.0.2.32/28", "ns2": "192.0.2.48/28"}
_SITES6 = {f"{name}": f"2001:db8:{n}::/64" for n, name in enumerate(_SITES, 3)}


@known("forwarding/vxlan_bridge_1d.sh", ("w1", "192.0.2.2"), ("w1", "192.0.2.3"))
def bridge_1d() -> TopologyBuilder:
    """Three sites with plain bridges."""
    return _bridge_1d("bridge 1d", 4789, _SITES)


@known("forwarding/vxlan_bridge_1d_port_8472.sh", ("w1", "192.0.2.2"))
def bridge_1d_port_8472() -> TopologyBuilder:
    """The same on another port."""
    return _bridge_1d("bridge 1d 8472", 8472, _SITES)


@known("forwarding/vxlan_bridge_1d_ipv6.sh", ("w1", "2001:db8:1::2"), ("w1", "2001:db8:1::3"))
def bridge_1d_ipv6() -> TopologyBuilder:
    """The same of IPv6."""
    return _bridge_1d("bridge 1d ipv6", 4789, _SITES6, ipv6=True)


@known("forwarding/vxlan_bridge_1d_port_8472_ipv6.sh", ("w1", "2001:db8:1::2"))
def bridge_1d_port_8472_ipv6() -> TopologyBuilder:
    """The same of IPv6 on another port."""
    return _bridge_1d("bridge 1d 8472 ipv6", 8472, _SITES6, ipv6=True)


@known("forwarding/vxlan_reserved.sh", ("w1", "192.0.2.2"))
def reserved() -> TopologyBuilder:
    """A device that ignores some bits of the header that others must leave alone."""
    return _bridge_1d("reserved", 4789, {"sw1": "192.0.2.16/28", "ns1": "192.0.2.32/28"})


def _bridge_1q(name: str, port: int, networks: dict[str, str]) -> TopologyBuilder:
    """Two VNIs in VLAN-aware bridges of a switch and two sites: vxlan_bridge_1q.sh."""
    t = TopologyBuilder(name)
    t.router("r1", daemon=None)
    for vlan in (10, 20):
        t.segment(f"v{vlan}", vlan * 100, port=port, attributes={"learning": True, "ttl": 100})
    for n, (host, network) in enumerate(networks.items(), 1):
        t.cable(f"net{n}", network)
        t.host(host, f"net{n}")
        t.nic("r1", f"net{n}")
        t.device(host, Bridge("br1", vlan_filtering=True, vlan_default_pvid=0))
        for vlan, third in ((10, 2), (20, 51)):
            name = f"vx{vlan}"
            t.vtep(host, f"v{vlan}", device=name, bridge="br1", vlans=access(vlan))
            t.container(f"w{n}{vlan}", host, "br1", vlans=trunk(vlan))
            address = f"192.0.{third}.{n}/28"
            t.device(f"w{n}{vlan}", Vlan("vlan", link="eth0", id=vlan, addresses=address, mtu=1430))
    return t


_BOTH = (("w110", "192.0.2.2"), ("w120", "192.0.51.3"))


@known("forwarding/vxlan_bridge_1q.sh", *_BOTH)
def bridge_1q() -> TopologyBuilder:
    """VLANs with a VNI each, three sites."""
    return _bridge_1q("bridge 1q", 4789, _SITES)


@known("forwarding/vxlan_bridge_1q_port_8472.sh", *_BOTH)
def bridge_1q_port_8472() -> TopologyBuilder:
    """The same on another port."""
    return _bridge_1q("bridge 1q 8472", 8472, _SITES)


@known("forwarding/vxlan_bridge_1q_ipv6.sh", *_BOTH)
def bridge_1q_ipv6() -> TopologyBuilder:
    """The same over IPv6."""
    return _bridge_1q("bridge 1q ipv6", 4789, _SITES6)


@known("forwarding/vxlan_bridge_1q_port_8472_ipv6.sh", *_BOTH)
def bridge_1q_port_8472_ipv6() -> TopologyBuilder:
    """The same over IPv6 on another port."""
    return _bridge_1q("bridge 1q 8472 ipv6", 8472, _SITES6)


@known("netdevsim-like impairment of lib.sh (netem on a link)", ("h1", "10.0.0.2"))
def narrow_link() -> TopologyBuilder:
    """A link of limited rate, as forwarding/sch_tbf_*.sh have."""
    t = TopologyBuilder("narrow link")
    t.cable("lan", "192.0.2.0/28")
    t.segment("one", 1)
    for n in (1, 2):
        t.host(f"h{n}")
        t.nic(f"h{n}", "lan", impairment=Netem(rate=100_000_000))
        t.vtep(f"h{n}", "one", addresses=f"10.0.0.{n}/24")
    return t
