"""The namespaces of one node, and starting programs inside them.

A node is a network namespace, its ``lo`` up, and a UTS namespace (its host name), held open by file
descriptors and by nothing else: when the process that made them ends, in whatever way, the
kernel takes them away.

The first program started in a node gives it more: a PID namespace, so that its programs see
one another and nothing else, and a mount namespace with its own ``/proc``, ``/sys`` (which
shows the node's devices) and ``/run``.  Process 1 of a node is a ``cat`` that reads a pipe of
ours; when the pipe closes, because the node is closed or because we were killed, it ends, and
the kernel ends every program of the node with it.

Whatever is done in another network namespace is done by a worker (:mod:`vxlab.system.workers`), so
that no signal handler's exception leaves a thread there; :meth:`Namespaces.entered` is for the
blocks of others.  Programs are started from one thread of their own
(:mod:`vxlab.system.launcher`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, Any, TypeVar

from vxlab.errors import SandboxError, VxlabError
from vxlab.system import programs, replacing
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
from vxlab.system.visits import Visit, end_visits_to
from vxlab.system.workers import undisturbed

T = TypeVar("T")

#: Process 1 of a node: once it is a cat that echoes, its /proc is mounted, in mounts of its own.
#: It ignores SIGCHLD, so that no zombie stays of what others left to it (wait(2)).
_INIT = ("unshare", "--mount-proc", "env", "--ignore-signal=CHLD", "cat")


def write_file(path: str, text: str) -> None:
    """Write ``text`` to the file ``path`` below ``/proc``, as the calling thread sees it.

    OSError where the kernel refuses.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _file_of(text: str) -> IO[bytes]:
    """A file without a name that has ``text`` in it, to be read from its beginning."""
    file = os.fdopen(os.memfd_create("vxlab"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


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
            undisturbed(self._make)
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

    def __del__(self) -> None:
        """Release what nobody has closed, as after an exception in the middle of a lab's end."""
        if self._init is not None:
            self._init.stdin.close()  # type: ignore[union-attr]
        for fd in (self.net, self._uts, self._mnt, self._pids):
            if fd >= 0:
                os.close(fd)

    def close(self) -> None:
        """End all programs of the node and release its namespaces; safe to call twice.

        Where the calling thread still visits the node, that visit ends.
        """
        self.end_visits()
        undisturbed(self._close, cancellable=False)

    def end_visits(self) -> None:
        """End the calling thread's visits to the node, and those that began within them."""
        end_visits_to(self._descriptor)

    def _close(self) -> None:
        if self._init is not None:
            self._init.stdin.close()  # type: ignore[union-attr]
            left = [child for child in self._children if child.poll() is None]
            for child in left:  # process 1 ends only after all others were waited for
                child.wait()
                for pipe in (child.stdin, child.stdout, child.stderr):
                    if pipe is not None:
                        with contextlib.suppress(OSError):  # it has not read what it was given
                            pipe.close()
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

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """Within the block of a ``with`` the calling thread is in this network namespace.

        For what is called there and then, such as a library that opens sockets.  In asyncio a
        thread runs many tasks, and each ``await`` goes on with another one: so VxlabError where the
        block is a coroutine's.  What works there: ``await asyncio.to_thread(node.run, "ip", "a")``
        and any other method in a thread; ``node.socket()``, given to asyncio; and a plain function
        that enters, and returns before anything is awaited.
        """
        return Visit(self.name, self._descriptor)

    def visit(self, job: Callable[[], T]) -> T:
        """Call ``job`` in this network namespace, and return, or raise, what it does.

        It runs in another thread (:func:`vxlab.system.workers.undisturbed`).
        """
        return undisturbed(lambda: self._visited(job))

    def _visited(self, job: Callable[[], T]) -> T:
        with Visit(self.name, self._descriptor):
            return job()

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that belongs to this namespace, wherever it is used from afterwards.

        ``family`` (AF_*), ``kind`` (SOCK_*) and ``protocol`` are those of :func:`socket.socket`.
        OSError where the kernel refuses.
        """
        return self.visit(lambda: socket.socket(family, kind, protocol))

    def read(self, path: str) -> str:
        """The text of a file below ``/proc`` as this namespace shows it.

        Use ``/proc/thread-self/net/…`` for ``/proc/net/…``: the plain name follows the process's
        first thread, not the calling one.
        """

        def read() -> str:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()

        return self.visit(read)

    def write(self, path: str, text: str) -> None:
        """Write a file below ``/proc/sys/net`` of this namespace; OSError where refused."""
        self.visit(lambda: write_file(path, text))

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
        new_session: bool = False,
        kind: type[subprocess.Popen[Any]] = subprocess.Popen,
    ) -> subprocess.Popen[Any]:
        """Start a program in this node; MissingProgram where it is not installed.

        It ends with the node at the latest, and its pipes are closed then.  ``argv`` is the
        program and its arguments; ``argv0`` the name it is told it was started by, where that
        matters.  ``stdin``, ``stdout``, ``stderr`` and ``env`` (the whole environment; None: this
        process's) are those of :class:`subprocess.Popen`.  Pipes carry text unless ``text`` is
        False.  With ``new_session`` it leads a session of its own (setsid(2)), without a terminal.
        The result is of the class ``kind``.
        """
        program = find_program(argv[0])
        make: Callable[..., subprocess.Popen[Any]] = kind
        start = partial(
            make,
            [argv0 or argv[0], *argv[1:]],
            executable=program,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            text=text,
            errors="replace" if text else None,
            start_new_session=new_session,
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
        self,
        argv: Sequence[str],
        stdout: int | IO[Any] | None = subprocess.PIPE,
        *,
        stdin: str = "",
    ) -> subprocess.Popen[str]:
        """Start a program that ends soon by itself, and needs nothing of the node but its network.

        ``argv`` are its words, ``stdout`` is where its output goes (a pipe unless told otherwise).
        It shares all the rest with this process, which saves the node its first process; who
        starts it waits for it, or kills it.  It reads ``stdin``.  MissingProgram where it is not
        installed.
        """
        with _file_of(stdin) as given:
            start = partial(
                subprocess.Popen,
                argv,
                executable=find_program(argv[0]),
                stdin=given,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            return self.visit(start)

    def in_mounts(self, job: Callable[[], T]) -> T:
        """Call ``job`` where this node's own ``/proc``, ``/sys`` and ``/run`` are seen."""
        folder = working_directory()

        def visit() -> T:
            self._visit(folder)
            return job()

        return get_launcher().call(visit)

    def _descriptor(self) -> int:
        """The network namespace's; VxlabError once it is closed."""
        if self.closed:
            raise VxlabError(f"{self.name}: wanted to use the node, found its lab already closed")
        return self.net

    def _visit(self, folder: str) -> None:
        """Move the launcher's thread into all namespaces of this node, and into ``folder``."""
        net = self._descriptor()
        get_launcher().visited = self
        setns(net, CLONE_NEWNET)
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
    folder = programs.chosen_iproute2()
    if folder is not None:  # without a sandbox, which has them for all, only nodes have them
        replacing.mount_over_system(folder)
