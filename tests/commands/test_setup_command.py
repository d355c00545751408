"""``vxlab setup``, and the set-up of the project: what they look for, install, and tell."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from pathlib import Path

import pytest
from setup_machine import PROJECT, ROUTERS, Machine

from vxlab.system.programs import PACKAGES

#: Programs that packages have which are installed, not unpacked.
INSTALLED = {name: package for name, package in PACKAGES.items() if package not in ROUTERS}


@pytest.fixture
def root(tmp_path: Path) -> Machine:
    """A machine of root's that has all but the routers."""
    return Machine(tmp_path)


@pytest.fixture
def user(tmp_path: Path) -> Machine:
    """The same, of a user who may not become root."""
    return Machine(tmp_path, uid=1000)


# --- vxlab setup -----------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [0, 1000])
def test_routers_are_unpacked_once_and_never_installed(tmp_path: Path, uid: int) -> None:
    machine = Machine(tmp_path, uid)
    done = machine.vxlab_setup()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("setup: installed: smcroute (unpacked), pimd (unpacked)\n")
    for package, programs in ROUTERS.items():
        for name in programs:
            assert os.access(machine.tools / package / "usr/sbin" / name, os.X_OK)
    asked = machine.asked()
    assert asked == ["download smcroute", "download pimd"]
    again = machine.vxlab_setup()
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == "setup: nothing to install, all is there\n"
    assert machine.asked() == asked


@pytest.mark.parametrize(("name", "package"), INSTALLED.items(), ids=list(INSTALLED))
def test_every_program_that_labs_run_is_looked_for(root: Machine, name: str, package: str) -> None:
    root.remove(name)
    done = root.vxlab_setup()
    assert (done.returncode, done.stderr) == (0, "")
    assert root.installed() == {package}
    assert f", {package}\n" in done.stdout


def test_who_may_not_install_is_told_what_is_missing(user: Machine) -> None:
    user.remove("mount", "ping")
    done = user.vxlab_setup()
    assert done.returncode == 1
    assert "    as root:  apt-get install --no-install-recommends iputils-ping mount" in done.stderr
    assert not user.installed()
    assert (user.tools / "pimd/usr/sbin/pimd").exists()  # all that needs no root


def test_what_virtual_machines_need_can_be_left_out(root: Machine) -> None:
    root.remove("qemu-system-x86_64", "mkfs.ext4")
    assert root.vxlab_setup("--no-machines").returncode == 0
    assert root.installed() == set()
    assert root.vxlab_setup().returncode == 0
    assert root.installed() == {"qemu-system-x86", "e2fsprogs"}


def test_where_there_is_no_apt_it_says_what_to_put_where(root: Machine) -> None:
    root.remove("apt-get", "mount")
    done = root.vxlab_setup()
    assert done.returncode == 1
    assert "wanted smcroute, found neither it nor apt-get" in done.stderr
    assert "wanted Debian's packages mount, found no apt-get" in done.stderr


def test_a_router_in_path_will_do(root: Machine) -> None:
    for name in ROUTERS["smcroute"]:
        root.program(name, "exit 0")
    assert root.vxlab_setup().returncode == 0
    assert root.asked() == ["download pimd"]


def test_without_a_shell_it_is_a_sentence(root: Machine) -> None:
    root.remove("sh")
    done = root.vxlab_setup()
    assert done.returncode == 1
    assert done.stderr.startswith("vxlab: wanted to run sh, found: No such file")


# --- of the project --------------------------------------------------------------------------

_OLD_PYTHON = 'case $1 in -V) echo "Python 3.9.2" ;; esac'


@pytest.mark.parametrize("uid", [0, 1000])
def test_where_python_is_too_old_nothing_is_installed(tmp_path: Path, uid: int) -> None:
    machine = Machine(tmp_path, uid)
    machine.remove("mount", "qemu-system-x86_64")
    machine.program("python3", _OLD_PYTHON)
    done = machine.make_setup()
    assert done.returncode == 1
    assert "wanted Python 3.11 or later, found Python 3.9.2: " in done.stderr
    assert machine.asked() == []
    assert not machine.tools.exists()
    assert not (machine.folder / "project/.venv").exists()


@pytest.mark.parametrize("version", ["3.9.2-3", "3.10.6-1~22.04", "3.10", "2.7.18"])
def test_a_python_that_is_too_old_is_not_installed_either(root: Machine, version: str) -> None:
    root.program("apt-cache", f'echo "Package: python3"; echo "Version: {version}"')
    done = root.make_setup()
    assert done.returncode == 1
    assert f"wanted Python 3.11 or later, found none, and that apt offers {version}" in done.stderr
    assert root.asked() == []


@pytest.mark.parametrize("version", ["3.11.2-1+b1", "3.13.5-1", "4.0.1-1"])
def test_a_python_that_is_missing_is_installed_with_the_rest(root: Machine, version: str) -> None:
    root.remove("mount")
    root.program("apt-cache", f'echo "Package: python3"; echo "Version: {version}"')
    root.make_setup()
    assert root.installed() == {"python3", "python3-venv", "mount"}


def test_who_may_not_install_python_is_told_that_it_is_missing_not_old(user: Machine) -> None:
    user.program("apt-cache", 'echo "Version: 3.13.5-1"')
    done = user.make_setup()
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends python3 python3-venv" in done.stderr
    assert "cannot make .venv without Python, see above" in done.stderr
    assert "wanted Python" not in done.stderr


def test_it_looks_for_what_developers_need_too(root: Machine) -> None:
    root.remove("shellcheck", "mount")
    root.program("apt-cache", 'echo "Version: 3.13.5-1"')
    root.make_setup()
    assert root.installed() >= {"shellcheck", "mount"}


def test_nothing_of_a_run_is_left_in_the_temporary_folder(root: Machine) -> None:
    before = {*root.folder.iterdir(), root.folder / "project", root.log}
    root.program("apt-cache", 'echo "Version: 3.9.2-3"')
    root.make_setup()
    root.program("apt-cache", 'echo "Version: 3.13.5-1"')
    root.make_setup()
    assert {*root.folder.iterdir()} <= before


# --- as a package ----------------------------------------------------------------------------


def test_all_files_beside_modules_are_in_the_package() -> None:
    tables = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    patterns = tables["tool"]["setuptools"]["package-data"]
    found = [path for path in (PROJECT / "vxlab").rglob("*.*") if path.is_file()]
    others = [path for path in found if path.suffix not in (".py", ".pyc")]
    for path in others:
        package = ".".join(path.parent.relative_to(PROJECT).parts)
        assert any(fnmatch.fnmatch(path.name, each) for each in patterns.get(package, ())), path
    assert PROJECT / "vxlab/commands/setup.sh" in others
