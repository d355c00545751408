"""The outer packets of a reference VTEP: every field of them as it was asked for."""

from __future__ import annotations

import pytest
from reference_tools import (
    FAMILIES,
    FRAME,
    A,
    B,
    ip_of,
    mac_of,
    one_kernel_vtep,
    reference,
    without_vteps,
)
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from vxlab.errors import VxlabError


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
def test_every_field_of_the_outer_packet_is_as_asked(lab):
    spoofed = ip_of(lab, "a")[:-1] + "9"
    with lab.capture("a") as seen, reference(lab) as far:
        payload = far.encapsulate(FRAME, vni=7, flags=0x18, reserved1=5, reserved2=6)
        far.send_outer(payload, source=spoofed, source_port=999, ttl=3, tos=0xB9)
        frame = seen["a"].wait_for(lambda frame: frame.ttl == 3, "the packet")
    udp = frame.packet((4789,))[UDP]
    assert (udp.sport, udp.dport) == (999, 4789)
    assert bytes(udp.payload) == payload == bytes.fromhex("18000005 00000706") + FRAME
    assert (frame.outer_src, frame.outer_dst) == (spoofed, ip_of(lab, "a"))
    outer = udp.underlayer
    assert (outer.tos if outer.version == 4 else outer.tc) == 0xB9
    assert right_sum(udp) == udp.chksum


def right_sum(udp):
    """The checksum that a captured UDP header should have."""
    again = udp.underlayer.copy()
    del again[UDP].chksum
    return again.__class__(bytes(again))[UDP].chksum


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
@pytest.mark.parametrize("fragment", [None, 1400])
def test_a_checksum_may_be_zero_or_wrong(lab, fragment):
    with lab.capture("a") as seen, reference(lab) as far:
        for ttl, checksum in ((3, "zero"), (4, "wrong"), (5, "right")):
            payload = far.encapsulate(FRAME)
            far.send_outer(payload, ttl=ttl, checksum=checksum, fragment=fragment)
        seen["a"].wait_for(lambda frame: frame.ttl == 5, "the last packet")
    packets = {frame.ttl: frame.packet(())[UDP] for frame in seen["a"].frames if frame.udp_ports}
    assert packets[3].chksum == 0
    assert packets[4].chksum not in (0, right_sum(packets[4]))
    assert packets[5].chksum == right_sum(packets[5])


@pytest.mark.topology(one_kernel_vtep())
def test_the_dont_fragment_bit_is_as_asked(lab):
    with lab.capture("a") as seen, reference(lab) as far:
        for ttl, df in ((3, True), (4, False)):
            far.send_outer(far.encapsulate(FRAME), ttl=ttl, df=df)
        seen["a"].wait_for(lambda frame: frame.ttl == 4, "the last packet")
    found = {frame.ttl: frame.packet()[IP].flags.DF for frame in seen["a"].frames if frame.ttl}
    assert (found[3], found[4]) == (True, False)


@pytest.mark.topology(one_kernel_vtep, **FAMILIES)
def test_fragments_are_put_together_at_the_other_end(lab):
    with lab.capture("a") as seen, reference(lab) as far:
        assert far.ping(A)
        ask = Ether(src=far.mac, dst=mac_of(lab, "a")) / IP(src=B, dst=A)
        data = bytes(range(200))
        far.send_outer(far.encapsulate(ask / ICMP(type=8, id=1, seq=2) / data), fragment=80)
        reply = far.wait_for(lambda row: row.inner.endswith(data), "the reply")
        assert reply.packet()[ICMP].type == 0
    pieces = [frame.data[14:] for frame in seen["a"].frames if frame.ttl and not frame.outgoing]
    header_size = 20 if lab.topology.host("a").nics[0].interface.version == 4 else 48
    fragments = [data for data in pieces if len(data) == header_size + 80]
    assert len(fragments) == 3  # of 8 + 8 + 14 + 20 + 8 + 200 bytes: three of 80, and 18 more


@pytest.mark.topology(one_kernel_vtep())
def test_bytes_go_as_they_are(lab):
    with lab.capture("a") as seen, reference(lab) as far:
        far.send_bytes(b"\x08\0\0")
        frame = seen["a"].wait_for(lambda frame: frame.udp_ports == (4789, 4789), "the packet")
    assert bytes(frame.packet(())[UDP].payload)[:3] == b"\x08\0\0"
    assert frame.packet(())[UDP].len == 11
    assert not frame.packet(())[IP].flags.DF


@pytest.mark.topology(one_kernel_vtep())
def test_sending_to_where_no_route_leads_is_an_error(lab):
    with reference(lab) as far:
        for send in (far.send_bytes, far.send_outer):
            with pytest.raises(VxlabError, match=r"to 10.9.9.9, found: Network is unreachable"):
                send(b"", to="10.9.9.9")
        with pytest.raises(VxlabError, match="wanted to send 70000 bytes"):
            far.send_bytes(bytes(70000))
        with pytest.raises(VxlabError, match=r"wanted to send an IP packet of .*Message too long"):
            far.send_outer(bytes(3000))
    with reference(lab, vni=1, remotes=()) as far, pytest.raises(VxlabError, match="give to="):
        far.send(FRAME)


@pytest.mark.topology(without_vteps, family=6)
def test_ipv6_has_no_dont_fragment_bit(lab):
    with reference(lab) as far, pytest.raises(VxlabError, match="found IPv6, which has no such"):
        far.send_outer(FRAME, df=True)
