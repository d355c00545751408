"""1.2 The source port: one flow keeps to one path, and many flows spread.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

The kernel hashes the inner frame with a key of its own, new at each start of the machine: which
port a flow gets cannot be said, only which flows share one.
"""

from __future__ import annotations

import pytest
from far_end import HERE, THERE
from outer_tools import SENDER, inner_bytes, inner_ip, made, see_all, unique

from vxlab import ApplyError, operations

CHOICE = "include/net/udp.h: udp_flow_src_port()"
HASH = "net/core/flow_dissector.c: __skb_get_hash()"
FLOWS = 64  # of these each of four ports gets one but for a chance of 4e-8

both_ends = pytest.mark.topology(made, family=[4, 6])
always_10000 = {"vteps": {"a": {"srcport": (10000, 10001)}}}


def ports_of(lab, frames):
    return [outer.source_port for outer in see_all(lab, frames)]


def flows(far, version=4, count=FLOWS):
    """One frame of each of so many flows."""
    return [inner_ip(far, version, ports=(5000 + number, 53)) for number in range(count)]


@pytest.mark.behaviour(
    "the source port is the same for all packets of one flow, whatever their size, TTL and DSCP",
    source=f"RFC 7348, section 5: Source Port; {CHOICE}",
)
@pytest.mark.control(
    "the packets are of several flows", arguments={"step": 1}, because="assert [0-9]+ == 1"
)
@both_ends
@pytest.mark.parametrize("step", [0], ids=["one_flow"])
def test_the_source_port_is_the_same_for_one_flow(lab, far, step):
    for version in (4, 6):
        frames = [
            inner_ip(far, version, ttl=9 + n, tos=4 * n, more=bytes(n), ports=(7 + n * step, 53))
            for n in range(8)
        ]
        ports = ports_of(lab, frames)
        assert len(set(ports)) == 1
        far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "flows that differ in an inner port alone spread over source ports",
    source=f"RFC 7348, section 5: Source Port; {HASH}",
)
@pytest.mark.control("a's device has one source port", **always_10000)
@both_ends
def test_flows_spread_over_source_ports(lab, far):
    for version in (4, 6):
        frames = flows(far, version)
        assert len(set(ports_of(lab, frames))) > FLOWS // 2
        far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "without srcport the source port is from the namespace's ip_local_port_range",
    source=f"{CHOICE}; Documentation/networking/ip-sysctl.rst: ip_local_port_range",
)
@pytest.mark.control("a's device has srcport 10000 10001", **always_10000)
@both_ends
def test_the_source_port_is_from_the_local_port_range(lab, far):
    low, high = map(int, lab["a"].sysctl("net.ipv4.ip_local_port_range").split())
    assert (low, high) == (32768, 60999)
    ports = ports_of(lab, flows(far))
    assert all(low <= port < high for port in ports)


@pytest.mark.behaviour(
    "the source port follows ip_local_port_range when that changes; its upper end is left out",
    source=CHOICE,
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control("the range stays as it is", without=operations.SetSysctl)
@both_ends
def test_the_source_port_follows_the_local_port_range(lab, far):
    lab.apply(operations.SetSysctl("a", "net.ipv4.ip_local_port_range", "20000 20004"))
    assert set(ports_of(lab, flows(far))) == {20000, 20001, 20002, 20003}


@pytest.mark.behaviour(
    "srcport 10000 10001 is always 10000: the upper end of the range is left out", source=CHOICE
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control("srcport goes to 10004", vteps={"a": {"srcport": (10000, 10004)}})
@pytest.mark.topology(made, family=[4, 6], srcport=(10000, 10001))
def test_a_range_of_two_ports_is_always_the_first(lab, far):
    ports = ports_of(lab, frames := flows(far))
    assert set(ports) == {10000}
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "each port of srcport but the last gets flows, and no other port", source=CHOICE
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control("srcport goes to 10005", vteps={"a": {"srcport": (10000, 10005)}})
@pytest.mark.topology(made, family=[4, 6], srcport=(10000, 10004))
def test_all_ports_of_the_range_but_the_last_are_used(lab, far):
    ports = ports_of(lab, frames := flows(far))
    assert set(ports) == {10000, 10001, 10002, 10003}
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "an empty range, srcport N N, is none at all: ip_local_port_range counts", source=CHOICE
)
@pytest.mark.control("srcport is 10000 10001", **always_10000)
@pytest.mark.topology(made, family=[4, 6], srcport=(10000, 10000))
def test_an_empty_range_is_the_local_port_range(lab, far):
    ports = ports_of(lab, frames := flows(far))
    assert all(32768 <= port < 60999 for port in ports)
    assert len(set(ports)) > FLOWS // 2
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "a source port range that ends before it begins is refused",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_validate()",
)
@pytest.mark.control("the range is the other way round", change=lambda op: in_order(op))
@pytest.mark.topology(made())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_range_the_wrong_way_round_is_refused(lab, by):
    attributes = (("id", 9), ("dstport", 9999), ("srcport", (10001, 10000)))
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.AddLink("a", "vx", "vxlan", 0, attributes), by=by)
    assert "Invalid source port range" in str(refused.value)  # ip passes the kernel's words on


