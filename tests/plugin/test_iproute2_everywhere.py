"""``--iproute2 DIR`` reaches whatever runs ip, however it calls it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from feature_tools import write_program
from plugin_tools import PYTEST, passed, run
from project_tools import environment

from vxlab.apply import BACKENDS
from vxlab.system.programs import find_program

OTHER = "9.9.9"
#: Every way in which a test, or what it starts, may call ip.
WAYS = """
import os, subprocess, sys

def said(result):
    return result.stdout if isinstance(result.stdout, str) else result.stdout.decode()

def in_node(lab, *argv, **more):
    with lab["a"].popen(*argv, stdout=subprocess.PIPE, **more) as process:
        return process.communicate()[0]

def entered(lab, *argv, **more):
    with lab["a"].namespaces.entered():
        return subprocess.run(argv, capture_output=True, text=True, **more).stdout

def daemon(lab):
    # a program that goes on in the background, and whose child runs ip
    script = "(sh -c 'exec 3<&0; ip -V; read x <&3') & wait"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with lab["a"].popen("sh", "-c", script, **pipes) as process:
        return process.communicate("")[0]

PYTHON = [sys.executable, "-c", "import subprocess as s; s.run(['ip', '-V'])"]
WAYS = {
    "run": lambda lab: said(lab["a"].run("ip", "-V")),
    "ask": lambda lab: said(lab["a"].ask("ip", "-V")),
    "run-sh": lambda lab: said(lab["a"].run("sh", "-c", "ip -V")),
    "ask-sh": lambda lab: said(lab["a"].ask("sh", "-c", "ip -V")),
    "ask-path": lambda lab: said(lab["a"].ask("sh", "-c", f"{SYSTEM} -V")),
    "run-path": lambda lab: said(lab["a"].run(SYSTEM, "-V")),
    "no-path": lambda lab: in_node(lab, "sh", "-c", "ip -V", env={}),
    "usual-path": lambda lab: in_node(lab, "sh", "-c", "ip -V", env={"PATH": "/usr/sbin:/usr/bin"}),
    "testinfra": lambda lab: lab["a"].testinfra.run("ip -V").stdout,
    "subprocess": lambda lab: entered(lab, "ip", "-V"),
    "subprocess-sh": lambda lab: entered(lab, "sh", "-c", "ip -V"),
    "subprocess-path": lambda lab: entered(lab, SYSTEM, "-V"),
    "subprocess-no-path": lambda lab: entered(lab, "sh", "-c", "ip -V", env={}),
    "daemon": daemon,
    "python": lambda lab: said(lab["a"].run(*PYTHON)),
    "netns-exec": lambda lab: said(lab["a"].run("unshare", "-m", "sh", "-c", "ip -V")),
}

@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("way", WAYS)
def test_way(lab, way):
    assert "OTHER" in WAYS[way](lab)

def test_no_lab():
    assert "OTHER" in subprocess.check_output([SYSTEM, "-V"], text=True)
    assert "OTHER" in subprocess.check_output(["ip", "-V"], text=True)
"""


@pytest.fixture(name="other")
def other_iproute2(tmp_path: Path) -> Path:
    """A folder with the system's programs, which say that they are of another version."""
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("ip", "bridge"):
        program = Path(find_program(name))
        said = subprocess.run([program, "-V"], capture_output=True, text=True).stdout
        version = re.search(r"utility, (?:iproute2-)?([\d.]+)", said)
        assert version
        assert len(version[1]) == len(OTHER)
        data = program.read_bytes()
        assert version[1].encode() in data
        (folder / name).write_bytes(data.replace(version[1].encode(), OTHER.encode()))
        shutil.copymode(program, folder / name)
    return folder


def ways() -> str:
    system = os.path.realpath(find_program("ip"))
    return f"SYSTEM = {system!r}\n" + WAYS.replace("OTHER", OTHER)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_way_to_call_it_reaches_it(project, other, backend):
    done = run(project, ways(), f"--iproute2={other}", f"--vxlab-backend={backend}")
    assert len(passed(done)) == WAYS.count("lambda") + 2


def test_it_reaches_workers_too(project, other):
    done = run(project, ways(), f"--iproute2={other}", "-p", "xdist.plugin", "-n", "2")
    assert re.search(r"= \d+ passed in ", done.stdout), done.stdout


