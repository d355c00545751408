"""QEMU: starts a guest, follows it, and says how it ended.

A guest has no network and one processor (two bring nothing, vxlab waits for the kernel).  What its
command prints comes by one serial port, its reports (JSON, a line each) by another, the kernel's
log by a third; its files come back as a tar on a disk of their own.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError
from vxlab.vm import children, panic, qemu, qmp, unpacking
from vxlab.vm.forkserver import FAULTS
from vxlab.vm.guest import ExitKind, Guest, GuestExit
from vxlab.vm.kvm import has_kvm
from vxlab.vm.scratch import Scratch

#: The largest exit code, and its digits.
_LARGEST_CODE, _DIGITS = 255, 3

#: What a guest's command reports, a line of JSON each.
JsonObject = dict[str, Any]


@dataclass
class _OutputReader:
    """Lines of a file that grows."""

    path: Path
    at: int = 0
    rest: bytes = field(default=b"")

    def new(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.at)
            data = file.read()
        self.at += len(data)
        return data

    def lines(self) -> Iterator[bytes]:
        *whole, self.rest = (self.rest + self.new()).split(b"\n")
        yield from whole


class Machine:
    """A running guest; a context manager that leaves neither process nor file behind.

    ``deadline`` is in seconds from its start.  ``output`` gets what its command prints, ``report``
    each object that the command reports; with ``kvm`` it is not emulated (by default where
    that works).
    """

    def __init__(
        self,
        guest: Guest,
        *,
        deadline: float,
        output: Callable[[bytes], object] = lambda _: None,
        report: Callable[[JsonObject], object] = lambda _: None,
        kvm: bool | None = None,
    ) -> None:
        self.guest, self.deadline = guest, deadline
        self._output, self._report = output, report
        self._kvm = has_kvm() if kvm is None else kvm
        self._scratch = Scratch()
        self._ports = qemu.Ports.of(self._scratch)
        self._process: subprocess.Popen[bytes] | None = None
        self._code: int | None = None
        self._booted: float | None = None
        self._full = ""
        self._fault = ""
        self._saved: Path | None = None

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()  # where it has not ended
            self._process.__exit__(None, None, None)
        self._scratch.close()

    @property
    def pid(self) -> int:
        """The process of QEMU."""
        assert self._process
        return self._process.pid

    def start(self, *, terminal: bool = False) -> None:
        """Start it; with ``terminal`` the command's input and output are this process's own."""
        saving = self._saved is not None
        pipe = subprocess.PIPE if saving else subprocess.DEVNULL
        words = qemu.options(
            self.guest, self._ports, kvm=self._kvm, terminal=terminal, saving=saving
        )
        with self._ports.errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [qemu.executable(), *words],
                stdin=None if terminal else pipe,
                stdout=None if terminal else pipe,
                stderr=errors,
                bufsize=0,
                preexec_fn=children.tied(),
                process_group=None if terminal else 0,
            )

    def run(self) -> GuestExit:
        """Start it, and wait until it has ended, one way or another."""
        self.start()
        return self.wait()

    def save(self, place: Path) -> GuestExit:
        """Start it without its input, and write its state to a file once it waits for one."""
        self._saved = place
        self.start()
        return self.wait()

    def interact(self) -> int:
        """Start it at this process's terminal, and wait; the exit code of its command."""
        terminal = sys.stdin.fileno()
        before, flags = termios.tcgetattr(terminal), fcntl.fcntl(terminal, fcntl.F_GETFL)
        try:
            tty.setraw(terminal)
            raw = termios.tcgetattr(terminal)
            raw[1] &= ~termios.ONLCR  # QEMU sets OPOST again, and the guest does this itself
            termios.tcsetattr(terminal, termios.TCSANOW, raw)
            self.start(terminal=True)
            ended = self.wait()
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
            fcntl.fcntl(terminal, fcntl.F_SETFL, flags)  # QEMU makes it non-blocking
        if ended.code is None:
            raise VxlabError(f"virtual machine: {ended.kind}: {ended.reason}")
        return ended.code

    def wait(self) -> GuestExit:
        """Follow the guest until it has ended, or its time has."""
        assert self._process
        began = time.monotonic()
        out, reports = _OutputReader(self._ports.output), _OutputReader(self._ports.reports)
        late = False
        ended = os.pidfd_open(self._process.pid)
        try:
            while True:
                over = bool(select.select([ended], [], [], 0.1)[0])
                if data := out.new():
                    self._output(data)
                for line in reports.lines():
                    self._take(line, time.monotonic() - began)
                if over:
                    break
                if time.monotonic() - began >= self.deadline:
                    late = True
                    self._process.kill()
        finally:
            os.close(ended)
        status = self._process.wait()
        return self._judge(status, late, time.monotonic() - began)

    def _take(self, line: bytes, seconds: float) -> None:
        """Do what a report means; what is none, as a line that a crash has cut off, is nothing."""
        try:
            report = json.loads(line)
        except (ValueError, RecursionError):
            return
        match report:
            case {"guest": "exit", "value": value}:
                self._code = _number_of(value, self._code)
            case {"guest": "up"}:
                self._booted = seconds
            case {"guest": "ready"}:
                self._store()
            case {"guest": "fault", "value": value}:
                self._fault = _fault_of(128 + (_number_of(value, None) or 0))
            case {"guest": "full", "value": value}:
                self._full = f"nothing is left in its {value}"
            case {"guest": str(other), "value": value}:
                self._full = f"{other}: {value}"
            case {"guest": _}:
                pass
            case dict():
                self._report(report)

    def _store(self) -> None:
        """It is ready to be stored; one that nobody wants to store says so for nothing."""
        if self._process and self._saved:
            qmp.save(self._process, self._saved)
            self._code = 0

    def _judge(self, status: int, late: bool, seconds: float) -> GuestExit:
        log = self._ports.log.read_text(errors="replace")
        kind, reason = self._kind_of(status, late, log)
        fingerprint = panic.fingerprint(log) if kind is ExitKind.CRASHED else ""
        if self._booted is None and kind in (ExitKind.CRASHED, ExitKind.DEADLINE):
            kind, reason = ExitKind.NO_BOOT, f"{reason} (before any command)"
        return GuestExit(
            kind=kind,
            code=self._code,
            reason=reason,
            fingerprint=fingerprint,
            log=log,
            seconds=seconds,
            booted=self._booted,
            fault=self._fault or _fault_of(self._code),
        )

    def _kind_of(self, status: int, late: bool, log: str) -> tuple[ExitKind, str]:
        """In which way it has ended, and why; ``status`` is QEMU's exit status."""
        panicked = panic.message(log)
        if self._code is not None and not late:
            return (ExitKind.FULL if self._full else ExitKind.DONE), self._full
        if late and "Kernel panic" not in log:
            return ExitKind.DEADLINE, f"it had not ended after {self.deadline:g} s"
        if panicked:  # also one that hung in it
            return ExitKind.CRASHED, panicked
        if status < 0:
            return ExitKind.LOST, f"QEMU was ended by {signal.Signals(-status).name}"
        if status:
            errors = self._ports.errors.read_text(errors="replace").strip()
            reason = f"QEMU ended with {status}: {errors or 'no word'}"
            if self._booted is not None:
                return ExitKind.LOST, reason
            return ExitKind.NO_BOOT, reason
        last = "".join([line for line in log.splitlines() if line.strip()][-1:])
        kind = ExitKind.NO_BOOT if self._booted is None else ExitKind.CRASHED
        return kind, f"it ended without a result; its log ends with: {last or 'nothing'}"

    def unpack(self, folder: Path) -> list[str]:
        """Put the files that a guest gave back into a folder; a line for each that was left out."""
        return unpacking.unpack(self._ports.files, folder)


def _number_of(value: object, otherwise: int | None) -> int | None:
    """The exit code or signal, from 0 to 255, that a report has; ``otherwise`` for any other."""
    if isinstance(value, (str, int)) and str(value).isdecimal() and len(str(value)) <= _DIGITS:
        number = int(value)
        return number if number <= _LARGEST_CODE else otherwise
    return otherwise


def _fault_of(code: int | None) -> str:
    """The signal of a fault that an exit code stands for, as a shell has it; '' where none."""
    number = (code or 0) - 128
    return signal.Signals(number).name if number in FAULTS else ""


def to_terminal(data: bytes) -> None:
    """Show what a guest has printed."""
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
