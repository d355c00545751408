"""Jobs on a real Dask cluster: a scheduler and two workers, in processes of this machine."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest
from matrix_tools import Watcher, of_kind, tiny
from sandbox_tools import carrying

from vxlab.commands import main
from vxlab.errors import VxlabError
from vxlab.matrix import cluster as cluster_module
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.cluster import Cluster, _Stream
from vxlab.matrix.events import Booting, CaseStarted, CellBegun, CellEnded, Event
from vxlab.matrix.job import HERE, SYSTEM, Combination, Job
from vxlab.matrix.results_writer import ResultsWriter
from vxlab.results import CellState, Results
from vxlab.sandbox import boot

distributed = pytest.importorskip("distributed", reason="the extra vxlab[dask]")


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """A cluster whose workers have one thread each; what they left running is ended with it."""
    token = f"vxlab-test-{uuid.uuid4()}"
    resource_tracker.ensure_running()  # serves this process for good, so it is without the token
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", token)
        patch.delenv(boot.VARIABLE, raising=False)  # so that workers make sandboxes, as outside
        with distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=":0",
            silence_logs=50,
        ) as cluster:
            yield cluster
    for pid in carrying(token):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tiny(tmp_path / "project")


def waits(event: Event) -> bool:
    """Whether it is the start of the scenario that waits."""
    return isinstance(event, CaseStarted) and event.nodeid == "test_tiny.py::test_waits"


class Matrix:
    """Jobs of two cells each on the cluster, and the results file that they fill."""

    def __init__(self, address: str, project: Path, path: Path) -> None:
        self.address, self.project, self.path = address, project, path
        self.watcher = Watcher()
        self.cancellation = Cancellation()
        self.said: list[str] = []
        self.tell: Callable[[Event], None] = self.watcher.event

    def run(self, *backends: str, **fields: Any) -> None:
        with Results.open(self.path, create=True) as results:
            number = results.begin_run()
            cells = [
                (
                    results.add_cell(number, kernel=f"{n}", iproute2=SYSTEM, backend=backend),
                    Combination(HERE, SYSTEM, backend),
                )
                for n, backend in enumerate(backends)
            ]
            jobs = [
                Job(
                    kernel=HERE,
                    cells=tuple(cells[n : n + 2]),
                    arguments=("test_tiny.py",),
                    project=str(self.project),
                    **fields,
                )
                for n in range(0, len(cells), 2)
            ]
            writer = ResultsWriter(results, self.watcher, None)

            def take(event: Event) -> None:
                writer.take(event)
                self.tell(event)

            Cluster(self.address)(jobs, None, take, self.cancellation, self.said.append)

    def cells(self) -> list[tuple[str, int]]:
        """Of each cell its state, and how many cases it has."""
        with Results.open(self.path) as results:
            found = results.cells(results.latest_run().id)
            return [(str(cell.state), len(results.cases(cell.id))) for cell in found]


@pytest.fixture
def matrix(dask: Any, project: Path, tmp_path: Path) -> Matrix:
    return Matrix(dask.scheduler_address, project, tmp_path / "results")


def test_both_workers_run_jobs_and_all_is_recorded(matrix: Matrix, project: Path) -> None:
    flags = {1: project / "waits-netlink", 3: project / "waits-script"}
    for flag in flags.values():
        flag.touch()
    waiting: set[int] = set()

    def tell(event: Event) -> None:
        """Told while they run: neither goes on before both are in a test."""
        if waits(event) and event.cell in flags:
            waiting.add(event.cell)
            if len(waiting) == 2:
                for flag in flags.values():
                    flag.unlink()

    matrix.tell = tell
    matrix.run("netlink", "netlink", "script", "iproute2", deadline=300.0)
    assert matrix.cells() == [("done", 4)] * 4
    with Results.open(matrix.path) as results:
        assert [case.outcome for case in results.cases(4)].count("failed") == 1
        assert results.cell(1).release == os.uname().release
    ends = [event.cell for event in of_kind(matrix.watcher.events, CellEnded)]
    assert sorted(ends) == [1, 2, 3, 4]


def test_a_job_that_loses_its_worker_is_run_again(matrix: Matrix, project: Path) -> None:
    flag = project / "waits-script"
    flag.touch()
    killed: list[int] = []

    def kill() -> None:
        with distributed.Client(matrix.address, set_as_default=False) as client:
            pids = client.run(os.getpid)
            (worker,) = [address for address, keys in client.processing().items() if keys]
            flag.unlink()
            os.kill(pids[worker], signal.SIGKILL)
            killed.append(pids[worker])

    def tell(event: Event) -> None:
        if waits(event) and event.cell == 2 and not killed:
            killed.append(0)
            threading.Thread(target=kill).start()

    matrix.tell = tell
    matrix.run("netlink", "script")
    assert matrix.cells() == [("done", 4)] * 2
    assert len(killed) == 2
    begun = [event.cell for event in of_kind(matrix.watcher.events, CellBegun)]
    assert begun == [1, 2, 1, 2]
    boots = [list(event.cells) for event in of_kind(matrix.watcher.events, Booting)]
    assert boots == [[1, 2], [1, 2]]


def test_a_cancellation_reaches_the_workers(matrix: Matrix, project: Path) -> None:
    (project / "waits-netlink").touch()

    def tell(event: Event) -> None:
        if waits(event):
            matrix.cancellation.cancel("enough")

    matrix.tell = tell
    matrix.run("netlink", "script")
    assert matrix.cells() == [("interrupted", 2), ("planned", 0)]


def test_an_error_of_who_is_told_ends_the_jobs_and_is_raised(matrix: Matrix, project: Path) -> None:
    (project / "waits-netlink").touch()

    def tell(event: Event) -> None:
        if waits(event):
            raise VxlabError("no room for results")

    matrix.tell = tell
    with pytest.raises(VxlabError, match="no room for results"):
        matrix.run("netlink", "netlink")


def test_a_machine_that_can_run_a_vm_is_wanted_for_a_kernel(dask: Any) -> None:
    address = dask.scheduler_address
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=300)  # against hanging alone
    with pytest.raises(VxlabError) as refused:
        Cluster(address).cells_a_job(9, ["here", "6.1"])
    assert str(refused.value) == (
        f"--dask {address}: wanted workers with the resource VM, found none among 2: start them "
        "with --resources VM=1"
    )
    assert Cluster(address).cells_a_job(9, ["here"]) == 2
    assert Cluster(address).cells_a_job(1, ["here"]) == 1


def test_the_command_sends_cells_to_the_cluster(
    dask: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    words = ["matrix", f"--dask={dask.scheduler_address}", "test_tiny.py", "-k", "passes"]
    assert main.main(words) == 0
    assert "1 cell done, 1 passed" in capsys.readouterr().out
    assert main.main([*words, "--kernels=6.1", "--results=other"]) == 1
    assert "wanted workers with the resource VM" in capsys.readouterr().err
    assert not (project / "other").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "carrier-pigeon://a:1", ""])
def test_a_scheduler_that_is_not_there_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_PATIENCE", 0.5)
    with pytest.raises(VxlabError, match=f"--dask: wanted a scheduler at {address}, found: ."):
        Cluster(address).cells_a_job(1, ["here"])
    assert [x for x in gc.get_objects() if type(x) is distributed.Client] == []


def test_a_cluster_without_workers_is_refused() -> None:
    with (
        distributed.LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address=":0", silence_logs=50
        ) as empty,
        pytest.raises(VxlabError, match="wanted workers, found none: start some"),
    ):
        Cluster(empty.scheduler_address).cells_a_job(1, ["here"])


# --- the events of one job, whichever way they come ------------------------------------------

FIRST: list[Event] = [
    CellBegun(cell=1, tools={}),
    CellEnded(cell=1, state=CellState.DONE),
    CellBegun(cell=2, tools={}),
    CellEnded(cell=2, state=CellState.DONE),
]


def stream() -> tuple[_Stream, list[Event]]:
    told: list[Event] = []
    return _Stream(on_event=told.append), told


def test_events_are_told_once_and_in_order() -> None:
    found, told = stream()
    for place in (0, 0, 1, 3, 1):  # one is late, two come twice
        found.hear("x", place, FIRST[place])
    assert told == FIRST[:2]
    found.complete("x", FIRST)
    found.hear("x", 2, FIRST[2])
    assert told == FIRST


def test_an_attempt_that_was_not_heard_is_told_whole_at_its_end() -> None:
    found, told = stream()
    found.hear("x", 0, FIRST[0])
    found.complete("y", FIRST)
    assert told == [FIRST[0], *FIRST]


def test_what_a_lost_attempt_tells_late_is_not_told() -> None:
    found, told = stream()
    found.hear("x", 0, FIRST[0])
    found.hear("y", 0, FIRST[0])
    found.hear("x", 1, FIRST[1])
    assert told == [FIRST[0], FIRST[0]]


def test_cells_of_a_job_that_nobody_ends_are_lost() -> None:
    each = Combination("a", "b", "c")
    job = Job(kernel=HERE, cells=((1, each), (2, each)), arguments=(), project=".")
    found, told = stream()
    for place in (0, 1):
        found.hear("x", place, FIRST[place])
    found.abandon(job, "its worker was lost")
    assert [(each.cell, each.state) for each in of_kind(told, CellEnded)] == [
        (1, "done"),
        (2, CellState.MACHINE_LOST),
    ]
    found, told = stream()
    for attempt in ("x", "y"):  # the second one begins cell 1 again, and does not end it
        found.hear(attempt, 0, FIRST[0])
        if attempt == "x":
            found.hear(attempt, 1, FIRST[1])
    found.abandon(job, "its worker was lost")
    assert [each.cell for each in of_kind(told, CellEnded)] == [1, 1, 2]
