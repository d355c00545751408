"""The kernel that runs already, as a target."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from vxlab.matrix import reports
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.job import Cells, Job
from vxlab.matrix.job_file import bundles_of, job_text
from vxlab.matrix.reports import OnReport
from vxlab.matrix.target import FULL, LOG, Seen, Termination, last_line
from vxlab.matrix.time_limits import TimeLimits
from vxlab.results.model import CellState
from vxlab.vm import children
from vxlab.vm.notify import Notify


class LocalTarget:
    """The kernel that runs already (:class:`vxlab.matrix.target.Target`)."""

    def __init__(self, job: Job, cancellation: Cancellation, notify: Notify) -> None:
        self._job, self._cancellation = job, cancellation
        self.release = os.uname().release
        self.config = _running_config(self.release)
        self._bundles = bundles_of(job, notify)

    def __enter__(self) -> LocalTarget:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, cells: Cells, on_report: OnReport, seen: Seen) -> Termination:
        """Run ``cells`` in one sandbox, without the scenarios ``seen``.

        ``on_report`` gets each report as it comes.
        """
        read, write = os.pipe()
        reported = f"/dev/fd/{write}"
        text = job_text(self._job, cells, seen=seen, bundles=self._bundles, reports=reported)
        with (
            tempfile.TemporaryFile("w+") as job,
            tempfile.TemporaryFile() as log,
            os.fdopen(read, encoding="utf-8", errors="replace") as lines,
        ):
            job.write(text)
            job.flush()
            process = children.start(
                [sys.executable, "-m", "vxlab.matrix.run_cells", f"/dev/fd/{job.fileno()}"],
                cwd=self._job.project,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write, job.fileno()],
                start_new_session=True,
            )
            os.close(write)
            late = self._follow(process, lines, on_report)
            status = process.wait()
            log.seek(0)
            return self._judge(status, late, log.read().decode(errors="replace"))

    def _follow(
        self, process: subprocess.Popen[bytes], lines: IO[str], on_report: OnReport
    ) -> TimeLimits | None:
        """Hand on reports until there are no more; what it was that took too long."""
        watchdog, limits = _Watchdog(process, self._job.boot), TimeLimits(self._job)
        with watchdog, self._cancellation.calls(watchdog.kill):
            for line in lines:
                if (report := reports.decode_line(line)) is not None:
                    if (seconds := limits.after(report)) is not None:
                        watchdog.postpone(seconds)
                    on_report(report)
        return limits if watchdog.fired else None

    def _judge(self, status: int, late: TimeLimits | None, log: str) -> Termination:
        kept = log[-LOG:]
        if self._cancellation.reason:
            return Termination(state=CellState.INTERRUPTED, reason=self._cancellation.reason)
        if late is not None:
            return Termination(state=late.state, reason=late.reason, log=kept)
        if status in (0, FULL):
            return Termination(state=CellState.DONE)
        reason = last_line(log) or f"it ended with {status}"
        return Termination(state=CellState.ABORTED, reason=reason, log=kept)


class _Watchdog:
    """Kills a process and all of its session in time, unless it is told to wait longer."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self.fired = False
        self._timer = self._started(seconds)

    def _started(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self.kill)
        timer.daemon = True
        timer.start()
        return timer

    def kill(self) -> None:
        """Kill them now."""
        self.fired = True
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
