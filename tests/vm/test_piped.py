"""Output that is no terminal, on a port that is one."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vxlab.vm import piped

SCRIPT = [sys.executable, "-I", "-S", str(Path(piped.__file__))]


def on_a_port(*words: str) -> tuple[int, bytes]:
    """Run it where its output is a terminal; its exit code, and what came."""
    ours, port = pty.openpty()
    subprocess.run(["stty", "-F", os.ttyname(port), "raw", "-echo"], check=True)
    with subprocess.Popen([*SCRIPT, *words], stdin=port, stdout=port, stderr=port) as process:
        os.close(port)
        heard = b""
        while data := _read(ours):
            heard += data
    os.close(ours)
    return process.returncode, heard


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # EIO: nobody has the other end any more
        return b""


def test_a_program_sees_no_terminal() -> None:
    code, heard = on_a_port("sh", "-c", "test -t 1 || test -t 2 || printf none; test -t 0")
    assert (code, heard) == (0, b"none")


@pytest.mark.parametrize("code", [0, 3, 139])
def test_its_exit_code_is_that_of_the_program(code: int) -> None:
    assert on_a_port("sh", "-c", f"exit {code}")[0] == code


def test_a_signal_is_as_a_shell_has_it() -> None:
    assert on_a_port("sh", "-c", "kill -SEGV $$")[0] == 128 + signal.SIGSEGV


def test_all_of_it_comes_in_order_and_as_it_is() -> None:
    code, heard = on_a_port("sh", "-c", r"seq 1 100000; printf '\000\377' >&2; printf end")
    assert code == 0
    assert heard == b"".join(b"%d\n" % n for n in range(1, 100001)) + b"\0\xffend"


def test_what_a_program_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    holds = f"cat {tmp_path / 'pipe'} </dev/null 2>&1 & printf on"  # it holds stdout until written
    with subprocess.Popen([*SCRIPT, "sh", "-c", holds], stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0
        (tmp_path / "pipe").write_text("x")  # ends what was left running
        assert process.stdout is not None
        assert process.stdout.read() == b"on"


def test_output_that_is_closed_is_no_end() -> None:
    assert on_a_port("sh", "-c", "exec >&- 2>&-; exit 5") == (5, b"")
