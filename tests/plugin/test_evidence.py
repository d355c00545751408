"""What is kept of failed tests: a folder for each, and what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from plugin_tools import HEAD, PYTEST, counts, run
from project_tools import Project

LOOK_ALIKES = """
pytestmark = pytest.mark.topology(catalog.point_to_point())

@pytest.mark.parametrize("what", ["ipv4", "a b", "a_b", "a::b"])
def test_ping(lab, what):
    assert not "parametrised", what

def test_ping_ipv4(lab):
    assert not "plain"

def test_ping_a_b(lab):
    assert not "plain"

class Test_A:
    def test_b(self, lab):
        assert not "in a class"

class Test:
    def test_A_test_b(self, lab):
        assert not "in a class"
"""
#: Files of one name in different folders, and a file that is named like one of them.
FILES = ("test_x.py", "a/test_x.py", "b/test_x.py", "a_test_x.py")


def folders(project: Project) -> list[str]:
    return sorted(path.name for path in (project.folder / "kept").iterdir())


@pytest.mark.parametrize("args", [(), ("-p", "xdist.plugin", "-n4")], ids=["alone", "workers"])
def test_every_failed_test_has_a_folder(project, args):
    for name in FILES:
        project.write(name, HEAD + LOOK_ALIKES)
    options = ("--vxlab-evidence=kept", "--import-mode=importlib", "-o", "python_files=*test_x.py")
    done = project.call([*PYTEST, *options, *args])
    failed = counts(done)["failed"]
    assert failed == 8 * len(FILES)
    kept = folders(project)
    assert len(kept) == failed
    said = set(re.findall(r"^.*/kept/(\S+)$", done.stdout, re.MULTILINE))
    assert said == set(kept)
    assert "test_x.py_test_ping_ipv4" in kept
    assert any(re.fullmatch(r"a_test_x\.py_test_ping_ipv4-\w{8}", each) for each in kept)
    for each in kept:
        report = (project.folder / "kept" / each / "report.txt").read_text()
        assert report.count("AssertionError") >= 1


AGAIN = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    # as pytest-rerunfailures does it
    for _ in range(3):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        item._initrequest()
    return True
"""
FAILING = """
@pytest.mark.topology(catalog.point_to_point())
def test_it(lab):
    assert not "found"
"""


def test_a_test_that_is_run_again_has_a_folder_for_each_failure(project):
    project.write("conftest.py", AGAIN)
    done = run(project, FAILING, "--vxlab-evidence=kept", "--vxlab-pcap=frames")
    assert counts(done)["failed"] == 3
    names = ["test_it.py_test_it", "test_it.py_test_it.2", "test_it.py_test_it.3"]
    assert folders(project) == names
    frames = sorted(path.name for path in (project.folder / "frames").iterdir())
    assert frames == sorted(f"{name}.pcapng" for name in names)


def test_a_later_run_writes_over_that_of_an_earlier_one(project):
    for _ in range(2):
        run(project, FAILING, "--vxlab-evidence=kept")
    assert folders(project) == ["test_it.py_test_it"]


def test_workers_that_all_run_all_tests_keep_apart(project):
    done = run(
        project, FAILING, "--vxlab-evidence=kept", "-p", "xdist.plugin", "-n2", "--dist=each"
    )
    assert "2 failed" in done.stdout
    assert folders(project) == ["test_it.py_test_it-gw0", "test_it.py_test_it-gw1"]


def test_files_outside_of_the_root_folder_keep_apart(project, tmp_path):
    paths = [str(tmp_path / folder / "test_it.py") for folder in ("one", "two")]
    for path in paths:
        Path(path).parent.mkdir()
        Path(path).write_text(HEAD + FAILING)
    done = project.call(
        [*PYTEST, "--vxlab-evidence=kept", "--import-mode=importlib", "--rootdir=.", *paths]
    )
    assert "2 failed" in done.stdout
    assert len(folders(project)) == 2


CHANGED = """
from vxlab.operations import AddAddress, SetLink

def drop(operation):
    is_overlay = isinstance(operation, AddAddress) and operation.interface == "vxlan0"
    return None if is_overlay else operation

def take_down(lab):
    lab.apply(SetLink("a", "vxlan0", up=False))

@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.behaviour("a ping is answered", source="x")
@pytest.mark.control("the device is down and has no address", lab=take_down, change=drop)
def test_it(lab):
    lab.apply(SetLink("a", "vxlan0", up=True), SetLink("a", "vxlan0", mtu=1400))
    assert "CONTROL" not in os.environ
    assert not "found"
"""


