"""What a reference VTEP has received so far, shared between its thread and the test's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from vxlab.errors import VxlabError
from vxlab.reference.received import Received

T = TypeVar("T")


class Journal:
    """Rows that one thread adds and others read and wait for; ``owner`` is named in errors."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._rows: list[Received] = []
        self._news = threading.Condition()
        self.running = False  # True while rows may come
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Rows may come from now on."""
        self.running = True

    def add(self, row: Received) -> None:
        """Keep a row, and wake all that wait."""
        with self._news:
            self._rows.append(row)
            self._news.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """No rows come any more, because of ``error`` if there is one; it will be raised."""
        with self._news:
            self.running, self._error = False, self._error or error
            self._news.notify_all()

    @property
    def rows(self) -> tuple[Received, ...]:
        """All rows so far."""
        with self._news:
            return tuple(self._rows)

    def raise_error(self) -> None:
        """Raise, once, what has ended the journal."""
        error, self._error = self._error, None
        if error is not None:
            found = f"{type(error).__name__}: {error}"
            raise VxlabError(f"{self.owner}: stopped answering, for it found {found}") from error

    def first(self, read: Callable[[Received], T], start: int, timeout: float) -> T | None:
        """The first true value of ``read`` for a row from number ``start`` on, waiting for it.

        ``read`` is called with each row, in order.  None after ``timeout`` seconds, or where the
        journal has ended without an error.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            with self._news:
                self._news.wait_for(partial(self._has_news, start), left)
                fresh, running = self._rows[start:], self.running
            for row in fresh:
                if value := read(row):
                    return value
            self.raise_error()
            if left <= 0 or not (fresh or running):
                return None
            start += len(fresh)

    def _has_news(self, start: int) -> bool:
        return len(self._rows) > start or not self.running
