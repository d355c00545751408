"""The catalog: every topology, with every choice it offers, is valid, comes up, and carries."""

from __future__ import annotations

import errno
import inspect
import ipaddress
import itertools
from typing import Any

import pytest
from feature_tools import skip_without_all

from vxlab import catalog, features
from vxlab.describe.topology import Topology
from vxlab.errors import ApplyError, TopologyError
from vxlab.live.lab import Lab

#: Values to try for each parameter that a function of the catalog may have.
CHOICES: dict[str, list[Any]] = {
    "family": [4, 6],
    "vni": [1, 42, (1 << 24) - 1],
    "port": [0, 4789, 8472],
    "hosts": [2, 3, 8],
    "vrf": [False, True],
    "bind": ["a", "both", "none"],
    "containers": [0, 1, 3],
    "group": [None],
    "flood": [None, "remote", "none"],
    "router": ["smcroute", None],
    "ttl": ["rule", "device", None],
    "vnis": [(10, 20), (1, (1 << 24) - 1), (10, 266)],
    "leak": [False, True],
    "leaves": [2, 3, 9],
    "spines": [2, 9],
    "mode": ["active-backup", "802.3ad"],
    "delay": [0, 1, 60_000],
    "loss": [0, 100],
    "rate": [1000, 10_000_000],
}


def pairs(function: Any) -> list[dict[str, Any]]:
    """Arguments so that every value of each parameter meets every value of every other one."""
    names = list(inspect.signature(function).parameters)
    found = []
    for one, two in itertools.combinations(names, 2):
        for first, second in itertools.product(CHOICES[one], CHOICES[two]):
            found.append({one: first, two: second})
    return found


@pytest.mark.parametrize("name", catalog.CATALOG)
def test_every_pair_of_choices_is_a_valid_topology(name: str) -> None:
    function = catalog.CATALOG[name]
    tried = pairs(function)
    assert tried
    for arguments in tried:
        topology = function(**arguments)
        assert isinstance(topology, Topology), arguments
        assert topology == function(**arguments)
        family = arguments.get("family", 4)
        networks = [s.network for s in topology.switches if s.network]
        assert not networks or {ipaddress.ip_network(each).version for each in networks} == {family}
        if "hosts" in arguments:
            assert len(topology.hosts) == arguments["hosts"]
        if "vni" in arguments:
            assert {segment.vni for segment in topology.segments} == {arguments["vni"]}


def test_all_functions_of_the_module_are_in_the_catalog() -> None:
    functions = {
        function
        for name, function in inspect.getmembers(catalog, inspect.isfunction)
        if name in catalog.__all__ and not name.endswith("_of")
    }
    assert set(catalog.CATALOG.values()) == functions
    for name, function in catalog.CATALOG.items():
        assert function().name == name == function.__name__.replace("_", "-")
        assert function.__doc__


def test_each_topology_has_a_summary_in_plain_words() -> None:
    found = {name: catalog.summary_of(name) for name in catalog.CATALOG}
    assert found["kim-and-lee"].startswith("Two tenants with equal addresses")
    assert all(found.values())
    assert not any("(E" in text or "`" in text for text in found.values())
    assert catalog.summary_of("nothing") == ""


