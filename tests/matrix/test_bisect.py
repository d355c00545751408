"""One kernel, one answer: what is good, what is bad, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest
from matrix_tools import case as a_case
from matrix_tools import tiny

from vxlab.matrix.bisect import Verdict, ask, judge
from vxlab.matrix.events import CaseEnded, CellBegun, CellEnded, Event
from vxlab.results import CellState
from vxlab.sandbox import boot

GOOD, BAD, UNKNOWN = Verdict


def case(outcome: str, nodeid: str = "t.py::test_a", **fields: str) -> CaseEnded:
    return CaseEnded(0, a_case(nodeid, outcome, **fields))


def end(state: str = "done", **fields: str) -> CellEnded:
    return CellEnded(cell=0, state=CellState(state), seconds=1.0, **fields)


BEGUN = CellBegun(cell=0, tools={})
UNREAD = case("error", "t.py", reason="SyntaxError", evidence="line 7")


@pytest.mark.parametrize(
    ("events", "verdict", "why"),
    [
        ([case("passed"), case("passed"), end()], GOOD, "2 passed"),
        ([case("xfailed"), case("skipped"), end()], GOOD, "1 xfailed, 1 skipped"),
        ([case("xpassed"), end()], GOOD, "1 xpassed"),
        ([BEGUN, case("failed"), BEGUN, case("passed"), end()], GOOD, "1 passed"),
        (
            [case("passed"), case("failed", reason="no answer\nmore"), end()],
            BAD,
            "1 passed, 1 failed: t.py::test_a: no answer",
        ),
        ([case("error", reason="no lab"), end()], BAD, "1 error: t.py::test_a: no lab"),
        ([case("failed"), end("kernel crashed", last="t.py::b")], BAD, "1 failed: t.py::test_a: "),
        ([UNREAD, end()], UNKNOWN, "t.py could not be collected: SyntaxError"),
        ([UNREAD, case("failed", reason="x"), end()], BAD, "1 error, 1 failed: t.py::test_a: x"),
        (
            [end("kernel crashed", last="t.py::b", reason="BUG", log="oops")],
            BAD,
            "kernel crashed while t.py::b ran: BUG",
        ),
        ([end("deadline", last="t.py::b")], BAD, "deadline while t.py::b ran: "),
        ([end("hung", last="t.py::b")], BAD, "hung while t.py::b ran: "),
        ([end("kernel crashed", reason="BUG")], UNKNOWN, "kernel crashed: BUG"),
        ([end("deadline", reason="late")], UNKNOWN, "deadline: late"),
        ([end("boot failed", reason="no root")], UNKNOWN, "boot failed: no root"),
        ([end("disk full", last="t.py::b")], UNKNOWN, "disk full while t.py::b ran: "),
        ([end("machine lost", last="t.py::b")], UNKNOWN, "machine lost while t.py::b ran: "),
        ([case("passed"), end("pytest aborted", reason="4")], UNKNOWN, "pytest aborted: 4"),
        (
            [case("skipped", reason="needs vrf"), case("skipped", reason="needs vrf"), end()],
            UNKNOWN,
            "2 skipped: needs vrf",
        ),
        ([end()], UNKNOWN, "no scenario ran"),
    ],
)
def test_what_events_mean(events: list[Event], verdict: Verdict, why: str) -> None:
    answer = judge(events)
    assert (answer.verdict, answer.why) == (verdict, why)


def test_evidence_is_of_what_failed_or_the_log() -> None:
    failed = case("failed", evidence="what was seen")
    assert judge([case("passed"), failed, end()]).evidence == ["t.py::test_a\nwhat was seen"]
    assert judge([UNREAD, failed, end()]).evidence == ["t.py::test_a\nwhat was seen"]
    assert judge([UNREAD, end()]).evidence == ["line 7"]
    assert judge([end("kernel crashed", log="oops")]).evidence == ["oops"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(boot.VARIABLE, raising=False)
    folder = tiny(tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def test_the_kernel_that_runs_is_asked(project: Path) -> None:
    told: list[Event] = []
    answer = ask(
        "here",
        ["test_tiny.py", "-k", "differs or passes"],
        backend="iproute2",
        notify=print,
        on_event=told.append,
    )
    assert answer.verdict is BAD
    assert answer.why.startswith("1 passed, 1 failed: test_tiny.py::test_differs: ")
    assert "it differs" in answer.evidence[0]
    assert isinstance(told[-1], CellEnded)
