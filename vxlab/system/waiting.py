"""Waiting for conditions, never for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from vxlab.errors import WaitTimeout
from vxlab.system.workers import check_cancelled

T = TypeVar("T")

#: Seconds that a lab waits for one condition, unless told otherwise. Generous on purpose:
#: it is only ever reached when something is broken, and a busy machine must not break it.
DEADLINE = 10.0


def wait_until(
    condition: Callable[[], T],
    what: str,
    *,
    timeout: float = DEADLINE,
    interval: float = 0.001,
    found: Callable[[], str] | None = None,
) -> T:
    """Call ``condition`` until it returns something true, and return that.

    ``what`` names the condition in the error (``"links with carrier"``); ``timeout`` is the
    deadline in seconds.  The condition is tried before any waiting, and once more after the
    deadline.  The pause between two tries starts at ``interval`` seconds and doubles up to 20 ms.
    ``found``, if given, is called on time-out and returns what was there instead, in words.
    :class:`~vxlab.errors.WaitTimeout` says after ``timeout`` seconds what was awaited and found.
    """
    deadline = time.monotonic() + timeout
    while True:
        check_cancelled()
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            instead = f"; found {found()}" if found else ""
            raise WaitTimeout(f"waited {timeout:g} s for {what}{instead}")
        time.sleep(min(interval, max(0.0, deadline - time.monotonic())))
        interval = min(interval * 2, 0.02)
