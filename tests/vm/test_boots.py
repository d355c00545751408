"""Real boots: what a guest gives back, and how it ends when it does not end well.

One of them is part of every run.  The others take a minute of an emulated processor: they run where
KVM works, and where VXLAB_BOOTS is set.  `vxlab vm fetch --kernel 6.1`, which set-up does, makes
ready what they need; there is no network in here.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import pytest
from sandbox_tools import carrying

from vxlab.errors import VxlabError
from vxlab.system.waiting import wait_until
from vxlab.vm import kernels, kvm, packages, run

KERNEL = "6.1"
#: Seconds for one boot on a machine that is busy with other tests.
LONG = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _ready():
    try:
        packages.program("qemu-system-x86_64", "qemu-system-x86")
        run.prepare_kernel(kernel=KERNEL)
    except VxlabError as error:
        pytest.skip(f"no virtual machine here: {error}")


@pytest.fixture
def few(_ready):
    if not os.environ.get("VXLAB_BOOTS") and not kvm.has_kvm():
        pytest.skip("boots in emulation take long: VXLAB_BOOTS=1 runs all of them")


@pytest.fixture
def project(tmp_path):
    """A project; temporary files of vxlab go to the folder ``tmp`` beside it."""
    (tmp_path / "tmp").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "word").write_text("from the project")
    return folder


def start(project, *words, **streams):
    return subprocess.Popen(
        [sys.executable, "-m", "vxlab", "vm", *words],
        cwd=project,
        env={**os.environ, "TMPDIR": str(project.parent / "tmp"), "TERM": "dumb"},
        **streams,
    )


def vm(project, *words):
    """Run ``vxlab vm run`` for a line of shell; its exit code, output, and what it said."""
    *options, line = words
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = ["--kernel", KERNEL, "--deadline", str(LONG), *options]
    with start(project, "run", *words, "--", "sh", "-c", line, **piped) as process:
        output, said = process.communicate()
    return process.returncode, output, said


def left(project):
    """Files and processes of a machine that are still there."""
    place = str(project.parent / "tmp")
    return [*os.listdir(place), *carrying(f"TMPDIR={place}").values()]


@pytest.mark.parametrize("snapshot", [True, False], ids=["snapshot", "boot"])
def test_a_command_runs_in_the_project_and_all_of_it_comes_back(snapshot, project, tmp_path):
    """Also where a process that it leaves behind keeps the ports open."""
    line = """uname -r; cat word; echo; grep -c ' / ' /proc/mounts; modprobe vxlan && echo loaded
        iptables-save >/dev/null && test -s /usr/share/iproute2/rt_protos && echo found
        (exec 8>/dev/ttyS2; sleep 600) &
        date +%s
        /vxlab/python -c 'import sys; print("scapy.layers.vxlan" in sys.modules)'
        mkdir $VXLAB_OUTPUT/below; echo made >$VXLAB_OUTPUT/below/file; seq 1 3000; exit 3"""
    warm = snapshot and not kvm.has_kvm()
    options = ["--files", str(tmp_path / "files"), *([] if snapshot else ["--no-snapshot"])]
    code, output, said = vm(project, *options, line)
    lines = output.splitlines()
    assert lines[0] == kernels.find(KERNEL).release
    assert lines[1:5] == ["from the project", "1", "loaded", "found"]
    assert abs(int(lines[5]) - time.time()) < LONG
    assert lines[6] == str(warm)
    assert lines[7:] == [str(number) for number in range(1, 3001)]
    assert code == 3, said
    assert (tmp_path / "files/below/file").read_text() == "made\n"
    assert f"{'starting' if warm else 'booting'} {lines[0]}" in said
    assert left(project) == []


TESTS = """
    import os, random, sys
    from pathlib import Path

    def test_facts():
        from vxlab import sandbox
        draw = os.urandom(4).hex(), random.random()
        print("facts", sandbox.inside(), os.getpid(), draw, "xdist" in sys.modules)

    def test_fails(tmp_path):
        assert Path(tmp_path).is_file()
