"""The fixtures topology, lab and capture, and the marker requires."""

from __future__ import annotations

import re

from plugin_tools import counts, passed, run

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


def test_fixtures_make_one_fresh_lab_a_test(project):
    done = run(project, "import vxlab\n" + FIXTURES)
    assert len(passed(done)) == FIXTURES.count("def test_") + 1
    assert re.search(
        r"^vxlab: kernel .*, in a sandbox \(.*\), as test_it.py imports vxlab$",
        done.stdout,
        re.MULTILINE,
    )


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


def test_requires_skips_with_the_reason(project):
    project.write("conftest.py", WITHOUT_VRF)
    done = run(project, REQUIRES)
    assert counts(done) == {"passed": 2, "skipped": 3, "error": 2}
    reasons = re.findall(r"^SKIPPED \[(\d)\] .+?:\d+: needs vrf: .+; .+$", done.stdout, re.M)
    assert sum(map(int, reasons)) == 3
    assert not (project.folder / "ran").exists()
    assert "VxlabError: wanted the name of a feature, found 'vfr': did you mean vrf" in done.stdout
    assert "the marker requires: wanted names of features, found ['vrf']" in done.stdout
