"""3.5 Receiving the outer headers: checksums, ports, addresses and fragments.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                a reference VTEP, no vxlan device
"""

from __future__ import annotations

import ipaddress

import pytest
from fdb_tools import BROADCAST, MAC, address, entry
from reception_tools import (
    COUNTED_WHEN_DELIVERED,
    DATAGRAMS,
    FOUND_CHECKSUM_ERROR,
    FOUND_NO_PORT,
    Outcome,
    accepted,
    assert_outcome,
    dropped_by_udp,
    dropped_by_vxlan,
    found_outcome,
    ip_version,
    kernel_at_a,
    outcome,
    put_on_wire,
    reference_at_b,
    udp_packets,
)

from vxlab import state, wait_until
from vxlab.operations import AddAddress, AddLink, SetLink, SetSysctl

UDP4 = "net/ipv4/udp.c: __udp4_lib_rcv()"
UDP6 = "net/ipv6/udp.c: __udp6_lib_rcv()"
VXLAN = "drivers/net/vxlan/vxlan_core.c"

both_families = pytest.mark.topology(kernel_at_a, family=[4, 6])
#: Whether a checksum is right is up to who sends it: nothing of a could be broken.
wrong_checksum = pytest.mark.control(
    "the UDP checksum is wrong", arguments={"checksum": "wrong"}, because=FOUND_CHECKSUM_ERROR
)
right_checksum = pytest.mark.control(
    "the UDP checksum is right",
    arguments={"checksum": "right"},
    because=found_outcome(accepted()),
)


def outcome_of(lab, **outer):
    """The outcome of a packet with a good VXLAN header, and these fields in its outer headers."""
    with reference_at_b(lab) as far:
        return outcome(lab, far, lambda far, frame: far.send_outer(far.encapsulate(frame), **outer))


@pytest.mark.behaviour("a packet with a right UDP checksum is delivered", source=UDP4)
@wrong_checksum
@both_families
@pytest.mark.parametrize("checksum", ["right"])
def test_a_right_checksum_is_accepted(lab, checksum):
    assert_outcome(outcome_of(lab, checksum=checksum), accepted())


@pytest.mark.behaviour(
    "a VXLAN packet is counted in the UDP counters of its own IP version: `Udp.InDatagrams` or "
    "`Udp6InDatagrams`",
    source=UDP6,
)
@pytest.mark.known_difference("K56", until="6.1")
@pytest.mark.control(
    "the UDP checksum of one of two packets is wrong",
    arguments={"checksum": "wrong"},
    because=r"counted \((1, 0|0, 1)\) datagrams",
)
@both_families
@pytest.mark.parametrize("checksum", ["right"])
def test_a_packet_is_counted_in_its_own_ip_version(lab, checksum):
    before = state.read_snmp(lab["a"].namespaces)
    outcome_of(lab, checksum=checksum)  # and a good one behind it
    after = state.read_snmp(lab["a"].namespaces)
    moved = tuple(after[name] - before[name] for name in DATAGRAMS)
    wanted = (2, 0) if ip_version(lab) == 4 else (0, 2)
    assert moved == wanted, f"UDP over IPv4 and over IPv6 counted {moved} datagrams, not {wanted}"


@pytest.mark.behaviour(
    "a packet with a wrong UDP checksum is dropped, and counted by UDP but not by the VXLAN device",
    source=UDP4,
)
@right_checksum
@both_families
@pytest.mark.parametrize("checksum", ["wrong"])
def test_a_wrong_checksum_is_counted_by_udp(lab, checksum):
    wanted = dropped_by_udp(lab, InErrors=1, InCsumErrors=1)
    assert_outcome(outcome_of(lab, checksum=checksum), wanted)


@pytest.mark.behaviour(
    "over IPv4 a packet without a UDP checksum is delivered, whatever `udpcsum` the device has",
    source="RFC 7348, 4.1",
)
@wrong_checksum
@pytest.mark.topology(kernel_at_a, family=4, udpcsum=[True, False])
@pytest.mark.parametrize("checksum", ["zero"])
def test_over_ipv4_no_checksum_is_accepted(lab, checksum):
    assert_outcome(outcome_of(lab, checksum=checksum), accepted())


