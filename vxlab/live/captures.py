"""Captures at several places of a lab, started and stopped together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from vxlab.errors import VxlabError
from vxlab.observe.capture import Capture


class Captures(Mapping[str, Capture]):
    """Several captures by place, started and stopped together; a context manager.

    ``captures`` are not started yet.  With ``deaf`` each of them receives nothing once it has
    started, for a control.
    """

    def __init__(self, captures: Mapping[str, Capture], *, deaf: bool = False) -> None:
        self._captures, self._deaf = dict(captures), deaf

    def __enter__(self) -> Captures:
        started: list[Callable[[], object]] = []
        try:
            for capture in self._captures.values():
                capture.start()
                started.append(capture.stop)
                if self._deaf:
                    capture.deafen()
        except BaseException:
            for stop in started:
                stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.ExitStack() as undo:
            for capture in self._captures.values():
                undo.callback(capture.stop)

    def __getitem__(self, place: str) -> Capture:
        if place not in self._captures:
            raise VxlabError(f"wanted a capture at {place!r}, found {', '.join(self._captures)}")
        return self._captures[place]

    def __contains__(self, place: object) -> bool:
        return place in self._captures

    def __iter__(self) -> Iterator[str]:
        return iter(self._captures)

    def __len__(self) -> int:
        return len(self._captures)
