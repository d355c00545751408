"""The markers behaviour and control: what they mean, how they run, how they are written down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from plugin_tools import NO_SANDBOX, PYTEST, counts, run, strict_project
from project_tools import REPOSITORY, Project

from vxlab import catalog, operations
from vxlab.errors import (
    ApplyError,
    CommandError,
    MissingProgram,
    TopologyError,
    VxlabError,
    WaitTimeout,
)
from vxlab.plugin import judge
from vxlab.plugin.markers import Behaviour, Control


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return strict_project(tmp_path / "project")


def same(thing: object) -> object:
    return thing


# --- what the markers mean -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"what": None}, "the marker control: what: wanted some words, found None"),
        ({"what": " "}, "what: wanted some words, found ' '"),
        ({}, "wanted at least one of vteps, topology, lab, change, without, arguments, found none"),
        ({"because": "x"}, "found none: it breaks nothing"),
        ({"vteps": {}}, "found none: it breaks nothing"),
        ({"vteps": "a"}, "vteps: wanted a mapping from names, found 'a'"),
        ({"vteps": {"a": 9}}, "vteps of a: wanted a mapping from names, found 9"),
        ({"topology": 9}, "topology: wanted a function, found 9"),
        ({"lab": 9}, "lab: wanted a function, found 9"),
        ({"change": 9}, "change: wanted a function, found 9"),
        ({"without": 9}, "without: wanted types of operations, found 9"),
        (
            {"without": (operations.AddFdb, int)},
            "without: wanted types of operations, found <class",
        ),
        ({"arguments": {9: 9}}, "arguments: wanted a mapping from names, found {9: 9}"),
        ({"lab": same, "because": ""}, "because: wanted some words, found ''"),
        ({"lab": same, "because": "("}, "because: wanted a regular expression (missing )"),
    ],
)
def test_a_control_that_says_nothing_sensible_is_refused(fields, sentence):
    with pytest.raises(VxlabError, match=re.escape(sentence)):
        Control(**{"what": "it is broken", **fields})


@pytest.mark.parametrize("fields", [("", "RFC 7348"), ("it works", ""), (None, "x"), ("x", 7348)])
def test_a_behaviour_is_words_and_has_a_source(fields):
    with pytest.raises(VxlabError, match=r"the marker behaviour: \w+: wanted some words, found"):
        Behaviour(*fields)


def test_a_control_breaks_a_topology():
    control = Control(
        "two mistakes",
        vteps={"a": {"ttl": 9, "local": False}, "b": {"id": 43}},
        topology=lambda topology: topology.with_vtep("a", "overlay", dev=False),
    )
    topology = control.break_topology(catalog.point_to_point())
    a, b = (topology.attributes(host, host.vteps[0]) for host in topology.hosts)
    assert a["ttl"] == 9
    assert not {"local", "dev"} & set(a)
    assert b["id"] == 43


def test_a_control_cannot_break_what_is_not_there():
    with pytest.raises(TopologyError, match="wanted the host 'z'"):
        Control("x", vteps={"z": {"ttl": 9}}).break_topology(catalog.point_to_point())
    topology = catalog.point_to_point().with_host("a", vteps=())
    with pytest.raises(VxlabError, match="vteps: wanted a VTEP on a, found none"):
        Control("x", vteps={"a": {"ttl": 9}}).break_topology(topology)


def test_a_control_changes_operations_and_leaves_them_out():
    up, down = (operations.SetLink("a", "eth0", up=up) for up in (True, False))
    fdb = operations.AddFdb("a", "vxlan0", "02:00:00:00:00:01", "192.0.2.1")
    control = Control("x", change=lambda one: down if one == up else one, without=operations.AddFdb)
    assert [control.alter(one) for one in (up, fdb)] == [down, fdb]
    assert [control.alter_later(one) for one in (up, fdb)] == [down, None]
    assert Control("x", change=lambda _: None).alter(up) is None
    with pytest.raises(VxlabError, match="change: wanted an operation or None, found 'down'"):
        Control("x", change=lambda _: "down").alter(up)


def failed(reason: str) -> BaseException:
    with pytest.raises(pytest.fail.Exception) as caught:
        pytest.fail(reason)
    return caught.value


RED = [
    AssertionError("because of a bird"),
    failed("a bird: DID NOT RAISE"),
    ApplyError("ip link add", "a bird"),
    CommandError("a", ("ping",), 1, "a bird"),
    WaitTimeout("waited for a bird"),
]


@pytest.mark.parametrize("error", RED, ids=lambda error: type(error).__name__)
def test_a_scenario_that_turns_red_is_as_it_should_be(error):
    assert judge.judge(Control("x", lab=same), error) is None
    assert judge.judge(Control("x", lab=same, because="bir."), error) is None
    assert judge.judge(Control("x", lab=same, because=type(error).__name__), error) is None
    verdict = judge.judge(Control("a cat came", lab=same, because="^fish"), error)
    assert verdict is not None
    for words in ("turned red, but for another reason than that a cat came", "'^fish'", "a bird"):
        assert words in verdict


@pytest.mark.parametrize("error", [NameError("x"), KeyError("x"), MissingProgram("x")])
def test_a_test_that_breaks_has_noticed_nothing(error):
    verdict = judge.judge(Control("a cat came", lab=same), error)
    assert verdict is not None
    assert verdict.startswith("the test broke, it did not notice that a cat came:\n")
    assert verdict.endswith(f"{type(error).__name__}: {error}")


def test_colours_of_a_terminal_are_no_part_of_the_reason() -> None:
    error = AssertionError("assert \x1b[94m7\x1b[39;49;00m == \x1b[94m42\x1b[39;49;00m")
    assert judge.judge(Control("x", lab=same, because="assert 7 == 42"), error) is None


def test_a_scenario_that_stays_green_proves_nothing():
    verdict = judge.judge(Control("a cat came", lab=same), None)
    assert verdict == "the scenario stayed green although a cat came"


# --- how controls run ------------------------------------------------------------------------

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


# --- how they are written down ---------------------------------------------------------------

DESCRIBED = '''
"""E7: a | b.

