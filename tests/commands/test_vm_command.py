"""The command line of ``vxlab vm``: what it refuses, and how it ends; nothing boots here."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

import pytest
from panics import PANICS

from vxlab.commands import main
from vxlab.errors import VxlabError
from vxlab.vm import cache, run
from vxlab.vm.guest import ExitKind, GuestExit


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Calls:
    """What stands in for :func:`vxlab.vm.run.run_command` was called with, and what it answers."""

    ended: GuestExit = field(default_factory=lambda: GuestExit(kind=ExitKind.DONE, code=0))
    error: BaseException | None = None
    command: list[str] | None = None
    options: dict | None = None

    def __call__(self, command, **options):
        self.command, self.options = command, options
        if self.error:
            raise self.error
        return self.ended


@pytest.fixture
def calls(monkeypatch):
    found = Calls()
    monkeypatch.setattr(run, "run_command", found)
    return found


def vm(*words):
    return main.main(["vm", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "the following arguments are required: --kernel"),
        (["run", "--kernel", "6.1", "--memory", "0"], "wanted 192 MB or more, found '0'"),
        (["run", "--kernel", "6.1", "--memory", "-1"], "wanted 192 MB or more, found '-1'"),
        (["run", "--kernel", "6.1", "--memory", "1G"], "wanted 192 MB or more, found '1G'"),
        (["run", "--kernel", "6.1", "--deadline", "-1"], "wanted seconds, more than 0, found '-1'"),
        (["run", "--kernel", "6.1", "--deadline", "0"], "more than 0, found '0'"),
        (["run", "--kernel", "6.1", "--deadline", "nan"], "more than 0, found 'nan'"),
        (["run", "--kernel", "6.1", "--deadline", "soon"], "more than 0, found 'soon'"),
        (["shell", "--kernel", "6.1", "--memory", "x"], "wanted 192 MB or more"),
        ([], "run|shell|fetch|clean"),
        (["clean", "all"], "unrecognized arguments: all"),
    ],
)
def test_a_wrong_command_line_ends_with_2(words, said, capsys, calls, place):
    with pytest.raises(SystemExit) as ended:
        vm(*words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert calls.command is None
    assert sorted(x.name for x in place.iterdir()) == ["tmp"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kernel", "/nonexistent"], "wanted a kernel, found no file /nonexistent"),
        (["--kernel", "six"], "wanted a kernel like 6.12, a .deb, or the path of a bzImage"),
        (["--kernel", "6.1", "--modules", "/lib"], "--modules goes with a bzImage of your own"),
        (["--kernel", "6.1", "--files", "/dev/null/x"], "what comes back, found /dev/null/x: Not"),
    ],
)
@pytest.mark.parametrize("what", ["run", "fetch"])
def test_what_is_not_there_ends_with_1(what, words, said, capsys, place, monkeypatch):
    if what == "fetch" and "--files" in words:
        return
    monkeypatch.setattr("vxlab.vm.kernels.architecture", lambda: "amd64")
    assert vm(what, *words) == 1
    assert said in capsys.readouterr().err
    assert list((place / "tmp").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(capsys, place, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "/dev/null/cache")
    monkeypatch.setattr("vxlab.vm.kernels.architecture", lambda: "amd64")
    assert vm("run", "--kernel", "6.1") == 1
    said = capsys.readouterr().err
    assert "folder /dev/null/cache/kernels" in said
    assert "set VXLAB_CACHE to another" in said


def test_without_a_mirror_that_is_said(capsys, monkeypatch):
    def none():
        raise VxlabError("wanted the address of Debian's archive in apt's sources, found none")

    monkeypatch.setattr("vxlab.vm.packages.mirror", none)
    monkeypatch.setattr("vxlab.vm.kernels.architecture", lambda: "amd64")
    assert vm("run", "--kernel", "6.1") == 1
    assert "Debian's archive in apt's sources, found none" in capsys.readouterr().err


def test_a_command_and_its_options_are_passed_on(calls, place):
    words = ["--kernel", "6.12", "--deadline", "9.5", "--memory", "512", "--files", "out"]
    calls.ended = GuestExit(kind=ExitKind.DONE, code=3)
    assert vm("run", *words, "--", "echo", "a b", "--kernel") == 3
    assert calls.command == ["echo 'a b' --kernel"]
    assert (calls.options["kernel"], calls.options["deadline"]) == ("6.12", 9.5)
    assert (calls.options["memory"], str(calls.options["files"])) == (512, "out")


@pytest.mark.parametrize("terminal", [True, False])
def test_output_that_is_redirected_is_no_terminal(terminal, calls, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    vm("run", "--kernel", "6.12", "--", "true")
    assert calls.options["terminal"] is terminal


def test_an_iproute2_goes_into_the_guest(calls, place):
    folder = cache.part("iproute2", "0123456789abcdef")
    (folder / "version").write_text("6.15.0-1\n")
    vm("run", "--kernel", "6.12", "--", "pytest", f"--iproute2={folder}")
    assert [each.folder for each in calls.options["iproute2"]] == [folder]
    assert calls.command == [f"pytest --iproute2={folder}"]


def test_the_scenarios_are_run_by_default(calls):
    assert vm("run", "--kernel", "6.12") == 0
    assert calls.command == ["pytest scenarios/"]


def test_a_machine_that_gave_no_result_is_told_with_the_end_of_its_log(calls, capsys):
    log = "\n".join(f"line {number}" for number in range(100))
    reason = "nothing is left in its /"
    calls.ended = GuestExit(kind=ExitKind.FULL, code=0, reason=reason, log=log)
    assert vm("run", "--kernel", "6.1", "--", "true") == 125
    said = capsys.readouterr().err
    assert "vxlab vm: disk full: nothing is left in its /\n" in said
    assert said.splitlines()[-12:] == [f"line {number}" for number in range(88, 100)]
    assert len(said.splitlines()) == 14


def test_a_crash_is_told_with_its_call_trace(calls, capsys):
    log = "\n".join(["[ 0.1] first", PANICS["7.2"], *["[ 9.9] more"] * 100])
    calls.ended = GuestExit(kind=ExitKind.CRASHED, reason="x", log=log)
    assert vm("run", "--kernel", "6.1", "--", "true") == 125
    said = capsys.readouterr().err.splitlines()
    assert "Kernel panic - not syncing: sysrq triggered crash" in said[2]
    assert "write_sysrq_trigger" in "".join(said)
    assert len(said) == 42


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device", "/tmp/x"), 1, "virtual machine: [Errno 28] No sp"),
        (VxlabError("wanted this"), 1, "vxlab: wanted this"),
    ],
)
def test_an_end_from_outside_is_no_traceback(error, code, said, calls, capsys):
    calls.error = error
    assert vm("run", "--kernel", "6.1") == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order_and_no_other_one_while_it_ends(number, monkeypatch, capsys):
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, number)}
    done = []

    def be_impatient(*_, **__):
        try:
            signal.raise_signal(number)
        finally:
            for each in (signal.SIGINT, number):
                signal.raise_signal(each)
            done.append("cleaned up")

    monkeypatch.setattr(run, "run_command", be_impatient)
    with pytest.raises(SystemExit) as ended:
        vm("run", "--kernel", "6.1")
    assert ended.value.code == 128 + number
    assert done == ["cleaned up"]
    assert capsys.readouterr().err.startswith("vxlab vm: interrupted")
    assert {each: signal.getsignal(each) for each in before} == before


def test_a_prompt_wants_a_terminal(capsys, monkeypatch):
    with open("/dev/null") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert vm("shell", "--kernel", "6.1") == 1
    assert "wanted a terminal, found none: use `vxlab vm run`" in capsys.readouterr().err


def test_clean_says_what_it_removed(capsys, place):
    cache.part("roots", "x")
    (place / "cache/roots/x/root.ext4").write_bytes(b"x" * (3 << 20))
    (place / "cache/tools").mkdir()
    assert vm("clean") == 0
    assert capsys.readouterr().out == f"removed 3 MB from {place / 'cache'}\n"
    assert [x.name for x in (place / "cache").iterdir()] == ["tools"]


def test_clean_says_what_it_left(capsys, place):
    (place / "cache/kernels/own").mkdir(parents=True)
    assert vm("clean") == 0
    said = capsys.readouterr()
    assert said.out == f"removed 0 MB from {place / 'cache'}\n"
    assert f"left {place / 'cache/kernels'}: vxlab did not make it" in said.err
    assert (place / "cache/kernels/own").is_dir()
