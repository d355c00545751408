"""A project that takes no time, machines that never were, and who watches a matrix run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vxlab.matrix.events import CellEnded, Event
from vxlab.matrix.job import Cells, Combination, Job
from vxlab.matrix.reports import (
    OnReport,
    PytestEnded,
    PytestStarted,
    ScenarioEnded,
    ScenariosCollected,
    ScenarioStarted,
)
from vxlab.matrix.target import Seen, Termination
from vxlab.results import Case, CellState, KnownDifference, Outcome

#: What each scenario of the tiny project does depends on the backend that it is run by.
TINY = """
    import os, pathlib, signal, pytest
    from vxlab.system.waiting import wait_until

    @pytest.fixture
    def backend(request):
        return request.config.getoption("vxlab_backend")

    def test_passes():
        pass

    def test_differs(backend):
        assert backend != "iproute2", "it differs"

    def test_waits(backend):
        flag = pathlib.Path(__file__).with_name(f"waits-{backend}")
        wait_until(lambda: not flag.exists(), "the end of a file", timeout=300)

    def test_kills(backend):
        if pathlib.Path(__file__).with_name(f"kills-{backend}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
"""


def tiny(folder: Path) -> Path:
    """Make the tiny project; while a file ``waits-BACKEND`` is there it hangs, by a
    file ``kills-BACKEND`` it dies.
    """
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:randomly\n")
    (folder / "test_tiny.py").write_text(textwrap.dedent(TINY))
    return folder


def job(count: int = 4, *, kernel: str = "6.1", **fields: Any) -> Job:
    """A job with so many cells, numbered from 1."""
    cells = tuple((n, Combination(kernel, f"6.{n}", "netlink")) for n in range(1, count + 1))
    given = {"arguments": ("test_tiny.py",), "project": ".", **fields}
    return Job(kernel=kernel, cells=cells, **given)


def of_kind(events: Sequence[Event], kind: type[Event]) -> list[Any]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def ends(events: Sequence[Event]) -> dict[int, CellEnded]:
    """The end of each cell, of which each has one at most."""
    found = {event.cell: event for event in events if isinstance(event, CellEnded)}
    assert len(found) == len(of_kind(events, CellEnded))
    return found


def states(events: Sequence[Event]) -> dict[int, str]:
    """The state that each cell ended in."""
    return {cell: str(event.state) for cell, event in ends(events).items()}


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.events: list[Event] = []
        self.planned: Mapping[int, Combination] = {}

    def notify(self, text: str) -> None:
        self.said.append(text)

    def cells(self, cells: Mapping[int, Combination]) -> None:
        self.planned = cells

    def event(self, event: Event) -> None:
        self.events.append(event)


#: What a machine does with its cells: it reports, and says how it ended.
Machine = Callable[[list[int], OnReport], Termination]


class Machines:
    """A target (:class:`vxlab.matrix.target.Target`) with these machines, one after another."""

    release, config = "6.1.0-test", "CONFIG_VXLAN=m"

    def __init__(self, *machines: Machine) -> None:
        self.machines = list(machines)
        self.given: list[list[int]] = []
        self.seen: list[dict[int, list[str]]] = []
        self.is_open = False

    def __enter__(self) -> Machines:
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def run(self, cells: Cells, on_report: OnReport, seen: Seen) -> Termination:
        assert self.is_open
        self.seen.append({cell: list(ids) for cell, ids in seen.items()})
        self.given.append([number for number, _ in cells])
        machine = self.machines.pop(0) if self.machines else good
        return machine(self.given[-1], on_report)


def case(nodeid: str = "t.py::test_a", outcome: str = "passed", **fields: Any) -> Case:
    """A case with that outcome; the rest as it is by default."""
    return Case(nodeid=nodeid, outcome=Outcome(outcome), **fields)


def begin(cell: int, report: OnReport, started: ScenarioStarted | None = None) -> None:
    """What a cell reports until a scenario runs."""
    report(PytestStarted(cell, {"ip": "6.1"}))
    report(ScenariosCollected(2))
    report(started or ScenarioStarted("t.py::test_a"))


def whole(cell: int, report: OnReport, code: int = 0, full: Sequence[str] = ()) -> None:
    """All that a cell with one scenario reports."""
    begin(cell, report)
    report(ScenarioEnded(case(seconds=0.5)))
    report(PytestEnded(cell=cell, code=code, full=tuple(full)))


def good(cells: list[int], report: OnReport) -> Termination:
    """A machine that runs all its cells."""
    for cell in cells:
        whole(cell, report)
    return Termination(state=CellState.DONE)


#: What the scenario says of itself that ends a machine.
DEADLY = ScenarioStarted("t.py::test_deadly", "it ends", (KnownDifference("K50", until="6.12"),))


def dead(state: CellState = CellState.CRASHED, *, after: int = 0, begun: bool = True) -> Machine:
    """A machine that dies in the cell after so many, or before that cell begins."""

    def machine(cells: list[int], report: OnReport) -> Termination:
        for cell in cells[:after]:
            whole(cell, report)
        if begun:
            begin(cells[after], report, DEADLY)
        return Termination(
            state=state,
            reason="BUG: in vxlan_xmit",
            fingerprint="vxlan_xmit+BUG",
            log="the log",
        )

    return machine
