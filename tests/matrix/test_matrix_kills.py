"""kill -9 of a matrix at any moment leaves no process and no temporary file."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from matrix_tools import tiny
from project_tools import environment
from sandbox_tools import carrying

from vxlab.system.waiting import wait_until

KILLS = 12


@pytest.mark.slow
def test_a_matrix_can_be_killed(tmp_path: Path) -> None:
    project = tiny(tmp_path / "project")
    (tmp_path / "tmp").mkdir()
    token = f"vxlab-test-{os.getpid()}-{tmp_path}"
    cache = str(tmp_path / "cache")
    env = environment(TOKEN=token, TMPDIR=str(tmp_path / "tmp"), VXLAB_CACHE=cache)
    del env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # vxlab's own plugin is one of these
    words = [sys.executable, "-m", "vxlab", "matrix", "--results=r", "-k", "passes", "test_tiny.py"]

    def run(seconds: float | None) -> int:
        with subprocess.Popen(
            words, cwd=project, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            process.kill()
        wait_until(lambda: not carrying(token), "the end of all processes", timeout=60)
        assert os.listdir(tmp_path / "tmp") == []
        return process.returncode

    began = time.monotonic()
    assert run(None) == 0
    whole = time.monotonic() - began
    assert -9 in [run(random.uniform(0.1, 0.9) * whole) for _ in range(KILLS)]
