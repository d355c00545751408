"""1.1 The outer header: what the kernel puts in front of an inner frame.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

Frames are sent into the vxlan device of a through a packet socket, and compared byte by byte with
what b receives.
"""

from __future__ import annotations

import dataclasses
import random

import pytest
from address_tools import wait_for_addresses
from outer_tools import (
    across_a_router,
    configured,
    dissect,
    ethernet_frame,
    family_of,
    ip_frame,
    is_carrying,
    one_tunnel,
    ones_sum,
    outer_packet,
    outer_packets,
    send_frame,
    unique_bytes,
)

from vxlab import catalog, operations

CORE = "drivers/net/vxlan/vxlan_core.c"
EXPERIMENT = 0x88B5  # IEEE 802: local experimental ethertype 1


def with_port_7777(operation):
    if getattr(operation, "name", "") != "vx":
        return operation
    return dataclasses.replace(operation, attributes=(*operation.attributes, ("dstport", 7777)))


def encapsulate_twice(lab):
    """Route a's packets to b through a second vxlan device, so that they get two outer headers."""
    b = lab.topology.host("b").nics[0].ip
    attributes = (("id", 99), ("dev", "eth0"), ("remote", b), ("dstport", 4790))
    lab.apply(
        operations.AddLink("a", "vxlan99", "vxlan", 0, attributes, up=True),
        operations.SetSysctl("a", "net.ipv6.conf.vxlan99.disable_ipv6", "0"),
        operations.AddNeighbour("a", "vxlan99", b, "02:00:00:00:00:99"),
        operations.AddRoute("a", f"{b}/{32 if family_of(lab) == 4 else 128}", interface="vxlan99"),
    )


def give_a_wrong_mac(lab):
    """Give a wrong MAC for b to a; b accepts frames to any MAC."""
    lab["b"].run("ip", "link", "set", "eth0", "promisc", "on")
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddNeighbour("a", "eth0", b, "02:00:00:00:00:99"))


def over_ipv6(_topology):
    return one_tunnel(family=6)


def prefer_another_source(lab):
    prefer(lab, *another_source(lab))


def delete_default_remote(lab):
    lab.apply(operations.DelFdb("a", "vxlan0", "00:00:00:00:00:00"))


@pytest.mark.behaviour(
    "the VXLAN header holds the I flag, 24 reserved bits of zero, the VNI, and a reserved "
    "byte of zero",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "VTEP a has VNI 7 in place of the configured VNI",
    vteps={"a": {"id": 7}},
    because="'0800000000000700' == ",
)
@pytest.mark.topology(one_tunnel, family=[4], id=[0, 1, 0x123456, 0xFFFFFF])
@pytest.mark.topology(one_tunnel, family=[6], id=[42, 0xFFFFFF])
def test_the_vxlan_header_is_the_i_flag_and_the_vni(lab, far):
    vni = configured(lab, "id")
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.header.hex() == f"08000000{vni:06x}00"
    far.wait_for(frame)
    far.assert_same_outer(outer)
    assert lab["a"].ping(far.address), "b does not answer"
    assert far.ping("172.18.1.2"), "a does not answer"


@pytest.mark.behaviour(
    "outer packets go to the UDP port of `dstport`, whichever port that is",
    source=f"{CORE}: vxlan_xmit_one()",
)
@pytest.mark.control(
    "VTEP a has `dstport 7777`", vteps={"a": {"dstport": 7777}}, because=r"\(17, 7777\) == "
)
@pytest.mark.topology(one_tunnel, family=[4], port=[1, 4789, 65535])
@pytest.mark.topology(one_tunnel, family=[6], port=[8472])
def test_packets_go_to_the_configured_port(lab, far):
    port = lab.topology.segment("overlay").port
    outer = outer_packet(lab, frame := ip_frame(far))
    assert (outer.protocol, outer.port) == (17, port)
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "a vxlan device without `dstport` has the UDP port 8472, and with `gpe` 4790",
    source=f"{CORE}: vxlan_dev_configure(), vxlan_config_apply()",
)
@pytest.mark.known_difference("I11", until="6.1", of="iproute2")
@pytest.mark.control(
    "the device is created with `dstport 7777`",
    change=with_port_7777,
    because="assert 7777 == (8472|4790)",
)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize(
    ("attributes", "port"),
    [
        pytest.param({"id": 9}, 8472, id="plain"),
        pytest.param({"external": True}, 8472, id="external"),
        pytest.param({"external": True, "gpe": True, "learning": False}, 4790, id="gpe"),
    ],
)
@pytest.mark.requires("vxlan.gpe")
def test_the_default_port_is_8472_and_with_gpe_4790(lab, attributes, port):
    lab.apply(operations.AddLink("a", "vx", "vxlan", 0, tuple(attributes.items()), up=True))
    (link,) = lab["a"].ip("-d", "link", "show", "vx")
    assert link["linkinfo"]["info_data"]["port"] == port
    assert f"{port:04X}" in udp_ports_of(lab["a"])