def test_most_topologies_have_a_picture() -> None:
    assert any("├ lxc1 ── router ── lxc2 ┤" in line for line in catalog.picture_of("kim-and-lee"))
    assert catalog.picture_of("multicast") == catalog.picture_of("nothing") == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: catalog.point_to_point(hosts=27),
            "point-to-point: hosts: wanted 1 to 26, found 27",
        ),
        (lambda: catalog.point_to_point(hosts=0), "point-to-point: hosts: wanted 1 to 26, found 0"),
        (lambda: catalog.point_to_point(hosts="2"), "point-to-point: hosts: wanted a whole number"),
        (
            lambda: catalog.point_to_point(bind="b"),
            "point-to-point: bind: wanted a, both, none, found 'b'",
        ),
        (lambda: catalog.point_to_point(family=5), "underlay: family: wanted 4, 6, found 5"),
        (lambda: catalog.point_to_point(vni=-1), "segment overlay: vni: wanted 0 to 16777215"),
        (lambda: catalog.point_to_point(port=-1), "segment overlay: port: wanted 0 to 65535"),
        (lambda: catalog.bridged(hosts=-1), "bridged: hosts: wanted 1 to 26, found -1"),
        (lambda: catalog.bridged(containers=-1), "bridged: containers: wanted 0 to 250, found -1"),
        (lambda: catalog.bridged(containers="3"), "bridged: containers: wanted a whole number"),
        (lambda: catalog.bridged(containers=200), "container ns253: addresses: wanted the address"),
        (lambda: catalog.bridged(flood="all"), "segment overlay: flood: wanted group, remote"),
        (lambda: catalog.multicast(group="10.1.1.1"), "segment overlay: group: wanted a multicast"),
        (lambda: catalog.multicast(hosts=99), "multicast: hosts: wanted 1 to 26, found 99"),
        (lambda: catalog.one_switch(family="4"), "underlay: family: wanted 4, 6, found '4'"),
        (lambda: catalog.kim_and_lee(family=0), "kim-and-lee: family: wanted 4, 6, found 0"),
        (lambda: catalog.kim_and_lee(vnis=(1,)), "kim-and-lee: vnis: wanted a pair of VNIs"),
        (lambda: catalog.kim_and_lee(vnis=7), "kim-and-lee: vnis: wanted a pair of VNIs, found 7"),
        (lambda: catalog.kim_and_lee(vnis=(7, 7)), "host lxc1 vtep vxlan7: device: wanted a free"),
        (lambda: catalog.kim_and_lee(ttl="no"), "underlay: ttl: wanted rule, device, None, found"),
        (lambda: catalog.kim_and_lee(router="frr"), "router router: daemon: wanted smcroute"),
        (
            lambda: catalog.kim_and_lee(router="pimd", family=6),
            "router router: daemon: pimd routes IPv4 only",
        ),
        (lambda: catalog.routed(hosts=1), "router router: nics: wanted 2 to 31 for smcroute"),
        (lambda: catalog.routed(family=7), "routed: family: wanted 4, 6, found 7"),
        (lambda: catalog.vlan_aware(family=7), "underlay: family: wanted 4, 6, found 7"),
        (lambda: catalog.spine_leaf(family=7), "spine-leaf: family: wanted 4, 6, found 7"),
        (lambda: catalog.spine_leaf(leaves=1), "spine-leaf: leaves: wanted 2 to 9, found 1"),
        (lambda: catalog.spine_leaf(spines=10), "spine-leaf: spines: wanted 2 to 9, found 10"),
        (lambda: catalog.flannel(hosts=27), "flannel: hosts: wanted 1 to 26, found 27"),
        (lambda: catalog.bond_underlay(mode="lacp"), "bond bond0: mode: wanted balance-rr, "),
        (lambda: catalog.impaired(rate=0), "netem: delay: wanted anything at all, found nothing"),
        (lambda: catalog.impaired(loss=101), "netem: loss: wanted 0 to 100, found 101"),
    ],
)
def test_a_bad_argument_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value).startswith(message)


