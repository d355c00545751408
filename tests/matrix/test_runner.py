"""A job from its first cell to its last, in machines that die in every way there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from matrix_tools import Event, Machines, begin, dead, ends, good, job, states, whole

from vxlab.errors import VxlabError
from vxlab.matrix import places, runner
from vxlab.matrix.places import Ending, Stop
from vxlab.results import CellState

Run = Callable[..., list[Event]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(machines: Machines, stop: Stop | None = None, count: int = 4) -> list[Event]:
        monkeypatch.setattr(places, "place_of", lambda *_: machines)
        events: list[Event] = []
        runner.run(job(count), events.append, None, stop or Stop(), lambda _: None)
        assert not machines.is_open
        return events

    return run


def test_one_machine_runs_all_cells_and_all_is_told(run: Run) -> None:
    machines = Machines(good)
    events = run(machines, count=2)
    assert machines.given == [[1, 2]]
    assert events[0] == {"event": "boot", "cells": [1, 2]}
    told: dict[str, Any] = {"release": "6.1.0-test", "config": "CONFIG_VXLAN=m"}
    assert events[1] == {"event": "begin", "cell": 1, "tools": {"ip": "6.1"}, **told}
    assert [event["event"] for event in events[2:6]] == ["collected", "start", "case", "end"]
    assert events[2]["count"] == 2
    assert events[3]["nodeid"] == "t.py::test_a"
    assert (events[4]["case"], events[4]["outcome"]) == ("t.py::test_a", "passed")
    assert events[5] == {"event": "end", "cell": 1, "state": "done", "seconds": 0.0}
    assert states(events) == {1: "done", 2: "done"}


@pytest.mark.parametrize(
    "state",
    [CellState.MACHINE_LOST, CellState.DEADLINE, CellState.ABORTED],
)
def test_a_machine_that_dies_takes_the_cell_that_ran_and_no_other(
    run: Run, state: CellState
) -> None:
    machines = Machines(dead(state, after=1))
    events = run(machines)
    assert machines.given == [[1, 2, 3, 4], [3, 4]]
    assert states(events) == {1: "done", 2: str(state), 3: "done", 4: "done"}
    end = ends(events)[2]
    assert (end["last"], end["reason"]) == ("t.py::test_deadly", "BUG: in vxlan_xmit")
    assert (end["fingerprint"], end["log"]) == ("vxlan_xmit+BUG", "the log")


@pytest.mark.parametrize("state", [CellState.CRASHED, CellState.HUNG])
def test_a_cell_whose_kernel_crashes_or_hangs_goes_on_without_the_scenario_that_did_it(
    run: Run, state: CellState
) -> None:
    machines = Machines(dead(state, after=1))
    events = run(machines)
    assert machines.given == [[1, 2, 3, 4], [2, 3, 4]]
    assert machines.seen == [{}, {2: ["t.py::test_deadly"]}]
    assert states(events) == {1: "done", 2: str(state), 3: "done", 4: "done"}
    assert [event["cell"] for event in events if event["event"] == "begin"] == [1, 2, 3, 4]
    assert [event["cell"] for event in events if event["event"] == "collected"] == [1, 2, 3, 4]
    end = ends(events)[2]
    assert (end["last"], end["reason"]) == ("t.py::test_deadly", "BUG: in vxlan_xmit")
    assert (end["fingerprint"], end["log"]) == ("vxlan_xmit+BUG", "the log")
    crashed, after = [e for e in events if e["event"] == "case" and e["cell"] == 2]
    assert (crashed["case"], crashed["outcome"]) == ("t.py::test_deadly", "error")
    assert crashed["reason"] == f"{state}: BUG: in vxlan_xmit"
    assert crashed["evidence"] == "vxlan_xmit+BUG\nthe log"
    assert (crashed["behaviour"], crashed["known"][0]["id"]) == ("it ends", "K50")
    assert (after["case"], after["outcome"]) == ("t.py::test_a", "passed")


def test_a_cell_whose_kernel_crashes_again_and_again_is_given_up(run: Run) -> None:
    machines = Machines(*[dead(CellState.CRASHED, after=0)] * runner._CRASHES)
    events = run(machines, count=2)
    assert states(events) == {1: "kernel crashed", 2: "done"}
    assert machines.given == [[1, 2]] * runner._CRASHES + [[2]]
    crashes = [e for e in events if e["event"] == "case" and e["cell"] == 1]
    assert len(crashes) == runner._CRASHES - 1


def test_a_kernel_that_does_not_come_up_again_after_a_crash_has_crashed(run: Run) -> None:
    unbooted = dead(begun=False)
    events = run(Machines(dead(CellState.CRASHED, after=0), unbooted, unbooted), count=1)
    (end,) = ends(events).values()
    assert (end["state"], end["last"]) == ("kernel crashed", "t.py::test_deadly")


def test_a_machine_that_dies_between_scenarios_names_none(run: Run) -> None:
    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        begin(cells[0], report)
        report({"case": "t.py::test_a", "outcome": "passed"})
        return Ending(CellState.CRASHED)

    end = ends(run(Machines(machine), count=1))[1]
    assert end["state"] == "kernel crashed"
    assert "last" not in end


def test_a_machine_that_ends_in_peace_before_its_cell_does_aborts_it(run: Run) -> None:
    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        begin(cells[0], report)
        return Ending(CellState.DONE)

    end = ends(run(Machines(machine), count=2))[1]
    assert end["state"] == "pytest aborted"
    assert end["reason"] == "the machine ended before the cell did"


@pytest.mark.parametrize(
    ("machines", "wanted", "boots"),
    [
        ([dead(begun=False)], ["boot failed", "done", "done", "done"], 2),
        ([dead(begun=False)] * 2, ["boot failed"] * 4, 2),
        # two that are not in a row condemn nothing
        (
            [dead(begun=False), dead(CellState.MACHINE_LOST), dead(begun=False)],
            ["boot failed", "machine lost", "boot failed", "done"],
            4,
        ),
        (
            [dead(CellState.MACHINE_LOST, after=2), dead(begun=False)],
            ["done", "done", "machine lost", "boot failed"],
            2,
        ),
        (
            [dead(CellState.MACHINE_LOST, begun=False)],
            ["machine lost", "done", "done", "done"],
            2,
        ),
        ([dead(CellState.ABORTED, begun=False)] * 2, ["pytest aborted"] * 4, 2),
        ([dead(CellState.DEADLINE, begun=False)] * 2, ["boot failed"] * 4, 2),
    ],
)
def test_two_machines_in_a_row_that_do_not_come_up_are_enough(
    run: Run, machines: list[Any], wanted: list[str], boots: int
) -> None:
    made = Machines(*machines)
    events = run(made)
    assert states(events) == dict(enumerate(wanted, start=1))
    assert len(made.given) == boots
    for end in ends(events).values():
        assert (end.get("reason") == "BUG: in vxlan_xmit") == (end["state"] != "done")


def test_a_full_disk_ends_its_cell_and_the_rest_gets_a_new_machine(run: Run) -> None:
    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        whole(cells[0], report)
        whole(cells[1], report, full=["/tmp", "/"])
        return Ending(CellState.DONE)

    machines = Machines(machine)
    events = run(machines)
    assert machines.given == [[1, 2, 3, 4], [3, 4]]
    assert states(events) == {1: "done", 2: "disk full", 3: "done", 4: "done"}
    assert ends(events)[2]["reason"] == "no room is left on /tmp, /"


@pytest.mark.parametrize("code", [0, 1, 2, 5])
def test_codes_of_pytest_that_leave_a_cell_sound(run: Run, code: int) -> None:
    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        whole(cells[0], report, code)
        return Ending(CellState.DONE)

    assert states(run(Machines(machine), count=1)) == {1: "done"}


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (137, "no word", "pytest was ended by signal 9"),
        (3, "", "pytest ended with 3, an internal error"),
        (
            4,
            "python: error: no option --x\n  inifile: None\n",
            "pytest ended with 4, a wrong command line: python: error: no option --x",
        ),
        (70, "OSError: x\n", "pytest ended with 70"),
        (2, "1 passed\n", "pytest ended with 2 within a test"),
    ],
)
def test_codes_of_pytest_that_abort_a_cell_and_leave_the_machine(
    run: Run, code: int, said: str, reason: str
) -> None:
    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        begin(cells[0], report, start="t.py::test_deadly")
        report({"end": cells[0], "code": code, "full": [], "said": said})
        whole(cells[1], report)
        return Ending(CellState.DONE)

    machines = Machines(machine)
    events = run(machines, count=2)
    assert machines.given == [[1, 2]]
    assert states(events) == {1: "pytest aborted", 2: "done"}
    assert (ends(events)[1]["reason"], ends(events)[1]["last"]) == (reason, "t.py::test_deadly")
    assert ends(events)[1].get("log", "") == said


def test_a_stop_ends_the_cell_that_runs_and_begins_no_other(run: Run) -> None:
    stop = Stop()

    def machine(cells: list[int], report: Callable[[Event], None]) -> Ending:
        whole(cells[0], report)
        begin(cells[1], report)
        stop.set("enough")
        return Ending(CellState.INTERRUPTED, stop.why)

    machines = Machines(machine)
    events = run(machines, stop)
    assert machines.given == [[1, 2, 3, 4]]
    assert states(events) == {1: "done", 2: "interrupted"}
    assert ends(events)[2]["reason"] == "enough"


def test_a_stop_before_a_machine_is_up_ends_no_cell(run: Run) -> None:
    stop = Stop()

    def machine(*_: Any) -> Ending:
        stop.set("enough")
        return Ending(CellState.INTERRUPTED, stop.why)

    assert states(run(Machines(machine), stop)) == {}


def test_a_stop_that_was_there_first_boots_nothing(run: Run) -> None:
    stop = Stop()
    stop.set("enough")
    assert run(Machines(), stop) == []


def test_a_place_that_cannot_be_made_is_a_failed_boot_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise VxlabError("wanted a kernel, found none")

    monkeypatch.setattr(places, "place_of", refuse)
    events: list[Event] = []
    runner.run(job(), events.append, None, Stop(), lambda _: None)
    assert states(events) == dict.fromkeys((1, 2, 3, 4), "boot failed")
    assert {end["reason"] for end in ends(events).values()} == {"wanted a kernel, found none"}
