"""What a project that uses vxlab gets: pytest is run on small ones, as a program of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from plugin_tools import HEAD, NO_SANDBOX, PYTEST, counts, passed, run, strict_project
from project_tools import Project, environment

INSTALLED = any(point.value == "vxlab.plugin.hooks" for point in entry_points(group="pytest11"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return strict_project(tmp_path / "project")


# --- the marker topology ---------------------------------------------------------------------

WAYS = """
def built(hosts=2, vni=7, vrf=False):
    return catalog.bridged(hosts=hosts, vni=vni)

def look(topology, hosts, vni):
    assert len(topology.hosts) == hosts
    assert topology.segment("overlay").vni == vni

@pytest.mark.topology(built(3))
def test_a_topology(topology):
    look(topology, 3, 7)

@pytest.mark.topology(TopologyBuilder("empty").switch("lan", "10.0.0.0/24"))
def test_a_builder(topology):
    assert topology.nodes == ("lan",)

@pytest.mark.topology(built, hosts=3, vni=8)
def test_a_function(topology):
    look(topology, 3, 8)

@pytest.mark.topology.with_args(built)
def test_a_function_alone(topology):
    look(topology, 2, 7)

@pytest.mark.topology(built, hosts=[2, 3], vni=9, vrf=[True, False])
def test_lists(topology, request):
    assert f"hosts={len(topology.hosts)}-" in request.node.name
    look(topology, len(topology.hosts), 9)

@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.topology(built())
def test_several(topology, number):
    assert number in (1, 2)

@pytest.mark.topology(built, hosts=3)
class TestNearest:
    def test_of_the_class(self, topology):
        look(topology, 3, 7)

    @pytest.mark.topology(built, vni=[4, 5])
    def test_of_the_function(self, topology, request):
        look(topology, 2, int(request.node.name[-2]))

class TestDerived(TestNearest):
    pass

def test_of_the_module(topology):
    look(topology, 2, 11)

@pytest.mark.topology(built, vni=3)
def test_used_through_request(request):
    look(request.getfixturevalue("topology"), 2, 3)

@pytest.mark.parametrize("topology", [built(vni=1), pytest.param(built(vni=2), id="two")])
def test_parametrised_directly(topology):
    assert topology.segment("overlay").vni in (1, 2)

@pytest.mark.parametrize("topology", [built(vni=1)], indirect=True)
def test_parametrised_indirectly(topology):
    look(topology, 2, 1)

@pytest.mark.topology(built, vni=[4, 5])
class TestOverridden:
    @pytest.fixture
    def topology(self, topology):
        return topology.with_vtep("a", "overlay", id=6)

    def test_a_fixture_may_change_it(self, topology):
        host = topology.host("a")
        assert topology.attributes(host, host.vteps[0])["id"] == 6

class TestComputed:
    @pytest.fixture(params=[4, 5])
    def topology(self, request):
        return built(vni=request.param)

    def test_a_fixture_may_make_it(self, topology, request):
        look(topology, 2, int(request.node.name[-2]))

pytestmark = pytest.mark.topology(built, vni=11)
"""


def test_every_way_to_say_which_topology(project):
    """Without a sandbox, which a topology does not need."""
    assert passed(run(project, WAYS, *NO_SANDBOX)) == [
        "test_a_topology",
        "test_a_builder",
        "test_a_function",
        "test_a_function_alone",
        "test_lists[hosts=2-vrf]",
        "test_lists[hosts=2-no_vrf]",
        "test_lists[hosts=3-vrf]",
        "test_lists[hosts=3-no_vrf]",
        "test_several[ipv4-1]",
        "test_several[ipv4-2]",
        "test_several[ipv6-1]",
        "test_several[ipv6-2]",
        "test_several[bridged-1]",
        "test_several[bridged-2]",
        "TestNearest::test_of_the_class",
        "TestNearest::test_of_the_function[vni=4]",
        "TestNearest::test_of_the_function[vni=5]",
        "TestDerived::test_of_the_class",
        "TestDerived::test_of_the_function[vni=4]",
        "TestDerived::test_of_the_function[vni=5]",
        "test_of_the_module",
        "test_used_through_request",
        "test_parametrised_directly[topology0]",
        "test_parametrised_directly[two]",
        "test_parametrised_indirectly[topology0]",
        "TestOverridden::test_a_fixture_may_change_it[vni=4]",
        "TestOverridden::test_a_fixture_may_change_it[vni=5]",
        "TestComputed::test_a_fixture_may_make_it[4]",
        "TestComputed::test_a_fixture_may_make_it[5]",
    ]


# --- the fixtures ----------------------------------------------------------------------------

FIXTURES = """
import os, pathlib