@pytest.mark.behaviour(
    "over IPv6 a packet without a UDP checksum is dropped, and counted by UDP as a checksum error",
    source=UDP6,
)
@pytest.mark.control(
    "VTEP a has `udp6zerocsumrx`",
    vteps={"a": {"udp6zerocsumrx": True}},
    because=found_outcome(accepted()),
)
@pytest.mark.topology(kernel_at_a(6))
def test_over_ipv6_no_checksum_is_dropped(lab):
    wanted = dropped_by_udp(lab, InErrors=1, InCsumErrors=1)
    assert_outcome(outcome_of(lab, checksum="zero"), wanted)


@pytest.mark.behaviour(
    "over IPv6 a device with `udp6zerocsumrx` accepts packets without a UDP checksum", source=UDP6
)
@pytest.mark.control(
    "VTEP a lacks `udp6zerocsumrx`",
    vteps={"a": {"udp6zerocsumrx": False}},
    because=FOUND_CHECKSUM_ERROR,
)
@pytest.mark.topology(kernel_at_a(6, udp6zerocsumrx=True))
@pytest.mark.parametrize("checksum", ["zero", "right"])
def test_with_udp6zerocsumrx_no_checksum_is_needed(lab, checksum):
    assert_outcome(outcome_of(lab, checksum=checksum), accepted())
    assert_outcome(outcome_of(lab, checksum="zero"), accepted())


@pytest.mark.behaviour(
    "over IPv6 a device with `udp6zerocsumrx` still drops packets with a wrong UDP checksum",
    source=UDP6,
)
@right_checksum
@pytest.mark.topology(kernel_at_a(6, udp6zerocsumrx=True))
@pytest.mark.parametrize("checksum", ["wrong"])
def test_with_udp6zerocsumrx_a_wrong_checksum_is_dropped(lab, checksum):
    wanted = dropped_by_udp(lab, InErrors=1, InCsumErrors=1)
    assert_outcome(outcome_of(lab, checksum=checksum), wanted)


OTHER_PORTS = (8472, 4790, 4788)


def add_devices_on_other_ports(lab):
    """Give a one more vxlan device on each port that the scenario sends to."""
    for port in OTHER_PORTS:
        shape = (("id", 42), ("dstport", port), ("local", address(lab, "a")))
        lab.apply(AddLink("a", f"vxlan{port}", "vxlan", 0, attributes=shape, up=True))


@pytest.mark.behaviour(
    "a packet to a UDP port on which no VXLAN device listens is dropped, and counted by UDP in "
    "NoPorts",
    source=UDP4,
)
@pytest.mark.control(
    "VTEP a has a VXLAN device on each of the ports",
    lab=add_devices_on_other_ports,
    because=found_outcome(dropped_by_vxlan()),
)
@both_families
@pytest.mark.parametrize("port", OTHER_PORTS)
def test_another_port_is_counted_as_noports(lab, port):
    assert_outcome(outcome_of(lab, port=port), dropped_by_udp(lab, NoPorts=1))


@pytest.mark.behaviour(
    "a packet is delivered whatever its UDP source port, outer TTL and outer DSCP are",
    source=f"{VXLAN}: vxlan_rcv()",
)
@pytest.mark.control(
    "the packet goes to UDP port 4790, on which no device listens",
    arguments={"outer": {"port": 4790}},
    because=FOUND_NO_PORT,
)
@both_families
@pytest.mark.parametrize(
    "outer",
    [{"source_port": 1}, {"source_port": 65535}, {"source_port": 53}, {"ttl": 1}, {"tos": 0xFC}],
    ids=["port-1", "port-65535", "port-53", "ttl-1", "dscp-63"],
)
def test_source_port_ttl_and_dscp_do_not_matter(lab, outer):
    assert_outcome(outcome_of(lab, **outer), accepted())


UNCONFIGURED_SOURCES = {
    ("same-subnet", 4): "192.168.57.77",
    ("same-subnet", 6): "fd00:192:168:57::77",
    ("other-network", 4): "203.0.113.9",
    ("other-network", 6): "2001:db8::9",
}


@pytest.mark.behaviour(
    "a packet from an outer source address that is no configured remote is delivered, and its "
    "inner source MAC is learned with that address",
    source=f"{VXLAN}: vxlan_rcv(); RFC 7348, 7",
)
@pytest.mark.control(
    "VTEP a has `nolearning`",
    vteps={"a": {"learning": False}},
    because=f"wanted one entry for {MAC}, found none",
)
@both_families
@pytest.mark.parametrize("where", ["same-subnet", "other-network"])
def test_any_source_is_accepted_and_learned(lab, where):
    source = UNCONFIGURED_SOURCES[where, ip_version(lab)]
    assert_outcome(outcome_of(lab, source=source), accepted())
    assert entry(lab, MAC).dst == source


