"""What the netlink backend makes is read back by ip(8) as it was asked for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ip_output_tools import fdb, links, vxlan_of
from lab_tools import describe, with_containers

from vxlab import catalog, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.live.lab import Lab
from vxlab.operations import AddAddress, AddFdb, AddLink, AddRoute
from vxlab.plan.planner import ANY_MAC

LIVE = [
    pytest.param(function, {"family": family, **more}, id=f"{name}-ipv{family}-{number}")
    for name, function in list(catalog.CATALOG.items())[:6]  # of plain vxlan devices
    for family, (number, more) in itertools.product((4, 6), enumerate([{}, {"port": 4789}]))
]


@pytest.mark.parametrize(("function", "arguments"), LIVE)
def test_every_link_is_read_back_as_it_was_asked_for(function: Any, arguments: Any) -> None:
    topology: Topology = function(**arguments)
    with Lab(topology) as lab:
        found = {node: links(lab, node) for node in lab}
        for operation in lab.plan:
            if isinstance(operation, AddLink):
                check_link(found, operation)
        wanted = sum(2 if each.peer else 1 for each in lab.plan if isinstance(each, AddLink))
        assert sum(map(len, found.values())) == wanted + len(lab)  # and a lo in every node


def check_link(found: dict[str, dict[str, Any]], asked: AddLink) -> None:
    link = found[asked.node][asked.name]
    assert link["ifindex"] == asked.index
    assert link["linkinfo"]["info_kind"] == asked.kind
    assert link.get("master") == asked.master
    assert "UP" in link["flags"]
    assert asked.mtu in (None, link["mtu"])
    assert asked.mac in (None, link["address"])
    if asked.peer:
        there = found[asked.peer.node][asked.peer.name]
        assert (there["ifindex"], there["link_index"]) == (asked.peer.index, asked.index)
        assert link["link_index"] == asked.peer.index
        assert asked.peer.mtu in (None, there["mtu"])
        assert asked.peer.mac in (None, there["address"])
    if asked.kind == "vxlan":
        wanted = dict(asked.attributes)
        wanted["dstport"] = wanted["dstport"] or vxlan.KERNEL_PORT
        read = vxlan.from_json(link["linkinfo"]["info_data"])
        if "group" not in wanted:  # ip tells groups from remotes by their address
            assert "group" not in read
        assert {name: read.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(("function", "arguments"), LIVE)
def test_addresses_routes_and_fdb_are_read_back(function: Any, arguments: Any) -> None:
    with Lab(function(**arguments)) as lab:
        for operation in lab.plan:
            node = lab[operation.node]
            if isinstance(operation, AddAddress):
                (row,) = node.ip("address", "show", "dev", operation.interface)
                have = {f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"]}
                assert operation.address in have
            elif isinstance(operation, AddRoute):
                family = "-6" if ":" in str(operation.via) else "-4"
                (row,) = node.ip(family, "route", "show", "default")
                assert (row["dst"], row["gateway"]) == ("default", operation.via)
            elif isinstance(operation, AddFdb):
                assert (operation.mac, operation.dst, "permanent") in fdb(
                    lab, operation.node, operation.interface
                )


def test_flooding_to_many_is_one_entry_each() -> None:
    with Lab(catalog.point_to_point(hosts=4, bind="none")) as lab:
        others = [host.nics[0].ip for host in lab.topology.hosts[:3]]
        assert fdb(lab, "d", "vxlan0") == {(ANY_MAC, other, "permanent") for other in others}


@pytest.mark.parametrize("attributes", [{}, {"gpe": True, "external": True, "learning": False}])
def test_port_0_is_the_default_that_the_topology_tells(attributes: dict[str, Any]) -> None:
    topology = describe(segment={"port": 0, "attributes": attributes}).build()
    with Lab(topology) as lab:
        assert {vxlan_of(lab, "h1", "vxlan0")["dstport"]} == topology.ports


def test_equal_plans_make_equal_labs() -> None:
    def seen(lab: Lab) -> Any:
        return {
            node: [(n, x["ifindex"], x["mtu"]) for n, x in links(lab, node).items()] for node in lab
        }

    with Lab(with_containers().build()) as one, Lab(with_containers().build()) as two:
        assert seen(one) == seen(two)


def test_a_host_has_two_cards_on_two_switches() -> None:
    t = TopologyBuilder("t").switch("a", "10.0.1.0/24").switch("b", "10.0.2.0/24")
    t.host("h1", "a").nic("h1", "b", device="eth1").host("h2", "a").host("h3", "b")
    with Lab(t.build()) as lab:
        assert lab["h1"].ping("10.0.1.2", timeout=5)
        assert lab["h1"].ping("10.0.2.2", timeout=5)
