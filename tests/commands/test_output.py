"""Standard output that is full or closed: a sentence, an exit code, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMANDS = ["list", "plan kim-and-lee", "script bridged", "--help", "script --help", "--version"]
WANTED = "vxlab: wanted to print the result, found: "


def run(words: str, where: str, *, buffered: bool = True) -> subprocess.CompletedProcess[str]:
    """The exit code of ``vxlab`` with its streams redirected by a shell, and what it said."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", f"{sys.executable} -m vxlab {words} {where}"],
        env=env if buffered else {**env, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_is_a_sentence(words: str, buffered: bool) -> None:
    done = run(words, ">/dev/full", buffered=buffered)
    assert done.returncode == 1
    hint = "look at where standard output goes"
    assert done.stderr == f"{WANTED}No space left on device: {hint}\n"


@pytest.mark.parametrize("words", ["list", "--help"])
def test_a_closed_output_is_a_sentence(words: str) -> None:
    done = run(words, ">&-")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{WANTED}Bad file descriptor")


@pytest.mark.parametrize(
    ("words", "where", "code"),
    [
        ("list", ">&- 2>&-", 1),
        ("list", ">/dev/full 2>/dev/full", 1),
        ("nosuch", "2>/dev/full", 2),
        ("plan nosuch", "2>/dev/full", 1),
        ("plan nosuch", "2>&-", 1),
        ("", "2>&-", 2),
    ],
)
def test_where_errors_cannot_be_told_the_exit_code_does(words: str, where: str, code: int) -> None:
    done = run(words, where)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_a_file_is_not_opened_in_place_of_a_closed_output(tmp_path: object) -> None:
    """The first file that a program opens is its standard output, if it has none."""
    done = run(f"script bridged -o {tmp_path}/x.sh", ">&- <&- 2>&-")
    assert done.returncode == 0
    assert subprocess.run(["sh", "-n", f"{tmp_path}/x.sh"], check=False).returncode == 0
