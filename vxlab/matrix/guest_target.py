"""A kernel in virtual machines, one after another, as a target."""

from __future__ import annotations

import io
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vxlab.matrix import reports
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.job import Cells, Job
from vxlab.matrix.job_file import bundles_of, job_text
from vxlab.matrix.reports import OnReport, PytestEnded, Report
from vxlab.matrix.target import FULL, LOG, Seen, Termination, last_line
from vxlab.matrix.time_limits import TimeLimits
from vxlab.results.model import CellState
from vxlab.vm import bundles, kernels, snapshots
from vxlab.vm.forkserver import FAULTS, REPORTS
from vxlab.vm.guest import ExitKind, Guest, GuestExit
from vxlab.vm.machine import JsonObject, Machine
from vxlab.vm.notify import Notify
from vxlab.vm.run import parts
from vxlab.vm.scratch import Scratch

#: Where a guest finds its job.
JOB = "/vxlab/job"


@dataclass(kw_only=True)
class _Attempt:
    """What became of cells in one machine.

    ``ended`` are those that have, ``fault`` is what casts doubt on the snapshot that it went on
    from; ``end`` ends the machine.
    """

    ended: set[int] = field(default_factory=set)
    fault: str = ""
    end: Callable[[], None] = lambda: None

    def is_over(self, report: Report, guest: Guest) -> bool:
        """Whether nothing that ``guest`` reports counts, from this ``report`` on."""
        if isinstance(report, PytestEnded):
            number = report.code - 128
            if guest.snapshot is not None and number in FAULTS:
                self.fault = signal.Signals(number).name
                self.end()
            else:
                self.ended.add(report.cell)
        return bool(self.fault)


class GuestTarget:
    """A kernel in virtual machines (:class:`vxlab.matrix.target.Target`)."""

    def __init__(self, job: Job, archive: Path, cancellation: Cancellation, notify: Notify) -> None:
        self._job, self._archive, self._cancellation = job, archive, cancellation
        self._notify = notify
        modules = Path(job.modules) if job.modules else None
        kernel = kernels.find(job.kernel, modules=modules, notify=notify)
        self.release, self.config = kernel.release, kernel.config
        self._bundles = bundles_of(job, notify)
        self._tools, self._mount = None, Path()
        if self._bundles:
            self._tools, self._mount = bundles.image(tuple(self._bundles.values()))
        self._parts = parts(kernel, memory=job.memory, notify=notify)
        self._scratch = Scratch()
        self._tar = self._scratch.file()

    def __enter__(self) -> GuestTarget:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    def run(self, cells: Cells, on_report: OnReport, seen: Seen) -> Termination:
        """Boot a machine, and run ``cells`` in it without the scenarios ``seen``.

        ``on_report`` gets each report as it comes.
        """
        first = _Attempt()
        ending = self._run(cells, on_report, seen, first)
        if first.fault:
            self._parts = snapshots.discarded(self._parts, first.fault, self._notify)
            if left := [cell for cell in cells if cell[0] not in first.ended]:
                ending = self._run(left, on_report, seen, _Attempt())
        return ending

    def _run(self, cells: Cells, on_report: OnReport, seen: Seen, attempt: _Attempt) -> Termination:
        """The same in one machine, which is ended early where its snapshot turns out to be bad."""
        guest = replace(self._parts, files=self._files(cells, seen), tools=self._tools)
        output = bytearray()
        began, limits = time.monotonic(), TimeLimits(self._job)

        def take(found: JsonObject) -> None:
            report = reports.decode(found)
            if report is None or attempt.is_over(report, guest):
                return
            if (seconds := limits.after(report)) is not None:
                machine.deadline = time.monotonic() - began + seconds
            on_report(report)

        def end() -> None:
            machine.deadline = 0.0

        attempt.end = end
        machine = Machine(guest, deadline=self._job.boot, output=output.extend, report=take)
        with machine, self._cancellation.calls(end):
            ended = machine.run()
        if not self._cancellation.reason and snapshots.is_bad(guest, ended, self._job.boot):
            attempt.fault = attempt.fault or ended.fault or str(ended.kind)
        return self._judge(ended, limits, output.decode(errors="replace"))

    def _judge(self, ended: GuestExit, limits: TimeLimits, output: str) -> Termination:
        log = ended.log
        state, reason = CellState(str(ended.kind)), ended.reason
        if self._cancellation.reason:
            state, reason = CellState.INTERRUPTED, self._cancellation.reason
        elif ended.kind is ExitKind.DEADLINE:
            state, reason = limits.state, limits.reason
        elif ended.kind is ExitKind.DONE and ended.code not in (0, FULL):
            state, reason, log = CellState.ABORTED, last_line(output), output
        elif ended.kind is ExitKind.FULL:  # of which the cell's own report has told
            state = CellState.DONE
        return Termination(
            state=state, reason=reason, fingerprint=ended.fingerprint, log=log[-LOG:]
        )

    def _files(self, cells: Cells, seen: Seen) -> Path:
        """What the guest unpacks: the project, its job, and where its iproute2 belongs."""
        shutil.copyfile(self._archive, self._tar)
        text = job_text(self._job, cells, seen=seen, bundles=self._bundles, reports=REPORTS)
        with tarfile.open(self._tar, "a", format=tarfile.GNU_FORMAT) as packed:
            _add(packed, JOB, text)
            if self._tools is not None:
                _add(packed, "/vxlab/tools", str(self._mount))
        return self._tar


def _add(packed: tarfile.TarFile, path: str, text: str) -> None:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size = len(text.encode())
    packed.addfile(info, io.BytesIO(text.encode()))
