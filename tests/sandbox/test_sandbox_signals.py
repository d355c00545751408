"""Exit codes, signals and a terminal pass through a sandbox."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from project_tools import PYTEST, Project, environment

from vxlab.system.waiting import wait_until


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("def test_it(): pass", 0),
        ("def test_it(): assert not 'vxlab'", 1),
        ("def test_it(): raise KeyboardInterrupt", 2),
        ("import pytest\ndef test_it(): pytest.exit('enough', returncode=77)", 77),
        ("", 5),
    ],
)
def test_the_exit_code_of_pytest_passes_through(project, body, code):
    project.write("test_it.py", f"import vxlab, os\nassert os.getpid() < 10\n{body}")
    assert project.pytest().returncode == code


WAITING = """
    import os, pathlib, signal, vxlab
    here = pathlib.Path(__file__).parent
    def test_waiting():
        seen, (told, tell) = [], os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)  # unlike pause(), this misses no signal that comes just before
        signal.signal(signal.SIGHUP, lambda *_: seen.append("HUP"))
        signal.signal(signal.SIGUSR1, lambda *_: seen.append("USR1"))
        (here / "ready").touch()
        while "USR1" not in seen:
            os.read(told, 1)
        signal.set_wakeup_fd(-1)
        (here / "seen").write_text(" ".join(seen))
"""


def until_ready(project: Project) -> None:
    """Wait until the test has begun; pytest starts twice before, on a busy machine slowly."""
    ready = project.folder / "ready"
    wait_until(ready.exists, "the test to begin", timeout=300, found=lambda: project.output)


@pytest.mark.parametrize("args", [(), ("-s",)])
def test_a_signal_to_the_process_reaches_pytest(project, args):
    project.write("test_waiting.py", WAITING)
    with project.started(*args) as process:
        until_ready(project)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == pytest.ExitCode.INTERRUPTED
        assert "KeyboardInterrupt" in project.output


def test_death_by_a_signal_passes_through(project):
    project.write("test_waiting.py", WAITING)
    with project.started() as process:
        until_ready(project)
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize("to_the_group", [True, False])
def test_a_signal_arrives_once(project, to_the_group):
    project.write("test_waiting.py", WAITING)
    with project.started() as process:
        until_ready(project)
        (os.killpg if to_the_group else os.kill)(process.pid, signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)  # taken after SIGHUP, which has a lower number
        assert process.wait(30) == 0
    assert (project.folder / "seen").read_text() == "HUP USR1"


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        try:
            self.master, slave = pty.openpty()
        except OSError as error:  # a bare chroot, without /dev/pts
            pytest.skip(f"needs a terminal: {error}")
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv],
            cwd=folder,
            env=environment(TERM="dumb"),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.shown = ""

    def type(self, keys: str, after: str) -> None:
        wait_until(
            lambda: after in self.read(), repr(after), timeout=30, found=lambda: repr(self.shown)
        )
        self.shown = ""
        os.write(self.master, keys.encode())

    def read(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):
            self.shown += os.read(self.master, 65536).decode(errors="replace")
        return self.shown

    def wait(self) -> int:
        def ended() -> bool:
            self.read()
            return self.process.poll() is not None

        wait_until(ended, "the program to end", timeout=60, found=self.read)
        os.close(self.master)
        return self.process.returncode


def test_a_debugger_works_in_the_terminal(project):
    project.write("test_it.py", "import vxlab\ndef test_it():\n    x = 42\n    assert x == 43\n")
    terminal = Terminal([*PYTEST, "--pdb"], project.folder)
    terminal.type("x * 1000\n", after="(Pdb)")
    terminal.type("q\n", after="42000")
    assert terminal.wait() == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("key", "code"), [("\x03", pytest.ExitCode.INTERRUPTED), ("\x1c", -signal.SIGQUIT)]
)
def test_keys_that_send_signals_work_in_the_terminal(project, key, code):
    project.write(
        "test_it.py", "import vxlab, time\ndef test_it():\n    print('go')\n    time.sleep(60)\n"
    )
    terminal = Terminal([*PYTEST, "-s"], project.folder)
    terminal.type(key, after="go\r\n")
    assert terminal.wait() == code
