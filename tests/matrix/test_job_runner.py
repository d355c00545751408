"""A job from its first cell to its last, in machines that die in every way there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from matrix_tools import (
    DEADLY,
    Machines,
    begin,
    case,
    dead,
    ends,
    good,
    job,
    of_kind,
    states,
    whole,
)

from vxlab.errors import VxlabError
from vxlab.matrix import job_runner, target_choice
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import (
    Booting,
    CaseEnded,
    CaseStarted,
    CellBegun,
    CellCollected,
    CellEnded,
    Event,
)
from vxlab.matrix.reports import OnReport, PytestEnded, ScenarioEnded
from vxlab.matrix.target import Termination
from vxlab.results import CellState

Runs = Callable[..., list[Event]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Runs:
    def run(
        machines: Machines, cancellation: Cancellation | None = None, count: int = 4
    ) -> list[Event]:
        monkeypatch.setattr(target_choice, "target_of", lambda *_: machines)
        events: list[Event] = []
        ended = cancellation or Cancellation()
        job_runner.run_job(job(count), events.append, None, ended, lambda _: None)
        assert not machines.is_open
        return events

    return run


def test_one_machine_runs_all_cells_and_all_is_told(run: Runs) -> None:
    machines = Machines(good)
    events = run(machines, count=2)
    assert machines.given == [[1, 2]]
    assert events[:6] == [
        Booting((1, 2)),
        CellBegun(cell=1, release="6.1.0-test", config="CONFIG_VXLAN=m", tools={"ip": "6.1"}),
        CellCollected(1, 2),
        CaseStarted(1, "t.py::test_a"),
        CaseEnded(1, case(seconds=0.5)),
        CellEnded(cell=1, state=CellState.DONE),
    ]
    assert states(events) == {1: "done", 2: "done"}


@pytest.mark.parametrize(
    "state",
    [CellState.MACHINE_LOST, CellState.DEADLINE, CellState.ABORTED],
)
def test_a_machine_that_dies_takes_the_cell_that_ran_and_no_other(
    run: Runs, state: CellState
) -> None:
    machines = Machines(dead(state, after=1))
    events = run(machines)
    assert machines.given == [[1, 2, 3, 4], [3, 4]]
    assert states(events) == {1: "done", 2: str(state), 3: "done", 4: "done"}
    end = ends(events)[2]
    assert (end.last, end.reason) == ("t.py::test_deadly", "BUG: in vxlan_xmit")
    assert (end.fingerprint, end.log) == ("vxlan_xmit+BUG", "the log")


@pytest.mark.parametrize("state", [CellState.CRASHED, CellState.HUNG])
def test_a_cell_whose_kernel_crashes_or_hangs_goes_on_without_the_scenario_that_did_it(
    run: Runs, state: CellState
) -> None:
    machines = Machines(dead(state, after=1))
    events = run(machines)
    assert machines.given == [[1, 2, 3, 4], [2, 3, 4]]
    assert machines.seen == [{}, {2: ["t.py::test_deadly"]}]
    assert states(events) == {1: "done", 2: str(state), 3: "done", 4: "done"}
    assert [event.cell for event in of_kind(events, CellBegun)] == [1, 2, 3, 4]
    assert [event.cell for event in of_kind(events, CellCollected)] == [1, 2, 3, 4]
    end = ends(events)[2]
    assert (end.last, end.reason) == ("t.py::test_deadly", "BUG: in vxlan_xmit")
    assert (end.fingerprint, end.log) == ("vxlan_xmit+BUG", "the log")
    crashed, after = [event.case for event in of_kind(events, CaseEnded) if event.cell == 2]
    assert crashed == case(
        "t.py::test_deadly",
        "error",
        reason=f"{state}: BUG: in vxlan_xmit",
        evidence="vxlan_xmit+BUG\nthe log",
        behaviour="it ends",
        known=DEADLY.known,
    )
    assert after == case(seconds=0.5)


def test_a_cell_whose_kernel_crashes_again_and_again_is_given_up(run: Runs) -> None:
    machines = Machines(*[dead(CellState.CRASHED, after=0)] * job_runner._CRASHES)
    events = run(machines, count=2)
    assert states(events) == {1: "kernel crashed", 2: "done"}
    assert machines.given == [[1, 2]] * job_runner._CRASHES + [[2]]
    crashes = [event for event in of_kind(events, CaseEnded) if event.cell == 1]
    assert len(crashes) == job_runner._CRASHES - 1


def test_a_kernel_that_does_not_come_up_again_after_a_crash_has_crashed(run: Runs) -> None:
    unbooted = dead(begun=False)
    events = run(Machines(dead(CellState.CRASHED, after=0), unbooted, unbooted), count=1)
    (end,) = ends(events).values()
    assert (str(end.state), end.last) == ("kernel crashed", "t.py::test_deadly")


def test_a_machine_that_dies_between_scenarios_names_none(run: Runs) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        begin(cells[0], report)
        report(ScenarioEnded(case()))
        return Termination(state=CellState.CRASHED)

    end = ends(run(Machines(machine), count=1))[1]
    assert (end.state, end.last) == (CellState.CRASHED, "")


def test_a_machine_that_ends_in_peace_before_its_cell_does_aborts_it(run: Runs) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        begin(cells[0], report)
        return Termination(state=CellState.DONE)

    end = ends(run(Machines(machine), count=2))[1]
    assert end.state is CellState.ABORTED
    assert end.reason == "the machine ended before the cell did"


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
    run: Runs, machines: list[Any], wanted: list[str], boots: int
) -> None:
    made = Machines(*machines)
    events = run(made)
    assert states(events) == dict(enumerate(wanted, start=1))
    assert len(made.given) == boots
    for end in ends(events).values():
        assert (end.reason == "BUG: in vxlan_xmit") == (end.state is not CellState.DONE)


def test_a_full_disk_ends_its_cell_and_the_rest_gets_a_new_machine(run: Runs) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        whole(cells[0], report)
        whole(cells[1], report, full=["/tmp", "/"])
        return Termination(state=CellState.DONE)

    machines = Machines(machine)
    events = run(machines)
    assert machines.given == [[1, 2, 3, 4], [3, 4]]
    assert states(events) == {1: "done", 2: "disk full", 3: "done", 4: "done"}
    assert ends(events)[2].reason == "no room is left on /tmp, /"


@pytest.mark.parametrize("code", [0, 1, 2, 5])
def test_codes_of_pytest_that_leave_a_cell_sound(run: Runs, code: int) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        whole(cells[0], report, code)
        return Termination(state=CellState.DONE)

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
    run: Runs, code: int, said: str, reason: str
) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        begin(cells[0], report, DEADLY)
        report(PytestEnded(cell=cells[0], code=code, said=said))
        whole(cells[1], report)
        return Termination(state=CellState.DONE)

    machines = Machines(machine)
    events = run(machines, count=2)
    assert machines.given == [[1, 2]]
    assert states(events) == {1: "pytest aborted", 2: "done"}
    end = ends(events)[1]
    assert (end.reason, end.last, end.log) == (reason, "t.py::test_deadly", said)


def test_a_cancellation_ends_the_cell_that_runs_and_begins_no_other(run: Runs) -> None:
    cancellation = Cancellation()

    def machine(cells: list[int], report: OnReport) -> Termination:
        whole(cells[0], report)
        begin(cells[1], report)
        cancellation.cancel("enough")
        return Termination(state=CellState.INTERRUPTED, reason=cancellation.reason)

    machines = Machines(machine)
    events = run(machines, cancellation)
    assert machines.given == [[1, 2, 3, 4]]
    assert states(events) == {1: "done", 2: "interrupted"}
    assert ends(events)[2].reason == "enough"


def test_a_cancellation_before_a_machine_is_up_ends_no_cell(run: Runs) -> None:
    cancellation = Cancellation()

    def machine(*_: Any) -> Termination:
        cancellation.cancel("enough")
        return Termination(state=CellState.INTERRUPTED, reason=cancellation.reason)

    assert states(run(Machines(machine), cancellation)) == {}


def test_a_cancellation_that_was_there_first_boots_nothing(run: Runs) -> None:
    cancellation = Cancellation()
    cancellation.cancel("enough")
    assert run(Machines(), cancellation) == []


def test_a_target_that_cannot_be_made_is_a_failed_boot_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise VxlabError("wanted a kernel, found none")

    monkeypatch.setattr(target_choice, "target_of", refuse)
    events: list[Event] = []
    job_runner.run_job(job(), events.append, None, Cancellation(), lambda _: None)
    assert states(events) == dict.fromkeys((1, 2, 3, 4), "boot failed")
    assert {end.reason for end in ends(events).values()} == {"wanted a kernel, found none"}
