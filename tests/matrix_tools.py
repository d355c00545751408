"""A project that takes no time, machines that never were, and who watches a matrix run."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vxlab.matrix.job import Job, Place
from vxlab.matrix.places import Ending
from vxlab.results import CellState

Event = dict[str, Any]

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
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (folder / "test_tiny.py").write_text(textwrap.dedent(TINY))
    return folder


def job(count: int = 4, *, kernel: str = "6.1", **fields: Any) -> Job:
    """A job with so many cells, numbered from 1."""
    cells = tuple((n, Place(kernel, f"6.{n}", "netlink")) for n in range(1, count + 1))
    given = {"arguments": ("test_tiny.py",), "project": ".", **fields}
    return Job(kernel, cells, **given)


def ends(events: Sequence[Event]) -> dict[int, Event]:
    """The end of each cell, of which each has one at most."""
    found = {event["cell"]: event for event in events if event["event"] == "end"}
    assert len(found) == sum(event["event"] == "end" for event in events)
    return found


def states(events: Sequence[Event]) -> dict[int, str]:
    """The state that each cell ended in."""
    return {cell: event["state"] for cell, event in ends(events).items()}


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.events: list[Event] = []
        self.planned: Mapping[int, Place] = {}

    def notify(self, text: str) -> None:
        self.said.append(text)

    def cells(self, cells: Mapping[int, Place]) -> None:
        self.planned = cells

    def event(self, event: Event) -> None:
        self.events.append(event)


#: What a machine does with its cells: it reports, and says how it ended.
Machine = Callable[[list[int], Callable[[Event], None]], Ending]


class Machines:
    """A place (:class:`vxlab.matrix.places.Place`) with these machines, one after another."""

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

    def run(
        self,
        cells: Sequence[tuple[int, Place]],
        report: Callable[[Event], None],
        seen: Mapping[int, Sequence[str]],
    ) -> Ending:
        assert self.is_open
        self.seen.append({cell: list(ids) for cell, ids in seen.items()})
        self.given.append([number for number, _ in cells])
        machine = self.machines.pop(0) if self.machines else good
        return machine(self.given[-1], report)


def begin(
    cell: int, report: Callable[[Event], None], *, start: str = "t.py::test_a", **facts: Any
) -> None:
    """What a cell reports until a scenario runs, which says such things of itself."""
    report({"begin": cell, "tools": {"ip": "6.1"}})
    report({"collected": 2})
    report({"start": start, **facts})


def whole(cell: int, report: Callable[[Event], None], code: int = 0, **fields: Any) -> None:
    """All that a cell with one scenario reports."""
    begin(cell, report)
    report({"case": "t.py::test_a", "outcome": "passed", "seconds": 0.5})
    report({"end": cell, "code": code, "full": [], "said": "", **fields})


def good(cells: list[int], report: Callable[[Event], None]) -> Ending:
    """A machine that runs all its cells."""
    for cell in cells:
        whole(cell, report)
    return Ending(CellState.DONE)


def dead(state: CellState = CellState.CRASHED, *, after: int = 0, begun: bool = True) -> Machine:
    """A machine that dies in the cell after so many, or before that cell begins."""

    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        for cell in cells[:after]:
            whole(cell, report)
        if begun:
            known = [{"id": "K50", "since": "", "until": "6.12", "of": "kernel"}]
            begin(cells[after], report, start="t.py::test_deadly", behaviour="it ends", known=known)
        return Ending(state, "BUG: in vxlan_xmit", "vxlan_xmit+BUG", "the log")

    return machine
