"""Probes of programs: there is one if it runs, and it tells its version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from feature_tools import write_program

from vxlab import features
from vxlab.features import tools
from vxlab.features.model import Check


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("ip utility, iproute2-6.1.0, libbpf 1.1.2", "6.1.0"),
        ("ping from iputils 20221126", "20221126"),
        ("iptables v1.8.9 (nf_tables)", "1.8.9"),
        ("ethtool version 6.1", "6.1"),
        ("unknown option -- V\nOpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.15", "9.2p1"),
        ("TShark (Wireshark) 4.0.17 (Git v4.0.17 packaged as 4.0.17-0+deb12u1).", "4.0.17"),
        ("tool, version 2.5.", "2.5"),
        ("usage: tool", ""),
    ],
)
def test_the_version_is_found_in_what_a_program_says(said: str, version: str) -> None:
    assert tools.version_in(said) == version


def test_every_program_found_tells_its_version() -> None:
    found = [features.probe(check.name) for check in tools.CHECKS]
    here = [feature for feature in found if feature.available]
    assert {"ip", "unshare"} <= {feature.name for feature in here}
    assert not [feature for feature in here if feature.version == "found"]


@pytest.mark.parametrize(
    ("text", "available", "told"),
    [
        ("#!/bin/sh\necho tool 1.2.3\n", True, "1.2.3"),
        ("#!/bin/sh\necho tool >&2\nexit 3\n", True, "found"),
        ("#!/nonexistent/interpreter\n", False, "cannot be run"),
        ("#!/bin/sh\necho error while loading shared libraries: x\n", False, "cannot be run"),
    ],
)
def test_a_program_is_there_if_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, available: bool, told: str
) -> None:
    write_program(tmp_path, "tool", text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = tools.optional("tool", "a tool", "-V", "install it").feature()
    assert found.available == available
    assert told in (found.version or found.reason)


def test_a_program_that_is_not_there_says_what_to_install() -> None:
    found = tools.optional("vxlab-no-such-program", "a tool", "-V", "install it").feature()
    assert (found.reason, found.hint, found.required) == ("not found in PATH", "install it", False)


@pytest.mark.parametrize("check", tools.CHECKS, ids=lambda it: it.name)
def test_what_every_scenario_runs_set_up_provides(check: Check) -> None:
    assert check.required == ("`vxlab setup`" in check.hint)
    assert "make setup" not in check.hint
