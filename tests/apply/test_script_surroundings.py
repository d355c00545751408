"""Scripts in surroundings of all sorts: daemons that were unpacked, process 1, several users."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from script_tools import ScriptFolder

from vxlab import catalog
from vxlab.apply.script import script_of
from vxlab.services import service_program
from vxlab.system.programs import find_program

#: Where a daemon may be, in the order in which it is looked for: below the test's folder.
PLACES = (
    "own",
    "own/smcroute/usr/sbin",
    "bin",
    "xdg/vxlab/tools/smcroute/usr/sbin",
    "home/.cache/vxlab/tools/smcroute/usr/sbin",
    "var/smcroute/usr/sbin",
)


def with_env(**variables: str) -> list[str]:
    """How a script is run by hand, with these in its environment."""
    program = shutil.which("env")
    assert program is not None
    pairs = [f"{name}={value}" for name, value in variables.items()]
    return [program, *pairs, "unshare", "-Urnm", "sh"]


# --- daemons ---------------------------------------------------------------------------------


def kim_and_lee_below(folder: Path) -> str:
    """A script that looks for daemons of the whole machine below a folder of the test's."""
    return script_of(catalog.kim_and_lee()).replace("/var/cache/vxlab/tools", f"{folder}/var")


def put_daemon(folder: Path, at: str) -> None:
    """Put a smcrouted there that notes where it was found."""
    real = service_program("smcrouted")
    path = folder / at / "smcrouted"
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {at} >>{folder}/used\nexec {real} "$@"\n')
    path.chmod(0o755)


@pytest.mark.parametrize("first", range(len(PLACES)), ids=PLACES)
def test_a_daemon_is_found_where_set_up_puts_it(folder: ScriptFolder, first: int) -> None:
    """The first of the places that has one wins, as in ``service_program``."""
    folder.remove("smcrouted")
    for at in PLACES[first:]:
        put_daemon(folder.folder, at)
    env = {"HOME": f"{folder.folder}/home", "VXLAB_TOOLS": f"{folder.folder}/own"}
    if not PLACES[first].startswith("home"):
        env["XDG_CACHE_HOME"] = f"{folder.folder}/xdg"
    done = folder.run(kim_and_lee_below(folder.folder), by=with_env(**env))
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder.folder / "used").read_text().splitlines() == [PLACES[first]]


def test_pimd_is_found_there_too(folder: ScriptFolder) -> None:
    folder.remove("pimd")
    real = service_program("pimd")
    unpacked = folder.folder / "var/pimd/usr/sbin"
    unpacked.mkdir(parents=True)
    (unpacked / "pimd").symlink_to(real)
    text = script_of(catalog.kim_and_lee(router="pimd"))
    text = text.replace("/var/cache/vxlab/tools", f"{folder.folder}/var")
    done = folder.run(text, "shell", given="readlink /run/router-pimd")
    assert (done.returncode, done.stdout.strip()) == (0, str(unpacked / "pimd")), done.stderr


def test_what_cannot_be_run_is_no_daemon(folder: ScriptFolder) -> None:
    folder.remove("smcrouted")
    own = folder.folder / "own"
    (own / "smcrouted").mkdir(parents=True)
    unpacked = own / "smcroute/usr/sbin"
    unpacked.mkdir(parents=True)
    (unpacked / "smcrouted").write_text("not to be run")
    done = folder.run(kim_and_lee_below(folder.folder), by=with_env(VXLAB_TOOLS=str(own)))
    assert done.returncode == 1
    assert "needs smcrouted: put it in PATH (Debian has it in the package smcroute, " in done.stderr
    assert "vxlab setup" in done.stderr


# --- process 1 -------------------------------------------------------------------------------

#: As `docker run` starts a script: first process of a PID namespace, in namespaces that may be its
#: own, or not.
AS_PROCESS_1 = (
    ["unshare", "-Urpf", "--mount-proc", "sh"],
    ["unshare", "-Urnmpf", "--mount-proc", "sh"],
    ["unshare", "-Urmpf", "sh"],
    ["unshare", "-pf", "--mount-proc", "sh"],
)


