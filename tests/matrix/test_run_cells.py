"""How a cell's pytest is run and heard; what a whole job does is in test_local_target.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

SCRIPT = """
import array, fcntl, os, termios
from vxlab.matrix import run_cells

def taken():  # by who reads our output
    left = array.array("i", [1])
    while left[0]:
        fcntl.ioctl(1, termios.FIONREAD, left)

def be_pytest(arguments):
    exec(arguments[0])
    os._exit(3)

run_cells._pytest = be_pytest
print("before")  # into a buffer, that a fork copies
code, said = run_cells._forked([{body!r}])
print("\\nfound", code, repr(said))
"""


@pytest.fixture
def open_pipe() -> Iterator[int]:
    """The end of a pipe from which nothing comes, until the test is over."""
    read, write = os.pipe()
    yield read
    os.close(write)
    os.close(read)


def forked(body: str, stdin: int = subprocess.DEVNULL) -> list[str]:
    """The lines that are printed where a cell's pytest does this."""
    script = SCRIPT.format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_all_that_it_says_is_handed_on_once() -> None:
    body = 'os.write(1, b"one "); taken(); os.write(2, b"two"); taken()'
    assert forked(body) == ["before", "one two", "found 3 'one two'"]


def test_what_it_printed_before_its_end_is_heard() -> None:
    assert forked('print("last", flush=True)')[-1] == r"found 3 'last\n'"


def test_the_end_of_much_is_kept() -> None:
    *_, found = forked('os.write(1, b"a" * 3000); taken(); os.write(1, b"b" * 3000)')
    assert found == f"found 3 '{'a' * 1000}{'b' * 3000}'"


def test_a_signal_is_told_as_a_shell_does() -> None:
    assert forked("os.kill(os.getpid(), 9)")[-1] == "found 137 ''"


def test_it_may_close_its_output_and_go_on() -> None:
    body = 'os.write(1, b"done"); os.close(1); os.close(2); os._exit(7)'
    assert forked(body)[-1] == "found 7 'done'"


def test_who_else_holds_its_output_is_not_waited_for(open_pipe: int) -> None:
    body = 'os.fork() or os.read(0, 1); os.write(1, b"said")'  # its child waits for the test
    assert forked(body, open_pipe)[-1] == "found 3 'said'"
