"""Private namespaces round a whole program: user, mount, PID, network, UTS and IPC.

Inside, the program is root over devices of its own, and needs no privileges outside.  Whatever
happens to it, the kernel removes its processes, namespaces, devices, mounts and temporary files;
other files are the machine's, and what it writes there stays.  Inside there are

- uid 0; where the caller is root, all of the caller's other ids too, and with ``VXLAB_USERNS=no``
  no user namespace, in which some kernels allow less,
- a network namespace with ``lo`` up and nothing else, so no way to any real network,
- fresh ``/proc`` and ``/sys``, an empty ``/run``, an empty ``/dev/shm``, and ``TMPDIR`` in it,
- a read-only ``/etc``, all other folders as outside, with the caller's rights: a caller who is root
  can change them, and what the kernel has but once (``kernel.*`` settings, ``/sys/module``).

The pytest plugin enters it by itself.  Other programs use :func:`run` or :func:`reenter`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from vxlab.errors import SandboxError
from vxlab.sandbox import boot, mounts
from vxlab.system.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    lo_up,
    unshare,
)

_SANDBOX = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.dirname(_SANDBOX)

#: Starts :mod:`vxlab.sandbox.boot` with bare stand-ins for the packages above it, so that the start
#: of a sandbox does not wait for what those import.
STARTER = (
    "import sys\n"
    f"for name, folder in (('vxlab', {_PACKAGE!r}), ('vxlab.sandbox', {_SANDBOX!r})):\n"
    "    package = sys.modules[name] = type(sys)(name)\n"
    "    package.__path__ = [folder]\n"
    "from vxlab.sandbox.boot import main\n"
    "main(sys.argv[1:])\n"
)


def inside() -> bool:
    """True where the calling process runs in a sandbox, and in no PID namespace below it."""
    try:
        return os.environ.get(boot.VARIABLE) == boot.mark()
    except OSError:  # no /proc, or a system other than Linux
        return False


def reenter(argv: Sequence[str], *, keep: Iterable[str] = ()) -> None:
    """Replace the calling process by a sandbox that runs ``argv``; never returns.

    ``argv`` is a program and its arguments.
    The process keeps its id, terminal and open files, and ends as ``argv`` ends: by the same
    exit code or signal.  Where the system refuses, it ends with exit code 4 and one sentence on
    stderr.  ``keep`` names further paths to keep visible below ``/run`` and ``/dev/shm``; the
    working directory, Python's own folders, absolute paths in ``argv`` and named pipes in the
    environment are kept anyway.
    """
    command = _command(argv, keep)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the caller
            stream.flush()
    os.execve(command[0], command, _environment(os.environ))


def enter(argv: Sequence[str] | None = None, *, keep: Iterable[str] = ()) -> None:
    """Move the calling program, as it stands, into a sandbox; for one with a single thread.

    It continues as a new process.  The one that called stays outside, passes signals on and ends as
    the program does.  ``argv`` are words that may name files it needs (default: ``sys.argv``).
    Refusal and ``keep`` as for :func:`reenter`; SandboxError where it has more than one thread.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:  # only one of them would go along
        raise SandboxError(
            f"wanted to move this program into a sandbox, found that it has {threads} threads (a "
            "notebook or a debugger has), and only one with a single thread can be moved: call "
            "`vxlab.sandbox.enter()` before the others start, or run a program of its own by "
            "`vxlab.sandbox.run()`"
        )
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.environ.update(_environment(os.environ))
    boot.enter(_kept(sys.argv if argv is None else argv, keep))
    if tempfile := sys.modules.get("tempfile"):  # its choice may be a folder that is now hidden
        vars(tempfile)["tempdir"] = None


