"""What tests of iproute2 share: one that is a shell script, and its use in a lab."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vxlab import features
from vxlab.live.lab import Lab
from vxlab.operations import Operation
from vxlab.system import programs


@pytest.fixture(name="fake")
def fake_iproute2(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a shell script in the place of ip and bridge."""
    before = programs._iproute2

    def put(script: str) -> None:
        for name in ("ip", "bridge"):
            path = tmp_path / name
            path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        programs.use_iproute2(str(tmp_path))

    yield put
    programs.use_iproute2(before)


def by_ip(lab: Lab, *operations: Operation) -> None:
    """Apply operations by ip and bridge."""
    lab.apply(*operations, by="iproute2")


def skip_without(*names: str) -> None:
    """Skip a test where a feature is missing."""
    missing = features.missing(names)
    if missing:
        pytest.skip(missing[0].sentence())
