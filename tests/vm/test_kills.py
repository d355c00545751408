"""kill -9 at any moment leaves nothing: no process, no temporary file, nothing half made.

What is half made may lie in the cache until something is made there again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time

import pytest
from fake_machine import install
from project_tools import REPOSITORY, environment
from sandbox_tools import carrying

from vxlab.system.waiting import wait_until
from vxlab.vm import cache

KILLS = 12

#: Each does one thing over and over, and says so when it has begun.
BEGIN = """
    import sys
    from itertools import count
    from pathlib import Path
    from vxlab.vm import cache, images, machine, project, snapshots
    here = Path.cwd()
    print("begun", flush=True)
"""

PACKS = """
    for number in count():
        (here / "project/test_it.py").write_text(f"assert {number} == 1\\n" * 200)
        project.pack(here / "project", here / "tar", ["true"])
"""

STORES = """
    from vxlab.vm.guest import Guest
    kernel = cache.part("kernels") / "vmlinuz"
    kernel.touch()
    images = {name: here / name for name in ("start", "root", "modules")}
    for number in count(1024):
        found = Guest(kernel=kernel, **images, memory=number)
        snapshots.with_snapshot(found, kvm=False, notify=print)
"""

#: Packages are made up, and pip is another; the rest is as it is.
ROOTS = """
    def unpack(files, tree):
        modules = (f"usr/lib/python3.11/m{n}.py" for n in range(50))
        for name in ("etc/iproute2/names", "usr/bin/x", "usr/sbin/x", *modules):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("x = 1\\n" * 100)
        (tree / "large").write_bytes(bytes(1 << 20))

    class Suite:
        def __init__(self, *_): pass
        def fetch(self, *_): return []
        fetch_all = fetch

    images.unpack, images.Suite = unpack, Suite
    for number in count():
        images._python_packages = lambda number=number: (str(number),)
        images.root()
"""

PIP = """
    import os, sys, tempfile, time
    target = sys.argv[sys.argv.index("--target") + 1]
    os.makedirs(target)
    with tempfile.TemporaryDirectory(prefix="pip-") as folder:
        for number in range(50):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(1 << 16))
        for number in range(50):
            os.replace(f"{folder}/{number}", f"{target}/m{number}.py")
"""

NOTES = """
    for number in count():
        cache.write(cache.part("apt") / "note", "x" * 100_000)
        cache.keep("kernels", str(number % 20), lambda place: (place / "x").write_text("x" * 9999))
        import shutil; shutil.rmtree(cache.part("kernels", str(number % 20)))
"""

#: Stores itself slowly, by a program of its own, as QEMU does.
MACHINE = """
    case "$*" in *-incoming*) up; ends 0; exit ;; esac
    say '{"guest": "ready"}'
    while read -r line; do
        case $line in
        *'"exec:cat >'*)
            place=${line#*exec:cat >}
            dd if=/dev/zero of="${place%%\\"*}" bs=64k count=300 2>/dev/null
            echo '{"return": {}}'
            echo '{"event": "MIGRATION", "data": {"status": "completed"}}'
            ;;
        *quit*) echo '{"return": {}}'; exit ;;
        *) echo '{"return": {}}' ;;
        esac
    done
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a project, a QEMU, and folders for temporary files and for the cache."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    install(tmp_path, monkeypatch, MACHINE)
    (tmp_path / "project").mkdir()
    for number in range(100):
        (tmp_path / f"project/file{number}").write_text("x" * 1000)
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/__init__.py").touch()
    (tmp_path / "pip/__main__.py").write_text(textwrap.dedent(PIP))
    return tmp_path


def temporary(place):
    return os.listdir(place / "tmp")


def half_made(place):
    return [x for x in (place / "cache").rglob("*") if x.name.startswith((".", "tmp"))]


def killed(words, place, *, within, token):
    """Start a program, and kill it within so many seconds from when it has begun; its output."""
    env = environment(
        TMPDIR=str(place / "tmp"),
        VXLAB_CACHE=str(place / "cache"),
        PATH=os.environ["PATH"],
        PYTHONPATH=f"{REPOSITORY}{os.pathsep}{place}",
        TOKEN=token,
    )
    with subprocess.Popen(words, cwd=place, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(random.uniform(0, within))  # any moment: there is nothing to wait for
        assert process.poll() is None, "it ended by itself: nothing was there to be killed"
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    "does", [PACKS, STORES, ROOTS, NOTES], ids=["pack", "snapshot", "root", "cache"]
)
def test_whoever_makes_something_can_be_killed(does, place):
    token = f"vxlab-test-{os.getpid()}-{place}"
    words = [sys.executable, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(does)]
    seen = 0
    for number in range(10 * KILLS):
        if number >= KILLS and (seen or does is PACKS):
            break  # on a busy machine it takes more of them until one comes in the middle
        killed(words, place, within=1.5, token=token)
        wait_until(lambda: not carrying(token), "the end of all processes", timeout=60)
        assert temporary(place) == []
        seen += bool(half_made(place))
        with cache.workplace("kvm"):  # the next start
            pass
        assert half_made(place) == []
    assert seen or does is PACKS, "no kill came while something was half made"