pytestmark = pytest.mark.topology(catalog.point_to_point())
LABS, CAPTURES = [], []

@pytest.mark.parametrize("number", [1, 2])
def test_a_fresh_lab_for_every_test(lab, number):
    assert [link["ifname"] for link in lab["a"].ip("link")] == ["lo", "eth0", "vxlan0"]
    assert [(len(old), old.recorders) for old in LABS] == [(0, {})] * (number - 1)
    lab["a"].run("ip", "link", "add", "mine", "type", "bridge")
    LABS.append(lab)

def test_one_lab_for_all_fixtures_of_a_test(lab, request, topology, capture):
    assert not request.config.pluginmanager.hasplugin("xdist.plugin")
    assert request.getfixturevalue("lab") is lab
    assert lab.topology == topology
    assert capture("a").node == "a"

def test_a_capture_is_live_at_once(lab, capture):
    seen, inner = capture("b"), capture("b:vxlan0")
    assert seen.was_live and inner.was_live
    assert lab["a"].ping("172.18.1.3")
    inner.stop()
    assert "echo request" in str([frame.summary() for frame in inner.frames])
    assert {found.vni for found in seen.encapsulated()} == {42}
    lab["a"].send_marked("172.18.1.3", b"by hand")
    CAPTURES.append((seen, inner))

def test_and_over_with_the_test():
    ((seen, inner),) = CAPTURES
    assert inner.proof.startswith("proven live at start and stop")
    assert seen.proof.startswith("proven live at start and stop")

def test_a_deaf_capture_is_no_proof(lab, capture):
    seen = capture("b")
    seen.proof_timeout = 0.01
    seen.deafen()
    assert lab["a"].ping("172.18.1.3")
    seen.stop()
    assert not seen.frames and not seen.was_live

def test_captures_take_options_and_know_places(capture):
    assert capture("a", ports=(1, 2)).ports == (1, 2)
    with pytest.raises(vxlab.VxlabError, match="wanted the node 'c', found a, b"):
        capture("c")
    with pytest.raises(vxlab.CaptureError, match="wanted the interface 'eth7'"):
        capture("a:eth7")

class TestBuilder:
    @pytest.fixture
    def topology(self):
        return TopologyBuilder("small").switch("lan", "10.0.0.0/24")

    def test_a_lab_takes_a_builder_too(self, lab):
        assert list(lab) == ["lan"]

@pytest.mark.usefixtures("lab")
def test_the_lab_may_be_used_without_its_name(request):
    assert request.getfixturevalue("lab")["a"].ping("172.18.1.3")

def test_a_lab_may_be_closed_by_its_test(lab):
    lab.close()
"""


def test_fixtures(project):
    done = run(project, "import vxlab\n" + FIXTURES)
    assert len(passed(done)) == FIXTURES.count("def test_") + 1
    assert re.search(r"^vxlab: kernel .*, in a sandbox$", done.stdout, re.MULTILINE)


# --- the marker requires ---------------------------------------------------------------------

REQUIRES = """
import pathlib

@pytest.mark.requires("vrf")
def test_lacking():
    pathlib.Path("ran").touch()

@pytest.mark.requires("ip", "ping")
def test_having():
    pass

@pytest.mark.requires("ping")
class TestMore:
    @pytest.mark.requires("bridge", "vrf")
    def test_lacking_one_of_several(self):
        pathlib.Path("ran").touch()

@pytest.mark.topology(catalog.point_to_point, vrf=True)
def test_lacking_for_its_lab(lab):
    pathlib.Path("ran").touch()

@pytest.mark.topology(catalog.point_to_point, vrf=True)
def test_no_lab(topology):
    assert topology.hosts[0].vteps[0].vrf

@pytest.mark.requires("vfr")
def test_unknown():
    pass

