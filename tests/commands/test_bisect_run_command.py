"""``vxlab bisect-run``: no code but those that ``git bisect run`` understands."""

from __future__ import annotations

from pathlib import Path

import pytest
from matrix_tools import tiny

from vxlab.commands import main
from vxlab.sandbox import boot


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(boot.VARIABLE, raising=False)
    folder = tiny(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def bisect(*words: str) -> int:
    return main.main(["bisect-run", *words])


def test_a_kernel_that_is_not_there_cannot_be_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bisect("--kernel", "./bzImage", "test_tiny.py") == 125
    assert "vxlab bisect-run: " in capsys.readouterr().err
    assert bisect("--kernel", "here", "test_gone.py") == 125
    assert "found no test_gone.py" in capsys.readouterr().err


def test_no_error_of_ours_calls_a_kernel_bad(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("vxlab.matrix.bisect.ask", fail)
    assert bisect("--kernel", "here", "test_tiny.py") == 125
    assert "RuntimeError: a mistake" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "the following arguments are required: --kernel"),
        (("--kernel", "here", "--backend", "magic"), "invalid choice: 'magic'"),
        (("--kernel", "here", "--deadline", "-1"), "wanted seconds, more than 0, found '-1'"),
        (
            ("--kernel", "here", "--magic"),
            "bisect-run: error: unrecognized arguments: --magic",
        ),
        (("--kernel", "here", "--memory", "0"), "wanted a whole number, 1 or more, found '0'"),
    ],
)
def test_a_wrong_command_line_ends_the_bisection(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bisect(*words)
    assert ended.value.code == 129  # git ends at a code from 128 on; 2 would mean "bad"
    assert said in capsys.readouterr().err
