"""Topologies that others made up can be written down, built in all ways, used and taken away."""

from __future__ import annotations

import kernel_routing_topologies
import kernel_topologies
import pytest
import reported_topologies
from feature_tools import skip_without_all
from known_topologies import KNOWN, Known

from vxlab import Lab, TopologyBuilder, difference, wait_until

MODULES = (kernel_topologies, kernel_routing_topologies, reported_topologies)


def differences(one: Lab, other: Lab) -> list[str]:
    """What two labs do not have in common, apart from what was learned."""
    before, after = one.state(), other.state()
    assert before.keys() == after.keys()
    return [
        f"{node}: {line}"
        for node in before
        for line in difference(before[node], after[node])
        if not line.endswith(" learned")
    ]


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("known", KNOWN, ids=str)
def test_it_is_the_same_in_all_ways_and_carries_and_goes(known: Known) -> None:
    topology = known.build()
    skip_without_all(topology, by_ip=True)
    with Lab(topology) as lab:
        for by in ("iproute2", "script"):
            with Lab(topology, backend=by) as other:
                wait_until(
                    lambda other=other: not differences(lab, other),  # type: ignore[misc]
                    f"the labs built by netlink and by {by} to be in the same state",
                    found=lambda other=other: "\n".join(differences(lab, other)),  # type: ignore[misc]
                )
                unreached = other.unreached(known.pings, timeout=10)
                assert not unreached, f"{by}: {unreached}"
        assert not lab.unreached(known.pings, timeout=10)


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(KNOWN) >= 40
    assert len({str(known) for known in KNOWN}) == len(KNOWN)
    assert len({known.build().name for known in KNOWN}) == len(KNOWN)


def test_they_are_written_with_what_is_public_and_with_the_builder() -> None:
    for module in MODULES:
        for name, value in vars(module).items():
            where = getattr(value, "__module__", "")
            assert not where.startswith("vxlab.plan.planner"), name
    assert all(isinstance(known.make(), TopologyBuilder) for known in KNOWN)
