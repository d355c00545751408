"""7.6 Tunnel metadata: a route, a bridge's VLANs or a tc action give VNI and remote of a packet.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c vxlan0 172.18.1.4
      external

Unless a bridge or tc does it, a route with a lightweight tunnel (`ip route … encap ip id 42 dst …`)
gives a's packets their metadata.
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
    mac_of,
    swap,
    swap_at,
    tunnels,
)

from vxlab import ApplyError, state, wait_until
from vxlab.operations import AddFdb, AddLink, AddMdb, AddNeighbour, AddRoute, SetLink

XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), VXLAN_F_COLLECT_METADATA"
LWT = "net/ipv4/ip_tunnel_core.c: ip_tun_build_state(); man 8 ip-route: encap ip"

pytestmark = [pytest.mark.requires("vxlan.external"), pytest.mark.topology(bare())]

B_HAS_VNI_43 = "b's device has VNI 43"
b_in_vni_43 = swap_at("b", id=43)
ordinary = {"external": None, "id": 42, "remote": B}


def make_external_and_ordinary(lab, **more):
    """Make an external device on a, and on b one of VNI 42 with the remote a."""
    lab.apply(*device("a", "172.18.1.2/24", external=True, **more))
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=at(lab, "a")))


def sent_datagram(lab, data, to="172.18.1.3"):
    """A datagram with a marked payload as it leaves a's lower device: as frame, and decapsulated.

    It has to leave.
    """
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked(to, data)
        frame = seen["a:eth0"].wait_for(holds(data), "the datagram in a tunnel", timeout=3)
        (tunnel,) = tunnels(seen["a:eth0"], data)
    return frame, tunnel


def frame_of_a_route(lab, *words):
    """A frame that leaves by a route with such words, from a device with TTL 5 and TOS 8."""
    lab.apply(*device("a", "172.18.1.2/24", external=True, ttl=5, tos=8))
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", "02:00:00:00:00:03"))
    lab["a"].run("ethtool", "-K", "eth0", "tx", "off")
    encap_route(lab, "a", "172.18.1.3/32", 42, B, *words)
    frame, _ = sent_datagram(lab, b"as the route says")
    return frame


def make_bridge_with_vlans(lab):
    """Make br0 on a, whose VLANs 10 and 20 are VNIs 1010 and 1020; a itself is in VLAN 10."""
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


def opposite_udp6zerocsumrx(operation):
    """A control: b's device has `udp6zerocsumrx` where it should not, and the other way round."""
    if not isinstance(operation, AddLink) or operation.node != "b":
        return operation
    accepts = dict(operation.attributes).get("udp6zerocsumrx")
    return swap(udp6zerocsumrx=not accepts)(operation)


def without_entry_of_vni_1010(operation):
    """A control: the FDB entry of VLAN 10 is missing."""
    return None if isinstance(operation, AddFdb) and operation.src_vni == 1010 else operation


def mdb_entries_of_vni_42(operation):
    """A control: MDB entries are of VNI 42."""
    if isinstance(operation, AddMdb):
        return dataclasses.replace(operation, src_vni=42)
    return operation


def no_mdb_entries(operation):
    """A control: the MDB stays empty."""
    return None if isinstance(operation, AddMdb) else operation


@pytest.mark.behaviour("a route with `encap ip` gives its packets their VNI and remote", source=LWT)
@pytest.mark.control(B_HAS_VNI_43, change=b_in_vni_43, because="b did not answer a's ping")
@pytest.mark.topology(bare, family=[4, 6])
def test_a_route_gives_vni_and_remote(lab):
    make_external_and_ordinary(lab)
    encap_route(lab, "a", "172.18.1.3/32", 42, at(lab, "b"), "csum")
    assert lab["a"].ping("172.18.1.3", timeout=3), "b did not answer a's ping"
    _, tunnel = sent_datagram(lab, b"by a route")
    assert (tunnel.vni, tunnel.outer_dst, tunnel.port) == (42, at(lab, "b"), 4789)


@pytest.mark.behaviour(
    "a packet is sent in the VNI that its route gives, from 0 to the largest, 16777215", source=LWT
)
@pytest.mark.control(
    "a's device is not external: it has VNI 7",
    change=swap(external=None, id=7, remote=B),
    because="the datagram was sent in VNI 7, not",
)
@pytest.mark.parametrize("vni", [0, 1, 4096, 16777215])
def test_a_route_may_give_any_vni(lab, vni):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", "02:00:00:00:00:03"))
    encap_route(lab, "a", "172.18.1.3/32", vni, B)
    _, tunnel = sent_datagram(lab, b"any")
    assert tunnel.vni == vni, f"the datagram was sent in VNI {tunnel.vni}, not {vni}"


