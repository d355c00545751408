"""The cost of describing grows with the size, not with its square."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from growing_topologies import SHAPES
from operation_counts import DOUBLED, growth

from vxlab.describe.builder import TopologyBuilder

#: Large enough that a square in any step would be half of the whole.
SIZE = 64


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_as_much_takes_twice_the_calls_of_the_builder(shape: str) -> None:
    assert growth(lambda size: lambda: SHAPES[shape](size), SIZE) <= DOUBLED


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_as_much_takes_twice_the_checks(shape: str) -> None:
    assert growth(lambda size: SHAPES[shape](size).build, SIZE) <= DOUBLED


def questions(size: int, ask: str) -> Callable[[], object]:
    """Ask a topology the same of each of its hosts and segments."""
    t = SHAPES["interfaces"](size).build()
    each: dict[str, Callable[[int], object]] = {
        "vtep": lambda n: t.vtep("a", f"s{n}"),
        "cards": lambda n: t.cards(t.switch(f"c{n}")),
        "nic": lambda n: t.nic(t.host("a"), t.host("a").vteps[n]),
        "mtu": lambda n: t.mtu(t.host("a"), t.host("a").vteps[n]),
        "port": lambda n: t.port(t.host("a"), t.host("a").vteps[n]),
    }
    return lambda: [each[ask](number) for number in range(size)]


@pytest.mark.parametrize("ask", ["vtep", "cards", "nic", "mtu", "port"])
def test_an_answer_does_not_take_longer_in_a_larger_topology(ask: str) -> None:
    assert growth(lambda size: questions(size, ask), SIZE) <= DOUBLED


def test_free_addresses_are_found_without_looking_at_all_that_are_taken() -> None:
    def fill(size: int) -> Callable[[], object]:
        t = TopologyBuilder("full").switch("lan", "10.0.0.0/16")
        return lambda: [t.host(f"h{number}", "lan") for number in range(size)]

    assert growth(fill, SIZE) <= DOUBLED
