"""1.6 DF, which only an outer IPv4 header has, and the flow label, which only IPv6 has.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)
"""

from __future__ import annotations

import pytest
from outer_tools import (
    configured,
    ethernet_frame,
    ip_frame,
    one_tunnel,
    outer_packet,
    outer_packets,
    unique_bytes,
)

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
UNSET, SET, INHERIT = 0, 1, 2  # df, as in include/uapi/linux/if_link.h: enum ifla_vxlan_df
FIXED, INHERIT_LABEL = 0, 1  # label_policy, as there: enum ifla_vxlan_label_policy

needs_df = pytest.mark.requires("vxlan.df")
needs_policy = pytest.mark.requires("vxlan.label_policy")


def over_ipv4(_topology):
    return one_tunnel(df=SET)


def frames_of_all_kinds(far, label=0):
    """Frames with an IPv4 packet without DF, one with DF, an IPv6 packet, and no IP packet."""
    plain, with_df = (ip_frame(far, 4, df=df) for df in (False, True))
    return [
        plain,
        with_df,
        ip_frame(far, 6, label=label),
        ethernet_frame(far, 0x88B5, unique_bytes()),
    ]


@pytest.mark.behaviour(
    "by default DF is clear in the outer IPv4 header, whatever the inner frame is, also an "
    "IPv4 packet with DF",
    source=CORE,
)
@pytest.mark.control(
    "VTEP a has `df set`",
    vteps={"a": {"df": SET}},
    because=r"\[16384, 16384, 16384, 16384\] == \[0, 0, 0, 0\]",
)
@pytest.mark.topology(one_tunnel())
@needs_df
def test_df_is_clear_by_default_whatever_is_inside(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far))
    assert [outer.flags for outer in outers] == [0, 0, 0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `df set` all outer IPv4 packets have DF, whatever the inner frame is",
    source=f"{CORE}; man 8 ip-link: df",
)
@pytest.mark.control(
    "VTEP a has `df unset`",
    vteps={"a": {"df": UNSET}},
    because=r"\[0, 0, 0, 0\] == \[16384, 16384, 16384, 16384\]",
)
@pytest.mark.topology(one_tunnel, df=SET)
@needs_df
def test_with_df_set_all_outer_packets_have_df(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far))
    assert [outer.flags for outer in outers] == [0x4000] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `df inherit` the outer DF is that of an inner IPv4 packet, set for an inner IPv6 "
    "packet, and clear for a frame that is not IP",
    source=f"{CORE}; man 8 ip-link: df",
)
@pytest.mark.control(
    "VTEP a has `df unset`",
    vteps={"a": {"df": UNSET}},
    because=r"\[0, 0, 0, 0\] == \[0, 16384, 16384, 0\]",
)
@pytest.mark.topology(one_tunnel, df=INHERIT)
@needs_df
def test_df_is_inherited_and_an_inner_ipv6_packet_sets_it(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far))
    assert [outer.flags for outer in outers] == [0, 0x4000, 0x4000, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `df inherit` the outer DF is clear for every inner frame with a VLAN tag, "
    "whatever is behind the tag",
    source=f"{CORE}: eth->h_proto",
)
@pytest.mark.control(
    "VTEP a has `df set`",
    vteps={"a": {"df": SET}},
    because=r"\[16384, 16384, 16384, 16384\] == \[0, 0, 0, 0\]",
)
@pytest.mark.topology(one_tunnel, df=INHERIT)
@needs_df
def test_df_is_not_inherited_through_a_vlan_tag(lab, far):
    frames = [
        frame[:12] + bytes.fromhex("81000064") + frame[12:] for frame in frames_of_all_kinds(far)
    ]
    assert [outer.flags for outer in outer_packets(lab, frames)] == [0, 0, 0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "over IPv6 `df set` and `df inherit` have no effect: outer packets have no extension header",
    source=f"{CORE}; RFC 8200, section 4.5",
)
@pytest.mark.control(
    "the underlay is IPv4", topology=over_ipv4, because=r"\(4, 16384, 17\) != \(6, 0, 17\)"
)
@pytest.mark.topology(one_tunnel, family=[6], df=[SET, INHERIT])
@needs_df
def test_df_has_no_effect_over_ipv6(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far))
    assert [(outer.version, outer.flags, outer.protocol) for outer in outers] == [(6, 0, 17)] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "by default the outer flow label is 0, also where the inner IPv6 packet has a flow label",
    source=f"{CORE}; man 8 ip-link: flowlabel",
)
@pytest.mark.control(
    "VTEP a has `flowlabel 7`",
    vteps={"a": {"flowlabel": 7}},
    because=r"\[7, 7, 7, 7\] == \[0, 0, 0, 0\]",
)
@pytest.mark.topology(one_tunnel, family=[6])
def test_the_flow_label_is_0_by_default(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0, 0, 0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `flowlabel N` all outer packets have the flow label N, whatever flow label the "
    "inner packet has",
    source=f"{CORE}; man 8 ip-link: flowlabel",
)
@pytest.mark.control(
    "VTEP a has `flowlabel 7` in place of the N that was configured",
    vteps={"a": {"flowlabel": 7}},
    because=r"\[7, 7, 7, 7\] == \[(1, 1|703710|1048575)",
)
@pytest.mark.topology(one_tunnel, family=[6], flowlabel=[1, 0xABCDE, 0xFFFFF])
@pytest.mark.requires("vxlan.flowlabel")
def test_a_configured_flow_label_is_on_all_packets(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [configured(lab, "flowlabel")] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with a `flowlabel` of all ones the outer traffic class still has the DSCP of `tos` and "
    "the inner ECN",
    source="include/net/ipv6.h: ip6_flow_hdr()",
)
@pytest.mark.control(
    "VTEP a has `tos 0`", vteps={"a": {"tos": 0}}, because=r"\(1048575, 2\) == \(1048575, 186\)"
)
@pytest.mark.topology(one_tunnel, family=[6], flowlabel=0xFFFFF, tos=0xB8)
@pytest.mark.requires("vxlan.flowlabel")
def test_the_flow_label_leaves_the_traffic_class_alone(lab, far):
    outer = outer_packet(lab, frame := ip_frame(far, tos=2))
    assert (outer.label, outer.tos) == (0xFFFFF, 0xB8 | 2)
    far.wait_for(frame)
    far.assert_same_outer(outer)


