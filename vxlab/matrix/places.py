"""A kernel to run cells on: this machine's own, or a virtual machine's.

A place is a context manager; its ``run`` starts :mod:`vxlab.matrix.inside` there for some cells,
hands on each report as it comes, and says how that ended.  A cell that takes too long ends it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

from vxlab.errors import VxlabError
from vxlab.matrix.job import HERE, SYSTEM, Job
from vxlab.results.model import CellState
from vxlab.system.syscalls import die_with_parent
from vxlab.vm.forkserver import REPORTS
from vxlab.vm.notify import Notify

Cells = Sequence[tuple[int, Any]]
Report = dict[str, Any]
Seen = Mapping[int, Sequence[str]]

#: What of a log is kept: its end, in characters.
_LOG = 20_000

#: The exit code of vxlab.matrix.inside where a disk is full: what is left needs another machine.
FULL = 1

#: Where a guest finds its job.
_JOB = "/vxlab/job"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run of a place ended: DONE also where it left cells for another run."""

    state: CellState
    reason: str = ""
    fingerprint: str = ""
    log: str = ""


class Stop:
    """Ends what is running, in other threads, now and from now on."""

    def __init__(self) -> None:
        self.why = ""
        self._lock = threading.Lock()
        self._ends: dict[int, Callable[[], object]] = {}

    def set(self, why: str) -> None:
        """Stop everything, and remember why."""
        with self._lock:
            self.why = self.why or why
            for end in self._ends.values():
                end()

    @contextlib.contextmanager
    def ends(self, end: Callable[[], object]) -> Iterator[None]:
        """While in here, ``end`` is what stops the calling thread's work."""
        with self._lock:
            self._ends[id(end)] = end
            if self.why:
                end()
        try:
            yield
        finally:
            with self._lock:
                del self._ends[id(end)]


class Place(Protocol):
    """A kernel to run cells on."""

    release: str
    config: str

    def __enter__(self) -> Place: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, cells: Cells, report: Callable[[Report], None], seen: Seen) -> Ending:
        """Run cells, one after another; each report goes to ``report`` as it comes.

        ``seen`` are scenarios that a cell does not run.
        """
        ...


def place_of(job: Job, luggage: Path | None, stop: Stop, notify: Notify) -> Place:
    """Where a job is to be run; ``luggage`` is of :func:`luggage_for`."""
    if job.kernel == HERE:
        return _Here(job, stop, notify)
    if luggage is None:
        raise VxlabError(f"matrix: wanted the project packed for the kernel {job.kernel}")
    return _Guest(job, luggage, stop, notify)


@contextlib.contextmanager
def luggage_for(kernels: Sequence[str], project: Path, notify: Notify) -> Iterator[Path | None]:
    """The project and vxlab as a tar for guests; None where no kernel is a guest's."""
    from vxlab.vm import project as packing
    from vxlab.vm.scratch import Scratch

    if all(kernel == HERE for kernel in kernels):
        yield None
        return
    with Scratch() as scratch:
        notify("packing the project")
        tar = scratch.file()
        packing.pack(project, tar, [f"exec {packing.PYTHON} -m vxlab.matrix.inside {_JOB}"])
        yield tar


def _bundles(job: Job, cells: Cells, notify: Notify) -> dict[str, Any]:
    """The iproute2 of each cell, by its name; the system's own is none of them."""
    from vxlab.vm import bundles

    names = dict.fromkeys(place.iproute2 for _, place in cells if place.iproute2 != SYSTEM)
    return {name: bundles.find(name, notify) for name in names}


def _description(
    job: Job, cells: Cells, seen: Seen, folders: Mapping[str, Any], reports: str
) -> str:
    """The file that vxlab.matrix.inside reads."""
    listed = [
        {
            "cell": number,
            "backend": place.backend,
            "iproute2": str(folders[place.iproute2].folder) if place.iproute2 != SYSTEM else "",
            "seen": list(seen.get(number, ())),
        }
        for number, place in cells
    ]
    arguments = [*job.arguments, "-p", "no:cacheprovider"]
    return json.dumps({"arguments": arguments, "reports": reports, "cells": listed})


# --- a virtual machine's ---------------------------------------------------------------------