# The words of a route, a field of the outer header, and its value.
OPTIONS = {
    "ttl": (("ttl", "9"), "TTL", 9),
    "ttl-64-unless-asked": ((), "TTL", 64),
    "tos": (("tos", "0x20"), "TOS", 0x20),
    "tos-0-unless-asked": ((), "TOS", 0),
}


@pytest.mark.behaviour(
    "outer TTL and TOS come from the route (64 and 0 by default), not from the external device",
    source=LWT,
)
@pytest.mark.control(
    "a's device is not external, so that its own TTL 5 and TOS 8 apply",
    change=swap(**ordinary),
    because="the outer (TTL is 5|TOS is 8), not",
)
@pytest.mark.requires("ethtool")
@pytest.mark.parametrize("option", OPTIONS)
def test_ttl_and_tos_come_from_the_route(lab, option):
    words, field, wanted = OPTIONS[option]
    frame = frame_of_a_route(lab, *words)
    found = {"TTL": frame.ttl, "TOS": frame.data[15]}[field]
    assert found == wanted, f"the outer {field} is {found}, not {wanted}"


@pytest.mark.behaviour("the outer UDP checksum is 0 unless the route has `csum`", source=LWT)
@pytest.mark.control(
    "a's device is not external, and has UDP checksums by default",
    change=swap(**ordinary),
    because="the outer UDP checksum is not 0",
)
@pytest.mark.requires("ethtool")
def test_without_csum_the_checksum_is_0(lab):
    assert frame_of_a_route(lab).data[40:42] == bytes(2), "the outer UDP checksum is not 0"


@pytest.mark.behaviour("a route with `csum` gives its packets an outer UDP checksum", source=LWT)
@pytest.mark.control(
    "a's device is not external, and has `noudpcsum`",
    change=swap(**ordinary, udpcsum=False),
    because="the outer UDP checksum is 0",
)
@pytest.mark.requires("ethtool")
def test_with_csum_there_is_a_checksum(lab):
    assert frame_of_a_route(lab, "csum").data[40:42] != bytes(2), "the outer UDP checksum is 0"


@pytest.mark.behaviour(
    "over IPv6, a device accepts packets of a route without `csum` only if it has `udp6zerocsumrx`",
    source=LWT + "; RFC 6935",
)
@pytest.mark.control(
    "`udp6zerocsumrx` of b's device is the other way round",
    change=opposite_udp6zerocsumrx,
    because="b/vxlan0: wanted no datagram without a checksum, found"
    "|the ping was not answered, and should be",
)
@pytest.mark.topology(bare, family=6)
@pytest.mark.parametrize("accepts", [True, False], ids=["accepted", "dropped"])
def test_over_ipv6_a_route_without_csum_needs_udp6zerocsumrx(lab, accepts):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=at(lab, "a"), udp6zerocsumrx=accepts))
    encap_route(lab, "a", "172.18.1.3/32", 42, at(lab, "b"))
    if accepts:
        answered = lab["a"].ping("172.18.1.3", timeout=3)
        assert answered, "the ping was not answered, and should be"
    else:
        assert_dropped_for_its_checksum(lab)


def assert_dropped_for_its_checksum(lab):
    """Assert that b's UDP drops a datagram of a for its checksum, and counts it."""

    def count():
        return state.read_snmp(lab["b"].namespaces)["Udp6InCsumErrors"]

    before, is_there = count(), holds(b"without a checksum")
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", mac_of(lab, "b")))
    with lab.capture("b:vxlan0") as seen:
        lab["a"].send_marked("172.18.1.3", b"without a checksum")
        wait_until(
            lambda: count() > before or any(map(is_there, seen["b:vxlan0"].frames)),
            "b to drop the datagram for its checksum, or to receive it",
        )
    seen["b:vxlan0"].assert_silent(is_there, "datagram without a checksum")


@pytest.mark.behaviour(
    "one external device sends and receives in several VNIs, with a remote in each", source=LWT
)
@pytest.mark.control(
    "c's device has VNI 42",
    change=swap_at("c", id=42),
    because="172.18.1.4 did not answer a's ping",
)
@pytest.mark.topology(bare, hosts=3)
def test_one_device_serves_two_vnis(lab):
    make_external_and_ordinary(lab)
    lab.apply(*device("c", "172.18.1.4/24", id=43, remote=at(lab, "a")))
    encap_route(lab, "a", "172.18.1.3/32", 42, B)
    encap_route(lab, "a", "172.18.1.4/32", 43, C)
    for address in ("172.18.1.3", "172.18.1.4"):
        assert lab["a"].ping(address, timeout=3), f"{address} did not answer a's ping"


