"""The pytest plugin: its markers, options, and the fixtures ``lab`` and ``capture``.

Installed by the entry point ``pytest11``, so any project that has vxlab installed may write::

    @pytest.mark.topology(catalog.bridged, hosts=[2, 3])
    def test_containers_reach_each_other(lab):
        assert lab["ns0"].ping("172.18.1.3")
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.errors import VxlabError
from vxlab.plugin import building, controls, reports, sandboxing, variants
from vxlab.plugin.controls import (
    pytest_cmdline_main,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_pyfunc_call,
)
from vxlab.plugin.sandboxing import pytest_load_initial_conftests
from vxlab.plugin.variants import Variant

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab
    from vxlab.observe.capture import Capture

__all__ = [
    "pytest_cmdline_main",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_load_initial_conftests",
    "pytest_pyfunc_call",
]

_LAB = pytest.StashKey["Lab"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the plugin's options."""
    for part in (sandboxing, controls, building, reports):
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
    group.addoption(
        "--vxlab-pcap",
        metavar="DIR",
        type=Path,
        help="write the frames of every test to DIR, one pcapng file a test",
    )
    group.addoption(
        "--vxlab-evidence",
        metavar="DIR",
        type=Path,
        help="keep the evidence of every failed test in DIR: report, plan, state, frames",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Define the markers, and give an xdist worker its own namespaces."""
    sandboxing.configure(config)
    building.configure(config)
    reports.configure(config)
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
        chosen = _wanted(metafunc.config, found) or found[:1]  # which the fixture skips
        labels = [variant.label for variant in chosen]
        metafunc.parametrize("topology", chosen, indirect=True, ids=labels)


def _wanted(config: pytest.Config, found: list[Variant]) -> list[Variant]:
    return variants.wanted(
        found, config.getoption("vxlab_router"), config.getoption("vxlab_family")
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that requires what this machine lacks, and say what, and where it could run."""
    names = [name for mark in item.iter_markers("requires") for name in mark.args]
    for name in names:
        if not isinstance(name, str):
            raise VxlabError(f"the marker requires: wanted names of features, found {name!r}")
    if names:
        sandboxing.require(item.config)
        _skip_without(item.config, names)


def _skip_without(config: pytest.Config, names: Iterable[str]) -> None:
    from vxlab import features

    missing = features.missing(building.also_needed(config, names))
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))


@pytest.fixture
def topology(request: pytest.FixtureRequest) -> Topology:
    """The topology of this test, from its marker ``topology``; override it to compute one."""
    variant = getattr(request, "param", None) or _only_variant(request.node)
    if not isinstance(variant, Variant):
        variant = Variant(variant)  # of a test that is parametrised by its own marker
    if not _wanted(request.config, [variant]):
        pytest.skip("left out by --vxlab-router or --vxlab-family")
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
    sandboxing.require(request.config)
    topology = Variant(topology).build()  # who overrides the fixture may return a builder
    topology = controls.break_topology(request.node, topology)
    _skip_without(request.config, variants.features_of(topology))
    made = building.new_lab(request.config, topology)
    controls.break_building(request.node, made)
    with made as lab:
        request.node.stash[_LAB] = lab
        controls.break_lab(request.node, lab)
        yield lab
        folder = _folder(request.config, "vxlab_pcap")
        if folder is not None:
            from vxlab.explain import failure_report

            failure_report.write_frames(lab, folder, request.node.nodeid)


def _folder(config: pytest.Config, option: str) -> Path | None:
    """The folder that an option names, wherever a test has gone to meanwhile."""
    given: Path | None = config.getoption(option)
    return None if given is None else config.invocation_params.dir / given


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of every node and the last frames to the report of a failed test.

    Also where a fixture that uses the lab failed; not where one fails at its end, for the lab
    is gone by then, as it is where the test has closed it.
    """
    report = yield
    lab = item.stash.get(_LAB, None)
    if report.failed and lab is not None and len(lab):
        _add_evidence(item, lab, report)
    return report


def _add_evidence(item: pytest.Item, lab: Lab, report: pytest.TestReport) -> None:
    from vxlab.explain import failure_report

    def told(title: str, tell: Callable[[], object]) -> None:
        try:
            content = str(tell())
        except Exception as error:  # whatever it is, the test's own failure must not be lost
            content = f"none: {type(error).__name__}: {error}"
        report.sections.append((f"vxlab: {title}", content))

    told("state of every node", lambda: failure_report.states_text(lab))
    told("last frames", lambda: failure_report.last_frames_text(lab))
    folder, text = _folder(item.config, "vxlab_evidence"), report.longreprtext
    if folder is not None:
        told("evidence", lambda: failure_report.write_evidence(lab, folder, item.nodeid, text))
