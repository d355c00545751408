"""Commands in a node: their output, their time limits, and that they end with the lab."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab.errors import CommandError, MissingProgram, WaitTimeout
from vxlab.live.lab import Lab
from vxlab.live.node import Node, Result
from vxlab.system.waiting import wait_until


def programs(node: Node) -> list[str]:
    """Command lines of all that runs in a node, but for its first process and ps itself."""
    lines = node.run("ps", "-eo", "pid=,args=").stdout.splitlines()
    words = [line.split(maxsplit=1) for line in lines]
    return [args for pid, args in words if pid != "1" and not args.startswith("ps ")]


def test_run_gives_code_and_output(h1: Node) -> None:
    result = h1.run("sh", "-c", "echo out; echo err >&2")
    assert result == Result(
        argv=("sh", "-c", "echo out; echo err >&2"), code=0, stdout="out\n", stderr="err\n"
    )
    assert result
    assert repr(h1) == "<Node h1>"


def test_run_raises_unless_told_not_to(h1: Node) -> None:
    with pytest.raises(CommandError, match="h1: `sh -c echo no >&2; exit 3` ended with 3: no"):
        h1.run("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(CommandError, match="ended with 1: on stdout"):
        h1.run("sh", "-c", "echo on stdout; exit 1")
    result = h1.run("false", check=False)
    assert not result
    assert result.code == 1


def test_run_feeds_stdin_and_environment(h1: Node) -> None:
    assert h1.run("cat", stdin="text").stdout == "text"
    assert h1.run("cat").stdout == ""
    assert h1.run("sh", "-c", "echo $WHO", env={"WHO": "me"}).stdout == "me\n"


def test_much_output_on_both_streams_is_read(h1: Node) -> None:
    result = h1.run(
        "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2"
    )
    assert (len(result.stdout), len(result.stderr)) == (300000, 300000)


def test_output_that_is_no_text_has_replacement_characters(h1: Node) -> None:
    assert h1.run("printf", r"a\377b").stdout == "a\ufffdb"


def test_a_missing_program_is_named(h1: Node) -> None:
    with pytest.raises(MissingProgram, match="wanted the program 'no-such-program'"):
        h1.run("no-such-program")


def test_a_time_out_kills_the_program(h1: Node) -> None:
    with pytest.raises(WaitTimeout, match=r"h1: waited 0.05 s for `sleep 1234` to end; killed it"):
        h1.run("sleep", "1234", timeout=0.05)
    assert programs(h1) == []


def test_a_time_out_while_the_program_talks(h1: Node) -> None:
    with pytest.raises(WaitTimeout, match=r"waited 0\.05 s for `yes` to end"):
        h1.run("yes", timeout=0.05)
    assert programs(h1) == []


def test_a_time_out_of_a_shell_s_child_ends_with_the_lab(tmp_path: Path) -> None:
    """Only the program itself is killed; what it started lives on in the node, and no longer."""
    with nothing_left(tmp_path / "temp"), Lab(two_hosts()) as lab, pytest.raises(WaitTimeout):
        lab["h1"].run("sh", "-c", "sleep 1234 & wait", timeout=0.3)


def test_popen_runs_beside_the_test(h1: Node) -> None:
    with h1.popen("cat", stdin=subprocess.PIPE) as process:
        assert programs(h1) == ["cat"]
        assert process.communicate("x") == ("x", "")
    assert programs(h1) == []


def test_a_program_that_was_left_running_ends_with_the_lab(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        with Lab(two_hosts()) as lab:
            process = lab["h1"].popen("sleep", "1234", stdout=None, stderr=None)
            assert process.poll() is None
        assert process.returncode == -9


def test_programs_of_other_nodes_are_not_seen(lab: Lab) -> None:
    with lab["h2"].popen("sleep", "1234") as process:
        assert programs(lab["h1"]) == []
        assert programs(lab["h2"]) == ["sleep 1234"]
        process.kill()


def test_a_recorder_s_queue_is_emptied_after_each_command() -> None:
    with Lab(two_hosts(), recorder=True) as lab:
        assert lab["h1"].ping("172.16.0.2", timeout=5)
        recorder = lab.recorders["h1"]
        assert any(frame.outgoing for frame in recorder.frames)
        assert set(lab.recorders) == set(lab)


def test_a_signal_from_another_thread_does_not_end_a_command(h1: Node) -> None:
    """The command is a process of its own, waited for by nobody else."""
    with h1.popen("sh", "-c", "kill -TERM $$") as process:
        wait_until(lambda: process.poll() is not None, "the shell to end")
    assert process.returncode == -15
    assert h1.run("echo", str(os.getpid())).stdout == f"{os.getpid()}\n"
