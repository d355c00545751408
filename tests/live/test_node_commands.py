"""Commands in a node: their output, their time limits, and that they end with the lab."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from interruptions import Interruption, interrupted_after
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


def nothing_runs(node: Node) -> None:
    """What was killed goes when the node's first process is told."""
    found = partial(programs, node)
    wait_until(lambda: not found(), "all programs to be gone", found=lambda: str(found()))


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


@pytest.mark.parametrize("how", ["run", "ask"])
@pytest.mark.parametrize("line", ["sleep 1234; true", "setsid sleep 1234 & sleep 1234 & wait"])
def test_a_time_out_ends_all_that_the_program_started(h1: Node, how: str, line: str) -> None:
    with pytest.raises(WaitTimeout, match="killed it"):
        getattr(h1, how)("sh", "-c", line, timeout=0.5)
    nothing_runs(h1)


@pytest.mark.parametrize("how", ["run", "ask"])
def test_an_exception_does_not_wait_for_the_program(h1: Node, how: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Interruption), interrupted_after(0.5):
        getattr(h1, how)("sh", "-c", "sleep 1234 & sleep 1234; true", timeout=600)
    assert time.monotonic() - begun < 20
    nothing_runs(h1)


def test_an_exception_does_not_wait_for_a_command_of_testinfra(h1: Node) -> None:
    with pytest.raises(Interruption), interrupted_after(0.5):
        h1.testinfra.run("sleep 1234")
    nothing_runs(h1)


def test_what_a_program_leaves_running_is_not_waited_for(h1: Node) -> None:
    begun = time.monotonic()
    assert h1.run("sh", "-c", "sleep 1234 & echo started", timeout=60).stdout == "started\n"
    assert time.monotonic() - begun < 30
    wait_until(lambda: programs(h1) == ["sleep 1234"], "the shell to be gone")


def test_a_program_that_is_waited_for_has_no_terminal_and_one_beside_keeps_it(h1: Node) -> None:
    session = "import os; print(os.getsid(0) == os.getpid())"
    assert h1.run("python3", "-c", session).stdout == "True\n"
    assert h1.ask("python3", "-c", session).stdout == "True\n"
    with h1.popen("python3", "-c", session, stdout=subprocess.PIPE) as process:
        assert process.communicate()[0] == "False\n"


def test_popen_runs_beside_the_test(h1: Node) -> None:
    with h1.popen(
        "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
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
