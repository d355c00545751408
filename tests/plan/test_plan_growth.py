"""The cost of a plan, and of the script that is made of one, grows with its length."""

from __future__ import annotations

import pytest
from growing_topologies import SHAPES, hosts
from operation_counts import DOUBLED, growth, operations

from vxlab.apply.script.text import script_of
from vxlab.plan.planner import make_plan

SIZE = 64

#: Those whose plans are as long as their topologies.  Where each host floods to each other one,
#: the forwarding entries are what grows with the square, and they are what was asked for.
LINEAR = [shape for shape in SHAPES if shape != "hosts"]


@pytest.mark.parametrize("shape", LINEAR)
def test_twice_as_much_takes_twice_the_planning(shape: str) -> None:
    topologies = {size: SHAPES[shape](size).build() for size in (SIZE, 2 * SIZE)}
    assert growth(lambda size: lambda: make_plan(topologies[size]), SIZE) <= DOUBLED


@pytest.mark.parametrize("shape", LINEAR)
def test_twice_as_much_takes_twice_the_script(shape: str) -> None:
    topologies = {size: SHAPES[shape](size).build() for size in (SIZE, 2 * SIZE)}
    assert growth(lambda size: lambda: script_of(topologies[size]), SIZE) <= DOUBLED


def test_where_all_hosts_flood_to_all_an_entry_costs_the_same() -> None:
    def cost(size: int) -> float:
        topology = hosts(size).build()
        return operations(lambda: make_plan(topology)) / len(make_plan(topology))

    assert cost(2 * SIZE) <= cost(SIZE) * 1.15
