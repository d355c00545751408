"""A lab names the program that is missing, with its package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from lab_tools import two_hosts

from vxlab import catalog
from vxlab.errors import MissingProgram
from vxlab.live.lab import Lab
from vxlab.services import base

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def bare(nothing_is_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a single program."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("VXLAB_TOOLS", raising=False)
    monkeypatch.setattr("vxlab.system.programs.SYSTEM_PATH", ())
    monkeypatch.setattr(base, "SYSTEM_TOOLS", tmp_path)


@pytest.mark.parametrize(
    ("make", "program", "package"),
    [
        (lambda: catalog.kim_and_lee(router=None), "iptables", "iptables"),
        (lambda: catalog.kim_and_lee(router=None, family=6), "ip6tables", "iptables"),
        (lambda: catalog.kim_and_lee(router="smcroute"), "smcrouted", "smcroute"),
        (lambda: catalog.kim_and_lee(router="pimd"), "pimd", "pimd"),
    ],
)
@pytest.mark.usefixtures("bare")
def test_a_missing_program_in_mid_plan_is_named(make: Any, program: str, package: str) -> None:
    with pytest.raises(MissingProgram, match=f"'{program}'.*install the package {package}"):
        Lab(make()).open()


@pytest.mark.usefixtures("bare")
def test_a_lab_without_rules_and_daemons_needs_no_program() -> None:
    with Lab(two_hosts()) as lab:
        for name in ("ip", "ping", "bridge"):
            with pytest.raises(MissingProgram, match=f"wanted the program '{name}', found none in"):
                lab["h1"].run(name)
        with pytest.raises(MissingProgram, match=r"'unshare'.*util-linux"):
            lab["h1"].run(sys.executable)
        assert lab["h1"].state.links
