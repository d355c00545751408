"""Which files of a test run need a sandbox: those that use vxlab, not those that speak of it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vxlab.plugin import sandbox_need

ALL_BELOW = ("tests/deep/test_quiet.py::test_quiet", "tests")


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, "tests/deep/test_quiet.py", "def test_quiet(): pass")
    return tmp_path


def need(project: Path, *words: str, **options: Any) -> str | None:
    """What is said of a run of pytest in ``project`` with these ``words`` and ``options``."""
    inis = {
        "testpaths": options.pop("testpaths", []),
        "pythonpath": options.pop("pythonpath", []),
        "python_files": ["test_*.py", "*_test.py"],
        "norecursedirs": [".*", "venv"],
    }
    given = {"file_or_dir": list(words), "ignore": None, "ignore_glob": None, **options}
    config: Any = SimpleNamespace(
        rootpath=project,
        invocation_params=SimpleNamespace(dir=project),
        known_args_namespace=SimpleNamespace(**given),
        getini=inis.__getitem__,
    )
    return sandbox_need.need(config)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("conftest.py", "import vxlab", "imports vxlab"),
        ("tests/conftest.py", "from vxlab import catalog", "imports vxlab"),
        (
            "tests/deep/conftest.py",
            "def late():\n    import os, vxlab.catalog as c",
            "imports vxlab",
        ),
        (
            "tests/deep/test_other.py",
            "import pytest\npytest.importorskip('vxlab')",
            "imports vxlab",
        ),
        (
            "tests/deep/test_other.py",
            "from importlib import *\nimport_module('vxlab.catalog')",
            "imports vxlab",
        ),
        ("tests/deep/test_other.py", "#" * 70_000 + "\nimport vxlab", "imports vxlab"),
        (
            "tests/deep/test_other.py",
            "import pytest, x\npytestmark = pytest.mark.topology(x.y)",
            "has the marker topology",
        ),
        ("tests/deep/test_other.py", "def test_it(lab): pass", "wants the fixture lab"),
        (
            "tests/deep/test_other.py",
            "class TestIt:\n    async def test_it(self, lab): pass",
            "wants the fixture lab",
        ),
        (
            "tests/deep/test_other.py",
            "@pytest.mark.usefixtures('lab')\ndef test_it(): pass",
            "wants the fixture lab",
        ),
        (
            "tests/deep/conftest.py",
            "@pytest.fixture(scope='module')\ndef two(lab): return lab",
            "wants the fixture lab",
        ),
    ],
)
def test_who_imports_vxlab_or_wants_a_lab_needs_it(project, name, text, why):
    write(project, name, text)
    assert need(project) == f"{name} {why}"
    assert need(project, "tests/deep") == f"{name} {why}"


@pytest.mark.parametrize(
    ("importing", "helper"),
    [
        ("from helper import two_hosts", "tests/deep/helper.py"),
        ("import os, helper as h", "tests/deep/helper.py"),
        ("from .helper import (\n    two_hosts,\n)", "tests/deep/helper.py"),
        ("from . import helper", "tests/deep/helper.py"),
        ("from .. import helper", "tests/helper.py"),
        ("from tests.helpers.topologies import two", "tests/helpers/topologies.py"),
        ("from tests.helpers import (one as two, topologies)", "tests/helpers/topologies.py"),
        ("import tests.helpers.other", "tests/helpers/__init__.py"),
        ("from library.topologies import two", "src/library/topologies.py"),
        ("pytest_plugins = [\n    'tests.fixtures',\n]", "tests/fixtures.py"),
    ],
)
def test_a_topology_may_come_from_a_helper_of_a_helper(project, importing, helper):
    write(project, "tests/deep/test_other.py", importing)
    write(project, helper, "from tests.last import everything")
    assert need(project, "tests/deep", pythonpath=["src"]) is None
    write(project, "tests/last.py", "import vxlab")
    assert need(project, "tests/deep", pythonpath=["src"]) == "tests/last.py imports vxlab"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "import vxlab"),
        ("elsewhere/test_other.py", "import vxlab"),
        ("tests/with_python/test_other.py", "import vxlab"),
        ("tests/.hidden/test_other.py", "import vxlab"),
        ("tests/left/out/test_other.py", "import vxlab"),
        ("tests/test_left_out.py", "import vxlab"),
        ("tests/helper.py", "import vxlab"),
        ("tests/deep/test_other.py", "# import vxlab: no\nimport vxlabel, my.vxlab"),
        ("tests/deep/test_other.py", "TEXT = '''\nimport vxlab\n'''\n'see vxlab, topology, lab'"),
        ("tests/deep/test_other.py", "def helper(lab): return lab.topology.mark"),
        (
            "tests/deep/test_other.py",
            "@pytest.fixture\ndef lab(): pass\ndef test_it(lab): pass",
        ),
        ("tests/conftest.py", "import vxlab as"),
    ],
)
def test_who_only_speaks_of_vxlab_or_is_left_out_does_not(project, name, text):
    write(project, name, text)
    write(project, "tests/with_python/pyvenv.cfg", "")
    left_out = {"ignore": ["tests/left"], "ignore_glob": ["*/test_left_*"]}
    assert need(project, *ALL_BELOW, **left_out) is None


def test_a_fixture_of_that_name_in_another_file_is_the_project_s_own(project):
    write(project, "tests/deep/test_other.py", "def test_it(lab): pass")
    write(project, "tests/test_later.py", "@pytest.fixture\ndef lab(): pass")
    assert need(project) is None


def test_the_folders_of_testpaths_are_looked_at(project):
    write(project, "elsewhere/test_other.py", "import vxlab")
    assert need(project, testpaths=["tes*"]) is None
    write(project, "tests/test_other.py", "import vxlab")
    assert need(project, testpaths=["tes*"]) == "tests/test_other.py imports vxlab"


def test_the_look_ends_after_so_many_files(project, monkeypatch):
    for number in range(5):
        write(project, f"test_{number}.py", "")
    write(project, "test_z.py", "import vxlab")
    assert need(project, *(f"test_{number}.py" for number in range(5)), "test_z.py")
    monkeypatch.setattr(sandbox_need, "MAX_FILES", 5)
    assert not need(project, *(f"test_{number}.py" for number in range(5)), "test_z.py")


def test_modules_that_import_one_another_are_looked_at_once(project):
    write(project, "test_a.py", "import test_b")
    write(project, "test_b.py", "import test_a, test_b")
    assert need(project) is None
