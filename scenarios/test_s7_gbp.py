"""7.2 Group policy (GBP): a packet's firewall mark travels as policy ID in the VXLAN header.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2 gbp            172.18.1.3 vxlan0 gbp

The header (draft-smith-vxlan-group-policy, section 2.1) begins with the flag G (a policy ID is
there), 0x80 in the first byte, the flags D (don't learn), 0x40, and A (policy applied), 0x08, in
the second byte, and 16 bits of policy ID.  The mark has D, A and policy ID in the same places.
"""

from __future__ import annotations

import errno

import pytest
from device_tools import (
    PORTS,
    A,
    B,
    bare,
    device,
    find_link,
    holds,
    pair,
    send_with_mark,
    swap,
    swap_at,
    udp_ports,
)

from vxlab import ApplyError, ReferenceVtep, wait_until
from vxlab.operations import AddRule, SetLink

BUILD = "drivers/net/vxlan/vxlan_core.c: vxlan_build_gbp_hdr()"
PARSE = "drivers/net/vxlan/vxlan_core.c: vxlan_parse_gbp_hdr()"
DATAGRAMS = ("INPUT", "-i", "vxlan0", "-p", "udp", "--dport", "40404")

pytestmark = [pytest.mark.requires("vxlan.gbp"), pytest.mark.topology(bare())]

NEITHER_HAS_GBP = "neither device has `gbp`"
without_gbp = swap(gbp=None)

# The firewall mark of a packet, and the first four bytes of its VXLAN header.
HEADERS = {
    "a-policy-id": (0x2A, "8800002a"),
    "the-largest-policy-id": (0xFFFF, "8800ffff"),
    "no-more-than-16-bits": (0x12345, "88002345"),
    "dont-learn-alone": (0x400000, "88400000"),
    "applied-alone": (0x080000, "88080000"),
    "both-and-an-id": (0x48002A, "8848002a"),
    "no-mark": (0, "08000000"),
    "a-mark-of-other-bits": (0x10000, "88000000"),
}


def header(frame):
    return frame.data[42:46].hex()


def mark_with_0x77(operation):
    """A control: the firewall rule that sets the mark 0x1234 sets 0x77."""
    if not isinstance(operation, AddRule):
        return operation
    return AddRule("a", tuple(word.replace("0x1234", "0x77") for word in operation.words))


def mark_all_with_7(lab):
    """A control: a rule on a sets the mark of all that leaves to 7."""
    lab.apply(AddRule("a", ("-t", "mangle", "-A", "OUTPUT", "-j", "MARK", "--set-mark", "7")))


def counter_of_mark(lab, mark):
    """A function that gives the datagrams b has received with this firewall mark and with others.

    Only datagrams of `send_with_mark` count.
    """
    lab.apply(AddRule("b", ("-A", *DATAGRAMS, "-m", "mark", "--mark", hex(mark), "-j", "ACCEPT")))
    lab.apply(AddRule("b", ("-A", *DATAGRAMS, "-j", "ACCEPT")))

    def counts():
        lines = lab["b"].run("iptables", "-L", "INPUT", "-vnx").stdout.splitlines()[2:4]
        return tuple(int(line.split()[0]) for line in lines)

    return counts


