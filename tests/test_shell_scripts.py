"""Shell scripts of the project: what shellcheck finds in them, and minimal systems to try it in."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from script_tools import shellcheck

from vxlab.system.waiting import wait_until

PROJECT = Path(__file__).parents[1]
SCRIPTS = sorted([*(PROJECT / "tools").glob("*.sh"), *(PROJECT / "vxlab").rglob("*.sh")])
FRESH = PROJECT / "tools/fresh-system.sh"


@pytest.mark.skipif(not shellcheck(), reason="wanted shellcheck, found none: make setup")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path: Path) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--external-sources", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


# --- minimal systems -------------------------------------------------------------------------

#: What the system of these tests has.
PROGRAMS = ("sh", "umount", "rmdir", "uname", "cat", "ls", "id", "readlink", "sleep")

_DEBOOTSTRAP = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
echo "$@" >>LOG
[ ! -e REFUSE ] || exit 1
mkdir -p "$2" && cp -R TREE/. "$2"
"""


def system(folder: Path) -> None:
    """Put into a folder what a system needs to run a shell: programs, and their libraries."""
    for name in ("bin", "etc/apt/apt.conf.d", "proc", "sys", "dev", "run", "root", "tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "etc/os-release").write_text('PRETTY_NAME="a system of tests"\n')
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found is not None
        shutil.copy(found, folder / "bin" / name)
        said = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", said):
            target = folder / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder with a debootstrap that makes such systems; nothing but those is kept in cache/."""
    system(tmp_path / "tree")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "sid").touch()
    (scripts / "bookworm").symlink_to("sid")
    (tmp_path / "keys").touch()
    program = tmp_path / "bin/debootstrap"
    program.parent.mkdir()
    text = _DEBOOTSTRAP.replace("LOG", str(tmp_path / "log"))
    text = text.replace("REFUSE", str(tmp_path / "refuse"))
    program.write_text(text.replace("TREE", str(tmp_path / "tree")))
    program.chmod(0o755)
    yield tmp_path
    kept = {path.name for path in (tmp_path / "cache/fresh").glob("*")}
    assert kept <= {"lock", "bookworm.tar", "run.living"}


def fresh(here: Path, *words: str) -> subprocess.Popen[str]:
    """Start the script, with that debootstrap and a cache of its own."""
    env = {**os.environ, "VXLAB_CACHE": str(here / "cache"), "DEBOOTSTRAP_DIR": str(here)}
    env["PATH"] = f"{here / 'bin'}:{env['PATH']}"
    options = ["--mirror", "http://one.example/debian", "--keyring", str(here / "keys")]
    return subprocess.Popen(
        [FRESH, *options, *words],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(here: Path, *words: str) -> tuple[int, str, str]:
    """Run it to its end: exit code, and what it said."""
    with fresh(here, *words) as process:
        said, complaints = process.communicate(timeout=120)
    return process.returncode, said, complaints


def test_a_command_runs_in_a_root_of_its_own(here: Path) -> None:
    (here / "shown").write_text("seen")
    command = f"id -u; ls /; ls pyproject.toml; cat {here}/shown; echo x >{here}/shown || exit 7"
    words = ("--show", str(here / "shown"), "bookworm", "sh", "-c", command)
    for _ in range(2):
        code, said, complaints = run(here, *words)
        assert code == 7, complaints
        first, user, *lines = said.splitlines()
        assert first.startswith("fresh-system: a system of tests, ")
        assert user == "0"
        assert {"root", "etc", "tmp"} <= set(lines)
        assert "old" not in lines
        assert lines[-2:] == ["pyproject.toml", "seen"]
    assert (here / "shown").read_text() == "seen"
    made = (here / "log").read_text().splitlines()
    assert len(made) == 1  # kept for the second run
    assert made[0].startswith("bookworm ")
    assert made[0].endswith(" http://one.example/debian")


def test_words_reach_the_command_as_they_are(here: Path) -> None:
    code, said, _ = run(here, "bookworm", "sh", "-c", 'echo "<$1>" "<$2>"', "sh", "it's", 'a  "$b"')
    assert (code, said.splitlines()[-1]) == (0, '<it\'s> <a  "$b">')


#: Programs of a system, for what it takes to run a command as a user: they do it as root.
_STAND_INS = {
    "useradd": "exit 0",
    "chown": "exit 0",
    "make": 'echo "make $*"',
    "setpriv": 'while [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"',
}


def test_both_kinds_of_user_have_a_system_of_their_own(here: Path) -> None:
    for name, text in _STAND_INS.items():
        program = here / "tree/bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    command = "[ ! -e /mark ] || exit 9; : >/mark; echo $HOME; [ $HOME != /root ] || exit 3"
    code, said, complaints = run(here, "--both", "bookworm", "sh", "-c", command)
    assert code == 3, complaints
    lines = [line for line in said.splitlines() if not line.startswith("fresh-system: ")]
    assert lines == ["/root", "make setup", "/home/newcomer"]
    ends = re.findall(r"bookworm, as (\w+): ended with (\d) after \d+ s", complaints)
    assert ends == [("root", "3"), ("user", "0")]


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "KILL"])
def test_its_processes_end_with_it_and_its_folder_goes(here: Path, name: str) -> None:
    """Where it is killed outright the folder goes at the next start."""
    number = signal.Signals[f"SIG{name}"]
    with fresh(here, "bookworm", "sh", "-c", "readlink /proc/self/ns/pid; sleep 1000") as process:
        assert process.stdout
        process.stdout.readline()
        inside = process.stdout.readline().strip()
        assert inside.startswith("pid:")
        process.send_signal(number)
    assert process.returncode == (-number if name == "KILL" else 128 + number)

    def living() -> list[Path]:
        found = []
        for path in Path("/proc").glob("[0-9]*/ns/pid"):
            try:
                found += [path] if os.readlink(path) == inside else []
            except OSError:  # it has ended
                continue
        return found

    wait_until(lambda: not living(), "its processes gone", found=lambda: str(living()))
    assert len(list((here / "cache/fresh").glob("run.*"))) == (name == "KILL")
    assert run(here, "bookworm", "true")[0] == 0


def test_what_others_are_at_work_in_stays(here: Path) -> None:
    folder = here / "cache/fresh/run.living"
    folder.mkdir(parents=True)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        (here / "refuse").touch()
        code, _, complaints = run(here, "bookworm", "true")
        assert code == 1
        assert "could not make bookworm: is its mirror reachable?" in complaints
        assert folder.exists()
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "Usage: tools/fresh-system.sh"),
        (["--nonsense"], 2, "Usage: tools/fresh-system.sh"),
        (["../bookworm"], 2, "Usage: tools/fresh-system.sh"),
        (["--show"], 2, "Usage: tools/fresh-system.sh"),
        (["--show", "/no/such", "bookworm"], 1, "wanted to show /no/such, found no such"),
        (["--keyring", "/no/such", "bookworm"], 1, "wanted the keys of debian in /no/such, found"),
        (["nonesuch"], 1, "wanted a suite of Debian or Ubuntu, found nonesuch"),
        (["noble", "--keyring"], 1, "found none: "),
    ],
)
def test_what_is_missing_is_a_sentence(
    here: Path, words: list[str], code: int, sentence: str
) -> None:
    if words[:1] == ["noble"]:
        (here / "keys").unlink()
    found, said, complaints = run(here, *words)
    assert (found, said) == (code, "")
    assert sentence in complaints
