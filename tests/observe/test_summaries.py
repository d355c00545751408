"""A frame in one line."""

from __future__ import annotations

from typing import Any

import pytest
from frame_tools import ARP, ETHERNET, IGMPV3_REPORT, A, B, ethernet, frame, made


def summaries() -> list[tuple[str, str]]:
    """How each frame reads; first what is behind IP() or IPv6(), for IGMP as bytes."""
    four, six = "1.1.1.1 > 1.1.1.2", "fd00::1 > fd00::2"
    return [
        ("ICMP()", f"ICMP echo request {four}"),
        ("ICMP(type=0)", f"ICMP echo reply {four}"),
        ("ICMP(type=3, code=3)", f"ICMP unreachable (port) {four}"),
        ("ICMP(type=3, code=9)", f"ICMP unreachable (code 9) {four}"),
        ("ICMP(type=11)", f"ICMP time exceeded {four}"),
        ("ICMP(type=42)", f"ICMP type 42 {four}"),
        ("UDP(sport=1, dport=2)/Raw(b'abc')", "UDP 1.1.1.1:1 > 1.1.1.2:2 length 3"),
        ("TCP(sport=1, dport=22, flags='SA')", "TCP [SA] 1.1.1.1:1 > 1.1.1.2:22"),
        ("1600f9feef010101", f"IGMP join 239.1.1.1 {four}"),
        ("1700f8feef010101", f"IGMP leave 239.1.1.1 {four}"),
        ("1164ee9b00000000", f"IGMP query 0.0.0.0 {four}"),
        (IGMPV3_REPORT, f"IGMP join 239.1.1.1, leave 239.1.1.2, 1 sources of 239.1.1.3 {four}"),
        ("Raw(b'')", f"IP protocol 0 {four}"),
        ("ICMPv6EchoRequest()", f"ICMPv6 echo request {six}"),
        ("ICMPv6ND_NS(tgt='fe80::1')", f"ICMPv6 ND who-has fe80::1 {six}"),
        ("ICMPv6ND_NA(tgt='fe80::1')", f"ICMPv6 ND fe80::1 is here {six}"),
        ("ICMPv6ND_RS()", f"ICMPv6 ND find routers {six}"),
        ("ICMPv6MLReport(mladdr='ff05::1')", f"ICMPv6 MLD join ff05::1 {six}"),
        (
            "IPv6ExtHdrHopByHop()/ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4,"
            " dst='ff05::1')])",
            f"ICMPv6 MLD join ff05::1 {six}",
        ),
        ("UDP(sport=1, dport=2)", "UDP [fd00::1]:1 > [fd00::2]:2 length 0"),
    ]


@pytest.mark.parametrize(("expression", "line"), summaries())
def test_ip_packets_have_a_summary(layers: Any, expression: str, line: str) -> None:
    names = {name: getattr(layers, name) for name in dir(layers) if not name.startswith("_")}
    if line.startswith("IGMP"):
        ip, layer = (
            layers.IP(src="1.1.1.1", dst="1.1.1.2", proto=2),
            layers.Raw(bytes.fromhex(expression)),
        )
        assert made(ethernet(layers), ip, layer).summary() == line
        return
    layer = eval(expression, names)
    if "fd00" in line:
        ip = layers.IPv6(src="fd00::1", dst="fd00::2")
    else:
        ip = layers.IP(src="1.1.1.1", dst="1.1.1.2")
    assert made(ethernet(layers), ip, layer).summary() == line


def test_arp_and_others_have_a_summary() -> None:
    assert frame(ARP).summary() == "ARP who-has 1.1.1.2 tell 1.1.1.1"
    reply = ARP[:21] + b"\2" + ARP[22:]
    assert frame(reply).summary() == f"ARP reply 1.1.1.1 is-at {A}"
    tagged = ARP[:12] + bytes.fromhex("8100002a") + ARP[12:]
    assert frame(tagged).summary() == "vlan 42 ARP who-has 1.1.1.2 tell 1.1.1.1"
    lldp = frame(ETHERNET + b"\x88\xcc" + bytes(10))
    assert lldp.summary() == f"ethertype 0x88cc {A} > {B} length 24"
