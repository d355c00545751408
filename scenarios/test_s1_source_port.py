"""1.2 The UDP source port: one for each inner flow, so that flows spread over paths.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

The kernel hashes the inner frame with a random key, new at each boot: it cannot be foretold which
port a flow gets, only which flows share a port.
"""

from __future__ import annotations

import pytest
from far_end import INNER_DESTINATION, INNER_SOURCE
from outer_tools import SENDER, ethernet_frame, ip_frame, one_tunnel, outer_packets, unique_bytes

from vxlab import ApplyError, operations

CHOICE = "include/net/udp.h: udp_flow_src_port()"
HASH = "net/core/flow_dissector.c: __skb_get_hash()"
FLOWS = 64  # so many that each of four ports gets one, but for a chance of 4e-8

both_families = pytest.mark.topology(one_tunnel, family=[4, 6])


def with_srcport_20000(family):
    return one_tunnel(family).with_vtep("a", "overlay", srcport=(20000, 20001))


def in_order(operation):
    """The device with a range of source ports that is valid."""
    if getattr(operation, "name", "") != "vx":
        return operation
    return operations.AddLink("a", "vx", "vxlan", 0, (("id", 9), ("srcport", (10000, 10001))))


def source_ports(lab, frames):
    """The UDP source ports of the outer packets of frames that a sends."""
    return [outer.source_port for outer in outer_packets(lab, frames)]


def flows(far, version=4, count=FLOWS):
    """One frame of each of so many flows, which differ in the inner source port."""
    return [ip_frame(far, version, ports=(5000 + number, 53)) for number in range(count)]


@pytest.mark.behaviour(
    "all packets of one inner flow have the same outer UDP source port, whatever their "
    "size, TTL and DSCP",
    source=f"RFC 7348, section 5: Source Port; {CHOICE}",
)
@pytest.mark.control(
    "the packets are of eight flows in place of one",
    arguments={"flow_count": 8},
    because=r"the packets have different source ports\nassert [2-8] == 1",
)
@both_families
@pytest.mark.parametrize("flow_count", [1], ids=["one_flow"])
def test_one_flow_has_one_source_port(lab, far, flow_count):
    for version in (4, 6):
        frames = [
            ip_frame(
                far, version, ttl=9 + n, tos=4 * n, more=bytes(n), ports=(7 + n % flow_count, 53)
            )
            for n in range(8)
        ]
        ports = set(source_ports(lab, frames))
        assert len(ports) == 1, "the packets have different source ports"
        far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "inner flows that differ only in an inner port spread over many outer UDP source ports",
    source=f"RFC 7348, section 5: Source Port; {HASH}",
)
@pytest.mark.control(
    "VTEP a has `srcport 10000 10001`",
    vteps={"a": {"srcport": (10000, 10001)}},
    because=r"the flows share source ports\nassert [12] > ",
)
@both_families
def test_flows_spread_over_source_ports(lab, far):
    for version in (4, 6):
        frames = flows(far, version)
        ports = set(source_ports(lab, frames))
        assert len(ports) > FLOWS // 2, "the flows share source ports"
        far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "without `srcport` the outer UDP source port is from the `ip_local_port_range` of the "
    "network namespace",
    source=f"{CHOICE}; Documentation/networking/ip-sysctl.rst: ip_local_port_range",
)
@pytest.mark.control(
    "VTEP a has `srcport 10000 10001`",
    vteps={"a": {"srcport": (10000, 10001)}},
    because=r"source ports outside of ip_local_port_range\nassert not \{1000",
)
@both_families
def test_the_source_port_is_from_the_local_port_range(lab, far):
    low, high = map(int, lab["a"].sysctl("net.ipv4.ip_local_port_range").split())
    assert (low, high) == (32768, 60999)
    ports = source_ports(lab, flows(far))
    outside = {port for port in ports if not low <= port < high}
    assert not outside, "source ports outside of ip_local_port_range"


