"""Jobs on the workers of a Dask cluster.

A worker needs vxlab and QEMU, not the project: that travels with the jobs that start a virtual
machine.  These go to workers with the resource ``VM``, so many at a time as they have of it::

    dask worker tcp://scheduler:8786 --nthreads 2 --resources VM=2

A job that loses its worker is run again by another one, from its first cell.  Jobs of the kernel
``here`` take nothing along: their workers must see the project's folder at the same path.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError
from vxlab.matrix import events
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import CellBegun, CellEnded, Event, OnEvent
from vxlab.matrix.job import HERE, Job
from vxlab.matrix.job_runner import run_job
from vxlab.results.model import CellState
from vxlab.vm.notify import Notify, silent
from vxlab.vm.scratch import Scratch

#: The resource of a worker that can run virtual machines.
RESOURCE = "VM"

#: Seconds to wait for a scheduler, and for workers to end what they run.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Cluster:
    """Runs jobs on the workers of the scheduler at ``address`` (``tcp://host:8786``)."""

    address: str

    def cells_a_job(self, cells: int, kernels: Sequence[str]) -> int:
        """So few cells make a job that every worker gets two jobs or more, if there are enough."""
        with self._client() as client:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if all(kernel == HERE for kernel in kernels):
            slots: int = sum(worker["nthreads"] for worker in workers)
            if not slots:
                raise VxlabError(
                    f"--dask {self.address}: wanted workers, found none: start some, as with "
                    f"dask worker {self.address}"
                )
        else:
            slots = int(sum(worker["resources"].get(RESOURCE, 0) for worker in workers))
            if not slots:
                raise VxlabError(
                    f"--dask {self.address}: wanted workers with the resource {RESOURCE}, found "
                    f"none among {len(workers)}: start them with --resources {RESOURCE}=1"
                )
        return max(1, cells // (2 * slots))

    def __call__(
        self,
        jobs: Sequence[Job],
        archive: Path | None,
        on_event: OnEvent,
        cancellation: Cancellation,
        notify: Notify,
    ) -> None:
        """Run jobs, and hand on what they tell as it comes."""
        with self._client() as client:
            notify(f"{len(jobs)} jobs go to {client.scheduler.address}")
            batch = _Batch(client, jobs, on_event, cancellation)
            batch.submit(archive.read_bytes() if archive else None)
            batch.follow()
            if batch.failures:
                raise batch.failures[0]
            if batch.pending:
                count = len(batch.pending)
                notify(f"{count} jobs did not end within {_PATIENCE:g} s, and are left to it")

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            import distributed
        except ImportError as error:
            raise VxlabError(
                "--dask: wanted the package distributed, found none: pip install 'vxlab[dask]'"
            ) from error
        trouble = ""
        try:
            client = distributed.Client(self.address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            trouble = str(error)
        if trouble:
            # What is half made closes itself when it is collected.  If that happened while
            # another one starts, both would wait for the same lock for ever.
            gc.collect()
            raise VxlabError(f"--dask: wanted a scheduler at {self.address}, found: {trouble}")
        with client:
            yield client


class _Batch:
    """Jobs that the workers run; ``pending`` are those that have not ended."""

    def __init__(
        self, client: Any, jobs: Sequence[Job], on_event: OnEvent, cancellation: Cancellation
    ) -> None:
        import distributed

        self._client, self._jobs, self._cancellation = client, jobs, cancellation
        self._topic = f"vxlab-{uuid.uuid4().hex}"
        self._halt = distributed.Event(f"{self._topic}-stop", client=client)
        self._archive: Any = None  # kept by the workers for as long as there is this
        self._streams = [_Stream(on_event=on_event) for _ in jobs]
        self._over: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.pending: dict[Any, int] = {}
        self.failures: list[Exception] = []

    def submit(self, archive: bytes | None) -> None:
        """Hand all jobs to the scheduler, with the project where they need it."""
        if archive is not None:
            self._archive = self._client.scatter(archive, hash=False)
        self._client.subscribe_topic(self._topic, self._hear)
        for number, job in enumerate(self._jobs):
            resources = {RESOURCE: 1} if job.kernel != HERE else None
            future = self._client.submit(
                _work, job, self._archive, self._topic, number, pure=False, resources=resources
            )
            self.pending[future] = number
            future.add_done_callback(self._over.put)

    def _hear(self, message: tuple[float, Any]) -> None:
        number, attempt, index, sent = message[1]
        try:
            self._streams[number].hear(attempt, index, events.decode(sent))
        except Exception as error:  # it would be lost in distributed's own thread
            self.failures.append(error)
            self._cancellation.cancel(str(error))

    def follow(self) -> None:
        """Wait for the jobs; once they are cancelled, so long as they have to end."""
        with self._cancellation.calls(
            lambda: threading.Thread(target=self._halt.set, daemon=True).start()
        ):
            try:
                self._wait(float("inf"))
            except BaseException:
                self._cancellation.cancel("interrupted")
                with contextlib.suppress(Exception):
                    self._wait(time.monotonic() + _PATIENCE)
                raise

    def _wait(self, until: float) -> None:
        while self.pending and time.monotonic() < until and not self.failures:
            with contextlib.suppress(queue.Empty):
                future = self._over.get(timeout=1)
                self._settle(future, self.pending.pop(future))
            if self._cancellation.reason:
                until = min(until, time.monotonic() + _PATIENCE)

    def _settle(self, future: Any, number: int) -> None:
        """A job has ended: hear what was not heard yet, and end what its worker could not."""
        if future.status == "finished":
            attempt, sent = future.result()
            self._streams[number].complete(attempt, [events.decode(each) for each in sent])
        else:
            error = "the scheduler" if future.cancelled() else future.exception()
            self._streams[number].abandon(self._jobs[number], f"its worker was lost: {error}")


@dataclass(kw_only=True)
class _Stream:
    """The events of one job, each told once and in order, by whichever way they come."""

    on_event: OnEvent
    attempt: str = ""
    sent: int = 0
    ended: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, attempt: str, index: int, event: Event) -> None:
        """An ``event`` of an ``attempt`` that runs; ``index`` is its number among them."""
        with self.lock:
            if index == 0 and attempt != self.attempt:
                self.attempt, self.sent = attempt, 0
            if attempt == self.attempt and index == self.sent:
                self._next(event)

    def complete(self, attempt: str, sent: Sequence[Event]) -> None:
        """All events of the attempt that ended well."""
        with self.lock:
            if attempt != self.attempt:
                self.attempt, self.sent = attempt, 0
            for event in sent[self.sent :]:
                self._next(event)

    def abandon(self, job: Job, why: str) -> None:
        """No attempt ended well."""
        with self.lock:
            for number, _ in job.cells:
                if number not in self.ended:
                    self._next(CellEnded(cell=number, state=CellState.MACHINE_LOST, reason=why))

    def _next(self, event: Event) -> None:
        self.sent += 1
        if isinstance(event, CellBegun):  # perhaps once more, as an earlier attempt was lost
            self.ended.discard(event.cell)
        if isinstance(event, CellEnded):
            self.ended.add(event.cell)
        self.on_event(event)


def _work(
    job: Job, archive: bytes | None, topic: str, number: int
) -> tuple[str, list[dict[str, Any]]]:
    """What a worker does: run a job, tell what happens, and return all of it."""
    import distributed

    worker = distributed.get_worker()
    attempt = uuid.uuid4().hex
    sent: list[dict[str, Any]] = []

    def send(event: Event) -> None:
        found = events.encode(event)
        worker.log_event(topic, (number, attempt, len(sent), found))
        sent.append(found)

    cancellation = Cancellation()
    with _listening(topic, cancellation), Scratch() as scratch:
        path = None
        if archive is not None:
            path = scratch.file()
            path.write_bytes(archive)
        run_job(job, send, path, cancellation, silent)
    return attempt, sent


@contextlib.contextmanager
def _listening(topic: str, cancellation: Cancellation) -> Iterator[None]:
    """While in here, what the client sets cancels the job."""
    import distributed

    halt = distributed.Event(f"{topic}-stop", client=distributed.get_client())
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            if halt.wait(timeout=1):
                cancellation.cancel("interrupted")
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()
