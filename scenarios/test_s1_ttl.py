"""1.4 TTL: how far a packet may go.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

Over IPv6 the TTL is the hop limit.
"""

from __future__ import annotations

import pytest
from outer_tools import (
    asked,
    dissect,
    inner_bytes,
    inner_ip,
    is_carrying,
    made,
    see,
    see_all,
    send,
    unique,
)

from vxlab import catalog, operations

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"


@pytest.mark.behaviour(
    "the TTL of unicast is 64 unless set, whatever it is inside",
    source=f"{CORE}; include/net/route.h: ip4_dst_hoplimit(); net/ipv6/route.c: ip6_dst_hoplimit()",
)
@pytest.mark.control("a's device has ttl 9", vteps={"a": {"ttl": 9}}, because="9, 9")
@pytest.mark.topology(made, family=[4, 6])
def test_unicast_leaves_with_ttl_64(lab, far):
    outers = see_all(lab, frames := [inner_ip(far, version, ttl=33) for version in (4, 6)])
    assert [outer.ttl for outer in outers] == [64, 64]
    far.wait_for(frames[-1])
    far.agrees(outers[-1])


@pytest.mark.behaviour(
    "the default TTL is the namespace's: ip_default_ttl, and hop_limit of the card",
    source="Documentation/networking/ip-sysctl.rst: ip_default_ttl, hop_limit",
)
@pytest.mark.control("the settings stay as they are", without=operations.SetSysctl)
@pytest.mark.topology(made, family=[4, 6])
def test_the_default_ttl_is_the_namespaces(lab, far):
    lab.apply(
        operations.SetSysctl("a", "net.ipv4.ip_default_ttl", "44"),
        operations.SetSysctl("a", "net.ipv6.conf.eth0.hop_limit", "44"),
    )
    outer = see(lab, frame := inner_ip(far))
    assert outer.ttl == 44
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour("ttl N is the TTL of all packets", source=f"{CORE}; man 8 ip-link: ttl")
@pytest.mark.control("a's device has ttl 17", vteps={"a": {"ttl": 17}})
@pytest.mark.topology(made, family=[4, 6], ttl=[1, 255])
def test_a_number_is_the_ttl(lab, far):
    outer = see(lab, frame := inner_ip(far, ttl=99))
    assert outer.ttl == asked(lab, "ttl")
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour(
    "with ttl inherit the TTL inside is the one outside, in all four pairs of families",
    source=f"{CORE}; include/net/ip_tunnels.h: ip_tunnel_get_ttl()",
)
@pytest.mark.control("a's device inherits no TTL", vteps={"a": {"ttl_inherit": False}})
@pytest.mark.topology(made, family=[4, 6], ttl_inherit=True)
@pytest.mark.requires("vxlan.ttl_inherit")
def test_an_inherited_ttl_is_the_one_inside(lab, far):
    for version in (4, 6):
        outers = see_all(lab, frames := [inner_ip(far, version, ttl=ttl) for ttl in (1, 63, 255)])
        assert [outer.ttl for outer in outers] == [1, 63, 255]
        far.wait_for(frames[-1])
        far.agrees(outers[-1])


@pytest.mark.behaviour("with ttl inherit what is not IP, ARP too, has the default TTL", source=CORE)
@pytest.mark.control("the frames are IPv4 packets", arguments={"ethertypes": (0x0800, 0x0800)})
@pytest.mark.topology(made, family=[4, 6], ttl_inherit=True)
@pytest.mark.requires("vxlan.ttl_inherit")
@pytest.mark.parametrize("ethertypes", [(0x0806, 0x88B5)], ids=["arp_and_others"])
def test_without_a_ttl_to_inherit_it_is_the_default(lab, far, ethertypes):
    looks_like_ip = bytes.fromhex("45000028000000000911") + bytes(10)  # with a TTL of 9
    frames = [inner_bytes(far, each, looks_like_ip + unique()) for each in ethertypes]
    assert [outer.ttl for outer in see_all(lab, frames)] == [64, 64]
    far.wait_for(frames[-1])


def to_group(family, **attributes):
    """Both hosts flood to a group."""
    return catalog.one_switch(family=family).with_vtep("a", "overlay", **attributes)


def flooded(lab, ttl=33):
    """The outer packet of a frame that goes to the group, as it arrives at b."""
    frame = inner_bytes(None, 0x0800, ip_with(ttl) + unique(), to="ff:ff:ff:ff:ff:ff")
    with lab.capture("b:eth0") as seen:
        send(lab, frame)
        return dissect(seen["b:eth0"].wait_for(lambda x: is_carrying(x, frame), "it").data)


def ip_with(ttl):
    """An IPv4 header of no use but for its TTL."""
    return bytes.fromhex("4500002400000000") + bytes([ttl, 17, 0, 0]) + bytes(8)


@pytest.mark.behaviour("the TTL of what goes to a group is 1 unless set", source=CORE)
@pytest.mark.control("a's device has ttl 8", vteps={"a": {"ttl": 8}}, because="8 == 1")
@pytest.mark.topology(to_group, family=[4, 6])
def test_multicast_leaves_with_ttl_1(lab):
    outer = flooded(lab)
    assert outer.destination == lab.topology.segment("overlay").group
    assert outer.ttl == 1


@pytest.mark.behaviour("ttl N is that of multicast too", source=CORE)
@pytest.mark.control("a's device has no ttl", vteps={"a": {"ttl": 0}}, because="1 == 8")
@pytest.mark.topology(to_group, family=[4, 6], ttl=8)
def test_a_number_is_the_ttl_of_multicast_too(lab):
    outer = flooded(lab)
    assert outer.destination == lab.topology.segment("overlay").group
    assert outer.ttl == 8


@pytest.mark.behaviour("an inherited TTL is that of multicast too", source=CORE)
@pytest.mark.control("a's device inherits no TTL", vteps={"a": {"ttl_inherit": False}})
@pytest.mark.topology(to_group, family=[4, 6], ttl_inherit=True)
@pytest.mark.requires("vxlan.ttl_inherit")
def test_an_inherited_ttl_is_that_of_multicast_too(lab):
    outer = flooded(lab, ttl=77)
    assert outer.destination == lab.topology.segment("overlay").group
    assert outer.ttl == 77


@pytest.mark.behaviour(
    "the default TTL of multicast stays 1 whatever the namespace's default is", source=CORE
)
@pytest.mark.control("the frame goes to b alone", lab=lambda lab: to_b_alone(lab), because="44")
@pytest.mark.topology(to_group, family=[4, 6])
def test_multicast_keeps_ttl_1_whatever_the_default(lab):
    lab.apply(
        operations.SetSysctl("a", "net.ipv4.ip_default_ttl", "44"),
        operations.SetSysctl("a", "net.ipv6.conf.eth0.hop_limit", "44"),
    )
    assert flooded(lab).ttl == 1


def to_b_alone(lab):
    lab.apply(operations.SetVxlan("a", "vxlan0", (("remote", lab.topology.host("b").nics[0].ip),)))
