"""Who waits is told what is being done."""

from __future__ import annotations

from collections.abc import Callable

#: Is called with what is being done now: a few words, without a newline.
Notify = Callable[[str], None]


def silent(_: str) -> None:
    """Tell nobody."""