class _Guest:
    """A kernel in virtual machines, one after another."""

    def __init__(self, job: Job, luggage: Path, stop: Stop, notify: Notify) -> None:
        from vxlab.vm import bundles, kernels
        from vxlab.vm.run import parts
        from vxlab.vm.scratch import Scratch

        self._job, self._luggage, self._stop = job, luggage, stop
        modules = Path(job.modules) if job.modules else None
        kernel = kernels.find(job.kernel, modules=modules, notify=notify)
        self.release, self.config = kernel.release, kernel.config
        self._bundles = _bundles(job, job.cells, notify)
        self._tools, self._mount = None, Path()
        if self._bundles:
            self._tools, self._mount = bundles.image(tuple(self._bundles.values()))
        self._parts = parts(kernel, memory=job.memory, notify=notify)
        self._scratch = Scratch()
        self._tar = self._scratch.file()

    def __enter__(self) -> _Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def run(self, cells: Cells, report: Callable[[Report], None], seen: Seen) -> Ending:
        """Boot a machine, and run cells in it."""
        from vxlab.vm.guest import ExitKind
        from vxlab.vm.machine import Machine

        job = self._job
        guest = replace(self._parts, files=self._files(cells, seen), tools=self._tools)
        output = bytearray()
        began, patience = time.monotonic(), _Patience(job)

        def taken(each: Report) -> None:
            if (seconds := patience.after(each)) is not None:
                machine.deadline = time.monotonic() - began + seconds
            report(each)

        def end() -> None:
            machine.deadline = 0.0

        machine = Machine(guest, deadline=job.boot, output=output.extend, report=taken)
        with machine, self._stop.ends(end):
            ended = machine.run()
        log = ended.log
        state, reason = CellState(str(ended.kind)), ended.reason
        if self._stop.why:
            state, reason = CellState.INTERRUPTED, self._stop.why
        elif ended.kind is ExitKind.DEADLINE:
            state, reason = patience.state, patience.reason
        elif ended.kind is ExitKind.DONE and ended.code not in (0, FULL):
            state, reason = CellState.ABORTED, _last_line(output.decode(errors="replace"))
            log = output.decode(errors="replace")
        elif ended.kind is ExitKind.FULL:  # of which the cell's own report has told
            state = CellState.DONE
        return Ending(state, reason, ended.fingerprint, log[-_LOG:])

    def _files(self, cells: Cells, seen: Seen) -> Path:
        """What the guest unpacks: the luggage, its job, and where its iproute2 belongs."""
        shutil.copyfile(self._luggage, self._tar)
        with tarfile.open(self._tar, "a", format=tarfile.GNU_FORMAT) as packed:
            job = _description(self._job, cells, seen, self._bundles, REPORTS)
            _add(packed, _JOB, job)
            if self._tools is not None:
                _add(packed, "/vxlab/tools", str(self._mount))
        return self._tar


def _add(packed: tarfile.TarFile, path: str, text: str) -> None:
    import io

    info = tarfile.TarInfo(path.lstrip("/"))
    info.size = len(text.encode())
    packed.addfile(info, io.BytesIO(text.encode()))


class _Patience:
    """How long to wait for a machine: for its first cell, then for each cell, and each scenario.

    ``state`` and ``reason`` say what it means where that was too long.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._cell = math.inf  # when the cell that runs must have ended
        self.state = CellState.DEADLINE
        self.reason = f"no cell had begun {job.boot:g} s after the start"

    def after(self, report: Report) -> float | None:
        """The seconds that are left from now on; None where a report changes nothing."""
        job, now = self._job, time.monotonic()
        if "begin" in report or "end" in report:
            self._cell = now + job.deadline
        elif "start" in report and now + job.scenario < self._cell:
            self.state = CellState.HUNG
            self.reason = f"the scenario had not ended {job.scenario:g} s after it began"
            return job.scenario
        elif "start" not in report and "case" not in report:
            return None
        self.state = CellState.DEADLINE
        self.reason = f"it had not ended {job.deadline:g} s after it began"
        return self._cell - now


# --- this machine's own ----------------------------------------------------------------------


class _Here:
    """The kernel that runs already."""

    def __init__(self, job: Job, stop: Stop, notify: Notify) -> None:
        self._job, self._stop = job, stop
        self.release = os.uname().release
        self.config = _running_config(self.release)
        self._bundles = _bundles(job, job.cells, notify)

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, cells: Cells, report: Callable[[Report], None], seen: Seen) -> Ending:
        """Run cells in one sandbox."""
        read, write = os.pipe()
        with tempfile.TemporaryDirectory(prefix="vxlab-matrix-") as folder:
            path, log = Path(folder, "job"), Path(folder, "log")
            reports_file = f"/dev/fd/{write}"
            path.write_text(_description(self._job, cells, seen, self._bundles, reports_file))
            with log.open("wb") as file, os.fdopen(read, encoding="utf-8") as reports:
                process = subprocess.Popen(
                    [sys.executable, "-m", "vxlab.matrix.inside", str(path)],
                    cwd=self._job.project,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    pass_fds=[write],
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
                os.close(write)
                late = self._follow(process, reports, report)
            return self._judge(process.wait(), late, log.read_text(errors="replace"))

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        reports: IO[str],
        report: Callable[[Report], None],
    ) -> _Patience | None:
        """Hand on reports until there are no more; what it was that took too long."""
        dog, patience = _Watchdog(process, self._job.boot), _Patience(self._job)
        with dog, self._stop.ends(dog.bite):
            for line in reports:
                with contextlib.suppress(ValueError):  # a line that was cut off
                    each = json.loads(line)
                    if (seconds := patience.after(each)) is not None:
                        dog.postpone(seconds)
                    report(each)
        return patience if dog.bit else None

    def _judge(self, status: int, late: _Patience | None, log: str) -> Ending:
        kept = log[-_LOG:]
        if self._stop.why:
            return Ending(CellState.INTERRUPTED, self._stop.why)
        if late is not None:
            return Ending(late.state, late.reason, log=kept)
        if status in (0, FULL):
            return Ending(CellState.DONE)
        return Ending(CellState.ABORTED, _last_line(log) or f"it ended with {status}", log=kept)


class _Watchdog:
    """Kills a process and all of its session in time, unless it is told to wait longer."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self.bit = False
        self._timer = self._started(seconds)

    def _started(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self.bite)
        timer.daemon = True
        timer.start()
        return timer

    def bite(self) -> None:
        """Kill them now."""
        self.bit = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def postpone(self, seconds: float) -> None:
        """So many seconds from now."""
        self._timer.cancel()
        self._timer = self._started(seconds)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _running_config(release: str) -> str:
    """The configuration of the kernel that runs here, '' where nobody tells."""
    import gzip

    with contextlib.suppress(OSError):
        return Path(f"/boot/config-{release}").read_text()
    with contextlib.suppress(OSError):
        return gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    return ""


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
