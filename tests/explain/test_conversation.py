"""The conversation of two endpoints, read from bytes by hand and from a real lab's frames."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from vxlab import Lab, TopologyBuilder, steps
from vxlab.explain.conversation import StepKind, step_kind
from vxlab.observe.frames import Frame

A, B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
MACS = B + A
TAG, SERVICE_TAG = bytes.fromhex("8100e02a"), bytes.fromhex("88a80007")


def frame(data: bytes, *, outgoing: bool = False) -> Frame:
    return Frame(
        time_ns=1, data=data, length=len(data), outgoing=outgoing, node="a", interface="eth0"
    )


def arp(operation: int, tags: bytes = b"") -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return (
        MACS + tags + b"\x08\x06" + body + A + b"\x01\x01\x01\x01" + bytes(6) + b"\x01\x01\x01\x02"
    )


def ipv4(protocol: int, payload: bytes, *, fragment: int = 0, options: bytes = b"") -> bytes:
    words, length = 5 + len(options) // 4, 20 + len(options) + len(payload)
    header = struct.pack("!BBHHHBBH", 0x40 | words, 0, length, 1, fragment, 64, protocol, 0)
    return b"\x08\x00" + header + packed("10.0.0.1") + packed("10.0.0.2") + options + payload


def ipv6(protocol: int, payload: bytes) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 33)
    return b"\x86\xdd" + header + packed("fd00::1") + packed("fd00::2") + payload


def packed(address: str) -> bytes:
    return ip_address(address).packed


def icmp(number: int) -> bytes:
    return struct.pack("!BBHHH", number, 0, 0, 7, 1) + b"data"


def nd(number: int) -> bytes:
    return struct.pack("!BBHI", number, 0, 0, 0) + packed("fd00::2")


def tunnel(inner: bytes, vni: int = 42, port: int = 4789, version: int = 4) -> bytes:
    header = struct.pack("!II", 8 << 24, vni << 8) + inner
    udp = struct.pack("!HHHH", 50000, port, 8 + len(header), 0) + header
    return MACS + (ipv4(17, udp) if version == 4 else ipv6(17, udp))


def kind(data: bytes) -> StepKind | None:
    return step_kind(frame(data))


CONVERSATION = [
    (arp(1), "who-has"),
    (arp(2), "is-at"),
    (MACS + ipv4(1, icmp(8)), "echo-request"),
    (MACS + ipv4(1, icmp(0)), "echo-reply"),
    (MACS + ipv6(58, nd(135)), "who-has"),
    (MACS + ipv6(58, nd(136)), "is-at"),
    (MACS + ipv6(58, icmp(128)), "echo-request"),
    (MACS + ipv6(58, icmp(129)), "echo-reply"),
]
OTHER_FRAMES = [
    arp(3),  # RARP's request, RFC 903
    MACS + ipv4(1, icmp(3)),  # unreachable
    MACS + ipv4(1, icmp(135)),  # the number of an ND question, in IPv4
    MACS + ipv6(58, icmp(8)),
    MACS + ipv6(58, nd(133)),  # router solicitation
    MACS + ipv4(17, struct.pack("!HHHH", 8, 0, 8, 0)),
    MACS + ipv6(17, struct.pack("!HHHH", 0x8700, 0, 8, 0)),
    MACS + b"\x88\xcc" + icmp(8),  # LLDP
]


# --- one frame -------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "wanted"), CONVERSATION)
def test_each_kind(data, wanted):
    assert kind(data) == wanted


@pytest.mark.parametrize("data", OTHER_FRAMES)
def test_what_is_no_part_of_a_conversation(data):
    assert kind(data) is None


@pytest.mark.parametrize("tags", [TAG, SERVICE_TAG + TAG])
@pytest.mark.parametrize(("data", "wanted"), CONVERSATION)
def test_behind_vlan_tags(data, wanted, tags):
    assert kind(data[:12] + tags + data[12:]) == wanted


@pytest.mark.parametrize(("data", "wanted"), CONVERSATION)
def test_cut_short_it_is_the_same_or_nothing(data, wanted):
    found = [kind(data[:length]) for length in range(len(data) + 1)]
    here = found.index(wanted)
    assert found == [None] * here + [wanted] * (len(data) + 1 - here)
    assert here == {0x0806: 22, 0x0800: 35, 0x86DD: 55}[int.from_bytes(data[12:14], "big")]


def test_behind_ip_options():
    assert kind(MACS + ipv4(1, icmp(8), options=b"\x94\x04\x00\x00")) == "echo-request"
    assert kind(MACS + ipv6(0, b"\x3a\x00\x05\x02\x00\x00\x01\x00" + nd(135))) == "who-has"


def test_the_first_fragment_only():
    more, later = 0x2000, 0x0001
    assert kind(MACS + ipv4(1, icmp(8), fragment=more)) == "echo-request"
    assert kind(MACS + ipv4(1, icmp(8), fragment=later)) is None


def test_padding_is_no_message():
    """An IP packet without a payload, in a frame of the least length: type 0 were a reply."""
    assert kind((MACS + ipv4(1, b"")).ljust(60, b"\0")) is None


# --- steps -----------------------------------------------------------------------------------


def test_a_bare_frame():
    seen = frame(arp(1))
    (step,) = steps([seen])
    assert step.kind == "who-has"
    assert step.frame is step.outer is seen
    assert (step.vni, step.outer_src, step.outer_dst, step.port, step.ttl) == (None,) * 5
    assert str(step) == "who-has (bare)"


@pytest.mark.parametrize(
    ("version", "addresses", "ttl"),
    [(4, ("10.0.0.1", "10.0.0.2"), 64), (6, ("fd00::1", "fd00::2"), 33)],
)
@pytest.mark.parametrize(("data", "wanted"), CONVERSATION)
def test_a_frame_in_a_tunnel(data, wanted, version, addresses, ttl):
    seen = frame(tunnel(data, vni=0xABCDEF, version=version), outgoing=True)
    (step,) = steps([seen])
    assert step.kind == wanted
    assert (step.vni, step.port, step.ttl) == (0xABCDEF, 4789, ttl)
    assert (step.outer_src, step.outer_dst) == addresses
    assert step.outer is seen
    assert step.frame.data == data
    assert step.frame.outgoing
    assert str(step) == f"{wanted} (VNI 11259375 {addresses[0]} > {addresses[1]})"


def test_the_order_is_kept_and_the_rest_left_out():
    others = [frame(data) for data in OTHER_FRAMES] + [frame(tunnel(data)) for data in OTHER_FRAMES]
    conversation = [frame(tunnel(data)) for data, _ in CONVERSATION]
    mixed = [each for pair in zip(others, conversation, strict=False) for each in pair]
    found = steps(iter(mixed))
    assert [step.kind for step in found] == [wanted for _, wanted in CONVERSATION]
    assert [step.outer for step in found] == conversation
    assert steps([]) == steps(others) == []


def test_a_tunnel_is_looked_for_on_these_ports():
    seen = [frame(tunnel(arp(1), vni=port, port=port)) for port in (8472, 4789, 14789)]
    assert [step.vni for step in steps(seen)] == [8472, 4789]
    assert [step.vni for step in steps(seen, {14789})] == [14789]


def test_an_inner_frame_that_is_tagged_or_cut_short():
    tagged, whole = arp(1, TAG), tunnel(arp(1))
    (step,) = steps([frame(tunnel(tagged))])
    assert (step.vni, step.frame.vlans) == (42, (42,))
    enough = len(whole) - 20  # as far as ARP's operation
    found = [bool(steps([frame(whole[:length])])) for length in range(len(whole) + 1)]
    assert found == [False] * enough + [True] * 21


# --- the real thing --------------------------------------------------------------------------


def topology(family):
    """a and b on one underlay, an address of each family on their vxlan devices."""
    t = TopologyBuilder("two families")
    t.switch("lan", "10.0.0.0/24" if family == 4 else "fd00::/64")
    t.segment("red", 42)
    for number, name in enumerate("ab", 1):
        t.host(name, "lan")
        t.vtep(name, "red", addresses=[f"172.16.0.{number}/24", f"fd16::{number}/64"])
    return t.build()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("address", ["172.16.0.2", "fd16::2"])
def test_the_conversation_in_a_lab(family, address):
    with Lab(topology(family)) as lab:
        a, b = (host.nics[0].ip for host in lab.topology.hosts)
        with lab.capture("b", "b:vxlan0") as seen:
            assert lab["a"].ping(address)
        ports = seen["b"].ports
        inside = [step for step in steps(seen["b"].frames, ports) if step.vni is not None]
        bare = steps(seen["b:vxlan0"].frames, ports)
    first = [(step.kind, step.vni, step.outer_src, step.outer_dst) for step in inside[:4]]
    assert first == [
        ("who-has", 42, a, b),
        ("is-at", 42, b, a),
        ("echo-request", 42, a, b),
        ("echo-reply", 42, b, a),
    ]
    assert [step.port for step in inside[:4]] == [8472] * 4
    assert [step.outer.outgoing for step in inside[:4]] == [False, True, False, True]
    assert [step.kind for step in bare] == [step.kind for step in inside]
    assert [step.frame.data for step in bare] == [step.frame.data for step in inside]
    assert {step.vni for step in bare} == {None}
