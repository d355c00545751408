"""The pytest plugin: its markers, options, and the fixtures ``lab`` and ``capture``.

Installed by the entry point ``pytest11``, so any project that has vxlab installed may write::

    @pytest.mark.topology(catalog.bridged, hosts=[2, 3])
    def test_containers_reach_each_other(lab):
        assert lab["ns0"].ping("172.18.1.3")
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.errors import VxlabError
from vxlab.plugin import (
    building,
    controls,
    evidence,
    lab_fixtures,
    places,
    reports,
    sandboxing,
    variants,
)
from vxlab.plugin.controls import (
    pytest_cmdline_main,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_pyfunc_call,
)
from vxlab.plugin.evidence import pytest_runtest_makereport, pytest_runtest_teardown
from vxlab.plugin.evidence_names import pytest_configure_node
from vxlab.plugin.sandboxing import pytest_load_initial_conftests
from vxlab.plugin.variants import Variant
from vxlab.system import visits

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab
    from vxlab.observe.capture import Capture

__all__ = [
    "pytest_cmdline_main",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure_node",
    "pytest_load_initial_conftests",
    "pytest_pyfunc_call",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
]


variants.take_functions()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the plugin's options."""
    for part in (sandboxing, controls, building, evidence, reports):
        part.add_options(parser)
    group = parser.getgroup("vxlab")
    group.addoption(
        "--vxlab-router",
        choices=["smcroute", "pimd"],
        help="leave out topologies that name another multicast router",
    )
    group.addoption(
        "--vxlab-family",
        type=int,
        choices=[4, 6],
        help="leave out topologies that name another underlay family",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Define the markers, and give an xdist worker its own namespaces."""
    sandboxing.configure(config)
    building.configure(config)
    reports.configure(config)
    places.configure(config)
    for line in (
        "topology(what, **arguments): the lab's topology: a Topology, or a function and its "
        "arguments, where a list stands for several variants",
        "requires(*features): skip where the machine lacks one of these (see `vxlab doctor`)",
        *controls.MARKERS,
        reports.MARKER,
    ):
        config.addinivalue_line("markers", line)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which kernel is the subject, where the run is and why, and how labs are built."""
    place = sandboxing.header(config)
    return [f"vxlab: kernel {os.uname().release}, {place}", *building.header(config)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each variant of its topology."""
    controls.check(metafunc.definition)
    if "topology" not in metafunc.fixturenames:
        return
    try:
        found = variants.variants(metafunc.definition)
    except VxlabError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from error
    if any(variant.label for variant in found):  # a lone one is found by the fixture
        chosen = lab_fixtures.wanted(metafunc.config, found) or found[:1]  # which the fixture skips
        labels = [variant.label for variant in chosen]
        metafunc.parametrize("topology", chosen, indirect=True, ids=labels)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that requires what this machine lacks, and say what, and where it could run."""
    evidence.begin(item)
    controls.prepare(item)
    names = [name for mark in item.iter_markers("requires") for name in mark.args]
    for name in names:
        if not isinstance(name, str):
            raise VxlabError(f"the marker requires: wanted names of features, found {name!r}")
    if names:
        sandboxing.require(item.config)
        lab_fixtures.skip_without(item, names)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """After a test its thread is in the network namespace that it was in before, come what may."""
    before = visits.open_visits()
    try:
        return (yield)
    finally:
        visits.end_visits(before)


@pytest.fixture
def topology(request: pytest.FixtureRequest) -> Topology:
    """The topology of this test, from its marker ``topology``; override it to compute one."""
    variant = getattr(request, "param", None) or _only_variant(request.node)
    if not isinstance(variant, Variant):
        variant = Variant(variant)  # of a test that is parametrised by its own marker
    lab_fixtures.skip_unwanted(request.config, variant)
    return controls.break_topology(request.node, variant.build())


def _only_variant(node: pytest.Item) -> Variant:
    found = variants.variants(node)
    if not found:
        raise VxlabError(
            f"{node.name}: wanted the marker topology on a test that uses `lab`, found "
            "none: add @pytest.mark.topology(...), or override the fixture `topology`"
        )
    if len(found) > 1:
        raise VxlabError(
            f"{node.name}: wanted one topology, found {len(found)}: to run on each of them the "
            "test must be a function that names `lab` or `topology` as an argument"
        )
    return found[0]


@pytest.fixture
def lab(request: pytest.FixtureRequest, topology: Topology) -> Iterator[Lab]:
    """A fresh lab of the test's topology, ready for traffic; gone after the test."""
    # who overrides the fixture topology may return a builder
    with lab_fixtures.open_lab(request, Variant(topology).build()) as made:
        yield made


@pytest.fixture
def capture(lab: Lab) -> Iterator[Callable[..., Capture]]:
    """A function that starts a capture at a place of the lab, live until the test's end.

    ``seen = capture("lxc1:ens33")``; the place, and the options ``ports`` and ``buffer``, are as
    for :meth:`vxlab.Lab.capture`.
    """
    with contextlib.ExitStack() as stack:

        def start(place: str, **options: Any) -> Capture:
            return stack.enter_context(lab.capture(place, **options))[place]

        yield start
