"""Exceptions of a signal handler, at any moment of what a test does."""

from __future__ import annotations

import contextlib
import gc
import signal
import time
from collections.abc import Callable, Iterator


class Interruption(BaseException):
    """What the handler raises, as pytest-timeout's does."""


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Within the block Interruption is raised after so many seconds, at whatever byte code."""
    armed = True

    def interrupt(*_: object) -> None:
        if armed:
            raise Interruption

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupt_often(work: Callable[[], object], moments: int, check: Callable[[], None]) -> int:
    """Interrupt ``work`` at that many moments, spread over the time that it takes.

    ``check`` is called after each.  Returns how many times the exception came to pass.
    """
    durations = []
    for _ in range(4):
        begun = time.monotonic()
        work()
        durations.append(time.monotonic() - begun)
    duration, came = min(durations), 0
    for number in range(moments):
        try:
            with interrupted_after(max(1e-6, duration * number / moments)):
                work()
        except Interruption:
            came += 1
        check()
    gc.collect()
    return came
