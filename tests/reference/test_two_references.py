"""Two or three reference VTEPs: how they flood and learn, and extensions of VXLAN."""

from __future__ import annotations

import pytest
from reference_tools import FAMILIES, FRAME, MAC, A, B, ip_of, reference, without_vteps
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from vxlab.reference import ReferenceVtep, udp


@pytest.mark.topology(without_vteps, **FAMILIES, hosts=3)
def test_an_unknown_mac_is_flooded_and_a_known_one_is_not(lab):
    with (
        reference(lab, "a") as a,
        reference(lab, "b") as b,
        reference(lab, "c", address="172.18.1.4/24") as c,
    ):
        assert a.ping(B)  # the question reaches all, the rest b alone
        frame = Ether(src=b.mac, dst=a.mac, type=0x88B6)
        b.send(frame / b"to a alone")
        b.send(frame / b"to c alone", to=c.local)
        b.send(Ether(src=b.mac, dst=MAC, type=0x88B6) / b"to all")
        for vtep in (a, c):
            vtep.wait_for(lambda row: row.inner.endswith(b"to all"), "the last frame")
        assert [row.inner[14:] for row in c.received] == [
            c.received[0].inner[14:],
            b"to c alone",
            b"to all",
        ]
        assert ARP in c.received[0].packet()
        assert [row.inner[14:] for row in a.received][-2:] == [b"to a alone", b"to all"]
        assert b.fdb == {a.mac: a.local}
        assert c.fdb == {a.mac: a.local, b.mac: b.local}


@pytest.mark.topology(without_vteps())
def test_the_same_mac_elsewhere_moves(lab):
    with reference(lab, "a") as a, reference(lab, "b") as b:
        for source in (a.local, "192.168.57.99"):
            a.send_outer(a.encapsulate(FRAME), source=source)
            b.wait_for(lambda row, source=source: row.outer_src == source, f"one from {source}")
            assert b.fdb == {MAC: source}


@pytest.mark.topology(without_vteps, **FAMILIES)
@pytest.mark.parametrize("options", [{}, {"gbp": True}, {"gpe": True}, {"port": 8472, "vni": 0}])
def test_two_references_talk(lab, options):
    options = {"vni": 42, **options}
    with reference(lab, "a", ttl=7, **options) as a, reference(lab, "b", **options) as b:
        assert a.ping(B)
        assert b.ping(A)
        assert not any(row.problem for row in (*a.received, *b.received))
        assert {row.ttl for row in b.received} == {7}
        assert {row.ttl for row in a.received} == {64}


@pytest.mark.topology(without_vteps, **FAMILIES)
def test_gpe_carries_ip_without_ethernet(lab):
    own = {"gpe": True, "port": 4790}
    with (
        reference(lab, "a", address="fd42::2/64", **own) as a,
        reference(lab, "b", address="fd42::3/64", **own) as b,
    ):
        assert a.ping("fd42::3")
        (row,) = b.received
        assert (row.flags, row.next_protocol, row.inner_src) == (0x0C, 2, None)
        assert isinstance(row.packet(), IPv6)
        assert "ICMPv6 echo request fd42::2 > fd42::3" in str(row)
        assert not b.fdb
        b.send(FRAME)
        assert a.wait_for(lambda row: row.next_protocol == 3, "a frame").inner == FRAME


@pytest.mark.topology(without_vteps())
def test_a_group_policy_is_seen_where_it_is_spoken(lab):
    with reference(lab, "a", gbp=True) as a, reference(lab, "b", gbp=True) as b:
        a.send(FRAME, flags=0x88, reserved1=0x480000 | 100)  # do not learn, applied
        row = b.wait_for(lambda row: True, "a packet")
        assert (row.policy, row.problem) == (100, "")
        assert not b.fdb
        a.send(FRAME, flags=0x88, reserved1=100)
        b.wait_for(lambda row: row.reserved1 == 100, "the next one")
        assert b.fdb == {MAC: a.local}


@pytest.mark.topology(without_vteps, **FAMILIES)
def test_a_wrong_checksum_is_not_received_and_none_is(lab):
    with reference(lab, "a") as a, reference(lab, "b") as b:
        a.send_outer(a.encapsulate(FRAME), checksum="wrong")
        a.send_outer(a.encapsulate(FRAME), checksum="zero")
        a.send_bytes(b"")
        b.wait_for(lambda row: not row.payload, "no bytes")
        assert [row.inner for row in b.received] == [FRAME, b""]
        counters = lab["b"].state.counters
        assert counters["Udp.InCsumErrors"] + counters["Udp6InCsumErrors"] == 1


@pytest.mark.topology(without_vteps, **FAMILIES)
def test_what_there_is_no_room_for_is_counted(lab, monkeypatch):
    monkeypatch.setattr(udp, "_QUEUE", 4096)
    with reference(lab, "a") as a:
        sock = udp.open_udp(lab["b"], ip_of(lab, "b"), 4789)
        with sock:
            for _ in range(20):
                a.send_bytes(bytes(1000))
            heard = 0
            while udp.receive(sock) is not None:
                heard += 1
            assert 0 < heard < 20
            assert udp.dropped(sock) == 20 - heard


@pytest.mark.topology(without_vteps, family=6)
def test_link_local_addresses_need_the_interface(lab):
    a, b = (
        next(
            row.address
            for row in lab[host].state.addresses
            if row.interface == "eth0" and row.scope == "link"
        )
        for host in "ab"
    )
    with (
        ReferenceVtep(lab["a"], local=a, remotes=b, dev="eth0", address=f"{A}/24") as near,
        ReferenceVtep(lab["b"], local=b, remotes=a, dev="eth0") as far,
    ):
        assert near.ping(B)
        assert near.fdb == {far.mac: b}
        near.send_outer(near.encapsulate(FRAME), ttl=3)
        assert far.wait_for(lambda row: row.ttl == 3, "the last one").outer_src == a
