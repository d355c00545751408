"""What the measurements share: the sandbox, clean starts, numbers and tables."""

from __future__ import annotations

import errno
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from vxlab import sandbox
from vxlab.apply import encoding
from vxlab.errors import VxlabError, WaitTimeout
from vxlab.netlink.requests import NetlinkSocket
from vxlab.operations import SetLink
from vxlab.system.namespaces import Namespaces
from vxlab.system.programs import find_program
from vxlab.system.syscalls import CLONE_NEWNET, unshare

#: Largest number of network namespaces of the calling user in this user namespace and those
#: below it (user_namespaces(7), namespaces(7)).
LIMIT = Path("/proc/sys/user/max_net_namespaces")

#: Seconds that the kernel may take to clean up before a measurement is given up.
CLEAN_DEADLINE = 60.0

#: The kernel is calm when so many requests in a row, a millisecond apart, took no longer than
#: so many seconds each.  A round that found no calm within the deadline begins without it.
CALM_REQUESTS, CALM_SECONDS, CALM_DEADLINE = 30, 0.001, 5.0


def enter_sandbox() -> None:
    """Go on inside a sandbox: the same command, started anew where it is not in one yet."""
    if not sandbox.inside():
        sandbox.reenter([sys.executable, *sys.orig_argv[1:]])


def compiled(name: str) -> Path:
    """The C program ``name``, compiled anew where its source is younger."""
    folder = Path(__file__).resolve().parent
    source, built = folder / f"{name}.c", folder / "build" / name
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        built.parent.mkdir(exist_ok=True)
        compiler = find_program(os.environ.get("CC", "cc"))
        options = ["-O2", "-Wall", "-Wextra", "-std=gnu11"]
        subprocess.run([compiler, *options, "-o", str(built), str(source)], check=True)
    return built


class Kernel:
    """Tells when the kernel has done away with namespaces that were let go, and when it is calm.

    Closing the last descriptor of a network namespace only queues it; a kernel thread takes it
    apart later.  No list shows such a namespace, but it is counted against the limit LIMIT until
    that thread has finished with it (cleanup_net() in net/core/net_namespace.c).  So: with the
    limit at one more than there were at the start, a new one is refused for as long as any of
    the others is left.  The count is the sandbox's own; other programs do not disturb it.

    They do disturb by the one lock that all changes to links take, in whatever namespace: it is
    held through long parts of every clean-up.  ``hurried`` counts the rounds that had to begin
    although it was not free.  Close with :meth:`close`.
    """

    def __init__(self) -> None:
        self.hurried = 0
        self._probe = Namespaces("probe")
        self._netlink = NetlinkSocket(self._probe)
        self._unlimited = LIMIT.read_text()
        self._limit = next(limit for limit in range(1, 1000) if self._one_fits(limit))
        self.wait_clean()

    def close(self) -> None:
        """Let go of the namespace that it looks from."""
        self._netlink.close()
        self._probe.close()

    def wait_calm(self) -> None:
        """Wait until nobody holds the lock of all links for long, or CALM_DEADLINE is over."""
        lo_up = encoding.encode(SetLink("probe", "lo", up=True), lambda *_: 1, lambda _: -1)
        deadline, in_a_row = time.perf_counter() + CALM_DEADLINE, 0
        while in_a_row < CALM_REQUESTS:
            start = time.perf_counter()
            self._netlink.request([lo_up])
            end = time.perf_counter()
            if end > deadline:
                self.hurried += 1
                return
            in_a_row = in_a_row + 1 if end - start <= CALM_SECONDS else 0
            time.sleep(0.001)

    def wait_clean(self) -> float:
        """Wait until all namespaces made since the start are gone; the time.perf_counter() then.

        WaitTimeout after CLEAN_DEADLINE seconds.
        """
        deadline = time.perf_counter() + CLEAN_DEADLINE
        while not self._one_fits(self._limit):
            if time.perf_counter() > deadline:
                raise WaitTimeout(
                    f"waited {CLEAN_DEADLINE:g} s for the kernel to clean namespaces up"
                )
            time.sleep(0.001)
        return time.perf_counter()

    def _one_fits(self, limit: int) -> bool:
        """Whether one more namespace may be made under ``limit``; it is let go at once."""
        refused: list[OSError] = []

        def make() -> None:
            try:
                unshare(CLONE_NEWNET)
            except OSError as error:
                refused.append(error)

        LIMIT.write_text(str(limit))
        try:
            thread = threading.Thread(target=make)  # a namespace of its own dies with it
            thread.start()
            thread.join()
        finally:
            LIMIT.write_text(self._unlimited)
        if refused and refused[0].errno != errno.ENOSPC:
            raise VxlabError(f"wanted a namespace, found: {refused[0]}") from refused[0]
        return not refused


def machine() -> str:
    """The kernel, the processors and the present load, as one line."""
    load = os.getloadavg()[0]
    return f"Linux {os.uname().release}, {os.cpu_count()} processors, load {load:.1f}"


def row(title: str, values: Sequence[float], unit: str = "ms") -> str:
    """One line of a table: median, smallest and largest."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"  {title:<34}{middle:9.2f}{low:9.2f}{high:9.2f}  {unit}"


def head(title: str) -> str:
    """The line above a table."""
    return f"{title:<36}{'median':>9}{'min':>9}{'max':>9}"


def verdict(what: str, found: float, bar: float, unit: str) -> str:
    """The line that compares a figure with what was asked for."""
    word = "met" if found <= bar else "MISSED"
    return f"  bar: {what} at most {bar:g} {unit}: {found:.2f}, {word}"
