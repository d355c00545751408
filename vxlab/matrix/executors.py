"""Jobs side by side: on this machine, or wherever else an executor takes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.events import OnEvent
from vxlab.matrix.job import Job
from vxlab.matrix.job_runner import run_job
from vxlab.vm.notify import Notify

#: MB of memory that a machine needs beside the guest's own.
_OVERHEAD = 200


class Executor(Protocol):
    """Runs jobs somewhere, side by side."""

    def __call__(
        self,
        jobs: Sequence[Job],
        archive: Path | None,
        on_event: OnEvent,
        cancellation: Cancellation,
        notify: Notify,
    ) -> None:
        """Run all ``jobs``, and tell ``on_event`` what happens.

        ``archive`` is the project packed for guests; what is running ends by ``cancellation``,
        ``notify`` is told what takes time.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalThreads:
    """Runs jobs on this machine, so many at a time."""

    machines: int

    def __call__(
        self,
        jobs: Sequence[Job],
        archive: Path | None,
        on_event: OnEvent,
        cancellation: Cancellation,
        notify: Notify,
    ) -> None:
        """Run jobs in threads of this process."""
        with ThreadPoolExecutor(self.machines) as pool:
            running = [
                pool.submit(run_job, job, on_event, archive, cancellation, notify) for job in jobs
            ]
            try:
                for each in running:
                    each.result()
            except BaseException:
                cancellation.cancel("interrupted")
                raise


def machines_that_fit(memory: int) -> int:
    """How many machines of so many MB this one bears: two a processor, if there is memory.

    A machine spends a fifth of its time waiting.
    """
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    free = int(fields["MemAvailable"].split()[0]) // 1024
    return max(1, min(2 * len(os.sched_getaffinity(0)), free // (memory + _OVERHEAD)))
