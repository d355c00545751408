"""Fixtures whose value is a lab: one for each test, and those that tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.plugin import building, controls, evidence, sandboxing, variants
from vxlab.plugin.variants import Variant

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab


def shared(topology: Any, arguments: Mapping[str, Any], scope: Any) -> Any:
    """The fixture of :func:`vxlab.lab_fixture`, which checks and describes what it is given."""
    found = variants.choices(topology, arguments, "lab_fixture")
    labels = [variant.label or variant.long_label for variant in found]

    def scope_of(fixture_name: str, config: pytest.Config) -> Any:
        return "function" if config.getoption("vxlab_controls") else scope

    def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
        variant = getattr(request, "param", found[0])
        skip_unwanted(request.config, variant)
        with open_lab(request, variant.build()) as made:
            yield made

    params = found if len(found) > 1 else None
    return pytest.fixture(scope=scope_of, params=params, ids=labels if params else None)(lab)


@contextlib.contextmanager
def open_lab(request: pytest.FixtureRequest, topology: Topology) -> Iterator[Lab]:
    """Within the block there is a lab, for the tests of a fixture's scope.

    Their test is skipped where the machine lacks what ``topology`` needs.  In a run of controls the
    lab is broken as the test says that asks by ``request``.
    """
    sandboxing.require(request.config)
    topology = controls.break_topology(request.node, topology)
    skip_without(request.config, variants.features_of(topology))
    made = building.new_lab(request.config, topology)
    controls.break_building(request.node, made)
    with made as lab:
        evidence.keep(request, lab)
        controls.break_lab(request.node, lab)
        yield lab


def wanted(config: pytest.Config, found: list[Variant]) -> list[Variant]:
    """Those of the variants that ``--vxlab-router`` and ``--vxlab-family`` leave."""
    return variants.wanted(
        found, config.getoption("vxlab_router"), config.getoption("vxlab_family")
    )


def skip_unwanted(config: pytest.Config, variant: Variant) -> None:
    """Skip the test where options leave its variant out."""
    if not wanted(config, [variant]):
        pytest.skip("left out by --vxlab-router or --vxlab-family")


def skip_without(config: pytest.Config, names: Iterable[str]) -> None:
    """Skip the test where the machine lacks one of the features ``names``, and say which."""
    from vxlab import features

    missing = features.missing(building.also_needed(config, names))
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))
