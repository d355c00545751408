"""QEMU: starts a guest, follows it, and says how it ended.

A guest has no network and one processor (two bring nothing, vxlab waits for the kernel).  What its
command prints comes by one serial port, its reports (JSON, a line each) by another, the kernel's
log by a third; its files come back as a tar on a disk of their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import tarfile
import termios
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError
from vxlab.system.syscalls import die_with_parent
from vxlab.vm import cache, panic, qmp
from vxlab.vm.packages import program
from vxlab.vm.scratch import Scratch

#: A report of a guest, as it arrives.
Report = dict[str, Any]

#: Seconds that KVM has to boot a guest in, which takes it one; where it hangs, as it may inside of
#: another virtual machine, guests are emulated.
_KVM_DEADLINE = 12.0

#: The emulated processor.  The emulation of cmpxchg16b in QEMU 7.2 makes kernels crash at random;
#: all other features that are left out cost time: a tenth of what it takes with them.
_SLOW = ("erms", "fsrm", "avx", "avx2", "fma", "f16c", "la57", "smap", "smep")
_EMULATED = ("-accel", "tcg,thread=multi", "-cpu", ",-".join(("max", "cx16", *_SLOW)))
_KVM = ("-accel", "kvm", "-cpu", "host")

_COMMAND_LINE = (
    "console=ttyS0,115200 loglevel=4 panic=-1 oops=panic mitigations=off nokaslr tsc=reliable "
    "random.trust_cpu=on audit=0 selinux=0 apparmor=0 nowatchdog"
)
#: What was translated for one process is good for the next only at the same addresses: with random
#: ones a program takes three times as long to start.
_EMULATED_LINE = " norandmaps"

#: The sizes of the disks that are not the same for all guests of a kernel, in bytes; all of them
#: are sparse files.
INPUT, OUTPUT = 512 << 20, 256 << 20


class End(StrEnum):
    """How a guest ended."""

    DONE = "done"
    CRASHED = "kernel crashed"
    NO_BOOT = "boot failed"
    DEADLINE = "deadline"
    FULL = "disk full"
    LOST = "machine lost"


@dataclass(frozen=True, slots=True)
class Guest:
    """What to boot: images, memory in MB, and what goes in.

    ``files`` is a tar with ``vxlab/command`` in it, None for one that is but to be saved; ``tools``
    an image to be mounted where the file ``vxlab/tools`` of the tar says; ``snapshot`` what
    :meth:`Machine.save` has written, of a guest that differs in these alone: then it goes on from
    there.
    """

    kernel: Path
    start: Path
    root: Path
    modules: Path | None
    files: Path | None = None
    tools: Path | None = None
    memory: int = 1024
    snapshot: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a guest ended: ``code`` is its command's exit code where it ended by itself.

    ``log`` is the kernel's log; ``reason`` says in a line why it did not end well, and
    ``fingerprint`` names a panic by what it said and where; ``booted`` are the seconds until its
    command began, None where it never did.
    """

    end: End
    code: int | None = None
    reason: str = ""
    fingerprint: str = ""
    log: str = ""
    seconds: float = 0.0
    booted: float | None = None


@dataclass
class _Reader:
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


def _sized(file: Path, size: int = INPUT) -> Path:
    """A disk of that size, made larger where need be."""
    with file.open("ab") as disk:
        if disk.tell() < size:
            disk.truncate(size)
    return file


