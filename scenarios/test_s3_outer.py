"""3.5 The outer headers: checksum, ports, addresses, fragments.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device
"""

from __future__ import annotations

import pytest
from fdb_tools import BROADCAST, MAC, entry
from reception_tools import (
    DATAGRAMS,
    Outcome,
    accepted,
    far_end,
    one_end,
    outcome,
    put_on_wire,
    refused,
    taken,
    udp,
    underlay,
    version,
)

from vxlab import state, wait_until
from vxlab.operations import AddAddress, SetLink

UDP4 = "net/ipv4/udp.c: __udp4_lib_rcv()"
UDP6 = "net/ipv6/udp.c: __udp6_lib_rcv()"
VXLAN = "drivers/net/vxlan/vxlan_core.c"

both = pytest.mark.topology(one_end, family=[4, 6])


def sent(lab, **outer):
    """What comes of a good frame in a packet with such outer headers."""
    with far_end(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send_outer(far.encapsulate(frame), **outer))


def unheard(lab, **counted):
    """The outcome of a packet that vxlan0's socket never gets."""
    return Outcome(False, udp(lab, **counted))


@pytest.mark.behaviour("a packet with a right checksum is delivered", source=UDP4)
@pytest.mark.control("it is wrong", arguments={"checksum": "wrong"}, because="assert")
@both
@pytest.mark.parametrize("checksum", ["right"])
def test_a_right_checksum_is_accepted(lab, checksum):
    assert sent(lab, checksum=checksum) == accepted()


@pytest.mark.behaviour("a packet for a tunnel is counted by the UDP of its own family", source=UDP6)
@pytest.mark.known_difference("K56", until="6.1")
@pytest.mark.control("it is wrong", arguments={"checksum": "wrong"}, because="assert")
@both
@pytest.mark.parametrize("checksum", ["right"])
def test_a_packet_is_counted_in_its_own_family(lab, checksum):
    before = state.read_snmp(lab["a"].namespaces)
    sent(lab, checksum=checksum)  # and a good one behind it
    after = state.read_snmp(lab["a"].namespaces)
    moved = tuple(after[name] - before[name] for name in DATAGRAMS)
    assert moved == ((2, 0) if version(lab) == 4 else (0, 2))


@pytest.mark.behaviour("a wrong checksum is dropped, and counted by UDP alone", source=UDP4)
@pytest.mark.control("the checksum is right", arguments={"checksum": "right"}, because="assert")
@both
@pytest.mark.parametrize("checksum", ["wrong"])
def test_a_wrong_checksum_is_counted_by_udp(lab, checksum):
    assert sent(lab, checksum=checksum) == unheard(lab, InErrors=1, InCsumErrors=1)


@pytest.mark.behaviour("over IPv4 a packet without a checksum is accepted", source="RFC 7348, 4.1")
@pytest.mark.control("it is wrong", arguments={"checksum": "wrong"}, because="assert")
@pytest.mark.topology(lambda udpcsum: one_end(4, udpcsum=udpcsum), udpcsum=[True, False])
@pytest.mark.parametrize("checksum", ["zero"])
def test_over_ipv4_no_checksum_is_accepted(lab, checksum):
    assert sent(lab, checksum=checksum) == accepted()


@pytest.mark.behaviour("over IPv6 a packet without a checksum is dropped", source=UDP6)
@pytest.mark.control("a's device takes it", vteps={"a": {"udp6zerocsumrx": True}}, because="assert")
@pytest.mark.topology(one_end(6))
def test_over_ipv6_no_checksum_is_dropped(lab):
    assert sent(lab, checksum="zero") == unheard(lab, InErrors=1, InCsumErrors=1)


@pytest.mark.behaviour("udp6zerocsumrx takes packets without a checksum", source=UDP6)
@pytest.mark.control("a's device has it off", vteps={"a": {"udp6zerocsumrx": False}})
@pytest.mark.topology(one_end(6, udp6zerocsumrx=True))
@pytest.mark.parametrize("checksum", ["zero", "right"])
def test_with_udp6zerocsumrx_no_checksum_is_needed(lab, checksum):
    first = sent(lab, checksum=checksum)
    assert (first, sent(lab, checksum="zero")) == (accepted(), accepted())


