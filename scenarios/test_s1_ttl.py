"""1.4 The outer TTL, which over IPv6 is the hop limit.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)
"""

from __future__ import annotations

import pytest
from outer_tools import (
    configured,
    dissect,
    ethernet_frame,
    ip_frame,
    is_carrying,
    one_tunnel,
    outer_packet,
    outer_packets,
    send_frame,
    unique_bytes,
)

from vxlab import catalog, operations

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"


@pytest.mark.behaviour(
    "outer packets to a unicast remote have a TTL of 64 by default, whatever the inner TTL is",
    source=f"{CORE}; include/net/route.h: ip4_dst_hoplimit(); net/ipv6/route.c: ip6_dst_hoplimit()",
)
@pytest.mark.control(
    "VTEP a has `ttl 9`", vteps={"a": {"ttl": 9}}, because=r"\[9, 9\] == \[64, 64\]"
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_ttl_to_a_unicast_remote_is_64_by_default(lab, far):
    outers = outer_packets(lab, frames := [ip_frame(far, version, ttl=33) for version in (4, 6)])
    assert [outer.ttl for outer in outers] == [64, 64]
    far.wait_for(frames[-1])
    far.assert_same_outer(outers[-1])


@pytest.mark.behaviour(
    "the default TTL of outer packets to a unicast remote is that of the network namespace: "
    "`ip_default_ttl`, over IPv6 the `hop_limit` of the lower device",
    source="Documentation/networking/ip-sysctl.rst: ip_default_ttl, hop_limit",
)
@pytest.mark.control(
    "the sysctls `ip_default_ttl` and `hop_limit` keep their default of 64",
    without=operations.SetSysctl,
    because="assert 64 == 44",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_default_ttl_is_the_namespaces(lab, far):
    lab.apply(
        operations.SetSysctl("a", "net.ipv4.ip_default_ttl", "44"),
        operations.SetSysctl("a", "net.ipv6.conf.eth0.hop_limit", "44"),
    )
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.ttl == 44, "the outer TTL is not that of the sysctl"
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "with `ttl N` outer packets to a unicast remote have the TTL N",
    source=f"{CORE}; man 8 ip-link: ttl",
)
@pytest.mark.control(
    "VTEP a has `ttl 17` in place of the N that was configured",
    vteps={"a": {"ttl": 17}},
    because=r"assert 17 == (1|255)\b",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], ttl=[1, 255])
