"""Decoding of frames: bytes written by hand, and scapy as the second opinion."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from frame_tools import ARP, ETHERNET, A, ethernet, frame, made, vxlan_frame

from vxlab.observe.frames import MARK_PORT, MARK_PREFIX, decapsulate


def test_macs_and_ethertype_are_decoded() -> None:
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
def test_vlan_tags_are_skipped_and_listed(layers: Any, tags: str, vlans: tuple[int, ...]) -> None:
    plain = made(
        ethernet(layers),
        layers.IP(src="1.1.1.1", dst="1.1.1.2", ttl=9),
        layers.UDP(sport=1, dport=2),
    )
    tagged = frame(plain.data[:12] + bytes.fromhex(tags) + plain.data[12:])
    assert tagged.vlans == vlans
    assert tagged.ethertype == 0x0800
    assert (tagged.outer_src, tagged.outer_dst, tagged.ttl) == ("1.1.1.1", "1.1.1.2", 9)
    assert tagged.udp_ports == (1, 2)


def test_ipv4_options_are_skipped(layers: Any) -> None:
    options = [layers.IPOption_Router_Alert()]
    seen = made(
        ethernet(layers),
        layers.IP(src="1.1.1.1", dst="1.1.1.2", options=options),
        layers.UDP(dport=9),
    )
    assert seen.udp_ports == (53, 9)


def test_ipv6_extension_headers_are_skipped(layers: Any) -> None:
    seen = made(
        ethernet(layers),
        layers.IPv6(src="fd00::1", dst="fd00::2", hlim=33),
        layers.IPv6ExtHdrHopByHop(options=[layers.RouterAlert()]),
        layers.IPv6ExtHdrDestOpt(options=[layers.PadN(optdata=b"\0" * 12)]),
        layers.IPv6ExtHdrRouting(addresses=["fd00::9"]),
        layers.UDP(sport=5, dport=6),
    )
    assert (seen.outer_src, seen.outer_dst, seen.ttl) == ("fd00::1", "fd00::2", 33)
    assert seen.udp_ports == (5, 6)


@pytest.mark.parametrize("version", [4, 6])
def test_only_the_first_fragment_has_ports(layers: Any, version: int) -> None:
    udp = layers.UDP(sport=5, dport=MARK_PORT) / layers.Raw(MARK_PREFIX + b"x" * 50)
    if version == 4:
        first = layers.IP(flags="MF", proto=17) / layers.Raw(bytes(udp)[:32])
        later = layers.IP(frag=4, proto=17) / layers.Raw(bytes(udp)[32:])
    else:
        first = layers.IPv6() / layers.IPv6ExtHdrFragment(m=1, nh=17) / layers.Raw(bytes(udp)[:32])
        later = (
            layers.IPv6() / layers.IPv6ExtHdrFragment(offset=4, nh=17) / layers.Raw(bytes(udp)[32:])
        )
    assert made(ethernet(layers), first).udp_ports == (5, MARK_PORT)
    assert made(ethernet(layers), first).mark is None
    assert made(ethernet(layers), later).udp_ports is None
    assert made(ethernet(layers), later).summary().startswith("UDP later fragment ")


def test_an_ipv6_packet_that_is_all_of_it_is_no_fragment(layers: Any) -> None:
    udp = layers.UDP(sport=5, dport=MARK_PORT) / layers.Raw(MARK_PREFIX + b"x")
    assert made(ethernet(layers), layers.IPv6(), layers.IPv6ExtHdrFragment(nh=17), udp).mark == b"x"


@pytest.mark.parametrize("data", [b"", b"hello", bytes(range(256)), MARK_PREFIX])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("port", [MARK_PORT, 1, 5000, 65535])
def test_marked_payloads_are_found(layers: Any, version: int, port: int, data: bytes) -> None:
    ip = (
        layers.IP(src="1.1.1.1", dst="1.1.1.2")
        if version == 4
        else layers.IPv6(src="::1", dst="::2")
    )
    seen = made(
        ethernet(layers), ip, layers.UDP(sport=9, dport=port), layers.Raw(MARK_PREFIX + data)
    )
    assert seen.mark == data
    assert frame(seen.data + bytes(9)).mark == data  # padding of the link
    assert frame(seen.data[:-1]).mark is None
    assert repr(data) in seen.summary()


@pytest.mark.parametrize("payload", [b"", b"vxlab", b"xvxlab:a"])
@pytest.mark.parametrize("port", [MARK_PORT, 40405])
def test_other_datagrams_have_no_mark(layers: Any, port: int, payload: bytes) -> None:
    seen = made(ethernet(layers), layers.IP(), layers.UDP(dport=port), layers.Raw(payload))
    assert seen.mark is None
    assert "marked" not in seen.summary()


def test_what_is_no_datagram_has_no_mark(layers: Any) -> None:
    assert (
        made(
            ethernet(layers), layers.IP(), layers.TCP(dport=MARK_PORT), layers.Raw(MARK_PREFIX)
        ).mark
        is None
    )


def test_a_mark_within_a_tunnel_is_the_inner_frames(layers: Any) -> None:
    marked = made(
        ethernet(layers),
        layers.IP(),
        layers.UDP(dport=MARK_PORT),
        layers.Raw(MARK_PREFIX + b"deep"),
    )
    outer = vxlan_frame(layers, inner=marked.data)
    found = decapsulate(outer)
    assert outer.mark is None
    assert found
    assert found.inner.mark == b"deep"


def test_decapsulation_gives_header_and_inner_frame(layers: Any) -> None:
    outer = vxlan_frame(layers)
    found = decapsulate(outer, [8472])
    assert found
    assert (found.vni, found.flags, found.ttl) == (0xABCDEF, 0x08, 7)
    assert (found.outer_src, found.outer_dst) == ("10.0.0.1", "10.0.0.2")
    assert (found.source_port, found.port) == (50000, 8472)
    assert found.inner == dataclasses.replace(outer, data=ARP, length=len(ARP))
    assert decapsulate(outer, [4789]) is None
    assert decapsulate(frame(ARP)) is None


def test_decapsulation_leaves_out_the_padding_of_the_link(layers: Any) -> None:
    found = decapsulate(frame(vxlan_frame(layers).data + bytes(6)))
    assert found
    assert found.inner.data == ARP


def test_decapsulation_over_ipv6_and_of_nested_tunnels(layers: Any) -> None:
    nested = made(
        ethernet(layers),
        layers.IPv6(src="fd00::1", dst="fd00::2", hlim=3),
        layers.UDP(sport=1, dport=4789),
        layers.VXLAN(vni=1),
        layers.Raw(vxlan_frame(layers).data),
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


def test_header_flags_are_told_as_they_are(layers: Any) -> None:
    found = decapsulate(vxlan_frame(layers, flags=0x88))
    assert found
    assert found.flags == 0x88
    assert " flags 0x88 " in vxlan_frame(layers, flags=0x88).summary()
    assert "flags" not in vxlan_frame(layers).summary()


def test_a_cut_frame_keeps_the_length_it_had(layers: Any) -> None:
    whole = vxlan_frame(layers)
    found = decapsulate(frame(whole.data[:-10], len(whole.data)))
    assert found
    assert (found.inner.data, found.inner.length) == (ARP[:-10], len(ARP))


def test_the_first_fragment_of_a_tunnel_tells_how_long_the_inner_frame_was(layers: Any) -> None:
    udp = layers.UDP(sport=1, dport=4789) / layers.VXLAN(vni=5) / layers.Raw(ARP)
    first = made(ethernet(layers), layers.IP(flags="MF", proto=17), layers.Raw(bytes(udp)[:40]))
    found = decapsulate(first)
    assert found
    assert (found.vni, found.inner.data, found.inner.length) == (5, ARP[:24], len(ARP))


def test_a_gpe_packet_gets_an_ethernet_header(layers: Any) -> None:
    ip = bytes(layers.IP(src="1.1.1.1", dst="1.1.1.2") / layers.ICMP())
    header = bytes.fromhex("0c00000100002a00")
    outer = made(ethernet(layers), layers.IP(), layers.UDP(dport=4790), layers.Raw(header + ip))
    found = decapsulate(outer, [4790])
    assert found
    assert found.inner.summary() == "ICMP echo request 1.1.1.1 > 1.1.1.2"
    assert found.inner.length == len(ip) + 14


@pytest.mark.parametrize("port", [4789, 8472, 5555])
def test_scapy_takes_vxlan_apart_on_every_port_asked_for(layers: Any, port: int) -> None:
    packet = vxlan_frame(layers, port=port).packet([port])
    assert packet["VXLAN"].vni == 0xABCDEF
    assert packet["ARP"].pdst == "1.1.1.2"
    assert packet["UDP"].dport == port


def test_scapy_learns_no_port_from_it(layers: Any) -> None:
    seen = vxlan_frame(layers, port=5556)
    assert "VXLAN" in seen.packet([5556])
    assert "VXLAN" not in seen.packet([])
    assert "VXLAN" not in layers.Ether(seen.data)


def test_scapy_takes_nested_tunnels_apart(layers: Any) -> None:
    packet = vxlan_frame(layers, 5557, inner=vxlan_frame(layers, 5558).data).packet([5557, 5558])
    assert packet.getlayer("VXLAN", 2).vni == 0xABCDEF
    assert packet["ARP"].psrc == "1.1.1.1"


def test_a_packet_keeps_time_and_place(layers: Any) -> None:
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
