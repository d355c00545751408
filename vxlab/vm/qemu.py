"""The command line of QEMU for a guest: its processor, its ports and its disks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vxlab.vm.guest import Guest
from vxlab.vm.packages import program
from vxlab.vm.scratch import Scratch

#: The emulated processor.  The emulation of cmpxchg16b in QEMU 7.2 makes kernels crash at random;
#: all other features that are left out cost time: a tenth of what it takes with them.
_SLOW = ("erms", "fsrm", "avx", "avx2", "fma", "f16c", "la57", "smap", "smep")
_EMULATED = ("-accel", "tcg,thread=multi", "-cpu", ",-".join(("max", "cx16", *_SLOW)))
#: The processor with KVM.
KVM = ("-accel", "kvm", "-cpu", "host")

#: What every kernel is told.
KERNEL_OPTIONS = (
    "console=ttyS0,115200 loglevel=4 panic=-1 oops=panic mitigations=off nokaslr tsc=reliable "
    "random.trust_cpu=on audit=0 selinux=0 apparmor=0 nowatchdog"
)
#: What was translated for one process is good for the next only at the same addresses: with random
#: ones a program takes three times as long to start.
_EMULATED_OPTIONS = " norandmaps"

#: The sizes of the disks that are not the same for all guests of a kernel, in bytes; all of them
#: are sparse files.
INPUT, OUTPUT = 512 << 20, 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The files behind a guest's serial ports, and behind its disks that no image is for.

    ``log`` has what the kernel says, ``output`` what the command prints, ``reports`` its reports;
    ``errors`` has what QEMU says.  ``empty`` is a disk with nothing on it, ``files`` the one with
    what comes back.
    """

    log: Path
    output: Path
    reports: Path
    errors: Path
    empty: Path
    files: Path

    @classmethod
    def of(cls, scratch: Scratch) -> Ports:
        """New ones, all of them empty."""
        log, output, reports, errors, empty, files = (scratch.file() for _ in range(6))
        return cls(log=log, output=output, reports=reports, errors=errors, empty=empty, files=files)


def executable() -> str:
    """The path of QEMU; MissingProgram where it is not installed."""
    return program("qemu-system-x86_64", "qemu-system-x86")


def options(
    guest: Guest, ports: Ports, *, kvm: bool, terminal: bool = False, saving: bool = False
) -> Iterator[str]:
    """The words after QEMU's name.

    ``guest`` is what it boots, ``ports`` are its files; without ``kvm`` it is emulated.  With
    ``terminal`` the command's input and output are QEMU's own; ``saving`` is for a guest that waits
    to be stored, by QEMU's protocol on its input and output.
    """
    yield from ("-machine", "q35", *(KVM if kvm else _EMULATED))
    yield from ("-m", str(guest.memory), "-smp", "1", "-nodefaults", "-display", "none")
    yield from ("-no-reboot", "-net", "none", "-kernel", str(guest.kernel))
    yield from ("-initrd", str(guest.start))
    yield from ("-serial", f"file:{ports.log}")
    yield from (("-chardev", "stdio,id=t,signal=off") if terminal else ())
    yield from ("-serial", "chardev:t" if terminal else f"file:{ports.output}")
    yield from ("-serial", f"file:{ports.reports}")
    line = KERNEL_OPTIONS + ("" if kvm else _EMULATED_OPTIONS)
    line += " vxlab.modules" if guest.modules else ""
    for path, only_read in disks(guest, ports):
        lock = "readonly=on,file.locking=off" if only_read else "cache=unsafe"
        name = str(path).replace(",", ",,")  # a single one would begin another option
        yield from ("-drive", f"file={name},format=raw,if=virtio,{lock}")
    if saving or guest.snapshot is not None:
        line += " vxlab.warm"
    if saving:
        yield from ("-qmp", "stdio")
    elif guest.snapshot is not None:
        yield from ("-incoming", f"exec:cat {shlex.quote(str(guest.snapshot))}")
    yield from ("-append", line)


def disks(guest: Guest, ports: Ports) -> Iterator[tuple[Path, bool]]:
    """The files of a guest's disks, and whether they are only read.

    All guests have all disks, those that change in one size: a stored guest knows them by it.
    """
    yield guest.root, True
    yield guest.modules or _sized(ports.empty), True
    yield _sized(guest.tools or ports.empty), True
    yield _sized(guest.files or ports.empty), True
    yield _sized(ports.files, OUTPUT), False


def _sized(file: Path, size: int = INPUT) -> Path:
    """A disk of that size, made larger where need be."""
    with file.open("ab") as disk:
        if disk.tell() < size:
            disk.truncate(size)
    return file
