"""Run one program in private namespaces, and end as it ends.  Started by :mod:`vxlab.sandbox`.

    P         the process that the caller knows: makes the namespaces, passes signals on
    └── 1     first process of the PID namespace: makes the mounts, reaps orphans
        └──   the program

P and 1 share the caller's session, process group, terminal and open files.  When P dies, in
whatever way, the kernel kills 1; when 1 ends, the kernel kills all that is left in the PID
namespace; with the last of them go the mounts, the temporary files and the devices.

It runs without ``site`` and without ``vxlab/__init__.py`` (:data:`vxlab.sandbox.entering.STARTER`),
because each import delays every test run: it may import little, from the standard library and
from modules of this package that do the same.
``no_new_privs`` is not set: it would take the file capabilities and set-user-ID bits from
programs that run as another user than root in a node, and the namespaces already bound them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Callable, Sequence

from vxlab.system.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    lo_up,
    mount,
    unshare,
)

#: Exit code of a sandbox that could not be entered; pytest.ExitCode.USAGE_ERROR.
REFUSED = 4
#: Holds :func:`mark` inside a sandbox.
VARIABLE = "VXLAB_SANDBOX"
#: "no" where root is to make no user namespace, as in a machine that is thrown away afterwards:
#: there is less that kernels allow in one.
USERNS = "VXLAB_USERNS"
#: Folders that get a private, empty tmpfs; the second one holds the temporary files too.
COVERED = ("/run", "/dev/shm")
#: ``TMPDIR`` inside a sandbox; short, since the path of a UNIX socket ends at 108 bytes.
TEMP = "/dev/shm/tmp"

NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
MS_BIND = 4096  # linux/mount.h
# asm-generic/siginfo.h: sent by kill(2), by sigqueue(3)
SI_USER, SI_QUEUE = 0, -1
PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
WATCHED = PASSED_ON | {signal.SIGCHLD}

_libc = ctypes.CDLL(None, use_errno=True)


def mark() -> str:
    """What :data:`VARIABLE` holds in the calling process's PID namespace: its inode."""
    return str(os.stat("/proc/self/ns/pid").st_ino)


def die_with_parent(alive: Callable[[], bool]) -> None:
    """Be killed when the parent ends; end at once where ``alive()`` says that it has ended."""
    _libc.prctl(1, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)  # linux/prctl.h: PR_SET_PDEATHSIG
    if not alive():
        os._exit(128 + signal.SIGKILL)


# --- what is private -------------------------------------------------------------------------


def cover(target: str, mode: str, keep: Sequence[str]) -> None:
    """Put an empty tmpfs on ``target`` and bind those paths of ``keep`` that lie below it back in.

    OSError with EBUSY where ``target`` itself is to be kept.
    """
    target = os.path.realpath(target)
    wanted: list[tuple[str, int]] = []
    for path in sorted({os.path.realpath(path) for path in keep}):
        if path == target:
            raise OSError(errno.EBUSY, f"mount tmpfs on {target}: this run needs what lies in it")
        below = path.startswith(target + "/")
        if below and not any(path.startswith(kept + "/") for kept, _ in wanted):
            wanted.append((path, os.open(path, os.O_PATH | os.O_CLOEXEC)))
    os.makedirs(target, exist_ok=True)
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    for path, fd in wanted:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC))
        mount(f"/proc/self/fd/{fd}", path, "bind", MS_BIND | MS_REC)
        os.close(fd)


def private_mounts(keep: Sequence[str], *, everything: bool = True) -> None:
    """Give the calling thread's own mount namespace a private ``/run`` and a fresh ``/sys``.

    With ``everything`` also a fresh ``/proc``, for a new PID namespace, and a private
    ``/dev/shm`` that holds the temporary files.  Paths of ``keep`` stay visible.
    """
    here = os.getcwd()
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    if everything:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    cover(COVERED[0], "755", keep)
    if everything:
        cover(COVERED[1], "1777", keep)
        os.makedirs(TEMP, exist_ok=True)
        os.chmod(TEMP, 0o1777)
    os.chdir(here)


# --- entering --------------------------------------------------------------------------------


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _write_maps(pid: int) -> None:
    """Map the ids of the user namespace of ``pid``: root all it has, others themselves to root."""
    for kind, own in (("gid", os.getegid()), ("uid", os.geteuid())):
        path = f"/proc/{pid}/{kind}_map"
        try:
            if os.geteuid() != 0:
                raise PermissionError
            with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
                ranges = [line.split() for line in file]
            _write(path, "".join(f"{inner} {inner} {count}\n" for inner, _, count in ranges))
        except PermissionError:
            if kind == "gid":  # user_namespaces(7): or else a group could be dropped that forbids
                _write(f"/proc/{pid}/setgroups", "deny")
            _write(path, f"0 {own} 1\n")


