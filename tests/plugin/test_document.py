"""The document that scenarios write of themselves: docs/behaviours.md."""

from __future__ import annotations

import pytest
from plugin_tools import PYTEST
from project_tools import REPOSITORY, Project

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