@pytest.mark.behaviour(
    "with the label policy `inherit` the outer flow label is that of an inner IPv6 packet, "
    "and 0 for any other inner frame",
    source=f"{CORE}; include/net/ip_tunnels.h: ip_tunnel_get_flowlabel()",
)
@pytest.mark.control(
    "VTEP a has the label policy `fixed`",
    vteps={"a": {"label_policy": FIXED}},
    because=r"\[0, 0, 0, 0\] == \[0, 0, 344865, 0\]",
)
@pytest.mark.topology(one_tunnel, family=[6], label_policy=INHERIT_LABEL)
@needs_policy
def test_the_flow_label_is_inherited_with_policy_inherit(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0, 0, 0x54321, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with the label policy `fixed` the outer flow label is the `flowlabel` of the device",
    source=f"{CORE}: label_policy",
)
@pytest.mark.control(
    "VTEP a has the label policy `inherit`",
    vteps={"a": {"label_policy": INHERIT_LABEL}},
    because=r"\[0, 0, 344865, 0\] == \[703710",
)
@pytest.mark.topology(one_tunnel, family=[6], label_policy=FIXED, flowlabel=0xABCDE)
@needs_policy
def test_the_flow_label_is_the_devices_own_with_policy_fixed(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0xABCDE] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with the label policy `inherit` the `flowlabel` of the device is ignored",
    source=f"{CORE}: label_policy",
)
@pytest.mark.control(
    "VTEP a has the label policy `fixed`",
    vteps={"a": {"label_policy": FIXED}},
    because=r"703710\] == \[0, 0, 344865, 0\]",
)
@pytest.mark.topology(one_tunnel, family=[6], label_policy=INHERIT_LABEL, flowlabel=0xABCDE)
@needs_policy
def test_the_devices_flow_label_is_ignored_with_policy_inherit(lab, far):
    outers = outer_packets(lab, frames := frames_of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0, 0, 0x54321, 0]
    far.wait_for(frames[-1])
