"""Operations: plain data that prints as the line a person would have typed."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from typing import Any

import pytest

from vxlab import Netem, operations
from vxlab.errors import VxlabError
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddMdb,
    AddNamespace,
    AddNeighbour,
    AddNexthop,
    AddRoute,
    AddRule,
    AddVlan,
    AddVlanTunnel,
    AddVni,
    DelAddress,
    DelFdb,
    DelLink,
    DelMdb,
    DelNeighbour,
    DelNexthop,
    DelRoute,
    DelVlan,
    DelVlanTunnel,
    DelVni,
    FlushFdb,
    FlushMdb,
    HostOnLink,
    Members,
    MoveLink,
    Operation,
    Peer,
    RouteHop,
    RunProgram,
    SetBridge,
    SetLink,
    SetPort,
    SetSysctl,
    SetVxlan,
    StartDaemon,
    StopDaemon,
    impair,
    sysctl_path,
)

MAC = "02:00:00:00:00:01"
LINES: list[tuple[Operation, str]] = [
    (AddNamespace("h1"), "ip netns add h1"),
    (
        SetSysctl("h1", "net.ipv4.ip_forward", "1"),
        "ip netns exec h1 sysctl -w net.ipv4.ip_forward=1",
    ),
    (AddLink("h1", "br0", "bridge", 2), "ip -n h1 link add dev br0 index 2 type bridge"),
    (
        AddLink("h1", "br0", "bridge", 2, (("stp_state", 0), ("forward_delay", 0)), up=True),
        "ip -n h1 link add dev br0 index 2 type bridge stp_state 0 forward_delay 0; "
        "ip -n h1 link set dev br0 up",
    ),
    (
        AddLink("s", "h1", "veth", 3, master="switch", peer=Peer("h1", "eth0", 2), mtu=9000),
        "ip -n s link add dev h1 index 3 mtu 9000 type veth peer name eth0 index 2 netns h1; "
        "ip -n s link set dev h1 master switch",
    ),
    (
        AddLink(
            "h1",
            "vxlan0",
            "vxlan",
            4,
            (("id", 42), ("learning", False), ("ttl_inherit", True), ("srcport", (1, 2))),
            master="br0",
            mac=MAC,
            up=True,
        ),
        f"ip -n h1 link add dev vxlan0 index 4 address {MAC} type vxlan id 42 nolearning "
        "ttl inherit srcport 1 2; ip -n h1 link set dev vxlan0 master br0 up",
    ),
    (
        AddLink("h1", "vrf0", "vrf", 5, (("table", 10),)),
        "ip -n h1 link add dev vrf0 index 5 type vrf table 10",
    ),
    (SetLink("h1", "eth0", up=True), "ip -n h1 link set dev eth0 up"),
    (SetLink("h1", "eth0", up=False), "ip -n h1 link set dev eth0 down"),
    (
        SetLink("h1", "eth0", master="br0", mtu=1400, mac=MAC),
        f"ip -n h1 link set dev eth0 master br0 mtu 1400 address {MAC}",
    ),
    (SetLink("h1", "eth0", master=""), "ip -n h1 link set dev eth0 nomaster"),
    (
        SetVxlan("h1", "vxlan0", (("ttl", 5), ("localbypass", False))),
        "ip -n h1 link set dev vxlan0 type vxlan ttl 5 nolocalbypass",
    ),
    (DelLink("h1", "eth0"), "ip -n h1 link del dev eth0"),
    (AddAddress("h1", "eth0", "10.0.0.1/24"), "ip -n h1 address add 10.0.0.1/24 dev eth0"),
    (AddRoute("h1", "default", via="10.0.0.9"), "ip -n h1 route add default via 10.0.0.9"),
    (
        AddRoute("h1", "10.1.0.0/16", interface="eth0", table=10),
        "ip -n h1 route add 10.1.0.0/16 dev eth0 table 10",
    ),
    (
        AddRoute("h1", "10.2.0.0/16", "10.0.0.9", "eth0", metric=5, onlink=True, mtu=1400),
        "ip -n h1 route add 10.2.0.0/16 via 10.0.0.9 dev eth0 onlink metric 5 mtu 1400",
    ),
    (
        AddRoute(
            "h1",
            "10.3.0.0/16",
            source="10.0.0.1",
            hops=(RouteHop(via="10.0.0.9"), RouteHop(via="10.0.1.9", interface="eth1", weight=3)),
        ),
        "ip -n h1 route add 10.3.0.0/16 src 10.0.0.1 nexthop via 10.0.0.9 "
        "nexthop via 10.0.1.9 dev eth1 weight 3",
    ),
    (
        AddRoute("h1", "10.4.0.0/16", type="blackhole", replace=True),
        "ip -n h1 route replace blackhole 10.4.0.0/16",
    ),
    (AddRoute("h1", "10.5.0.0/16", nhid=7), "ip -n h1 route add 10.5.0.0/16 nhid 7"),
    (DelRoute("h1", "default", "10.0.0.9"), "ip -n h1 route del default via 10.0.0.9"),
    (
        AddLink("h1", "eth0.7", "vlan", 9, (("protocol", "802.1ad"), ("id", 7)), link="eth0"),
        "ip -n h1 link add link eth0 dev eth0.7 index 9 type vlan protocol 802.1ad id 7",
    ),
    (
        SetBridge("h1", "br0", (("vlan_filtering", True), ("vlan_protocol", "802.1ad"))),
        "ip -n h1 link set dev br0 type bridge vlan_filtering 1 vlan_protocol 802.1ad",
    ),
    (
        SetPort("h1", "c1", (("backup_port", "vx0"), ("backup_nhid", 10), ("isolated", True))),
        "bridge -n h1 link set dev c1 backup_port vx0 backup_nhid 10 isolated on",
    ),
    (SetPort("h1", "c1", (("backup_port", ""),)), "bridge -n h1 link set dev c1 nobackup_port"),
    (
        AddVlan("h1", "c1", 10, pvid=True, untagged=True),
        "bridge -n h1 vlan add dev c1 vid 10 pvid untagged",
    ),
    (
        AddVlan("h1", "br0", 10, last=20, itself=True),
        "bridge -n h1 vlan add dev br0 vid 10-20 self",
    ),
    (DelVlan("h1", "c1", 10, last=20), "bridge -n h1 vlan del dev c1 vid 10-20"),
    (
        AddVlanTunnel("h1", "vx0", 10, 1010, last=20),
        "bridge -n h1 vlan add dev vx0 vid 10-20 tunnel_info id 1010-1020",
    ),
    (
        DelVlanTunnel("h1", "vx0", 10, 1010),
        "bridge -n h1 vlan del dev vx0 vid 10 tunnel_info id 1010",
    ),
    (
        RunProgram("h1", ("nft", "-f", "-"), "table ip a {}"),
        "ip netns exec h1 nft -f - <<<'table ip a {}'",
    ),
    (
        impair("h1", "eth0", Netem(delay=10, loss=0.5)),
        "ip netns exec h1 tc qdisc replace dev eth0 root netem delay 10ms loss 0.5%",
    ),
    (
        impair("h1", "eth0", Netem(rate=1_000_000)),
        "ip netns exec h1 tc qdisc replace dev eth0 root tbf rate 1000000bit burst 16000 "
        "latency 200ms",
    ),
    (impair("h1", "eth0", None), "ip netns exec h1 tc qdisc del dev eth0 root"),
    (
        AddFdb("h1", "vxlan0", MAC, "10.0.0.2"),
        f"bridge -n h1 fdb add {MAC} dev vxlan0 dst 10.0.0.2 self permanent",
    ),
    (
        AddFdb("h1", "vxlan0", MAC, "10.0.0.2", append=True, port=5, vni=0),
        f"bridge -n h1 fdb append {MAC} dev vxlan0 dst 10.0.0.2 port 5 vni 0 self permanent",
    ),
    (
        DelFdb("h1", "vxlan0", MAC, "10.0.0.2"),
        f"bridge -n h1 fdb del {MAC} dev vxlan0 dst 10.0.0.2 self",
    ),
    (
        AddNeighbour("h1", "eth0", "10.0.0.2", MAC),
        f"ip -n h1 neigh add 10.0.0.2 lladdr {MAC} dev eth0 nud permanent",
    ),
    (
        AddFdb("h1", "vxlan0", MAC, nhid=4, state="static", flags=("self", "use"), replace=True),
        f"bridge -n h1 fdb replace {MAC} dev vxlan0 nhid 4 self use static",
    ),
    (
        AddFdb("h1", "vxlan0", MAC, "10.0.0.2", src_vni=6, via="eth0", vlan=3),
        f"bridge -n h1 fdb add {MAC} dev vxlan0 dst 10.0.0.2 vlan 3 via eth0 src_vni 6 "
        "self permanent",
    ),
    (
        FlushFdb("h1", "vxlan0", dst="10.0.0.2", states=("permanent",), no_flags=("router",)),
        "bridge -n h1 fdb flush dev vxlan0 dst 10.0.0.2 permanent norouter self",
    ),
    (AddVni("h1", "vx", 5), "bridge -n h1 vni add dev vx vni 5"),
    (
        AddVni("h1", "vx", 5, 9, group="239.1.1.1"),
        "bridge -n h1 vni add dev vx vni 5-9 group 239.1.1.1",
    ),
    (
        DelVni("h1", "vx", 5, remote="10.0.0.2"),
        "bridge -n h1 vni delete dev vx vni 5 remote 10.0.0.2",
    ),
    (
        AddMdb(
            "h1", "vx", "239.1.1.1", "10.0.0.2", filter_mode="exclude", source_list=("1.1.1.1",)
        ),
        "bridge -n h1 mdb add dev vx port vx grp 239.1.1.1 permanent filter_mode exclude "
        "dst 10.0.0.2 source_list 1.1.1.1",
    ),
    (
        DelMdb("h1", "vx", "239.1.1.1", "10.0.0.2", source="1.1.1.1", port=7),
        "bridge -n h1 mdb del dev vx port vx grp 239.1.1.1 permanent src 1.1.1.1 dst 10.0.0.2 "
        "dst_port 7",
    ),
    (
        AddMdb("h1", "br", "01:02:03:04:05:06", port_name="vx", vlan=10, protocol=186),
        "bridge -n h1 mdb add dev br port vx grp 01:02:03:04:05:06 permanent vid 10 proto 186",
    ),
    (
        FlushMdb("h1", "vx", "10.0.0.2", 7, vni=8, src_vni=9, protocol=4, state="permanent"),
        "bridge -n h1 mdb flush dev vx proto 4 dst 10.0.0.2 dst_port 7 vni 8 src_vni 9 permanent",
    ),
    (
        FlushMdb("h1", "br", port_name="vx", vlan=10),
        "bridge -n h1 mdb flush dev br port vx vid 10",
    ),
    (
        AddNeighbour("h1", "eth0", "10.0.0.2", MAC, "stale", ("router", "managed"), replace=True),
        f"ip -n h1 neigh replace 10.0.0.2 lladdr {MAC} dev eth0 nud stale router managed",
    ),
    (
        AddNeighbour("h1", "eth0", "10.0.0.2", proxy=True),
        "ip -n h1 neigh add proxy 10.0.0.2 dev eth0",
    ),
    (DelNeighbour("h1", "eth0", "10.0.0.2"), "ip -n h1 neigh del 10.0.0.2 dev eth0"),
    (AddNexthop("h1", 1, via="10.0.0.2"), "ip -n h1 nexthop add id 1 via 10.0.0.2 fdb"),
    (
        AddNexthop("h1", 9, group=(1, (2, 5)), replace=True),
        "ip -n h1 nexthop replace id 9 group 1/2,5 fdb",
    ),
    (DelNexthop("h1", 1), "ip -n h1 nexthop del id 1"),
    (
        SetPort("h1", "vx", (("neigh_suppress", True), ("learning", False))),
        "bridge -n h1 link set dev vx neigh_suppress on learning off",
    ),
    (MoveLink("h1", "vx", "h2"), "ip -n h1 link set dev vx netns h2"),
    (DelAddress("h1", "eth0", "10.0.0.1/24"), "ip -n h1 address del 10.0.0.1/24 dev eth0"),
    (AddRule("h1", ("-A", "INPUT")), "ip netns exec h1 iptables -A INPUT"),
    (AddRule("h1", ("-A", "INPUT"), 6), "ip netns exec h1 ip6tables -A INPUT"),
    (
        StartDaemon("r", "pimd", ("eth0", "eth1"), (Members("239.1.1.1", ("eth0",)),)),
        "ip netns exec r pimd  # on eth0 eth1 for 239.1.1.1",
    ),
    (
        StartDaemon("r", "smcroute", ("eth0",), hosts=(HostOnLink("h", "10.0.0.2", "10.0.0.1"),)),
        "ip netns exec r smcroute  # on eth0 for no groups",
    ),
    (StopDaemon("r", "pimd"), "ip netns exec r kill $(pimd)"),
]


@pytest.mark.parametrize(("operation", "line"), LINES)
def test_an_operation_prints_as_its_command(operation: Operation, line: str) -> None:
    assert str(operation) == line
    assert shlex.split(line)  # a shell could read it


def test_every_kind_of_operation_is_printed_above() -> None:
    kinds = {
        each
        for _, each in inspect.getmembers(operations, inspect.isclass)
        if issubclass(each, Operation) and each is not Operation
    }
    assert {type(operation) for operation, _ in LINES} == kinds


@pytest.mark.parametrize("operation", [operation for operation, _ in LINES])
def test_an_operation_is_plain_frozen_data(operation: Operation) -> None:
    twin = dataclasses.replace(operation)
    assert twin == operation
    assert hash(twin) == hash(operation)
    assert dataclasses.replace(operation, node="elsewhere") != operation
    with pytest.raises(dataclasses.FrozenInstanceError):
        operation.node = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net.ipv6.conf.eth0/10.mtu", "/proc/sys/net/ipv6/conf/eth0.10/mtu"),
    ],
)
def test_a_setting_is_a_file_below_proc_sys(key: str, path: str) -> None:
    assert sysctl_path(key) == path


@pytest.mark.parametrize(
    "key", ["kernel.hostname", "", "net", "network.x", "net.//.kernel.hostname", "/etc/passwd"]
)
def test_settings_of_the_machine_are_refused(key: Any) -> None:
    with pytest.raises(VxlabError, match=r"wanted a setting below net\., .* found "):
        sysctl_path(key)