def _enter() -> None:
    """Move this process into the namespaces; its next child is the first in the PID namespace.

    Only a process outside a user namespace may map more than one id, so a child does it.
    """
    if os.environ.get(USERNS) == "no" and os.geteuid() == 0:
        unshare(NAMESPACES)
        return
    go_read, go_write = os.pipe()
    parent = os.getpid()
    writer = os.fork()
    if writer == 0:
        code = 0
        os.close(go_write)
        if os.read(go_read, 1):
            try:
                _write_maps(parent)
            except OSError as error:
                code = error.errno or errno.EPERM
        os._exit(code)
    os.close(go_read)
    try:
        unshare(CLONE_NEWUSER | NAMESPACES)
        os.write(go_write, b"!")
    except OSError:
        if os.geteuid() != 0:
            raise
        # Root needs no user namespace for the others.
        unshare(NAMESPACES)
    finally:
        os.close(go_write)
        _, status = os.waitpid(writer, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise OSError(code, f"write uid_map and gid_map: {os.strerror(code)}")


# --- the first process inside ----------------------------------------------------------------


def _first(alive: int, report: int, keep: list[str]) -> None:
    """Life of the first process in the PID namespace; returns in its child, the program."""
    program, code = -1, 1
    try:
        die_with_parent(lambda: _still_open(alive))
        private_mounts(keep)
        lo_up()
        program = os.fork()
        if program == 0:
            return
        status = _tend(program)
        os.write(report, f"status {status}".encode())
        code = 0
    except OSError as error:
        os.write(report, f"refused {error.errno} {error.strerror}".encode())
    finally:
        if program != 0:
            os._exit(code)


def _still_open(pipe: int) -> bool:
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:
        return True


def _settle(mask: set[signal.Signals]) -> None:
    """Make the calling process what the program is to be: its variables and signals."""
    os.environ[VARIABLE] = mark()
    os.environ["TMPDIR"] = TEMP
    # pytest's own variable; a folder that is now hidden, as in a sandbox in a sandbox, is no use
    if not os.path.isdir(os.environ.get("PYTEST_DEBUG_TEMPROOT", "")):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = TEMP
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _execute(argv: list[str]) -> None:
    """Turn the calling process into the program; never returns."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python at its start
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"vxlab: wanted to run {argv[0]}, found: {error.strerror}\n".encode())
        unknown = isinstance(error, FileNotFoundError) or "/" not in argv[0]
        os._exit(127 if unknown else 126)


def _tend(program: int) -> int:
    """Reap orphans and pass signals on until ``program`` ends; its wait status.

    A signal that was sent to the whole process group (by a terminal, by timeout(1)) has reached
    the program already: then this process has its own copy, other than the one that P queues.
    """
    own_copy: dict[int, float] = {}
    while True:
        info = signal.sigwaitinfo(WATCHED)
        now = time.monotonic()
        if info.si_signo == signal.SIGCHLD:
            status = _reap(program)
            if status is not None:
                return status
        elif info.si_code != SI_QUEUE:
            own_copy[info.si_signo] = now
        elif now - own_copy.get(info.si_signo, -1.0) > 1.0:
            os.kill(program, info.si_signo)


def _reap(program: int) -> int | None:
    found = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return found
            if pid == program:
                found = status
    except ChildProcessError:
        return found


# --- the process that the caller knows -------------------------------------------------------


def _wait(first: int) -> int:
    """Pass signals on to ``first`` until it ends; its wait status."""
    while True:
        info = signal.sigwaitinfo(WATCHED)
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(first, os.WNOHANG)
            if pid:
                return status
        elif info.si_code <= SI_USER:  # by a process; a terminal sends to the whole group
            _libc.sigqueue(first, info.si_signo, ctypes.c_void_p(0))


def _end(status: int) -> None:
    """End as a process with this wait status ended: by its exit code, or by its signal."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _libc.prctl(4, ctypes.c_ulong(0), 0, 0, 0)  # PR_SET_DUMPABLE: one core dump is enough
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
        code = 128 - code
    os._exit(code)


def _run(keep: list[str], parent: int | None) -> int | None:
    """Fork a program in the namespaces, and see it through: its wait status, None in the program.

    OSError where the system refuses.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = {signal.Signals(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)}
    report_read, report_write = os.pipe()
    alive_read, alive_write = os.pipe()
    _enter()
    if parent is not None:  # only now: a change of credentials would undo it
        die_with_parent(lambda: os.getppid() == parent)
    first = os.fork()
    if first == 0:
        os.close(alive_write)
        os.close(report_read)
        _first(alive_read, report_write, keep)
        os.close(alive_read)
        os.close(report_write)
        _settle(mask)
        return None
    os.close(report_write)
    status = _wait(first)
    word, _, rest = os.read(report_read, 4096).decode().partition(" ")
    if word == "refused":
        code, _, text = rest.partition(" ")
        raise OSError(int(code), text)
    return int(rest) if word == "status" else status


def enter(keep: list[str], *, report: int | None = None, parent: int | None = None) -> None:
    """Return in the namespaces, as a new process; this one passes signals on, and ends as it does.

    ``keep`` are paths to keep visible, ``report`` a descriptor that gets the sentence on why the
    sandbox could not be entered (else stderr), ``parent`` the process to die with.
    """
    uid = os.geteuid()
    try:
        status = _run(keep, parent)
    except OSError as error:
        from vxlab.sandbox.refusals import explain

        sentence = explain(error, uid)
        os.write(report or 2, (sentence if report else f"vxlab: {sentence}\n").encode())
        os._exit(REFUSED)
    if status is not None:
        _end(status)


def main(words: list[str]) -> None:
    """``[keep=PATH]… [report=FD] [parent=PID] -- PROGRAM [ARGUMENT]…``; never returns."""
    split = words.index("--")
    options = [word.split("=", 1) for word in words[:split]]
    numbers = {key: int(value) for key, value in options if key != "keep"}
    report = numbers.get("report")
    if report is not None:
        os.set_inheritable(report, False)
    keep = [value for key, value in options if key == "keep"]
    enter(keep, report=report, parent=numbers.get("parent"))
    _execute(words[split + 1 :])
