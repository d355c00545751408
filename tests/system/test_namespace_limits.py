"""Where no more namespaces or files may be had, the error says so."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from namespace_tools import HOME, here

from vxlab.errors import SandboxError
from vxlab.observe import packetsocket
from vxlab.system import namespaces
from vxlab.system.namespaces import Namespaces


def in_child(code: str, *wrapper: str) -> str:
    """The output of a Python program in a process of its own."""
    argv = [*wrapper, sys.executable, "-W", "error", "-c", code]
    root = str(Path(namespaces.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


ATTEMPT = """
import os
from vxlab.system.namespaces import Namespaces
from vxlab.errors import SandboxError
before = os.listdir("/proc/self/fd")
try:
    Namespaces("n1")
except SandboxError as error:
    print(error)
assert os.listdir("/proc/self/fd") == before
"""


def test_a_missing_right_to_make_namespaces_is_told() -> None:
    said = in_child(ATTEMPT, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert (
        "wanted a network namespace for 'n1', found no permission to make one: run inside" in said
    )


def test_a_limit_on_namespaces_is_told() -> None:
    limit = "with open('/proc/sys/user/max_net_namespaces', 'w') as file:\n    file.write('1')\n"
    said = in_child(limit + ATTEMPT, "unshare", "--user", "--map-root-user", "--net", "--uts")
    assert "No space left on device: raise the limit" in said
    assert "user.max_net_namespaces" in said


@pytest.mark.parametrize("spare", range(6))
def test_a_limit_on_open_files_is_told(spare: int) -> None:
    """Whichever descriptor is one too many, the ones before it are closed again."""
    packetsocket.settle()  # captures of the test before may still be closing
    used = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filler = [os.dup(0) for _ in range(64)]  # so that the limit is not among low free numbers
    try:
        top = max(filler)
        for fd in filler[64 - spare :]:
            os.close(fd)
        del filler[64 - spare :]
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + 1, hard))
        before = set(os.listdir("/dev/fd")) if spare else None
        said = ""
        try:
            Namespaces("n1").close()
        except SandboxError as error:
            said = str(error)
        assert bool(said) == (spare < 4)
        assert "Too many open files: raise the limit (open files: `ulimit -n`" in said or not said
        if before is not None:
            assert set(os.listdir("/dev/fd")) == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filler:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == used
    assert here() == HOME
