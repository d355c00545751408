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

import errno
import os
import signal

from vxlab.sandbox.mounts import TEMP, hidden_parts, private_mounts
from vxlab.sandbox.supervision import WATCHED, die_with_parent, end_as, execute, tend, wait
from vxlab.system.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    lo_up,
    unshare,
)

#: Exit code of a sandbox that could not be entered; pytest.ExitCode.USAGE_ERROR.
REFUSED = 4
#: Holds :func:`mark` inside a sandbox.
VARIABLE = "VXLAB_SANDBOX"
#: "no" where root is to make no user namespace, as in a machine that is thrown away afterwards:
#: there is less that kernels allow in one.
USERNS = "VXLAB_USERNS"

NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET


def mark() -> str:
    """What :data:`VARIABLE` holds in the calling process's PID namespace: its inode."""
    return str(os.stat("/proc/self/ns/pid").st_ino)


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


def _write_maps_when_told(go: int, pid: int) -> int:
    """Wait for a byte in the pipe ``go``, then write the maps; 0, or the error number."""
    try:
        if os.read(go, 1):  # none: there is no user namespace to write them for
            _write_maps(pid)
    except OSError as error:
        return error.errno or errno.EPERM
    return 0


def _does_without_userns() -> bool:
    """Make the namespaces without a user namespace where root wants that, or can run only so."""
    is_wanted = os.environ.get(USERNS) == "no"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        if not is_wanted and not hidden_parts(file.read()):
            return False
    try:
        unshare(NAMESPACES)
    except PermissionError:  # root of a container, who has few rights
        if is_wanted:
            raise
        return False
    return True


def _enter() -> None:
    """Move this process into the namespaces; its next child is the first in the PID namespace.

    Only a process outside a user namespace may map more than one id, so a child does it.
    """
    if os.geteuid() == 0 and _does_without_userns():
        return
    go_read, go_write = os.pipe()
    parent = os.getpid()
    writer = os.fork()
    if writer == 0:
        os.close(go_write)
        os._exit(_write_maps_when_told(go_read, parent))
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
    """What the first process in the PID namespace does; returns in its child, the program."""
    program, code = -1, 1
    try:
        die_with_parent(lambda: _still_open(alive))
        private_mounts(keep)
        lo_up()
        program = os.fork()
        if program == 0:
            return
        status = tend(program)
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


# --- the process that the caller knows -------------------------------------------------------


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
    status = wait(first)
    word, _, rest = os.read(report_read, 4096).decode().partition(" ")
    if word == "refused":
        code, _, text = rest.partition(" ")
        raise OSError(int(code), text)
    return int(rest) if word == "status" else status


def enter(keep: list[str], *, report: int | None = None, parent: int | None = None) -> None:
    """Return in the namespaces, as a new process; this one passes signals on, and ends as it does.

    ``keep`` are paths to keep visible, ``report`` a descriptor that gets the sentence on why the
    sandbox could not be entered (None: stderr does), ``parent`` the id of the process to die with.
    """
    uid = os.geteuid()
    process = os.open("/proc/self", os.O_RDONLY | os.O_CLOEXEC)  # which a new /proc has no more
    try:
        status = _run(keep, parent)
    except OSError as error:
        from vxlab.sandbox.refusals import explain

        sentence = explain(error, uid, process=process)
        os.write(report or 2, (sentence if report else f"vxlab: {sentence}\n").encode())
        os._exit(REFUSED)
    os.close(process)
    if status is not None:
        end_as(status)


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
    execute(words[split + 1 :])
