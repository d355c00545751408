"""Programs that vxlab runs for itself end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from vxlab.system.waiting import wait_until
from vxlab.vm import children

SCRIPT = """
import subprocess, sys
from vxlab.vm import children
words = ["sh", "-c", "echo $$; exec sleep 1000"]
if sys.argv[1] == "run":
    children.run(words)
children.start(words).wait()
"""


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("how", ["run", "start"])
def test_a_program_is_killed_with_who_runs_it(how):
    words = [sys.executable, "-c", SCRIPT, how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    wait_until(lambda: not is_running(pid), "the end of the program")


def test_a_program_that_comes_too_late_does_not_start(tmp_path):
    """Who starts it is gone before it can be tied to it."""
    tie, read, write = children.tied(), *os.pipe()
    between = os.fork()
    if between == 0:  # its parent is another one than tied() has seen
        if os.fork() == 0:
            tie()
            os.write(write, b"started")
        os._exit(0)
    os.close(write)
    os.waitpid(between, 0)
    assert os.read(read, 10) == b""
    os.close(read)


def test_it_is_as_subprocess_has_it():
    done = children.run(["sh", "-c", "cat; exit 3"], input=b"x", capture_output=True)
    assert (done.returncode, done.stdout) == (3, b"x")
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sleep", "1000"], timeout=0.1)
    with children.start(["sleep", "1000"]) as process:
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
