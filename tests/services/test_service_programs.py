"""Where the program of a service is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from multicast_router_tools import write_script

from vxlab.errors import MissingProgram
from vxlab.services import base, service_program


def test_programs_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vxlab-imagined-daemon"
    monkeypatch.setattr(base, "SYSTEM_TOOLS", tmp_path / "var")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path / "tools"))
    with pytest.raises(MissingProgram, match=name):
        service_program(name)
    packed = f"{name}/usr/sbin"
    for folder in (
        tmp_path / "var" / packed,
        tmp_path / "cache/vxlab/tools" / packed,
        tmp_path / "path",
        tmp_path / "tools" / packed,
    ):
        write_script(folder, name, "exit 0")
        assert service_program(name) == str(folder / name)
    write_script(tmp_path / "own", name, "exit 0")
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path / "own"))
    assert service_program(name) == str(tmp_path / "own" / name)
    monkeypatch.delenv("VXLAB_TOOLS")
    assert service_program(name) == str(tmp_path / "path" / name)


def test_without_a_cache_variable_the_home_folder_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "vxlab-imagined-daemon"
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache/vxlab/tools" / name / "usr/sbin"
    write_script(folder, name, "exit 0")
    assert service_program(name) == str(folder / name)
