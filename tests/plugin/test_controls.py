"""How controls run: a scenario passes by turning red for the reason it names."""

from __future__ import annotations

import re

from plugin_tools import NO_SANDBOX, PYTEST, counts, run

CONTROLS = """
import dataclasses
import vxlab
from vxlab import operations

pytestmark = [
    pytest.mark.topology(catalog.point_to_point()),
    pytest.mark.control("the module's", lab=lambda lab: None),
]
control = pytest.mark.control
PING = {"timeout": 0.3}

@control("b is in VNI 43", vteps={"b": {"id": 43}}, because="received=0")
def test_red(lab):
    assert lab["a"].ping("172.18.1.3", **PING)

@control("it waits in vain", lab=lambda lab: None, because="WaitTimeout.* the end")
def test_red_by_an_error_of_vxlab(lab):
    vxlab.wait_until(lambda: False, "the end", timeout=0.01)

@control("none is raised", lab=lambda lab: None, because="DID NOT RAISE")
def test_red_by_what_is_not_raised(lab):
    with pytest.raises(ValueError):
        pass

@control("there is a third host", topology=lambda _: catalog.point_to_point(hosts=3))
def test_red_by_topology(topology, lab):
    assert topology is lab.topology
    assert len(topology.hosts) == 2

class TestOverridden:
    @pytest.fixture
    def topology(self):
        return catalog.point_to_point()

    @control("there is a third host", topology=lambda _: catalog.point_to_point(hosts=3))
    def test_red_by_topology_where_the_fixture_is_another(self, lab):
        assert len(lab.topology.hosts) == 2

def grow(topology):
    return dataclasses.replace(topology, name=topology.name + "!")

@pytest.mark.topology(catalog.point_to_point, family=[4, 6])
@control("it has another name", topology=grow, because="point-to-point!'")
def test_red_by_topology_that_is_broken_once(lab):
    name = lab.topology.name
    assert name == "point-to-point"

def without_addresses(operation):
    return None if isinstance(operation, operations.AddAddress) else operation

@control("no address is given", change=without_addresses, because="172")
def test_red_by_change_of_the_plan(lab):
    found = str(lab["a"].ip("addr"))
    assert "172.18.1.2" in found

@control("no address is given", change=without_addresses, because="1.1.1.1")
@pytest.mark.parametrize("by", [None, "netlink", "iproute2"])
def test_red_by_change_later(lab, by):
    lab.apply(operations.AddAddress("a", "eth0", "1.1.1.1/32"), by=by)
    assert "1.1.1.1" in str(lab["a"].ip("addr"))

@control("it stays up", without=operations.SetLink, because="flags")
def test_red_by_what_is_left_out(lab):
    (link,) = lab["a"].ip("link", "show", "vxlan0")
    if "UP" not in link["flags"]:
        raise ValueError("it was left out already when the lab was built")
    lab.apply(operations.SetLink("a", "vxlan0", up=False))
    (link,) = lab["a"].ip("link", "show", "vxlan0")
    assert "UP" not in link["flags"], "flags"

def take_down(lab):
    lab.apply(operations.SetLink("a", "vxlan0", up=False))

@control("it is down", lab=take_down, without=operations.SetLink)
def test_red_by_what_is_done_to_the_lab(lab):
    (link,) = lab["a"].ip("link", "show", "vxlan0")
    assert "UP" in link["flags"]

@pytest.mark.parametrize("number", [1, 2])
@control("it is three", arguments={"number": 3})
def test_red_by_arguments(number):
    assert number < 3

def test_green(lab):
    pass

@control("the cat came", lab=lambda lab: None)
def test_broken(lab):
    lab["a"].pong()

@control("the cat came", lab=lambda lab: None, because="fish")
def test_other_reason(lab):
    assert False, "bird"

@control("the cat came", arguments={"nobody": 3})
def test_unknown_argument(lab):
    assert False

def test_skips(lab):
    pytest.skip("for a reason")

def test_expected(lab):
    pytest.xfail("for a reason")

@control("it cannot be built", lab=lambda lab: lab["nobody"])
def test_error(lab):
    pass

@control("it cannot be built", change=lambda operation: "nothing")
def test_error_of_the_plan(lab):
    pass
"""


def outcomes(text: str, outcome: str) -> list[str]:
    """The tests that ended so."""
    return re.findall(rf"^test_it\.py::(\S+) {outcome}", text, re.MULTILINE)


def test_a_control_passes_by_failing(project):
    done = run(project, CONTROLS, "--vxlab-controls", "-rP")
    names = [name for name in re.findall(r"def (test_\w+)", CONTROLS) if "_red" in name]
    passed = {
        name.partition("[")[0].rpartition("::")[2] for name in outcomes(done.stdout, "PASSED")
    }
    assert passed == set(names), done.stdout
    green = {"failed": 4, "passed": len(names) + 4, "skipped": 1, "xfailed": 1, "error": 2}
    assert counts(done) == green
    for sentence in (
        "the scenario stayed green although the module's",
        "the test broke, it did not notice that the cat came:\nAttributeError: 'Node' object ",
        "the scenario turned red, but for another reason than that the cat came:\n"
        "wanted a failure that matches 'fish'\nfound AssertionError: bird",
        "arguments: wanted an argument of the test, found 'nobody', not one of ",
        "VxlabError: lab point-to-point: wanted the node 'nobody'",
        "VxlabError: the marker control: change: wanted an operation or None, found 'nothing'",
        "Captured vxlab control call",  # why it was red, for those who ask
        "E       assert 3 < 3",
    ):
        assert sentence in done.stdout


def test_what_has_no_control_is_deselected(project):
    tests = """
def test_one():
    pass

@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.control("it is three", arguments={"number": 3})
def test_two(number):
    assert number != 3
"""
    assert counts(run(project, tests, "--vxlab-controls")) == {"passed": 2, "deselected": 1}
    assert counts(run(project, tests)) == {"passed": 3}


MISTAKES = {
    'behaviour("it works")': "the marker behaviour: source: wanted some words, found None",
    'behaviour(source="x")': "the marker behaviour: sentence: wanted some words, found None",
    'behaviour("it", "works")': "the marker behaviour: sentence: wanted one of it, and all else by",
    'behaviour("x", source="x", lab=1)': "behaviour: lab: wanted one of sentence, source, found",
    'control(vteps={"a": {}})': "the marker control: what: wanted some words, found None",
    'control("x", what="x", lab=len)': "the marker control: what: wanted one of it, and all else",
    'control("x", labb=len)': "the marker control: labb: wanted one of what, vteps, topology, lab",
    'control("x", lab="down")': "the marker control: lab: wanted a function, found 'down'",
}


def test_mistakes_are_explained(project):
    for number, marker in enumerate(MISTAKES):
        text = f"import pytest\n@pytest.mark.{marker}\ndef test_never():\n    pass\n"
        (project.folder / f"test_{number}.py").write_text(text)
    done = project.call([*PYTEST, *NO_SANDBOX, "--continue-on-collection-errors"])
    assert counts(done) == {"error": len(MISTAKES)}
    for number, sentence in enumerate(MISTAKES.values()):
        assert f"test_{number}.py::test_never: " in done.stdout
        assert sentence in done.stdout
