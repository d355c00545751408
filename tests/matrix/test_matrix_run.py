"""A whole run into a results file: what goes on after an interruption, deadlines, JUnit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matrix_tools import Machines, Watcher, begin, dead, good, of_kind, whole
from matrix_tools import case as a_case

from vxlab.errors import VxlabError
from vxlab.matrix import target_choice
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import CellEnded
from vxlab.matrix.executors import LocalThreads, machines_that_fit
from vxlab.matrix.job import Combination, Job
from vxlab.matrix.reports import OnReport, PytestEnded, PytestStarted, ScenarioEnded
from vxlab.matrix.run import Summary, run_matrix
from vxlab.matrix.selection import Selection, begin_run, resume_run
from vxlab.matrix.target import Termination
from vxlab.results import CellState, KnownDifference, Outcome, Results

SELECTION = Selection(
    kernels=["here"],
    iproute2=["system", "own/build"],
    backends=["netlink", "script"],
    arguments=["t.py"],
    deadline=9.0,
    scenario=5.0,
    memory=300,
)


class Fake:
    """Runs of a table in machines that never were."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.path = folder / "results.sqlite"
        self.watcher = Watcher()
        self.machines = Machines()
        self.jobs: list[Job] = []
        monkeypatch.setattr(target_choice, "target_of", self.target_of)

    def target_of(
        self, job: Job, archive: Path | None, cancellation: Cancellation, notify: object
    ) -> Machines:
        assert archive is None
        self.jobs.append(job)
        self.cancellation = cancellation
        return self.machines

    def __call__(self, *machines: object, resume: bool = False, **options: object) -> Summary:
        self.machines = Machines(*machines)
        self.watcher = Watcher()
        self.jobs.clear()
        with Results.open(self.path, create=True) as results:
            if resume:
                number, selection = resume_run(results)
                assert selection == SELECTION
            else:
                number, selection = begin_run(results, SELECTION), SELECTION
            return run_matrix(
                results,
                number,
                selection,
                project=self.folder,
                watcher=self.watcher,
                execute=LocalThreads(1),
                **options,
            )

    def states(self) -> list[str]:
        with Results.open(self.path) as results:
            return [str(cell.state) for cell in results.cells(results.latest_run().id)]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


def test_all_that_is_told_is_in_the_results_file(fake: Fake) -> None:
    summary = fake(dead(after=1))
    assert fake.machines.given == [[1, 2, 3, 4], [2, 3, 4]]
    assert list(fake.watcher.planned.values())[:2] == [
        Combination("here", "system", "netlink"),
        Combination("here", "system", "script"),
    ]
    (job,) = fake.jobs
    assert (job.arguments, job.memory) == (("t.py",), 300)
    assert (job.deadline, job.scenario) == (9.0, 5.0)
    assert job.project == str(fake.folder)
    assert len(of_kind(fake.watcher.events, CellEnded)) == 4
    assert not summary.is_good
    assert summary.outcomes == {Outcome.PASSED: 4, Outcome.ERROR: 1}
    assert summary.states[Combination("here", "system", "script")] is CellState.CRASHED
    with Results.open(fake.path) as results:
        stored = results.latest_run()
        assert stored.ended
        assert stored.selection["kernels"] == ["here"]
        assert "processors" in stored.host
        done, died, *_ = results.cells(stored.id)
        (case,) = results.cases(done.id)
        assert (case.nodeid, case.outcome, case.seconds) == ("t.py::test_a", "passed", 0.5)
        assert (done.release, done.tools, done.config) == (
            "6.1.0-test",
            {"ip": "6.1"},
            "CONFIG_VXLAN=m",
        )
        assert (died.state, died.last) == (CellState.CRASHED, "t.py::test_deadly")
        assert (died.reason, died.fingerprint) == ("BUG: in vxlan_xmit", "vxlan_xmit+BUG")


def interrupted(fake: Fake) -> Callable[..., Termination]:
    """A machine that is interrupted in its second cell, as by Ctrl-C."""

    def machine(cells: list[int], report: OnReport) -> Termination:
        whole(cells[0], report)
        begin(cells[1], report)
        fake.cancellation.cancel("interrupted")
        return Termination(state=CellState.INTERRUPTED, reason="interrupted")

    return machine


