"""Fixtures whose value is a lab: one for each test, and those that tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.errors import ProbeError
from vxlab.plugin import building, controls, evidence, sandboxing, variants
from vxlab.plugin.variants import Variant

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab


def shared(topology: Any, arguments: Mapping[str, Any], scope: Any) -> Any:
    """The fixture of :func:`vxlab.lab_fixture`, whose arguments are these.

    ``topology`` with ``arguments`` is the lab's, ``scope`` that of the fixture.  VxlabError where
    they cannot be.
    """
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
    skip_without(request.node, variants.features_of(topology))
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


def skip_without(node: pytest.Item | pytest.Collector, names: Iterable[str]) -> None:
    """Skip a test where one of the features ``names`` is missing, and say which.

    ``node`` is the test, or what the fixture belongs to that asks.  The run ends where no test can
    do without that feature; an error where nothing is known of it.
    """
    from vxlab import features

    try:
        missing = features.missing(building.also_needed(node.config, names))
    except ProbeError as error:
        pytest.fail(str(error), pytrace=False)
    needed = [feature.sentence() for feature in missing if feature.required]
    if needed:
        node.session.shouldfail = f"vxlab {'; '.join(needed)} (`vxlab doctor` lists what is needed)"
        pytest.fail(node.session.shouldfail, pytrace=False)
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))
