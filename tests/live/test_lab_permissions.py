"""Without the right to make namespaces, or with no more of them, a lab says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab_tools import two_hosts

from vxlab import catalog
from vxlab.errors import SandboxError
from vxlab.live.lab import Lab, check_place

pytestmark = pytest.mark.usefixtures("nothing_is_left")

ATTEMPT = """
import os, sys
from vxlab import Lab, catalog
from vxlab.errors import SandboxError
from vxlab.system.waiting import wait_until
from vxlab.system.workers import undisturbed
undisturbed(int)  # workers stay
def look():
    # workers take turns: as many stay, not always the same ones
    return sorted(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
before = look()
lab = Lab(catalog.one_switch())
try:
    lab.open()
except SandboxError as error:
    print(error)
wait_until(lambda: look() == before, "what was there before", found=look)  # one more may end late
assert len(lab) == 0
"""


def attempt(*wrapper: str, code: str = ATTEMPT) -> str:
    root = str(Path(catalog.__file__).parents[1])
    done = subprocess.run(
        [*wrapper, sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_root_without_capabilities_may_not_build_a_lab() -> None:
    said = attempt("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert (
        "wanted a network namespace for 'vbr', found no permission to make one: run inside" in said
    )


def test_another_user_may_not_build_a_lab() -> None:
    said = attempt("unshare", "--user")  # with no id mapped, one is nobody
    assert "wanted to build a lab, found no right to make namespaces: " in said


def test_namespaces_of_another_user_are_not_left() -> None:
    """There one could leave, and never come back; so one does not leave."""
    where = "os.readlink('/proc/self/ns/net')"
    code = f"import os\nhome = {where}\n{ATTEMPT}\nassert {where} == home\n"
    said = attempt("unshare", "--user", "--map-root-user", code=code)
    assert "wanted a network namespace for 'vbr', found no permission to make one" in said


def test_a_limit_on_namespaces_is_named() -> None:
    limit = "with open('/proc/sys/user/max_net_namespaces', 'w') as file:\n    file.write('3')\n"
    said = attempt("unshare", "--user", "--map-root-user", "--net", "--uts", code=limit + ATTEMPT)
    assert "wanted a network namespace for 'b', found" in said
    assert "user.max_net_namespaces" in said


@pytest.mark.parametrize("spare", range(3, 10))
def test_a_limit_on_open_files_is_named(spare: int) -> None:
    limit = (
        "import os, resource\n"
        "from vxlab import Lab, catalog\n"
        "import vxlab.live.lab\n"
        "from vxlab.errors import VxlabError as SandboxError\n"
        f"limit = max(map(int, os.listdir('/proc/self/fd'))) + {spare}\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))\n"
    )
    code = limit + ATTEMPT.replace("from vxlab.errors import SandboxError\n", "")
    said = attempt(code=code)
    assert "ulimit -n" in said


def test_without_root_a_lab_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    check_place()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = pytest.raises(SandboxError, match="wanted to build a lab, found no right to make")
    with refused:
        Lab(two_hosts()).open()