"""


@pytest.mark.usefixtures("few")
def test_pytest_says_the_same_from_a_snapshot_and_after_a_boot(project):
    """But for random numbers: those are other ones each time."""
    (project / "test_it.py").write_text(textwrap.dedent(TESTS))
    heard, facts = [], []
    for option in ("--deadline=100", "--deadline=101", "--no-snapshot"):
        line = "(pytest -s -v; pytest --no-sandbox -x -k fails) 2>&1 | cat"  # it is no terminal
        _, output, _ = vm(project, option, line)
        facts.append(re.search(r"facts (True \d+) \((.*)\) True", output).groups())
        heard.append(re.sub(r"facts .*|in [\d.]+s", "", output))
    assert heard[0] == heard[1] == heard[2]
    assert "pytest-of-root/pytest-0/test_fails0" in heard[0]
    assert len({draw for _, draw in facts}) == 3
    assert len({inside for inside, _ in facts}) == 1


@pytest.mark.usefixtures("few")
def test_a_kernel_that_crashes_is_told(project):
    code, output, said = vm(project, "echo before; echo c >/proc/sysrq-trigger; sleep 60")
    assert (code, output) == (125, "before\n")
    assert "kernel crashed: Kernel panic - not syncing: sysrq triggered crash" in said
    assert "write_sysrq_trigger" in said
    assert left(project) == []


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("place", ["/", "/tmp/", "/out/"])
def test_a_full_disk_is_told(place, project):
    code, _, said = vm(project, f"dd if=/dev/zero of={place}large bs=1M; true")
    assert code == 125
    assert re.search(r"disk full: (nothing is left in its|trouble: what is in /out)", said)
    assert left(project) == []


@pytest.mark.usefixtures("few")
def test_a_guest_that_hangs_is_told(project):
    """The deadline is longer than any boot takes, so that it is not the boot that hangs."""
    fast = kvm.has_kvm()
    code, output, said = vm(project, "--deadline", "15" if fast else "60", "echo on; sleep 1000")
    assert (code, output) == (125, "on\n")
    assert "vxlab vm: deadline: it had not ended after" in said
    assert left(project) == []


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("what", "number", "code"),
    [
        ("QEMU", signal.SIGKILL, 125),
        ("vxlab", signal.SIGKILL, -signal.SIGKILL),
        ("vxlab", signal.SIGTERM, 128 + signal.SIGTERM),
        ("vxlab", signal.SIGINT, 128 + signal.SIGINT),
    ],
)
def test_what_is_ended_from_outside_leaves_nothing(what, number, code, project):
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = ("--kernel", KERNEL, "--deadline", str(LONG), "--", "sh", "-c", "echo on; sleep 1000")
    with start(project, "run", *words, **piped) as process:
        assert process.stdout.readline() == "on\n"
        os.kill(process.pid if what == "vxlab" else _child(process.pid), number)
        _, said = process.communicate()
    assert process.returncode == code
    assert ("machine lost: QEMU was ended by SIGKILL" in said) == (what == "QEMU")
    assert "Traceback" not in said
    wait_until(lambda: left(project) == [], "nothing to be left", found=lambda: str(left(project)))


def _child(pid):
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


# --- a prompt --------------------------------------------------------------------------------


class Terminal:
    """A terminal with ``vxlab vm shell`` in it."""

    def __init__(self, project):
        self.text, self._end = "", pty.openpty()
        fcntl.ioctl(self._end[1], termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
        self.before = self.settings()
        self.process = start(
            project, "shell", "--kernel", KERNEL,
            stdin=self._end[1], stdout=self._end[1], stderr=self._end[1],
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )  # fmt: skip

    def settings(self):
        flags = fcntl.fcntl(self._end[1], fcntl.F_GETFL) & os.O_NONBLOCK
        return termios.tcgetattr(self._end[1]), flags

    def type(self, text):
        self.text = ""
        os.write(self._end[0], text.encode())

    def expect(self, pattern):
        late = time.monotonic() + LONG
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < late, self.text
            if select.select([self._end[0]], [], [], 1)[0]:
                self.text += os.read(self._end[0], 4096).decode(errors="replace")
            else:
                assert self.process.poll() is None, self.text
        return found


@pytest.mark.usefixtures("few")
def test_a_prompt_in_a_guest(project):
    terminal = Terminal(project)
    release = kernels.find(KERNEL).release
    prompt = re.escape(f"{release}:/work/project# ")
    terminal.expect(prompt)
    terminal.type("cat word; stty size\r")
    terminal.expect(r"from the project33 111\r\n" + prompt)
    terminal.type("exec sh -c 'trap \"exit 7\" INT; echo go; while :; do sleep 1; done'\r")
    terminal.expect(r"\ngo\r")
    terminal.type("\x03")  # Ctrl-C: for the program in the guest, not for vxlab
    assert terminal.process.wait(LONG) == 7
    assert terminal.settings() == terminal.before
    assert left(project) == []