def frame_to_a(lab, data, source):
    """A datagram with a marked payload to a's overlay address, as an Ethernet frame."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    ip = IP(src="172.18.1.9", dst="172.18.1.2") / UDP(sport=1, dport=40404)
    return Ether(src=source, dst=find_link(lab, "a").mac) / ip / (b"vxlab:" + data)


def reference_at_b(lab):
    """The reference VTEP on b with GBP, and a vxlan device with `gbp` on a that leads to it."""
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, gbp=True))
    return ReferenceVtep(lab["b"], gbp=True)


@pytest.mark.behaviour(
    "with `gbp`, bits of a packet's firewall mark are the policy ID and the flags D and A of the "
    "VXLAN header",
    source=BUILD,
)
@pytest.mark.control(
    "a firewall rule on a sets the mark of every packet to 7",
    lab=mark_all_with_7,
    because="the header begins with 88000007",
)
@pytest.mark.parametrize(("mark", "wanted"), HEADERS.values(), ids=HEADERS)
def test_the_firewall_mark_is_in_the_header(lab, mark, wanted):
    pair(lab, gbp=True)
    with lab.capture("b:eth0", ports=PORTS) as seen:
        send_with_mark(lab["a"], "172.18.1.3", b"marked", mark)
        frame = seen["b:eth0"].wait_for(holds(b"marked"), "the datagram")
    assert header(frame) == wanted, f"the header begins with {header(frame)}"


@pytest.mark.behaviour(
    "without `gbp`, a packet's firewall mark is not in the VXLAN header", source=BUILD
)
@pytest.mark.control(
    "both devices have `gbp`",
    change=swap(gbp=True),
    because="the header begins with 8800002a",
)
def test_without_gbp_no_mark_is_sent(lab):
    pair(lab)
    with lab.capture("b:eth0", ports=PORTS) as seen:
        send_with_mark(lab["a"], "172.18.1.3", b"marked", 0x2A)
        frame = seen["b:eth0"].wait_for(holds(b"marked"), "the datagram")
    assert header(frame) == "08000000", f"the header begins with {header(frame)}"


@pytest.mark.behaviour(
    "with `gbp`, a mark that a firewall rule sets is sent as the policy ID", source=BUILD
)
@pytest.mark.control(
    "the firewall rule sets the mark 0x77",
    change=mark_with_0x77,
    because="the header begins with 88000077",
)
@pytest.mark.parametrize("chain", ["OUTPUT", "POSTROUTING"])
def test_a_firewall_rule_sets_the_policy_id(lab, chain):
    pair(lab, gbp=True)
    words = ("-t", "mangle", "-A", chain, "-p", "udp", "--dport", "40404")
    lab.apply(AddRule("a", (*words, "-j", "MARK", "--set-mark", "0x1234")))
    with lab.capture("b:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.3", b"by a rule")
        frame = seen["b:eth0"].wait_for(holds(b"by a rule"), "the datagram")
    assert header(frame) == "88001234", f"the header begins with {header(frame)}"


@pytest.mark.behaviour(
    "with `gbp`, the policy ID, D and A of a received packet are its firewall mark, which rules "
    "can match",
    source=PARSE,
)
@pytest.mark.control(
    NEITHER_HAS_GBP,
    change=without_gbp,
    because=r"received with that mark and with others: \(0, 1\)",
)
@pytest.mark.parametrize("mark", [1, 0x2A, 0xFFFF, 0x400001, 0x080001, 0x48FFFF], ids=hex)
def test_a_firewall_rule_matches_the_received_policy_id(lab, mark):
    pair(lab, gbp=True)
    counts = counter_of_mark(lab, mark)
    send_with_mark(lab["a"], "172.18.1.3", b"marked", mark)
    wait_until(lambda: any(counts()), "the datagram at b", found=lambda: str(counts()))
    assert counts() == (1, 0), f"received with that mark and with others: {counts()}"


@pytest.mark.behaviour(
    "a received packet without the GBP flag G has no firewall mark", source=PARSE
)
@pytest.mark.control(
    "a firewall rule on a sets the mark of every packet to 7",
    lab=mark_all_with_7,
    because=r"received without and with a mark: \(0, 1\)",
)
def test_without_a_policy_id_there_is_no_mark(lab):
    pair(lab, gbp=True)
    counts = counter_of_mark(lab, 0)
    send_with_mark(lab["a"], "172.18.1.3", b"not marked", 0)
    wait_until(lambda: any(counts()), "the datagram at b", found=lambda: str(counts()))
    assert counts() == (1, 0), f"received without and with a mark: {counts()}"


@pytest.mark.behaviour(
    "with `gbp`, a firewall rule on the receiving host can drop packets of one policy ID",
    source=PARSE,
)
@pytest.mark.control(
    NEITHER_HAS_GBP, change=without_gbp, because="the ping with policy ID 42 was answered"
)
def test_a_policy_id_may_be_dropped(lab):
    pair(lab, gbp=True)
    rule = ("-A", "INPUT", "-i", "vxlan0", "-m", "mark", "--mark", "0x2a", "-j", "DROP")
    lab.apply(AddRule("b", rule))
    assert lab["a"].ping("172.18.1.3"), "a ping without a policy ID was not answered"
    once = ("ping", "-c", "1", "172.18.1.3")
    allowed = lab["a"].run(*once, "-W", "5", "-m", "41", check=False)
    assert allowed, "the ping with policy ID 41 was not answered"
    dropped = lab["a"].run(*once, "-W", "0.3", "-m", "42", check=False)
    assert not dropped, "the ping with policy ID 42 was answered"


@pytest.mark.behaviour(
    "a device without `gbp` drops a packet with a policy ID and counts it as a frame error",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), reserved bits",
)
@pytest.mark.control(
    "b's device has `gbp`",
    change=swap_at("b", gbp=True),
    because="b/vxlan0: wanted no datagram with a policy ID, found",
)
@pytest.mark.requires("vxlan.reserved_bits")  # before it such packets were not counted
def test_a_device_without_gbp_drops_a_policy_id(lab):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, gbp=True))
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=A))
    with lab.capture("b:vxlan0", ports=PORTS) as seen:
        send_with_mark(lab["a"], "172.18.1.3", b"with a policy", 0x2A)
        send_with_mark(lab["a"], "172.18.1.3", b"without", 0)
        seen["b:vxlan0"].wait_for(holds(b"without"), "the datagram without a policy ID")
    seen["b:vxlan0"].assert_silent(holds(b"with a policy"), "datagram with a policy ID")
    (link,) = lab["b"].ip("-s", "-s", "link", "show", "vxlan0")
    rx = link["stats64"]["rx"]
    assert (rx["errors"], rx["frame_errors"]) == (1, 1)


@pytest.mark.behaviour(
    "a device with `gbp` and one without it cannot share a UDP port",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_find_sock(), VXLAN_F_RCV_FLAGS",
)
@pytest.mark.control(
    "both devices have `gbp`", change=swap(gbp=True), because="DID NOT RAISE ApplyError"
)
def test_with_and_without_gbp_cannot_share_a_port(lab):
    lab.apply(*device("a", id=42), *device("a", name="gbp", id=43, gbp=True, up=False))
    with pytest.raises(ApplyError) as refused:
        lab.apply(SetLink("a", "gbp", up=True))
    assert refused.value.errno == errno.EADDRINUSE
    assert udp_ports(lab, "a")[4] == [4789]


# Kernel and reference: each reads what the other has written.


@pytest.mark.behaviour(
    "the reference VTEP (in Python) reads the policy ID that the kernel has written", source=BUILD
)
@pytest.mark.control(
    "a's device has no `gbp`", change=without_gbp, because="the reference reads the policy ID None"
)
@pytest.mark.parametrize("mark", [1, 0x2A, 0xFFFF], ids=hex)
def test_the_reference_reads_the_policy_id(lab, mark):
    with reference_at_b(lab) as reference:
        send_with_mark(lab["a"], "172.18.1.3", b"to the reference", mark)
        row = reference.wait_for(lambda row: row.payload.endswith(b"reference"), "the datagram")
    assert row.policy == mark, f"the reference reads the policy ID {row.policy}"
    assert row.problem == ""


@pytest.mark.behaviour(
    "a kernel device and the reference VTEP (in Python), both with GBP, answer each other's pings",
    source=PARSE,
)
@pytest.mark.control(
    "a's device has VNI 43",
    change=swap(id=43),
    because="the reference did not answer the kernel's ping",
)
def test_the_kernel_and_the_reference_reach_each_other(lab):
    with reference_at_b(lab) as reference:
        answered = lab["a"].ping("172.18.1.3", timeout=2)
        assert answered, "the reference did not answer the kernel's ping"
        answered = reference.ping("172.18.1.2", timeout=2)
        assert answered, "the kernel did not answer the reference's ping"
        assert not [row.problem for row in reference.received if row.problem]


@pytest.mark.behaviour(
    "a device with `gbp` learns the source MAC of a packet even if its flag D says not to learn",
    source=PARSE,
)
@pytest.mark.control(
    "a's device has `nolearning`",
    change=swap(learning=False),
    because="a has not learned 02:00:00:00:00:91",
)
@pytest.mark.parametrize("reserved1", [7, 0x400007, 0x080007, 0x480007], ids=hex)
def test_the_kernel_learns_whatever_d_and_a_say(lab, reserved1):
    mac = "02:00:00:00:00:91"
    with reference_at_b(lab) as reference, lab.capture("a:vxlan0", ports=PORTS) as seen:
        reference.send(frame_to_a(lab, b"learn me", mac), flags=0x88, reserved1=reserved1)
        seen["a:vxlan0"].wait_for_payload(b"learn me")
    assert mac in {row.mac for row in lab["a"].state.fdb}, f"a has not learned {mac}"
