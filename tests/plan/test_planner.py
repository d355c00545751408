"""What a plan holds: the devices, addresses, routes and services of a topology."""

from __future__ import annotations

from typing import Any

import pytest
from lab_tools import describe, two_hosts, with_containers

from vxlab import catalog
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.filters import drop_udp
from vxlab.describe.topology import Topology
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddRoute,
    AddRule,
    HostOnLink,
    Members,
    SetLink,
    SetSysctl,
    StartDaemon,
)
from vxlab.plan.planner import ANY_MAC, SWITCH_BRIDGE, make_plan


def of(kind: type[Any], topology: Topology, node: str | None = None) -> list[Any]:
    """The operations of one kind, of one node or all."""
    plan = make_plan(topology)
    return [each for each in plan if isinstance(each, kind) and node in (None, each.node)]


def without_settings(topology: Topology) -> list[str]:
    return [str(each) for each in make_plan(topology) if not isinstance(each, SetSysctl)]


def test_the_plan_of_two_hosts_is_these_lines() -> None:
    assert without_settings(two_hosts()) == [
        "ip netns add lan",
        "ip netns add h1",
        "ip netns add h2",
        "ip -n lan link add dev switch index 2 address 02:76:78:00:00:01 type bridge stp_state 0 "
        "forward_delay 0 mcast_snooping 0; ip -n lan link set dev switch up",
        "ip -n lan link add dev h1 index 3 address 02:76:78:00:00:03 type veth "
        "peer name eth0 index 2 address 02:76:78:00:00:02 netns h1; "
        "ip -n lan link set dev h1 master switch up",
        "ip -n lan link add dev h2 index 4 address 02:76:78:00:00:05 type veth "
        "peer name eth0 index 2 address 02:76:78:00:00:04 netns h2; "
        "ip -n lan link set dev h2 master switch up",
        "ip -n h1 link set dev eth0 up",
        "ip -n h1 address add 10.0.0.1/24 dev eth0",
        "ip -n h1 link add dev vxlan0 index 3 address 02:76:78:00:00:06 type vxlan id 42 "
        "remote 10.0.0.2 local 10.0.0.1 dev eth0 dstport 8472",
        "ip -n h1 link set dev vxlan0 up",
        "ip -n h1 address add 172.16.0.1/24 dev vxlan0",
        "ip -n h2 link set dev eth0 up",
        "ip -n h2 address add 10.0.0.2/24 dev eth0",
        "ip -n h2 link add dev vxlan0 index 3 address 02:76:78:00:00:07 type vxlan id 42 "
        "remote 10.0.0.1 local 10.0.0.2 dev eth0 dstport 8472",
        "ip -n h2 link set dev vxlan0 up",
        "ip -n h2 address add 172.16.0.2/24 dev vxlan0",
    ]


def test_every_device_has_a_mac_of_its_own_the_same_each_time() -> None:
    plan = make_plan(catalog.bridged(hosts=3, containers=2))
    links = [each for each in plan if isinstance(each, AddLink)]
    macs = [end.mac for each in links for end in (each, each.peer) if end]
    assert len(macs) == len(set(macs)) > 20
    assert all(mac and mac.startswith("02:76:78:") for mac in macs)
    assert make_plan(catalog.bridged(hosts=3, containers=2)) == plan


def test_every_node_gets_settings_that_do_not_depend_on_the_machine() -> None:
    topology = catalog.kim_and_lee()
    for node in topology.nodes:
        settings = {each.key: each.value for each in of(SetSysctl, topology, node)}
        assert settings["net.ipv4.conf.all.rp_filter"] == "0"
        assert settings["net.ipv4.ip_forward"] == ("1" if node == "router" else "0")
        assert settings["net.ipv6.conf.default.disable_ipv6"] == "1"


def test_ipv6_is_switched_on_only_where_an_address_needs_it() -> None:
    def enabled(topology: Topology) -> list[tuple[str, str]]:
        return [
            (each.node, each.key)
            for each in of(SetSysctl, topology)
            if each.key.endswith(".disable_ipv6") and each.value == "0"
        ]

    assert enabled(two_hosts()) == []
    assert enabled(two_hosts(6)) == [
        ("h1", "net.ipv6.conf.eth0.disable_ipv6"),
        ("h2", "net.ipv6.conf.eth0.disable_ipv6"),
    ]
    overlay = two_hosts().with_vtep("h1", "red", addresses=("10.9.0.1/24", "fd01::1/64"))
    assert enabled(overlay) == [("h1", "net.ipv6.conf.vxlan0.disable_ipv6")]
    dotted = TopologyBuilder("t").switch("lan", "fd00::/64").host("h", "lan", device="eth0.5")
    assert enabled(dotted.build()) == [("h", "net.ipv6.conf.eth0/5.disable_ipv6")]


@pytest.mark.parametrize("hosts", [2, 3, 5])
def test_a_device_has_its_first_remote_and_the_fdb_the_others(hosts: int) -> None:
    topology = catalog.point_to_point(hosts=hosts, bind="both")
    links = [link for link in of(AddLink, topology, "a") if link.kind == "vxlan"]
    others = [host.nics[0].ip for host in topology.hosts[1:]]
    assert dict(links[0].attributes)["remote"] == others[0]
    assert of(AddFdb, topology, "a") == [
        AddFdb("a", "vxlan0", ANY_MAC, other, append=True) for other in others[1:]
    ]


