"""Labs that several tests share, with all that a lab of one test has."""

from __future__ import annotations

import re

import pytest
from plugin_tools import counts, passed, run
from project_tools import Project

from vxlab import catalog, lab_fixture
from vxlab.errors import VxlabError

SHARED = """
import vxlab

SEEN = []
lab = vxlab.lab_fixture(catalog.point_to_point, vni=[5, 6], scope="module")

def test_first(lab):
    assert lab["a"].ping("172.18.1.3")
    lab["a"].run("ip", "link", "add", "mine", "type", "bridge")
    SEEN.append(lab)

def test_what_it_changed_is_still_there(lab, capture):
    assert lab is SEEN[-1]
    assert "mine" in [link["ifname"] for link in lab["a"].ip("link")]
    seen = capture("b")
    assert lab["a"].ping("172.18.1.3")
    assert {found.vni for found in seen.encapsulated()} == {len(SEEN) + 4}

@pytest.mark.usefixtures("lab")
class TestMore:
    def test_the_one_before_is_gone(self):
        assert [len(lab) > 0 for lab in SEEN] == [False] * (len(SEEN) - 1) + [True]
"""


def test_a_module_s_tests_share_a_lab(project: Project) -> None:
    assert len(passed(run(project, SHARED))) == 6


@pytest.mark.parametrize("scope", ["class", "package", "session", "function"])
def test_other_scopes(project: Project, scope: str) -> None:
    tests = f"""
import vxlab
SEEN = []
near = vxlab.lab_fixture(catalog.point_to_point(), scope="{scope}")

class TestOne:
    def test_a(self, near):
        SEEN.append(near)
    def test_b(self, near):
        assert (near is SEEN[0]) is ("{scope}" != "function")

def test_c(near):
    assert (near is SEEN[0]) is ("{scope}" in ("package", "session"))
"""
    assert len(passed(run(project, tests))) == 3


OWN = """
@pytest.fixture(scope="module")
def lab():
    with Lab(catalog.point_to_point(), recorder=True) as lab:
        yield lab
"""
OURS = """
import vxlab
lab = vxlab.lab_fixture(catalog.point_to_point)
"""
FAILING = """
def test_before(lab):
    lab["a"].send_marked("172.18.1.3", b"of the first test")

def test_failing(lab):
    lab["a"].send_marked("172.18.1.3", b"of the second test")
    lab["a"].popen("echo", "what it said").wait()
    assert not lab["a"].ping("172.18.1.3"), "on purpose"

@pytest.mark.usefixtures("lab")
def test_failing_too():
    assert False, "on purpose"
"""


@pytest.mark.parametrize("fixture", [OURS, OWN], ids=["ours", "own"])
def test_a_failed_test_has_the_evidence_of_a_shared_lab(project: Project, fixture: str) -> None:
    """Its own frames, not those of the tests before it."""
    done = run(project, fixture + FAILING, "--vxlab-evidence=kept", "--vxlab-pcap=frames")
    assert counts(done) == {"passed": 1, "failed": 2}, done.stdout
    kept = project.folder / "kept" / "test_it.py_test_failing"
    frames = (kept / "frames.txt").read_text()
    assert "of the second test" in frames
    assert "of the first test" not in frames
    assert "vxlan0" in (kept / "state.json").read_text()
    assert [path.read_text() for path in (kept / "logs").iterdir()] == ["what it said\n"]
    assert "vxlab: state of every node" in done.stdout
    pcap = {path.stem: path.read_bytes() for path in (project.folder / "frames").iterdir()}
    assert b"of the second test" in pcap["test_it.py_test_failing"]
    assert b"of the first test" not in pcap["test_it.py_test_failing"]
    assert b"of the first test" in pcap["test_it.py_test_before"]


def test_evidence_of_a_shared_lab_that_is_only_used(project: Project) -> None:
    done = run(project, OURS + FAILING, "--vxlab-evidence=kept")
    assert counts(done) == {"passed": 1, "failed": 2}
    assert (project.folder / "kept" / "test_it.py_test_failing_too" / "state.json").exists()


def test_a_failed_build_is_an_error_of_each_test_and_tried_once(project: Project) -> None:
    tests = """
import vxlab

def broken():
    with open("tried", "a") as file:
        file.write("x")
    raise vxlab.TopologyError("host a", "nic", "wanted another one, found this")

lab = vxlab.lab_fixture(broken)

def test_one(lab): pass
def test_two(lab): pass
"""
    done = run(project, tests)
    assert counts(done) == {"error": 2}
    assert (project.folder / "tried").read_text() == "x"
    assert len(re.findall("^ERROR test_it.py::test_", done.stdout, re.M)) == 2


def test_in_a_run_of_controls_each_test_has_a_broken_lab_of_its_own(project: Project) -> None:
    tests = """
import vxlab
lab = vxlab.lab_fixture(catalog.point_to_point, scope="session")

@pytest.mark.control("b's device has another VNI", vteps={"b": {"id": 43}})
def test_broken(lab):
    assert lab["a"].ping("172.18.1.3", timeout=0.3)

def remove(lab):
    lab["b"].run("ip", "link", "del", "vxlan0")

@pytest.mark.control("b's device is away", lab=remove)
def test_broken_otherwise(lab):
    assert lab["a"].ping("172.18.1.3", timeout=0.3)

@pytest.mark.control("nothing that matters", vteps={"b": {"ttl": 9}})
def test_stays_green(lab):
    assert lab["a"].ping("172.18.1.3", timeout=3)
"""
    assert len(passed(run(project, tests))) == 3
    done = run(project, tests, "--vxlab-controls")
    assert counts(done) == {"passed": 2, "failed": 1}, done.stdout
    assert "test_stays_green" in done.stdout


def test_a_lab_is_left_out_or_skipped_as_another(project: Project) -> None:
    tests = """
import vxlab
routed = vxlab.lab_fixture(catalog.multicast, router=["smcroute", "pimd"], scope="session")

def test_it(routed, request):
    assert "smcroute" in request.node.name
"""
    done = run(project, tests, "--vxlab-router=smcroute")
    assert counts(done).get("failed") is None, done.stdout
    assert "left out by --vxlab-router" in done.stdout


def test_a_scope_that_is_none_and_a_scope_in_the_marker(project: Project) -> None:
    with pytest.raises(VxlabError, match=r"lab_fixture: scope: wanted function or .*'modul'"):
        lab_fixture(catalog.point_to_point, scope="modul")  # type: ignore[arg-type]
    with pytest.raises(VxlabError, match="lab_fixture: vni: wanted at least one value"):
        lab_fixture(catalog.point_to_point, vni=[])
    tests = """
@pytest.mark.topology(catalog.point_to_point, scope="module")
def test_it(lab): pass
"""
    done = run(project, tests)
    assert "write `lab = vxlab.lab_fixture(..., scope='module')`" in done.stdout
