"""1.3 The outer UDP checksum: present by default, and 0 where that is configured.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

A veth passes on packets without computing their checksums, as the kernel gives them to a NIC that
computes checksums itself.  Here that offload is switched off at a, so that b receives what would
be on a wire.
"""

from __future__ import annotations

import pytest
from outer_tools import (
    dissect,
    ethernet_frame,
    family_of,
    ip_frame,
    one_tunnel,
    ones_sum,
    outer_packet,
    unique_bytes,
)

from vxlab import catalog

SOURCE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), udp_sum"

pytestmark = pytest.mark.requires("ethtool")


def with_zero(family):
    """VTEP a sends no UDP checksum; over IPv6, VTEP b is set to accept such packets."""
    word, value = ("udpcsum", False) if family == 4 else ("udp6zerocsumtx", True)
    plain = one_tunnel(family, **{word: value})
    return plain.with_vtep("b", "overlay", udp6zerocsumrx=True) if family == 6 else plain


def without_offload(lab, *devices):
    """Switch the checksum offload of devices of a off: the kernel computes all checksums."""
    for device in devices or ("eth0",):
        lab["a"].run("ethtool", "-K", device, "tx", "off")


def without_checksums(topology):
    """VTEP a sends no UDP checksums, over IPv4 and over IPv6."""
    words = {"udpcsum": False, "udp6zerocsumtx": True}
    return topology.with_vtep("a", "overlay", **words)


def with_remote_checksums(family):
    """VTEP a leaves inner checksums to the receiver; VTEP b accepts that."""
    plain = catalog.point_to_point(family=family).with_vtep("a", "overlay", remcsumtx=True)
    return plain.with_vtep("b", "overlay", remcsumrx=True)


def with_checksums(topology):
    """VTEP a sends UDP checksums, over IPv4 and over IPv6."""
    return topology.with_vtep("a", "overlay", udpcsum=True, udp6zerocsumtx=False)


@pytest.mark.behaviour(
    "by default outer packets have a UDP checksum, and it is right, over IPv4 and over IPv6",
    source=SOURCE,
)
@pytest.mark.control(
    "VTEP a has `noudpcsum` and `udp6zerocsumtx`",
    topology=without_checksums,
    because="the outer UDP checksum is 0",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_checksum_is_present_and_right_by_default(lab, far):
    without_offload(lab)
    for size in (0, 1, 1300):
        outer = outer_packet(
            lab, frame := ethernet_frame(far, 0x88B5, bytes(size) + unique_bytes())
        )
        assert outer.checksum != 0, "the outer UDP checksum is 0"
        assert outer.checksum_is_right, "the outer UDP checksum is wrong"
        far.wait_for(frame)
        far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "with `noudpcsum` over IPv4, and with `udp6zerocsumtx` over IPv6, the outer UDP checksum is 0",
    source=f"{SOURCE}; RFC 768; RFC 6935",
)
@pytest.mark.control(
    "VTEP a has `udpcsum` and `noudp6zerocsumtx`",
    topology=with_checksums,
    because="the outer UDP checksum is not 0",
)
@pytest.mark.topology(with_zero, family=[4, 6])
def test_the_checksum_is_0_where_that_is_configured(lab, far):
    without_offload(lab)
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.checksum == 0, "the outer UDP checksum is not 0"
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "`udp6zerocsumtx` has no effect over IPv4, nor `noudpcsum` over IPv6: the outer UDP "
    "checksum is present and right",
    source=SOURCE,
)
@pytest.mark.control(
    "VTEP a has `noudpcsum` and `udp6zerocsumtx`",
    topology=without_checksums,
    because="the outer UDP checksum is 0",
)
@pytest.mark.topology(one_tunnel, family=4, udp6zerocsumtx=True)
@pytest.mark.topology(one_tunnel, family=6, udpcsum=False)
def test_the_setting_of_the_other_ip_version_has_no_effect(lab, far):
    without_offload(lab)
    outer = outer_packet(lab, frame := ip_frame(far))
    assert outer.checksum != 0, "the outer UDP checksum is 0"
    assert outer.checksum_is_right, "the outer UDP checksum is wrong"
    far.wait_for(frame)


@pytest.mark.behaviour(
    "where a host's vxlan device and lower device compute no checksums, a packet from a "
    "socket of that host leaves with a right inner and a right outer checksum",
    source=f"{SOURCE}; net/core/dev.c: skb_checksum_help()",
)
@pytest.mark.control(
    "the checksum offload of VTEP a and of its lower device stays on, and the lower device, "
    "a veth, computes no checksums",
    arguments={"offload": "on"},
    because="the outer UDP checksum is wrong",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@pytest.mark.parametrize("offload", ["off"])
def test_inner_and_outer_checksum_are_right_without_offload(lab, far, offload):
    for device in ("eth0", "vxlan0"):
        lab["a"].run("ethtool", "-K", device, "tx", offload)
    assert lab["a"].ping(far.address), "b does not answer"  # so a knows the MAC of b
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(far.address, b"checked")
        frame = seen["b:eth0"].wait_for(
            lambda x: x.data.endswith(b"vxlab:checked"), "the outer packet"
        )
    outer = dissect(frame.data)
    inner = dissect(outer.inner)
    assert outer.version == family_of(lab)
    assert outer.checksum_is_right, "the outer UDP checksum is wrong"
    assert inner.checksum_is_right, "the inner UDP checksum is wrong"
    assert ones_sum(inner.ip) == 0xFFFF, "the inner IPv4 checksum is wrong"


@pytest.mark.behaviour(
    "with `remcsumtx` the VXLAN header tells the receiver where to compute the inner checksum",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_build_skb(), VXLAN_HF_RCO; "
    "draft-herbert-vxlan-rco, section 3",
)
@pytest.mark.control(
    "VTEP a has no `remcsumtx`",
    vteps={"a": {"remcsumtx": False}},
    because="'0800000000002a00' == '0820000000002a91'",
)
@pytest.mark.topology(
    with_remote_checksums,
    family=[4, 6],
)
@pytest.mark.requires("vxlan.remcsumtx", "vxlan.remcsumrx")
def test_remcsumtx_announces_the_inner_checksum_in_the_header(lab):
    assert lab["a"].ping("172.18.1.3"), "b does not answer"
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        lab["a"].send_marked("172.18.1.3", b"remote")
        frame = seen["b:eth0"].wait_for(
            lambda x: x.data.endswith(b"vxlab:remote"), "the outer packet"
        )
        seen["b:vxlan0"].wait_for_payload(b"remote")  # b accepts such a header
    outer = dissect(frame.data)
    start, udp = (14 + 20) // 2, 0x80  # start in words of 16 bits; the bit is for UDP
    assert outer.header.hex() == f"0820000000002a{start | udp:02x}"