def test_a_configured_ttl_is_the_outer_ttl(lab, far):
    outer = outer_packet(lab, frame := ip_frame(far, ttl=99))
    assert outer.ttl == configured(lab, "ttl"), "the outer TTL is not the configured one"
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "with `ttl inherit` the outer TTL is the inner TTL, for IPv4 and IPv6 inside IPv4 and IPv6",
    source=f"{CORE}; include/net/ip_tunnels.h: ip_tunnel_get_ttl()",
)
@pytest.mark.control(
    "VTEP a has no `ttl inherit`",
    vteps={"a": {"ttl_inherit": False}},
    because=r"\[64, 64, 64\] == \[1, 63, 255\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], ttl_inherit=True)
@pytest.mark.requires("vxlan.ttl_inherit")
def test_with_ttl_inherit_the_outer_ttl_is_the_inner_ttl(lab, far):
    for version in (4, 6):
        outers = outer_packets(
            lab, frames := [ip_frame(far, version, ttl=ttl) for ttl in (1, 63, 255)]
        )
        assert [outer.ttl for outer in outers] == [1, 63, 255]
        far.wait_for(frames[-1])
        far.assert_same_outer(outers[-1])


@pytest.mark.behaviour(
    "with `ttl inherit` an inner frame that is not IP, such as ARP, gets the default outer "
    "TTL of 64",
    source=CORE,
)
@pytest.mark.control(
    "VTEP a has `ttl 9` in place of `ttl inherit`",
    vteps={"a": {"ttl_inherit": False, "ttl": 9}},
    because=r"\[9, 9\] == \[64, 64\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], ttl_inherit=True)
@pytest.mark.requires("vxlan.ttl_inherit")
def test_a_frame_without_a_ttl_to_inherit_gets_the_default(lab, far):
    looks_like_ip = bytes.fromhex("45000028000000000811") + bytes(10)  # as IPv4, its TTL would be 8
    frames = [
        ethernet_frame(far, each, looks_like_ip + unique_bytes()) for each in (0x0806, 0x88B5)
    ]
    assert [outer.ttl for outer in outer_packets(lab, frames)] == [64, 64]
    far.wait_for(frames[-1])


def to_group(family, **attributes):
    """Two hosts that flood to a multicast group; VTEP a with these attributes."""
    return catalog.one_switch(family=family).with_vtep("a", "overlay", **attributes)


def flooded(lab, ttl=33):
    """The outer packet of a frame that a floods, as b receives it."""
    frame = ethernet_frame(None, 0x0800, ip_with(ttl) + unique_bytes(), to="ff:ff:ff:ff:ff:ff")
    with lab.capture("b:eth0") as seen:
        send_frame(lab, frame)
        return dissect(
            seen["b:eth0"].wait_for(lambda x: is_carrying(x, frame), "the outer packet").data
        )


def flood_to_b_by_unicast(lab):
    lab.apply(operations.SetVxlan("a", "vxlan0", (("remote", lab.topology.host("b").nics[0].ip),)))


def ip_with(ttl):
    """An IPv4 header with that TTL, and otherwise no valid one."""
    return bytes.fromhex("4500002400000000") + bytes([ttl, 17, 0, 0]) + bytes(8)


@pytest.mark.behaviour("outer packets to a multicast group have a TTL of 1 by default", source=CORE)
@pytest.mark.control(
    "VTEP a has `ttl 8`", vteps={"a": {"ttl": 8}}, because=r"the outer TTL is not 1\nassert 8 == 1"
)
@pytest.mark.topology(to_group, family=[4, 6])
def test_the_ttl_to_a_group_is_1_by_default(lab):
    outer = flooded(lab)
    assert outer.destination == lab.topology.segment("overlay").group
    assert outer.ttl == 1, "the outer TTL is not 1"


@pytest.mark.behaviour(
    "with `ttl N` outer packets to a multicast group have the TTL N, too", source=CORE
)
@pytest.mark.control(
    "VTEP a has no `ttl`", vteps={"a": {"ttl": 0}}, because=r"the outer TTL is not 8\nassert 1 == 8"
)
@pytest.mark.topology(to_group, family=[4, 6], ttl=8)
def test_a_configured_ttl_is_that_of_multicast_too(lab):
    outer = flooded(lab)
    assert outer.destination == lab.topology.segment("overlay").group
    assert outer.ttl == 8, "the outer TTL is not 8"


@pytest.mark.behaviour(
    "with `ttl inherit` outer packets to a multicast group have the inner TTL, too", source=CORE
)
@pytest.mark.control(
    "VTEP a has no `ttl inherit`",
    vteps={"a": {"ttl_inherit": False}},
    because=r"the outer TTL is not 77\nassert 1 == 77",
)
@pytest.mark.topology(to_group, family=[4, 6], ttl_inherit=True)
@pytest.mark.requires("vxlan.ttl_inherit")
def test_an_inherited_ttl_is_that_of_multicast_too(lab):
    outer = flooded(lab, ttl=77)
    assert outer.destination == lab.topology.segment("overlay").group
    assert outer.ttl == 77, "the outer TTL is not 77"


@pytest.mark.behaviour(
    "the default TTL of outer packets to a multicast group is 1 also where the network "
    "namespace has another default TTL",
    source=CORE,
)
@pytest.mark.control(
    "VTEP a floods by unicast to b in place of the multicast group",
    lab=flood_to_b_by_unicast,
    because=r"the outer TTL is not 1\nassert 44 == 1",
)
@pytest.mark.topology(to_group, family=[4, 6])
def test_the_ttl_to_a_group_stays_1_whatever_the_default_is(lab):
    lab.apply(
        operations.SetSysctl("a", "net.ipv4.ip_default_ttl", "44"),
        operations.SetSysctl("a", "net.ipv6.conf.eth0.hop_limit", "44"),
    )
    assert flooded(lab).ttl == 1, "the outer TTL is not 1"