class Machine:
    """A running guest; a context manager that leaves neither process nor file behind."""

    def __init__(
        self,
        guest: Guest,
        *,
        deadline: float,
        output: Callable[[bytes], object] = lambda _: None,
        report: Callable[[Report], object] = lambda _: None,
        kvm: bool | None = None,
    ) -> None:
        self.guest, self.deadline = guest, deadline
        self._output, self._report = output, report
        self._kvm = has_kvm() if kvm is None else kvm
        self._scratch = Scratch()
        self._log, self._out, self._reports, self._errors, self._none, self._files = (
            self._scratch.file() for _ in range(6)
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._code: int | None = None
        self._booted: float | None = None
        self._full = ""
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
        pipe = subprocess.DEVNULL if self._saved is None else subprocess.PIPE
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [program("qemu-system-x86_64", "qemu-system-x86"), *self._words(terminal)],
                stdin=None if terminal else pipe,
                stdout=None if terminal else pipe,
                stderr=errors,
                bufsize=0,
                preexec_fn=die_with_parent,
                process_group=None if terminal else 0,
            )

    def _words(self, terminal: bool) -> Iterator[str]:
        guest = self.guest
        yield from ("-machine", "q35", *(_KVM if self._kvm else _EMULATED))
        yield from ("-m", str(guest.memory), "-smp", "1", "-nodefaults", "-display", "none")
        yield from ("-no-reboot", "-net", "none", "-kernel", str(guest.kernel))
        yield from ("-initrd", str(guest.start))
        yield from ("-serial", f"file:{self._log}")
        yield from (("-chardev", "stdio,id=t,signal=off") if terminal else ())
        yield from ("-serial", "chardev:t" if terminal else f"file:{self._out}")
        yield from ("-serial", f"file:{self._reports}")
        line = _COMMAND_LINE + ("" if self._kvm else _EMULATED_LINE)
        line += " vxlab.modules" if guest.modules else ""
        for path, only_read in self._disks():
            lock = "readonly=on,file.locking=off" if only_read else "cache=unsafe"
            yield from ("-drive", f"file={path},format=raw,if=virtio,{lock}")
        if self._saved is not None or guest.snapshot is not None:
            line += " vxlab.warm"
        if self._saved is not None:
            yield from ("-qmp", "stdio")
        elif guest.snapshot is not None:
            yield from ("-incoming", f"exec:cat {shlex.quote(str(guest.snapshot))}")
        yield from ("-append", line)

    def _disks(self) -> Iterator[tuple[Path, bool]]:
        """The files of its disks, and whether they are only read.

        All guests have all disks, those that change in one size: a stored guest knows them by it.
        """
        guest, none = self.guest, self._none
        yield guest.root, True
        yield guest.modules or _sized(none), True
        yield _sized(guest.tools or none), True
        yield _sized(guest.files or none), True
        yield _sized(self._files, OUTPUT), False

    def run(self) -> Outcome:
        """Start it, and wait until it has ended, one way or another."""
        self.start()
        return self.wait()

    def save(self, place: Path) -> Outcome:
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
            outcome = self.wait()
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
            fcntl.fcntl(terminal, fcntl.F_SETFL, flags)  # QEMU makes it non-blocking
        if outcome.code is None:
            raise VxlabError(f"virtual machine: {outcome.end}: {outcome.reason}")
        return outcome.code

    def wait(self) -> Outcome:
        """Follow the guest until it has ended, or its time has."""
        assert self._process
        began = time.monotonic()
        out, reports = _Reader(self._out), _Reader(self._reports)
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
        try:
            report = json.loads(line)
        except ValueError:  # a line that a crash has cut off
            return
        match report.get("guest"):
            case None:
                self._report(report)
            case "exit":
                self._code = int(report["value"])
            case "up":
                self._booted = seconds
            case "ready":
                assert self._process
                assert self._saved
                qmp.save(self._process, self._saved)
                self._code = 0
            case "full":
                self._full = f"nothing is left in its {report['value']}"
            case other:
                self._full = f"{other}: {report['value']}"

    def _judge(self, status: int, late: bool, seconds: float) -> Outcome:
        log = self._log.read_text(errors="replace")
        errors = self._errors.read_text(errors="replace").strip()
        end, reason, fingerprint = End.DONE, "", ""
        panicked = panic.message(log)
        if self._code is not None and not late:
            if self._full:
                end, reason = End.FULL, self._full
        elif late and "Kernel panic" not in log:
            end = End.DEADLINE
            reason = f"it had not ended after {self.deadline:g} s"
        elif panicked:  # also one that hung in it
            end, reason = End.CRASHED, panicked
            fingerprint = panic.fingerprint(log)
        elif status < 0:
            end, reason = End.LOST, f"QEMU was ended by {signal.Signals(-status).name}"
        elif status:
            end = End.NO_BOOT if self._booted is None else End.LOST
            reason = f"QEMU ended with {status}: {errors or 'no word'}"
            if end is End.NO_BOOT and self.guest.snapshot is not None:
                reason += "; `vxlab vm clean` removes its snapshot"
        else:
            end = End.NO_BOOT if self._booted is None else End.CRASHED
            last = [line for line in log.splitlines() if line.strip()][-1:]
            reason = f"it ended without a result; its log ends with: {''.join(last) or 'nothing'}"
        if self._booted is None and end in (End.CRASHED, End.DEADLINE):
            end, reason = End.NO_BOOT, f"{reason} (before any command)"
        return Outcome(end, self._code, reason, fingerprint, log, seconds, self._booted)

    def unpack(self, folder: Path) -> None:
        """Put the files that a guest gave back into a folder; none where it gave none."""
        with (
            contextlib.suppress(tarfile.ReadError),
            tarfile.open(self._files, "r:") as packed,
        ):
            packed.extractall(folder, filter="data")


def has_kvm() -> bool:
    """Whether KVM boots a guest in time; found out once for each boot of this machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = cache.part("kvm") / boot
    with contextlib.suppress(OSError):
        return note.read_text() == "yes"
    with cache.lock("kvm"):
        with contextlib.suppress(OSError):
            return note.read_text() == "yes"
        answer = _try_kvm()
        if answer is not None:
            cache.write(note, "yes" if answer else "no")
    return answer is True


def _try_kvm() -> bool | None:
    """Boot something by KVM; None where there is nothing to boot yet."""
    from vxlab.vm import images, kernels

    kernel = kernels.any_kept()
    if kernel is None:
        return None
    words = ("-machine", "q35", *_KVM, "-m", "256", "-nodefaults", "-display", "none")
    boot = ("-no-reboot", "-net", "none", "-serial", "stdio", "-kernel", str(kernel.image))
    line = ("-initrd", str(images.start(kernel)), "-append", f"{_COMMAND_LINE} vxlab.probe")
    name = program("qemu-system-x86_64", "qemu-system-x86")
    try:
        done = subprocess.run(
            [name, *words, *boot, *line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_KVM_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return b"vxlab: probed" in done.stdout


def to_terminal(data: bytes) -> None:
    """Show a guest's output."""
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
