"""The one thread of a process that starts programs in nodes.

Only a thread with a working directory of its own may change its mount namespace (setns(2)), so
this cannot be the calling one.  It stays in the node that it was in last, because most programs
are started in the same node as the one before.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vxlab.system.syscalls import (
    CLONE_FS,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    setns,
    unshare,
)

T = TypeVar("T")


class Launcher:
    """The one thread that starts programs; it lives as long as the process.

    It has unshared CLONE_FS, so the kernel lets it change its mount namespace.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self.pid = os.getpid()
        self.visited: object = None  # the Namespaces that the thread is in; None: the process's own
        self.proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.net, self.uts = open_namespace("net"), open_namespace("uts")
        self.mounts, self.pids = open_namespace("mnt"), open_namespace("pid")
        threading.Thread(target=self._work, name="vxlab-launcher", daemon=True).start()

    def _work(self) -> None:
        unshare(CLONE_FS)
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
            del job, future

    def call(self, job: Callable[[], T]) -> T:
        """Run ``job`` in the launcher's thread and return, or raise, what it does."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future.result()

    def leave(self, namespaces: object) -> None:
        """Move the thread back from a node, which would live on as long as it stayed there.

        Runs in the launcher's thread; does nothing where that is in another node.
        """
        if self.visited is not namespaces:
            return
        setns(self.net, CLONE_NEWNET)
        setns(self.uts, CLONE_NEWUTS)
        setns(self.mounts, CLONE_NEWNS)
        setns(self.pids, CLONE_NEWPID)
        self.visited = None

    def open(self, path: str) -> int:
        """Open a file of the process's own ``/proc``, whatever is mounted there just now."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)


_launcher: Launcher | None = None
_launcher_lock = threading.Lock()


def get_launcher() -> Launcher:
    """The launcher of this process, made at its first use and after each fork."""
    global _launcher
    with _launcher_lock:
        if _launcher is None or _launcher.pid != os.getpid():
            _launcher = Launcher()
        return _launcher


def leave(namespaces: object) -> None:
    """Move the launcher's thread out of a node that is about to be closed, where it is in that."""
    launcher = _launcher
    if launcher is not None and launcher.pid == os.getpid() and launcher.visited is namespaces:
        launcher.call(lambda: launcher.leave(namespaces))


def open_namespace(kind: str) -> int:
    """A descriptor of the calling thread's namespace: ``net``, ``uts``, ``mnt`` or ``pid``."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def working_directory() -> str:
    """The caller's working directory, which the launcher's thread does not share."""
    try:
        return os.getcwd()
    except FileNotFoundError:  # removed
        return "/"
