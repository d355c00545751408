"""One cell as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from results_tools import K40, case, crashed

from vxlab.results import Case, Cell, CellState
from vxlab.results.junit import junit

CELL = Cell(
    id=1,
    run=1,
    kernel="6.12",
    iproute2="6.15",
    backend="netlink",
    state=CellState.DONE,
    started="2026-01-02T03:04:05.000+00:00",
    seconds=12.3456,
    release="6.12.1",
    tools={"ip": "6.15.0"},
)


def suite_of(cell: Cell, *cases: Case) -> ElementTree.Element:
    """The suite of a cell, parsed again."""
    root = ElementTree.fromstring(junit(cell, cases))
    assert root.tag == "testsuites"
    (suite,) = root
    return suite


def test_a_suite_says_where_it_ran() -> None:
    suite = suite_of(CELL)
    assert {each.get("name"): each.get("value") for each in suite.iter("property")} == {
        "kernel": "6.12",
        "iproute2": "6.15",
        "backend": "netlink",
        "state": "done",
        "release": "6.12.1",
        "version of ip": "6.15.0",
    }
    assert suite.get("name") == "vxlab 6.12 / 6.15 / netlink"
    assert suite.get("time") == "12.346"
    assert suite.get("timestamp") == CELL.started


@pytest.mark.parametrize(
    ("outcome", "tag", "counter"),
    [
        ("passed", None, None),
        ("xpassed", None, None),
        ("failed", "failure", "failures"),
        ("error", "error", "errors"),
        ("skipped", "skipped", "skipped"),
        ("xfailed", "skipped", "skipped"),
        ("not run", "skipped", "skipped"),
    ],
)
def test_an_outcome_is_an_element_and_counted(
    outcome: str, tag: str | None, counter: str | None
) -> None:
    each = case("scenarios/test_a.py::test_b[x::y/z]", outcome, seconds=1.5, reason="so\nit is")
    suite = suite_of(CELL, each)
    (found,) = suite.iter("testcase")
    assert found.attrib == {
        "classname": "scenarios.test_a",
        "name": "test_b[x::y/z]",
        "time": "1.500",
    }
    assert [below.tag for below in found] == ([tag] if tag else [])
    counts = {name: suite.get(name) for name in ("failures", "errors", "skipped")}
    assert counts == {name: "1" if name == counter else "0" for name in counts}
    assert suite.get("tests") == "1"
    if tag:
        wanted = f"{outcome}: so" if tag == "skipped" else "so"
        assert (found[0].get("message"), found[0].text) == (wanted, "so\nit is")


def test_evidence_behaviour_and_known_differences_are_told() -> None:
    each = case(outcome="failed", reason="r", evidence="e", behaviour="b is so", known=(K40,))
    (found,) = suite_of(CELL, each).iter("testcase")
    assert found.findtext("failure") == "r\ne"
    properties = [(each.get("name"), each.get("value")) for each in found.iter("property")]
    assert properties == [("behaviour", "b is so"), ("known difference", "K40")]


def test_what_xml_cannot_hold_is_escaped() -> None:
    text = "\x1b[31m & <b> ]]> \0 \ufffe \ud800 é 🦊 \t"
    (found,) = suite_of(CELL, case("a.py::t[\x01]", "failed", reason=text)).iter("testcase")
    assert found.get("name") == "t[\\x01]"
    wanted = "\\x1b[31m & <b> ]]> \\x00 \\xfffe \\xd800 é 🦊 \t"
    assert found[0].text == wanted


def test_a_dead_cell_has_an_error_that_says_how_it_died() -> None:
    end = crashed("scenarios/test_a.py::test_b")
    suite = suite_of(end, case("scenarios/test_a.py::test_a"))
    assert (suite.get("tests"), suite.get("errors")) == ("2", "1")
    death = list(suite.iter("testcase"))[-1]
    assert (death.get("classname"), death.get("name")) == ("scenarios.test_a", "test_b")
    error = death.find("error")
    assert error is not None
    assert error.get("type") == "kernel crashed"
    assert error.get("message") == (
        "kernel crashed while scenarios/test_a.py::test_b was running: " + end.reason
    )
    assert error.text == end.log


@pytest.mark.parametrize("state", list(CellState))
def test_only_a_dead_cell_has_one(state: CellState) -> None:
    suite = suite_of(Cell(id=1, run=1, kernel="", iproute2="", backend="", state=state))
    assert suite.get("errors") == suite.get("tests") == ("1" if state.is_dead else "0")
    assert [each.get("name") for each in suite.iter("testcase")] == ["machine"] * state.is_dead
