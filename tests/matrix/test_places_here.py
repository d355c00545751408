"""This machine's own kernel as a place: what pytest does there is seen, and ended in time."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from matrix_tools import Event, ends, states, tiny

from vxlab.matrix import places, runner
from vxlab.matrix.job import HERE, SYSTEM, Job, Place
from vxlab.matrix.places import Stop
from vxlab.sandbox import boot

BACKENDS = ("script", "netlink", "iproute2", "netlink")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(boot.VARIABLE, raising=False)  # so that it makes a sandbox, as outside
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tiny(tmp_path / "project")


def job(project: Path, *backends: str, deadline: float = 60.0) -> Job:
    cells = [(n, Place(HERE, SYSTEM, backend)) for n, backend in enumerate(backends, start=1)]
    return Job(HERE, tuple(cells), ("test_tiny.py",), str(project), deadline)


def cases(events: list[Event], cell: int) -> dict[str, str]:
    """What each test of a cell did."""
    return {
        event["case"].partition("::")[2]: event["outcome"]
        for event in events
        if event["event"] == "case" and event["cell"] == cell
    }


def test_cells_pass_fail_die_and_hang_and_the_rest_is_run(project: Path) -> None:
    (project / "kills-script").touch()
    hanging = project / "waits-iproute2"
    hanging.touch()
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)

    # the deadline is each cell's, however long the others took
    runner.run(job(project, *BACKENDS, deadline=20.0), tell, None, Stop(), lambda _: None)
    assert states(events) == {1: "pytest aborted", 2: "done", 3: "deadline", 4: "done"}
    found = ends(events)
    assert found[1]["reason"] == "pytest was ended by signal 9"
    assert found[1]["last"] == "test_tiny.py::test_kills"
    assert found[3]["reason"] == "it had not ended 20 s after it began"
    assert found[3]["last"] == "test_tiny.py::test_waits"
    assert found[3]["seconds"] >= 19
    usual = dict.fromkeys(("test_passes", "test_differs", "test_waits", "test_kills"), "passed")
    assert cases(events, 2) == cases(events, 4) == usual
    assert cases(events, 3) == {"test_passes": "passed", "test_differs": "failed"}
    assert [event["cells"] for event in events if event["event"] == "boot"] == [[1, 2, 3, 4], [4]]
    (first, *_) = [event for event in events if event["event"] == "begin"]
    assert first["release"] == os.uname().release
    assert set(first["tools"]) == {"python", "ip", "bridge"}
    assert all(first["tools"].values())
    assert os.listdir(tempfile.gettempdir()) == []
    assert not [name for name in os.listdir(project) if name.startswith(".pytest_cache")]


def test_a_scenario_that_hangs_costs_no_other_one(project: Path) -> None:
    (project / "waits-netlink").touch()
    events: list[Event] = []
    given = replace(job(project, "netlink", "script", deadline=60.0), scenario=6.0)
    runner.run(given, events.append, None, Stop(), lambda _: None)
    assert states(events) == {1: "hung", 2: "done"}
    end = ends(events)[1]
    assert end["reason"] == "the scenario had not ended 6 s after it began"
    assert end["last"] == "test_tiny.py::test_waits"
    usual = dict.fromkeys(("test_passes", "test_differs", "test_waits", "test_kills"), "passed")
    assert cases(events, 2) == usual
    assert cases(events, 1) == {**usual, "test_waits": "error"}
    assert [event["cells"] for event in events if event["event"] == "boot"] == [[1, 2], [1, 2]]


def test_the_time_between_scenarios_is_the_cell_s(project: Path) -> None:
    given = replace(job(project, "netlink", deadline=50.0), scenario=20.0, boot=30.0)
    patience = places._Patience(given)
    assert patience.state == "deadline"
    assert patience.reason == "no cell had begun 30 s after the start"
    assert patience.after({"begin": 1}) == 50.0
    assert patience.after({"collected": 7}) is None
    assert patience.after({"start": "t.py::test_a"}) == 20.0
    assert patience.state == "hung"
    assert 45.0 < (patience.after({"case": "t.py::test_a"}) or 0) <= 50.0
    assert patience.state == "deadline"
    assert patience.reason == "it had not ended 50 s after it began"
    patience = places._Patience(replace(given, deadline=10.0))
    patience.after({"begin": 1})
    assert 5.0 < (patience.after({"start": "t.py::test_a"}) or 0) <= 10.0
    assert patience.state == "deadline"


def test_a_stop_ends_what_runs(project: Path) -> None:
    (project / "waits-netlink").touch()
    stop = Stop()
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if event.get("nodeid") == "test_tiny.py::test_waits":
            stop.set("enough")

    runner.run(job(project, "netlink", "script"), tell, None, stop, lambda _: None)
    assert states(events) == {1: "interrupted"}
    assert ends(events)[1]["reason"] == "enough"
    assert cases(events, 1) == {"test_passes": "passed", "test_differs": "passed"}
    assert os.listdir(tempfile.gettempdir()) == []