def udp_ports_of(node):
    """The local ports of all UDP sockets, in hexadecimal as the kernel shows them."""
    rows = [
        node.run("cat", f"/proc/net/{name}").stdout.splitlines()[1:] for name in ("udp", "udp6")
    ]
    return [row.split()[1].rpartition(":")[2] for table in rows for row in table]


@pytest.mark.behaviour(
    "an inner frame is carried unchanged, byte for byte, whatever its size, even below the "
    "Ethernet minimum",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "VTEP a has VNI 7, which VTEP b does not have",
    vteps={"a": {"id": 7}},
    because="waited 3.* to decapsulate b",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_an_inner_frame_is_carried_byte_for_byte(lab, far):
    for size in (15, 59, 60, 61, 333, 1400):
        frame = ethernet_frame(far, EXPERIMENT, random.Random(size).randbytes(size - 14))
        outer = outer_packet(lab, frame)
        assert outer.inner == frame, "the inner frame was changed"
        far.wait_for(frame, timeout=3)


@pytest.mark.behaviour(
    "the lengths in the outer IP and UDP headers are those of the inner frame and the "
    "headers in front of it",
    source="RFC 768; RFC 791, section 3.1; RFC 8200, section 3",
)
@pytest.mark.control(
    "a second vxlan device below VTEP a encapsulates the outer packets once more",
    vteps={"a": {"dev": False}},
    lab=encapsulate_twice,
    because=r"the UDP length is wrong\nassert 1[24]6 == \(\(8 \+ 8\) \+ 60\)",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_outer_lengths_are_right(lab, far):
    for size in (60, 61, 999, 1464 if family_of(lab) == 4 else 1444):
        frame = ethernet_frame(far, EXPERIMENT, random.Random(size).randbytes(size - 14))
        with lab.capture("b:eth0") as seen:
            send_frame(lab, frame)
            carrying = seen["b:eth0"].wait_for(
                lambda x, frame=frame: is_carrying(x, frame), "the outer packet", timeout=3
            )
        outer = dissect(carrying.data)
        assert outer.udp_length == 8 + 8 + size, "the UDP length is wrong"
        if outer.version == 4:
            assert outer.length == 20 + outer.udp_length, "the IPv4 total length is wrong"
            assert len(carrying.data) == size + 50
        else:
            assert outer.length == outer.udp_length, "the IPv6 payload length is wrong"
            assert len(carrying.data) == size + 70


@pytest.mark.behaviour(
    "an outer packet has no IP options and no IPv6 extension headers: UDP and VXLAN header "
    "alone are between IP header and inner frame; the IPv4 checksum is right",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_xmit(); net/ipv6/ip6_udp_tunnel.c",
)
@pytest.mark.control(
    "a second vxlan device below VTEP a encapsulates the outer packets once more",
    vteps={"a": {"dev": False}},
    lab=encapsulate_twice,
    because="the inner frame does not follow the VXLAN header",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_outer_ip_header_has_no_options_and_no_extensions(lab, far):
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.version == family_of(lab)
    assert outer.protocol == 17, "the outer IP header is not followed by UDP"
    if outer.version == 4:
        assert outer.ip[0] == 0x45, "the outer IPv4 header has options"
        assert ones_sum(outer.ip) == 0xFFFF, "the outer IPv4 checksum is wrong"
    assert outer.inner == frame, "the inner frame does not follow the VXLAN header"
    far.wait_for(frame)


@pytest.mark.behaviour(
    "each outer IPv4 packet has an identification of its own",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_xmit(), __ip_select_ident(); RFC 6864",
)
@pytest.mark.control(
    "the underlay is IPv6, whose header has no identification",
    topology=over_ipv6,
    because=r"the outer packets share identifications\nassert 1 == 8",
)
@pytest.mark.topology(one_tunnel())
def test_outer_packets_have_different_identifications(lab, far):
    outers = outer_packets(lab, [ip_frame(far) for _ in range(8)])
    numbers = {outer.id for outer in outers}
    assert len(numbers) == 8, "the outer packets share identifications"
    assert not any(outer.flags for outer in outers)  # neither DF nor a fragment


@pytest.mark.behaviour(
    "to a remote on the same link, the outer MAC addresses are those of the two underlay "
    "interfaces",
    source="RFC 7348, section 5: Outer Ethernet Header",
)
@pytest.mark.control(
    "a has a permanent neighbour entry with a wrong MAC for b",
    lab=give_a_wrong_mac,
    because="02:00:00:00:00:99",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_outer_macs_are_those_of_the_underlay_interfaces(lab, far):
    planned = mac_of(lab, "a", "eth0"), mac_of(lab, "b", "eth0")
    outer = outer_packet(lab, frame := ip_frame(far))
    assert (outer.mac_from, outer.mac_to) == planned
    far.wait_for(frame)


def mac_of(lab, node, device):
    (link,) = lab[node].ip("link", "show", device)
    return link["address"]


@pytest.mark.behaviour(
    "an outer packet is routed like any other: it goes to the MAC of the next hop, and the "
    "router lowers its TTL by one",
    source="RFC 7348, section 5: Outer Ethernet Header",
)
@pytest.mark.control(
    "VTEP a has `ttl 9`",
    vteps={"a": {"ttl": 9}},
    because=r"the TTL before the router is not 64\nassert 9 == 64",
)
@pytest.mark.topology(across_a_router, family=[4, 6])
def test_a_router_forwards_outer_packets_like_others(lab, far):
    router = [mac_of(lab, "r", device) for device in ("eth0", "eth1")]
    with lab.capture("r:eth0", "r:eth1") as seen:
        send_frame(lab, frame := ip_frame(far))
        near, beyond = (
            dissect(seen[place].wait_for(lambda x: x.data.endswith(frame), "the outer packet").data)
            for place in ("r:eth0", "r:eth1")
        )
    assert (near.mac_from, near.mac_to) == (mac_of(lab, "a", "eth0"), router[0])
    assert (beyond.mac_from, beyond.mac_to) == (router[1], mac_of(lab, "b", "eth0"))
    assert near.ttl == 64, "the TTL before the router is not 64"
    assert beyond.ttl == 63, "the TTL beyond the router is not 63"
    assert near.udp == beyond.udp, "the router changed what is behind the IP header"
    far.wait_for(frame)


@pytest.mark.behaviour(
    "the outer source address is `local`, or without `local` the address that the route to "
    "the remote selects",
    source=f"{CORE}: vxlan_xmit_one(), udp_tunnel_dst_lookup()",
)
@pytest.mark.control(
    "VTEP a has no `local`, and its route to b prefers another source address",
    lab=prefer_another_source,
    vteps={"a": {"local": False}},
    because=r"At index 0 diff: .*(\.77|::77)",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], bind=["a", "none"])
def test_the_outer_source_is_local_or_the_routes(lab, far):
    outer = outer_packet(lab, frame := ip_frame(far))
    hosts = lab.topology.hosts
    assert (outer.source, outer.destination) == tuple(host.nics[0].ip for host in hosts)
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "without `local` the outer source address is the preferred source address of the route "
    "to the remote",
    source="net/ipv4/udp_tunnel_core.c: udp_tunnel_dst_lookup(); man 8 ip-route: src",
)
@pytest.mark.control(
    "VTEP a has `local`", vteps={"a": {"local": True}}, because=r"(\.50|::50)' == '"
)
@pytest.mark.topology(one_tunnel, family=[4, 6], bind="none")
def test_without_local_the_source_is_that_of_the_route(lab, far):
    prefer_another_source(lab)
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.source == another_source(lab)[0].split("/")[0]
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "with `local` the outer source address is that address, even where the route to the "
    "remote prefers another",
    source=f"{CORE}: vxlan_xmit_one(); man 8 ip-link: local",
)
@pytest.mark.control(
    "VTEP a has no `local`", vteps={"a": {"local": False}}, because=r"(\.77|::77)' == '"
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_local_is_the_source_whatever_the_route_prefers(lab, far):
    prefer_another_source(lab)
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.source == lab.topology.host("a").nics[0].ip
    far.wait_for(frame)
    far.assert_same_outer(outer)


def another_source(lab):
    """A second underlay address for a, and the address of b as a prefix."""
    if family_of(lab) == 4:
        return "192.168.57.77/24", "192.168.57.54/32"
    return "fd00:192:168:57::77/64", "fd00:192:168:57::54/128"


def prefer(lab, address, peer):
    """Give a that address, and make it the preferred source of the route to the peer."""
    lab.apply(operations.AddAddress("a", "eth0", address))
    family, source = ("-6" if ":" in address else "-4"), address.split("/")[0]
    wait_for_addresses(lab, "a")
    lab["a"].run("ip", family, "route", "add", peer, "dev", "eth0", "src", source)


@pytest.mark.behaviour(
    "an inner broadcast or multicast frame is sent to a unicast remote in a unicast outer "
    "packet, to the MAC of that remote",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control(
    "VTEP a has no remote: its default FDB entry is deleted",
    lab=delete_default_remote,
    because="b/eth0: waited 3.* for an outer packet with the inner frame; found",
)
@pytest.mark.topology(one_tunnel())
@pytest.mark.parametrize("to", ["ff:ff:ff:ff:ff:ff", "01:00:5e:01:01:01", "01:80:c2:00:00:0e"])
def test_broadcast_and_multicast_go_to_a_unicast_remote(lab, far, to):
    outer = outer_packet(
        lab, frame := ethernet_frame(far, EXPERIMENT, unique_bytes(), to=to), timeout=3
    )
    assert outer.destination == far.ip
    assert outer.mac_to == mac_of(lab, "b", "eth0")  # and not a group's
    far.wait_for(frame)
