"""Any valid topology comes up and goes away; any with one broken field never meets the kernel."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_tools import NeverBackend
from random_topologies import BREAKINGS, RUN, Breaking, topologies
from resource_tools import nothing_left

from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError
from vxlab.live.lab import Lab
from vxlab.operations import AddLink
from vxlab.plan.planner import make_plan


@contextlib.contextmanager
def in_new_folder() -> Iterator[None]:
    """A folder for each example, where a fixture would be one for all."""
    with tempfile.TemporaryDirectory() as folder, nothing_left(Path(folder, "temp")):
        yield


@RUN
@given(topologies())
def test_a_valid_topology_comes_up_and_goes_away(topology: Topology) -> None:
    with in_new_folder(), Lab(topology) as lab:
        assert tuple(lab) == topology.nodes
        found = {name: {link.name: link for link in node.state.links} for name, node in lab.items()}
        for operation in lab.plan:
            if isinstance(operation, AddLink):
                link = found[operation.node][operation.name]
                assert (link.index, link.kind, link.up) == (operation.index, operation.kind, True)


@RUN
@given(topologies())
def test_planning_touches_nothing(topology: Topology) -> None:
    with in_new_folder():
        assert make_plan(topology) == make_plan(topology)


@pytest.mark.parametrize("breaking", [pytest.param(b, id=name) for name, b in BREAKINGS.items()])
@settings(RUN, max_examples=5)
@given(topology=topologies())
def test_one_broken_field_is_refused_before_the_kernel_sees_it(
    breaking: Breaking, topology: Topology
) -> None:
    with pytest.raises(TopologyError, match=r"^\S.*: .*: ") as caught:
        Lab(breaking(topology), backend=NeverBackend()).open()
    assert caught.value.node
    assert caught.value.field


@RUN
@given(topologies(), st.sampled_from(sorted(BREAKINGS)))
def test_a_topology_is_still_good_after_a_broken_copy(topology: Topology, name: str) -> None:
    plan = make_plan(topology)
    with pytest.raises(TopologyError):
        BREAKINGS[name](topology)
    assert make_plan(topology) == plan
