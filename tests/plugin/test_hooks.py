"""The plugin as it is installed: its options and markers, and mistakes in their use."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from plugin_tools import HEAD, PYTEST, counts, passed, run
from project_tools import Project, environment

INSTALLED = any(point.value == "vxlab.plugin.hooks" for point in entry_points(group="pytest11"))

#: Without what is installed for other tests (pyproject.toml).
PLAIN = [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:timeout"]

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
        ("--fixtures", [rf"{name} -- .*hooks\.py:\d+" for name in ("lab", "topology", "capture")]),
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
        [*PLAIN, "-p", "no:xdist", "-p", "no:cacheprovider"],
        cwd=project.folder,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert passed(done) == ["test_it"]


def test_a_test_that_ends_in_a_node_leaves_its_thread_at_home(project: Project) -> None:
    """As where an exception comes at the first byte code of the end of a block."""
    done = run(
        project,
        """
HOME = os.readlink("/proc/thread-self/ns/net")
OPEN = []

@pytest.fixture(scope="module")
def shared():
    with Lab(catalog.point_to_point()) as lab:
        yield lab

def test_first(shared):
    OPEN.append(shared["a"].namespaces.entered())
    OPEN[0].__enter__()
    assert os.readlink("/proc/thread-self/ns/net") != HOME

def test_second(shared):
    assert os.readlink("/proc/thread-self/ns/net") == HOME
        """,
    )
    assert counts(done) == {"passed": 2}, done.stdout
