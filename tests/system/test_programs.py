"""Finding programs: PATH, the system's folders, and the error that names the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from vxlab.errors import MissingProgram
from vxlab.system import programs
from vxlab.system.programs import PACKAGES, find_program


def program(folder: Path, name: str, mode: int = 0o755) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no programs at all."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "SYSTEM_PATH", ())


def test_extra_folders_come_before_path_and_path_before_the_system_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra, path, system = (program(tmp_path / name, "tool") for name in ("a", "b", "c"))
    monkeypatch.setattr(programs, "SYSTEM_PATH", (str(tmp_path / "c"),))
    assert find_program("tool") == system
    monkeypatch.setenv("PATH", str(tmp_path / "b"))
    assert find_program("tool") == path
    assert find_program("tool", extra=[str(tmp_path / "a")]) == extra


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = program(tmp_path / "a", "tool")
    assert find_program(path) == path


def test_what_cannot_be_run_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "a", "tool", mode=0o644)
    (tmp_path / "a" / "folder").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "a"))
    for name in ("tool", "folder"):
        with pytest.raises(MissingProgram):
            find_program(name)


@pytest.mark.parametrize(("name", "package"), sorted(PACKAGES.items()))
def test_a_missing_program_names_its_package(name: str, package: str) -> None:
    with pytest.raises(MissingProgram, match=f"install the package {package}") as caught:
        find_program(name)
    assert (caught.value.program, caught.value.package) == (name, package)


def test_a_missing_program_of_no_known_package_is_named() -> None:
    with pytest.raises(MissingProgram, match=r"'/no/such/ip', found none in PATH: .*iproute2"):
        find_program("/no/such/ip")
    with pytest.raises(MissingProgram, match="install it, or extend PATH"):
        find_program("no-such-program")


def test_without_a_path_variable_the_system_folders_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PATH")
    path = program(tmp_path / "c", "tool")
    monkeypatch.setattr(programs, "SYSTEM_PATH", (str(tmp_path / "c"),))
    assert find_program("tool") == path


def test_the_folder_one_happens_to_be_in_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty entry in PATH would mean that folder."""
    program(tmp_path, "tool")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(programs, "SYSTEM_PATH", ("/nowhere",))
    with pytest.raises(MissingProgram):
        find_program("tool")
