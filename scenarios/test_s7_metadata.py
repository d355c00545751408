"""7.6 Metadata: a route, a bridge with VLANs, or a tc action says where a packet goes.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c vxlan0 172.18.1.4
      external

A route with a lightweight tunnel (`ip route … encap ip id 42 dst …`) gives a's packets metadata.
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import (
    ANY_MAC,
    PORTS,
    B,
    C,
    at,
    bare,
    device,
    encap_route,
    holds,
    swap,
    swap_at,
    tunnels,
)

from vxlab import ApplyError
from vxlab.operations import AddFdb, AddLink, AddMdb, AddNeighbour, AddRoute, SetLink

XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), VXLAN_F_COLLECT_METADATA"
LWT = "net/ipv4/ip_tunnel_core.c: ip_tun_build_state(); man 8 ip-route: encap ip"

pytestmark = [pytest.mark.requires("vxlan.external"), pytest.mark.topology(bare())]

b_in_vni_43 = swap_at("b", id=43)


def external(lab, **more):
    """a's external device, and b's ordinary one, which knows a."""
    lab.apply(*device("a", "172.18.1.2/24", external=True, **more))
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=at(lab, "a")))


def send(lab, data, to="172.18.1.3"):
    """What leaves a's card for a marked datagram, which has to leave."""
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked(to, data)
        frame = seen["a:eth0"].wait_for(holds(data), "the datagram in a tunnel", timeout=3)
        (tunnel,) = tunnels(seen["a:eth0"], data)
    return frame, tunnel


def the_other_way(operation):
    if not isinstance(operation, AddLink) or operation.node != "b":
        return operation
    accepts = dict(operation.attributes).get("udp6zerocsumrx")
    return swap(udp6zerocsumrx=not accepts)(operation)


def sent(lab, *words):
    """A packet by a route with such words, of a device that is made with other values."""
    lab.apply(*device("a", "172.18.1.2/24", external=True, ttl=5, tos=8))
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", "02:00:00:00:00:03"))
    lab["a"].run("ethtool", "-K", "eth0", "tx", "off")
    encap_route(lab, "a", "172.18.1.3/32", 42, B, *words)
    return send(lab, b"as the route says")[0]


def bridge_with_vlans(lab):
    """br0 on a, whose VLANs 10 and 20 are VNIs 1010 and 1020; a itself is in VLAN 10."""
    bridge = AddLink("a", "br0", "bridge", 0, (("vlan_filtering", 1),), up=True)
    lab.apply(bridge)
    lab.apply(*device("a", external=True), SetLink("a", "vxlan0", master="br0"))
    lab["a"].run("bridge", "link", "set", "dev", "vxlan0", "vlan_tunnel", "on")
    for vid in ("10", "20"):
        vlan = ("bridge", "vlan", "add", "dev", "vxlan0", "vid", vid)
        lab["a"].run(*vlan)
        lab["a"].run(*vlan, "tunnel_info", "id", "10" + vid)
    lab["a"].run("bridge", "vlan", "add", "dev", "br0", "vid", "10", "pvid", "untagged", "self")
    lab["a"].run("ip", "address", "add", "172.18.1.2/24", "dev", "br0")


def to_1020(operation):
    return None if isinstance(operation, AddFdb) and operation.src_vni == 1010 else operation


def all_of_42(operation):
    """A control: entries are of VNI 42."""
    return (
        dataclasses.replace(operation, src_vni=42) if isinstance(operation, AddMdb) else operation
    )


def no_mdb(operation):
    """A control: no group gets a remote."""
    return None if isinstance(operation, AddMdb) else operation


@pytest.mark.behaviour("a route's metadata give VNI and remote on the wire", source=LWT)
@pytest.mark.control("b's device has VNI 43", change=b_in_vni_43, because="ping")
@pytest.mark.topology(bare, family=[4, 6])
def test_a_route_gives_vni_and_remote(lab):
    external(lab)
    encap_route(lab, "a", "172.18.1.3/32", 42, at(lab, "b"), "csum")
    assert lab["a"].ping("172.18.1.3", timeout=3)
    _, tunnel = send(lab, b"by a route")
    assert (tunnel.vni, tunnel.outer_dst, tunnel.port) == (42, at(lab, "b"), 4789)


@pytest.mark.behaviour("the VNI of a route is used as it is", source=LWT)
@pytest.mark.control(
    "the device is an ordinary one", change=swap(external=None, id=7, remote=B), because="7"
)
@pytest.mark.parametrize("vni", [0, 1, 4096, 16777215])
def test_a_route_may_name_any_vni(lab, vni):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", "02:00:00:00:00:03"))
    encap_route(lab, "a", "172.18.1.3/32", vni, B)
    assert send(lab, b"any")[1].vni == vni


OPTIONS = {
    "ttl": (("ttl", "9"), lambda frame: frame.ttl == 9),
    "ttl-64-unless-asked": ((), lambda frame: frame.ttl == 64),
    "tos": (("tos", "0x20"), lambda frame: frame.data[15] == 0x20),
    "tos-0-unless-asked": ((), lambda frame: frame.data[15] == 0),
}
ordinary = {"external": None, "id": 42, "remote": B}


@pytest.mark.behaviour("TTL and TOS come from the route, not from the device", source=LWT)
@pytest.mark.control("the device is an ordinary one", change=swap(**ordinary))
@pytest.mark.requires("ethtool")
@pytest.mark.parametrize("option", OPTIONS)
def test_the_route_says(lab, option):
    words, is_right = OPTIONS[option]
    frame = sent(lab, *words)
    assert is_right(frame), frame.data[:50].hex()


