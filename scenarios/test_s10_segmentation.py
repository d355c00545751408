"""10.2 GSO: packets larger than the MTU, and how they are cut.

    a eth0 192.168.57.1 ──── lan ──── 192.168.57.2 eth0 b
      vxlan0 172.18.1.2               172.18.1.3 vxlan0

What cannot be cut by the card is cut by the kernel before it (software GSO): each piece gets
the inner and the outer headers that it would have had on its own.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    CUTS,
    FULL,
    by_tcp,
    by_udp,
    features,
    largest,
    limit,
    offload,
    summary,
    two_hosts,
)
from outer_tools import dissect, one_tunnel, ones_sum

from vxlab.frames import decapsulate, ip_header

#: Bytes of Ethernet, IPv4 and TCP header (with time stamps) round the inner data.
INNER = 14 + 20 + 32
#: What cuts packets in a tunnel without a UDP checksum.
CUTS_ZERO = "tx-udp_tnl-segmentation"

pytestmark = pytest.mark.requires("ethtool")


def cannot_cut(lab):
    offload(lab, f"a:eth0 {CUTS} off", f"a:eth0 {CUTS_ZERO} off")


def checksums(family, wanted):
    """a's device sends UDP checksums, or none; b's takes both."""
    word, value = ("udpcsum", wanted) if family == 4 else ("udp6zerocsumtx", not wanted)
    return one_tunnel(family, udp6zerocsumrx=True, **{word: value})


def other_checksums(topology):
    """The control: checksums where there were none, and none where there were some."""
    asked = dict(topology.segment("overlay").attributes)
    turned = {word: not value for word, value in asked.items() if word != "udp6zerocsumrx"}
    return topology.with_vtep("a", "overlay", **turned)


@pytest.mark.behaviour(
    "a veth says that it can cut tunnelled packets, with and without UDP checksum",
    source="drivers/net/veth.c: VETH_FEATURES, NETIF_F_GSO_ENCAP_ALL",
)
@pytest.mark.control("a's card cannot cut tunnelled packets", lab=cannot_cut, because="'off'")
@pytest.mark.topology(two_hosts())
@pytest.mark.parametrize("feature", [CUTS, CUTS_ZERO], ids=["with_checksum", "without"])
def test_a_veth_offers_to_cut_tunnelled_packets(lab, feature):
    assert features(lab, "a:eth0")[feature] == "on"


@pytest.mark.behaviour(
    "a vxlan device cuts TCP, not tunnels: it has no ability for a tunnel in itself, for good",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_setup(), NETIF_F_GSO_SOFTWARE",
)
@pytest.mark.control("a veth is asked instead", arguments={"place": "a:eth0"}, because="fixed")
@pytest.mark.known_difference("K63", since="7.2")
@pytest.mark.known_difference("K64", until="6.1")
@pytest.mark.topology(two_hosts())
@pytest.mark.parametrize("place", ["a:vxlan0"], ids=["vxlan"])
def test_a_vxlan_device_offers_tcp_and_no_tunnels(lab, place):
    found = features(lab, place)
    assert found["tx-tcp-segmentation"] == found["tx-tcp6-segmentation"] == "on"
    assert found["tx-udp-segmentation"] == "on"
    assert found[CUTS] == found[CUTS_ZERO] == "off [fixed]"


@pytest.mark.behaviour(
    "cutting takes tx-udp_tnl-csum-segmentation with a UDP checksum, else tx-udp_tnl-segmentation",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_handle_offloads(); "
    "include/net/udp_tunnel.h: udp_tunnel_handle_offloads()",
)
@pytest.mark.control("the checksum is the other way", topology=other_checksums, because="<= 1514")
@pytest.mark.topology(checksums, family=[4, 6], wanted=[True, False])
def test_without_the_ability_that_fits_the_checksum_the_kernel_cuts(lab):
    offload(lab, f"a:eth0 {CUTS if has_checksum(lab) else CUTS_ZERO} off")
    with lab.capture("a:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:eth0") <= FULL


@pytest.mark.behaviour(
    "the ability for the other kind of checksum does not matter",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_handle_offloads(); "
    "include/net/udp_tunnel.h: udp_tunnel_handle_offloads()",
)
@pytest.mark.control("the checksum is the other way", topology=other_checksums, because="> 1514")
@pytest.mark.topology(checksums, family=[4, 6], wanted=[True, False])
def test_the_ability_for_the_other_checksum_does_not_matter(lab):
    offload(lab, f"a:eth0 {CUTS_ZERO if has_checksum(lab) else CUTS} off")
    with lab.capture("a:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:eth0") > FULL


def has_checksum(lab):
    """Whether a's device was asked for UDP checksums."""
    asked = dict(lab.topology.segment("overlay").attributes)
    return asked["udpcsum"] if "udpcsum" in asked else not asked["udp6zerocsumtx"]


