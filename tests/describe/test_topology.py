"""Topologies and their builder: what is looked up, worked out and changed."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
from lab_tools import describe, two_hosts, with_containers

from vxlab import Vxlan, catalog
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.containers import Container
from vxlab.describe.elements import Host, Nic, Router, Segment, Switch, Vtep
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError


def test_the_builder_writes_the_same_as_a_person() -> None:
    def host(number: int) -> Host:
        nic = Nic("eth0", "lan", f"10.0.0.{number}/24")
        return Host(f"h{number}", (nic,), (Vtep("red", addresses=(f"172.16.0.{number}/24",)),))

    by_hand = Topology(
        "two-hosts",
        switches=(Switch("lan", "10.0.0.0/24"),),
        hosts=(host(1), host(2)),
        segments=(Segment("red", 42),),
    )
    assert by_hand == two_hosts()
    assert hash(by_hand) == hash(two_hosts())
    assert pickle.loads(pickle.dumps(by_hand)) == by_hand
    assert str(by_hand) == "two-hosts"


def test_looking_up_leaves_a_topology_equal_and_does_not_show() -> None:
    asked, fresh = two_hosts(), two_hosts()
    asked.host("h1")
    asked.vteps("red")
    assert asked == fresh
    assert repr(asked) == repr(fresh)
    assert dataclasses.replace(asked, name="other").host("h2").name == "h2"


def test_nodes_come_as_switches_routers_hosts_containers() -> None:
    assert catalog.kim_and_lee().nodes == (
        *("router", "lxc1", "lxc2"),
        *("kim-srv1", "lee-srv1", "kim-srv2", "lee-srv2"),
    )
    assert [each.name for each in catalog.kim_and_lee().machines] == ["router", "lxc1", "lxc2"]


def test_elements_are_found_by_name() -> None:
    t = catalog.kim_and_lee()
    assert t.host("lxc2").nics[0].ip == "192.168.12.10"
    assert t.router("router").daemon == "smcroute"
    assert t.segment("lee").vni == 20
    assert t.vtep("lxc1", "lee").device == "vxlan20"
    assert [(host.name, vtep.device) for host, vtep in t.vteps("kim")] == [
        ("lxc1", "vxlan10"),
        ("lxc2", "vxlan10"),
    ]
    assert t.vteps("nobody") == ()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.host("h9"), "topology two-hosts: hosts: wanted the host 'h9', found h1, h2"),
        (lambda t: t.host(["h1"]), "topology two-hosts: hosts: wanted the host ['h1'], found"),
        (lambda t: t.router("r"), "topology two-hosts: routers: wanted the router 'r', found none"),
        (
            lambda t: t.segment("x"),
            "topology two-hosts: segments: wanted the segment 'x', found red",
        ),
        (lambda t: t.vtep("h1", "blue"), "host h1: vteps: wanted one in segment 'blue'"),
        (lambda t: t.with_host("h9"), "topology two-hosts: hosts: wanted the host 'h9'"),
        (lambda t: t.with_vtep("h1", "blue"), "host h1: vteps: wanted one in segment 'blue'"),
        (lambda t: t.with_router("r"), "topology two-hosts: routers: wanted the router 'r'"),
    ],
)
def test_what_is_not_there_is_named(ask: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        ask(two_hosts())
    assert str(caught.value).startswith(message)


def test_a_vtep_floods_to_all_others_of_its_segment() -> None:
    t = catalog.point_to_point(hosts=4)
    a, c = t.host("a"), t.host("c")
    assert t.remotes(a, a.vteps[0]) == ("192.168.57.54", "192.168.57.55", "192.168.57.56")
    assert t.remotes(c, c.vteps[0]) == ("192.168.57.50", "192.168.57.54", "192.168.57.56")
    own = two_hosts(remotes=("10.0.0.77", "10.0.0.78"))
    assert own.remotes(own.host("h1"), own.host("h1").vteps[0]) == ("10.0.0.77", "10.0.0.78")
    group = catalog.one_switch()
    assert group.remotes(group.host("a"), group.host("a").vteps[0]) == ()


def attributes(topology: Topology, host: str = "h1") -> dict[str, Any]:
    element = topology.host(host)
    return topology.attributes(element, element.vteps[0])


def test_a_device_that_floods_to_a_remote_has_it_as_an_attribute() -> None:
    assert attributes(two_hosts()) == {
        "id": 42,
        "remote": "10.0.0.2",
        "local": "10.0.0.1",
        "dev": "eth0",
        "dstport": 8472,
    }
    assert "local" not in attributes(two_hosts(local=False))
    assert "dev" not in attributes(two_hosts(dev=False))


def test_a_device_that_floods_to_a_group_has_it_as_an_attribute() -> None:
    grouped = {"vni": 7, "group": "239.1.1.1", "port": 0}
    found = attributes(describe(segment=grouped).build())
    assert found == {"id": 7, "group": "239.1.1.1", "dev": "eth0", "dstport": 0}
    assert attributes(describe(segment=grouped, local=True).build())["local"] == "10.0.0.1"


def test_a_device_that_does_not_flood_is_of_its_underlay_s_family() -> None:
    found = attributes(describe(6, segment={"flood": "none"}).build())
    assert found == {"id": 42, "local": "fd00::1", "dev": "eth0", "dstport": 8472}


def test_own_attributes_win_over_the_segment_s() -> None:
    segment = {"attributes": {"ttl": 3, "tos": 4}}
    found = attributes(describe(segment=segment, attributes={"ttl": 9, "dstport": 5}).build())
    assert (found["ttl"], found["tos"], found["dstport"]) == (9, 4, 5)


def test_the_ports_are_those_of_all_vxlan_devices() -> None:
    t = describe(segment={"port": 0}).build()
    assert t.ports == {8472}
    t = t.with_vtep("h1", "red", dstport=5000)
    assert t.ports == {8472, 5000}
    assert t.port(t.host("h1"), t.vtep("h1", "red")) == 5000
    gpe = {"gpe": True, "external": True, "learning": False}
    assert describe(segment={"port": 0, "attributes": gpe}).build().ports == {4790}


def test_the_ports_are_also_those_of_devices_without_a_segment() -> None:
    t = TopologyBuilder("devices alone").host("h1").host("h2")
    t.device("h1", Vxlan("vx0", attributes={"external": True, "dstport": 4789}))
    assert t.build().ports == {4789}
    t.device("h2", Vxlan("vx0", attributes={"id": 42}))
    assert t.build().ports == {4789, 8472}


def test_the_mtu_behind_a_vtep_leaves_room_for_the_headers() -> None:
    for family, mtu in ((4, 1450), (6, 1430)):
        t = two_hosts(family)
        assert t.mtu(t.host("h1"), t.vtep("h1", "red")) == mtu
    bare = Host("x", vteps=(Vtep("red"),))
    with pytest.raises(
        TopologyError, match="host x vtep vxlan0: nic: wanted an interface on a switch"
    ):
        two_hosts().mtu(bare, bare.vteps[0])


def test_the_gateway_is_the_first_router_beside_a_host_s_first_card() -> None:
    t = catalog.kim_and_lee()
    found = t.gateway(t.host("lxc2"))
    assert found is not None
    assert (found[0].name, found[1].ip) == ("router", "192.168.12.1")
    assert two_hosts().gateway(two_hosts().host("h1")) is None
    assert two_hosts().gateway(Host("bare")) is None


def test_the_card_of_a_vtep_is_the_one_it_names() -> None:
    t = TopologyBuilder("t").switch("one", "10.0.1.0/24").switch("two", "10.0.2.0/24")
    t.segment("red", 5).host("h", "one").nic("h", "two", device="eth1")
    t.vtep("h", "red", nic="eth1")
    built = t.build()
    host = built.host("h")
    nic = built.nic(host, host.vteps[0])
    assert nic is not None
    assert nic.device == "eth1"
    assert built.nic(host, Vtep("red", nic="eth7")) is None


def test_changing_a_host_a_vtep_and_a_router_leaves_the_rest() -> None:
    t = catalog.kim_and_lee()
    changed = t.with_vtep("lxc1", "lee", mac="02:00:00:00:00:99", ttl=9)
    assert changed.vtep("lxc1", "lee").mac == "02:00:00:00:00:99"
    assert dict(changed.vtep("lxc1", "lee").attributes) == {"ttl": 9}
    assert changed.vtep("lxc1", "kim") == t.vtep("lxc1", "kim")
    assert changed.host("lxc2") == t.host("lxc2")
    assert changed.nodes == t.nodes
    again = changed.with_vtep("lxc1", "lee", ttl=5, df=1)
    assert dict(again.vtep("lxc1", "lee").attributes) == {"ttl": 5, "df": 1}
    assert t.with_router("router", daemon=None).router("router").daemon is None
    assert t.with_host("lxc1", rules=()).host("lxc1").rules == ()
    assert t == catalog.kim_and_lee()


def test_a_change_is_checked_like_a_new_topology() -> None:
    with pytest.raises(TopologyError, match="vtep vxlan0: tll: wanted a vxlan attribute"):
        two_hosts().with_vtep("h1", "red", tll=9)
    with pytest.raises(TopologyError, match="host h1 vtep vxlan0: nic: wanted the interface eth7"):
        two_hosts().with_vtep("h1", "red", nic="eth7")


def test_the_builder_gives_free_addresses_in_order() -> None:
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/29")
    t.host("a", "lan", "10.0.0.2/29").router("r", "lan", daemon=None).host("b", "lan")
    built = t.build()
    assert [each.nics[0].ip for each in built.machines] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    for name in "cde":
        t.host(name, "lan")
    with pytest.raises(
        TopologyError, match=r"host f: address: wanted a free one on lan, found 10.0.0.0/29 full"
    ):
        t.host("f", "lan")


def test_the_builder_fills_in_defaults() -> None:
    t = with_containers()
    t.segment("blue", 43, group="239.1.1.1")
    t.vtep("h1", "blue")
    built = t.build()
    assert [vtep.device for vtep in built.host("h1").vteps] == ["vxlan0", "vxlan1"]
    assert built.segment("blue").flood == "group"
    assert built.containers[0] == Container("c1", "h1", "br0", addresses=("172.16.0.1/24",))


def test_a_router_has_a_card_on_each_switch() -> None:
    t = TopologyBuilder("t").switch("a", "10.0.1.0/24").switch("b", "10.0.2.0/24")
    router = t.router("r", "a", "b").build().router("r")
    assert router == Router(
        "r", (Nic("eth0", "a", "10.0.1.1/24"), Nic("eth1", "b", "10.0.2.1/24")), "smcroute"
    )


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda t: t.host("h1"), "node h1: name: wanted a new name, found it in use"),
        (lambda t: t.router("h1"), "node h1: name: wanted a new name, found it in use"),
        (lambda t: t.host(["h"]), "node: name: wanted a non-empty string, found ['h']"),
        (lambda t: t.host("h3", "wan"), "host h3: switch: wanted a known switch, found 'wan': lan"),
        (lambda t: t.host("h3", 5), "host h3: switch: wanted a non-empty string, found 5"),
        (lambda t: t.router("r", "wan"), "router r: switch: wanted a known switch, found 'wan'"),
        (lambda t: t.nic("h9", "lan"), "topology two-hosts: machines: wanted the machine 'h9', fo"),
        (lambda t: t.vtep("h9", "red"), "topology two-hosts: hosts: wanted the host 'h9'"),
        (lambda t: t.host("h3", rules=5), "host h3: rules: wanted a tuple of Rule"),
        (
            lambda t: t.host("h3", rules="-A"),
            "host h3: rules: wanted a tuple of Rule, such as Rule((",
        ),
        (
            lambda t: t.vtep("h1", "red", addresses=5),
            "vtep vxlan1: addresses: wanted a tuple of str, found 5 in it",
        ),
        (
            lambda t: t.vtep("h1", "red", attributes=[1]),
            "host h1 vtep vxlan1: attributes: wanted a mapping, found [1]",
        ),
        (
            lambda t: t.segment("blue", 43, attributes="ttl"),
            "segment blue: attributes: wanted a mapping, found 'ttl'",
        ),
    ],
)
def test_the_builder_refuses_what_it_cannot_write(write: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        write(describe())
    assert str(caught.value).startswith(message)


def test_a_builder_may_go_on_after_it_built() -> None:
    t = describe()
    first = t.build()
    t.host("h3", "lan")
    assert len(first.hosts) == 2
    assert len(t.build().hosts) == 3
