"""The namespaces of one node, and starting programs inside them.

A node is a network namespace, its ``lo`` up, and a UTS namespace (its host name), held open by file
descriptors and by nothing else: when the process that made them ends, in whatever way, the
kernel takes them away.

The first program started in a node gives it more: a PID namespace, so that its programs see
one another and nothing else, and a mount namespace with its own ``/proc``, ``/sys`` (which
shows the node's devices) and ``/run``.  Process 1 of a node is a ``cat`` that reads a pipe of
ours; when the pipe closes, because the node is closed or because we were killed, it ends, and
the kernel ends every program of the node with it.

The calling thread visits a network namespace with :meth:`Namespaces.entered`; that costs a few
microseconds.  Programs are started from one thread of their own (:mod:`vxlab.system.launcher`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import IO, Any, TypeVar

from vxlab.errors import SandboxError, VxlabError
from vxlab.system.launcher import get_launcher, leave, open_namespace, working_directory
from vxlab.system.programs import find_program
from vxlab.system.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    lo_up,
    mount,
    mount_sysfs,
    sethostname,
    setns,
    unshare,
)

T = TypeVar("T")

#: Process 1 of a node: once it is a cat that echoes, its /proc is mounted, in mounts of its own.
_INIT = ("unshare", "--mount-proc", "cat")


def write_file(path: str, text: str) -> None:
    """Write ``text`` to the file ``path`` below ``/proc``, as the calling thread sees it.

    OSError where the kernel refuses.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