@pytest.mark.requires(["vrf"])
def test_no_name():
    pass
"""
#: Where a machine has vrf it is taken away, since nothing can be skipped for a lack of nothing.
WITHOUT_VRF = """
import dataclasses
from vxlab import features, sandbox

if sandbox.inside() and features.probe("vrf").available:
    real = features.probe
    def probe(name):
        found = real(name)
        if name != "vrf":
            return found
        return dataclasses.replace(found, available=False, reason="taken away", hint="elsewhere")
    features.probe = probe
"""


def test_requires(project):
    project.write("conftest.py", WITHOUT_VRF)
    done = run(project, REQUIRES)
    assert counts(done) == {"passed": 2, "skipped": 3, "error": 2}
    reasons = re.findall(r"^SKIPPED \[(\d)\] .+?:\d+: needs vrf: .+; .+$", done.stdout, re.M)
    assert sum(map(int, reasons)) == 3
    assert not (project.folder / "ran").exists()
    assert "VxlabError: wanted the name of a feature, found 'vfr': did you mean vrf" in done.stdout
    assert "the marker requires: wanted names of features, found ['vrf']" in done.stdout


# --- mistakes --------------------------------------------------------------------------------

MISTAKES = """
import unittest

def test_unmarked(lab):
    pass

@pytest.mark.topology(catalog.bridged, vni=[1 << 24])
def test_wrong(lab):
    pass

@pytest.mark.topology("bridged")
def test_no_topology(lab):
    pass

@pytest.mark.topology(catalog.bridged, family=[4, 6])
class TestOld(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def lab_of_it(self, request):
        request.getfixturevalue("lab")

    def test_several(self):
        pass

class TestOther:
    @pytest.fixture
    def topology(self):
        return "bridged"

    def test_overridden(self, lab):
        pass
"""
WRONG_MARKERS = {
    "test_two.py": "@pytest.mark.topology(catalog.bridged(), catalog.bridged())",
    "test_empty.py": "@pytest.mark.topology(catalog.bridged, family=[])",
    "test_unknown.py": "@pytest.mark.topolgy(catalog.bridged())",
}


def test_mistakes_are_explained(project):
    for name, marker in WRONG_MARKERS.items():
        project.write(name, f"{HEAD}\n{marker}\ndef test_never(lab):\n    pass\n")
    done = run(project, MISTAKES, "--continue-on-collection-errors")
    assert counts(done) == {"error": 8}
    for sentence in (
        "VxlabError: test_unmarked: wanted the marker topology on a test that uses `lab`, found "
        "none: add @pytest.mark.topology(...), or override the fixture `topology`",
        "TopologyError: segment overlay: vni: wanted ",
        "VxlabError: wanted a Topology from 'bridged', found 'bridged': return one",
        "VxlabError: test_several: wanted one topology, found 2: to run on each of them",
        "test_two.py::test_never: the marker topology: wanted one topology, or a function that ",
        "test_empty.py::test_never: the marker topology: family: wanted at least one value",
        "'topolgy' not found in `markers` configuration option",
    ):
        assert sentence in done.stdout


# --- as it is installed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        (
            "--markers",
            [r"@pytest\.mark\.topology\(what, .*\): .+", r"@pytest\.mark\.requires\(.*\): .+"],
        ),
        (
            "--help",
            [f"  --vxlab-{word}[= ].*" for word in ("router", "family", "pcap", "evidence")],
        ),
        ("--fixtures", [rf"{name} -- .*plugin\.py:\d+" for name in ("lab", "topology", "capture")]),
    ],
)
def test_all_is_listed(project, option, wanted):
    done = project.call([*PYTEST, option])
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    for line in wanted:
        assert re.search(rf"^{line}$", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.skipif(not INSTALLED, reason="vxlab is not installed here, only its source is used")
def test_the_installed_plugin_needs_no_other(project):
    project.write(
        "test_it.py",
        f"""{HEAD}
@pytest.mark.topology(catalog.point_to_point())
def test_it(lab, capture, request):
    assert not request.config.pluginmanager.hasplugin("xdist")
    assert lab["a"].ping("172.18.1.3")
""",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider"],
        cwd=project.folder,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert passed(done) == ["test_it"]
