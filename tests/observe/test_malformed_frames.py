"""No frame is an error, however short or wrong."""

from __future__ import annotations

from typing import Any

from frame_tools import ARP, ETHERNET, IGMPV3_REPORT, A, ethernet, frame, made, vxlan_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from vxlab.observe.frames import Frame, decapsulate


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


def test_frames_cut_anywhere_are_no_error(layers: Any) -> None:
    whole = [
        frame(ARP),
        vxlan_frame(layers),
        made(ethernet(layers), layers.IP(), layers.ICMP()),
        made(ethernet(layers), layers.IP(), layers.TCP()),
        made(ethernet(layers), layers.IP(proto=2), layers.Raw(bytes.fromhex(IGMPV3_REPORT))),
        made(
            ethernet(layers), layers.IPv6(), layers.IPv6ExtHdrHopByHop(), layers.ICMPv6MLReport2()
        ),
        made(ethernet(layers), layers.IPv6(), layers.ICMPv6ND_NS(tgt="fe80::1")),
        made(ethernet(layers), layers.IPv6(), layers.IPv6ExtHdrFragment(), layers.UDP()),
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