def in_order(operation):
    if getattr(operation, "name", "") != "vx":
        return operation
    return operations.AddLink("a", "vx", "vxlan", 0, (("id", 9), ("srcport", (10000, 10001))))


@pytest.mark.behaviour(
    "each end picks its source ports by itself, and takes packets from any",
    source="RFC 7348, section 5: Source Port; drivers/net/vxlan/vxlan_core.c: vxlan_rcv()",
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control("a's device has another port", **always_10000)
@pytest.mark.topology(
    lambda family: made(family).with_vtep("a", "overlay", srcport=(20000, 20001)), family=[4, 6]
)
def test_both_directions_have_source_ports_of_their_own(lab, far):
    with lab.capture("b:eth0") as seen:
        assert lab["a"].ping(far.address)
        assert far.ping("172.18.1.2")
    a, b = (host.nics[0].ip for host in lab.topology.hosts)
    ports = {a: set(), b: set()}
    for tunnel in seen["b:eth0"].encapsulated():
        ports[tunnel.outer_src].add(tunnel.source_port)
    assert ports[a] == {20000}
    assert ports[b]
    assert 20000 not in ports[b]


@pytest.mark.behaviour(
    "all fragments of an inner packet take one source port: their hash leaves the ports out",
    source=f"{HASH}; __skb_flow_dissect(), FLOW_DIS_IS_FRAGMENT",
)
@pytest.mark.control("the fragments are of packets of several hosts", arguments={"hosts": 8})
@both_ends
@pytest.mark.parametrize("hosts", [1], ids=["one_host"])
def test_all_fragments_of_an_inner_packet_take_one_source_port(lab, far, hosts):
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.l2 import Ether

    frames = []
    for number in range(8):
        ip = IP(src=f"198.51.100.{10 + number % hosts}", dst=THERE, id=number)
        whole = ip / UDP(sport=number, dport=53) / (unique() + bytes(1500))
        frames += [bytes(Ether(src=SENDER, dst=far.mac) / part) for part in fragment(whole, 800)]
    assert len(set(ports_of(lab, frames))) == 1
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "frames that are not IP have one source port for each ethertype, whoever sends them",
    source=HASH,
)
@pytest.mark.control("the frames are of many ethertypes", arguments={"step": 1})
@both_ends
@pytest.mark.parametrize("step", [0], ids=["one_ethertype"])
def test_frames_that_are_not_ip_share_a_source_port(lab, far, step):
    frames = [
        inner_bytes(far, 0x88B5 + n * step, unique(), to=f"02:00:00:00:01:{n:02x}")
        for n in range(16)
    ]
    assert len(set(ports_of(lab, frames))) == 1
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "inner IPv6 packets with a flow label are told apart by it, and not by their ports",
    source=f"{HASH}: FLOW_DISSECTOR_F_STOP_AT_FLOW_LABEL",
)
@pytest.mark.control("the packets have no flow label", arguments={"label": 0})
@both_ends
@pytest.mark.parametrize("label", [0x12345], ids=["labelled"])
def test_inner_flow_labels_tell_flows_apart(lab, far, label):
    of_one = [inner_ip(far, 6, label=label, ports=(n, 53)) for n in range(16)]
    of_many = [inner_ip(far, 6, label=label + n, ports=(1, 53)) for n in range(16)]
    assert len(set(ports_of(lab, of_one))) == 1
    assert len(set(ports_of(lab, of_many))) > 8
    far.wait_for(of_many[-1])


# In front of a tagged frame's IP header the kernel takes the start of that header for a VLAN tag,
# and the total length in it for the ethertype. The scenario says what is, not what should be:
# RFC 7348 wants one port for one flow.


@pytest.mark.behaviour(
    "the source port of a VLAN-tagged frame depends on its inner IP packet's length alone",
    source=f"{HASH}; net/core/flow_dissector.c: __skb_flow_dissect(), ETH_P_8021Q",
)
@pytest.mark.control("the frames have no tag", arguments={"tagged": False})
@both_ends
@pytest.mark.parametrize("tagged", [True], ids=["tagged"])
def test_the_source_port_of_a_tagged_frame_depends_on_its_length_alone(lab, far, tagged):
    flows = [labelled(far, 100 + n, n, 20, tagged) for n in range(8)]
    sizes = [labelled(far, 100, 1, 100 * n, tagged) for n in range(8)]
    assert len(set(ports_of(lab, flows))) == 1  # whatever their VLANs and ports
    assert len(set(ports_of(lab, sizes))) > 4  # although it is one flow
    far.wait_for(sizes[-1])


def labelled(far, vlan, port, size, tagged):
    """A UDP packet in a VLAN, or in none."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Dot1Q, Ether

    ip = IP(src=HERE, dst=THERE) / UDP(sport=port, dport=53) / (unique() + bytes(size))
    ether = Ether(src=SENDER, dst=far.mac)
    return bytes(ether / Dot1Q(vlan=vlan) / ip if tagged else ether / ip)
