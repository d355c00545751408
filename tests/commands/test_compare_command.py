"""`vxlab compare`: 20 planted changes, and nothing else, in every way of asking."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from results_tools import (
    IPROUTE2,
    K40,
    KERNELS,
    SCENARIOS,
    Names,
    Table,
    case,
    crashed,
    usual_run,
    write_run,
)

from vxlab.commands import main
from vxlab.commands.compare_page import write_page_of_run
from vxlab.commands.compared_side import read_side
from vxlab.errors import VxlabError
from vxlab.results import KnownDifference, Outcome, Results

FAILED, PASSED, SKIPPED = Outcome.FAILED, Outcome.PASSED, Outcome.SKIPPED
OLD, NEW = ("5.10", "6.1", "netlink"), ("7.2", "7.3", "netlink")
MIDDLE, DEAD = ("6.12", "6.15", "netlink"), ("6.1", "5.19", "netlink")

#: (column, number of the scenario, what it does in the second run, kind)
PLANTED: list[tuple[Names, int, dict[str, Any], str]] = [
    (NEW, 10, {"outcome": FAILED, "reason": "no answer"}, "pass to fail"),
    (MIDDLE, 10, {"outcome": FAILED, "reason": "no answer"}, "pass to fail"),
    (OLD, 20, {"outcome": Outcome.ERROR, "reason": "no lab"}, "pass to fail"),
    (OLD, 21, {"outcome": Outcome.XFAILED, "reason": "to be done"}, "pass to fail"),
    (MIDDLE, 77, {"outcome": PASSED, "reason": ""}, "fail to pass"),
    (OLD, 111, {"outcome": PASSED, "reason": ""}, "fail to pass"),
    (NEW, 30, {"outcome": SKIPPED, "reason": "needs vrf"}, "newly skipped"),
    (MIDDLE, 31, {"outcome": SKIPPED, "reason": "needs vrf"}, "newly skipped"),
    (OLD, 43, {"outcome": PASSED, "reason": ""}, "no longer skipped"),
    (OLD, 83, {"outcome": FAILED, "reason": "half done"}, "no longer skipped"),
    (NEW, 50, {"seconds": 9.5}, "slower"),
    (OLD, 51, {"seconds": 2.6}, "slower"),
    (NEW, 77, {"reason": "wanted an answer, found none"}, "other reason"),
    (OLD, 77, {"outcome": Outcome.ERROR}, "other reason"),
]
GONE = [(NEW, 60), (OLD, 61)]
ADDED = [(NEW, "scenarios/test_new.py::test_new"), (MIDDLE, "scenarios/test_new.py::test_late")]
LOST = SCENARIOS[-2:]

Pages = Callable[..., tuple[int, str]]


def second_run() -> Table:
    """The usual run with another noise, and all that was planted."""
    table = usual_run(noise=1)
    for place, number, fields, _ in PLANTED:
        nodeid = SCENARIOS[number]
        table[place][nodeid] = replace(table[place][nodeid], **fields)
    for place, number in GONE:
        del table[place][SCENARIOS[number]]
    for place, nodeid in ADDED:
        table[place][nodeid] = case(nodeid)
    for nodeid in LOST:
        del table[DEAD][nodeid]
    return table


WANTED = {
    *((place, SCENARIOS[number], kind) for place, number, _, kind in PLANTED),
    *((place, SCENARIOS[number], "disappeared") for place, number in GONE),
    *((place, nodeid, "appeared") for place, nodeid in ADDED),
    *((DEAD, nodeid, "not run") for nodeid in LOST),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with the usual run, the usual one again, and the one with planted changes."""
    place = tmp_path_factory.mktemp("results")
    write_run(place / "a.sqlite", usual_run())
    write_run(place / "same.sqlite", usual_run(noise=2))
    for table, dead in ((usual_run(noise=3), {}), (second_run(), {DEAD: crashed(LOST[0])})):
        write_run(place / "b.sqlite", table, dead)
    return place


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Pages:
    """Run `vxlab compare` in the folder of the files; its exit code, and what it prints."""
    monkeypatch.chdir(folder)

    def run(*words: str) -> tuple[int, str]:
        code = main.main(["compare", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def changes_of(objects: dict[str, Any]) -> list[tuple[Names, str, str]]:
    """Column, scenario and kind of each change that ``--json`` tells."""
    return [
        (tuple(each["after"][key] for key in ("kernel", "iproute2", "backend")), *what)
        for each in objects["columns"]
        for what in [(change["nodeid"], change["kind"]) for change in each["changes"]]
    ]


# --- two runs --------------------------------------------------------------------------------


def test_exactly_the_planted_changes_are_found(ask: Pages) -> None:
    assert len(WANTED) == 20
    code, said = ask("a.sqlite", "b.sqlite", "--json")
    objects = json.loads(said)
    found = changes_of(objects)
    assert len(found) == len(set(found)) == 20
    assert set(found) == WANTED
    assert code == 1
    assert objects["unexpected and worse"] is True
    assert len(objects["columns"]) == 16


def test_a_change_is_told_with_both_sides(ask: Pages) -> None:
    _, said = ask("a.sqlite", "b.sqlite", "--json")
    (of_new,) = [
        each["changes"]
        for each in json.loads(said)["columns"]
        if (each["after"]["kernel"], each["after"]["iproute2"]) == NEW[:2]
    ]
    (change,) = [each for each in of_new if each["kind"] == "pass to fail"]
    assert change["before"] == {"outcome": "passed", "seconds": pytest.approx(0.7), "reason": ""}
    assert change["after"]["outcome"] == "failed"
    assert change["after"]["reason"] == "no answer"
    assert (change["known"], change["worse"]) == ("", True)


def test_two_runs_with_nothing_but_noise_are_the_same(ask: Pages) -> None:
    code, said = ask("a.sqlite", "same.sqlite")
    assert code == 0
    assert said.splitlines()[-1] == ("0 changes in 16 columns: 0 unexpected and worse, 0 known")
    assert ask("a.sqlite", "b.sqlite#1")[0] == 0


def test_text_has_what_is_unexpected_first_and_counts_last(ask: Pages) -> None:
    code, said = ask("a.sqlite", "b.sqlite")
    lines = said.splitlines()
    assert code == 1
    assert lines[0].startswith("A  a.sqlite, run 1 of 20")
    assert lines[0].endswith(": 16 columns")
    assert lines[1].startswith("B  b.sqlite, run 2 of 20")
    headings = [line for line in lines if line.isupper() or line.startswith("UNEXPECTED")]
    assert headings == ["UNEXPECTED, AND WORSE", "OTHER CHANGES", "KNOWN DIFFERENCES"]
    worse, rest = said.split("OTHER CHANGES")
    others, known = rest.split("KNOWN DIFFERENCES")
    assert worse.count(SCENARIOS[10]) == 1  # the same in two columns is told once
    assert "6.12 / 6.15 / netlink, 7.2 / 7.3 / netlink" in worse
    assert "no answer" in worse
    assert f"2 scenarios{' ' * 60}"[:40] in worse
    assert f"while {LOST[0]} ran" in worse
    assert "done → kernel crashed" in worse
    for number in (20, 30, 31, 50, 51, 60, 61, 83):
        assert SCENARIOS[number] in worse
        assert SCENARIOS[number] not in others
    for number in (77, 43, 111):
        assert SCENARIOS[number] in others
    assert SCENARIOS[21] in known  # its mark says that it fails
    assert lines[-1] == (
        "20 changes in 16 columns (4 pass to fail, 2 not run, 2 disappeared, 2 newly skipped, "
        "2 slower, 2 other reason, 2 appeared, 2 no longer skipped, 2 fail to pass): "
        "12 unexpected and worse, 1 known, 1 dead cell"
    )


@pytest.mark.parametrize(("factor", "wanted"), [("2", 2), ("6", 1), ("0", 0), ("100", 0)])
def test_how_much_slower_can_be_said(ask: Pages, factor: str, wanted: int) -> None:
    found = changes_of(json.loads(ask("a.sqlite", "b.sqlite", "--json", "--slower", factor)[1]))
    assert sum(kind == "slower" for _, _, kind in found) == wanted
    assert len(found) == 18 + wanted


# --- one column with another -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "wanted", "code"),
    [
        ("a.sqlite:kernel=7.2,iproute2=7.3", "b.sqlite:kernel=7.2,iproute2=7.3", NEW, 1),
        (
            "a.sqlite#1:kernel=7.2,iproute2=7.3,backend=netlink",
            "b.sqlite:iproute2=7.3,kernel=7.2",
            NEW,
            1,
        ),
        ("b.sqlite#1:kernel=7.2,iproute2=7.3", "b.sqlite#2:kernel=7.2,iproute2=7.3", NEW, 1),
        ("a.sqlite:kernel=7.2,iproute2=6.15", "b.sqlite:kernel=7.2,iproute2=6.15", None, 0),
    ],
)
def test_one_column_can_be_picked(
    ask: Pages, before: str, after: str, wanted: Names | None, code: int
) -> None:
    found, said = ask(before, after, "--json")
    assert found == code
    kinds = {(nodeid, kind) for _, nodeid, kind in changes_of(json.loads(said))}
    assert kinds == {(nodeid, kind) for place, nodeid, kind in WANTED if place == wanted}


def test_kernels_of_one_run_are_compared_for_each_iproute2(ask: Pages) -> None:
    code, said = ask("a.sqlite:kernel=6.1", "a.sqlite:kernel=6.12", "--json")
    objects = json.loads(said)
    assert [each["before"]["iproute2"] for each in objects["columns"]] == list(IPROUTE2)
    assert all(
        (each["before"]["iproute2"], each["before"]["kernel"], each["after"]["kernel"])
        == (each["after"]["iproute2"], "6.1", "6.12")
        for each in objects["columns"]
    )
    assert {kind for _, _, kind in changes_of(objects)} == {"no longer skipped", "fail to pass"}
    known = {
        (change["nodeid"], change["known"])
        for each in objects["columns"]
        for change in each["changes"]
        if change["known"]
    }
    assert known == {(SCENARIOS[111], K40.id)}
    assert code == 0
    assert ask("a.sqlite:kernel=6.12", "a.sqlite:kernel=6.1")[0] == 1  # newly skipped


def test_a_known_difference_does_not_count(ask: Pages, folder: Path) -> None:
    known = (KnownDifference("K7", since="6.2"),)
    tables: list[Table] = [
        {(kernel, "6.1", "netlink"): {"a": case("a", outcome, known=known)}}
        for kernel, outcome in (("6.1", "passed"), ("6.6", "failed"), ("6.0", "failed"))
    ]
    for name, table in zip("cde", tables, strict=True):
        write_run(folder / f"{name}.sqlite", table)
    code, said = ask("c.sqlite", "d.sqlite")
    assert code == 0
    assert "known: K7" in said
    assert "6.1 / 6.1 / netlink" not in said.splitlines()[-1]
    assert ask("c.sqlite", "e.sqlite")[0] == 1


# --- all columns of one ----------------------------------------------------------------------


def test_one_file_is_compared_by_version(ask: Pages) -> None:
    code, said = ask("a.sqlite", "--json")
    objects = json.loads(said)
    found = {
        (each["nodeid"], each["axis"], each["changes at"], each["known"])
        for each in objects["changes"]
    }
    old = {SCENARIOS[number] for number in range(250) if number % 40 == 3}
    assert found == {
        *((nodeid, "kernel", "6.12", "") for nodeid in old),
        (SCENARIOS[111], "kernel", "6.12", "K40"),
    }
    assert {tuple(each["versions"]) for each in objects["changes"]} == {KERNELS}
    assert code == 0  # what is skipped on old kernels is better on new ones


def test_text_by_version(ask: Pages) -> None:
    code, said = ask("a.sqlite")
    assert code == 0
    assert "skipped up to 6.1, passed from 6.12 on; everywhere" in said
    assert "failed up to 6.1, passed from 6.12 on; everywhere; known: K40" in said
    assert said.splitlines()[-1] == "8 changes of 8 scenarios: 0 unexpected and worse, 1 known"


def test_one_file_with_a_regression_and_a_dead_cell(ask: Pages) -> None:
    code, said = ask("b.sqlite")
    assert code == 1
    worse = said.split("OTHER CHANGES")[0]
    assert re.search(r"dead cell +6.1 / 5.19 / netlink +kernel crashed; while ", worse)
    assert "passed up to 6.12, failed from 7.2 on; with iproute2 7.3" in worse
    assert said.splitlines()[-1].endswith("1 dead cell")


def test_picked_columns_of_one_file(ask: Pages) -> None:
    objects = json.loads(ask("b.sqlite:kernel=6.12", "--json")[1])
    assert {each["axis"] for each in objects["changes"]} == {"iproute2"}
    assert len(objects["columns"]) == 4


# --- the page --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["a.sqlite"], ["a.sqlite", "b.sqlite"]])
def test_a_page_is_written(ask: Pages, tmp_path: Path, words: list[str]) -> None:
    target = tmp_path / "page.html"
    with_page = ask(*words, "--html", str(target))
    assert with_page == ask(*words)
    text = target.read_text(encoding="utf-8")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert len(data["columns"]) == 16 * len(words)
    sides = ["A", "B"] if len(words) == 2 else [""]
    assert [each["side"] for each in data["columns"]] == sides * 16
    rows = {row["i"] for group in data["groups"] for row in group["rows"]}
    assert set(SCENARIOS) <= rows
    changed = {row["i"] for group in data["groups"] for row in group["rows"] if row["c"]}
    if len(words) == 2:  # what a dead cell lost is no row to look at, where it died is
        assert changed == {nodeid for _, nodeid, _ in WANTED} - {LOST[1]}


def test_a_page_can_be_written_of_a_run_by_its_number(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    write_page_of_run(f"{folder / 'b.sqlite'}#1", target)
    assert "b.sqlite, run 1 of " in target.read_text(encoding="utf-8")


def test_columns_that_one_run_alone_has_are_named(ask: Pages, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    table = {place: cases for place, cases in usual_run().items() if place != OLD}
    write_run(tmp_path / "fewer.sqlite", table)
    code, said = ask("a.sqlite", str(tmp_path / "fewer.sqlite"), "--html", str(target))
    assert code == 0
    line = "only in A: 5.10 / 6.1 / netlink"
    assert line in said.splitlines()
    assert line in target.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_an_error(ask: Pages) -> None:
    code, said = ask("a.sqlite", "--html", "/no/such/folder/page.html")
    assert (code, said) == (
        1,
        "vxlab: wanted to write /no/such/folder/page.html, found: No such file or directory\n",
    )


@pytest.mark.parametrize(
    "name", ["r.sqlite", "../results/r.sqlite", "link", "hard", "r.sqlite-wal"]
)
@pytest.mark.parametrize("words", [["r.sqlite"], ["a.sqlite", "r.sqlite#1:kernel=6.1"], ["link"]])
def test_a_page_is_not_written_over_what_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    place = tmp_path / "results"
    place.mkdir()
    monkeypatch.chdir(place)
    for each in ("a.sqlite", "r.sqlite"):
        write_run(place / each, {OLD: {"a": case("a")}})
    (place / "link").symlink_to("r.sqlite")
    (place / "hard").hardlink_to("r.sqlite")
    before = {path: path.read_bytes() for path in place.iterdir()}
    assert main.main(["compare", *words, "--html", name]) == 1
    assert {path: path.read_bytes() for path in place.iterdir()} == before


def test_a_page_over_its_own_results_is_named(ask: Pages, folder: Path) -> None:
    _, said = ask("a.sqlite", "--html", str(folder / "a.sqlite"))
    assert said.startswith("vxlab: --html: wanted a file to write, found ")
    assert said.endswith("which is a.sqlite that is read: give another name\n")


# --- what is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.sqlite"], "wanted the results file none.sqlite, found none: give another name"),
        (["a.sqlite", "none.sqlite#3"], "wanted the results file none.sqlite, found none"),
        (["a.sqlite#7"], "wanted one of the runs 1, found 7"),
        (["a.sqlite#" + "9" * 25], "wanted one of the runs 1, found 9999999999"),
        (["a.sqlite#" + "9" * 5000], "wanted one of the runs 1, found 9999999999"),
        (["a.sqlite", "a.sqlite#9223372036854775808"], "wanted one of the runs 1, found 92233720"),
        (["pipe"], "wanted the results file pipe, found a pipe or a device: name a file"),
        (["/dev/zero"], "wanted the results file /dev/zero, found a pipe or a device"),
        (["a.sqlite:kernel=9"], "a.sqlite: wanted a column with kernel 9, found 5.10 / 5.19"),
        (["a.sqlite:kernel=6.1", "b.sqlite"], "found several: pick also one of kernel"),
        (["a.sqlite", "other.sqlite"], "wanted a column that both have"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    ask: Pages, folder: Path, words: list[str], message: str
) -> None:
    if "pipe" in words and not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
    if not (folder / "other.sqlite").exists():
        table = {(kernel, "0.9", "script"): {"a": case("a")} for kernel in ("6.1", "6.12")}
        write_run(folder / "other.sqlite", table)
    code, said = ask(*words)
    assert code == 1
    assert said.startswith("vxlab: ")
    assert said.count("\n") == 1
    assert message in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: A"),
        (["a", "b", "c"], "unrecognized arguments: c"),
        (["a", "--slower", "0.5"], "wanted 0, or 1 and more, found 0.5"),
        (["a", "--slower", "nan"], "wanted 0, or 1 and more, found nan"),
        (["a", "--slower", "fast"], "wanted 0, or 1 and more, found fast"),
        (["a:kernel="], "wanted kernel=…, iproute2=… or backend=… with commas between"),
        (["a", "b:kernel=6.1,cpu=3"], "found 'cpu=3'"),
        (["a:kernel=6.1,kernel=6.1"], "wanted one kernel, found two"),
        ([""], "wanted FILE (its latest run), FILE#RUN, or either with"),
    ],
)
def test_a_wrong_command_line_ends_with_2(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["compare", *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "usage: vxlab" in said
    assert message in said


def test_a_file_whose_name_looks_like_a_run_is_taken_for_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a#1:kernel=6.1"
    write_run(path, {OLD: {"a": case("a")}})
    assert len(read_side(str(path)).columns) == 1


def test_a_run_without_cells_has_nothing_to_compare(tmp_path: Path) -> None:
    with Results.open(tmp_path / "a", create=True) as results:
        results.begin_run()
    with pytest.raises(VxlabError, match="wanted a column with results, found none"):
        read_side(str(tmp_path / "a"))


def test_control_characters_do_not_reach_the_terminal(ask: Pages, folder: Path) -> None:
    for name, outcome in (("f", "passed"), ("g", "failed")):
        table = {OLD: {"a": case("a", outcome, reason="\x1b[2J\nred\x07")}}
        write_run(folder / f"{name}.sqlite", table)
    _, said = ask("f.sqlite", "g.sqlite")
    assert "?[2J red?" in said
    assert "\x1b" not in said
    strange = ("\x1b[31m6.1", "\x07", "netlink")
    for name, outcome in (("h", "passed"), ("i", "failed")):
        write_run(folder / f"{name}.sqlite", {strange: {"\x1b": case("\x1b", outcome)}})
    for words in (
        ["h.sqlite", "i.sqlite"],
        ["i.sqlite:kernel=\x1b[31m6.1"],
        ["h.sqlite", "g.sqlite"],
    ):
        assert not set("\x1b\x07") & set(ask(*words)[1])


def test_a_file_may_have_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"\xff?#%20.sqlite")
    write_run(path, {OLD: {"a": case("a")}})
    assert main.main(["compare", str(path)]) == 0
    assert "??#%20.sqlite, run 1 of" in capsys.readouterr().out
