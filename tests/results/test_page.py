"""The page: that it is whole, safe, and holds all that it shows."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from results_tools import K40, along_kernels, case, column, usual_run

from vxlab.results import CellState, Outcome, Run
from vxlab.results.comparison import Column, Limits
from vxlab.results.notes import Note, of_comparison
from vxlab.results.page import LETTERS, LONGEST, SHORT, embedded, page
from vxlab.results.pairs import compare_all

RUN = Run(
    id=1, started="2026-01-02T03:04:05.000+00:00", version="0.1", host={"cpus": 2, "name": "h"}
)
NASTY = '</script><!--<script>alert("1")</script> --> & \u2028 \ud800 🦊 \0 <!--DATA--> \\u003c'


class Elements(HTMLParser):
    """All elements of a page with their attributes and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.found:
            self.found[-1][2].append(data)

    def named(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.found if name == tag]


def shown(*columns: Column, notes: tuple[Note, ...] = (), title: str = "t") -> dict[str, Any]:
    """The data of a page, read out of its text as a browser does."""
    scripts = Elements(page(title, [("a.sqlite", RUN)], columns, notes)).named("script")
    assert [attrs.get("type") for attrs, _ in scripts] == ["application/json", None]
    found = json.loads(scripts[0][1])
    assert isinstance(found, dict)
    return found


def test_each_outcome_has_a_letter_that_the_page_knows() -> None:
    text = page("t", [], [])
    assert set(LETTERS) == set(Outcome)
    for outcome, letter in LETTERS.items():
        assert f'{letter}: ["{outcome}", ' in text
        assert f".{letter} {{" in text  # it has a colour


def test_rows_are_grouped_by_file_and_have_an_outcome_for_each_column() -> None:
    found = shown(
        column(case("b.py::t", seconds=1.23456), case("a.py::z", "failed")),
        column(case("b.py::t", "skipped"), case("b.py::s"), state=CellState.CRASHED),
    )
    assert [
        (group["file"], [(row["n"], row["o"]) for row in group["rows"]])
        for group in found["groups"]
    ] == [("a.py", [("z", "fn")]), ("b.py", [("s", " p"), ("t", "ps")])]
    assert found["groups"][1]["rows"][1]["s"] == [1.235, 0]
    assert [each["counts"] for each in found["columns"]] == [
        {"f": 1, "p": 1},
        {"n": 1, "p": 1, "s": 1},
    ]


def test_numbers_in_names_are_ordered_as_numbers() -> None:
    nodeids = ["test_s10.py::a", "test_s9.py::a[64]", "test_s9.py::a[1500]", f"z{'9' * 5000}"]
    found = shown(column(*map(case, reversed(nodeids))))
    assert [row["i"] for group in found["groups"] for row in group["rows"]] == [
        nodeids[1],
        nodeids[2],
        nodeids[0],
        nodeids[3],
    ]


def test_figures_of_one_run_are_outcomes_and_of_two_runs_changes() -> None:
    columns = [
        column(case("a", "failed"), case("b", "error"), case("c"), case("d", "skipped")),
        column(case("a", "failed"), state=CellState.CRASHED),
    ]
    notes = (
        Note(at="dead cell", title="x", nodeids=(), what="", worse=True),
        Note(at="pass to fail", title="a", nodeids=("a",), what="", worse=True, known="K1"),
        Note(at="pass to fail", title="a", nodeids=("a", "b"), what="", worse=True),
        Note(at="not run", title="3 scenarios", nodeids=("b", "c", "d"), what="", worse=True),
    )
    assert shown(*columns, notes=notes)["tiles"] == [
        [3, "unexpected, worse", True],
        [1, "dead cells", True],
        [3, "failed or error", True],
        [3, "not run", False],
        [1, "skipped", False],
        [1, "passed", False],
        [1, "known differences", False],
        [4, "scenarios", False],
        [2, "columns", False],
    ]
    sides = [replace(each, label=label) for each, label in zip(columns, "AB", strict=True)]
    assert shown(*sides, notes=notes)["tiles"][2:4] == [
        [2, "pass to fail", True],
        [3, "not run", False],
    ]


def test_a_page_of_very_much_evidence_has_less_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vxlab.results.page.MUCH", 3 * LONGEST)
    cases = [case(f"{n:02}", "failed", evidence=f"{n:02}" * LONGEST) for n in range(20)]
    lengths = list(map(len, shown(column(*cases))["texts"]))
    assert min(lengths[1:4]) > LONGEST
    assert max(lengths[4:]) < SHORT + 100


def test_details_are_there_and_long_ones_once() -> None:
    cases = [
        case("a.py::t", "failed", reason="why", evidence="seen", behaviour="it is", known=(K40,))
    ] * 2
    found = shown(*(column(each, kernel=kernel) for each, kernel in zip(cases, "12", strict=True)))
    (row,) = found["groups"][0]["rows"]
    texts = found["texts"]
    assert texts == ["", *sorted({"why", "seen", "it is"}, key=texts.index)]
    for number in "01":
        assert [texts[each] for each in row["d"][number]] == ["why", "seen"]
    assert texts[row["b"]] == "it is"
    assert row["k"] == [["K40", "K40: kernel before 6.12"]]


