"""Decoding of frames: bytes written by hand, and scapy as the second opinion."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vxlab.observe.frames import MARK_PORT, MARK_PREFIX, Frame, decapsulate

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
ETHERNET = bytes.fromhex("02000000000b02000000000a")
ARP = bytes.fromhex("ffffffffffff02000000000a0806000108000604000102000000000a01010101")
ARP += bytes.fromhex("00000000000001010102")

#: Three group records: change to exclude nothing, to include nothing, and include 9.9.9.9.
IGMPV3_REPORT = "220000000000000304000000ef01010103000000ef01010201000001ef01010309090909"


def frame(data: bytes, length: int | None = None) -> Frame:
    return Frame(
        time_ns=1_700_000_000_123_456_789,
        data=data,
        length=length or len(data),
        outgoing=False,
        node="a",
        interface="eth0",
    )


def made(*layers: Any) -> Frame:
    """A frame from scapy layers."""
    packet = layers[0]
    for layer in layers[1:]:
        packet = packet / layer
    return frame(bytes(packet))


@pytest.fixture(scope="module")
def s() -> Any:
    """scapy's layers, by name."""
    from scapy.layers import inet, inet6, l2, vxlan

    names: dict[str, Any] = {}
    for module in (inet, inet6, l2, vxlan):
        names |= vars(module)
    return type("Layers", (), names)


def ethernet(s: Any) -> Any:
    return s.Ether(src=A, dst=B)


def vxlan_frame(s: Any, port: int = 8472, flags: int = 8, inner: bytes = ARP) -> Frame:
    udp = s.UDP(sport=50000, dport=port)
    return made(
        ethernet(s),
        s.IP(src="10.0.0.1", dst="10.0.0.2", ttl=7),
        udp,
        s.VXLAN(flags=flags, vni=0xABCDEF),
        s.Raw(inner),
    )


def test_macs_and_ethertype() -> None:
    arp = frame(ARP)
    assert (arp.src, arp.dst, arp.ethertype) == (A, "ff:ff:ff:ff:ff:ff", 0x0806)
    assert arp.is_arp
    assert arp.is_broadcast
    assert arp.vlans == ()
    other = frame(ETHERNET + b"\x08\x00")
    assert (other.is_arp, other.is_broadcast, other.ethertype) == (False, False, 0x0800)


def test_a_frame_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame(ARP).node = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tags", "vlans"), [("8100e02a", (42,)), ("88a80fff81000001", (4095, 1)), ("", ())]
)
def test_vlan_tags_are_skipped_and_listed(s: Any, tags: str, vlans: tuple[int, ...]) -> None:
    plain = made(ethernet(s), s.IP(src="1.1.1.1", dst="1.1.1.2", ttl=9), s.UDP(sport=1, dport=2))
    tagged = frame(plain.data[:12] + bytes.fromhex(tags) + plain.data[12:])
    assert tagged.vlans == vlans
    assert tagged.ethertype == 0x0800
    assert (tagged.outer_src, tagged.outer_dst, tagged.ttl) == ("1.1.1.1", "1.1.1.2", 9)
    assert tagged.udp_ports == (1, 2)


def test_ipv4_with_options(s: Any) -> None:
    options = [s.IPOption_Router_Alert()]
    seen = made(ethernet(s), s.IP(src="1.1.1.1", dst="1.1.1.2", options=options), s.UDP(dport=9))
    assert seen.udp_ports == (53, 9)


def test_ipv6_with_extension_headers(s: Any) -> None:
    seen = made(
        ethernet(s),
        s.IPv6(src="fd00::1", dst="fd00::2", hlim=33),
        s.IPv6ExtHdrHopByHop(options=[s.RouterAlert()]),
        s.IPv6ExtHdrDestOpt(options=[s.PadN(optdata=b"\0" * 12)]),
        s.IPv6ExtHdrRouting(addresses=["fd00::9"]),
        s.UDP(sport=5, dport=6),
    )
    assert (seen.outer_src, seen.outer_dst, seen.ttl) == ("fd00::1", "fd00::2", 33)
    assert seen.udp_ports == (5, 6)