def test_a_group_needs_no_fdb() -> None:
    assert of(AddFdb, catalog.multicast(hosts=4)) == []


def test_containers_hang_on_the_bridge_with_the_overlay_s_mtu() -> None:
    topology = with_containers().build()
    (link,) = (each for each in of(AddLink, topology, "h1") if each.name == "c1-eth0")
    assert (link.master, link.mtu, link.peer.mtu) == ("br0", 1450, 1450)
    assert (link.peer.node, link.peer.name) == ("c1", "eth0")
    assert of(AddAddress, topology, "c1") == [AddAddress("c1", "eth0", "172.16.0.1/24")]


def test_a_switch_s_mtu_holds_for_all_its_links() -> None:
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/24", mtu=9000)
    t.host("h", "lan").router("r", "lan", daemon=None)
    links = of(AddLink, t.build(), "lan")
    assert [each.mtu for each in links] == [9000, 9000, 9000]
    assert [each.peer.mtu for each in links[1:]] == [9000, 9000]


def test_a_cable_is_one_veth_pair_between_two_cards() -> None:
    t = TopologyBuilder("t").cable("lan", "10.0.0.0/24", mtu=9000)
    t.host("h", "lan", device="ens33").router("r", "lan", daemon=None)
    topology = t.build()
    assert topology.nodes == ("r", "h")
    (link,) = of(AddLink, topology)
    assert (link.node, link.name, link.peer.node, link.peer.name) == ("r", "eth0", "h", "ens33")
    assert (link.mtu, link.peer.mtu, link.master) == (9000, 9000, None)
    assert link.index != link.peer.index
    assert link.mac != link.peer.mac
    assert SetLink("h", "ens33", up=True) in make_plan(topology)


def test_a_switch_in_place_of_a_cable_changes_no_machine() -> None:
    plain = catalog.kim_and_lee()
    switched = plain.with_switch("net1", cable=False)
    assert switched.nodes == ("net1", *plain.nodes)
    assert switched.machines == plain.machines
    assert switched.with_switch("net1", cable=True) == plain


def test_ports_of_a_switch_are_named_after_the_machines_and_all_are_free_names() -> None:
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/24")
    for name in ("h1", SWITCH_BRIDGE, "lo", "all", "default", "switch-2"):
        t.host(name, "lan")
    assert [each.name for each in of(AddLink, t.build(), "lan")] == [
        "switch",
        "h1",
        "switch-2",
        "lo-2",
        "all-2",
        "default-2",
        "switch-2-2",
    ]


def test_a_long_name_makes_room_for_its_number() -> None:
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/24")
    t.host("switch", "lan").host("switch-2", "lan")
    names = [each.name for each in of(AddLink, t.build(), "lan")]
    assert len(set(names)) == 3


def test_hosts_beside_a_router_have_a_default_route() -> None:
    assert of(AddRoute, catalog.kim_and_lee()) == [
        AddRoute("lxc1", "default", via="192.168.11.1"),
        AddRoute("lxc2", "default", via="192.168.12.1"),
    ]
    assert of(AddRoute, two_hosts()) == []


def test_a_vrf_is_made_once_with_a_table_of_its_own() -> None:
    t = describe()
    t.segment("blue", 43).segment("green", 44)
    t.vtep("h1", "blue", bridge="br1", vrf="one").vtep("h1", "green", bridge="br2", vrf="two")
    links = {link.name: link for link in of(AddLink, t.build(), "h1")}
    assert links["one"].attributes == (("table", 10),)
    assert links["two"].attributes == (("table", 11),)
    assert (links["br1"].master, links["vxlan1"].master) == ("one", "br1")


def test_two_devices_in_one_bridge_share_it() -> None:
    t = describe(bridge="br0")
    t.segment("blue", 43).vtep("h1", "blue", bridge="br0")
    links = of(AddLink, t.build(), "h1")
    assert [link.name for link in links] == ["br0", "vxlan0", "vxlan1"]


def test_a_daemon_is_told_its_interfaces_members_and_a_host_on_each_link() -> None:
    (daemon,) = of(StartDaemon, catalog.kim_and_lee(router="pimd"))
    assert daemon == StartDaemon(
        "router",
        "pimd",
        ("eth0", "eth1"),
        (Members("239.1.1.1", ("eth0", "eth1")),),
        (
            HostOnLink("lxc1", "192.168.11.10", "192.168.11.1"),
            HostOnLink("lxc2", "192.168.12.10", "192.168.12.1"),
        ),
    )
    assert of(StartDaemon, catalog.kim_and_lee(router=None)) == []


def test_rules_come_last_in_their_order() -> None:
    topology = catalog.kim_and_lee()
    rules = (drop_udp(1), drop_udp(2))
    changed = topology.with_host("lxc1", rules=rules)
    plan = make_plan(changed)
    assert [each.words for each in plan[-3:] if isinstance(each, AddRule)] == [
        *(rule.words for rule in rules),
        topology.host("lxc2").rules[0].words,
    ]


def test_a_router_has_rules_as_a_host_has() -> None:
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/24")
    t.router("r", "lan", daemon=None, rules=[drop_udp(1)]).host("h", "lan", rules=drop_udp(2))
    rules = of(AddRule, t.build())
    assert [(rule.node, rule.words) for rule in rules] == [
        ("r", drop_udp(1).words),
        ("h", drop_udp(2).words),
    ]