def test_the_plan_that_is_kept_has_what_the_test_applied(project):
    run(project, CHANGED, "--vxlab-evidence=kept")
    plan = (project.folder / "kept/test_it.py_test_it/plan.txt").read_text().splitlines()
    mark = plan.index("# applied to the lab as built, by netlink:")
    assert [bool(line.startswith("#")) for line in plan].count(True) == 1
    assert len(plan) == mark + 3
    assert "vxlan0 up" in plan[-2]
    assert "mtu 1400" in plan[-1]


def test_the_plan_that_is_kept_has_what_the_control_broke(project):
    text = CHANGED.replace('assert not "found"', "")
    done = run(project, text, "--vxlab-evidence=kept", "--vxlab-controls")
    assert "the scenario stayed green" in done.stdout
    plan = (project.folder / "kept/test_it.py_test_it/plan.txt").read_text().splitlines()
    assert plan[0] == "# under a control: the device is down and has no address"
    left_out = [line for line in plan if line.startswith("# left out by an interceptor: ")]
    assert len(left_out) == 2
    assert all(" address add 172.18.1." in line for line in left_out)
    marks = [number for number, line in enumerate(plan) if line.startswith("# applied to")]
    assert [len(plan) - number for number in marks] == [5, 3]
    assert "vxlan0 down" in plan[marks[0] + 1]


REPORTED = """
from vxlab import diagnose

@pytest.mark.topology(catalog.point_to_point())
def test_it(lab):
    lab["b"].run("ip", "link", "set", "vxlan0", "down")
    assert diagnose(lab, "a", "172.18.1.3").reached

@pytest.mark.topology(catalog.point_to_point())
def test_passing(lab):
    assert diagnose(lab, "a", "172.18.1.3").reached
"""


def said_in_evidence(project: Project) -> str:
    return (project.folder / "kept/test_it.py_test_it/diagnosis.txt").read_text().strip()


@pytest.mark.parametrize("args", [(), ("-p", "xdist.plugin", "-n2")], ids=["alone", "workers"])
def test_junit_xml_names_the_evidence_and_the_diagnosis(project, args):
    run(project, REPORTED, "--vxlab-evidence=kept", "--junitxml=out.xml", *args)
    cases = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ElementTree.parse(project.folder / "out.xml").iter("testcase")
    }
    assert cases == {
        "test_it": {
            "vxlab evidence": str(project.folder / "kept/test_it.py_test_it"),
            "vxlab diagnosis": said_in_evidence(project),
        },
        "test_passing": {},
    }
    assert "vxlan0 is down" in said_in_evidence(project)


@pytest.mark.parametrize("args", [(), ("-p", "xdist.plugin", "-n2")], ids=["alone", "workers"])
def test_allure_has_the_evidence_as_attachments(project, args):
    """Also where no folder was asked for."""
    done = run(project, REPORTED, "-p", "allure_pytest.plugin", "--alluredir=allure", *args)
    assert "1 failed, 1 passed" in done.stdout
    found = {}
    for path in (project.folder / "allure").glob("*-result.json"):
        result = json.loads(path.read_text())
        found[result["name"]] = {
            each["name"]: project.folder / "allure" / each["source"]
            for each in result.get("attachments", [])
        }
    files = found["test_it"]
    kept = ["diagnosis.txt", "frames.pcapng", "frames.txt", "plan.txt", "report.txt", "state.json"]
    assert sorted(name for name in files if name in kept) == kept
    assert "vxlan0 is down" in files["diagnosis.txt"].read_text()
    assert files["frames.pcapng"].read_bytes()[:4] == b"\n\r\r\n"  # of a section header block
    assert set(json.loads(files["state.json"].read_text())) >= {"a", "b"}
    assert not set(found["test_passing"]) & set(kept)


def test_without_allure_nothing_of_it_is_loaded(project):
    project.write("conftest.py", "import sys\nsys.modules['allure'] = None\n")
    done = run(project, FAILING)
    assert counts(done) == {"failed": 1}
    assert "vxlab: state of every node" in done.stdout
    assert "vxlab: allure" not in done.stdout