@pytest.mark.parametrize("version", [4, 6])
def test_fragments(s: Any, version: int) -> None:
    udp = s.UDP(sport=5, dport=MARK_PORT) / s.Raw(MARK_PREFIX + b"x" * 50)
    if version == 4:
        first = s.IP(flags="MF", proto=17) / s.Raw(bytes(udp)[:32])
        later = s.IP(frag=4, proto=17) / s.Raw(bytes(udp)[32:])
    else:
        first = s.IPv6() / s.IPv6ExtHdrFragment(m=1, nh=17) / s.Raw(bytes(udp)[:32])
        later = s.IPv6() / s.IPv6ExtHdrFragment(offset=4, nh=17) / s.Raw(bytes(udp)[32:])
    assert made(ethernet(s), first).udp_ports == (5, MARK_PORT)
    assert made(ethernet(s), first).mark is None
    assert made(ethernet(s), later).udp_ports is None
    assert made(ethernet(s), later).summary().startswith("UDP later fragment ")


def test_an_ipv6_packet_that_is_all_of_it_is_no_fragment(s: Any) -> None:
    udp = s.UDP(sport=5, dport=MARK_PORT) / s.Raw(MARK_PREFIX + b"x")
    assert made(ethernet(s), s.IPv6(), s.IPv6ExtHdrFragment(nh=17), udp).mark == b"x"


@pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)), MARK_PREFIX])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("port", [MARK_PORT, 1, 5000, 65535])
def test_marked_payloads(s: Any, version: int, port: int, data: bytes) -> None:
    ip = s.IP(src="1.1.1.1", dst="1.1.1.2") if version == 4 else s.IPv6(src="::1", dst="::2")
    seen = made(ethernet(s), ip, s.UDP(sport=9, dport=port), s.Raw(MARK_PREFIX + data))
    assert seen.mark == data
    assert frame(seen.data + bytes(9)).mark == data  # padding of the link
    assert frame(seen.data[:-1]).mark is None
    assert repr(data) in seen.summary()


@pytest.mark.parametrize("payload", [b"", b"vxlab", b"xvxlab:a"])
@pytest.mark.parametrize("port", [MARK_PORT, 40405])
def test_other_datagrams_have_no_mark(s: Any, port: int, payload: bytes) -> None:
    seen = made(ethernet(s), s.IP(), s.UDP(dport=port), s.Raw(payload))
    assert seen.mark is None
    assert "marked" not in seen.summary()


def test_what_is_no_datagram_has_no_mark(s: Any) -> None:
    assert made(ethernet(s), s.IP(), s.TCP(dport=MARK_PORT), s.Raw(MARK_PREFIX)).mark is None


def test_a_mark_within_a_tunnel_is_the_inner_frames(s: Any) -> None:
    marked = made(ethernet(s), s.IP(), s.UDP(dport=MARK_PORT), s.Raw(MARK_PREFIX + b"deep"))
    outer = vxlan_frame(s, inner=marked.data)
    found = decapsulate(outer)
    assert outer.mark is None
    assert found
    assert found.inner.mark == b"deep"


def test_decapsulation(s: Any) -> None:
    outer = vxlan_frame(s)
    found = decapsulate(outer, [8472])
    assert found
    assert (found.vni, found.flags, found.ttl) == (0xABCDEF, 0x08, 7)
    assert (found.outer_src, found.outer_dst) == ("10.0.0.1", "10.0.0.2")
    assert (found.source_port, found.port) == (50000, 8472)
    assert found.inner == dataclasses.replace(outer, data=ARP, length=len(ARP))
    assert decapsulate(outer, [4789]) is None
    assert decapsulate(frame(ARP)) is None


def test_decapsulation_leaves_out_the_padding_of_the_link(s: Any) -> None:
    found = decapsulate(frame(vxlan_frame(s).data + bytes(6)))
    assert found
    assert found.inner.data == ARP


