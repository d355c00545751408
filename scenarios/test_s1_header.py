"""1.1 The outer header: what the kernel writes round a frame.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

Frames are put into a's device as they are, and looked at as they arrive at b: byte for byte.
"""

from __future__ import annotations

import dataclasses
import random

import pytest
from address_tools import wait_for_addresses
from outer_tools import (
    across_a_router,
    asked,
    dissect,
    family_of,
    inner_bytes,
    inner_ip,
    is_carrying,
    made,
    ones_sum,
    see,
    see_all,
    send,
    unique,
)

from vxlab import catalog, operations

CORE = "drivers/net/vxlan/vxlan_core.c"
EXPERIMENT = 0x88B5  # IEEE 802: local experimental ethertype 1


@pytest.mark.behaviour(
    "the VXLAN header is the I flag, 24 bits of zero, the VNI, and a byte of zero",
    source="RFC 7348, section 5",
)
@pytest.mark.control("a's device has VNI 7", vteps={"a": {"id": 7}}, because="0000070")
@pytest.mark.topology(made, family=[4], id=[0, 1, 0x123456, 0xFFFFFF])
@pytest.mark.topology(made, family=[6], id=[42, 0xFFFFFF])
def test_the_vxlan_header_is_the_i_flag_and_the_vni_and_nothing_else(lab, far):
    vni = asked(lab, "id")
    outer = see(lab, frame := inner_ip(far))
    assert outer.header.hex() == f"08000000{vni:06x}00"
    far.wait_for(frame)
    far.agrees(outer)
    assert lab["a"].ping(far.address)
    assert far.ping("172.18.1.2")


