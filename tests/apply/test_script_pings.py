"""Which pings a script tries."""

from __future__ import annotations

from vxlab import catalog
from vxlab.apply.script import PingLine, pings_of, script_of


def test_pings_go_round_each_segment_once() -> None:
    shown = [(line.node, line.address) for line in pings_of(catalog.multicast(containers=2))]
    assert shown == [("ns0", "172.18.1.4"), ("ns2", "172.18.1.6"), ("ns4", "172.18.1.2")]


def test_both_tenants_are_pinged() -> None:
    shown = [(line.segment, line.node, line.address) for line in pings_of(catalog.kim_and_lee())]
    assert shown == [
        ("kim", "kim-srv1", "1.1.1.2"),
        ("kim", "kim-srv2", "1.1.1.1"),
        ("lee", "lee-srv1", "1.1.1.2"),
        ("lee", "lee-srv2", "1.1.1.1"),
    ]


def test_a_ping_leaves_from_its_vrf() -> None:
    lines = pings_of(catalog.point_to_point(vrf=True))
    assert lines[0] == PingLine(segment="overlay", node="a", address="172.18.1.3", vrf="vrf0")
    assert "    reach a 172.18.1.3 -I vrf0\n" in script_of(catalog.point_to_point(vrf=True))
    assert pings_of(catalog.bridged(vrf=True))[0].vrf is None  # a container knows of no VRF


def test_pings_need_two_endpoints_of_one_family() -> None:
    assert not pings_of(catalog.bridged(hosts=1))
    assert not pings_of(catalog.bridged(containers=0))
    mixed = catalog.point_to_point().with_vtep("b", "overlay", addresses=("fd00::1/64",))
    assert not pings_of(mixed)
    both = mixed.with_vtep("a", "overlay", addresses=("172.18.1.2/24", "fd00::2/64"))
    assert [line.address for line in pings_of(both)] == ["fd00::1", "fd00::2"]
