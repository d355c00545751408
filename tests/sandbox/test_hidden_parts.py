"""Sandboxes where parts of /proc and /sys are hidden or read-only, as in a container."""

from __future__ import annotations

import json
import subprocess

import pytest
from project_tools import FACTS, PYTEST, Project
from sandbox_tools import BOXED

from vxlab.sandbox.mounts import hidden_parts

READ_ONLY = "mount -o remount,ro,bind /sys"
BELOW_SYS = "mount -t tmpfs none /sys/kernel/mm"
BELOW_PROC = "mount --bind /dev/null /proc/version"

#: As root of the machine, and as one who needs a user namespace, in which the kernel looks closer.
AS_ROOT = ["env", "-u", "VXLAB_SANDBOX"]
AS_USER = [*AS_ROOT, "unshare", "--user", "--map-root-user", "--mount"]

LAB = """
    import pytest
    from vxlab import TopologyBuilder

    def two_hosts():
        t = TopologyBuilder("two hosts")
        t.switch("lan", "10.0.0.0/24")
        for n in (1, 2):
            t.host(f"h{n}", "lan")
        return t

    @pytest.mark.topology(two_hosts())
    def test_lab(lab):
        assert lab["h1"].ping("10.0.0.2")
        assert lab["h1"].run("ls", "/sys/class/net").stdout.split() in ([], ["eth0", "lo"])
"""


def run(
    project: Project, hide: str, who: list[str], *argv: str
) -> subprocess.CompletedProcess[str]:
    """Run a program where a shell command has hidden something."""
    script = f'{hide} && exec "$@"'
    project.write("test_facts.py", FACTS)
    project.write("test_lab.py", LAB)
    return project.call([*BOXED, "sh", "-c", script, "sh", *who, *argv])


@pytest.mark.parametrize(
    ("hide", "who", "devices"),
    [
        (READ_ONLY, AS_ROOT, ["lo"]),
        (READ_ONLY, AS_USER, ["lo"]),
        (BELOW_SYS, AS_ROOT, ["lo"]),
        (BELOW_SYS, AS_USER, []),
        (f"{READ_ONLY}; {BELOW_SYS}", AS_USER, []),
        (f"{BELOW_PROC}; {BELOW_SYS}", AS_ROOT, ["lo"]),
    ],
)
def test_labs_run_with_what_can_be_mounted(project, hide, who, devices):
    done = run(project, hide, who, *PYTEST)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "facts.json").read_text())
    assert facts["inside"]
    assert facts["sysfs"] == devices  # never those of the network outside
    assert list(facts["links"]) == ["lo"]


def test_where_it_is_refused_the_hidden_parts_are_named(project):
    done = run(project, BELOW_PROC, AS_USER, *PYTEST)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "hidden or read-only here, as in a container: /proc/version;" in done.stderr
    assert "(mount proc on /proc: " in done.stderr
    assert "systempaths=unconfined" in done.stderr
    assert "CONFIG_USER_NS" not in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_what_is_mounted_on_any_machine_hides_nothing():
    line = "22 27 0:21 / {} {},relatime - x x rw"
    usual = ["/proc", "/sys", "/sys/fs/cgroup", "/sys/kernel/debug", "/proc/sys/fs/binfmt_misc"]
    assert hidden_parts("\n".join(line.format(point, "rw") for point in usual)) == []
    hidden = [
        line.format("/proc/sys", "ro,nosuid"),
        line.format("/sys", "ro"),
        line.format("/", "ro"),
    ]
    assert hidden_parts("\n".join(hidden)) == ["/proc/sys", "/sys"]