More words.
"""
import pytest
from vxlab import catalog

pytestmark = pytest.mark.control("the module's", lab=len)

@pytest.mark.behaviour("one | two", source="RFC 7348,\\n    section 5")
@pytest.mark.control("a's device has ttl 9", vteps={"a": {"ttl": 9}})
@pytest.mark.requires("vrf", "ping", "ip.localbypass")
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_it_works(lab):
    raise RuntimeError

class TestMore:
    @pytest.mark.behaviour("three", source="man 8 bridge")
    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.requires("bridge.mst")
    def test_it_works(self, number):
        raise RuntimeError

def test_half_said():
    raise RuntimeError

def test_control_b_comes_first():
    raise RuntimeError

def test_control_a_comes_last():
    raise RuntimeError
'''
WRITTEN = """\
## E7: a | b

| behaviour | scenario | cases | control | source | kernel | iproute2 | programs |
| --- | --- | --- | --- | --- | --- | --- | --- |
| one \\| two | `test_e7.py::test_it_works` | 2 | a's device has ttl 9 | RFC 7348, section 5 | \
`ipv6` (some), `vrf` | `ip.localbypass` | `ping` |
| three | `test_e7.py::TestMore::test_it_works` | 3 | the module's | man 8 bridge |  | \
`bridge.mst` |  |
| b comes first | `test_e7.py::test_control_b_comes_first` | 1 | the module's |  |  |  |  |
| a comes last | `test_e7.py::test_control_a_comes_last` | 1 | the module's |  |  |  |  |

## test_e10.py

| behaviour | scenario | cases | control | source | kernel | iproute2 | programs |
| --- | --- | --- | --- | --- | --- | --- | --- |
| works not | `test_e10.py::test_control_works_not` | 1 | is a control itself |  |  |  |  |

## Not yet described

- `sub/test_e7.py::test_half_said`
- `test_e10.py::test_nothing_said`
"""


@pytest.fixture
def described(project: Project) -> Project:
    (project.folder / "sub").mkdir()
    (project.folder / "sub" / "test_e7.py").write_text(DESCRIBED.lstrip())
    tests = "def test_nothing_said():\n    pass\ndef test_control_works_not():\n    pass\n"
    (project.folder / "test_e10.py").write_text(tests)
    return project


@pytest.mark.parametrize("more", [(), ("-n", "2"), ("test_e10.py", "sub")])
def test_the_document_is_written_without_running_a_test(described, more):
    xdist = ["-p", "xdist.plugin"] if "-n" in more else []
    done = described.call([*PYTEST, *xdist, "--vxlab-behaviours", "found.md", *more])
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    assert "in a sandbox" not in done.stdout
    text = (described.folder / "found.md").read_text()
    assert text.startswith("# Behaviours\n")
    assert text[text.index("\n## ") + 1 :] == WRITTEN


def test_no_document_is_written_of_half_a_collection(described):
    (described.folder / "test_broken.py").write_text("import nothing_of_that_name\n")
    done = described.call([*PYTEST, "--vxlab-behaviours", "found.md"])
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert not (described.folder / "found.md").exists()


def test_what_cannot_be_written_is_explained(described):
    done = described.call([*PYTEST, "--vxlab-behaviours", "no/such/found.md"])
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--vxlab-behaviours" in done.stderr
    assert "No such file or directory" in done.stderr
    wrong = "\n@pytest.mark.topology(catalog.bridged, vni=-1)\ndef test_wrong(lab): pass\n"
    head = "import pytest\nfrom vxlab import catalog\n"
    mark = "pytestmark = pytest.mark.behaviour('x', source='x')\n"
    control = "c = pytest.mark.control('x', lab=len)\n@c"
    (described.folder / "test_wrong.py").write_text(head + mark + control + wrong)
    done = described.call([*PYTEST, "--vxlab-behaviours", "found.md"])
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_wrong.py::test_wrong: segment overlay: vni: wanted " in done.stderr


# --- vxlab's own scenarios -------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the scenarios say of themselves now."""
    path = tmp_path_factory.mktemp("behaviours") / "behaviours.md"
    done = Project(REPOSITORY).call([*PYTEST, "scenarios", "--vxlab-behaviours", str(path)])
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr
    return path.read_text(encoding="utf-8")


def test_every_scenario_is_described(document):
    _, _, missing = document.partition("## Not yet described")
    assert not missing, f"give these a behaviour and a control:{missing}"


def test_the_document_is_up_to_date(document):
    written = (REPOSITORY / "docs" / "behaviours.md").read_text(encoding="utf-8")
    assert written == document, "docs/behaviours.md is not what the scenarios say: run `make docs`"
