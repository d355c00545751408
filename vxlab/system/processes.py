"""Waiting for programs, and ending them with all that they started."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.system.workers import Cancelled, cancellation

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed to ``stdout`` and ``stderr``, as bytes."""

    stdout: bytes
    stderr: bytes


def finish(
    process: subprocess.Popen[Any], stdin: bytes = b"", timeout: float | None = None
) -> Output:
    """Wait for the end of ``process``, and return what it printed to its pipes until then.

    ``stdin`` is what it gets to read, where it has a pipe for that.  What it started may live on,
    also with its pipes, which are closed.  TimeoutExpired, with what it printed, after ``timeout``
    seconds (None: never); then, and where any other exception passes, it is killed with all that it
    started.
    """
    talk = _Talk(process, stdin)
    try:
        talk.until_end(timeout)
        process.wait()
    except subprocess.TimeoutExpired as error:
        end(process)
        error.output, error.stderr = (output := talk.output()).stdout, output.stderr
        raise
    except BaseException:
        end(process)
        raise
    finally:
        talk.close()
    return talk.output()


def wait_for_end(process: subprocess.Popen[Any], timeout: float | None = None) -> bool:
    """Wait ``timeout`` seconds (None: for ever) for a process to end; False where it has not."""
    try:
        _Talk(process, b"", pipes=False).until_end(timeout)
    except subprocess.TimeoutExpired:
        return False
    process.wait()
    return True


class _Talk:
    """What goes to a program, and comes from it, until it ends."""

    def __init__(self, process: subprocess.Popen[Any], data: bytes, *, pipes: bool = True) -> None:
        self._process = process
        self._left = memoryview(data)
        self._stdin = process.stdin if pipes else None
        self._files = [process.stdout, process.stderr] if pipes else [None, None]
        self._parts: dict[int, list[bytes]] = {f.fileno(): [] for f in self._files if f}

    def until_end(self, timeout: float | None) -> None:
        """Feed and read it until it ends; TimeoutExpired after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with contextlib.suppress(ProcessLookupError), contextlib.ExitStack() as stack:
            # no such process: another thread has seen its end
            ending = os.pidfd_open(self._process.pid)
            stack.callback(os.close, ending)
            selector = stack.enter_context(selectors.PollSelector())
            self._register(selector, ending)
            while self._process.returncode is None:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if self._step(selector, left):
                    break
                if deadline is not None and time.monotonic() >= deadline:
                    raise subprocess.TimeoutExpired(self._process.args, timeout or 0.0)
        self._drain()

    def _register(self, selector: selectors.BaseSelector, ending: int) -> None:
        """Look at all that may happen; the data of each is what is called then."""
        selector.register(ending, selectors.EVENT_READ, lambda *_: True)
        for fd in self._parts:
            selector.register(fd, selectors.EVENT_READ, self._read)
        wake = cancellation()
        if wake is not None:
            selector.register(wake, selectors.EVENT_READ, _cancelled)
        if self._stdin is not None:
            os.set_blocking(self._stdin.fileno(), False)
            selector.register(self._stdin.fileno(), selectors.EVENT_WRITE, self._feed)

    def _step(self, selector: selectors.BaseSelector, timeout: float | None) -> bool:
        """Wait for something to happen, and see to it; true once the program has ended."""
        seen = [key.data(selector, key.fd) for key, _ in selector.select(timeout)]
        return any(seen)

    def _read(self, selector: selectors.BaseSelector, fd: int) -> bool:
        part = os.read(fd, _CHUNK)
        self._parts[fd].append(part)
        if not part:
            selector.unregister(fd)
        return False

    def _feed(self, selector: selectors.BaseSelector, fd: int) -> bool:
        """Write some of what the program reads, and close its end."""
        try:
            self._left = self._left[os.write(fd, self._left[:_CHUNK]) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:  # it does not want to read all
            self._left = self._left[:0]
        if not self._left and self._stdin is not None:
            selector.unregister(fd)
            self._stdin.close()
        return False

    def _drain(self) -> None:
        """Read what the pipes hold at this moment, and not what others will write to them."""
        for fd, parts in self._parts.items():
            left = array.array("i", [0])
            fcntl.ioctl(fd, termios.FIONREAD, left)
            while left[0] > 0 and (part := os.read(fd, left[0])):
                parts.append(part)
                left[0] -= len(part)

    def close(self) -> None:
        """Close all pipes."""
        for file in (self._stdin, *self._files):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()

    def output(self) -> Output:
        """What was read; nothing of what is no pipe."""
        parts = iter(self._parts.values())
        stdout, stderr = (b"".join(next(parts)) if file else b"" for file in self._files)
        return Output(stdout, stderr)


def _cancelled(*_: object) -> bool:
    raise Cancelled


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a program and all that it started, and wait for its end.

    That is what descends from it, and what is in the session that it leads, if it does.  Nothing
    where its end was seen already.
    """
    if process.returncode is not None:
        return
    stopped: set[int] = set()
    while new := _family(process.pid) - stopped:  # who is stopped starts no others
        for pid in new:
            _send(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        _send(pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _family(first: int) -> set[int]:
    """The process ``first``, those of its session, and those that descend from any of these."""
    rows = list(_processes())
    found = {pid for pid, _, session in rows if first in (pid, session)}
    while more := {pid for pid, parent, _ in rows if parent in found} - found:
        found |= more
    return found


def _processes() -> Iterator[tuple[int, int, int]]:
    """The number of each process that lives, and those of its parent and its session (proc(5))."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # ended meanwhile
            stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            state, parent, _, session = stat.rpartition(")")[2].split()[:4]
            if state not in "ZX":
                yield int(name), int(parent), int(session)
