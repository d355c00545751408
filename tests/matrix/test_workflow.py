"""The workflow that ``vxlab matrix --workflow`` prints: YAML, and commands that work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vxlab.commands import main
from vxlab.commands.scenario_options import pytest_arguments
from vxlab.errors import VxlabError
from vxlab.matrix.selection import Selection
from vxlab.matrix.workflow import workflow

yaml = pytest.importorskip("yaml", reason="PyYAML comes with pre-commit")

SELECTION = Selection(
    kernels=["6.1", "here", "./deb/linux 6.12.deb"],
    iproute2=["system", "6.15"],
    backends=["netlink", "script"],
    arguments=["scenarios/test_a.py", "--vxlab-family", "4", "-k", "a and 'b' or ${{ x }} $HOME"],
    deadline=600,
    scenario=60,
    memory=512,
)


def read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def step(job: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in job["steps"] if each.get("name") == name]
    return dict(found)


def expressions_filled(text: str) -> str:
    """The text as GitHub hands it to the shell: a string in an expression is that string."""
    return text.replace("${{ '${{' }}", "${{")


def test_a_kernel_is_a_job_and_the_last_one_needs_all() -> None:
    jobs = read(workflow(SELECTION))["jobs"]
    assert jobs["matrix"]["strategy"] == {
        "fail-fast": False,
        "matrix": {
            "include": [
                {"name": "1-6.1", "kernel": "6.1"},
                {"name": "2-here", "kernel": "here"},
                {"name": "3-._deb_linux_6.12.deb", "kernel": "./deb/linux 6.12.deb"},
            ]
        },
    }
    assert jobs["matrix"]["container"]["options"] == "--privileged"
    last = jobs["matrix"]["steps"][-1]
    assert last["with"]["path"].split() == ["results.sqlite", "junit"]
    assert last["with"]["name"] == "results-${{ matrix.name }}"
    assert last["if"] == jobs["compare"]["if"] == "always()"
    assert jobs["compare"]["needs"] == "matrix"


@pytest.mark.parametrize("kernel", SELECTION.kernels)
def test_the_command_of_a_job_asks_for_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """The shell runs it, with a vxlab that writes down its words."""
    step_ = step(read(workflow(SELECTION, deadline=3600))["jobs"]["matrix"], "Run the scenarios")
    assert step_["env"] == {"KERNEL": "${{ matrix.kernel }}"}
    program = tmp_path / ".venv" / "bin" / "vxlab"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >words\n')
    program.chmod(0o755)
    env = {**os.environ, "KERNEL": kernel}
    assert step_["run"].replace("${{ '${{' }}", "").count("${{") == 0  # no other expression
    script = expressions_filled(step_["run"])
    subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, env=env, check=True)
    words = (tmp_path / "words").read_text().split("\0")[:-1]

    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "test_a.py").touch()
    monkeypatch.chdir(tmp_path)
    given = main.parser().parse_args(words)
    assert (given.kernels, given.iproute2, given.backends) == (
        [kernel],
        list(SELECTION.iproute2),
        list(SELECTION.backends),
    )
    assert (given.cell_deadline, given.deadline, given.memory) == (600, 3600, 512)
    assert given.scenario_deadline == 60
    assert pytest_arguments(given) == tuple(SELECTION.arguments)
    assert (str(given.results), str(given.junit)) == ("results.sqlite", "junit")


def test_the_last_job_merges_what_the_others_have_left(tmp_path: Path) -> None:
    job = read(workflow(SELECTION))["jobs"]["compare"]
    (download,) = [each for each in job["steps"] if "download" in each.get("uses", "")]
    assert download["with"] == {"pattern": "results-*", "path": "found"}
    for line in step(job, "Put the results together")["run"].splitlines():
        program, *words = line.split()
        assert program == ".venv/bin/vxlab"
        given = main.parser().parse_args(words)
        assert given.subcommand.name in ("merge", "compare")


@pytest.mark.parametrize(("is_vxlab", "command"), [(True, "make setup"), (False, "pip install")])
def test_vxlab_is_installed_by_its_own_setup_or_by_pip(
    tmp_path: Path, is_vxlab: bool, command: str
) -> None:
    if is_vxlab:
        (tmp_path / "vxlab").mkdir()
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools" / "setup.sh").touch()
    for job in read(workflow(SELECTION, project=tmp_path))["jobs"].values():
        script = step(job, "Install vxlab")["run"]
        assert command in script
        assert ("make" in script) == is_vxlab
        subprocess.run(["sh", "-n", "-c", script], check=True)


@pytest.mark.parametrize(
    ("deadline", "minutes"), [(None, 360), (60.0, 31), (61.0, 32), (19_800.0, 360)]
)
def test_a_job_ends_itself_before_github_ends_it(deadline: float | None, minutes: int) -> None:
    job = read(workflow(SELECTION, deadline=deadline))["jobs"]["matrix"]
    assert job["timeout-minutes"] == minutes
    own = f"--deadline={deadline or 19_800:g} "
    assert own in step(job, "Run the scenarios")["run"]


def test_what_github_does_not_do_is_refused() -> None:
    with pytest.raises(VxlabError, match="wanted at most 19800 s for a job of GitHub's, found 2"):
        workflow(SELECTION, deadline=20_000)
    many = Selection(kernels=[f"6.{n}" for n in range(257)])
    with pytest.raises(VxlabError, match="wanted at most 256 kernels, found 257: make two"):
        workflow(many)
    with pytest.raises(VxlabError, match=r"found 6\.1 twice"):
        workflow(Selection(kernels=["6.1", "6.1"]))


def test_the_command_prints_it_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_a.py").touch()
    assert main.main(["matrix", "--workflow", "--kernels=6.1,6.12", "test_a.py"]) == 0
    jobs = read(capsys.readouterr().out)["jobs"]
    include = jobs["matrix"]["strategy"]["matrix"]["include"]
    assert [each["kernel"] for each in include] == ["6.1", "6.12"]
    for option in ("--resume", "--dask=tcp://127.0.0.1:1"):
        words = [] if option == "--resume" else ["test_a.py"]
        assert main.main(["matrix", "--workflow", option, *words]) == 1
        wanted = f"--workflow: wanted options of a new run, found {option.partition('=')[0]}"
        assert wanted in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["test_a.py"]
