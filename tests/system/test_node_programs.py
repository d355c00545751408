"""Programs in the namespaces of a node: what they see, and that they end with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from namespace_tools import run
from resource_tools import nothing_left, resources

from vxlab.errors import MissingProgram, SandboxError
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until


def test_programs_see_their_own_proc_sys_and_run(node: Namespaces) -> None:
    assert run(node, "ls", "/sys/class/net") == "lo\n"
    run(node, "touch", "/run/mine")
    assert "mine" in run(node, "ls", "/run").split()
    assert not Path("/run/mine").exists()
    pids = [int(name) for name in run(node, "ls", "/proc").split() if name.isdigit()]
    assert pids[0] == 1
    assert len(pids) == 2  # process 1 and ls itself
    with Namespaces("n2") as other:
        assert "mine" not in run(other, "ls", "/run").split()


def test_programs_see_the_files_and_the_folder_of_the_caller(
    node: Namespaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    assert run(node, "cat", "file") == "text"
    assert run(node, "pwd") == f"{tmp_path}\n"
    Path("deeper").mkdir()
    monkeypatch.chdir("deeper")
    assert run(node, "pwd") == f"{tmp_path}/deeper\n"
    Path.cwd().rmdir()
    assert run(node, "pwd") == "/\n"


def test_a_function_runs_among_the_mounts_of_the_node(node: Namespaces) -> None:
    assert run(node, "touch", "/run/mine") == ""
    assert "mine" in node.in_mounts(lambda: os.listdir("/run"))
    assert node.in_mounts(threading.current_thread) is not threading.current_thread()
    with pytest.raises(ZeroDivisionError):
        node.in_mounts(lambda: 1 // 0)
    assert "mine" not in os.listdir("/run")


def test_a_program_gets_streams_environment_and_text(node: Namespaces) -> None:
    process = node.popen(["cat"], stdin=subprocess.PIPE)
    assert process.communicate("in and out") == ("in and out", "")
    process = node.popen(["sh", "-c", "echo $A; echo bad >&2"], env={"A": "b"})
    assert process.communicate() == ("b\n", "bad\n")
    process = node.popen(["printf", r"\377\n"], text=False)
    assert process.communicate()[0] == b"\xff\n"
    process = node.popen(["printf", r"a\377b"])
    assert process.communicate()[0] == "a\ufffdb"


def test_a_program_is_started_by_another_name(node: Namespaces) -> None:
    process = node.popen(["sh", "-c", "echo $0"], argv0="other")
    assert process.communicate()[0] == "other\n"


def test_a_missing_program_starts_nothing(node: Namespaces) -> None:
    before = resources()
    with pytest.raises(MissingProgram, match="'no-such-program'"):
        node.popen(["no-such-program"])
    assert resources() == before


def test_without_unshare_there_is_no_first_process(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("vxlab.system.programs.SYSTEM_PATH", ())
    with pytest.raises(MissingProgram, match=r"'unshare'.*util-linux"):
        node.popen([sys.executable, "-c", ""])


def test_a_node_that_gets_no_proc_of_its_own_says_so(
    node: Namespaces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "unshare"
    fake.write_text("#!/bin/sh\nexit 32\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SandboxError, match=r"n1: wanted a /proc of its own, unshare refused it"):
        node.popen(["true"])


def test_closing_ends_all_programs(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        node = Namespaces("n1")
        ready = "trap '' TERM HUP INT; sleep 1000 & echo ready; sleep 1000"
        with node.popen(["sh", "-c", ready]) as process:
            assert process.stdout.readline() == "ready\n"
            node.close()
            assert process.returncode == -9
        node.close()


def test_closing_ends_programs_that_left_their_session(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        node = Namespaces("n1")
        with node.popen(["setsid", "--fork", "sh", "-c", "echo ready; sleep 1000"]) as process:
            assert process.stdout.readline() == "ready\n"
            node.close()


def test_a_program_that_was_waited_for_is_forgotten(node: Namespaces) -> None:
    process = node.popen(["true"])
    process.communicate()
    node.popen(["true"]).communicate()
    gone = weakref.ref(process)
    del process
    wait_until(lambda: gone() is None, "the process object to go")
