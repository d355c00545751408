"""Whichever process of a sandbox is killed, nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from project_tools import environment
from sandbox_tools import carrying, children

from vxlab import sandbox
from vxlab.system.waiting import wait_until

CHURN = """
    import itertools, os, pathlib, subprocess
    import pytest
    from vxlab.system.namespaces import Namespaces

    def start(node):
        quiet = subprocess.DEVNULL
        return node.popen(["sleep", "100000"], stdout=quiet, stderr=quiet)

    @pytest.mark.parametrize("number", [0, 1])
    def test_churn(number):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        turns = pathlib.Path(__file__).with_name(worker)
        with Namespaces("held") as held:
            start(held)
            subprocess.run("ip link add vx0 type veth peer vx1".split(), check=True)
            for turn in itertools.count():
                with Namespaces("node") as node:
                    start(node)
                    turns.write_text(str(turn))
                    start(node).kill()
"""


def _turn(path: Path) -> int:
    try:
        return int(path.read_text() or -1)
    except FileNotFoundError:
        return -1


def _victims(process: subprocess.Popen[str], part: str) -> list[int]:
    first = children(process.pid)[0]
    inner = children(first)[0]
    return {
        "P": [process.pid],
        "first": [first],
        "pytest": [inner],
        "all": [process.pid, first, inner],
    }[part]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("part", ["P", "first", "pytest", "all", "group"])
def test_nothing_is_left_when_any_part_is_killed(project, part, workers):
    project.write("test_churn.py", CHURN)
    token = uuid.uuid4().hex
    moment = random.randint(1, 20)
    with project.started(f"-n{workers}", VXLAB_TEST_TOKEN=token) as process:
        for name in [f"gw{n}" for n in range(workers)] or ["main"]:
            wait_until(
                lambda path=project.folder / name: _turn(path) >= moment,
                f"turn {moment} of {name}",
                timeout=300,
                found=lambda: project.output,
            )
        assert any(line.startswith("sleep 100000") for line in carrying(token).values())
        if part == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            for pid in _victims(process, part):
                with contextlib.suppress(ProcessLookupError):  # by the death of the one before
                    os.kill(pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        wait_until(lambda: not carrying(token), "all to end", found=lambda: str(carrying(token)))


def test_nothing_of_a_killed_worker_is_left_while_the_others_go_on(project):
    project.write("test_churn.py", CHURN)
    token = uuid.uuid4().hex
    with project.started("-n2", "--max-worker-restart=0", VXLAB_TEST_TOKEN=token) as process:
        for name in ("gw0", "gw1"):
            wait_until(
                lambda path=project.folder / name: _turn(path) >= 2, f"turns of {name}", timeout=300
            )

        def of(worker: str) -> dict[int, str]:
            return {
                pid: line
                for pid, line in carrying(f"PYTEST_XDIST_WORKER={worker}").items()
                if pid in carrying(token)
            }

        sleepers = of("gw0")
        assert sleepers
        inner = children(children(process.pid)[0])[0]
        by_ancestry = [pid for pid in children(inner) if set(sleepers) & set(_below(pid))]
        assert len(by_ancestry) == 1
        os.kill(by_ancestry[0], signal.SIGKILL)
        wait_until(lambda: not of("gw0"), "gw0's programs to end", found=lambda: str(of("gw0")))
        turn = _turn(project.folder / "gw1")
        wait_until(lambda: _turn(project.folder / "gw1") > turn, "gw1 to go on", timeout=60)
        assert process.poll() is None


def _below(pid: int) -> list[int]:
    """All processes below one, whichever of its threads started them."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += [int(child), *_below(int(child))]
    return found


def test_orphans_are_reaped(tmp_path):
    script = """
import contextlib, os
from vxlab.system.waiting import wait_until
def states():
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has just ended
            yield open(f"/proc/{name}/stat").read().split()[2:4]
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.close(write)
        os.read(read, 1)  # until the last copy of the other end is closed
    os._exit(0)
os.wait()
wait_until(lambda: ["S", "1"] in states(), "an orphan")
os.close(write)
wait_until(lambda: len(list(states())) == 2, "the orphan to be reaped")
"""
    assert sandbox.run([sys.executable, "-c", script], environment()) == 0
