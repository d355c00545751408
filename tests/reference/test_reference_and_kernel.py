"""The reference VTEP at one end of a tunnel, the kernel at the other."""

from __future__ import annotations

import pytest
from reference_tools import (
    FAMILIES,
    A,
    B,
    carries,
    device,
    ip_of,
    kernel_asks_once,
    learned,
    mac_of,
    one_kernel_vtep,
    reference,
)
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest
from scapy.layers.l2 import ARP, Ether

from vxlab import catalog
from vxlab.live.lab import Lab


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
def test_pings_both_ways(lab):
    kernel_asks_once(lab)
    with reference(lab) as far:
        assert lab["a"].ping(B)
        assert far.ping(A)
        assert far.fdb == {mac_of(lab, "a"): ip_of(lab, "a")}
        assert learned(lab, "a") == {far.mac: ip_of(lab, "b")}
        lines = [str(row).partition(" | ")[2] for row in far.received]
    assert lines == [
        f"ARP who-has {B} tell {A}",
        f"ICMP echo request {A} > {B}",
        f"ARP reply {A} is-at {mac_of(lab, 'a')}",
        f"ICMP echo reply {A} > {B}",
    ]
    assert not far.dropped
    for row in far.received:
        assert (row.outer_src, row.outer_dst) == (ip_of(lab, "a"), ip_of(lab, "b"))
        assert (row.flags, row.reserved1, row.vni, row.reserved2) == (0x08, 0, 42, 0)
        assert (row.problem, row.policy, row.next_protocol) == ("", None, None)
        assert row.source_port >= 1024
        assert row.payload[8:] == row.inner == bytes(row.packet())


@pytest.mark.topology(one_kernel_vtep, **FAMILIES, v6=True)
def test_pings_both_ways_in_an_ipv6_overlay(lab):
    with reference(lab, address=(f"{B}/24", "fd42::3/64")) as far:
        assert lab["a"].ping("fd42::3", timeout=10)
        assert far.ping("fd42::2")
        assert any(carries(ICMPv6EchoRequest)(row) for row in far.received)
        assert far.received[0].inner_src == mac_of(lab, "a")
        assert not any(row.problem for row in far.received)


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
def test_a_ping_of_nobody_is_false(lab):
    with reference(lab) as far:
        assert not far.ping("172.18.1.77", timeout=0.2)
        assert far.ping(A)


@pytest.mark.topology(one_kernel_vtep, id=43)
def test_a_wrong_vni_is_recorded_and_not_answered(lab):
    with reference(lab) as far:
        assert not lab["a"].ping(B, timeout=0.3)
        row = far.wait_for(lambda row: row.vni == 43, "a packet of VNI 43")
        assert row.problem == "wanted the VNI 42, found 43"
        assert not far.fdb
        assert not learned(lab, "a")


@pytest.mark.topology(one_kernel_vtep, **FAMILIES, ttl=9, tos=0x48)
def test_outer_ttl_and_tos_are_seen(lab):
    with reference(lab) as far:
        assert lab["a"].ping(B)
        assert {(row.ttl, row.tos) for row in far.received} == {(9, 0x48)}


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
def test_who_only_listens_does_not_answer(lab):
    with reference(lab, answer=False) as far:
        assert not lab["a"].ping(B, timeout=0.3)
        assert far.wait_for(carries(ARP), "a question").packet()[ARP].pdst == B
        assert far.fdb == {mac_of(lab, "a"): ip_of(lab, "a")}


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
def test_a_frame_may_be_as_large_as_the_mtu_of_the_overlay(lab):
    with reference(lab):
        size = device(lab).mtu - 28
        assert lab["a"].ping(B, size=size)


@pytest.mark.parametrize("gbp", [True, False])
def test_a_policy_is_taken_by_a_kernel_that_speaks_gbp(gbp):
    with Lab(one_kernel_vtep(gbp=gbp)) as lab, reference(lab, gbp=True) as far:
        assert far.ping(A)
        ask = Ether(src=far.mac, dst=mac_of(lab, "a")) / IP(src=B, dst=A) / ICMP(type=8)
        far.send(ask / b"policy", flags=0x88, reserved1=100)
        far.send(ask / b"none")
        far.wait_for(lambda row: row.inner.endswith(b"none"), "the reply to the last request")
        replies = [row for row in far.received if row.inner.endswith(b"policy")]
        assert len(replies) == gbp
        assert device(lab).counters.rx_errors == (not gbp)


def grouped(family=4):
    return catalog.one_switch(family=family, port=4789).with_host("b", vteps=())


@pytest.mark.topology(grouped, **FAMILIES)
def test_it_is_a_member_of_a_flooded_segment(lab):
    group = lab.topology.segment("overlay").group
    options = {"remotes": (), "group": group, "dev": "eth0", "address": "192.168.42.3/24"}
    with lab.capture("a") as seen, reference(lab, ttl=5, **options) as far:
        assert group in groups(lab)
        assert lab["a"].ping("192.168.42.3")
        assert far.received[0].outer_dst == group
        assert far.received[0].ttl == 1
        assert far.ping("192.168.42.2")
        assert {row.outer_dst for row in far.received[1:]} == {far.local}
        assert far.received[-1].ttl == 64
    asked = [frame for frame in seen["a"].encapsulated() if frame.outer_src == far.local]
    assert [x.ttl for x in asked if x.outer_dst == group] == [5]
    assert group not in groups(lab)


def groups(lab):
    return [row.group for row in lab["b"].state.memberships if row.interface == "eth0"]