@pytest.mark.behaviour("udp6zerocsumrx does not excuse a wrong checksum", source=UDP6)
@pytest.mark.control("the checksum is right", arguments={"checksum": "right"}, because="assert")
@pytest.mark.topology(one_end(6, udp6zerocsumrx=True))
@pytest.mark.parametrize("checksum", ["wrong"])
def test_with_udp6zerocsumrx_a_wrong_checksum_is_dropped(lab, checksum):
    assert sent(lab, checksum=checksum) == unheard(lab, InErrors=1, InCsumErrors=1)


@pytest.mark.behaviour("another port is nobody's", source=UDP4)
@pytest.mark.control("it is the right port", arguments={"port": 4789}, because="assert")
@both
@pytest.mark.parametrize("port", [8472, 4790, 4788])
def test_another_port_is_counted_as_noports(lab, port):
    assert sent(lab, port=port) == unheard(lab, NoPorts=1)


@pytest.mark.behaviour("source port, TTL and TOS are of no account", source=f"{VXLAN}: vxlan_rcv()")
@pytest.mark.control(
    "it goes to another port", arguments={"outer": {"port": 4790}}, because="assert"
)
@both
@pytest.mark.parametrize(
    "outer",
    [{"source_port": 1}, {"source_port": 65535}, {"source_port": 53}, {"ttl": 1}, {"tos": 0xFC}],
    ids=["port-1", "port-65535", "port-53", "ttl-1", "dscp-63"],
)
def test_source_port_ttl_and_dscp_do_not_matter(lab, outer):
    assert sent(lab, **outer) == accepted()


def strangers(family):
    """Source addresses that a has never heard of: on its subnet, and anywhere."""
    if family == 4:
        return {"neighbour": "192.168.57.77", "anywhere": "203.0.113.9"}
    return {"neighbour": "fd00:192:168:57::77", "anywhere": "2001:db8::9"}


@pytest.mark.behaviour(
    "a packet from a VTEP that a was never told of is accepted, and learned from",
    source=f"{VXLAN}: vxlan_rcv(); RFC 7348, 7",
)
@pytest.mark.control("it goes to another port", arguments={"port": 4790}, because="assert")
@both
@pytest.mark.parametrize("port", [4789])
@pytest.mark.parametrize("who", ["neighbour", "anywhere"])
def test_any_source_is_accepted_and_learned(lab, who, port):
    source = strangers(version(lab))[who]
    assert sent(lab, source=source, port=port) == accepted()
    assert entry(lab, MAC).dst == source


def other_local(lab, device):
    """A second address of a's, on one of its devices; b knows the way."""
    family = version(lab)
    own = {4: "192.168.57.51", 6: "fd00:192:168:57::51"}[family]
    lab.apply(AddAddress("a", device, f"{own}/{32 if family == 4 else 128}"))
    return own


@pytest.mark.behaviour(
    "a packet to any of a's own addresses is accepted, whatever `local` says",
    source=f"{VXLAN}: vxlan_create_sock()",
)
@pytest.mark.control("it goes to another port", arguments={"port": 4790}, because="assert")
@both
@pytest.mark.parametrize("port", [4789])
def test_any_local_address_is_accepted(lab, port):
    to = other_local(lab, "eth0")
    wait_until(lambda: lab["b"].ping(to, timeout=1), "a to answer at its second address")
    assert sent(lab, to=to, port=port) == accepted()


@pytest.mark.behaviour("a packet in fragments is put together", source="RFC 7348, 4.3")
@pytest.mark.control("its checksum is wrong", arguments={"checksum": "wrong"}, because="assert")
@both
@pytest.mark.parametrize("checksum", ["right"])
@pytest.mark.parametrize("size", [8, 24, 48])
def test_fragments_are_put_together(lab, size, checksum):
    ip = "Ip." if version(lab) == 4 else "Ip6"
    found = sent(lab, fragment=size, checksum=checksum)
    assert found == Outcome(True, {**taken(), f"{ip}ReasmOKs": 1})


@pytest.mark.behaviour("a packet that lacks a fragment is not delivered", source="RFC 791, 3.2")
@pytest.mark.control("all are sent", arguments={"kept": 99}, because="assert")
@both
@pytest.mark.parametrize("kept", [1, 2], ids=["first-only", "first-two"])
def test_an_incomplete_packet_is_not_delivered(lab, kept):
    assert on_wire(lab, fragment=24, kept=kept) == Outcome(False, {})