@pytest.mark.behaviour(
    "packets go to the UDP port that the device has, whichever it is",
    source=f"{CORE}: vxlan_xmit_one()",
)
@pytest.mark.control("a's device has another port", vteps={"a": {"dstport": 7777}}, because="7777")
@pytest.mark.topology(made, family=[4], port=[1, 4789, 65535])
@pytest.mark.topology(made, family=[6], port=[8472])
def test_packets_go_to_the_devices_port(lab, far):
    port = lab.topology.segment("overlay").port
    outer = see(lab, frame := inner_ip(far))
    assert (outer.protocol, outer.port) == (17, port)
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour(
    "a device that is given no port has the kernel's 8472, or with gpe IANA's 4790",
    source=f"{CORE}: vxlan_dev_configure(), vxlan_config_apply()",
)
@pytest.mark.known_difference("I11", until="6.1", of="iproute2")
@pytest.mark.control(
    "the device is given port 7777", change=lambda operation: to_7777(operation), because="7777"
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


def to_7777(operation):
    if getattr(operation, "name", "") != "vx":
        return operation
    return dataclasses.replace(operation, attributes=(*operation.attributes, ("dstport", 7777)))


def udp_ports_of(node):
    """The local ports of all UDP sockets, in hexadecimal as the kernel shows them."""
    rows = [
        node.run("cat", f"/proc/net/{name}").stdout.splitlines()[1:] for name in ("udp", "udp6")
    ]
    return [row.split()[1].rpartition(":")[2] for table in rows for row in table]


@pytest.mark.behaviour(
    "the inner frame is carried byte for byte, whatever its size, even below Ethernet's least",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "a's device is in a VNI that the far end is not in",
    vteps={"a": {"id": 7}},
    because="to take out",
)
@pytest.mark.topology(made, family=[4, 6])
def test_the_inner_frame_is_carried_byte_for_byte(lab, far):
    for size in (15, 59, 60, 61, 333, 1400):
        frame = inner_bytes(far, EXPERIMENT, random.Random(size).randbytes(size - 14))
        outer = see(lab, frame)
        assert outer.inner == frame
        far.wait_for(frame, timeout=3)


@pytest.mark.behaviour(
    "the lengths of IP and UDP count exactly the inner frame and the headers before it",
    source="RFC 768; RFC 791, section 3.1; RFC 8200, section 3",
)
@pytest.mark.control(
    "a's device adds nothing: the frame goes out as it is",
    arguments={"through": "a:eth0"},
    because="in a packet",
)
@pytest.mark.topology(made, family=[4, 6])
@pytest.mark.parametrize("through", ["a:vxlan0"])
def test_the_outer_lengths_are_right(lab, far, through):
    for size in (60, 61, 999, 1464 if family_of(lab) == 4 else 1444):
        frame = inner_bytes(far, EXPERIMENT, random.Random(size).randbytes(size - 14))
        with lab.capture("b:eth0") as seen:
            send(lab, frame, through)
            carrying = seen["b:eth0"].wait_for(
                lambda x, frame=frame: is_carrying(x, frame), "the frame in a packet", timeout=2
            )
        outer = dissect(carrying.data)
        assert outer.udp_length == 8 + 8 + size
        assert outer.length == outer.udp_length + (20 if outer.version == 4 else 0)
        assert len(carrying.data) == size + (50 if outer.version == 4 else 70)


@pytest.mark.behaviour(
    "the outer header has no options and no extension headers, and its IPv4 checksum is right",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_xmit(); net/ipv6/ip6_udp_tunnel.c",
)
@pytest.mark.control("an option of 4 bytes is wanted", arguments={"options": 4})
@pytest.mark.topology(made, family=[4, 6])
@pytest.mark.parametrize("options", [0], ids=["no_options"])
def test_the_outer_ip_header_is_bare(lab, far, options):
    outer = see(lab, frame := inner_ip(far))
    assert outer.version == family_of(lab)
    assert len(outer.ip) == {4: 20, 6: 40}[outer.version] + options
    assert outer.protocol == 17
    if outer.version == 4:
        assert outer.ip[0] == 0x45
        assert ones_sum(outer.ip) == 0xFFFF
    far.wait_for(frame)


@pytest.mark.behaviour(
    "each outer IPv4 packet has an identification of its own, for its fragments to be told apart",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_xmit(), __ip_select_ident(); RFC 6864",
)
@pytest.mark.control(
    "the same packet is looked at eight times", arguments={"often": 1}, because="1 == 8"
)
@pytest.mark.topology(made())
@pytest.mark.parametrize("often", [8])
def test_outer_packets_have_different_identifications(lab, far, often):
    outers = see_all(lab, [inner_ip(far) for _ in range(often)])
    numbers = [outer.id for outer in outers] * (8 // often)
    assert len(set(numbers)) == 8
    assert not any(outer.flags for outer in outers)  # neither DF nor a fragment


@pytest.mark.behaviour(
    "the outer MACs are those of the underlay's next hop: the peer, on the same link",
    source="RFC 7348, section 5: Outer Ethernet Header",
)
@pytest.mark.control("a knows b's card by a wrong MAC", lab=lambda lab: readdress(lab))
@pytest.mark.topology(made, family=[4, 6])
def test_the_outer_macs_are_of_this_hop(lab, far):
    planned = mac_of(lab, "a", "eth0"), mac_of(lab, "b", "eth0")
    outer = see(lab, frame := inner_ip(far))
    assert (outer.mac_from, outer.mac_to) == planned
    far.wait_for(frame)


def readdress(lab):
    """A wrong MAC for b's card, which takes in all frames."""
    lab["b"].run("ip", "link", "set", "eth0", "promisc", "on")
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddNeighbour("a", "eth0", b, "02:00:00:00:00:99"))


def mac_of(lab, node, device):
    (link,) = lab[node].ip("link", "show", device)
    return link["address"]


@pytest.mark.behaviour(
    "across a router the outer packet is an ordinary one: next hop's MAC, and a TTL less by one",
    source="RFC 7348, section 5: Outer Ethernet Header",
)
@pytest.mark.control("a's device has ttl 9", vteps={"a": {"ttl": 9}}, because="== 64")
@pytest.mark.topology(across_a_router, family=[4, 6])
def test_across_a_router_the_outer_macs_are_the_routers(lab, far):
    router = [mac_of(lab, "r", device) for device in ("eth0", "eth1")]
    with lab.capture("r:eth0", "r:eth1") as seen:
        send(lab, frame := inner_ip(far))
        near, beyond = (
            dissect(seen[place].wait_for(lambda x: x.data.endswith(frame), "the frame").data)
            for place in ("r:eth0", "r:eth1")
        )
    assert (near.mac_from, near.mac_to) == (mac_of(lab, "a", "eth0"), router[0])
    assert (beyond.mac_from, beyond.mac_to) == (router[1], mac_of(lab, "b", "eth0"))
    assert near.ttl == 64
    assert beyond.ttl == 63
    assert near.udp == beyond.udp
    far.wait_for(frame)


@pytest.mark.behaviour(
    "the outer source address is the device's local, or without one that of the route",
    source=f"{CORE}: vxlan_xmit_one(), udp_tunnel_dst_lookup()",
)
@pytest.mark.control(
    "a's route to b prefers another address",
    lab=lambda lab: prefer(lab, *another(lab)),
    vteps={"a": {"local": False}},
)
@pytest.mark.topology(made, family=[4, 6], bind=["a", "none"])
def test_the_outer_source_is_local_or_the_routes(lab, far):
    outer = see(lab, frame := inner_ip(far))
    hosts = lab.topology.hosts
    assert (outer.source, outer.destination) == tuple(host.nics[0].ip for host in hosts)
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour(
    "the source address that a route prefers is the outer one where the device has no local",
    source="net/ipv4/udp_tunnel_core.c: udp_tunnel_dst_lookup(); man 8 ip-route: src",
)
@pytest.mark.control("a's device has a local address", vteps={"a": {"local": True}})
@pytest.mark.topology(made, family=[4, 6], bind="none")
def test_the_route_chooses_the_source_where_there_is_no_local(lab, far):
    prefer(lab, *another(lab))
    outer = see(lab, frame := inner_ip(far))
    assert outer.source == another(lab)[0].split("/")[0]
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour(
    "local is the outer source address even where the route prefers another",
    source=f"{CORE}: vxlan_xmit_one(); man 8 ip-link: local",
)
@pytest.mark.control("a's device has no local address", vteps={"a": {"local": False}})
@pytest.mark.topology(made, family=[4, 6])
def test_local_is_the_source_whatever_the_route_prefers(lab, far):
    prefer(lab, *another(lab))
    outer = see(lab, frame := inner_ip(far))
    assert outer.source == lab.topology.host("a").nics[0].ip
    far.wait_for(frame)
    far.agrees(outer)


def another(lab):
    """A second address for a's card, and the peer as a network of one address."""
    if family_of(lab) == 4:
        return "192.168.57.77/24", "192.168.57.54/32"
    return "fd00:192:168:57::77/64", "fd00:192:168:57::54/128"


def prefer(lab, address, peer):
    """Give a's card that address, and prefer it on the way to the peer."""
    lab.apply(operations.AddAddress("a", "eth0", address))
    family, source = ("-6" if ":" in address else "-4"), address.split("/")[0]
    wait_for_addresses(lab, "a")
    lab["a"].run("ip", family, "route", "add", peer, "dev", "eth0", "src", source)


@pytest.mark.behaviour(
    "a frame for many is carried as it is too: broadcast and multicast MACs stay inside",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control("b is not among a's remotes", lab=lambda lab: forget_b(lab))
@pytest.mark.topology(made())
@pytest.mark.parametrize("to", ["ff:ff:ff:ff:ff:ff", "01:00:5e:01:01:01", "01:80:c2:00:00:0e"])
def test_a_frame_for_many_goes_to_the_remote_as_it_is(lab, far, to):
    outer = see(lab, frame := inner_bytes(far, EXPERIMENT, unique(), to=to), timeout=3)
    assert outer.destination == far.ip
    assert outer.mac_to == mac_of(lab, "b", "eth0")  # and not a group's
    far.wait_for(frame)


def forget_b(lab):
    lab.apply(operations.DelFdb("a", "vxlan0", "00:00:00:00:00:00"))