def test_decapsulation_over_ipv6_and_of_nested_tunnels(s: Any) -> None:
    nested = made(
        ethernet(s),
        s.IPv6(src="fd00::1", dst="fd00::2", hlim=3),
        s.UDP(sport=1, dport=4789),
        s.VXLAN(vni=1),
        s.Raw(vxlan_frame(s).data),
    )
    found = decapsulate(nested)
    assert found
    assert (found.vni, found.outer_dst, found.ttl) == (1, "fd00::2", 3)
    within = decapsulate(found.inner)
    assert within
    assert within.inner.data == ARP
    assert nested.summary() == (
        "VXLAN vni 1 fd00::1 > [fd00::2]:4789 ttl 3 | VXLAN vni 11259375 10.0.0.1 > 10.0.0.2:8472"
        " ttl 7 | ARP who-has 1.1.1.2 tell 1.1.1.1"
    )


def test_header_flags_are_told_as_they_are(s: Any) -> None:
    found = decapsulate(vxlan_frame(s, flags=0x88))
    assert found
    assert found.flags == 0x88
    assert " flags 0x88 " in vxlan_frame(s, flags=0x88).summary()
    assert "flags" not in vxlan_frame(s).summary()


def test_a_cut_frame_keeps_the_length_it_had(s: Any) -> None:
    whole = vxlan_frame(s)
    found = decapsulate(frame(whole.data[:-10], len(whole.data)))
    assert found
    assert (found.inner.data, found.inner.length) == (ARP[:-10], len(ARP))


def test_the_first_fragment_of_a_tunnel_tells_how_long_the_inner_frame_was(s: Any) -> None:
    udp = s.UDP(sport=1, dport=4789) / s.VXLAN(vni=5) / s.Raw(ARP)
    first = made(ethernet(s), s.IP(flags="MF", proto=17), s.Raw(bytes(udp)[:40]))
    found = decapsulate(first)
    assert found
    assert (found.vni, found.inner.data, found.inner.length) == (5, ARP[:24], len(ARP))


def test_a_gpe_packet_gets_an_ethernet_header(s: Any) -> None:
    ip = bytes(s.IP(src="1.1.1.1", dst="1.1.1.2") / s.ICMP())
    header = bytes.fromhex("0c00000100002a00")
    outer = made(ethernet(s), s.IP(), s.UDP(dport=4790), s.Raw(header + ip))
    found = decapsulate(outer, [4790])
    assert found
    assert found.inner.summary() == "ICMP echo request 1.1.1.1 > 1.1.1.2"
    assert found.inner.length == len(ip) + 14


def everything(seen: Frame) -> None:
    """Ask a frame all it can tell without scapy."""
    for name in ("dst", "src", "ethertype", "vlans", "outer_src", "outer_dst", "ttl", "mark"):
        getattr(seen, name)
    assert seen.udp_ports is None or len(seen.udp_ports) == 2
    assert isinstance(seen.is_arp, bool)
    assert isinstance(seen.is_broadcast, bool)
    assert "\n" not in seen.summary()
    found = decapsulate(seen)
    assert found is None or 0 <= found.vni < 1 << 24


def test_frames_cut_anywhere_are_no_error(s: Any) -> None:
    whole = [
        frame(ARP),
        vxlan_frame(s),
        made(ethernet(s), s.IP(), s.ICMP()),
        made(ethernet(s), s.IP(), s.TCP()),
        made(ethernet(s), s.IP(proto=2), s.Raw(bytes.fromhex(IGMPV3_REPORT))),
        made(ethernet(s), s.IPv6(), s.IPv6ExtHdrHopByHop(), s.ICMPv6MLReport2()),
        made(ethernet(s), s.IPv6(), s.ICMPv6ND_NS(tgt="fe80::1")),
        made(ethernet(s), s.IPv6(), s.IPv6ExtHdrFragment(), s.UDP()),
    ]
    for seen in whole:
        for end in range(len(seen.data) + 1):
            everything(frame(seen.data[:end], len(seen.data)))
    assert frame(b"").src is None
    assert frame(b"").ethertype is None
    assert frame(ARP[:20]).summary() == f"ethertype 0x0806 {A} > ff:ff:ff:ff:ff:ff length 20"