@pytest.mark.behaviour(
    "a packet to any address of the host is delivered, even if `local` names another one",
    source=f"{VXLAN}: vxlan_create_sock()",
)
@pytest.mark.control(
    "host a does not have the second address",
    without=AddAddress,
    because="for a to answer at its second address",
)
@both_families
def test_any_local_address_is_accepted(lab):
    second = {4: "192.168.57.51", 6: "fd00:192:168:57::51"}[ip_version(lab)]
    length = {4: 32, 6: 128}[ip_version(lab)]
    lab.apply(AddAddress("a", "eth0", f"{second}/{length}"))
    answers = "a to answer at its second address"
    wait_until(lambda: lab["b"].ping(second, timeout=1), answers, timeout=5)
    assert_outcome(outcome_of(lab, to=second), accepted())


def disable_reassembly(lab):
    """Allow a no memory for the reassembly of fragments."""
    name = "net.ipv4.ipfrag" if ip_version(lab) == 4 else "net.ipv6.ip6frag"
    for limit in ("low_thresh", "high_thresh"):
        lab.apply(SetSysctl("a", f"{name}_{limit}", "0"))


@pytest.mark.behaviour(
    "a packet that arrives in IP fragments is reassembled and delivered", source="RFC 7348, 4.3"
)
@pytest.mark.control(
    "host a has no memory for reassembly (`ipfrag_high_thresh` is 0)",
    lab=disable_reassembly,
    because=r"Found not delivered, counted in (Ip\.|Ip6)ReasmFails \d+\.",
)
@both_families
@pytest.mark.parametrize("size", [8, 24, 48])
def test_fragments_are_reassembled(lab, size):
    ip = "Ip." if ip_version(lab) == 4 else "Ip6"
    wanted = Outcome(True, {**COUNTED_WHEN_DELIVERED, f"{ip}ReasmOKs": 1})
    assert_outcome(outcome_of(lab, fragment=size), wanted)


@pytest.mark.behaviour(
    "a packet of which an IP fragment is missing is not delivered", source="RFC 791, 3.2"
)
@pytest.mark.control(
    "all fragments of the packet are sent",
    arguments={"kept": 99},
    because=r"Found delivered, counted in rx_packets 1, InDatagrams 1, (Ip\.|Ip6)ReasmOKs 1\.",
)
@both_families
@pytest.mark.parametrize("kept", [1, 2], ids=["first-only", "first-two"])
def test_an_incomplete_packet_is_not_delivered(lab, kept):
    assert_outcome(outcome_on_wire(lab, fragment=24, kept=kept), Outcome(False, {}))


def outcome_on_wire(lab, *, to=None, mac=None, kept=99, port=4789, fragment=None):
    """The outcome of a good frame whose packets b's eth0 sends as they are, to this MAC."""
    (link,) = lab["a"].ip("link", "show", "eth0")
    to = to or address(lab, "a")
    with reference_at_b(lab) as far:

        def send(far, frame):
            payload = far.encapsulate(frame)
            packets = udp_packets(payload, address(lab, "b"), to, port=port, fragment=fragment)
            put_on_wire(lab, packets[:kept], mac or link["address"])

        return outcome(lab, far, send)


@pytest.mark.behaviour(
    "a packet to the underlay subnet's broadcast address, or to 255.255.255.255, is delivered",
    source=UDP4,
)
@pytest.mark.control(
    "the packet goes to UDP port 4790, on which no device listens",
    arguments={"port": 4790},
    because=r"Found not delivered, counted in Udp\.IgnoredMulti 1\.",
)
@pytest.mark.topology(kernel_at_a(4))
@pytest.mark.parametrize("port", [4789])
@pytest.mark.parametrize("to", ["192.168.57.255", "255.255.255.255"], ids=["subnet", "limited"])
def test_a_broadcast_packet_is_accepted(lab, to, port):
    assert_outcome(outcome_on_wire(lab, to=to, mac=BROADCAST, port=port), accepted())


def mac_of_group(group):
    """The MAC of a multicast group (RFC 1112, 6.4; RFC 2464, 7)."""
    packed = ipaddress.ip_address(group).packed
    if len(packed) == 4:
        return "01:00:5e:" + bytes([packed[1] & 0x7F, *packed[2:]]).hex(":")
    return "33:33:" + packed[-4:].hex(":")


