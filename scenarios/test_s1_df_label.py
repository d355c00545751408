"""1.4 DF and the flow label: what one family has, and the other has not.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

DF is a bit of an outer IPv4 header; the flow label 20 bits of an outer IPv6 header.
"""

from __future__ import annotations

import pytest
from outer_tools import asked, inner_bytes, inner_ip, made, see, see_all, unique

CORE = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one()"
UNSET, SET, INHERIT = 0, 1, 2  # df, as in include/uapi/linux/if_link.h: enum ifla_vxlan_df
FIXED, FROM_INSIDE = 0, 1  # label_policy, as there: enum ifla_vxlan_label_policy

needs_df = pytest.mark.requires("vxlan.df")
needs_policy = pytest.mark.requires("vxlan.label_policy")


def of_all_kinds(far, label=0):
    """An IPv4 packet without and one with DF, an IPv6 packet, and something else."""
    plain, with_df = (inner_ip(far, 4, df=df) for df in (False, True))
    return [plain, with_df, inner_ip(far, 6, label=label), inner_bytes(far, 0x88B5, unique())]


@pytest.mark.behaviour("DF is clear unless set, whatever it is inside", source=CORE)
@pytest.mark.control("a's device has df set", vteps={"a": {"df": SET}})
@pytest.mark.topology(made())
@needs_df
def test_df_is_clear_by_default_whatever_is_inside(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far))
    assert [outer.flags for outer in outers] == [0, 0, 0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour("with df set all packets have it", source=f"{CORE}; man 8 ip-link: df")
@pytest.mark.control("a's device has df unset", vteps={"a": {"df": UNSET}})
@pytest.mark.topology(made, df=SET)
@needs_df
def test_df_set_is_on_all_packets(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far))
    assert [outer.flags for outer in outers] == [0x4000] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with df inherit an inner IPv4 packet's DF is taken over, and an IPv6 packet has it always",
    source=f"{CORE}; man 8 ip-link: df",
)
@pytest.mark.control("a's device has df unset", vteps={"a": {"df": UNSET}})
@pytest.mark.topology(made, df=INHERIT)
@needs_df
def test_df_is_inherited_and_an_ipv6_packet_has_it_always(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far))
    assert [outer.flags for outer in outers] == [0, 0x4000, 0x4000, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with df inherit a packet in a VLAN does not have it, whatever is behind the tag",
    source=f"{CORE}: eth->h_proto",
)
@pytest.mark.control("a's device has df set", vteps={"a": {"df": SET}})
@pytest.mark.topology(made, df=INHERIT)
@needs_df
def test_df_is_not_inherited_through_a_vlan_tag(lab, far):
    frames = [frame[:12] + bytes.fromhex("81000064") + frame[12:] for frame in of_all_kinds(far)]
    assert [outer.flags for outer in see_all(lab, frames)] == [0, 0, 0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "df has no effect over IPv6: packets go out as without it, with no extension header",
    source=f"{CORE}; RFC 8200, section 4.5",
)
@pytest.mark.control("the packets go over IPv4", topology=lambda _: made(df=SET))
@pytest.mark.topology(made, family=[6], df=[SET, INHERIT])
@needs_df
def test_df_has_no_effect_over_ipv6(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far))
    assert [(outer.version, outer.flags, outer.protocol) for outer in outers] == [(6, 0, 17)] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "the flow label is 0 unless set, also where the inner packet has one",
    source=f"{CORE}; man 8 ip-link: flowlabel",
)
@pytest.mark.control("a's device has flowlabel 7", vteps={"a": {"flowlabel": 7}})
@pytest.mark.topology(made, family=[6])
def test_the_flow_label_is_zero_by_default(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0, 0, 0, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "flowlabel N is on all packets, whatever the inner packet has",
    source=f"{CORE}; man 8 ip-link: flowlabel",
)
@pytest.mark.control("a's device has flowlabel 7", vteps={"a": {"flowlabel": 7}})
@pytest.mark.topology(made, family=[6], flowlabel=[1, 0xABCDE, 0xFFFFF])
@pytest.mark.requires("vxlan.flowlabel")
def test_a_flow_label_is_on_all_packets(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [asked(lab, "flowlabel")] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "a flow label does not touch the traffic class beside it",
    source="include/net/ipv6.h: ip6_flow_hdr()",
)
@pytest.mark.control("a's device has tos 0", vteps={"a": {"tos": 0}})
@pytest.mark.topology(made, family=[6], flowlabel=0xFFFFF, tos=0xB8)
@pytest.mark.requires("vxlan.flowlabel")
def test_flow_label_and_traffic_class_stand_side_by_side(lab, far):
    outer = see(lab, frame := inner_ip(far, tos=2))
    assert (outer.label, outer.tos) == (0xFFFFF, 0xB8 | 2)
    far.wait_for(frame)
    far.agrees(outer)


@pytest.mark.behaviour(
    "with label policy inherit an inner IPv6 packet's flow label is taken over, others have 0",
    source=f"{CORE}; include/net/ip_tunnels.h: ip_tunnel_get_flowlabel()",
)
@pytest.mark.control("a's label policy is fixed", vteps={"a": {"label_policy": FIXED}})
@pytest.mark.topology(made, family=[6], label_policy=FROM_INSIDE)
@needs_policy
def test_the_flow_label_is_inherited_with_that_policy(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0, 0, 0x54321, 0]
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with label policy fixed the flow label is the device's own", source=f"{CORE}: label_policy"
)
@pytest.mark.control("a's policy is inherit", vteps={"a": {"label_policy": FROM_INSIDE}})
@pytest.mark.topology(made, family=[6], label_policy=FIXED, flowlabel=0xABCDE)
@needs_policy
def test_the_flow_label_is_the_devices_own_with_policy_fixed(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0xABCDE] * 4
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "label policy inherit goes before a flow label that is set too", source=f"{CORE}: label_policy"
)
@pytest.mark.control("a's policy is fixed", vteps={"a": {"label_policy": FIXED}})
@pytest.mark.topology(made, family=[6], label_policy=FROM_INSIDE, flowlabel=0xABCDE)
@needs_policy
def test_an_inherited_flow_label_goes_before_the_devices_own(lab, far):
    outers = see_all(lab, frames := of_all_kinds(far, label=0x54321))
    assert [outer.label for outer in outers] == [0, 0, 0x54321, 0]
    far.wait_for(frames[-1])
