"""10.2 GSO: how tunnelled packets longer than the MTU are segmented.

    a eth0 192.168.57.1 ──── lan ──── 192.168.57.2 eth0 b
      vxlan0 172.18.1.2               172.18.1.3 vxlan0

What the lower device cannot segment, the kernel segments before it (software GSO): each segment
gets inner and outer headers of its own.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    FULL_FRAME,
    TUNNEL_GSO,
    digest,
    features,
    largest_frame,
    set_limit,
    set_offload,
    tcp_transfer,
    two_hosts,
    udp_transfer,
)
from outer_tools import dissect, one_tunnel, ones_sum

from vxlab import decapsulate, frames

#: Bytes of Ethernet, IPv4 and TCP header (with time stamps) in front of the inner data.
INNER = 14 + 20 + 32
#: The feature by which a device segments packets in a UDP tunnel without a UDP checksum.
TUNNEL_GSO_NO_CHECKSUM = "tx-udp_tnl-segmentation"

pytestmark = pytest.mark.requires("ethtool")


def without_tunnel_gso(lab):
    """Make the kernel segment all tunnelled packets before the lower device."""
    set_offload(lab, f"a:eth0 {TUNNEL_GSO} off", f"a:eth0 {TUNNEL_GSO_NO_CHECKSUM} off")


def without_tso(lab):
    set_offload(lab, "a:vxlan0 tso off")


def with_udp_checksums(family, wanted):
    """VTEP a sends outer UDP checksums or none; VTEP b accepts both."""
    word, value = ("udpcsum", wanted) if family == 4 else ("udp6zerocsumtx", not wanted)
    return one_tunnel(family, udp6zerocsumrx=True, **{word: value})


def with_the_other_udp_checksums(topology):
    """The same, but VTEP a sends outer UDP checksums where it sent none, and the reverse."""
    asked = dict(topology.segment("overlay").attributes)
    turned = {word: not value for word, value in asked.items() if word != "udp6zerocsumrx"}
    return topology.with_vtep("a", "overlay", **turned)


@pytest.mark.behaviour(
    "a veth has the features for segmenting tunnelled packets with and without an outer UDP "
    "checksum, `tx-udp_tnl-csum-segmentation` and `tx-udp_tnl-segmentation`",
    source="drivers/net/veth.c: VETH_FEATURES, NETIF_F_GSO_ENCAP_ALL",
)
@pytest.mark.control(
    "the lower device of VTEP a cannot segment tunnelled packets",
    lab=without_tunnel_gso,
    because="assert 'off' == 'on'",
)
@pytest.mark.topology(two_hosts())
@pytest.mark.parametrize(
    "feature", [TUNNEL_GSO, TUNNEL_GSO_NO_CHECKSUM], ids=["with_checksum", "without_checksum"]
)
def test_a_veth_can_segment_tunnelled_packets(lab, feature):
    assert features(lab, "a:eth0")[feature] == "on"


@pytest.mark.behaviour(
    "a vxlan device has the features for segmenting TCP and UDP packets, but none for "
    "segmenting tunnelled packets, and these cannot be switched on",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_setup(), NETIF_F_GSO_SOFTWARE",
)
@pytest.mark.control(
    "VTEP a has `tcp-segmentation-offload off`",
    lab=without_tso,
    because=r"the vxlan device does not segment TCP\nassert \('off', 'off'\) ==",
)
@pytest.mark.known_difference("K63", since="7.2")
@pytest.mark.known_difference("K64", until="6.1")
@pytest.mark.topology(two_hosts())
def test_a_vxlan_device_segments_tcp_and_no_tunnels(lab):
    found = features(lab, "a:vxlan0")
    tcp = found["tx-tcp-segmentation"], found["tx-tcp6-segmentation"]
    assert tcp == ("on", "on"), "the vxlan device does not segment TCP"
    assert found["tx-udp-segmentation"] == "on"
    assert found[TUNNEL_GSO] == found[TUNNEL_GSO_NO_CHECKSUM] == "off [fixed]"


@pytest.mark.behaviour(
    "the kernel segments packets with an outer UDP checksum where the lower device has no "
    "`tx-udp_tnl-csum-segmentation`, and packets without one where it has no "
    "`tx-udp_tnl-segmentation`",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_handle_offloads(); "
    "include/net/udp_tunnel.h: udp_tunnel_handle_offloads()",
)
@pytest.mark.control(
    "VTEP a has the opposite setting of `udpcsum`, over IPv6 of `udp6zerocsumtx`",
    topology=with_the_other_udp_checksums,
    because=r"the packets were not segmented\nassert \d+ <= 1514",
)
@pytest.mark.topology(with_udp_checksums, family=[4, 6], wanted=[True, False])
def test_without_the_feature_for_the_checksum_the_kernel_segments(lab):
    needed, _ = tunnel_gso_features(lab)
    set_offload(lab, f"a:eth0 {needed} off")
    with lab.capture("a:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") <= FULL_FRAME, "the packets were not segmented"


@pytest.mark.behaviour(
    "packets with an outer UDP checksum pass unsegmented also where the lower device has no "
    "`tx-udp_tnl-segmentation`, and packets without one where it has no "
    "`tx-udp_tnl-csum-segmentation`",
    source="net/ipv4/ip_tunnel_core.c: iptunnel_handle_offloads(); "
    "include/net/udp_tunnel.h: udp_tunnel_handle_offloads()",
)
@pytest.mark.control(
    "VTEP a has the opposite setting of `udpcsum`, over IPv6 of `udp6zerocsumtx`",
    topology=with_the_other_udp_checksums,
    because=r"the packets were segmented\nassert \d+ > 1514",
)
@pytest.mark.topology(with_udp_checksums, family=[4, 6], wanted=[True, False])
def test_the_feature_for_the_other_checksum_does_not_matter(lab):
    _, other = tunnel_gso_features(lab)
    set_offload(lab, f"a:eth0 {other} off")
    with lab.capture("a:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") > FULL_FRAME, "the packets were segmented"


def tunnel_gso_features(lab):
    """The tunnel segmentation features for the UDP checksums of VTEP a, and for the others."""
    if has_checksum(lab):
        return TUNNEL_GSO, TUNNEL_GSO_NO_CHECKSUM
    return TUNNEL_GSO_NO_CHECKSUM, TUNNEL_GSO


def has_checksum(lab):
    """Whether the topology has VTEP a send outer UDP checksums."""
    asked = dict(lab.topology.segment("overlay").attributes)
    return asked["udpcsum"] if "udpcsum" in asked else not asked["udp6zerocsumtx"]


@pytest.mark.behaviour(
    "each segment of a tunnelled TCP packet has outer and inner headers with lengths of its "
    "own, and the segments together hold all data",
    source="net/ipv4/udp_offload.c: __skb_udp_tunnel_segment(); "
    "net/ipv4/tcp_offload.c: tcp_gso_segment()",
)
@pytest.mark.control(
    "the lower device of VTEP a keeps all features, so packets are not segmented",
    arguments={"setting": "a:eth0 gso on"},
    because=r"the packets were not segmented\nassert \d+ <= 1514",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("setting", [f"a:eth0 {TUNNEL_GSO} off"], ids=["segmented"])
def test_segments_have_their_own_lengths_and_hold_all_data(lab, setting):
    set_offload(lab, setting)
    with lab.capture("b:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:eth0") <= FULL_FRAME, "the packets were not segmented"
    for outer, inner in (found := segments(seen["b:eth0"])):
        assert outer.udp_length == 8 + 8 + 14 + inner.length
        assert len(outer.udp) == outer.udp_length
        assert outer.vni == 42
    assert len({outer.source_port for outer, _ in found}) == 1
    whole = joined([inner for _, inner in found])
    assert digest(whole) == sent, "the segments do not hold all data"


@pytest.mark.behaviour(
    "where the lower device computes no checksums, each segment of a tunnelled TCP packet "
    "has a right inner and a right outer checksum",
    source="net/ipv4/udp_offload.c: __skb_udp_tunnel_segment(); gso_make_checksum()",
)
@pytest.mark.control(
    "the devices of VTEP a keep all features, and the lower device, a veth, computes no checksums",
    arguments={"settings": ["a:eth0 gso on"]},
    because="the outer UDP checksum is wrong",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize(
    "settings",
    [["a:eth0 tx off"], ["a:vxlan0 tx off", "a:eth0 tx off"]],
    ids=["lower_device", "both_devices"],
)
def test_the_checksums_of_segments_are_right(lab, settings):
    set_offload(lab, *settings)
    with lab.capture("b:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    for outer, inner in (found := segments(seen["b:eth0"])):
        assert outer.checksum != 0, "there is no outer UDP checksum"
        assert outer.checksum_is_right, "the outer UDP checksum is wrong"
        assert inner.checksum_is_right, "the inner TCP checksum is wrong"
        assert ones_sum(inner.ip) == 0xFFFF, "the inner IPv4 checksum is wrong"
    assert len(found) > 100


def with_remote_checksums(family):
    """Both VTEPs leave the inner checksum to the receiver, and accept that."""
    plain = one_tunnel(family, remcsumtx=True, remcsumrx=True)
    return plain.with_vtep("b", "overlay", remcsumtx=True, remcsumrx=True)


@pytest.mark.behaviour(
    "TCP packets that are segmented before the vxlan device arrive complete with "
    "`remcsumtx`, which leaves the inner checksum to the receiver",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_build_skb(), vxlan_remcsum(); "
    "draft-herbert-vxlan-rco, section 3",
)
@pytest.mark.control(
    "VTEP a has no `remcsumtx`, and sends complete inner checksums",
    vteps={"a": {"remcsumtx": False}},
    because=r"an inner checksum is complete\nassert not True",
)
@pytest.mark.requires("vxlan.remcsumtx", "vxlan.remcsumrx")
@pytest.mark.topology(with_remote_checksums, family=[4, 6])
def test_tcp_arrives_with_remote_checksums(lab):
    set_offload(lab, "a:vxlan0 tso off", "a:eth0 tx off")
    with lab.capture("b:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    found = segments(seen["b:eth0"])
    outer_right, inner_right = (
        [packet.checksum_is_right for packet in packets] for packets in zip(*found, strict=True)
    )
    assert all(outer_right), "an outer checksum is wrong"
    assert not any(inner_right), "an inner checksum is complete"


def segments(capture):
    """Packets with TCP data from a to b, outer and inner, as outer_tools dissects them."""
    found = []
    for frame in capture.frames:
        if not frame.outgoing and (tunnel := decapsulate(frame)) is not None:
            ip = frames.ip_header(tunnel.inner.data)
            if ip is not None and ip.protocol == 6 and ip.end - ip.payload > 40:
                outer = dissect(frame.data)
                found.append((outer, dissect(outer.inner)))
    return found


def joined(packets):
    """The data of TCP packets, in the order of their sequence numbers."""
    numbers = [int.from_bytes(packet.udp[4:8], "big") for packet in packets]
    # packets may arrive in another order than they were sent in, and the numbers wrap at 2^32
    steps = [(number - numbers[0] + (1 << 31)) % (1 << 32) for number in numbers]
    whole = bytearray(max(steps) - min(steps))
    for step, packet in zip(steps, packets, strict=True):
        data, at = packet.udp[(packet.udp[12] >> 4) * 4 :], step - min(steps)
        whole[at : at + len(data)] = data
    return bytes(whole)


@pytest.mark.behaviour(
    "`gso_max_size` of the vxlan device limits the size of the packets that TCP gives to it",
    source="net/core/sock.c: sk_setup_caps(), sk_dst_gso_max_size()",
)
@pytest.mark.control(
    "`gso_max_size` of VTEP a is 65536, the default",
    arguments={"most": 65536},
    because=r"TCP made a larger packet\nassert \d+ < 16000",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("most", [6000, 16000])
def test_gso_max_size_of_the_device_limits_tcp(lab, most):
    set_limit(lab, "a:vxlan0", "gso_max_size", most)
    with lab.capture("a:vxlan0", "a:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    for place in ("a:vxlan0", "a:eth0"):
        longest = largest_frame(seen, place)
        assert longest > FULL_FRAME, "the packets were segmented"
        assert longest < min(most, 16000), "TCP made a larger packet"


@pytest.mark.behaviour(
    "`gso_max_segs` of the vxlan device limits the number of segments in each packet that "
    "TCP gives to it",
    source="net/core/sock.c: sk_setup_caps(); net/ipv4/tcp_output.c: tcp_tso_segs()",
)
@pytest.mark.control(
    "`gso_max_segs` of VTEP a is 65535, the default",
    arguments={"most": 65535},
    because=r"TCP made packets of another size\nassert \d{5} ==",
)
@pytest.mark.topology(two_hosts())
@pytest.mark.parametrize("most", [2, 4])
def test_gso_max_segs_of_the_device_limits_tcp(lab, most):
    set_limit(lab, "a:vxlan0", "gso_max_segs", most)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    wanted = INNER + min(most, 4) * (1450 - 52)
    assert largest_frame(seen, "a:vxlan0") == wanted, "TCP made packets of another size"


@pytest.mark.behaviour(
    "the kernel segments a packet that exceeds `gso_max_size` or `gso_max_segs` of the "
    "lower device, even if the vxlan device allows it",
    source="net/core/dev.c: gso_features_check()",
)
@pytest.mark.control(
    "`gso_max_size` and `gso_max_segs` of the lower device are 65535",
    arguments={"most": 65535},
    because=r"the packets were not segmented\nassert \d+ <= 6000",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize(("name", "most"), [("gso_max_size", 6000), ("gso_max_segs", 2)])
def test_what_exceeds_the_limits_of_the_lower_device_is_segmented(lab, name, most):
    set_limit(lab, "a:eth0", name, most)
    with lab.capture("a:vxlan0", "a:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:vxlan0") > 6000, "TCP made no large packets"
    assert largest_frame(seen, "a:eth0") <= 6000, "the packets were not segmented"


@pytest.mark.behaviour(
    "datagrams sent by one call with `UDP_SEGMENT` cross the tunnel in one packet, and are "
    "received one by one",
    source="net/ipv4/udp.c: udp_send_skb(), udp_queue_rcv_skb(); man 7 udp: UDP_SEGMENT",
)
@pytest.mark.control(
    "the lower device of VTEP a cannot segment tunnelled packets",
    lab=without_tunnel_gso,
    because=r"the packet was segmented\nassert \d+ > 20000",
)
@pytest.mark.known_difference("K64", until="6.1")
@pytest.mark.topology(two_hosts, inner=[4, 6], outer=[4, 6])
def test_datagrams_of_one_call_cross_in_one_packet(lab):
    with lab.capture("a:eth0", "b:vxlan0") as seen:
        sent, read = udp_transfer(lab)
    assert read == sent, "not all datagrams arrived one by one"
    assert largest_frame(seen, "a:eth0") > 20000, "the packet was segmented"
    assert largest_frame(seen, "b:vxlan0") > 20000, "the packet was segmented"


@pytest.mark.behaviour(
    "where the vxlan device or the lower device lacks a feature that segmentation of "
    "datagrams needs, each datagram of a `UDP_SEGMENT` call leaves in an outer packet of "
    "its own",
    source="net/ipv4/udp_offload.c: __udp_gso_segment()",
)
@pytest.mark.control(
    "the devices of VTEP a keep all features",
    arguments={"setting": "a:eth0 gso on"},
    because=r"the datagrams did not leave one by one\nassert 0 == 20",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize(
    "setting",
    [
        "a:vxlan0 tx-udp-segmentation off",
        "a:eth0 tx-udp-segmentation off",
        f"a:eth0 {TUNNEL_GSO} off",
    ],
    ids=["vxlan_device_without_udp", "lower_device_without_udp", "lower_device_without_tunnels"],
)
def test_datagrams_leave_one_by_one_without_a_needed_feature(lab, setting):
    set_offload(lab, setting)
    with lab.capture("a:eth0") as seen:
        sent, read = udp_transfer(lab, size=1000)
    assert read == sent, "not all datagrams arrived one by one"
    inside = [tunnel.inner for tunnel in seen["a:eth0"].encapsulated()]
    single = [frame for frame in inside if frame.length == 14 + 20 + 8 + 1000]
    assert len(single) == len(sent), "the datagrams did not leave one by one"
    assert largest_frame(seen, "a:eth0") <= FULL_FRAME
