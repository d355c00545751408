"""Visits of the calling thread to a node's network namespace, and the way back.

vxlab itself visits namespaces in workers (:mod:`vxlab.system.workers`), where nothing interrupts
it.  A visit here is the block of a ``with`` of somebody else, in a thread of theirs.  What an
exception between two byte codes may leave of it is ended where labs and tests end
(:func:`end_visits`).
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType

from vxlab.errors import VxlabError
from vxlab.system.syscalls import CLONE_NEWNET, setns
from vxlab.system.workers import undisturbed

_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class _Visits(threading.local):
    """The visits of one thread that have not ended, the outermost first."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []


_own = _Visits()


class Visit(contextlib.AbstractContextManager[None]):
    """A context manager: within its block the calling thread is in another network namespace.

    ``name`` is the node's, ``descriptor`` returns the namespace's, or raises VxlabError where there
    is none any more.  VxlabError in a coroutine, see
    :meth:`~vxlab.system.namespaces.Namespaces.entered`.
    """

    def __init__(self, name: str, descriptor: Callable[[], int]) -> None:
        self.name = name
        self._descriptor = descriptor
        self._home = -1

    def __enter__(self) -> None:
        _refuse_coroutine(self.name, sys._getframe(1))
        fd, path = self._descriptor(), f"/proc/self/task/{threading.get_native_id()}/ns/net"
        try:
            _own.visits.append(self)
            undisturbed(lambda: self._remember(path))
            setns(fd, CLONE_NEWNET)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        while self in _own.visits:  # in an order that may be begun again, where interrupted
            last = _own.visits[-1]  # what began within this one, and did not end
            if last._home >= 0:
                setns(last._home, CLONE_NEWNET)
            undisturbed(last._forget, cancellable=False)
            _own.visits.remove(last)

    def _remember(self, path: str) -> None:
        self._home = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def _forget(self) -> None:
        home, self._home = self._home, -1
        if home >= 0:
            os.close(home)


def _refuse_coroutine(name: str, frame: FrameType | None) -> None:
    """VxlabError where the block is one of a coroutine, which may be left at each ``await``."""
    while frame is not None and frame.f_globals.get("__name__") == "contextlib":  # of an ExitStack
        frame = frame.f_back
    if frame is not None and frame.f_code.co_flags & _ASYNC:
        raise VxlabError(
            f"{name}: wanted to enter the node's network namespace in a function that nothing else "
            f"runs in between, found the coroutine {frame.f_code.co_name}(), whose thread runs "
            "other tasks at each await: use asyncio.to_thread(node.run, ...), or node.socket(), "
            "or enter in a plain function"
        )


def open_visits() -> int:
    """How many visits of the calling thread have not ended."""
    return len(_own.visits)


def end_visits(keep: int = 0) -> None:
    """End all visits of the calling thread but the first ``keep``; nothing where there are none."""
    while len(_own.visits) > keep:
        _own.visits[-1].__exit__()


def end_visits_to(descriptor: Callable[[], int]) -> None:
    """End the calling thread's visits by that ``descriptor``, and those that began within them."""
    for number, visit in enumerate(_own.visits):
        if visit._descriptor == descriptor:
            end_visits(number)
            return
