"""Plans are the same each time, printable, and in an order in which they can be applied."""

from __future__ import annotations

import builtins
import inspect
import itertools
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from random_topologies import RUN, topologies

from vxlab import catalog
from vxlab.describe.topology import Topology
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    AddNeighbour,
    AddRoute,
    AddRule,
    Operation,
    SetLink,
    SetSysctl,
    StartDaemon,
)
from vxlab.plan.planner import make_plan

VARIANTS = [
    pytest.param(function, {"family": family, "hosts": hosts}, id=f"{name}-ipv{family}-{hosts}")
    for name, function in catalog.CATALOG.items()
    if "hosts" in inspect.signature(function).parameters
    for family, hosts in itertools.product((4, 6), (2, 3, 8))
] + [
    pytest.param(catalog.kim_and_lee, {"family": 4}, id="kim-and-lee-ipv4"),
    pytest.param(catalog.kim_and_lee, {"family": 6}, id="kim-and-lee-ipv6"),
    pytest.param(catalog.kim_and_lee, {"router": "pimd"}, id="kim-and-lee-pimd"),
    pytest.param(catalog.bridged, {"vrf": True, "containers": 3}, id="bridged-vrf"),
    pytest.param(catalog.point_to_point, {"vrf": True}, id="point-to-point-vrf"),
]
variants = pytest.mark.parametrize(("function", "arguments"), VARIANTS)


class Applied:
    """What would exist, had the operations so far been applied: each checks that it can be."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.links: dict[tuple[str, str], str] = {}
        self.indexes: set[tuple[str, int]] = set()
        self.up: set[tuple[str, str]] = set()
        self.addresses: set[tuple[str, str]] = set()
        self.started: set[str] = set()
        self.others = False

    def apply(self, operation: Operation) -> None:
        if isinstance(operation, AddNamespace):
            assert not self.others, "namespaces come before everything else"
            assert operation.node not in self.nodes
            self.nodes.add(operation.node)
            return
        self.others = True
        assert operation.node in self.nodes
        getattr(self, type(operation).__name__)(operation)

    def AddLink(self, link: AddLink) -> None:  # noqa: N802 - named after the operation
        assert not self.started, "links come before daemons"
        self._new(link.node, link.name, link.index, link.kind)
        if link.peer:
            assert link.peer.node in self.nodes
            self._new(link.peer.node, link.peer.name, link.peer.index, "veth")
        if link.master:
            assert self.links[link.node, link.master] in ("bridge", "vrf"), "masters before slaves"
        if link.kind == "vxlan" and "dev" in dict(link.attributes):
            assert (link.node, str(dict(link.attributes)["dev"])) in self.links
        if link.up:
            self.up.add((link.node, link.name))

    def _new(self, node: str, name: str, index: int, kind: str) -> None:
        assert (node, name) not in self.links
        assert (node, index) not in self.indexes
        assert index > 1, "1 is lo"
        assert len(name.encode()) <= 15
        self.links[node, name] = kind
        self.indexes.add((node, index))

    def SetLink(self, link: SetLink) -> None:  # noqa: N802
        assert (link.node, link.name) in self.links
        if link.up:
            self.up.add((link.node, link.name))

    def SetSysctl(self, setting: SetSysctl) -> None:  # noqa: N802
        words = setting.key.split(".")
        if words[2] == "conf" and words[3] not in ("all", "default"):
            assert (setting.node, words[3].replace("/", ".")) in self.links

    def AddAddress(self, address: AddAddress) -> None:  # noqa: N802
        place = address.node, address.interface
        assert place in self.up, "links before their addresses"
        assert (address.node, address.address) not in self.addresses
        self.addresses.add((address.node, address.address))

    def AddRoute(self, route: AddRoute) -> None:  # noqa: N802
        assert any(node == route.node for node, _ in self.addresses), "addresses before routes"

    def AddFdb(self, entry: AddFdb) -> None:  # noqa: N802
        assert self.links[entry.node, entry.interface] == "vxlan"

    def AddNeighbour(self, entry: AddNeighbour) -> None:  # noqa: N802
        assert (entry.node, entry.interface) in self.links

    def StartDaemon(self, daemon: StartDaemon) -> None:  # noqa: N802
        for name in daemon.interfaces:
            assert (daemon.node, name) in self.up, "daemons after links"
        for host in daemon.hosts:
            assert any(
                n == host.node and a.split("/")[0] == host.address for n, a in self.addresses
            )
        for member in daemon.members:
            assert set(member.interfaces) <= set(daemon.interfaces)
        self.started.add(daemon.node)

    def AddRule(self, rule: AddRule) -> None:  # noqa: N802
        assert rule.words


def check_order(plan: Sequence[Operation], topology: Topology) -> None:
    applied = Applied()
    for operation in plan:
        applied.apply(operation)
    assert applied.nodes == set(topology.nodes)
    assert set(applied.links) == applied.up, "nothing is left down"
    routers = {router.name for router in topology.routers if router.daemon}
    assert applied.started == routers


@variants
def test_the_order_can_be_applied(function: Callable[..., Topology], arguments: Any) -> None:
    topology = function(**arguments)
    check_order(make_plan(topology), topology)


@RUN
@given(topologies())
def test_the_order_can_be_applied_whatever_the_topology(topology: Topology) -> None:
    check_order(make_plan(topology), topology)


@variants
def test_a_plan_is_the_same_each_time_and_plain_data(
    function: Callable[..., Topology], arguments: Any
) -> None:
    plan = make_plan(function(**arguments))
    assert plan == make_plan(function(**arguments))
    assert hash(plan) == hash(make_plan(function(**arguments)))


@variants
def test_a_plan_prints_as_commands(function: Callable[..., Topology], arguments: Any) -> None:
    for operation in make_plan(function(**arguments)):
        line = str(operation)
        assert line.startswith(("ip ", "bridge "))
        assert operation.node in line
        assert "\n" not in line
        assert "None" not in line


def test_planning_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    topologies = [function() for function in catalog.CATALOG.values()]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("planning is pure")

    with monkeypatch.context() as patch:
        for module, name in (
            (builtins, "open"),
            (os, "open"),
            (os, "environ"),
            (socket, "socket"),
            (socket, "if_nametoindex"),
            (subprocess, "Popen"),
        ):
            patch.setattr(module, name, never)
        plans = [make_plan(topology) for topology in topologies]
    assert all(plans)
