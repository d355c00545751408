"""How the processes of a sandbox start and end: signals passed on, orphans reaped, exit codes.

It may import as little as :mod:`vxlab.sandbox.boot`, and for the same reason.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable

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


def die_with_parent(alive: Callable[[], bool]) -> None:
    """Be killed when the parent ends; end at once where ``alive()`` says that it has ended."""
    _libc.prctl(1, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)  # linux/prctl.h: PR_SET_PDEATHSIG
    if not alive():
        os._exit(128 + signal.SIGKILL)


def tend(program: int) -> int:
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
    """Reap every child that has ended; the wait status of ``program`` if it is among them."""
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


def wait(first: int) -> int:
    """Pass signals on to ``first`` until it ends; its wait status."""
    while True:
        info = signal.sigwaitinfo(WATCHED)
        if info.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(first, os.WNOHANG)
            if pid:
                return status
        elif info.si_code <= SI_USER:  # by a process; a terminal sends to the whole group
            _libc.sigqueue(first, info.si_signo, ctypes.c_void_p(0))


def end_as(status: int) -> None:
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


def execute(argv: list[str]) -> None:
    """Turn the calling process into the program; never returns."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python at its start
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"vxlab: wanted to run {argv[0]}, found: {error.strerror}\n".encode())
        unknown = isinstance(error, FileNotFoundError) or "/" not in argv[0]
        os._exit(127 if unknown else 126)
