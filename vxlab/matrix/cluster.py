"""Jobs on the workers of a Dask cluster.

A worker needs vxlab and QEMU, not the project: that travels with the jobs that start a virtual
machine.  These go to workers with the resource ``VM``, so many at a time as they have of it::

    dask worker tcp://scheduler:8786 --nthreads 2 --resources VM=2

A job that loses its worker is run again by another one, from its first cell.  Jobs of the kernel
``here`` take no luggage: their workers must see the project's folder at the same path.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError
from vxlab.matrix import runner
from vxlab.matrix.job import HERE, Job
from vxlab.matrix.places import Stop
from vxlab.results.model import CellState
from vxlab.vm.notify import Notify

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
        luggage: Path | None,
        tell: runner.Tell,
        stop: Stop,
        notify: Notify,
    ) -> None:
        """Run jobs, and hand on what they tell as it comes."""
        import distributed

        with self._client() as client:
            notify(f"{len(jobs)} jobs go to {client.scheduler.address}")
            name = f"vxlab-{uuid.uuid4().hex}"
            data = client.scatter(luggage.read_bytes(), hash=False) if luggage else None
            halt = distributed.Event(f"{name}-stop", client=client)
            streams = [_Stream(tell) for _ in jobs]
            failures: list[Exception] = []

            def heard(event: tuple[float, Any]) -> None:
                number, attempt, place, told = event[1]
                try:
                    streams[number].hear(attempt, place, told)
                except Exception as error:  # it would be lost in distributed's own thread
                    failures.append(error)
                    stop.set(str(error))

            client.subscribe_topic(name, heard)
            pending = {
                client.submit(
                    _work,
                    job,
                    data,
                    name,
                    number,
                    pure=False,
                    resources={RESOURCE: 1} if job.kernel != HERE else None,
                ): number
                for number, job in enumerate(jobs)
            }

            over: queue.SimpleQueue[Any] = queue.SimpleQueue()
            for future in pending:
                future.add_done_callback(over.put)

            def settle(until: float = float("inf")) -> None:
                while pending and time.monotonic() < until and not failures:
                    with contextlib.suppress(queue.Empty):
                        future = over.get(timeout=1)
                        number = pending.pop(future)
                        self._settle(future, jobs[number], streams[number])
                    if stop.why:
                        until = min(until, time.monotonic() + _PATIENCE)

            with stop.ends(lambda: threading.Thread(target=halt.set, daemon=True).start()):
                try:
                    settle()
                except BaseException:
                    stop.set("interrupted")
                    with contextlib.suppress(Exception):
                        settle(time.monotonic() + _PATIENCE)
                    raise
            if failures:
                raise failures[0]
            if pending:
                notify(
                    f"{len(pending)} jobs did not end within {_PATIENCE:g} s, and are left to it"
                )

    @staticmethod
    def _settle(future: Any, job: Job, stream: _Stream) -> None:
        """A job has ended: hear what was not heard yet, and end what its worker could not."""
        if future.status == "finished":
            stream.complete(*future.result())
        else:
            error = "the scheduler" if future.cancelled() else future.exception()
            stream.abandon(job, f"its worker was lost: {error}")

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


@dataclass
class _Stream:
    """The events of one job, each told once and in order, by whichever way they come."""

    tell: runner.Tell
    attempt: str = ""
    told: int = 0
    ended: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, attempt: str, place: int, event: runner.Event) -> None:
        """An event that was told while the job ran; ``place`` is its number among them."""
        with self.lock:
            if place == 0 and attempt != self.attempt:
                self.attempt, self.told = attempt, 0
            if attempt == self.attempt and place == self.told:
                self._next(event)

    def complete(self, attempt: str, events: Sequence[runner.Event]) -> None:
        """All events of the attempt that ended well."""
        with self.lock:
            if attempt != self.attempt:
                self.attempt, self.told = attempt, 0
            for event in events[self.told :]:
                self._next(event)

    def abandon(self, job: Job, why: str) -> None:
        """No attempt ended well."""
        with self.lock:
            for number, _ in job.cells:
                if number not in self.ended:
                    state = str(CellState.MACHINE_LOST)
                    self._next(
                        {"event": "end", "cell": number, "state": state, "seconds": 0.0}
                        | {"reason": why}
                    )

    def _next(self, event: runner.Event) -> None:
        self.told += 1
        if event["event"] == "begin":  # perhaps once more, as an earlier attempt was lost
            self.ended.discard(event["cell"])
        if event["event"] == "end":
            self.ended.add(event["cell"])
        self.tell(event)


def _work(job: Job, data: bytes | None, topic: str, number: int) -> tuple[str, list[runner.Event]]:
    """What a worker does: run a job, tell what happens, and return all of it."""
    import distributed

    worker = distributed.get_worker()
    attempt = uuid.uuid4().hex
    events: list[runner.Event] = []

    def tell(event: runner.Event) -> None:
        worker.log_event(topic, (number, attempt, len(events), event))
        events.append(event)

    stop, over = Stop(), threading.Event()
    halt = distributed.Event(f"{topic}-stop", client=distributed.get_client())

    def listen() -> None:
        while not over.is_set():
            if halt.wait(timeout=1):
                stop.set("interrupted")
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        with tempfile.TemporaryDirectory(prefix="vxlab-luggage-") as folder:
            luggage = None
            if data is not None:
                luggage = Path(folder, "project.tar")
                luggage.write_bytes(data)
            runner.run(job, tell, luggage, stop, lambda _: None)
    finally:
        over.set()
        listener.join()
    return attempt, events
