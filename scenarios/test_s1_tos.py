"""1.5 DSCP and ECN: from the inner header to the outer one at encapsulation, and back.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

The byte is the TOS of IPv4 or the traffic class of IPv6: six bits of DSCP, two of ECN
(00 Not-ECT, 01 ECT(1), 10 ECT(0), 11 CE).
"""

from __future__ import annotations

import types

import pytest
from far_end import far_end
from outer_tools import (
    configured,
    ethernet_frame,
    ip_frame,
    one_tunnel,
    ones_sum,
    outer_packets,
    unique_bytes,
)

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
ENCAP = "include/net/inet_ecn.h: INET_ECN_encapsulate()"
DECAP = "include/net/inet_ecn.h: __INET_ECN_decapsulate()"

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3
#: The outer ECN by the inner one, which is the full-functionality option of RFC 3168: an inner CE
#: is not copied.  In the normal mode of RFC 6040, section 4.1, it would be.
ENCAPSULATED = {NOT_ECT: NOT_ECT, ECT_1: ECT_1, ECT_0: ECT_0, CE: ECT_0}

inner_versions = pytest.mark.parametrize("version", [4, 6], ids=["inner_ipv4", "inner_ipv6"])


@pytest.mark.behaviour(
    "by default the outer DSCP is 0 and the outer ECN is the inner one, except that an "
    "inner CE becomes an outer ECT(0)",
    source=f"{CORE}; {ENCAP}; RFC 6040, section 4.1",
)
@pytest.mark.control(
    "VTEP a has `tos 0x28`",
    vteps={"a": {"tos": 0x28}},
    because=r"\[40, 41, 42, 42\] == \[0, 1, 2, 2\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@inner_versions
def test_by_default_ecn_is_copied_and_dscp_is_not(lab, far, version):
    outers = outer_packets(
        lab, frames := [ip_frame(far, version, tos=0xB8 | ecn) for ecn in ENCAPSULATED]
    )
    assert [outer.tos for outer in outers] == [*ENCAPSULATED.values()]
    far.wait_for(frames[-1])
    far.assert_same_outer(outers[-1])


@pytest.mark.behaviour(
    "with `tos N` the outer DSCP is that of N, and the outer ECN is the inner one, not that of N",
    source=f"{CORE}; {ENCAP}; man 8 ip-link: tos",
)
@pytest.mark.control(
    "VTEP a has `tos 0x50` in place of the N that was configured",
    vteps={"a": {"tos": 0x50}},
    because=r"\[82, 82\] == \[(6, 6|186, 186|254, 254)\]",
)
@pytest.mark.topology(one_tunnel, family=[4], tos=[0x04, 0xB8, 0xFF])
@pytest.mark.topology(one_tunnel, family=[6], tos=[0xB8, 0xFF])
def test_a_configured_tos_is_the_dscp_and_ecn_is_copied(lab, far):
    frames = [ip_frame(far, version, tos=0x20 | ECT_0) for version in (4, 6)]
    outers, dscp = outer_packets(lab, frames), configured(lab, "tos") & 0xFC
    assert [outer.tos for outer in outers] == [dscp | ECT_0] * 2
    far.wait_for(frames[-1])
    far.assert_same_outer(outers[-1])


@pytest.mark.behaviour(
    "with `tos inherit` the outer DSCP is the inner one, for IPv4 and IPv6 inside IPv4 and IPv6",
    source=f"{CORE}; include/net/ip_tunnels.h: ip_tunnel_get_dsfield()",
)
@pytest.mark.control(
    "VTEP a has `tos 0` in place of `tos inherit`",
    vteps={"a": {"tos": 0}},
    because=r"\[2, 2, 2, 2\] == \[6, 42, 186, 254\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], tos=1)
@inner_versions
def test_with_tos_inherit_the_outer_dscp_is_the_inner_dscp(lab, far, version):
    classes = [dscp << 2 | ECT_0 for dscp in (1, 10, 46, 63)]  # 10 is AF11, 46 is EF
    outers = outer_packets(lab, frames := [ip_frame(far, version, tos=tos) for tos in classes])
    assert [outer.tos for outer in outers] == classes
    far.wait_for(frames[-1])
    far.assert_same_outer(outers[-1])


@pytest.mark.behaviour(
    "with `tos inherit` the outer ECN is the inner one as without it, and an inner CE "
    "becomes an outer ECT(0)",
    source=f"{CORE}; {ENCAP}",
)
@pytest.mark.control(
    "VTEP a has `tos 0` in place of `tos inherit`",
    vteps={"a": {"tos": 0}},
    because=r"\[0, 1, 2, 2\] == \[184, 185, 186, 186\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], tos=1)
@inner_versions
def test_with_tos_inherit_ecn_is_copied_as_without(lab, far, version):
    outers = outer_packets(
        lab, frames := [ip_frame(far, version, tos=0xB8 | ecn) for ecn in ENCAPSULATED]
    )
    assert [outer.tos for outer in outers] == [0xB8 | ecn for ecn in ENCAPSULATED.values()]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `tos inherit` an inner frame that is not IP, such as ARP, gets an outer DSCP and "
    "ECN of 0",
    source=f"{CORE}; {ENCAP}",
)
@pytest.mark.control(
    "VTEP a has `tos 0x28` in place of `tos inherit`",
    vteps={"a": {"tos": 0x28}},
    because=r"\[40, 40\] == \[0, 0\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], tos=1)
def test_a_frame_without_a_tos_to_inherit_gets_0(lab, far):
    looks_like_ip = bytes.fromhex("45b900280000000009110000") + bytes(8)  # as IPv4, TOS 0xb9
    frames = [
        ethernet_frame(far, each, looks_like_ip + unique_bytes()) for each in (0x0806, 0x88B5)
    ]
    assert [outer.tos for outer in outer_packets(lab, frames)] == [0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `tos inherit` the outer DSCP and ECN are copied from an inner IP packet behind a "
    "VLAN tag, too",
    source="include/net/ip_tunnels.h: ip_tunnel_get_dsfield(), skb_protocol(skb, true)",
)
@pytest.mark.control(
    "VTEP a has `tos 0` in place of `tos inherit`",
    vteps={"a": {"tos": 0}},
    because=r"\[1, 1\] == \[185, 185\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], tos=1)
def test_the_tos_behind_a_vlan_tag_is_inherited_too(lab, far):
    plain = [ip_frame(far, version, tos=0xB8 | ECT_1) for version in (4, 6)]
    frames = [frame[:12] + bytes.fromhex("81000064") + frame[12:] for frame in plain]
    assert [outer.tos for outer in outer_packets(lab, frames)] == [0xB8 | ECT_1] * 2
    far.wait_for(frames[-1])


@pytest.fixture
def reference(lab):
    """The far end of the tunnel as a reference VTEP, which can send any outer packet."""
    with far_end(lab, "reference") as far:
        yield far


def decapsulated(lab, reference, outer_ecn, frames):
    """The inner TOS of frames after decapsulation by a; their outer packets have that ECN."""
    vtep = reference.vtep_in_python
    with lab.capture("a:vxlan0") as seen:
        for frame in frames:
            vtep.send_outer(vtep.encapsulate(frame), tos=0x28 | outer_ecn)
        tails = [frame[-16:] for frame in frames]
        found = [
            seen["a:vxlan0"].wait_for(lambda x, end=t: x.data.endswith(end), "the inner frame")
            for t in tails
        ]
    return [tos_of(each.data) for each in found]


def tos_of(frame):
    """The TOS of an IPv4 packet, the checksum of which must be right, or of an IPv6 packet."""
    if frame[14] >> 4 == 6:
        return int.from_bytes(frame[14:16], "big") >> 4 & 0xFF
    assert ones_sum(frame[14:34]) == 0xFFFF, "the inner IPv4 checksum is wrong"
    return frame[15]


#: The destination of inner frames, which no device has: a decapsulates and then drops them.
NO_DEVICE = types.SimpleNamespace(mac="02:00:00:00:00:02")


@pytest.mark.behaviour(
    "a packet with outer CE is decapsulated with inner CE if the inner ECN is ECT(0), "
    "ECT(1) or CE; the inner DSCP is kept",
    source=f"{DECAP}; RFC 6040, section 4.2",
)
@pytest.mark.control(
    "the outer packets have ECT(0) in place of CE",
    arguments={"outer_ecn": ECT_0},
    because=r"\[186, 185, 187\] == \[187, 187, 187\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@inner_versions
@pytest.mark.parametrize("outer_ecn", [CE], ids=["ce"])
def test_an_outer_ce_becomes_an_inner_ce(lab, reference, version, outer_ecn):
    frames = [ip_frame(NO_DEVICE, version, tos=0xB8 | ecn) for ecn in (ECT_0, ECT_1, CE)]
    assert decapsulated(lab, reference, outer_ecn, frames) == [0xB8 | CE] * 3


@pytest.mark.behaviour(
    "a packet with outer ECT(1) and inner ECT(0) is decapsulated with inner ECT(1); inner "
    "ECT(1) and CE are kept",
    source="include/net/inet_ecn.h: INET_ECN_decapsulate(); RFC 6040, section 4.2",
)
@pytest.mark.control(
    "the outer packets have ECT(0) in place of ECT(1)",
    arguments={"outer_ecn": ECT_0},
    because=r"\[186, 185, 187\] == \[185, 185, 187\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@inner_versions
@pytest.mark.parametrize("outer_ecn", [ECT_1], ids=["ect1"])
def test_an_outer_ect1_becomes_an_inner_ect1(lab, reference, version, outer_ecn):
    frames = [ip_frame(NO_DEVICE, version, tos=0xB8 | ecn) for ecn in (ECT_0, ECT_1, CE)]
    assert decapsulated(lab, reference, outer_ecn, frames) == [
        0xB8 | ECT_1,
        0xB8 | ECT_1,
        0xB8 | CE,
    ]


@pytest.mark.behaviour(
    "a packet with outer Not-ECT or ECT(0) is decapsulated with its inner DSCP and ECN unchanged",
    source=f"{DECAP}; RFC 6040, section 4.2",
)
@pytest.mark.control(
    "the outer packets have CE",
    arguments={"outer_ecn": CE},
    because=r"\[187, 187, 187\] == \[186, 185, 187\]",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@inner_versions
@pytest.mark.parametrize("outer_ecn", [NOT_ECT, ECT_0], ids=["not_ect", "ect0"])
def test_an_outer_not_ect_or_ect0_leaves_the_inner_tos(lab, reference, version, outer_ecn):
    classes = [0xB8 | ecn for ecn in (ECT_0, ECT_1, CE)]
    frames = [ip_frame(NO_DEVICE, version, tos=tos) for tos in classes]
    assert decapsulated(lab, reference, outer_ecn, frames) == classes


@pytest.mark.behaviour(
    "a packet with inner Not-ECT is decapsulated with Not-ECT, whether its outer ECN is "
    "Not-ECT, ECT(0) or ECT(1)",
    source=f"{DECAP}; RFC 6040, section 4.2",
)
@pytest.mark.control(
    "the inner packets have ECT(0) in place of Not-ECT",
    arguments={"inner_ecn": ECT_0},
    because=r"\[186\] == \[\(?184",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@inner_versions
@pytest.mark.parametrize("inner_ecn", [NOT_ECT], ids=["not_ect"])
def test_an_inner_not_ect_stays_whatever_ect_is_outside(lab, reference, version, inner_ecn):
    for outer_ecn in (NOT_ECT, ECT_0, ECT_1):
        frame = ip_frame(NO_DEVICE, version, tos=0xB8 | inner_ecn)
        assert decapsulated(lab, reference, outer_ecn, [frame]) == [0xB8 | NOT_ECT]