class Namespaces:
    """The namespaces of one node: network and UTS, and once a program has run, PID and mount.

    ``name`` becomes the host name.  Raises SandboxError where the caller may not make
    namespaces.  Close it with :meth:`close`, or use it as a context manager.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._init: subprocess.Popen[str] | None = None
        self._children: list[subprocess.Popen[Any]] = []
        self.net = self._uts = self._mnt = self._pids = -1
        try:
            self._make()
        except OSError as error:
            self.close()
            if isinstance(error, PermissionError):
                problem = (
                    "no permission to make one: run inside the sandbox (pytest does it by "
                    "itself; `vxlab.sandbox`), or as root"
                )
            else:
                problem = (
                    f"{error.strerror}: raise the limit (open files: `ulimit -n`; namespaces: "
                    "sysctl user.max_net_namespaces)"
                )
            wanted = f"wanted a network namespace for {name!r}"
            raise SandboxError(f"{wanted}, found {problem}") from error

    def _make(self) -> None:
        """Make the namespaces; the calling thread is back in its own afterwards."""
        with contextlib.ExitStack() as undo:
            home = {"net": CLONE_NEWNET, "uts": CLONE_NEWUTS}
            homes = []
            for kind, flag in home.items():
                homes.append((open_namespace(kind), flag))
                undo.callback(os.close, homes[-1][0])
                setns(*homes[-1])  # the way back: refused where another user namespace owns it
            unshare(CLONE_NEWNET | CLONE_NEWUTS)
            for fd, flag in homes:
                undo.callback(setns, fd, flag)
            sethostname(self.name)
            lo_up()
            self.net = open_namespace("net")
            self._uts = open_namespace("uts")

    def __enter__(self) -> Namespaces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """True once :meth:`close` was called."""
        return self.net < 0

    def close(self) -> None:
        """End all programs of the node and release its namespaces; safe to call twice."""
        if self._init is not None:
            self._init.stdin.close()  # type: ignore[union-attr]
            for child in self._children:  # process 1 ends only after all others were waited for
                child.wait()
            self._init.wait()
            self._init.stdout.close()  # type: ignore[union-attr]
            self._init = None
            self._children.clear()
        leave(self)
        for fd in (self.net, self._uts, self._mnt, self._pids):
            if fd >= 0:
                os.close(fd)
        self.net = self._uts = self._mnt = self._pids = -1

    def path(self) -> str:
        """A path other programs of the same user can enter: ``nsenter --net=PATH``."""
        return f"/proc/{os.getpid()}/fd/{self.net}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Within the block the calling thread is in this network namespace."""
        self._checkopen_namespace()
        home = open_namespace("net")
        try:
            setns(self.net, CLONE_NEWNET)
            try:
                yield
            finally:
                setns(home, CLONE_NEWNET)
        finally:
            os.close(home)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that belongs to this namespace, wherever it is used from afterwards.

        ``family`` (AF_*), ``kind`` (SOCK_*) and ``protocol`` are those of :func:`socket.socket`.
        OSError where the kernel refuses.
        """
        with self.entered():
            return socket.socket(family, kind, protocol)

    def read(self, path: str) -> str:
        """The text of a file below ``/proc`` as this namespace shows it.

        Use ``/proc/thread-self/net/…`` for ``/proc/net/…``: the plain name follows the process's
        first thread, not the calling one.
        """
        with self.entered(), open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def write(self, path: str, text: str) -> None:
        """Write a file below ``/proc/sys/net`` of this namespace; OSError where refused."""
        with self.entered():
            write_file(path, text)

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        text: bool = True,
        argv0: str | None = None,
    ) -> subprocess.Popen[Any]:
        """Start a program in this node; MissingProgram where it is not installed.

        It ends with the node at the latest.  ``argv`` is the program and its arguments; ``argv0``
        the name it is told it was started by, where that matters.  ``stdin``, ``stdout``,
        ``stderr`` and ``env`` (the whole environment; None: this process's) are those of
        :class:`subprocess.Popen`.  Pipes carry text unless ``text`` is False.
        """
        program = find_program(argv[0])
        start = partial(
            subprocess.Popen,
            [argv0 or argv[0], *argv[1:]],
            executable=program,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            text=text,
            errors="replace" if text else None,
        )
        return get_launcher().call(partial(self._start, start, working_directory()))

    def _start(
        self, start: Callable[[], subprocess.Popen[Any]], folder: str
    ) -> subprocess.Popen[Any]:
        """Start a program from within the node; runs in the launcher's thread."""
        self._visit(folder)
        self._children = [child for child in self._children if child.poll() is None]
        child = start()
        self._children.append(child)
        return child

    def quick(
        self, argv: Sequence[str], stdout: int | IO[Any] | None = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a program that ends soon by itself, and needs nothing of the node but its network.

        It shares all the rest with this process, which saves the node its first process; who
        starts it waits for it, or kills it.  MissingProgram where it is not installed.
        """
        program = find_program(argv[0])
        with self.entered():
            return subprocess.Popen(
                argv,
                executable=program,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )

    def in_mounts(self, job: Callable[[], T]) -> T:
        """Call ``job`` where this node's own ``/proc``, ``/sys`` and ``/run`` are seen."""
        folder = working_directory()

        def visit() -> T:
            self._visit(folder)
            return job()

        return get_launcher().call(visit)

    def _checkopen_namespace(self) -> None:
        if self.closed:
            raise VxlabError(f"{self.name}: wanted to use the node, found its lab already closed")

    def _visit(self, folder: str) -> None:
        """Move the launcher's thread into all namespaces of this node, and into ``folder``."""
        self._checkopen_namespace()
        get_launcher().visited = self
        setns(self.net, CLONE_NEWNET)
        setns(self._uts, CLONE_NEWUTS)
        if self._init is None:
            self._start_init()
        else:
            setns(self._mnt, CLONE_NEWNS)
            setns(self._pids, CLONE_NEWPID)
        with contextlib.suppress(OSError):  # below /run, which is another one here
            os.chdir(folder)  # setns() to a mount namespace moves the thread to its root folder

    def _start_init(self) -> None:
        """Give the node its mount and PID namespaces; runs in the launcher's thread."""
        launcher = get_launcher()
        setns(launcher.mounts, CLONE_NEWNS)
        setns(launcher.pids, CLONE_NEWPID)
        unshare(CLONE_NEWNS | CLONE_NEWPID)
        _private_mounts()
        init = subprocess.Popen(
            [find_program(_INIT[0]), *_INIT[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert init.stdin
        assert init.stdout
        with contextlib.suppress(BrokenPipeError):
            init.stdin.write("ready\n")
            init.stdin.flush()
        if init.stdout.readline() != "ready\n":
            with contextlib.suppress(BrokenPipeError):
                init.communicate()
            raise SandboxError(f"{self.name}: wanted a /proc of its own, unshare refused it")
        self._mnt = launcher.open(f"{init.pid}/ns/mnt")
        setns(self._mnt, CLONE_NEWNS)
        self._pids = launcher.open(f"{init.pid}/ns/pid")
        self._init = init


def _private_mounts() -> None:
    """Give the calling thread's own mount namespace the node's ``/sys`` and an empty ``/run``."""
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount_sysfs()
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