KINDS = st.sampled_from(["0800", "0806", "86dd", "8100", "88b6", "0026"]).map(bytes.fromhex)


@settings(derandomize=True, deadline=None, database=None)
@given(KINDS, st.binary(max_size=120))
def test_no_frame_at_all_is_an_error(kind: bytes, rest: bytes) -> None:
    everything(frame(ETHERNET + kind + rest))


@settings(derandomize=True, deadline=None, database=None)
@given(
    st.sampled_from([1, 2, 6, 17, 58, 103, 0, 43, 44, 51, 60]),
    st.booleans(),
    st.binary(max_size=100),
)
def test_no_ip_packet_is_an_error(protocol: int, six: bool, body: bytes) -> None:
    if six:
        ip = b"\x86\xdd\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes([protocol, 9]) + bytes(32)
    else:
        size = (20 + len(body)).to_bytes(2, "big")
        ip = b"\x08\x00\x45\0" + size + bytes(5) + bytes([protocol]) + bytes(10)
    everything(frame(ETHERNET + ip + body))


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
def test_summary_of_ip(s: Any, expression: str, line: str) -> None:
    names = {name: getattr(s, name) for name in dir(s) if not name.startswith("_")}
    if line.startswith("IGMP"):
        ip, layer = s.IP(src="1.1.1.1", dst="1.1.1.2", proto=2), s.Raw(bytes.fromhex(expression))
        assert made(ethernet(s), ip, layer).summary() == line
        return
    layer = eval(expression, names)
    if "fd00" in line:
        ip = s.IPv6(src="fd00::1", dst="fd00::2")
    else:
        ip = s.IP(src="1.1.1.1", dst="1.1.1.2")
    assert made(ethernet(s), ip, layer).summary() == line


def test_summary_of_arp_and_others() -> None:
    assert frame(ARP).summary() == "ARP who-has 1.1.1.2 tell 1.1.1.1"
    reply = ARP[:21] + b"\2" + ARP[22:]
    assert frame(reply).summary() == f"ARP reply 1.1.1.1 is-at {A}"
    tagged = ARP[:12] + bytes.fromhex("8100002a") + ARP[12:]
    assert frame(tagged).summary() == "vlan 42 ARP who-has 1.1.1.2 tell 1.1.1.1"
    lldp = frame(ETHERNET + b"\x88\xcc" + bytes(10))
    assert lldp.summary() == f"ethertype 0x88cc {A} > {B} length 24"


@pytest.mark.parametrize("port", [4789, 8472, 5555])
def test_scapy_takes_vxlan_apart_on_every_port_asked_for(s: Any, port: int) -> None:
    packet = vxlan_frame(s, port=port).packet([port])
    assert packet["VXLAN"].vni == 0xABCDEF
    assert packet["ARP"].pdst == "1.1.1.2"
    assert packet["UDP"].dport == port


def test_scapy_learns_no_port_from_it(s: Any) -> None:
    seen = vxlan_frame(s, port=5556)
    assert "VXLAN" in seen.packet([5556])
    assert "VXLAN" not in seen.packet([])
    assert "VXLAN" not in s.Ether(seen.data)


def test_scapy_takes_nested_tunnels_apart(s: Any) -> None:
    packet = vxlan_frame(s, 5557, inner=vxlan_frame(s, 5558).data).packet([5557, 5558])
    assert packet.getlayer("VXLAN", 2).vni == 0xABCDEF
    assert packet["ARP"].psrc == "1.1.1.1"


def test_a_packet_keeps_time_and_place(s: Any) -> None:
    packet = frame(ARP, 60).packet()
    assert bytes(packet) == ARP
    assert str(packet.time) == "1700000000.123456789"
    assert (packet.sniffed_on, packet.wirelen) == ("eth0", 60)


def test_decoding_never_loads_scapy() -> None:
    code = (
        "import sys; from vxlab.observe.frames import Frame, decapsulate\n"
        f"f = Frame(time_ns=0, data={ARP!r}, length=42, outgoing=True, node='a', interface='b')\n"
        "f.summary(); f.mark; decapsulate(f)\n"
        "sys.exit('scapy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
