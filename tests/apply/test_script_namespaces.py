"""A script works in namespaces of its own, and leaves nothing of them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from script_tools import (
    ScriptFolder,
    answers,
    differences,
    kim_and_lee_script,
    short_script,
    state_of_lab,
)

from vxlab import Lab, catalog, wait_until


@pytest.mark.parametrize("by", [["sh"], ["unshare", "-Ur", "sh"], ["unshare", "-nm", "sh"]])
def test_it_enters_namespaces_of_its_own(folder: ScriptFolder, by: list[str]) -> None:
    with Lab(catalog.point_to_point()) as lab:
        before = state_of_lab(lab)
        env = [f"{key}={value}" for key, value in folder.env.items()]
        done = lab["a"].run(
            "env", "-i", *env, *by, folder.file(short_script()), check=False, timeout=60
        )
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.splitlines() == answers(catalog.point_to_point())
        assert not differences(before, state_of_lab(lab))


def test_it_refuses_a_place_that_is_not_its_own(folder: ScriptFolder) -> None:
    with Lab(catalog.point_to_point()) as lab:
        before = state_of_lab(lab)
        done = lab["a"].run("sh", folder.file(short_script()), "--inside=x", check=False)
        assert done.code == 1
        assert "wanted namespaces of its own, found others" in done.stderr
        assert not differences(before, state_of_lab(lab))


@pytest.mark.parametrize(("limit", "code"), [("user", 0), ("net", 1)])
def test_it_does_without_user_namespaces_but_not_without_others(
    folder: ScriptFolder, limit: str, code: int
) -> None:
    prepare = f'echo 0 >/proc/sys/user/max_{limit}_namespaces && exec sh "$@"'
    done = folder.run(short_script(), by=["unshare", "-Ur", "sh", "-c", prepare, "sh"])
    assert done.returncode == code
    assert ("needs user namespaces or root: see sysctl user.max_" in done.stderr) == bool(code)


#: unshare of util-linux 2.41 leaves a process of its own behind where `--map-auto` is refused.
_UNSHARE = """#!/bin/sh
case " $* " in
    *" --map-auto "*)
        REAL -Urnm true 2>/dev/null || {
            sleep 100000 &
            exit 1
        }
        ;;
esac
exec REAL "$@"
"""


@pytest.mark.parametrize("limit", ["user", "net"])
def test_an_unshare_that_leaves_something_is_not_asked_in_vain(
    folder: ScriptFolder, limit: str
) -> None:
    program = folder.programs / "unshare"
    text = _UNSHARE.replace("REAL", str(program.readlink()))
    program.unlink()
    program.write_text(text)
    program.chmod(0o755)
    prepare = f'echo 0 >/proc/sys/user/max_{limit}_namespaces && sh "$@" >"$TMPDIR/said" 2>&1'
    folder.run(short_script(), by=["unshare", "-Ur", "sh", "-c", prepare, "sh"])
    (folder.temporary / "said").unlink()
    assert not folder.left()


def test_a_sandbox_is_left_as_it_was(folder: ScriptFolder) -> None:
    look = "cat /proc/self/mountinfo; echo"
    twice = f'{look}; sh "$1"; {look}; sh "$1"; ip -o link; ip netns'
    done = folder.run(short_script(), by=["unshare", "-Urnm", "sh", "-c", twice, "sh"])
    assert done.stderr == ""
    before, _, rest = done.stdout.partition("\n\n")
    first, _, rest = rest.partition("\n\n")
    answered = answers(catalog.point_to_point())
    assert first.splitlines() == answered + before.splitlines()
    *second, link = rest.splitlines()
    assert second == answered
    assert ": lo: " in link


@contextlib.contextmanager
def waiting(folder: ScriptFolder) -> Iterator[subprocess.Popen[Any]]:
    """A script that has set all up, and waits for what stdin says."""
    with subprocess.Popen(
        ["unshare", "-Urnm", "sh", folder.file(kim_and_lee_script()), "shell"],
        env=folder.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("echo here\n")
        process.stdin.flush()
        assert process.stdout.readline() == "here\n"
        assert any("smcrouted" in line for line in folder.processes())
        yield process


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_a_signal_tears_it_down(folder: ScriptFolder, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    with waiting(folder) as process:
        process.send_signal(number)
        _, said = process.communicate("exit\n", timeout=30)  # a shell first waits for its child
        assert (process.returncode, said) == (128 + number, "")
        assert not folder.left()


def test_even_killed_it_leaves_no_daemon(folder: ScriptFolder) -> None:
    with waiting(folder) as process:
        process.kill()
        process.communicate(timeout=30)
        wait_until(
            lambda: not folder.left(), "its processes gone", found=lambda: str(folder.left())
        )
