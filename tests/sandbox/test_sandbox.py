"""What is private in a sandbox, and which files are seen there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest
from project_tools import FACTS, PYTEST, Project, environment
from sandbox_tools import BOXED, here

from vxlab import sandbox
from vxlab.sandbox import boot, entering


def test_a_run_is_root_in_namespaces_of_its_own(project):
    facts = project.facts()
    assert facts["inside"]
    assert facts["uid"] == 0
    assert facts["pids"] == [1, facts["pid"]]
    assert facts["require"] is None
    for kind in ("user", "mnt", "pid", "net", "uts", "ipc"):
        assert facts["ns"][kind] != here(kind)


def test_the_only_device_inside_is_lo_and_it_is_up(project):
    facts = project.facts()
    assert list(facts["links"]) == ["lo"]
    assert "UP" in facts["links"]["lo"]
    assert facts["sysfs"] == ["lo"]


def test_a_device_made_inside_does_not_exist_outside(project):
    name = "vx" + uuid.uuid4().hex[:8]
    project.write(
        "test_link.py",
        f"""
        import socket, subprocess, vxlab
        def test_link():
            subprocess.run("ip link add {name} type veth peer {name}p".split(), check=True)
            assert "{name}" in [each for _, each in socket.if_nameindex()]
            print("made it")
            input()
        """,
    )
    process = subprocess.Popen(
        [*PYTEST, "-s"],
        cwd=project.folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        assert any("made it" in line for line in process.stdout)
        assert name not in [each for _, each in socket.if_nameindex()]
        process.communicate("\n")
    assert process.returncode == 0


def test_temporary_files_live_in_the_sandbox_and_vanish_with_it(project):
    facts = project.facts()
    assert facts["tempdir"] == boot.TEMP
    assert facts["tmp_path"].startswith(boot.TEMP + "/pytest-of-")
    assert not os.path.exists(facts["tmp_path"])
    assert facts["shm"] == ["tmp"] or project.folder.is_relative_to("/dev/shm")


def test_a_temporary_folder_that_was_asked_for_is_used(project, tmp_path):
    root, base = tmp_path / "root", tmp_path / "base"
    root.mkdir()
    facts = project.facts(PYTEST_DEBUG_TEMPROOT=str(root))
    assert Path(facts["tmp_path"]).is_relative_to(root) or str(root).startswith("/dev/shm")
    assert Path(project.facts(f"--basetemp={base}")["tmp_path"]).is_relative_to(base)
    assert base.is_dir()


def test_the_name_of_the_user_is_kept(project):
    assert project.facts(LOGNAME="kim", USER="kim")["tmp_path"].startswith(
        f"{boot.TEMP}/pytest-of-kim/"
    )
    env = environment()
    for name in ("LOGNAME", "USER"):
        env.pop(name, None)
    assert entering._environment(env)["LOGNAME"]
    assert entering._environment({"LOGNAME": "lee"})["USER"] == "lee"


def test_a_stale_variable_fools_nobody(project):
    outside = str(os.stat("/proc/self/ns/net").st_ino)
    assert project.facts(VXLAB_SANDBOX=outside)["inside"]


def test_a_run_inside_a_sandbox_does_not_enter_another(project):
    project.write("test_facts.py", FACTS)
    note = 'readlink /proc/self/ns/pid >outer; exec "$@"'
    done = project.call([*BOXED, "sh", "-c", note, "sh", *PYTEST])
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "facts.json").read_text())
    assert facts["ns"]["pid"] == (project.folder / "outer").read_text().strip()


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/run"])
def test_a_project_may_live_in_a_folder_that_is_covered(place):
    if not os.access(place, os.W_OK):
        pytest.skip(f"cannot write to {place} here; inside the sandbox one can")
    folder = Path(tempfile.mkdtemp(dir=place))
    try:
        project = Project(folder / "one" / "project")
        facts = project.facts(f"--junitxml={folder}/report.xml")
        assert facts["inside"]
        assert facts["cwd"] == str(project.folder)
        assert (folder / "report.xml").exists()
        assert facts["run"] == ([folder.name] if place == "/run" else [])
    finally:
        shutil.rmtree(folder)


def test_a_file_in_a_covered_folder_is_seen_when_it_is_named():
    with tempfile.NamedTemporaryFile("w", dir="/dev/shm") as file:
        file.write("content")
        file.flush()
        assert sandbox.run(["grep", "-qx", "content", file.name]) == 0
        assert sandbox.run(["sh", "-c", f"! test -e {file.name}"]) == 0


def test_a_file_that_would_vanish_is_an_error(project):
    project.write("test_facts.py", FACTS)
    done = project.pytest("--junitxml=/dev/shm/report.xml")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "mount tmpfs on /dev/shm: this run needs what lies in it" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_machine_s_settings_cannot_be_written_while_those_of_labs_can(project):
    project.write(
        "test_writing.py",
        """
        import errno, os, pathlib, pytest, tempfile, vxlab
        @pytest.mark.topology(vxlab.catalog.point_to_point())
        def test_writing(lab):
            assert os.statvfs("/etc").f_flag & os.ST_RDONLY
            with pytest.raises(OSError) as found:
                open("/etc/vxlab-was-here", "w")
            assert found.value.errno == errno.EROFS
            assert lab["a"].run("touch", "/etc/vxlab-was-here", check=False).code
            assert open("/etc/passwd").read()
            forwarding = pathlib.Path("/proc/sys/net/ipv4/ip_forward")
            forwarding.write_text("1")
            assert forwarding.read_text() == "1\\n"
            lab["a"].sysctl("net.ipv4.ip_forward", 1)
            for folder in ("/run", tempfile.gettempdir(), os.path.dirname(__file__)):
                pathlib.Path(folder, "file").write_text("x")
        """,
    )
    done = project.pytest()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not os.path.exists("/etc/vxlab-was-here")


def test_a_project_may_live_below_a_folder_that_is_read_only(project):
    script = 'mount -t tmpfs none /etc && mkdir /etc/project && cd /etc/project && exec "$@"'
    write = "import os; open('file', 'w'); assert os.statvfs('..').f_flag & os.ST_RDONLY"
    enter = f"from vxlab import sandbox; sandbox.enter(); {write}"
    unmark = ["env", "-u", "VXLAB_SANDBOX"]
    python = [sys.executable, "-c", enter]
    done = project.call([*BOXED, "sh", "-c", script, "sh", *unmark, *python])
    assert done.returncode == 0, done.stderr
