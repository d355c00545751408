"""Programs are waited for, and ended with all that they started."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interruptions import Interruption, interrupted_after

from vxlab.system.processes import Output, end, finish, wait_for_end
from vxlab.system.waiting import wait_until
from vxlab.system.workers import undisturbed

#: A shell, a child, one in a session of its own, and a grandchild; it says so when all are there.
FAMILY = "setsid sh -c 'sleep 1234 & echo $!; wait' & sleep 1234 & echo $!; wait"


def start(*argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        argv, stdin=stdin, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    process = start("sh", "-c", FAMILY)
    assert process.stdout
    pids = [int(process.stdout.readline()) for _ in range(2)]
    yield process, pids
    for pid in filter(alive, pids):
        os.kill(pid, 9)
    process.communicate()


def test_a_program_is_fed_and_read_to_its_end() -> None:
    process = start("cat", stdin=subprocess.PIPE)
    data = b"x" * 300_000
    assert finish(process, data) == Output(data, b"")
    assert process.returncode == 0
    assert finish(start("sh", "-c", "echo a; echo b >&2; exit 3")) == Output(b"a\n", b"b\n")


def test_one_that_does_not_read_all_is_no_error() -> None:
    assert finish(start("true", stdin=subprocess.PIPE), b"x" * 300_000) == Output(b"", b"")


def test_what_a_program_left_running_is_not_waited_for() -> None:
    begun = time.monotonic()
    output = finish(start("sh", "-c", "sleep 1234 & echo $!"))
    assert time.monotonic() - begun < 60
    assert alive(int(output.stdout))
    os.kill(int(output.stdout), 9)


def test_a_time_out_ends_all_that_was_started_and_keeps_what_was_said(family) -> None:
    process, pids = family
    with pytest.raises(subprocess.TimeoutExpired) as late:
        finish(process, timeout=0.05)
    assert late.value.output == b""
    assert process.returncode == -9
    assert not any(map(alive, pids))
    with pytest.raises(subprocess.TimeoutExpired) as late:
        finish(start("sh", "-c", "echo said; sleep 1234"), timeout=0.5)
    assert late.value.output == b"said\n"


def test_an_exception_ends_all_that_was_started(family) -> None:
    process, pids = family
    begun = time.monotonic()
    with pytest.raises(Interruption), interrupted_after(0.05):
        undisturbed(lambda: finish(process))
    assert time.monotonic() - begun < 60
    assert process.returncode == -9
    assert not any(map(alive, pids))


def test_one_whose_end_was_seen_is_left_alone() -> None:
    process = start("sh", "-c", "sleep 1234 >/dev/null 2>&1 & echo $!")
    said, _ = process.communicate()
    end(process)
    assert alive(int(said))
    os.kill(int(said), 9)


def test_one_that_another_thread_waited_for_has_ended() -> None:
    process = start("echo", "said")
    process.wait()
    assert finish(process) == Output(b"said\n", b"")


def test_waiting_for_an_end_says_whether_it_came() -> None:
    with start("sleep", "1234") as process:
        assert not wait_for_end(process, 0.05)
        process.kill()
        assert wait_for_end(process, 60)
    wait_until(lambda: not alive(process.pid), "the process to go")