def test_the_tool_of_the_machine_stays_what_it_is(project, other):
    """Also for what runs in the same process afterwards."""
    script = """
        import subprocess, sys
        import pytest
        from vxlab import sandbox

        sandbox.enter()
        before = subprocess.check_output([sys.argv[1], "-V"])
        import os
        path = os.environ["PATH"]
        code = pytest.main(sys.argv[2:])
        assert subprocess.check_output([sys.argv[1], "-V"]) == before
        assert os.environ["PATH"] == path
        sys.exit(code)
    """
    project.write("again.py", script)
    project.write("test_it.py", "import os, pytest\nfrom vxlab import catalog\n" + ways())
    plugins = ["-p", "vxlab.plugin.hooks", "-p", "no:cacheprovider", "-q"]
    system = os.path.realpath(find_program("ip"))
    done = project.call([sys.executable, "again.py", system, *plugins, f"--iproute2={other}"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert OTHER not in subprocess.check_output([system, "-V"], text=True)


def test_without_a_sandbox_the_mounts_of_the_machine_stay_as_they_are(project, other):
    """Nodes have mounts of their own; for the rest there is PATH."""
    outside = "".join(
        f"\ndel WAYS['{way}']" for way in ("ask-path", "subprocess-path", "subprocess-no-path")
    )
    text = ways().replace("\n@pytest.mark.topology", outside + "\n\n@pytest.mark.topology", 1)
    text = text.replace(
        '    assert "9.9.9" in subprocess.check_output([SYSTEM', "    assert SYSTEM #"
    )
    text = "import os, pytest\nfrom vxlab import catalog\n" + text
    text += """
    with open("/proc/self/mountinfo") as file:
        assert SYSTEM not in file.read()
"""
    project.write("test_it.py", text)
    root = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--uts", "--pid", "--fork"]
    argv = [*root, "--mount-proc", *PYTEST, "--no-sandbox", f"--iproute2={other}"]
    done = project.call(argv)
    assert len(passed(done)) == WAYS.count("lambda") + 2 - 3


def test_a_wrapper_may_call_the_one_of_the_system(project, tmp_path):
    folder = tmp_path / "wrapper"
    folder.mkdir()
    for name in ("ip", "bridge"):
        system = os.path.realpath(find_program(name))
        write_program(folder, name, f'#!/bin/sh\necho wrapped >&2\nexec {system} "$@"\n')
    text = """
    @pytest.mark.topology(catalog.point_to_point())
    def test_it(lab):
        assert "wrapped" in lab["a"].run("sh", "-c", "ip -V").stderr
        assert lab["a"].ip("link")
    """
    project.write("test_it.py", "    import pytest\n    from vxlab import catalog\n" + text)
    done = project.call([*PYTEST, f"--iproute2={folder}"])
    assert passed(done) == ["test_it"]


def test_a_wrapper_that_calls_itself_is_told(project, tmp_path, monkeypatch):
    folder = tmp_path / "wrapper"
    folder.mkdir()
    for name in ("ip", "bridge"):
        write_program(folder, name, f'#!/bin/sh\nexec {name} "$@"\n')
    project.write("test_it.py", "def test_it():\n    pass\n")
    done = project.call([*PYTEST, f"--iproute2={folder}"])
    assert done.returncode == 4
    assert "to tell its version by -V, found: " in done.stderr
    assert "timed out" in done.stderr


def test_the_cells_of_a_matrix_run_what_their_column_says(tmp_path, other):
    (tmp_path / "test_it.py").write_text(
        "import os, pytest\nfrom vxlab import catalog\n"
        + ways().replace(f'"{OTHER}"', "WANTED")
        + "\nWANTED = os.path.basename(os.getcwd()) and open('wanted').read()\n"
    )
    (tmp_path / "wanted").write_text(OTHER)
    cell = {"backend": "netlink", "seen": []}
    job = {
        "arguments": ["test_it.py", "-p", "no:cacheprovider", "-p", "vxlab.plugin.hooks"],
        "reports": str(tmp_path / "reports"),
        "cells": [
            {"cell": 1, "iproute2": str(other), **cell},
            {"cell": 2, "iproute2": "", **cell},
        ],
    }
    (tmp_path / "job").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-m", "vxlab.matrix.run_cells", "job"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (tmp_path / "reports").read_text().splitlines()]
    outcomes = [line["outcome"] for line in lines if "case" in line]
    half = WAYS.count("lambda") + 2
    assert outcomes == ["passed"] * half + ["failed"] * half, done.stdout