@pytest.mark.behaviour(
    "the outer UDP source port follows a change of `ip_local_port_range`, the upper end of "
    "which is not used",
    source=CHOICE,
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control(
    "`ip_local_port_range` keeps its default of 32768 60999",
    without=operations.SetSysctl,
    because=r"not the ports of the new range\nassert \{[345]\d{4}",
)
@both_families
def test_the_source_port_follows_the_local_port_range(lab, far):
    lab.apply(operations.SetSysctl("a", "net.ipv4.ip_local_port_range", "20000 20004"))
    ports = set(source_ports(lab, flows(far)))
    assert ports == {20000, 20001, 20002, 20003}, "not the ports of the new range"


@pytest.mark.behaviour(
    "with `srcport 10000 10001` the outer UDP source port is always 10000: the upper end of "
    "the range is not used",
    source=CHOICE,
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control(
    "VTEP a has `srcport 10000 10004`",
    vteps={"a": {"srcport": (10000, 10004)}},
    because=r"10003\} == \{10000\}",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], srcport=(10000, 10001))
def test_of_a_range_of_two_ports_only_the_first_is_used(lab, far):
    ports = source_ports(lab, frames := flows(far))
    assert set(ports) == {10000}
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `srcport LOW HIGH` inner flows spread over all outer UDP source ports of the "
    "range except HIGH, and over no other port",
    source=CHOICE,
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control(
    "VTEP a has `srcport 10000 10005`",
    vteps={"a": {"srcport": (10000, 10005)}},
    because=r"Extra items in the left set:\s+10004",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], srcport=(10000, 10004))
def test_all_ports_of_the_range_but_the_last_are_used(lab, far):
    ports = source_ports(lab, frames := flows(far))
    assert set(ports) == {10000, 10001, 10002, 10003}
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "with `srcport N N`, an empty range, the outer UDP source port is from "
    "`ip_local_port_range`, as without `srcport`",
    source=CHOICE,
)
@pytest.mark.control(
    "VTEP a has `srcport 10000 10001`",
    vteps={"a": {"srcport": (10000, 10001)}},
    because=r"source ports outside of ip_local_port_range\nassert not \{1000",
)
@pytest.mark.topology(one_tunnel, family=[4, 6], srcport=(10000, 10000))
def test_an_empty_range_is_the_local_port_range(lab, far):
    ports = source_ports(lab, frames := flows(far))
    outside = {port for port in ports if not 32768 <= port < 60999}
    assert not outside, "source ports outside of ip_local_port_range"
    assert len(set(ports)) > FLOWS // 2, "the flows share source ports"
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "a `srcport` range whose upper end is below its lower end is refused",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_validate()",
)
@pytest.mark.control(
    "the device is created with the valid `srcport 10000 10001`",
    change=in_order,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.topology(one_tunnel())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_reversed_range_is_refused(lab, by):
    attributes = (("id", 9), ("dstport", 9999), ("srcport", (10001, 10000)))
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.AddLink("a", "vx", "vxlan", 0, attributes), by=by)
    assert "Invalid source port range" in str(refused.value)  # ip passes the kernel's words on


@pytest.mark.behaviour(
    "each VTEP chooses its outer UDP source ports by itself, and accepts packets from any "
    "source port",
    source="RFC 7348, section 5: Source Port; drivers/net/vxlan/vxlan_core.c: vxlan_rcv()",
)
@pytest.mark.known_difference("K52", since="7.2")
@pytest.mark.control(
    "VTEP a has `srcport 10000 10001`",
    vteps={"a": {"srcport": (10000, 10001)}},
    because=r"\{1000.*\} == \{20000\}",
)
@pytest.mark.topology(with_srcport_20000, family=[4, 6])
def test_each_vtep_chooses_its_own_source_ports(lab, far):
    with lab.capture("b:eth0") as seen:
        assert lab["a"].ping(far.address), "b does not answer"
        assert far.ping("172.18.1.2"), "a does not answer"
    a, b = (host.nics[0].ip for host in lab.topology.hosts)
    ports = {a: set(), b: set()}
    for tunnel in seen["b:eth0"].encapsulated():
        ports[tunnel.outer_src].add(tunnel.source_port)
    assert ports[a] == {20000}
    assert ports[b], "b sent no outer packet"
    assert 20000 not in ports[b]


