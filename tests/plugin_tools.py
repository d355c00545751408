"""Small projects that use vxlab on strict terms, and what pytest says of their tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from project_tools import Project

#: Without pytest-xdist, unless a test asks for it.
PYTEST = [sys.executable, "-m", "pytest", "-p", "vxlab.plugin.hooks", "-p", "no:cacheprovider"]
NO_SANDBOX = ("-o", "vxlab_sandbox=never")
_STRICT = """
    [pytest]
    addopts = --strict-markers --strict-config -ra -v
    filterwarnings = error
"""
#: What each file of tests begins with.
HEAD = """
import os
import pytest
from vxlab import Lab, Topology, TopologyBuilder, TopologyError, catalog
"""


def strict_project(folder: Path) -> Project:
    """A new project, in which every warning is an error."""
    folder.mkdir()
    project = Project(folder)
    project.write("pytest.ini", _STRICT)
    return project


def run(project: Project, tests: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file of tests, test_it.py."""
    path = project.folder / "test_it.py"
    path.write_text(HEAD + tests)
    return project.call([*PYTEST, *args])


def counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """How the tests ended, from pytest's last line; nothing else may be there, as warnings."""
    last = done.stdout.rstrip().splitlines()[-1]
    assert re.fullmatch(r"=+ .* in [\d.]+s.* =+", last), done.stdout + done.stderr
    found = re.findall(r"(\d+) ([a-z]+)", last.rpartition(" in ")[0])
    return {word.removesuffix("s") if word == "errors" else word: int(n) for n, word in found}


def passed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The tests that passed, by the name in their file, in order of running; and no other ran."""
    assert set(counts(done)) == {"passed"}, done.stdout + done.stderr
    return re.findall(r"^test_it\.py::(.*?) PASSED", done.stdout, re.MULTILINE)


def part(text: str, title: str) -> str:
    """What stands in one chapter of pytest's report, for one test."""
    (found,) = re.findall(rf"^_+ {title} _+\n(.*?)^(?=_{{3,}} |={{3,}} )", text, re.M | re.S)
    return str(found)