@pytest.mark.behaviour(
    "each piece has outer and inner headers with its own lengths, and all make up the whole",
    source="net/ipv4/udp_offload.c: __skb_udp_tunnel_segment(); "
    "net/ipv4/tcp_offload.c: tcp_gso_segment()",
)
@pytest.mark.control(
    "the packets are not cut", arguments={"setting": "a:eth0 gso on"}, because=f"<= {FULL}"
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("setting", [f"a:eth0 {CUTS} off"], ids=["cut"])
def test_the_pieces_make_up_the_whole(lab, setting):
    offload(lab, setting)
    with lab.capture("b:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "b:eth0") <= FULL
    for outer, inner in (found := pieces(seen["b:eth0"])):
        assert outer.udp_length == 8 + 8 + 14 + inner.length
        assert len(outer.udp) == outer.udp_length
        assert outer.vni == 42
    assert len({outer.source_port for outer, _ in found}) == 1
    assert summary(joined([inner for _, inner in found])) == sent


@pytest.mark.behaviour(
    "where the card computes no checksums, each piece has two that are right",
    source="net/ipv4/udp_offload.c: __skb_udp_tunnel_segment(); gso_make_checksum()",
)
@pytest.mark.control(
    "card and device keep all abilities",
    arguments={"places": ["a:eth0 gso on"]},
    because="checksum_is_right",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize(
    "places",
    [["a:eth0 tx off"], ["a:vxlan0 tx off", "a:eth0 tx off"]],
    ids=["card", "card_and_device"],
)
def test_the_checksums_of_the_pieces_are_right(lab, places):
    offload(lab, *places)
    with lab.capture("b:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    for outer, inner in (found := pieces(seen["b:eth0"])):
        assert outer.checksum != 0
        assert outer.checksum_is_right
        assert inner.checksum_is_right
        assert ones_sum(inner.ip) == 0xFFFF
    assert len(found) > 100


def with_remote_checksums(family):
    """Both ends leave the inner checksum to each other."""
    plain = one_tunnel(family, remcsumtx=True, remcsumrx=True)
    return plain.with_vtep("b", "overlay", remcsumtx=True, remcsumrx=True)


@pytest.mark.behaviour(
    "TCP that is cut before the device arrives, its checksums left to the receiver (remcsumtx)",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_build_skb(), vxlan_remcsum(); "
    "draft-herbert-vxlan-rco, section 3",
)
@pytest.mark.control(
    "a's device sends whole checksums", vteps={"a": {"remcsumtx": False}}, because="not True"
)
@pytest.mark.requires("vxlan.remcsumtx", "vxlan.remcsumrx")
@pytest.mark.topology(with_remote_checksums, family=[4, 6])
def test_tcp_arrives_with_remote_checksums(lab):
    offload(lab, "a:vxlan0 tso off", "a:eth0 tx off")
    with lab.capture("b:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    found = pieces(seen["b:eth0"])
    assert all(outer.checksum_is_right for outer, _ in found)
    assert not any(inner.checksum_is_right for _, inner in found)


def pieces(capture):
    """What carries TCP data from a to b: outer and inner packet, as outer_tools has them."""
    found = []
    for frame in capture.frames:
        if not frame.outgoing and (tunnel := decapsulate(frame)) is not None:
            ip = ip_header(tunnel.inner.data)
            if ip is not None and ip.protocol == 6 and ip.end - ip.payload > 40:
                outer = dissect(frame.data)
                found.append((outer, dissect(outer.inner)))
    return found


def joined(segments):
    """The data of TCP segments, each where its sequence number says."""
    numbers = [int.from_bytes(segment.udp[4:8], "big") for segment in segments]
    # they may come in another order than they were sent in, and the numbers start again at 2^32
    steps = [(number - numbers[0] + (1 << 31)) % (1 << 32) for number in numbers]
    whole = bytearray(max(steps) - min(steps))
    for step, segment in zip(steps, segments, strict=True):
        data, at = segment.udp[(segment.udp[12] >> 4) * 4 :], step - min(steps)
        whole[at : at + len(data)] = data
    return bytes(whole)


@pytest.mark.behaviour(
    "gso_max_size of the vxlan device is the largest packet that TCP gives it",
    source="net/core/sock.c: sk_setup_caps(), sk_dst_gso_max_size()",
)
@pytest.mark.control(
    "the device keeps the kernel's 65536", arguments={"most": 65536}, because="< 6000|< 16000"
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("most", [6000, 16000])
def test_gso_max_size_of_the_device_limits_tcp(lab, most):
    limit(lab, "a:vxlan0", "gso_max_size", most)
    with lab.capture("a:vxlan0", "a:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert FULL < largest(seen, "a:vxlan0") < min(most, 16000)
    assert FULL < largest(seen, "a:eth0") < min(most, 16000)


@pytest.mark.behaviour(
    "gso_max_segs of the vxlan device is the number of segments that TCP puts into one packet",
    source="net/core/sock.c: sk_setup_caps(); net/ipv4/tcp_output.c: tcp_tso_segs()",
)
@pytest.mark.control("the device keeps the kernel's 65535", arguments={"most": 65535})
@pytest.mark.topology(two_hosts())
@pytest.mark.parametrize("most", [2, 4])
def test_gso_max_segs_of_the_device_limits_tcp(lab, most):
    limit(lab, "a:vxlan0", "gso_max_segs", most)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:vxlan0") == INNER + min(most, 4) * (1450 - 52)


@pytest.mark.behaviour(
    "what is larger than the card's own limits is cut before it, although the device let it pass",
    source="net/core/dev.c: gso_features_check()",
)
@pytest.mark.control("the card keeps its limits", arguments={"most": 65535}, because="<= 6000")
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize(("name", "most"), [("gso_max_size", 6000), ("gso_max_segs", 2)])
def test_what_is_too_large_for_the_card_is_cut(lab, name, most):
    limit(lab, "a:eth0", name, most)
    with lab.capture("a:vxlan0", "a:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:vxlan0") > 6000
    assert largest(seen, "a:eth0") <= 6000


@pytest.mark.behaviour(
    "datagrams sent by one call (UDP_SEGMENT) cross in one packet, and arrive one by one",
    source="net/ipv4/udp.c: udp_send_skb(), udp_queue_rcv_skb(); man 7 udp: UDP_SEGMENT",
)
@pytest.mark.control("a's card cannot cut tunnelled packets", lab=cannot_cut, because="20000")
@pytest.mark.known_difference("K64", until="6.1")
@pytest.mark.topology(two_hosts, inner=[4, 6], outer=[4, 6])
def test_datagrams_of_one_call_cross_in_one_packet(lab):
    with lab.capture("a:eth0", "b:vxlan0") as seen:
        sent, read = by_udp(lab)
    assert read == sent
    assert largest(seen, "a:eth0") > 20000
    assert largest(seen, "b:vxlan0") > 20000


@pytest.mark.behaviour(
    "where device or card cannot cut datagrams, each leaves in a packet of its own",
    source="net/ipv4/udp_offload.c: __udp_gso_segment()",
)
@pytest.mark.control("both can", arguments={"setting": "a:eth0 gso on"}, because="== 20")
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize(
    "setting",
    ["a:vxlan0 tx-udp-segmentation off", "a:eth0 tx-udp-segmentation off", f"a:eth0 {CUTS} off"],
    ids=["device_without", "card_without", "card_without_tunnels"],
)
def test_datagrams_leave_one_by_one_without_the_ability(lab, setting):
    offload(lab, setting)
    with lab.capture("a:eth0") as seen:
        sent, read = by_udp(lab, size=1000)
    assert read == sent
    inside = [tunnel.inner for tunnel in seen["a:eth0"].encapsulated()]
    assert len([frame for frame in inside if frame.length == 14 + 20 + 8 + 1000]) == len(sent)
    assert largest(seen, "a:eth0") <= FULL
