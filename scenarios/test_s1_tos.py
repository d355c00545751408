"""1.4 DSCP and ECN: what the class of an inner packet does to the outer one, and back.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

The byte is TOS in IPv4, traffic class in IPv6: six bits of DSCP, two of ECN (00 Not-ECT,
01 ECT(1), 10 ECT(0), 11 CE).
"""

from __future__ import annotations

import types

import pytest
from far_end import far_end
from outer_tools import asked, inner_bytes, inner_ip, made, ones_sum, see_all, unique

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
ENCAP = "include/net/inet_ecn.h: INET_ECN_encapsulate()"
DECAP = "include/net/inet_ecn.h: __INET_ECN_decapsulate()"

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3
#: RFC 3168's full functionality: congestion on the way inside is not told outside. RFC 6040,
#: section 4.1, has CE copied in its normal mode; the kernel does not.
ENCAPSULATED = {NOT_ECT: NOT_ECT, ECT_1: ECT_1, ECT_0: ECT_0, CE: ECT_0}

inside = pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])


@pytest.mark.behaviour(
    "by default DSCP is 0, and ECN is copied from inside; CE becomes ECT(0)",
    source=f"{CORE}; {ENCAP}; RFC 6040, section 4.1",
)
@pytest.mark.control("a's device has tos 0x28", vteps={"a": {"tos": 0x28}}, because="0x28|40")
@pytest.mark.topology(made, family=[4, 6])
@inside
def test_by_default_ecn_is_copied_and_dscp_is_not(lab, far, version):
    outers = see_all(
        lab, frames := [inner_ip(far, version, tos=0xB8 | ecn) for ecn in ENCAPSULATED]
    )
    assert [outer.tos for outer in outers] == [*ENCAPSULATED.values()]
    far.wait_for(frames[-1])
    far.agrees(outers[-1])


@pytest.mark.behaviour(
    "tos N is the DSCP of all packets; ECN still comes from inside, and not from N",
    source=f"{CORE}; {ENCAP}; man 8 ip-link: tos",
)
@pytest.mark.control("a's device has tos 0x50", vteps={"a": {"tos": 0x50}})
@pytest.mark.topology(made, family=[4], tos=[0x04, 0xB8, 0xFF])
@pytest.mark.topology(made, family=[6], tos=[0xB8, 0xFF])
def test_a_number_is_the_dscp_and_ecn_comes_from_inside(lab, far):
    frames = [inner_ip(far, version, tos=0x20 | ECT_0) for version in (4, 6)]
    outers, dscp = see_all(lab, frames), asked(lab, "tos") & 0xFC
    assert [outer.tos for outer in outers] == [dscp | ECT_0] * 2
    far.wait_for(frames[-1])
    far.agrees(outers[-1])


@pytest.mark.behaviour(
    "with tos inherit DSCP comes from inside too, in all four pairs of families",
    source=f"{CORE}; include/net/ip_tunnels.h: ip_tunnel_get_dsfield()",
)
@pytest.mark.control("a's device has tos 0", vteps={"a": {"tos": 0}})
@pytest.mark.topology(made, family=[4, 6], tos=1)
@inside
def test_an_inherited_tos_is_the_one_inside(lab, far, version):
    classes = [dscp << 2 | ECT_0 for dscp in (1, 10, 46, 63)]  # 10 is AF11, 46 is EF
    outers = see_all(lab, frames := [inner_ip(far, version, tos=tos) for tos in classes])
    assert [outer.tos for outer in outers] == classes
    far.wait_for(frames[-1])
    far.agrees(outers[-1])


@pytest.mark.behaviour(
    "with tos inherit ECN is copied as without: CE becomes ECT(0)", source=f"{CORE}; {ENCAP}"
)
@pytest.mark.control("a's device has tos 0", vteps={"a": {"tos": 0}})
@pytest.mark.topology(made, family=[4, 6], tos=1)
@inside
def test_with_an_inherited_tos_ecn_is_copied_as_without(lab, far, version):
    outers = see_all(
        lab, frames := [inner_ip(far, version, tos=0xB8 | ecn) for ecn in ENCAPSULATED]
    )
    assert [outer.tos for outer in outers] == [0xB8 | ecn for ecn in ENCAPSULATED.values()]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "what is not IP has nothing to inherit: DSCP and ECN are 0", source=f"{CORE}; {ENCAP}"
)
@pytest.mark.control("the frames are IPv4 packets", arguments={"ethertypes": (0x0800, 0x0800)})
@pytest.mark.topology(made, family=[4, 6], tos=1)
@pytest.mark.parametrize("ethertypes", [(0x0806, 0x88B5)], ids=["arp_and_others"])
def test_what_is_not_ip_has_no_class(lab, far, ethertypes):
    looks_like_ip = bytes.fromhex("45b900280000000009110000") + bytes(8)
    frames = [inner_bytes(far, each, looks_like_ip + unique()) for each in ethertypes]
    assert [outer.tos for outer in see_all(lab, frames)] == [0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "an inner packet in a VLAN has its class read behind the tag",
    source="include/net/ip_tunnels.h: ip_tunnel_get_dsfield(), skb_protocol(skb, true)",
)
@pytest.mark.control("a's device has tos 0", vteps={"a": {"tos": 0}})
@pytest.mark.topology(made, family=[4, 6], tos=1)
def test_the_class_of_a_tagged_packet_is_inherited_too(lab, far):
    plain = [inner_ip(far, version, tos=0xB8 | ECT_1) for version in (4, 6)]
    frames = [frame[:12] + bytes.fromhex("81000064") + frame[12:] for frame in plain]
    assert [outer.tos for outer in see_all(lab, frames)] == [0xB8 | ECT_1] * 2
    far.wait_for(frames[-1])


