"""7.2 GBP: a policy id travels with each packet, as the mark of the firewall.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2 gbp            172.18.1.3 vxlan0 gbp

The header (draft-smith-vxlan-group-policy, section 2.1) is G 0x80 in the first byte, D 0x40 in the
second, A 0x08 in the second, and 16 bits of policy id; the mark has D and A in the same places.
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
    holds,
    link_of,
    pair,
    send_with_mark,
    swap,
    swap_at,
    udp_ports,
)

from vxlab import ApplyError, wait_until
from vxlab.operations import AddRule, SetLink
from vxlab.reference import ReferenceVtep

BUILD = "drivers/net/vxlan/vxlan_core.c: vxlan_build_gbp_hdr()"
PARSE = "drivers/net/vxlan/vxlan_core.c: vxlan_parse_gbp_hdr()"
MARKED = ("INPUT", "-i", "vxlan0", "-p", "udp", "--dport", "40404")

pytestmark = [pytest.mark.requires("vxlan.gbp"), pytest.mark.topology(bare())]

without_gbp = swap(gbp=None)

# The mark of a packet, and the first four bytes of the header it leaves with.
HEADERS = {
    "a-policy-id": (0x2A, "8800002a"),
    "the-largest-policy-id": (0xFFFF, "8800ffff"),
    "no-more-than-16-bits": (0x12345, "88002345"),
    "dont-learn-alone": (0x400000, "88400000"),
    "applied-alone": (0x080000, "88080000"),
    "both-and-an-id": (0x48002A, "8848002a"),
    "no-mark": (0, "08000000"),
    "a-mark-that-has-no-place-in-it": (0x10000, "88000000"),
}


def header(frame):
    return frame.data[42:46].hex()


def another_mark(operation):
    if not isinstance(operation, AddRule):
        return operation
    return AddRule("a", tuple(word.replace("0x1234", "0x77") for word in operation.words))


def counted(lab, mark):
    """A counter at b for marked datagrams that come in with this firewall mark."""
    lab.apply(AddRule("b", ("-A", *MARKED, "-m", "mark", "--mark", hex(mark), "-j", "ACCEPT")))
    lab.apply(AddRule("b", ("-A", *MARKED, "-j", "ACCEPT")))

    def counts():
        lines = lab["b"].run("iptables", "-L", "INPUT", "-vnx").stdout.splitlines()[2:4]
        return tuple(int(line.split()[0]) for line in lines)

    return counts


def frame_to_a(lab, data, source="02:00:00:00:00:91"):
    """A marked datagram to a's overlay address, as an Ethernet frame."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    ip = IP(src="172.18.1.9", dst="172.18.1.2") / UDP(sport=1, dport=40404)
    return Ether(src=source, dst=link_of(lab, "a").mac) / ip / (b"vxlab:" + data)


def opposite(lab):
    """a's device with gbp; the reference takes b's place."""
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, gbp=True))
    return ReferenceVtep(lab["b"], gbp=True)


@pytest.mark.behaviour("the mark of a packet is its policy id in the header", source=BUILD)
@pytest.mark.control("only other marks are sent", arguments={"mark": 7}, because="88000007")
@pytest.mark.parametrize(("mark", "wanted"), HEADERS.values(), ids=HEADERS)
def test_the_header_shows(lab, mark, wanted):
    pair(lab, gbp=True)
    with lab.capture("b:eth0", ports=PORTS) as seen:
        send_with_mark(lab["a"], "172.18.1.3", b"marked", mark)
        frame = seen["b:eth0"].wait_for(holds(b"marked"), "the datagram")
    assert header(frame) == wanted


@pytest.mark.behaviour("without gbp a mark stays at home", source=BUILD)
@pytest.mark.control("the devices have gbp", change=swap(gbp=True), because="8800002a")
def test_without_gbp_no_mark_leaves(lab):
    pair(lab)
    with lab.capture("b:eth0", ports=PORTS) as seen:
        send_with_mark(lab["a"], "172.18.1.3", b"marked", 0x2A)
        frame = seen["b:eth0"].wait_for(holds(b"marked"), "the datagram")
    assert header(frame) == "08000000"


@pytest.mark.behaviour("a mark by a rule of the firewall leaves as policy id", source=BUILD)
@pytest.mark.control("the rule gives another mark", change=another_mark)
@pytest.mark.parametrize("chain", ["OUTPUT", "POSTROUTING"])
def test_a_rule_gives_the_policy_id(lab, chain):
    pair(lab, gbp=True)
    words = ("-t", "mangle", "-A", chain, "-p", "udp", "--dport", "40404")
    lab.apply(AddRule("a", (*words, "-j", "MARK", "--set-mark", "0x1234")))
    with lab.capture("b:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.3", b"by a rule")
        frame = seen["b:eth0"].wait_for(holds(b"by a rule"), "the datagram")
    assert header(frame) == "88001234"


@pytest.mark.behaviour(
    "a received policy id is the packet's mark, which rules can use", source=PARSE
)
@pytest.mark.control("the devices have no gbp", change=without_gbp, because=r"\(0, 1\)")
@pytest.mark.parametrize("mark", [1, 0x2A, 0xFFFF, 0x400001, 0x080001, 0x48FFFF], ids=hex)
def test_a_rule_sees_the_received_mark(lab, mark):
    pair(lab, gbp=True)
    counts = counted(lab, mark)
    send_with_mark(lab["a"], "172.18.1.3", b"marked", mark)
    wait_until(lambda: any(counts()), "the datagram at b", found=lambda: str(counts()))
    assert counts() == (1, 0)