@pytest.mark.behaviour(
    "all fragments of an inner packet have the same outer UDP source port, which does not "
    "depend on the inner ports",
    source=f"{HASH}; __skb_flow_dissect(), FLOW_DIS_IS_FRAGMENT",
)
@pytest.mark.control(
    "the fragments are of packets from eight hosts in place of one",
    arguments={"hosts": 8},
    because=r"the fragments have different source ports\nassert [2-8] == 1",
)
@both_families
@pytest.mark.parametrize("hosts", [1], ids=["one_host"])
def test_fragments_of_an_inner_packet_have_one_source_port(lab, far, hosts):
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.l2 import Ether

    frames = []
    for number in range(8):
        ip = IP(src=f"198.51.100.{10 + number % hosts}", dst=INNER_DESTINATION, id=number)
        whole = ip / UDP(sport=number, dport=53) / (unique_bytes() + bytes(1500))
        frames += [bytes(Ether(src=SENDER, dst=far.mac) / part) for part in fragment(whole, 800)]
    ports = set(source_ports(lab, frames))
    assert len(ports) == 1, "the fragments have different source ports"
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "inner frames of one ethertype that is not IP all have the same outer UDP source port, "
    "whatever their destination MAC is",
    source=HASH,
)
@pytest.mark.control(
    "the frames are of 16 ethertypes in place of one",
    arguments={"ethertypes": 16},
    because=r"the frames have different source ports\nassert \d+ == 1\n",
)
@both_families
@pytest.mark.parametrize("ethertypes", [1], ids=["one_ethertype"])
def test_frames_that_are_not_ip_share_a_source_port(lab, far, ethertypes):
    frames = [
        ethernet_frame(far, 0x88B5 + n % ethertypes, unique_bytes(), to=f"02:00:00:00:01:{n:02x}")
        for n in range(16)
    ]
    ports = set(source_ports(lab, frames))
    assert len(ports) == 1, "the frames have different source ports"
    far.wait_for(frames[-1])


@pytest.mark.behaviour(
    "for inner IPv6 packets with a flow label the outer UDP source port depends on that "
    "label, and not on the inner ports",
    source=f"{HASH}: FLOW_DISSECTOR_F_STOP_AT_FLOW_LABEL",
)
@pytest.mark.control(
    "the inner packets have the flow label 0",
    arguments={"label": 0},
    because=r"packets with one flow label have different source ports\nassert \d+ == 1\n",
)
@both_families
@pytest.mark.parametrize("label", [0x12345], ids=["labelled"])
def test_an_inner_flow_label_decides_about_the_source_port(lab, far, label):
    of_one = [ip_frame(far, 6, label=label, ports=(n, 53)) for n in range(16)]
    of_many = [ip_frame(far, 6, label=label + n, ports=(1, 53)) for n in range(16)]
    ports_of_one, ports_of_many = (set(source_ports(lab, x)) for x in (of_one, of_many))
    assert len(ports_of_one) == 1, "packets with one flow label have different source ports"
    assert len(ports_of_many) > 8, "packets with different flow labels share source ports"
    far.wait_for(of_many[-1])


# The flow dissector takes the start of a tagged frame's IP header for a VLAN tag, and the total
# length in that header for the ethertype. The scenario shows what the kernel does, not what it
# should do: RFC 7348 wants one source port for each flow.


@pytest.mark.behaviour(
    "for inner IPv4 packets behind a VLAN tag the outer UDP source port depends only on the "
    "length of the packet",
    source=f"{HASH}; net/core/flow_dissector.c: __skb_flow_dissect(), ETH_P_8021Q",
)
@pytest.mark.control(
    "the inner frames have no VLAN tag",
    arguments={"tagged": False},
    because=r"frames of one length have different source ports\nassert \d+ == 1\n",
)
@both_families
@pytest.mark.parametrize("tagged", [True], ids=["tagged"])
def test_the_source_port_of_a_tagged_frame_depends_on_its_length_alone(lab, far, tagged):
    of_one_size = [udp_frame(far, 100 + n, n, 20, tagged) for n in range(8)]
    of_many_sizes = [udp_frame(far, 100, 1, 100 * n, tagged) for n in range(8)]
    ports = set(source_ports(lab, of_one_size))  # of several flows
    assert len(ports) == 1, "frames of one length have different source ports"
    ports = set(source_ports(lab, of_many_sizes))  # of one flow
    assert len(ports) > 4, "frames of different lengths share source ports"
    far.wait_for(of_many_sizes[-1])


def udp_frame(far, vlan, port, size, tagged):
    """A frame with a UDP packet, with that VLAN tag or with none."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Dot1Q, Ether

    ip = (
        IP(src=INNER_SOURCE, dst=INNER_DESTINATION)
        / UDP(sport=port, dport=53)
        / (unique_bytes() + bytes(size))
    )
    ether = Ether(src=SENDER, dst=far.mac)
    return bytes(ether / Dot1Q(vlan=vlan) / ip if tagged else ether / ip)
