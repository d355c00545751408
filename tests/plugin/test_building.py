"""The options --vxlab-backend and --iproute2: who builds the labs of a test run."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from plugin_tools import NO_SANDBOX, counts, run
from project_tools import Project

from vxlab.system.programs import find_program

TESTS = """
pytestmark = pytest.mark.topology(catalog.point_to_point())

def test_backend(lab):
    print("built by", lab.backend.name)
    assert lab["a"].ping("172.18.1.3")

def test_program(lab):
    lab["a"].run("ip", "link", "show")
"""
BACKENDS = ("netlink", "iproute2", "script")


def wrappers(folder: Path) -> Path:
    """A folder with an ip and a bridge that write down what they are asked; the file they fill."""
    folder.mkdir()
    for name in ("ip", "bridge"):
        script = (
            f'#!/bin/sh\necho "{name} $*" >> "{folder}/asked"\nexec {find_program(name)} "$@"\n'
        )
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)
    return folder / "asked"


@pytest.mark.parametrize("backend", BACKENDS)
def test_labs_are_built_by_the_backend_asked_for(project: Project, backend: str) -> None:
    done = run(project, TESTS, f"--vxlab-backend={backend}", "-s")
    assert counts(done) == {"passed": 2}
    assert f"built by {backend}\n" in done.stdout


def test_netlink_builds_them_unasked_and_unmentioned(project: Project) -> None:
    done = run(project, TESTS, "-s")
    assert counts(done) == {"passed": 2}
    assert "built by netlink\n" in done.stdout
    assert "labs are built by" not in done.stdout


def test_the_report_s_head_says_who_builds_and_by_which_version(project: Project) -> None:
    done = run(project, TESTS, "--vxlab-backend=iproute2")
    assert re.search(
        r"^vxlab: labs are built by iproute2; ip utility, iproute2-\S+.*, in PATH$",
        done.stdout,
        re.MULTILINE,
    )


def test_an_unknown_backend_is_a_wrong_command_line(project: Project) -> None:
    done = run(project, TESTS, "--vxlab-backend=magic")
    assert done.returncode == 4
    assert "invalid choice: 'magic' (choose from" in done.stderr


@pytest.mark.parametrize("args", [(), ("-p", "xdist.plugin", "-n2")], ids=["alone", "workers"])
@pytest.mark.parametrize("absolute", [True, False])
def test_the_programs_come_from_the_folder_asked_for(
    project: Project, args: tuple[str, ...], absolute: bool
) -> None:
    asked = wrappers(project.folder / "mine")
    folder = str(asked.parent) if absolute else "mine"
    done = run(project, TESTS, "--vxlab-backend=iproute2", "--iproute2", folder, *args)
    assert counts(done) == {"passed": 2}
    lines = asked.read_text().splitlines()
    assert "ip -batch -" in lines  # who builds
    assert "ip link show" in lines  # who is called in a node
    assert re.search(
        rf"^vxlab: labs are built by iproute2; ip utility, iproute2-\S+.*, in {asked.parent}$",
        done.stdout,
        re.MULTILINE,
    )


def test_the_folder_decides_nothing_but_the_programs(project: Project) -> None:
    asked = wrappers(project.folder / "mine")
    done = run(project, TESTS, f"--iproute2={asked.parent}", "-s")
    assert counts(done) == {"passed": 2}
    assert "built by netlink\n" in done.stdout
    assert asked.read_text().splitlines() == ["bridge -V", "ip -V", "ip link show"]
    assert "labs are built by netlink; ip utility, iproute2-" in done.stdout


@pytest.mark.parametrize(
    ("setup", "told"),
    [
        ("true", "wanted a folder with the programs ip and bridge, found none at .*/mine/ip"),
        (
            "mkdir mine",
            "found none at .*/mine/ip: give the folder that they were built or unpacked",
        ),
        ("mkdir mine; cp /bin/true mine/ip", "found none at .*/mine/bridge"),
        ("mkdir mine; touch mine/ip mine/bridge", "found none at .*/mine/ip"),
        (
            "mkdir mine; printf '#!/bin/sh\\nexit 3\\n' > mine/ip; cp mine/ip mine/bridge; "
            "chmod +x mine/*",
            "wanted .*/mine/bridge to tell its version by -V, found: ",
        ),
        (
            "mkdir mine; echo '#!/nonexistent' > mine/ip; cp mine/ip mine/bridge; chmod +x mine/*",
            "by -V, found: .*No such file",
        ),
    ],
)
@pytest.mark.parametrize("args", [(), NO_SANDBOX], ids=["sandbox", "no sandbox"])
def test_a_wrong_folder_is_a_wrong_command_line(
    project: Project, setup: str, told: str, args: tuple[str, ...]
) -> None:
    assert project.call(["sh", "-c", setup]).returncode == 0
    done = run(project, TESTS, "--iproute2=mine", *args)
    assert done.returncode == 4
    assert re.search(f"^ERROR: .*{told}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [(), NO_SANDBOX], ids=["sandbox", "no sandbox"])
def test_a_folder_that_nodes_cannot_see_is_a_wrong_command_line(
    project: Project, args: tuple[str, ...]
) -> None:
    hidden = Path("/run", f"vxlab-test-{os.getpid()}-{len(args)}")
    wrappers(hidden)
    link = project.folder / "link"
    link.symlink_to(hidden)
    for place in (hidden, link):
        done = run(project, TESTS, f"--iproute2={place}", *args)
        assert done.returncode == 4
        assert f"wanted a folder that nodes can see, found {place}: " in done.stderr
