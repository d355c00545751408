"""What targets report and what happens to cells, as JSON that other machines understand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from matrix_tools import case

from vxlab.matrix import events, reports
from vxlab.matrix.events import (
    Booting,
    CaseEnded,
    CaseStarted,
    CellBegun,
    CellCollected,
    CellEnded,
    Event,
)
from vxlab.matrix.reports import (
    PytestEnded,
    PytestStarted,
    Report,
    ScenarioEnded,
    ScenariosCollected,
    ScenarioStarted,
)
from vxlab.results import CellState, KnownDifference

K40 = KnownDifference("K40", until="6.12")
KNOWN = [{"id": "K40", "since": "", "until": "6.12", "of": "kernel"}]
#: A case with all that there is, and its fields in JSON.
FAILED = case(
    "t.py::a", "failed", seconds=0.5, reason="x", evidence="y", behaviour="z", known=(K40,)
)
FIELDS = {
    "case": "t.py::a",
    "outcome": "failed",
    "seconds": 0.5,
    "reason": "x",
    "evidence": "y",
    "behaviour": "z",
    "known": KNOWN,
}

REPORTS: list[tuple[dict[str, Any], Report]] = [
    ({"begin": 4, "tools": {"ip": "6.1"}}, PytestStarted(4, {"ip": "6.1"})),
    (
        {"end": 4, "code": 1, "full": ["/tmp"], "said": "bye"},
        PytestEnded(cell=4, code=1, full=("/tmp",), said="bye"),
    ),
    ({"collected": 143}, ScenariosCollected(143)),
    ({"start": "t.py::a"}, ScenarioStarted("t.py::a")),
    (
        {"start": "t.py::a", "behaviour": "z", "known": KNOWN},
        ScenarioStarted("t.py::a", "z", (K40,)),
    ),
    ({"case": "t.py::a", "outcome": "passed"}, ScenarioEnded(case("t.py::a"))),
    (FIELDS, ScenarioEnded(FAILED)),
]

EVENTS: list[tuple[dict[str, Any], Event]] = [
    ({"event": "boot", "cells": [4, 5]}, Booting((4, 5))),
    (
        {"event": "begin", "cell": 4, "release": "6.1.0", "config": "", "tools": {"ip": "6.1"}},
        CellBegun(cell=4, release="6.1.0", tools={"ip": "6.1"}),
    ),
    ({"event": "collected", "cell": 4, "count": 143}, CellCollected(4, 143)),
    ({"event": "start", "cell": 4, "nodeid": "t.py::a"}, CaseStarted(4, "t.py::a")),
    (
        {"event": "case", "cell": 4, "case": "t.py::a", "outcome": "passed"},
        CaseEnded(4, case("t.py::a")),
    ),
    ({"event": "case", "cell": 4, **FIELDS}, CaseEnded(4, FAILED)),
    (
        {"event": "end", "cell": 4, "state": "done", "seconds": 211.3},
        CellEnded(cell=4, state=CellState.DONE, seconds=211.3),
    ),
    (
        {
            **{"event": "end", "cell": 4, "state": "kernel crashed", "seconds": 0.0},
            **{"reason": "a", "fingerprint": "b", "last": "c", "log": "d"},
        },
        CellEnded(cell=4, state=CellState.CRASHED, reason="a", fingerprint="b", last="c", log="d"),
    ),
]


@pytest.mark.parametrize(("found", "report"), REPORTS)
def test_a_line_of_json_is_a_report(found: dict[str, Any], report: Report) -> None:
    assert reports.decode_line(json.dumps(found)) == report
    if isinstance(report, PytestStarted | PytestEnded):
        assert reports.encode(report) == found


@pytest.mark.parametrize("line", ["", '{"begin": 4, "to', "7", "[]", "{}", '{"other": 1}'])
def test_a_line_that_is_no_report_is_passed_over(line: str) -> None:
    assert reports.decode_line(line) is None


MALFORMED = [
    '{"begin": "x", "tools": {}}',
    '{"begin": 4, "tools": null}',
    '{"begin": 4, "tools": {"ip": 6}}',
    '{"end": 4, "code": "0", "full": [], "said": ""}',
    '{"end": 4, "code": 0, "full": 7, "said": ""}',
    '{"end": 4, "code": 0, "full": [7], "said": ""}',
    '{"end": 4, "code": 0, "full": [], "said": null}',
    '{"collected": "many"}',
    '{"start": 7}',
    '{"start": "t", "behaviour": 7}',
    '{"start": "t", "known": 7}',
    '{"start": "t", "known": ["K1"]}',
    '{"start": "t", "known": [{}]}',
    '{"start": "t", "known": [{"id": "K1", "since": "soon"}]}',
    '{"start": "t", "known": [{"id": 7, "of": []}]}',
    '{"case": "t"}',
    '{"case": 7, "outcome": "passed"}',
    '{"case": "t", "outcome": "wonderful"}',
    '{"case": "t", "outcome": []}',
    '{"case": "t", "outcome": "passed", "seconds": "long"}',
    '{"case": "t", "outcome": "passed", "seconds": NaN}',
    '{"case": "t", "outcome": "passed", "seconds": -Infinity}',
    '{"case": "t", "outcome": "passed", "reason": {}}',
    "[" * 100_000,
    "9" * 5000,
]


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_passed_over(line: str) -> None:
    assert reports.decode_line(line) is None


def test_what_cannot_be_written_is_written_otherwise() -> None:
    line = '{"case": "t\\ud800", "outcome": "passed", "seconds": %s}' % ("9" * 400)
    found = reports.decode_line(line)
    assert isinstance(found, ScenarioEnded)
    assert found.case.nodeid == "t\\ud800"
    assert found.case.seconds == 1e9


@pytest.mark.parametrize(("found", "event"), EVENTS)
def test_an_event_goes_to_json_and_back(found: dict[str, Any], event: Event) -> None:
    assert events.encode(event) == found
    assert events.decode(json.loads(json.dumps(found))) == event


@pytest.mark.parametrize("found", [{}, {"event": "other", "cell": 1}, {"cell": 1}])
def test_what_is_no_event_is_refused(found: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wanted an event of a matrix"):
        events.decode(found)
