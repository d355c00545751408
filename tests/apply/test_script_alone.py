"""A script builds its lab alone: without Python, in any POSIX shell."""

from __future__ import annotations

import os
import shutil

import pytest
from feature_tools import skip_without_all
from script_tools import (
    SHELLS,
    ScriptFolder,
    answers,
    differences,
    every_topology,
    kim_and_lee_script,
    odd_topology,
    state_of_lab,
    state_of_script,
)

from vxlab import Lab, catalog
from vxlab.apply.script import script_of
from vxlab.catalog import CATALOG


def test_there_is_no_python_where_scripts_are_tried(folder: ScriptFolder) -> None:
    path = os.pathsep.join([str(folder.programs), "/usr/sbin", "/sbin"])  # as in the script
    assert shutil.which("ip", path=path)
    assert not [name for name in ("python3", "python", "env") if shutil.which(name, path=path)]


@every_topology
def test_every_topology_stands_alone_and_answers(
    folder: ScriptFolder, name: str, family: int
) -> None:
    topology = CATALOG[name](family=family)
    skip_without_all(topology, by_ip=True)
    done = folder.run(script_of(topology))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == answers(topology)


@pytest.mark.slow
def test_pimd_needs_no_help_but_time(folder: ScriptFolder) -> None:
    topology = catalog.kim_and_lee(router="pimd")
    done = folder.run(script_of(topology))
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("pimd takes 10 to 60 s")
    assert rest == answers(topology)


@pytest.mark.parametrize("shell", SHELLS[1:])
def test_any_posix_shell_will_do(folder: ScriptFolder, shell: str) -> None:
    if not (folder.programs / shell).exists():
        pytest.skip(f"wanted the shell {shell}, found none: install the package {shell}")
    words = [shell, "sh"] if shell == "busybox" else [shell]
    done = folder.run(kim_and_lee_script(), by=["unshare", "-Urnm", *words])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == answers(catalog.kim_and_lee())


def test_strange_names_and_words_are_quoted(folder: ScriptFolder) -> None:
    done = folder.run(script_of(odd_topology()))
    assert (done.returncode, done.stderr) == (0, "")
    given = "ip netns exec up iptables -S OUTPUT"
    shown = folder.run(script_of(odd_topology()), "shell", given=given).stdout
    assert shown.splitlines()[-1].endswith('$1 `x`"')


@every_topology
def test_it_builds_what_netlink_builds(folder: ScriptFolder, name: str, family: int) -> None:
    topology = CATALOG[name](family=family)
    skip_without_all(topology, by_ip=True)
    done = folder.run(script_of(topology), "state")
    assert (done.returncode, done.stderr) == (0, "")
    with Lab(topology) as lab:
        assert not differences(state_of_script(done.stdout), state_of_lab(lab))


def test_the_states_compared_show_a_difference(folder: ScriptFolder) -> None:
    topology = catalog.point_to_point()
    done = folder.run(script_of(topology.with_vtep("b", "overlay", ttl=9)), "state")
    with Lab(topology) as lab:
        found = differences(state_of_script(done.stdout), state_of_lab(lab))
    assert set(found) == {("b", "ip -d link"), ("b", "ip -d address")}
