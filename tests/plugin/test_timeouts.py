"""pytest-timeout by both of its methods leaves no process, no namespace and no file."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from plugin_tools import HEAD, PYTEST
from project_tools import Project

from vxlab.system.waiting import wait_until

#: What hangs, for longer than any test here may take.
HANGS = {
    "program": 'lab["a"].run("sh", "-c", "sleep 2345 & sleep 2345; true", timeout=3000)',
    "ask": 'lab["a"].ask("sleep", "2345", timeout=3000)',
    "testinfra": 'lab["a"].testinfra.run("sleep 2345")',
    "server": 'lab["a"].popen("sleep", "2345").wait()',
    "condition": 'wait_until(lambda: False, "what never comes", timeout=3000)',
    "block": 'with lab["a"].namespaces.entered(): wait_until(lambda: False, "it", timeout=3000)',
}

TESTS = """
import socket
from vxlab import wait_until

HOME = os.readlink("/proc/thread-self/ns/net")
pytestmark = pytest.mark.topology(catalog.point_to_point())

@pytest.mark.timeout({seconds}, method="{method}")
def test_that_hangs(lab):
    {hang}

def test_after_it(lab):
    assert os.readlink("/proc/thread-self/ns/net") == HOME
    with socket.create_server(("127.0.0.1", 4711)) as server:
        socket.create_connection(server.getsockname()).close()
    assert lab["a"].ping("172.18.1.3")
    assert "2345" not in lab["a"].ask("ps", "axo", "args").stdout
"""


def left(project: Project) -> list[str]:
    """Processes of the project's runs, by command line and folder."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink(f"/proc/{name}/cwd")
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if where.startswith(str(project.folder)) or b"2345" in words:
            found.append(f"{name} {words}")
    return found


def attempt(project: Project, hang: str, method: str) -> subprocess.CompletedProcess[str]:
    temporary = project.folder / "temporary"
    temporary.mkdir()
    tests = TESTS.format(seconds=4, method=method, hang=HANGS[hang])
    args = ("-p", "timeout", f"--basetemp={project.folder / 'base'}")
    (project.folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = -v\n")
    project.write("test_it.py", HEAD + tests)
    done = project.call([*PYTEST, *args], TMPDIR=str(temporary))
    wait_until(
        lambda: not left(project), "all processes to be gone", found=lambda: str(left(project))
    )
    assert list(temporary.iterdir()) == []
    return done


@pytest.mark.parametrize("hang", HANGS)
def test_the_method_signal_leaves_nothing(project: Project, hang: str) -> None:
    done = attempt(project, hang, "signal")
    assert "1 failed, 1 passed in" in done.stdout, done.stdout
    (seconds,) = re.findall(r"1 failed, 1 passed in ([\d.]+)s", done.stdout)
    assert float(seconds) < 60  # and not for ever, nor until the program ends by itself


@pytest.mark.parametrize("hang", ["program", "condition"])
def test_the_method_thread_leaves_nothing(project: Project, hang: str) -> None:
    done = attempt(project, hang, "thread")
    assert "Timeout" in done.stdout + done.stderr
    assert done.returncode not in (0, 5)
