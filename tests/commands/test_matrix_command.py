"""The command line of ``vxlab matrix``: what it refuses, and how it is ended and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from matrix_tools import Machines, dead, tiny
from project_tools import environment
from sandbox_tools import carrying

from vxlab.commands import main
from vxlab.errors import VxlabError
from vxlab.matrix import target_choice
from vxlab.results import CellState, Results
from vxlab.system.waiting import wait_until


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tiny(tmp_path / "project")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(folder)
    return folder


def matrix(*words: str) -> int:
    return main.main(["matrix", *words])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--backends=magic"], 1, "wanted one of netlink, iproute2, script, found 'magic'"),
        (["--kernels=here,"], 1, "kernel: wanted names with commas between, found an empty one"),
        (["--iproute2="], 1, "iproute2: wanted names with commas between, found an empty one"),
        (["--kernels=here,here"], 1, "kernel: wanted each once, found here twice"),
        (["--backends=script,script"], 1, "backend: wanted each once, found script twice"),
        (["test_gone.py"], 1, "wanted files or folders of scenarios, found no test_gone.py"),
        (["test_gone.py::test_a"], 1, "found no test_gone.py::test_a"),
        (["--resume", "-k", "x"], 1, "--resume: the run has its own k: leave that out"),
        (["--resume", "--kernels=6.1"], 1, "--resume: the run has its own kernels"),
        (["--resume", "test_tiny.py"], 1, "--resume: the run has its own paths"),
        (["--resume"], 1, "wanted the results file vxlab-results.sqlite, found none"),
        (["--results=gone/results", "test_tiny.py"], 1, "unable to open database file"),
        (["--results=.", "test_tiny.py"], 1, "found a folder: name a file in it"),
        (["--results=pytest.ini", "test_tiny.py"], 1, "not a database: give another file"),
        (["--junit=pytest.ini/deep", "test_tiny.py"], 1, "--junit: wanted the folder pytest.ini/"),
        (["--html=pytest.ini", "--results=pytest.ini"], 1, "--html: wanted a file to write, found"),
        (["--html=r", "--results=./r"], 1, "which is r that is read: give another name"),
        (["--html=pytest.ini", "--kernels=./pytest.ini"], 1, "--html: wanted a file to write"),
        (["--deadline=-1"], 2, "wanted seconds, more than 0, found '-1'"),
        (["--cell-deadline=nan"], 2, "wanted seconds, more than 0, found 'nan'"),
        (["--scenario-deadline=0"], 2, "wanted seconds, more than 0, found '0'"),
        (["--cell-deadline=soon"], 2, "wanted seconds, more than 0, found 'soon'"),
        (["--machines=0"], 2, "wanted a whole number, 1 or more, found '0'"),
        (["--memory=1.5"], 2, "wanted a whole number, 1 or more, found '1.5'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    project: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(project.parent)
    if not any("test_" in word for word in words):
        words = [*words, "test_tiny.py"] if "--resume" not in words else words
    try:
        found = matrix(*words)
    except SystemExit as error:
        found = int(str(error.code))
    assert found == code
    assert said in capsys.readouterr().err
    assert files(project.parent) == before


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    found = Machines()
    monkeypatch.setattr(target_choice, "target_of", lambda *_: found)
    return found


def test_a_run_ends_with_its_figures_and_a_complete_one_is_not_resumed(
    project: Path, machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--machines=1", "--backends=netlink,script", "--results=r", "test_tiny.py")
    assert matrix(*options, "--junit=j", "--html=page.html") == 0
    said = capsys.readouterr()
    assert said.out.startswith("run 1 in r: 2 cells done, 2 passed\n")
    assert "here / system / script " in said.err
    assert (project / "page.html").stat().st_size > 1000
    assert sorted(os.listdir("j")) == ["here-system-netlink.xml", "here-system-script.xml"]
    assert matrix("--resume", "--results=r") == 1
    assert "found run 1 complete: leave out --resume to begin another" in capsys.readouterr().err

    machines.machines = [dead(after=1)]
    assert matrix(*options) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "run 2 in r: 1 cell done, 1 error, 2 passed",
        "  here / system / script: kernel crashed",
    ]


def test_a_scheduler_that_is_not_there_leaves_no_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise VxlabError("--dask: wanted a scheduler")

    monkeypatch.setattr("vxlab.matrix.cluster.Cluster.cells_a_job", refuse)
    before = files(project)
    assert matrix("--dask=tcp://127.0.0.1:1", "test_tiny.py") == 1
    assert "--dask: wanted a scheduler" in capsys.readouterr().err
    assert files(project) == before


def test_a_signal_leaves_nothing_but_a_run_that_can_go_on(project: Path, tmp_path: Path) -> None:
    token = f"vxlab-test-{os.getpid()}-{tmp_path}"
    env = environment(TOKEN=token, TMPDIR=str(tmp_path / "tmp"))
    del env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # vxlab's own plugin is one of these
    command = [sys.executable, "-m", "vxlab", "matrix", "--results=r"]
    begin = [*command, "--backends=netlink,script", "--machines=1", "test_tiny.py"]
    flag = project / "waits-script"
    flag.touch()

    def waits() -> bool:
        try:
            results = Results.open("r")
        except VxlabError:  # it is not there, or still empty
            return False
        with results:
            return any(
                cell.state is CellState.RUNNING and cell.last.endswith("test_waits")
                for cell in results.cells(1)
                if cell.backend == "script"  # in the other one it waits for nothing, but is run
            )

    def start(words: list[str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(words, env=env, stdout=pipe, stderr=pipe, text=True)

    for words, number in ((begin, signal.SIGTERM), ([*command, "--resume"], signal.SIGINT)):
        with start(words) as process:
            try:
                wait_until(waits, timeout=300, what="the scenario that waits")
                for _ in range(3):  # all at once, as an impatient person does
                    process.send_signal(number)
                _, said = process.communicate(timeout=300)
            finally:
                process.kill()
        assert process.returncode == 130, said
        assert "vxlab matrix: interrupted" in said
        wait_until(lambda: not carrying(token), timeout=20, what="the end of all processes")
        assert os.listdir(tmp_path / "tmp") == []
        assert not {"r-wal", "r-shm"} & files(project)
        with Results.open("r") as results:
            done, ended = results.cells(1)
            assert (done.state, ended.state) == (CellState.DONE, CellState.INTERRUPTED)
            assert ended.last == "test_tiny.py::test_waits"
            assert len(results.cases(ended.id)) == 2

    flag.unlink()
    with start([*command, "--resume"]) as process:
        out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "run 1 in r: 2 cells done, 8 passed" in out
    assert "matrix: 1 cell\n" in said
    with Results.open("r") as results:
        assert [len(results.cases(cell)) for cell in (1, 2)] == [4, 4]
