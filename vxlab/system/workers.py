"""Work that no signal handler interrupts.

A signal handler that raises (Ctrl-C, pytest-timeout's method ``signal``) raises between any two
byte codes of the main thread, also between a system call and the one that undoes it.  It never
raises in another thread.  So whatever must not be left half-done, such as a visit to another
namespace or a program that is to be waited for, is done by a worker, a thread of its own, while the
calling thread waits (:func:`undisturbed`).  Where an exception ends that wait the worker is told,
ends what it does early and in order, and only then the exception goes on.

One worker more than needed always waits, so that handing work over takes 20 µs; a new thread takes
some hundred.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: The name of all threads that work.
NAME = "vxlab-worker"
#: How many workers stay when there is nothing to do.
IDLE = 2
#: Seconds that an exception waits at most for a worker to end; what vxlab does ends much sooner.
PATIENCE = 10.0


class Cancelled(BaseException):
    """Who waits for this work waits no longer: raised in workers only."""


class _Work(Generic[T]):
    """A piece of work, and what came of it."""

    def __init__(self, work: Callable[[], T], cancellable: bool) -> None:
        self.work, self.cancellable = work, cancellable
        self.context = contextvars.copy_context()
        self.cancelled = False
        self.ended = False
        self._error: BaseException | None = None
        self._result: T | None = None
        self._taken = threading.Lock()
        self._lock = threading.Lock()
        self._wake = -1
        self._done = threading.Lock()
        self._done.acquire()

    def take(self) -> bool:
        """True for the first who asks: the worker that does it, or the caller that gives it up."""
        return self._taken.acquire(blocking=False)

    def do(self) -> None:
        """Do the work, in a worker."""
        _own.job = self
        try:
            self._result = self.context.run(self.work)
        except BaseException as error:
            self._error = error
        with self._lock:
            if self._wake >= 0:
                os.close(self._wake)
            self._wake = -1
        _own.job = None
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._done.release()

    def wait(self, timeout: float = -1) -> None:
        """Wait until the work is done, ``timeout`` seconds at most (-1: for ever)."""
        if not self.ended:
            self._done.acquire(timeout=timeout)

    def outcome(self) -> T:
        """What the work returned; raises what it raised, which is then forgotten here."""
        __tracebackhide__ = True
        error, self._error = self._error, None
        if error is None:
            return self._result  # type: ignore[return-value]
        try:
            raise error
        finally:
            del error  # whose traceback refers to this frame

    def cancel(self) -> None:
        """Let the worker end early, if it has begun and may; else nobody does the work."""
        if self.take():
            self._end()
        elif self.cancellable:
            with self._lock:
                self.cancelled = True
                if self._wake >= 0:
                    os.eventfd_write(self._wake, 1)

    def wake(self) -> int:
        """A descriptor that can be read once the work is cancelled."""
        with self._lock:
            if self._wake < 0:
                self._wake = os.eventfd(int(self.cancelled), os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            return self._wake


class _OfThread(threading.local):
    """What a thread does for another one."""

    job: _Work[Any] | None = None


class _Pool:
    """The workers of this process.  They alone count themselves, as nothing interrupts them."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[_Work[Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._add()

    def _add(self) -> None:
        """Add a worker that waits; RuntimeError where the system has no thread left."""
        with self._lock:
            self._waiting += 1
        try:
            threading.Thread(target=self._work, name=NAME, daemon=True).start()
        except BaseException:
            with self._lock:
                self._waiting -= 1
            raise

    def _work(self) -> None:
        while True:
            job = self.jobs.get()
            with self._lock:
                self._waiting -= 1
                alone = self._waiting < IDLE - 1
            if alone:
                with contextlib.suppress(RuntimeError):  # then others wait for this one
                    self._add()
            if job.take():
                job.do()
            del job
            with self._lock:
                if self._waiting >= IDLE:
                    return
                self._waiting += 1


_own = _OfThread()
_pool: _Pool | None = None
_pool_lock = threading.Lock()


def _forget() -> None:
    """A forked process has none of the threads."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()
    _own.job = None


os.register_at_fork(after_in_child=_forget)


def _get_pool() -> _Pool:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = _Pool()
        return _pool


def undisturbed(work: Callable[[], T], *, cancellable: bool = True) -> T:
    """Call ``work`` where no signal handler interrupts it; return, or raise, what it does.

    An exception that comes to the calling thread meanwhile is raised as soon as ``work`` has
    ended: early where it waits by :mod:`vxlab.system.waiting` or :mod:`vxlab.system.processes`,
    unless it is not ``cancellable``; at the latest after :data:`PATIENCE` seconds.  Work within
    such work is called as it is.
    """
    __tracebackhide__ = True
    if _own.job is not None:
        return work()
    pool, job = _get_pool(), _Work(work, cancellable)
    try:
        pool.jobs.put(job)
        job.wait()
    except BaseException:
        job.cancel()
        job.wait(PATIENCE)
        raise
    return job.outcome()


def check_cancelled() -> None:
    """Cancelled in a worker for whose work nobody waits any longer; else nothing."""
    if _own.job is not None and _own.job.cancelled:
        raise Cancelled


def cancellation() -> int | None:
    """A descriptor that can be read once this worker's work is cancelled; None in other threads."""
    return _own.job.wake() if _own.job is not None else None
