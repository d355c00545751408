"""How all that runs is ended from outside: by Ctrl-C, a deadline, or an error of another job."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class Cancellation:
    """Ends what is running, in other threads, now and from now on."""

    def __init__(self) -> None:
        self.reason = ""
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], object]] = {}

    def cancel(self, reason: str) -> None:
        """End everything; the first reason is kept."""
        with self._lock:
            self.reason = self.reason or reason
            for callback in self._callbacks.values():
                callback()

    @contextlib.contextmanager
    def calls(self, callback: Callable[[], object]) -> Iterator[None]:
        """While in here, ``callback`` is what ends the calling thread's work."""
        with self._lock:
            self._callbacks[id(callback)] = callback
            if self.reason:
                callback()
        try:
            yield
        finally:
            with self._lock:
                del self._callbacks[id(callback)]