def test_what_is_very_long_is_cut_in_the_middle_and_says_so() -> None:
    found = shown(column(case("a", "failed", evidence="<" + "x" * LONGEST + "y>")))
    (text,) = found["texts"][1:]
    assert text.startswith("<x")
    assert text.endswith("xy>")
    assert "[… 3 characters are left out here …]" in text


def test_columns_tell_how_they_ended_and_what_they_had() -> None:
    found = shown(
        column(
            state=CellState.CRASHED,
            reason="BUG",
            last="a",
            log="oops",
            tools={"ip": "6.15"},
            release="6.1.9",
            label="B",
        )
    )
    (only,) = found["columns"]
    wanted = {
        "kernel": "6.1",
        "side": "B",
        "state": "kernel crashed",
        "dead": True,
        "unfinished": False,
        "reason": "BUG",
        "last": "a",
        "tools": {"ip": "6.15"},
        "release": "6.1.9",
    }
    assert wanted.items() <= only.items()
    assert found["texts"][only["log"]] == "oops"


def test_rows_that_notes_are_about_are_the_changed_ones() -> None:
    notes = (
        Note(at="pass to fail", title="a", nodeids=("a",), what="", worse=True),
        Note(at="pass to fail", title="b", nodeids=("b", "c"), what="", worse=True, known="K1"),
        Note(at="other", title="a", nodeids=("a",), what=""),
        Note(at="not run", title="4 scenarios", nodeids=("a", "b", "c", "d"), what="", worse=True),
    )
    found = shown(column(*map(case, "abcd")), notes=notes)
    rows = [row for group in found["groups"] for row in group["rows"]]
    assert {row["i"]: row["c"] for row in rows} == {"a": 2, "b": 1, "c": 1, "d": 0}
    assert [each["worse"] for each in found["notes"]] == [True, False, False, True]


# --- safe, and whole -------------------------------------------------------------------------


def test_nothing_in_the_data_can_end_the_script() -> None:
    nasty = case(NASTY, "failed", reason=NASTY, evidence=NASTY, behaviour=NASTY)
    each = column(nasty, kernel=NASTY, reason=NASTY, last=NASTY, log=NASTY, tools={NASTY: NASTY})
    found = shown(
        each,
        notes=(Note(at=NASTY, title=NASTY, nodeids=(NASTY,), what=NASTY, reason=NASTY),),
        title=NASTY,
    )
    assert found["groups"][0]["rows"][0]["i"] == NASTY
    assert NASTY in found["texts"]
    assert found["columns"][0]["kernel"] == NASTY
    text = page(NASTY, [(NASTY, RUN)], [each])
    assert text.count("alert(") == 1 + text.count("alert(\\")  # the title has it, as mere text
    title = Elements(text).named("title")
    assert title[0][1].startswith("</script><!--<script>")


@pytest.mark.parametrize("value", [NASTY, {"<a>": ["&", None, 1.5]}, "é\u2029\uffff"])
def test_embedded_json_is_ascii_without_markup_and_reads_the_same(value: object) -> None:
    text = embedded(value)
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_the_page_needs_nothing_else() -> None:
    text = page("t", [("a", RUN)], along_kernels("passed", "failed"))
    elements = Elements(text)
    refers = [
        value
        for _, attrs, _ in elements.found
        for name, value in attrs.items()
        if name in ("src", "href", "action", "data", "srcset")
    ]
    assert refers == ["data:,"]
    assert not any(word in text for word in ("http:", "https:", "@import", "url(", "fetch("))
    policies = [attrs.get("content") for attrs, _ in elements.named("meta")]
    assert any("default-src 'none'" in (each or "") for each in policies)


def test_texts_are_never_put_in_as_markup() -> None:
    text = page("t", [], [])
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text


def test_a_whole_comparison_is_of_a_size_that_can_be_sent() -> None:
    columns = []
    for label in "AB":
        columns += [
            column(*cases.values(), kernel=kernel, iproute2=iproute2, label=label)
            for (kernel, iproute2, _), cases in usual_run(noise="AB".index(label)).items()
        ]
    broken = dict(columns[-1].cases)
    last = next(reversed(broken))
    broken[last] = replace(broken[last], outcome=Outcome.FAILED)
    columns[-1] = replace(columns[-1], cases=broken)
    sides = [[each for each in columns if each.label == label] for label in "AB"]
    found = compare_all(
        *sides, by=lambda each: (each.cell.kernel, each.cell.iproute2), limits=Limits()
    )
    notes = of_comparison(found)
    assert [note.title for note in notes] == [last]
    assert len(page("t", [("a", RUN)], columns, notes)) < 600_000
