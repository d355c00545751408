"""VNIs, multicast groups and next hops as rows, against what was asked for and what `ip` shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vxlab import NodeState, catalog, difference
from vxlab.live.lab import Lab
from vxlab.netlink.messages import attribute
from vxlab.observe.state import MdbEntry, NextHop, Vni, tunnels
from vxlab.operations import (
    AddLink,
    AddMdb,
    AddNexthop,
    AddVni,
    DelMdb,
    DelNexthop,
    DelVni,
    FlushMdb,
    Operation,
    SetLink,
)

FILTER = (("external", True), ("vnifilter", True), ("dstport", 4790))


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(catalog.point_to_point()) as lab:
        lab.apply(AddLink("a", "vx", "vxlan", 0, FILTER), SetLink("a", "vx", up=True))
        yield lab


def test_vnis_are_read_with_their_flood_lists(lab: Lab) -> None:
    lab.apply(
        AddVni("a", "vx", 7),
        AddVni("a", "vx", 100, last=102, remote="192.168.57.54"),
        AddVni("a", "vx", 9, remote="192.168.57.55"),
    )
    rows = lab["a"].state.vnis
    assert rows == (
        Vni(interface="vx", vni=7),
        Vni(interface="vx", vni=9, remote="192.168.57.55"),
        *(Vni(interface="vx", vni=number, remote="192.168.57.54") for number in (100, 101, 102)),
    )
    assert {"rx_packets", "tx_dropped"} < set(rows[0].counters)
    shown = [row for each in lab["a"].bridge("vni") for row in each["vnis"]]
    assert {row["vni"] for row in shown} == {7, 9, 100}
    lab.apply(DelVni("a", "vx", 100, last=102))
    assert [row.vni for row in lab["a"].state.vnis] == [7, 9]


def test_the_statistics_of_a_vni_are_no_part_of_its_identity() -> None:
    before = NodeState("a", vnis=(Vni(interface="vx", vni=7, counters={"rx_packets": 1}),))
    assert difference(before, NodeState("a", vnis=(Vni(interface="vx", vni=7),))) == []
    assert "rx_packets=1" in before.text()


def test_group_entries_are_read(lab: Lab) -> None:
    plain: Any = {"interface": "vxlan0", "port_name": "vxlan0", "dst": "192.168.57.54"}
    plain["protocol"] = 4
    lab.apply(
        AddMdb("a", "vxlan0", "239.1.1.1", "192.168.57.54", port=4000, vni=9, via="eth0"),
        AddMdb("a", "vxlan0", "ff05::1", "192.168.57.54"),
        AddMdb("a", "vxlan0", "0.0.0.0", "192.168.57.54"),
        AddMdb("a", "vxlan0", "239.1.1.2", "192.168.57.54", source="10.9.9.9"),
    )
    rows = lab["a"].state.mdb
    assert sorted(row.group for row in rows) == ["0.0.0.0", "239.1.1.1", "239.1.1.2", "ff05::1"]
    assert (
        MdbEntry(**plain, group="239.1.1.1", port=4000, vni=9, via="eth0", filter_mode="exclude")
        in rows
    )
    assert MdbEntry(**plain, group="239.1.1.2", source="10.9.9.9", filter_mode="include") in rows
    lab.apply(DelMdb("a", "vxlan0", "239.1.1.2", "192.168.57.54", source="10.9.9.9"))
    assert len(lab["a"].state.mdb) == 3


def test_who_added_a_group_entry_and_what_it_blocks_is_read(lab: Lab) -> None:
    sources = {"filter_mode": "exclude", "source_list": ("10.9.9.9",)}
    lab.apply(AddMdb("a", "vxlan0", "239.1.1.1", "192.168.57.54", protocol=186, **sources))  # type: ignore[arg-type]
    everyone, one = lab["a"].state.mdb
    assert (everyone.source, everyone.blocked, everyone.protocol) == (None, False, 186)
    assert (one.source, one.blocked, one.protocol) == ("10.9.9.9", True, 186)
    assert "src 10.9.9.9 permanent filter_mode include blocked proto 186" in str(one)
    lab.apply(FlushMdb("a", "vxlan0", protocol=4))
    assert len(lab["a"].state.mdb) == 2
    lab.apply(FlushMdb("a", "vxlan0", protocol=186))
    assert lab["a"].state.mdb == ()


def test_next_hops_are_read(lab: Lab) -> None:
    lab.apply(
        AddNexthop("a", 1, via="192.168.57.54"),
        AddNexthop("a", 2, via="192.168.57.55"),
        AddNexthop("a", 9, group=(1, (2, 5))),
        AddNexthop("a", 3, via="192.168.57.54", fdb=False, interface="eth0"),
    )
    assert lab["a"].state.nexthops == (
        NextHop(id=1, via="192.168.57.54", fdb=True),
        NextHop(id=2, via="192.168.57.55", fdb=True),
        NextHop(id=3, via="192.168.57.54", interface="eth0"),
        NextHop(id=9, group=((1, 1), (2, 5)), fdb=True),
    )
    shown = {row["id"] for row in lab["a"].ip("nexthop")}
    assert shown == {1, 2, 3, 9}
    lab.apply(DelNexthop("a", 9))
    assert [row.id for row in lab["a"].state.nexthops] == [1, 2, 3]


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (AddVni("a", "vx", 7), "+ vni 7 dev vx"),
        (
            AddMdb("a", "vxlan0", "239.1.1.1", "192.168.57.54"),
            "+ mdb dev vxlan0 port vxlan0 grp 239.1.1.1 permanent filter_mode exclude "
            "proto 4 dst 192.168.57.54",
        ),
        (
            AddNexthop("a", 1, via="192.168.57.54"),
            "+ nexthop id 1 via 192.168.57.54 fdb",
        ),
    ],
)
def test_what_is_added_shows_in_a_difference(lab: Lab, operation: Operation, line: str) -> None:
    before = lab["a"].state
    lab.apply(operation)
    assert difference(before, lab["a"].state) == [line]


def test_a_group_of_layer_2_is_a_mac() -> None:
    info = bytes.fromhex("02000000 01 00 0500") + bytes.fromhex("01005e010101") + bytes(10 + 4)
    entry = attribute(1, attribute(1, attribute(1, info)))
    message = bytes(16) + bytes.fromhex("0700000009000000") + entry
    (row,) = tunnels.mdb_rows(message, lambda index: f"if{index}")
    assert (row.interface, row.port_name, row.group, row.vlan) == (
        "if9",
        "if2",
        "01:00:5e:01:01:01",
        5,
    )
