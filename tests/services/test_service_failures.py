"""A service that dies, hangs or does not listen is reported, and stopped all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from multicast_router_tools import (
    EACH_KIND,
    GROUP,
    KINDS_AND_GROUPS,
    Kind,
    RouterLab,
    Start,
    write_script,
)

from vxlab.errors import DaemonError
from vxlab.services import Smcroute
from vxlab.system.waiting import wait_until


@pytest.mark.parametrize(("kind", "group"), KINDS_AND_GROUPS)
def test_a_killed_daemon_is_reported_at_once(
    lab: RouterLab, start: Start, kind: Kind, group: str
) -> None:
    running = start(lab, kind(lab.interfaces, [group]))
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not running.alive, "its end")
    with pytest.raises(DaemonError, match=rf"start {kind.program} in r: .* had ended with -9"):
        running.wait_ready(timeout=60)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs stand in for the daemons."""
    monkeypatch.setenv("VXLAB_TOOLS", str(tmp_path))
    return tmp_path


@EACH_KIND
def test_a_daemon_that_dies_is_quoted(
    lab: RouterLab, start: Start, tools: Path, kind: Kind
) -> None:
    write_script(tools, kind.program, "echo 'the flux is bent' >&2; exit 3")
    running = start(lab, kind(lab.interfaces, [GROUP]))
    with pytest.raises(DaemonError, match="had ended with 3; its output: the flux is bent"):
        running.wait_ready(timeout=60)


@EACH_KIND
def test_a_daemon_that_never_gets_ready_is_reported(
    lab: RouterLab, start: Start, tools: Path, kind: Kind
) -> None:
    write_script(tools, kind.program, "echo thinking; exec sleep 1000")
    running = start(lab, kind(lab.interfaces, [GROUP]))
    wait_until(lambda: "thinking" in running.output(), "its output")
    with pytest.raises(
        DaemonError, match=r"waited 0\.05 s for its pid file.*found no /\S*\.pid.*: thinking"
    ):
        running.wait_ready(timeout=0.05)
    assert running.alive
    running.stop()
    assert not running.alive


def test_a_pid_file_of_another_process_is_no_evidence(
    lab: RouterLab, start: Start, tools: Path
) -> None:
    write_script(tools, "smcrouted", "echo 1 > /run/r1.pid; echo done; exec sleep 1000")
    running = start(lab, Smcroute(lab.interfaces, [GROUP]))
    wait_until(lambda: "done" in running.output(), "its pid file")
    assert not running.poll()


def test_stop_kills_what_does_not_listen(lab: RouterLab, start: Start, tools: Path) -> None:
    write_script(tools, "smcrouted", "trap 'echo no' TERM; echo set; while :; do sleep 0.01; done")
    running = start(lab, Smcroute(lab.interfaces, [GROUP]))
    wait_until(lambda: "set" in running.output(), "its trap")
    os.kill(running.pid, signal.SIGTERM)
    wait_until(lambda: "no" in running.output(), "its trap to run")
    running.stop(timeout=0.1)
    assert not running.alive


@EACH_KIND
def test_stop_may_come_early_and_often(lab: RouterLab, start: Start, kind: Kind) -> None:
    running = start(lab, kind(lab.interfaces, [GROUP]))
    running.stop()
    assert not running.alive
    running.stop()
    with pytest.raises(DaemonError, match="had ended"):
        running.wait_ready()


@EACH_KIND
def test_stop_works_after_the_node_is_gone(
    labs: Callable[[int], RouterLab], start: Start, kind: Kind
) -> None:
    lab = labs(2)
    lab.add_vxlan()
    running = start(lab, kind(lab.interfaces, [GROUP]))
    running.wait_ready()
    lab.router.close()
    running.stop()
    assert not running.alive
