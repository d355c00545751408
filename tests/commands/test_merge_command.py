"""`vxlab merge`: one run of several results files."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_tools import K40, add_cell, case, crashed, write_run

from vxlab.commands import main
from vxlab.commands.compared_side import read_side
from vxlab.results import CellState, Results

PASSES = {"t.py::a": case("t.py::a", seconds=0.25), "t.py::b": case("t.py::b", "skipped")}
FAILS = {
    "t.py::a": case("t.py::a", "failed", reason="x", evidence="y", behaviour="z", known=(K40,))
}
OLD, NEW, SCRIPT = ("5.10", "6.1", "netlink"), ("6.12", "6.1", "netlink"), ("6.12", "6.1", "script")


def merge(*words: object) -> int:
    return main.main(["merge", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    first, second = tmp_path / "first.sqlite", tmp_path / "second.sqlite"
    write_run(first, {NEW: FAILS})  # an earlier run, which does not count
    write_run(first, {OLD: PASSES})
    write_run(second, {NEW: FAILS, SCRIPT: {}}, dead={SCRIPT: crashed("t.py::a")})
    return [first, second]


def test_a_merged_run_has_all_cells_as_they_were(
    tmp_path: Path, files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.sqlite"
    assert merge(out, *files) == 0
    assert capsys.readouterr().out == f"run 1 in {out}: 3 cells of 2 files\n"
    merged = {column.name: column for column in read_side(str(out)).columns}
    wanted = {column.name: column for path in files for column in read_side(str(path)).columns}
    assert len(wanted) == 3
    assert merged.keys() == wanted.keys()
    for name, column in wanted.items():
        assert merged[name].cases == column.cases
        for field in ("state", "seconds", "release", "tools", "config", "reason", "last", "log"):
            assert getattr(merged[name].cell, field) == getattr(column.cell, field), field
        assert merged[name].cell.started
    with Results.open(out) as results:
        run = results.latest_run()
        assert run.ended
        assert [(each["file"], each["run"]) for each in run.selection["merged"]] == [
            (str(files[0]), 2),
            (str(files[1]), 1),
        ]
        assert run.selection["merged"][0]["host"] == {"machine": "test"}
    assert main.main(["compare", str(out)]) == 1
    assert "kernel crashed" in capsys.readouterr().out


def test_a_merge_is_one_more_run_of_a_file_that_is_there(tmp_path: Path, files: list[Path]) -> None:
    assert merge(files[0], *files) == 0
    with Results.open(files[0]) as results:
        assert [len(results.cells(run.id)) for run in results.runs()] == [1, 1, 3]


def test_what_was_not_run_to_its_end_stays_so_and_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "in.sqlite", tmp_path / "out.sqlite"
    with Results.open(path, create=True) as results:
        run = results.begin_run()
        cells = [add_cell(results, run, place) for place in (OLD, NEW, SCRIPT)]
        results.begin_cell(cells[1])
        results.record(cells[1], PASSES["t.py::a"])
        results.end_cell(cells[1], CellState.INTERRUPTED, reason="Ctrl-C")
        results.begin_cell(cells[2])
    assert merge(out, path) == 0
    with Results.open(out) as results:
        states = [cell.state for cell in results.cells(1)]
        assert states == [CellState.PLANNED, CellState.INTERRUPTED, CellState.INTERRUPTED]
        assert results.cell(2).reason == "Ctrl-C"
        assert results.cases(2) == [PASSES["t.py::a"]]
    capsys.readouterr()
    assert main.main(["matrix", "--resume", "--results", str(out)]) == 1
    assert "wanted a run of `vxlab matrix`, found that run 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["first.sqlite", "second.sqlite", "first.sqlite"],
            "wanted each cell once, found 5.10 / 6.1 / netlink in first.sqlite and in first.sqlite",
        ),
        (["first.sqlite", "gone.sqlite"], "wanted the results file gone.sqlite, found none"),
        (["empty.sqlite"], "wanted a run, found none"),
        (["text"], "not a database: give another file"),
    ],
)
def test_what_cannot_be_merged_is_refused_and_nothing_written(
    tmp_path: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Results.open("empty.sqlite", create=True).close()
    Path("text").write_text("no database " * 100)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert merge("out.sqlite", *words) == 1
    assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
