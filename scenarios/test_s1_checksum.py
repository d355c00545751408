"""1.3 The UDP checksum: there by default, and 0 where that was asked for.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

A veth pair hands over packets with a partial sum only, as a card that computes it would be
given: here a's card has that switched off, and what arrives at b is what would be on a wire.
"""

from __future__ import annotations

import pytest
from outer_tools import dissect, family_of, inner_bytes, inner_ip, made, ones_sum, see, unique

from vxlab import catalog

SOURCE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), udp_sum"

pytestmark = pytest.mark.requires("ethtool")


def with_zero(family):
    """a's device sends no checksum; b's takes packets without one, which over IPv6 is extra."""
    word, value = ("udpcsum", False) if family == 4 else ("udp6zerocsumtx", True)
    plain = made(family, **{word: value})
    return plain.with_vtep("b", "overlay", udp6zerocsumrx=True) if family == 6 else plain


def without_offload(lab, *cards):
    """Make the kernel compute all checksums."""
    for card in cards or ("eth0",):
        lab["a"].run("ethtool", "-K", card, "tx", "off")


def ask_for_none(topology):
    """The control for both families: udpcsum off, udp6zerocsumtx on, each in its own."""
    words = {"udpcsum": False, "udp6zerocsumtx": True}
    return topology.with_vtep("a", "overlay", **words)


def ask_for_sums(topology):
    return topology.with_vtep("a", "overlay", udpcsum=True, udp6zerocsumtx=False)


@pytest.mark.behaviour(
    "by default packets have a UDP checksum, and it is right, over IPv4 as over IPv6",
    source=SOURCE,
)
@pytest.mark.control("a's device is told to send none", topology=ask_for_none, because="!= 0")
@pytest.mark.topology(made, family=[4, 6])
def test_the_checksum_is_there_and_right(lab, far):
    without_offload(lab)
    for size in (0, 1, 1300):
        outer = see(lab, frame := inner_bytes(far, 0x88B5, bytes(size) + unique()))
        assert outer.checksum != 0
        assert outer.checksum_is_right
        far.wait_for(frame)
        far.agrees(outer)


@pytest.mark.behaviour(
    "with noudpcsum over IPv4, with udp6zerocsumtx over IPv6, the checksum is 0",
    source=f"{SOURCE}; RFC 768; RFC 6935",
)
@pytest.mark.control("a's device is told to send one", topology=ask_for_sums, because="== 0")
@pytest.mark.topology(with_zero, family=[4, 6])
def test_the_checksum_is_zero_where_that_is_asked_for(lab, far):
    without_offload(lab)
    outer = see(lab, frame := inner_ip(far))
    assert outer.checksum == 0
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour(
    "the word of the other family has no effect: udp6zerocsumtx over IPv4, noudpcsum over IPv6",
    source=SOURCE,
)
@pytest.mark.control("a's device is told to send none", topology=ask_for_none, because="!= 0")
@pytest.mark.topology(made, family=4, udp6zerocsumtx=True)
@pytest.mark.topology(made, family=6, udpcsum=False)
def test_the_word_of_the_other_family_has_no_effect(lab, far):
    without_offload(lab)
    outer = see(lab, frame := inner_ip(far))
    assert outer.checksum != 0
    assert outer.checksum_is_right
    far.wait_for(frame)


@pytest.mark.behaviour(
    "what a sends from its own sockets has right checksums too, inside and outside",
    source=f"{SOURCE}; net/core/dev.c: skb_checksum_help()",
)
@pytest.mark.control("the vxlan device leaves the inner sum to others", arguments={"cards": ()})
@pytest.mark.topology(made, family=[4, 6])
@pytest.mark.parametrize("cards", [("eth0", "vxlan0")], ids=["no_offload"])
def test_both_checksums_are_right_for_a_socket_of_a(lab, far, cards):
    if cards:
        without_offload(lab, *cards)
    else:
        lab["a"].run("ethtool", "-K", "eth0", "tx", "on")
    assert lab["a"].ping(far.address)  # a knows the far end's MAC
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(far.address, b"checked")
        frame = seen["b:eth0"].wait_for(lambda x: x.data.endswith(b"vxlab:checked"), "the mark")
    outer = dissect(frame.data)
    inner = dissect(outer.inner)
    assert outer.version == family_of(lab)
    assert outer.checksum_is_right
    assert inner.checksum_is_right
    assert ones_sum(inner.ip) == 0xFFFF


@pytest.mark.behaviour(
    "with remcsumtx the header says where the inner checksum is left to the receiver",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_build_skb(), VXLAN_HF_RCO; "
    "draft-herbert-vxlan-rco, section 3",
)
@pytest.mark.control("a's device has no remcsumtx", vteps={"a": {"remcsumtx": False}})
@pytest.mark.topology(
    lambda family: (
        catalog.point_to_point(family=family)
        .with_vtep("a", "overlay", remcsumtx=True)
        .with_vtep("b", "overlay", remcsumrx=True)
    ),
    family=[4, 6],
)
@pytest.mark.requires("vxlan.remcsumtx", "vxlan.remcsumrx")
def test_remote_checksum_offload_is_said_in_the_header(lab):
    assert lab["a"].ping("172.18.1.3")
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        lab["a"].send_marked("172.18.1.3", b"remote")
        frame = seen["b:eth0"].wait_for(lambda x: x.data.endswith(b"vxlab:remote"), "the mark")
        seen["b:vxlan0"].wait_for_payload(b"remote")  # b's device knows what to do with it
    outer = dissect(frame.data)
    start, udp = (14 + 20) // 2, 0x80  # in words of 16 bits; the bit says UDP, not TCP
    assert outer.header.hex() == f"0820000000002a{start | udp:02x}"
