"""Mistakes in planner and catalog are noticed, by the written states and by E1 to E5."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built_state import built, difference, written
from mutants import MUTANTS
from mutations import Mutant

from vxlab import catalog, features
from vxlab.describe.topology import Topology
from vxlab.live.lab import Lab
from vxlab.plugin.variants import features_of

SCENARIOS = Path(__file__).parents[2] / "scenarios"

#: Arguments that the markers of scenarios name, and the values that the written states have.
USUAL = {
    "point-to-point": {"vni": 42, "port": 4789, "vrf": False},
    "bridged": {},
    "multicast": {},
    "one-switch": {},
    "kim-and-lee": {"router": "smcroute", "ttl": "rule"},
    "routed": {},
}
WITH_SCENARIO = [mutant for mutant in MUTANTS if mutant.scenario]


def arguments_of(mutant: Mutant) -> dict[str, Any]:
    """What a scenario of the mutant is told that its topology was asked for."""
    return {"family": mutant.family, **USUAL[mutant.topology], **mutant.arguments}


def topology_of(mutant: Mutant) -> Topology:
    """The mutant's topology; the test is skipped where this machine cannot have it."""
    topology = catalog.CATALOG[mutant.topology](**arguments_of(mutant))
    missing = features.missing(features_of(topology))
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))
    return topology


def scenario_of(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> Callable[[Lab], None]:
    """The scenario that speaks of what the mutant does wrong, to be run on a lab."""
    assert mutant.scenario is not None
    monkeypatch.syspath_prepend(SCENARIOS)
    module, name = mutant.scenario
    function = getattr(importlib.import_module(module), name)
    return lambda lab: function(lab, arguments_of(mutant))


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_it_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    run = scenario_of(mutant, monkeypatch) if mutant.scenario else None
    mutant.patch(monkeypatch)
    with Lab(topology_of(mutant)) as lab:
        if mutant.row is not None:
            rows = difference(written(mutant.topology, mutant.family), built(lab))
            assert any(re.match(mutant.row, row + " ") for row in rows), "\n".join(rows)
        if run is not None:
            with pytest.raises(AssertionError):
                run(lab)


@pytest.mark.parametrize(
    "mutant",
    {(m.scenario, m.topology, m.family, *m.arguments): m for m in WITH_SCENARIO}.values(),
    ids=lambda mutant: f"{mutant.scenario[1]}-ipv{mutant.family}",
)
def test_without_it_its_scenario_passes(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    run = scenario_of(mutant, monkeypatch)
    with Lab(topology_of(mutant)) as lab:
        run(lab)


def test_each_mutant_is_noticed_by_something_and_each_topology_has_some() -> None:
    assert len(MUTANTS) >= 26
    assert len({str(mutant) for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.row or mutant.scenario for mutant in MUTANTS)
    assert {mutant.topology for mutant in MUTANTS} == set(USUAL)
    assert set(catalog.CATALOG) >= set(USUAL)
    assert {mutant.scenario[0][:7] for mutant in WITH_SCENARIO} == {
        f"test_e{n}" for n in range(1, 6)
    }