LIVE: list[tuple[str, Any, str, str]] = [
    ("point-to-point", {"hosts": 3}, "c", "172.18.1.2"),
    ("point-to-point", {"bind": "none"}, "a", "172.18.1.3"),
    ("point-to-point", {"bind": "both", "family": 6, "port": 0}, "b", "172.18.1.2"),
    ("bridged", {"containers": 2}, "ns0", "172.18.1.5"),
    ("bridged", {"family": 6, "hosts": 3}, "ns2", "172.18.1.2"),
    ("multicast", {}, "ns1", "172.18.1.4"),
    ("multicast", {"family": 6, "vni": (1 << 24) - 1}, "ns2", "172.18.1.2"),
    ("one-switch", {"vni": 1}, "a", "192.168.42.3"),
    ("one-switch", {"family": 6, "hosts": 4}, "d", "192.168.42.2"),
    ("kim-and-lee", {}, "lee-srv1", "1.1.1.2"),
    ("kim-and-lee", {"family": 6, "ttl": "device"}, "kim-srv2", "1.1.1.1"),
    ("kim-and-lee", {"router": "pimd", "vnis": (10, 266)}, "kim-srv1", "1.1.1.2"),
    ("routed", {"hosts": 4}, "d", "192.168.42.2"),
    ("routed", {"family": 6, "ttl": "rule"}, "a", "192.168.42.4"),
    ("impaired", {"rate": 0, "delay": 20}, "h1", "10.0.0.2"),
    ("spine-leaf", {"leaves": 2, "spines": 3}, "c1", "172.16.0.2"),
    ("flannel", {"hosts": 4}, "p1", "10.244.4.2"),
    ("bond-underlay", {"mode": "802.3ad"}, "h1", "10.0.0.2"),
    *(
        (name, {"family": family}, source, target)
        for name, source, target in (
            ("vlan-aware", "a1", "10.0.10.2"),
            ("single-device", "b1", "10.0.20.2"),
            ("q-in-vni", "c1", "10.0.20.2"),
            ("irb-symmetric", "a1", "10.0.20.1"),
            ("irb-asymmetric", "a1", "10.0.20.2"),
            ("flannel", "p1", "10.244.2.2"),
            ("mdb", "c1", "10.0.0.2"),
            ("vrf-underlay", "h1", "10.0.0.2"),
            ("bond-underlay", "h1", "10.0.0.2"),
            ("spine-leaf", "c1", "172.16.0.3"),
            ("two-routers", "a", "192.168.42.2"),
            ("impaired", "h1", "10.0.0.2"),
        )
        for family in (4, 6)
    ),
]


@pytest.mark.parametrize(
    ("name", "arguments", "source", "target"),
    [pytest.param(*each, id=f"{each[0]}-{number}") for number, each in enumerate(LIVE)],
)
def test_it_comes_up_and_carries(name: str, arguments: Any, source: str, target: str) -> None:
    topology = catalog.CATALOG[name](**arguments)
    skip_without_all(topology)
    with Lab(topology) as lab:
        assert lab[source].ping(target, timeout=10)


def test_every_topology_is_tried_live_in_both_families() -> None:
    tried = {(name, arguments.get("family", 4)) for name, arguments, _, _ in LIVE}
    assert tried == set(itertools.product(catalog.CATALOG, (4, 6)))


def test_without_a_raised_ttl_multicast_dies_at_the_router() -> None:
    with Lab(catalog.kim_and_lee(ttl=None)) as lab:
        with lab.capture("lxc1:ens33", "lxc2:ens33") as seen:
            assert not lab["kim-srv1"].ping("1.1.1.2", timeout=0.5)
        assert [each.vni for each in seen["lxc1:ens33"].encapsulated()]
        assert seen["lxc2:ens33"].was_live
        assert not seen["lxc2:ens33"].encapsulated()


@pytest.mark.requires("vrf")
@pytest.mark.parametrize("family", [4, 6])
def test_a_ping_in_a_vrf_is_answered(family: int) -> None:
    with Lab(catalog.point_to_point(vrf=True, family=family)) as lab:
        assert lab["a"].ping("172.18.1.3", interface="vrf0", timeout=10)


def test_a_kernel_without_vrf_is_named_as_the_cause() -> None:
    if not features.missing(["vrf"]):
        pytest.skip("this kernel has VRFs")
    with pytest.raises(ApplyError, match="type vrf table 10") as caught:
        Lab(catalog.point_to_point(vrf=True)).open()
    assert caught.value.errno == errno.EOPNOTSUPP