@pytest.mark.behaviour("a packet without G has no mark at the far end", source=PARSE)
@pytest.mark.control("it has a mark", arguments={"mark": 9}, because=r"\(0, 1\)")
@pytest.mark.parametrize("mark", [0])
def test_without_a_policy_there_is_no_mark(lab, mark):
    pair(lab, gbp=True)
    counts = counted(lab, 0)
    send_with_mark(lab["a"], "172.18.1.3", b"marked", mark)
    wait_until(lambda: any(counts()), "the datagram at b", found=lambda: str(counts()))
    assert counts() == (1, 0)


@pytest.mark.behaviour("a rule at the far end drops by policy", source=PARSE)
@pytest.mark.control("the devices have no gbp", change=without_gbp, because="is True")
def test_a_policy_may_be_dropped(lab):
    pair(lab, gbp=True)
    rule = ("-A", "INPUT", "-i", "vxlan0", "-m", "mark", "--mark", "0x2a", "-j", "DROP")
    lab.apply(AddRule("b", rule))
    assert lab["a"].ping("172.18.1.3")
    allowed, dropped = (
        lab["a"].run("ping", "-c", "1", "-W", wait, "-m", mark, "172.18.1.3", check=False)
        for mark, wait in (("41", "5"), ("42", "0.3"))
    )
    assert (bool(allowed), bool(dropped)) == (True, False), f"dropped is {bool(dropped)}"


@pytest.mark.behaviour(
    "a device without gbp drops what has a policy, as a frame error",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), reserved bits",
)
@pytest.mark.control("b's device has gbp", change=swap_at("b", gbp=True), because="policy")
@pytest.mark.requires("vxlan.reserved_bits")  # before it such packets were not counted
def test_a_device_without_gbp_drops_a_policy(lab):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, gbp=True))
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=A))
    with lab.capture("b:vxlan0", ports=PORTS) as seen:
        send_with_mark(lab["a"], "172.18.1.3", b"with a policy", 0x2A)
        send_with_mark(lab["a"], "172.18.1.3", b"without", 0)
        seen["b:vxlan0"].wait_for(holds(b"without"), "the datagram without a policy")
    seen["b:vxlan0"].assert_silent(holds(b"with a policy"), "datagram with a policy")
    (link,) = lab["b"].ip("-s", "-s", "link", "show", "vxlan0")
    rx = link["stats64"]["rx"]
    assert (rx["errors"], rx["frame_errors"]) == (1, 1)


@pytest.mark.behaviour(
    "a device with gbp and one without cannot share a port",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_find_sock(), VXLAN_F_RCV_FLAGS",
)
@pytest.mark.control("both have it", change=swap(gbp=True), because="DID NOT RAISE")
def test_with_and_without_gbp_cannot_share_a_port(lab):
    lab.apply(*device("a", id=42), *device("a", name="gbp", id=43, gbp=True, up=False))
    with pytest.raises(ApplyError) as refused:
        lab.apply(SetLink("a", "gbp", up=True))
    assert refused.value.errno == errno.EADDRINUSE
    assert udp_ports(lab, "a")[4] == [4789]


# Kernel and reference: each reads what the other has written.


@pytest.mark.behaviour("the reference reads the policy that the kernel writes", source=BUILD)
@pytest.mark.control("a's device has no gbp", change=without_gbp, because="None")
@pytest.mark.parametrize("mark", [1, 0x2A, 0xFFFF], ids=hex)
def test_the_reference_reads_the_policy(lab, mark):
    with opposite(lab) as far:
        send_with_mark(lab["a"], "172.18.1.3", b"to the reference", mark)
        row = far.wait_for(lambda row: row.payload.endswith(b"reference"), "the datagram")
    assert (row.policy, row.problem) == (mark, "")


@pytest.mark.behaviour("the kernel answers the reference, with and without a policy", source=PARSE)
@pytest.mark.control("a's device has VNI 43", change=swap(id=43), because="ping")
def test_the_kernel_and_the_reference_reach_each_other(lab):
    with opposite(lab) as far:
        assert lab["a"].ping("172.18.1.3", timeout=2)
        assert far.ping("172.18.1.2", timeout=2)
        assert not [row.problem for row in far.received if row.problem]


@pytest.mark.behaviour("the kernel learns from a frame that says not to learn (D)", source=PARSE)
@pytest.mark.control("a does not learn", change=swap(learning=False), because="02:00")
@pytest.mark.parametrize("reserved1", [7, 0x400007, 0x080007, 0x480007], ids=hex)
def test_the_kernel_learns_whatever_d_and_a_say(lab, reserved1):
    with opposite(lab) as far, lab.capture("a:vxlan0", ports=PORTS) as seen:
        far.send(frame_to_a(lab, b"learn me"), flags=0x88, reserved1=reserved1)
        seen["a:vxlan0"].wait_for_payload(b"learn me")
    assert "02:00:00:00:00:91" in {row.mac for row in lab["a"].state.fdb}
