"""Small projects of tests, on which pytest is run as a program of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
#: Only these plugins are loaded, which makes pytest start in a quarter of the time.
PLUGINS = ["-p", "vxlab.plugin.hooks", "-p", "xdist.plugin", "-p", "no:cacheprovider"]
PYTEST = [sys.executable, "-m", "pytest", *PLUGINS]

#: A test that writes what it sees to facts.json in its own folder.
FACTS = """
    import json, os, pathlib, socket, subprocess, tempfile
    from vxlab import sandbox
    from vxlab.plugin import sandboxing

    KINDS = os.listdir("/proc/self/ns")

    def attempt(job):
        try:
            return job()
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def test_facts(request, tmp_path):
        links = json.loads(subprocess.check_output(["ip", "-j", "link"]))
        pathlib.Path(__file__).with_name("facts.json").write_text(json.dumps({
            "inside": sandbox.inside(), "pid": os.getpid(), "uid": os.getuid(),
            "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
            "ns": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS},
            "links": {link["ifname"]: link["flags"] for link in links},
            "sysfs": os.listdir("/sys/class/net"),
            "run": os.listdir("/run"), "shm": os.listdir("/dev/shm"),
            "tmp_path": str(tmp_path), "tempdir": tempfile.gettempdir(), "cwd": os.getcwd(),
            "env": dict(os.environ),
            "require": attempt(lambda: sandboxing.require(request.config)),
        }))
"""


def environment(**more: str) -> dict[str, str]:
    """That of a shell: without what a running pytest or sandbox has put there."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "VXLAB_")) and name != "TMPDIR"
    }
    path = [str(REPOSITORY), *filter(None, [env.get("PYTHONPATH")])]
    ours = {"PYTHONPATH": os.pathsep.join(path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return {**env, **ours, **more}


class Project:
    """A folder with tests, and pytest run on it as a program of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def pytest(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.call([*PYTEST, *args], **env)

    def call(self, argv: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=self.folder,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,  # against hanging alone: beside virtual machines all takes far longer
        )

    @contextlib.contextmanager
    def started(self, *args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """A running pytest, in a session of its own; its output goes to a file ``output``."""
        with open(self.folder / "output", "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [*PYTEST, *args],
                cwd=self.folder,
                env=environment(**env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def facts(self, *args: str, **env: str) -> dict:
        """What :data:`FACTS` saw; written as test_facts.py unless that exists."""
        if not (self.folder / "test_facts.py").exists():
            self.write("test_facts.py", FACTS)
        done = self.pytest(*args, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((self.folder / "facts.json").read_text())