@pytest.fixture
def reference(lab):
    """The far end as one that sends any outer packet."""
    with far_end(lab, "reference") as far:
        yield far


def taken_out(lab, reference, outer_ecn, frames):
    """What a's device makes of inner frames in packets of that ECN: the IP headers' classes."""
    vtep = reference.vtep_in_python
    with lab.capture("a:vxlan0") as seen:
        for frame in frames:
            vtep.send_outer(vtep.encapsulate(frame), tos=0x28 | outer_ecn)
        tails = [frame[-16:] for frame in frames]
        found = [
            seen["a:vxlan0"].wait_for(lambda x, end=t: x.data.endswith(end), "it") for t in tails
        ]
    return [class_of(each.data) for each in found]


def class_of(frame):
    """The class of an IPv4 packet with a right checksum, or of an IPv6 packet."""
    if frame[14] >> 4 == 6:
        return int.from_bytes(frame[14:16], "big") >> 4 & 0xFF
    assert ones_sum(frame[14:34]) == 0xFFFF
    return frame[15]


to_a_mac = types.SimpleNamespace(mac="02:00:00:00:00:02")  # of nobody: a drops the packets


@pytest.mark.behaviour(
    "a packet that met congestion outside has CE inside too, if it can (ECT); DSCP is left alone",
    source=f"{DECAP}; RFC 6040, section 4.2",
)
@pytest.mark.control("there was no congestion", arguments={"outer_ecn": ECT_0})
@pytest.mark.topology(made, family=[4, 6])
@inside
@pytest.mark.parametrize("outer_ecn", [CE], ids=["ce"])
def test_congestion_outside_is_told_inside(lab, reference, version, outer_ecn):
    frames = [inner_ip(to_a_mac, version, tos=0xB8 | ecn) for ecn in (ECT_0, ECT_1, CE)]
    assert taken_out(lab, reference, outer_ecn, frames) == [0xB8 | CE] * 3


@pytest.mark.behaviour(
    "a packet with ECT(1) outside and ECT(0) inside is taken out with ECT(1), the stronger mark",
    source="include/net/inet_ecn.h: INET_ECN_decapsulate(); RFC 6040, section 4.2",
)
@pytest.mark.control("ECT(0) is outside", arguments={"outer_ecn": ECT_0})
@pytest.mark.topology(made, family=[4, 6])
@inside
@pytest.mark.parametrize("outer_ecn", [ECT_1], ids=["ect1"])
def test_ect1_outside_is_told_inside(lab, reference, version, outer_ecn):
    frames = [inner_ip(to_a_mac, version, tos=0xB8 | ecn) for ecn in (ECT_0, ECT_1, CE)]
    assert taken_out(lab, reference, outer_ecn, frames) == [0xB8 | ECT_1, 0xB8 | ECT_1, 0xB8 | CE]


@pytest.mark.behaviour(
    "with Not-ECT or ECT(0) outside the class inside stays as it is",
    source=f"{DECAP}; RFC 6040, section 4.2",
)
@pytest.mark.control(
    "the packets met congestion", arguments={"outer_ecn": CE}, because="0xb|18[0-9]"
)
@pytest.mark.topology(made, family=[4, 6])
@inside
@pytest.mark.parametrize("outer_ecn", [NOT_ECT, ECT_0], ids=["not_ect", "ect0"])
def test_without_news_outside_the_class_stays(lab, reference, version, outer_ecn):
    classes = [0xB8 | ecn for ecn in (ECT_0, ECT_1, CE)]
    frames = [inner_ip(to_a_mac, version, tos=tos) for tos in classes]
    assert taken_out(lab, reference, outer_ecn, frames) == classes


@pytest.mark.behaviour(
    "a packet that cannot tell of congestion (Not-ECT) stays as it is with ECT outside",
    source=f"{DECAP}; RFC 6040, section 4.2",
)
@pytest.mark.control("the packet inside is ECT(0)", arguments={"inner_ecn": ECT_0})
@pytest.mark.topology(made, family=[4, 6])
@inside
@pytest.mark.parametrize("inner_ecn", [NOT_ECT], ids=["not_ect"])
def test_not_ect_inside_stays_whatever_ect_is_outside(lab, reference, version, inner_ecn):
    for outer_ecn in (NOT_ECT, ECT_0, ECT_1):
        frame = inner_ip(to_a_mac, version, tos=0xB8 | inner_ecn)
        assert taken_out(lab, reference, outer_ecn, [frame]) == [0xB8 | NOT_ECT]