@pytest.mark.behaviour(
    "a bridge VLAN's frames are flooded to the remotes of its VNI only, in the VNI that the FDB "
    "entry names, if any",
    source=XMIT,
)
@pytest.mark.control(
    "the FDB entry of the VLAN's VNI is missing",
    change=without_entry_of_vni_1010,
    because="for the datagram of VLAN 10; found",
)
@pytest.mark.topology(bare, hosts=3)
@pytest.mark.parametrize(
    ("vni", "on_the_wire"), [(None, 1010), (77, 77)], ids=["its-own", "translated"]
)
@pytest.mark.requires("bridge-vlan")
def test_a_vlan_is_flooded_in_its_vni(lab, vni, on_the_wire):
    make_bridge_with_vlans(lab)
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, B, src_vni=1010, vni=vni))
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, C, src_vni=1020))
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.255", b"of VLAN 10")
        seen["a:eth0"].wait_for(holds(b"of VLAN 10"), "the datagram of VLAN 10", timeout=3)
    found = [(row.vni, row.outer_dst) for row in tunnels(seen["a:eth0"], b"of VLAN 10")]
    assert found == [(on_the_wire, B)]


@pytest.mark.behaviour(
    "a multicast group in a bridge VLAN is sent to the MDB remotes of the VLAN's VNI, in the VNI "
    "that the MDB entry names",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_config_attrs_init(), MDBE_ATTR_SRC_VNI",
)
@pytest.mark.control(
    "a's MDB has no entries",
    change=no_mdb_entries,
    because=rf"sent as \(VNI, remote\) \[\(1010, '{B}'\)\]",
)
@pytest.mark.topology(bare, hosts=3)
@pytest.mark.requires("bridge-vlan", "vxlan-mdb")
def test_a_group_of_a_vlan_is_sent_in_another_vni(lab):
    make_bridge_with_vlans(lab)
    lab.apply(AddFdb("a", "vxlan0", ANY_MAC, B, src_vni=1010))
    lab.apply(AddMdb("a", "vxlan0", "239.1.1.1", C, src_vni=1010, vni=77))
    lab.apply(AddMdb("a", "vxlan0", "239.1.1.1", B, src_vni=1020))
    lab.apply(AddRoute("a", "239.0.0.0/8", interface="br0"))
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("239.1.1.1", b"of VLAN 10")
        seen["a:eth0"].wait_for(holds(b"of VLAN 10"), "the datagram of VLAN 10", timeout=3)
    found = [(row.vni, row.outer_dst) for row in tunnels(seen["a:eth0"], b"of VLAN 10")]
    assert found == [(77, C)], f"sent as (VNI, remote) {found}"


@pytest.mark.behaviour(
    "in an external device's MDB, the same group may have an entry in each VNI",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_entry_key",
)
@pytest.mark.control(
    "both MDB entries are of VNI 42",
    change=mdb_entries_of_vni_42,
    because="ApplyError: .*239.1.1.1.*src_vni 42.*MDB remote entry already exists",
)
@pytest.mark.requires("vxlan-mdb")
def test_a_group_has_an_entry_in_each_vni(lab):
    lab.apply(*device("a", external=True))
    first, second = (AddMdb("a", "vxlan0", "239.1.1.1", B, src_vni=vni) for vni in (42, 43))
    lab.apply(first, second)
    with pytest.raises(ApplyError, match="MDB remote entry already exists"):
        lab.apply(second)


@pytest.mark.behaviour(
    "the tc action `tunnel_key set` gives packets their VNI and remote",
    source="net/sched/act_tunnel_key.c: tunnel_key_act(); man 8 tc-tunnel_key",
)
@pytest.mark.control(B_HAS_VNI_43, change=b_in_vni_43, because="b did not answer a's ping")
@pytest.mark.requires("tunnel-key")
def test_a_tc_action_gives_vni_and_remote(lab):
    make_external_and_ordinary(lab)
    lab["a"].run("tc", "qdisc", "add", "dev", "vxlan0", "clsact")
    words = "filter add dev vxlan0 egress matchall action tunnel_key set"
    where = ("src_ip", at(lab, "a"), "dst_ip", B, "id", "42")
    lab["a"].run("tc", *words.split(), *where)
    assert lab["a"].ping("172.18.1.3", timeout=3), "b did not answer a's ping"