@pytest.mark.parametrize("by", AS_PROCESS_1, ids=" ".join)
def test_it_may_be_process_1(folder: ScriptFolder, by: list[str]) -> None:
    done = folder.run(script_of(catalog.point_to_point()), by=by)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.endswith(": answered") for line in done.stdout.splitlines())


@pytest.mark.parametrize("by", AS_PROCESS_1, ids=" ".join)
def test_as_process_1_too_it_leaves_the_namespaces_that_it_came_from_alone(
    folder: ScriptFolder, by: list[str]
) -> None:
    look = "readlink /proc/self/ns/net /proc/self/ns/mnt"
    folder.file(script_of(catalog.point_to_point()), "that.sh")
    done = folder.run(f'{look}; exec sh "${{0%/*}}/that.sh" shell', by=by, given=look)
    assert (done.returncode, done.stderr) == (0, "")
    before, inside = done.stdout.split()[:2], done.stdout.split()[2:]
    assert len(inside) == 2
    assert set(before).isdisjoint(inside)


def test_as_process_1_it_heeds_signals(folder: ScriptFolder) -> None:
    script = folder.file(kim_and_lee_below(folder.folder))
    process = subprocess.Popen(
        ["unshare", "-Urpf", "--mount-proc", "sh", script, "shell"],
        env=folder.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        process.stdin.write('echo "$PPID"; readlink /proc/self; kill -TERM "$PPID"\n')
        process.stdin.flush()
        assert process.stdout.readline() == "1\n"
        _, said = process.communicate("exit\n", timeout=30)
    assert (process.returncode, said) == (128 + signal.SIGTERM, "")


def test_it_refuses_the_namespaces_that_it_was_started_in(folder: ScriptFolder) -> None:
    """Whatever process 1 is, and though they look like some of its own."""
    text = 'sh "${0%/*}/that.sh" "--inside=$(readlink /proc/self/ns/net),x"'
    folder.file(script_of(catalog.point_to_point()), "that.sh")
    done = folder.run(text, by=["unshare", "-Urnm", "sh"])
    assert done.returncode == 1
    assert "wanted namespaces of its own, found others" in done.stderr


# --- users -----------------------------------------------------------------------------------


def users_here() -> int:
    """How many users this process's namespace has."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return sum(int(line.split()[2]) for line in lines)


@pytest.mark.skipif(users_here() < 65535, reason="wanted root's range of users, found fewer")
def test_a_program_in_its_shell_can_change_its_user(folder: ScriptFolder) -> None:
    """As tcpdump does."""
    change = "setpriv --reuid=65534 --regid=65534 --clear-groups id -u"
    given = f"ip netns exec a {change}"
    done = folder.run(script_of(catalog.point_to_point()), "shell", given=given, by=["sh"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "65534\n", "")


@pytest.mark.parametrize("has_tcpdump", [True, False])
def test_where_there_is_one_user_its_shell_says_what_tcpdump_cannot(
    folder: ScriptFolder, has_tcpdump: bool
) -> None:
    if has_tcpdump:
        (folder.programs / "tcpdump").symlink_to("/bin/true")
    done = folder.run(script_of(catalog.point_to_point()), "shell", given="exit 3")
    assert done.returncode == 3
    assert ("tcpdump cannot change its user here" in done.stderr) == has_tcpdump


# --- an ip that prints broken JSON -----------------------------------------------------------


def test_the_state_is_sound_json_whatever_ip_prints(folder: ScriptFolder) -> None:
    """Ubuntu's puts the fan map of a vxlan device behind its id, with or without networks."""
    text = script_of(catalog.point_to_point())
    real = find_program("ip")
    sound = folder.run(text, "state").stdout
    for networks in ("", "10.0.0.0/8:172.16.0.0/16 "):
        folder.remove("ip")
        (folder.programs / "ip").write_text(
            f"""#!/bin/sh
case " $* " in
    *" -j "*) {real} "$@" | sed 's|"id":[0-9]*|&fan-map {networks}|g' ;;
    *) exec {real} "$@" ;;
esac
"""
        )
        (folder.programs / "ip").chmod(0o755)
        done = folder.run(text, "state")
        assert (done.returncode, done.stderr) == (0, "")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(rows) == len(sound.splitlines())
        assert '"id":42,' in done.stdout