def test_a_run_goes_on_with_exactly_what_is_unfinished(fake: Fake) -> None:
    summary = fake(interrupted(fake))
    assert fake.states() == ["done", "interrupted", "planned", "planned"]
    assert (summary.stopped, summary.is_good) == ("interrupted", False)
    with Results.open(fake.path) as results:
        assert not results.run(1).ended
    summary = fake(resume=True)
    assert fake.machines.given == [[2, 3, 4]]
    assert fake.states() == ["done"] * 4
    assert summary.is_good
    assert len(summary.states) == 4
    with Results.open(fake.path) as results:
        assert [each.id for each in results.runs()] == [1]
        assert results.run(1).ended
        assert [len(results.cases(cell)) for cell in (1, 2, 3, 4)] == [1, 1, 1, 1]
    with pytest.raises(VxlabError, match="wanted a run that was interrupted, found run 1 complete"):
        fake(resume=True)


def test_a_run_s_deadline_stops_what_runs(fake: Fake) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        begin(cells[0], report)
        ended = threading.Event()
        with fake.cancellation.calls(ended.set):
            assert ended.wait(30)
        return Termination(state=CellState.INTERRUPTED, reason=fake.cancellation.reason)

    summary = fake(machine, deadline=2.0)
    assert summary.stopped == "the run's deadline of 2 s"
    assert fake.states() == ["interrupted", "planned", "planned", "planned"]
    with Results.open(fake.path) as results:
        assert results.cell(1).reason == "the run's deadline of 2 s"


def test_each_cell_that_ended_has_a_junit_file(fake: Fake) -> None:
    fake(dead(after=1), junit=fake.folder / "deep" / "junit")
    found = {path.name: path for path in (fake.folder / "deep" / "junit").iterdir()}
    assert set(found) == {
        f"here-{iproute2}-{backend}.xml"
        for iproute2 in ("system", "own_build")
        for backend in ("netlink", "script")
    }
    (suite,) = ElementTree.parse(found["here-system-script.xml"]).getroot()
    assert suite.get("errors") == "1"
    (suite,) = ElementTree.parse(found["here-own_build-script.xml"]).getroot()
    assert (suite.get("tests"), suite.get("errors")) == ("1", "0")


def test_a_junit_file_that_cannot_be_written_is_named(fake: Fake) -> None:
    blocked = fake.folder / "junit" / "here-system-netlink.xml"
    blocked.mkdir(parents=True)
    with pytest.raises(VxlabError, match=f"wanted to write {blocked}, found: Is a directory"):
        fake(junit=blocked.parent)


@pytest.mark.parametrize(
    ("outcome", "known", "is_good", "unexpected"),
    [
        ("failed", None, False, 1),
        ("error", None, False, 1),
        ("skipped", None, True, 0),
        ("failed", KnownDifference("K1", since="6.1"), True, 0),
        ("failed", KnownDifference("K1", until="6.1"), False, 1),
        ("failed", KnownDifference("I1", of="iproute2", until="6.2"), True, 0),
    ],
)
def test_a_run_is_good_where_nothing_failed_that_no_finding_explains(
    fake: Fake, outcome: str, known: KnownDifference | None, is_good: bool, unexpected: int
) -> None:
    def machine(cells: list[int], report: OnReport) -> Termination:
        report(PytestStarted(cells[0], {"ip": "6.1"}))
        found = a_case("t.py::test_x", outcome, known=(known,) if known else ())
        report(ScenarioEnded(found))
        report(PytestEnded(cell=cells[0], code=1))
        return good(cells[1:], report)

    summary = fake(machine)
    assert (summary.is_good, summary.unexpected) == (is_good, unexpected)


def test_what_ends_a_run_ends_its_other_jobs_first(fake: Fake) -> None:
    """An error of one job, such as of the results file, stops the others."""

    def failing(cells: Sequence[int], report: OnReport) -> Termination:
        raise VxlabError("no room")

    with pytest.raises(VxlabError, match="no room"):
        fake(failing, at_most=1)
    assert fake.cancellation.reason == "interrupted"
    assert fake.states()[0] == "planned"
    assert "running" not in fake.states()
    assert fake.machines.given[0] == [1]


def test_machines_fit_where_memory_and_processors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert machines_that_fit(10**9) == 1
    many = machines_that_fit(64)
    assert many >= machines_that_fit(512) >= 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert machines_that_fit(1) == 2  # it waits a fifth of its time