@pytest.mark.behaviour("there is no UDP checksum unless the route asks for it", source=LWT)
@pytest.mark.control("the device is an ordinary one", change=swap(**ordinary))
@pytest.mark.requires("ethtool")
def test_without_csum_the_checksum_is_0(lab):
    assert sent(lab).data[40:42] == bytes(2)


@pytest.mark.behaviour("there is a UDP checksum where the route asks for it", source=LWT)
@pytest.mark.control("the device is one without", change=swap(**ordinary, udpcsum=False))
@pytest.mark.requires("ethtool")
def test_with_csum_there_is_a_checksum(lab):
    assert sent(lab, "csum").data[40:42] != bytes(2)


@pytest.mark.behaviour(
    "over IPv6 a packet by a route without csum is taken only by who accepts checksum 0",
    source=LWT + "; RFC 6935",
)
@pytest.mark.control("b's device is the other way", change=the_other_way)
@pytest.mark.topology(bare, family=6)
@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "dropped"])
def test_over_ipv6_a_route_without_csum_needs_udp6zerocsumrx(lab, accepts):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=at(lab, "a"), udp6zerocsumrx=accepts))
    encap_route(lab, "a", "172.18.1.3/32", 42, at(lab, "b"))
    assert bool(lab["a"].ping("172.18.1.3", timeout=3 if accepts else 0.3)) is accepts


@pytest.mark.behaviour("one external device serves any number of VNIs and remotes", source=LWT)
@pytest.mark.control("c's device has VNI 42", change=swap_at("c", id=42), because="172.18.1.4")
@pytest.mark.topology(bare, hosts=3)
def test_one_device_talks_in_two_vnis(lab):
    external(lab)
    lab.apply(*device("c", "172.18.1.4/24", id=43, remote=at(lab, "a")))
    encap_route(lab, "a", "172.18.1.3/32", 42, B)
    encap_route(lab, "a", "172.18.1.4/32", 43, C)
    for address in ("172.18.1.3", "172.18.1.4"):
        assert lab["a"].ping(address, timeout=3), address


@pytest.mark.behaviour(
    "a VLAN's frames flood to the remotes of its VNI only, and in the VNI an entry names",
    source=XMIT,
)
@pytest.mark.control("the entry is another VLAN's", change=to_1020, because="waited")
@pytest.mark.topology(bare, hosts=3)
@pytest.mark.parametrize(
    ("vni", "on_the_wire"), [(None, 1010), (77, 77)], ids=["its-own", "translated"]
)
@pytest.mark.requires("bridge-vlan")
def test_a_vlan_is_carried_in_vni(lab, vni, on_the_wire):
    bridge_with_vlans(lab)
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, B, src_vni=1010, vni=vni))
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, C, src_vni=1020))
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.255", b"of VLAN 10")
        seen["a:eth0"].wait_for(holds(b"of VLAN 10"), "the datagram", timeout=3)
    found = [(row.vni, row.outer_dst) for row in tunnels(seen["a:eth0"], b"of VLAN 10")]
    assert found == [(on_the_wire, B)]


@pytest.mark.behaviour(
    "a group of a VLAN goes to the remotes of its VNI, in the VNI that they name",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_config_attrs_init(), MDBE_ATTR_SRC_VNI",
)
@pytest.mark.control("no group has a remote", change=no_mdb, because="1010")
@pytest.mark.topology(bare, hosts=3)
@pytest.mark.requires("bridge-vlan", "vxlan-mdb")
def test_a_group_of_a_vlan_is_carried_in_another_vni(lab):
    bridge_with_vlans(lab)
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, B, src_vni=1010))
    lab.apply(AddMdb("a", "vxlan0", "239.1.1.1", C, src_vni=1010, vni=77))
    lab.apply(AddMdb("a", "vxlan0", "239.1.1.1", B, src_vni=1020))
    lab.apply(AddRoute("a", "239.0.0.0/8", interface="br0"))
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("239.1.1.1", b"of VLAN 10")
        seen["a:eth0"].wait_for(holds(b"of VLAN 10"), "the datagram", timeout=3)
    found = [(row.vni, row.outer_dst) for row in tunnels(seen["a:eth0"], b"of VLAN 10")]
    assert found == [(77, C)], f"1010 is {found}"


@pytest.mark.behaviour(
    "an external device keeps the remotes of a group by VNI",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_entry_key",
)
@pytest.mark.control("both are of VNI 42", change=all_of_42, because="already exists")
@pytest.mark.requires("vxlan-mdb")
def test_a_group_has_remotes_in_each_vni(lab):
    lab.apply(*device("a", external=True))
    first, second = (AddMdb("a", "vxlan0", "239.1.1.1", B, src_vni=vni) for vni in (42, 43))
    lab.apply(first, second)
    with pytest.raises(ApplyError, match="MDB remote entry already exists"):
        lab.apply(second)


@pytest.mark.behaviour(
    "a tc action gives the metadata as a route does",
    source="net/sched/act_tunnel_key.c: tunnel_key_act(); man 8 tc-tunnel_key",
)
@pytest.mark.control("b's device has VNI 43", change=b_in_vni_43, because="ping")
@pytest.mark.requires("tunnel-key")
def test_a_tc_action_gives_vni_and_remote(lab):
    external(lab)
    lab["a"].run("tc", "qdisc", "add", "dev", "vxlan0", "clsact")
    words = "filter add dev vxlan0 egress matchall action tunnel_key set"
    where = ("src_ip", at(lab, "a"), "dst_ip", B, "id", "42")
    lab["a"].run("tc", *words.split(), *where)
    assert lab["a"].ping("172.18.1.3", timeout=3)
