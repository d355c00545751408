"""What a person sees of a running matrix, on a terminal and in a file."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from matrix_tools import case as a_case
from rich.console import Console

from vxlab.matrix.events import (
    Booting,
    CaseEnded,
    CaseStarted,
    CellBegun,
    CellCollected,
    CellEnded,
)
from vxlab.matrix.job import Combination
from vxlab.matrix.progress import ProgressDisplay, clock
from vxlab.results import CellState

CELLS = {1: Combination("6.1", "system", "netlink"), 2: Combination("6.12", "system", "netlink")}


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("vxlab.matrix.progress.time", found)
    return found


def shown(terminal: bool) -> tuple[ProgressDisplay, StringIO]:
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=150, highlight=False)
    return ProgressDisplay(console), out


def begin(progress: ProgressDisplay, cell: int, count: int = 10) -> None:
    progress.event(CellBegun(cell=cell, tools={}))
    progress.event(CellCollected(cell, count))


def case(progress: ProgressDisplay, cell: int, outcome: str, nodeid: str = "t.py::test_a") -> None:
    progress.event(CaseStarted(cell, nodeid))
    progress.event(CaseEnded(cell, a_case(nodeid, outcome)))


def end(progress: ProgressDisplay, cell: int, **fields: Any) -> None:
    given = {"state": CellState.DONE, "seconds": 125.0, **fields}
    progress.event(CellEnded(cell=cell, **given))


def test_a_file_gets_plain_lines(time: Clock) -> None:
    progress, out = shown(terminal=False)
    with progress:
        progress.notify("packing")
        progress.cells(CELLS)
        progress.event(Booting((1,)))
        begin(progress, 1)
        for outcome in ("passed", "passed", "failed", "error", "skipped"):
            case(progress, 1, outcome, "t.py::test_a[/tmp]")
        time.now += 60
        end(progress, 1)
        progress.event(Booting((2,)))
        end(progress, 2, state=CellState.BOOT_FAILED, seconds=0.0, reason="disk")
    assert out.getvalue().splitlines() == [
        "matrix: packing",
        "matrix: 2 cells",
        "matrix: starting 6.1 for 1 cell",
        "  6.1 / system / netlink: t.py::test_a[/tmp] failed",
        "  6.1 / system / netlink: t.py::test_a[/tmp] error",
        "  6.1 / system / netlink      2 passed,   2 failed,   1 skipped  2 min 5 s",
        # 5 scenarios a minute, and the other cell is taken to have 10 as well
        "  1 of 2 cells, 1 min 0 s, about 2 min 0 s left",
        "matrix: starting 6.12 for 1 cell",
        "  6.12 / system / netlink     0 passed,   0 failed,   0 skipped  0 s  boot failed: disk",
        "  2 of 2 cells, 1 min 0 s",
    ]


def test_a_file_gets_a_line_a_minute(time: Clock) -> None:
    progress, out = shown(terminal=False)
    with progress:
        progress.cells(CELLS)
        begin(progress, 1, count=8)
        for _ in range(6):
            time.now += 25
            case(progress, 1, "passed")
    _, *lines = out.getvalue().splitlines()
    assert lines == [
        "  2 of 16 scenarios, 0 of 2 cells, 1 min 15 s, about 8 min 45 s left",
        "  5 of 16 scenarios, 0 of 2 cells, 2 min 30 s, about 5 min 30 s left",
    ]


def test_a_terminal_needs_no_such_lines(time: Clock) -> None:
    progress, out = shown(terminal=True)
    with progress:
        progress.cells(CELLS)
        begin(progress, 1)
        time.now += 1000
        case(progress, 1, "passed")
    assert "scenarios" not in out.getvalue()


def test_a_cell_that_died_says_what_ran() -> None:
    progress, out = shown(terminal=False)
    with progress:
        progress.cells(CELLS)
        begin(progress, 1)
        end(progress, 1, state=CellState.CRASHED, reason="BUG", last="t.py::test_a[/x]")
    assert "2 min 5 s  kernel crashed: BUG (while t.py::test_a[/x] ran)\n" in out.getvalue()


def test_a_terminal_gets_a_bar_for_each_cell_and_one_for_all() -> None:
    progress, out = shown(terminal=True)
    with progress:
        progress.cells(CELLS)
        begin(progress, 1)
        case(progress, 1, "failed", "t.py::test_a[/tmp]")
        progress.event(CaseStarted(1, "t.py::test_b[ipv4]"))
        progress._bars.refresh()
        text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue())
        last = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()][-2:]
        end(progress, 1)
        remaining = [task.description.strip() for task in progress._bars.tasks]
    assert re.fullmatch(r"  all +\S+ +1/20 +0 of 2 cells, 0 s, about \d+ s left", last[0])
    wanted = r"  6.1 / system / netlink +\S+ +1/10 +1 failed  test_b\[ipv4\]"
    assert re.fullmatch(wanted, last[1])
    assert remaining == ["all"]
    assert "0 passed,   1 failed,   0 skipped  2 min 5 s" in out.getvalue()


def test_a_cell_that_begins_again_begins_at_nothing() -> None:
    progress, out = shown(terminal=True)
    with progress:
        progress.cells(CELLS)
        for _ in range(2):
            begin(progress, 1)
            case(progress, 1, "passed")
            begin(progress, 1)
        assert len(progress._bars.tasks) == 2
        case(progress, 1, "passed")
        end(progress, 1)
        begin(progress, 1)
        assert "0 of 2 cells" in progress._left()
        case(progress, 1, "skipped")
        end(progress, 1)
    assert out.getvalue().count("1 passed,   0 failed,   0 skipped") == 1
    assert out.getvalue().count("0 passed,   0 failed,   1 skipped") == 1


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s")]
)
def test_times_are_for_people(seconds: float, said: str) -> None:
    assert clock(seconds) == said