def on_wire(lab, *, to=None, mac=None, kept=99, port=4789, fragment=None):
    """What comes of a good frame whose packets are put on the wire by hand."""
    from vxlab.reference.outer import build

    (link,) = lab["a"].ip("link", "show", "eth0")
    with far_end(lab) as far:

        def send(far, frame):
            packets = build(
                far.encapsulate(frame),
                source=underlay(lab, "b"),
                to=to or underlay(lab, "a"),
                source_port=4789,
                port=port,
                ttl=64,
                tos=0,
                df=False,
                checksum="right",
                fragment=fragment,
            )
            put_on_wire(lab, packets[:kept], mac or link["address"])

        return outcome(lab, far, send)


@pytest.mark.behaviour("a packet to the subnet's broadcast address is accepted", source=UDP4)
@pytest.mark.control("it goes to another port", arguments={"port": 4790}, because="assert")
@pytest.mark.topology(one_end(4))
@pytest.mark.parametrize("port", [4789])
@pytest.mark.parametrize("to", ["192.168.57.255", "255.255.255.255"], ids=["subnet", "limited"])
def test_a_broadcast_packet_is_accepted(lab, to, port):
    assert on_wire(lab, to=to, mac=BROADCAST, port=port) == accepted()


def group_mac(group):
    """The MAC of an IPv6 group (RFC 2464, 7)."""
    import ipaddress

    packed = ipaddress.ip_address(group).packed
    if len(packed) == 4:
        return "01:00:5e:" + bytes([packed[1] & 0x7F, *packed[2:]]).hex(":")
    return "33:33:" + packed[-4:].hex(":")


GROUPS = {4: ("239.7.7.7", "224.0.0.1"), 6: ("ff05::7:7", "ff02::1")}


@pytest.mark.behaviour("a packet to a group that a is no member of is not delivered", source=UDP4)
@pytest.mark.control("a is a member", arguments={"which": 1}, because="assert")
@both
@pytest.mark.parametrize("which", [0], ids=["not-joined"])
def test_a_group_that_was_not_joined_is_not_heard(lab, which):
    group = GROUPS[version(lab)][which]
    assert on_wire(lab, to=group, mac=group_mac(group)) == Outcome(False, {})


@pytest.mark.behaviour("a packet to the group of all hosts is accepted", source=UDP4)
@pytest.mark.control("it is a group a is no member of", arguments={"which": 0}, because="assert")
@both
@pytest.mark.parametrize("which", [1], ids=["all-hosts"])
def test_the_group_of_all_hosts_is_heard(lab, which):
    group = GROUPS[version(lab)][which]
    assert on_wire(lab, to=group, mac=group_mac(group)) == accepted()


@pytest.mark.behaviour("a device that is down has no socket", source=f"{VXLAN}: vxlan_stop()")
@pytest.mark.control("the device stays up", without=SetLink, because="waited")
@both
def test_a_device_that_is_down_is_counted_as_noports(lab):
    (name,) = udp(lab, NoPorts=1)

    def counted():
        return state.read_snmp(lab["a"].namespaces)[name]

    before = counted()

    def send(far, frame):
        lab.apply(SetLink("a", "vxlan0", up=False))
        far.send(frame)
        wait_until(lambda: counted() > before, "one more packet without a port", timeout=3)
        lab.apply(SetLink("a", "vxlan0", up=True))

    with far_end(lab) as far:
        assert outcome(lab, far, send) == unheard(lab, NoPorts=1)


@pytest.mark.behaviour(
    "who sends to a device that is down is told", source="RFC 1122, 4.1.3.1; RFC 4443, 3.1"
)
@pytest.mark.control("the device stays up", without=SetLink, because="waited")
@both
def test_a_device_that_is_down_answers_port_unreachable(lab):
    lab.apply(SetLink("a", "vxlan0", up=False))
    with lab.capture("b:eth0") as seen, far_end(lab) as far:
        far.send_bytes(far.encapsulate(bytes(60)))
        seen["b:eth0"].wait_for(
            lambda frame: "unreachable" in frame.summary() and not frame.outgoing,
            "an answer that the port is unreachable",
            timeout=3,
        )


@pytest.mark.behaviour("what no device of the port wants is dropped in the socket", source=VXLAN)
@pytest.mark.control("the VNI is the device's", arguments={"vni": 42}, because="assert")
@both
@pytest.mark.parametrize("vni", [43])
def test_an_unknown_vni_is_not_answered(lab, vni):
    with lab.capture("b:eth0") as seen, far_end(lab) as far:
        found = outcome(lab, far, lambda far, frame: far.send(frame, vni=vni))
        assert lab["b"].ping(underlay(lab, "a"))
    assert found == refused()
    seen["b:eth0"].assert_silent(lambda frame: "unreachable" in frame.summary(), "unreachable")