NOT_JOINED = {4: "239.7.7.7", 6: "ff05::7:7"}
ALL_HOSTS = {4: "224.0.0.1", 6: "ff02::1"}


def join_group(lab):
    """Have a's eth0 join the group."""
    group, length = NOT_JOINED[ip_version(lab)], {4: 32, 6: 128}[ip_version(lab)]
    lab["a"].run("ip", "address", "add", f"{group}/{length}", "dev", "eth0", "autojoin")


@pytest.mark.behaviour(
    "a packet to a multicast group that the host has not joined is not delivered", source=UDP4
)
@pytest.mark.control(
    "host a has joined the multicast group",
    lab=join_group,
    because=found_outcome(accepted()),
)
@both_families
def test_a_packet_to_a_group_that_was_not_joined_is_not_delivered(lab):
    group = NOT_JOINED[ip_version(lab)]
    assert_outcome(outcome_on_wire(lab, to=group, mac=mac_of_group(group)), Outcome(False, {}))


@pytest.mark.behaviour("a packet to the multicast group of all hosts is delivered", source=UDP4)
@pytest.mark.control(
    "the packet goes to a multicast group that host a has not joined",
    arguments={"groups": NOT_JOINED},
    because=found_outcome(Outcome(False, {})),
)
@both_families
@pytest.mark.parametrize("groups", [ALL_HOSTS], ids=["all-hosts"])
def test_a_packet_to_the_group_of_all_hosts_is_accepted(lab, groups):
    group = groups[ip_version(lab)]
    assert_outcome(outcome_on_wire(lab, to=group, mac=mac_of_group(group)), accepted())


@pytest.mark.behaviour(
    "a packet to a VXLAN device that is down is dropped, and counted by UDP in NoPorts: the device "
    "has closed its socket",
    source=f"{VXLAN}: vxlan_stop()",
)
@pytest.mark.control(
    "VTEP a's device stays up", without=SetLink, because="for UDP to count NoPorts"
)
@both_families
def test_a_device_that_is_down_is_counted_as_noports(lab):
    wanted = dropped_by_udp(lab, NoPorts=1)
    (name,) = wanted.counted

    def no_ports():
        return state.read_snmp(lab["a"].namespaces)[name]

    before = no_ports()

    def send(far, frame):
        lab.apply(SetLink("a", "vxlan0", up=False))
        far.send(frame)
        wait_until(lambda: no_ports() > before, "UDP to count NoPorts", timeout=3)
        lab.apply(SetLink("a", "vxlan0", up=True))

    with reference_at_b(lab) as far:
        assert_outcome(outcome(lab, far, send), wanted)


@pytest.mark.behaviour(
    "a packet to a VXLAN device that is down is answered with ICMP port unreachable",
    source="RFC 1122, 4.1.3.1; RFC 4443, 3.1",
)
@pytest.mark.control(
    "VTEP a's device stays up", without=SetLink, because="for an ICMP port unreachable"
)
@both_families
def test_a_device_that_is_down_is_answered_with_port_unreachable(lab):
    lab.apply(SetLink("a", "vxlan0", up=False))
    with lab.capture("b:eth0") as seen, reference_at_b(lab) as far:
        far.send_bytes(far.encapsulate(bytes(60)))
        seen["b:eth0"].wait_for(
            lambda frame: "unreachable" in frame.summary() and not frame.outgoing,
            "an ICMP port unreachable",
            timeout=3,
        )


@pytest.mark.behaviour(
    "a packet for a VNI that no device on the UDP port has is dropped without an ICMP error",
    source=VXLAN,
)
@pytest.mark.control(
    "the packet has the VNI of VTEP a's device",
    arguments={"vni": 42},
    because=found_outcome(accepted()),
)
@both_families
@pytest.mark.parametrize("vni", [43])
def test_an_unknown_vni_is_dropped_without_an_icmp_error(lab, vni):
    with lab.capture("b:eth0") as seen, reference_at_b(lab) as far:
        found = outcome(lab, far, lambda far, frame: far.send(frame, vni=vni))
        assert lab["b"].ping(address(lab, "a"))
    assert_outcome(found, dropped_by_vxlan())
    seen["b:eth0"].assert_silent(lambda frame: "unreachable" in frame.summary(), "unreachable")
