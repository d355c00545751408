"""This machine's own kernel as a target: what pytest does there is seen, and ended in time."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from matrix_tools import case, ends, of_kind, states, tiny

from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import Booting, CaseEnded, CaseStarted, CellBegun, Event
from vxlab.matrix.job import HERE, SYSTEM, Combination, Job
from vxlab.matrix.job_runner import run_job
from vxlab.matrix.reports import (
    PytestStarted,
    ScenarioEnded,
    ScenariosCollected,
    ScenarioStarted,
)
from vxlab.matrix.time_limits import TimeLimits
from vxlab.sandbox import boot

BACKENDS = ("script", "netlink", "iproute2", "netlink")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(boot.VARIABLE, raising=False)  # so that it makes a sandbox, as outside
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tiny(tmp_path / "project")


def job(project: Path, *backends: str, deadline: float = 60.0) -> Job:
    cells = [(n, Combination(HERE, SYSTEM, backend)) for n, backend in enumerate(backends, start=1)]
    return Job(
        kernel=HERE,
        cells=tuple(cells),
        arguments=("test_tiny.py",),
        project=str(project),
        deadline=deadline,
    )


def cases(events: list[Event], cell: int) -> dict[str, str]:
    """What each test of a cell did."""
    return {
        event.case.nodeid.partition("::")[2]: str(event.case.outcome)
        for event in of_kind(events, CaseEnded)
        if event.cell == cell
    }


def test_cells_pass_fail_die_and_hang_and_the_rest_is_run(project: Path) -> None:
    (project / "kills-script").touch()
    hanging = project / "waits-iproute2"
    hanging.touch()
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)

    # the deadline is each cell's, however long the others took
    run_job(job(project, *BACKENDS, deadline=20.0), tell, None, Cancellation(), lambda _: None)
    assert states(events) == {1: "pytest aborted", 2: "done", 3: "deadline", 4: "done"}
    found = ends(events)
    assert found[1].reason == "pytest was ended by signal 9"
    assert found[1].last == "test_tiny.py::test_kills"
    assert found[3].reason == "it had not ended 20 s after it began"
    assert found[3].last == "test_tiny.py::test_waits"
    assert found[3].seconds >= 19
    usual = dict.fromkeys(("test_passes", "test_differs", "test_waits", "test_kills"), "passed")
    assert cases(events, 2) == cases(events, 4) == usual
    assert cases(events, 3) == {"test_passes": "passed", "test_differs": "failed"}
    assert [list(event.cells) for event in of_kind(events, Booting)] == [[1, 2, 3, 4], [4]]
    first = of_kind(events, CellBegun)[0]
    assert first.release == os.uname().release
    assert set(first.tools) == {"python", "ip", "bridge"}
    assert all(first.tools.values())
    assert os.listdir(tempfile.gettempdir()) == []
    assert not [name for name in os.listdir(project) if name.startswith(".pytest_cache")]


def test_a_scenario_that_hangs_costs_no_other_one(project: Path) -> None:
    (project / "waits-netlink").touch()
    events: list[Event] = []
    given = replace(job(project, "netlink", "script", deadline=60.0), scenario=6.0)
    run_job(given, events.append, None, Cancellation(), lambda _: None)
    assert states(events) == {1: "hung", 2: "done"}
    end = ends(events)[1]
    assert end.reason == "the scenario had not ended 6 s after it began"
    assert end.last == "test_tiny.py::test_waits"
    usual = dict.fromkeys(("test_passes", "test_differs", "test_waits", "test_kills"), "passed")
    assert cases(events, 2) == usual
    assert cases(events, 1) == {**usual, "test_waits": "error"}
    assert [list(event.cells) for event in of_kind(events, Booting)] == [[1, 2], [1, 2]]


def test_the_time_between_scenarios_is_the_cell_s(project: Path) -> None:
    given = replace(job(project, "netlink", deadline=50.0), scenario=20.0, boot=30.0)
    limits = TimeLimits(given)
    assert limits.state == "deadline"
    assert limits.reason == "no cell had begun 30 s after the start"
    assert limits.after(PytestStarted(1, {})) == 50.0
    assert limits.after(ScenariosCollected(7)) is None
    assert limits.after(ScenarioStarted("t.py::test_a")) == 20.0
    assert limits.state == "hung"
    assert 45.0 < (limits.after(ScenarioEnded(case())) or 0) <= 50.0
    assert limits.state == "deadline"
    assert limits.reason == "it had not ended 50 s after it began"
    limits = TimeLimits(replace(given, deadline=10.0))
    limits.after(PytestStarted(1, {}))
    assert 5.0 < (limits.after(ScenarioStarted("t.py::test_a")) or 0) <= 10.0
    assert limits.state == "deadline"


def test_a_cancellation_ends_what_runs(project: Path) -> None:
    (project / "waits-netlink").touch()
    cancellation = Cancellation()
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseStarted) and event.nodeid == "test_tiny.py::test_waits":
            cancellation.cancel("enough")

    run_job(job(project, "netlink", "script"), tell, None, cancellation, lambda _: None)
    assert states(events) == {1: "interrupted"}
    assert ends(events)[1].reason == "enough"
    assert cases(events, 1) == {"test_passes": "passed", "test_differs": "passed"}
    assert os.listdir(tempfile.gettempdir()) == []