def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Run a program in a new sandbox, wait for it, and return its exit code.

    ``argv`` is the program and its arguments, ``env`` its environment (default: the caller's).
    128 + N stands for an end by signal N, 127 for a program that does not exist.  Raises
    SandboxError where the system refuses.  Ctrl-C reaches the program, which decides what it
    means.  It is killed when the caller ends.
    """
    import subprocess

    read, write = os.pipe()
    with open(read, encoding="utf-8", errors="replace") as report:
        try:
            process = subprocess.Popen(
                _command(argv, (), f"report={write}", f"parent={os.getpid()}"),
                env=_environment(os.environ if env is None else env),
                pass_fds=[write],
            )
        finally:
            os.close(write)
        while process.returncode is None:
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
        sentence = report.read()
    code = process.returncode
    if sentence:
        raise SandboxError(sentence)
    return code if code >= 0 else 128 - code


def why_not() -> str | None:
    """Why no sandbox can be made here, as one sentence; None where one can.

    A child process tries it.  Inside a sandbox the answer is None.
    """
    if inside():
        return None
    try:
        run([sys.executable, "-I", "-S", "-c", ""])
    except SandboxError as error:
        return str(error)
    return None


def isolate_worker(keep: Iterable[str] = ()) -> None:
    """Give the calling thread network, mount, UTS and IPC namespaces of its own.

    For the main thread of a program that shares a sandbox with others, such as a worker of
    pytest-xdist: it gets its own ``lo``, ``/sys`` and an empty ``/run``; temporary files and the
    PID namespace stay shared.  ``keep`` as for :func:`reenter`.  SandboxError where refused.
    """
    try:
        unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)
        mounts.private_mounts(_kept((), keep), everything=False)
        lo_up()
    except OSError as error:
        raise SandboxError(
            f"wanted namespaces of its own for process {os.getpid()}, found: {error.strerror}; "
            "start it inside a sandbox (`vxlab.sandbox.run`), or as root"
        ) from error


def _command(argv: Sequence[str], keep: Iterable[str], *options: str) -> list[str]:
    kept = [f"keep={path}" for path in _kept(argv, keep)]
    # coverage measures other processes through site, which is left out where none does
    measured = any(name.startswith("COVERAGE_PROCESS_") for name in os.environ)
    flags = ["-I"] if measured else ["-I", "-S"]
    return [sys.executable, *flags, "-c", STARTER, *options, *kept, "--", *argv]


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    """``base`` with the user's name, which inside can no longer be told from the uid."""
    env = dict(base)
    name = env.get("LOGNAME") or env.get("USER")
    if not name:
        import pwd

        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = str(os.getuid())
    return {**env, "LOGNAME": env.get("LOGNAME") or name, "USER": env.get("USER") or name}


def _kept(argv: Iterable[str], more: Iterable[str]) -> list[str]:
    """Those paths a run needs that lie in a folder that a sandbox covers or protects."""
    folders = {os.getcwd(), sys.prefix, sys.base_prefix, _PACKAGE, *more, *_named_pipes()}
    folders.update(path for path in sys.path if os.path.isabs(path) and os.path.exists(path))
    found = {os.path.realpath(path) for path in folders}
    for word in argv:
        # path::test and --option=path
        for path in (word.partition("::")[0], word.partition("=")[2]):
            if os.path.isabs(path) and _covered(real := os.path.realpath(path)):
                while not os.path.exists(real):  # yet to be written
                    real = os.path.dirname(real)
                found.add(real)
    return sorted(path for path in found if _covered(path) or path in _COVERED)


def _named_pipes() -> Iterator[str]:
    """Those that the environment names: from one of them an editor reads the results of a run."""
    for value in os.environ.values():
        with contextlib.suppress(OSError):
            if _covered(value) and stat.S_ISFIFO(os.stat(value).st_mode):
                yield value


#: Folders in which a sandbox hides or protects what is there.
_COVERED = {os.path.realpath(folder) for folder in (*mounts.COVERED, *mounts.PROTECTED)}


def _covered(path: str) -> bool:
    return path.startswith(tuple(folder + "/" for folder in _COVERED))
