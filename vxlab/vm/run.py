"""A command on another kernel: all that it takes, from a version to an outcome."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.vm import images, kernels, machine, project, snapshots
from vxlab.vm.machine import Guest, Machine, Outcome, Report
from vxlab.vm.packages import Say, silent
from vxlab.vm.scratch import Scratch


def parts(
    kernel: kernels.Kernel, *, memory: int = 1024, snapshot: bool = True, say: Say = silent
) -> Guest:
    """All that a guest of this kernel starts from, made where it is not there yet; no input."""
    root, modules, start = images.root(say), images.modules(kernel), images.start(kernel)
    guest = Guest(kernel.image, start, root, modules, memory=memory)
    if not snapshot:
        return guest
    return snapshots.with_snapshot(guest, kvm=machine.has_kvm(), say=say)


@contextmanager
def guest(
    command: Sequence[str],
    *,
    kernel: kernels.Kernel,
    folder: Path | None = None,
    memory: int = 1024,
    snapshot: bool = True,
    environment: Mapping[str, str] | None = None,
    say: Say = silent,
) -> Iterator[Guest]:
    """What to start for lines of shell, with the project in ``folder`` (by default this one)."""
    found = parts(kernel, memory=memory, snapshot=snapshot, say=say)
    with Scratch() as scratch:
        say("packing the project")
        files = scratch.file()
        project.pack(folder or Path.cwd(), files, command, environment)
        yield replace(found, files=files)


def run(
    command: Sequence[str],
    *,
    kernel: str,
    modules: Path | None = None,
    folder: Path | None = None,
    deadline: float = 3600.0,
    memory: int = 1024,
    snapshot: bool = True,
    files: Path | None = None,
    output: Callable[[bytes], object] = lambda _: None,
    report: Callable[[Report], object] = lambda _: None,
    say: Say = silent,
) -> Outcome:
    """Run lines of shell on another kernel, in the project, and say how that ended.

    ``kernel`` is what :func:`vxlab.vm.kernels.find` takes, ``deadline`` in seconds, ``memory`` in
    MB.  With ``snapshot`` an emulated machine goes on from where one of its kind was stored after
    its start (:mod:`vxlab.vm.snapshots`).  What the command leaves in ``$VXLAB_OUTPUT`` goes to the
    folder ``files``.
    VxlabError where the kernel, a program or the mirror is not there.
    """
    if files is not None:  # before all that takes time
        try:
            files.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VxlabError(
                f"wanted a folder for what comes back, found {files}: {error.strerror}"
            ) from error
    chosen = kernels.find(kernel, modules=modules, say=say)
    with guest(
        command, kernel=chosen, folder=folder, memory=memory, snapshot=snapshot, say=say
    ) as built:
        say(_starting(chosen, built))
        with Machine(built, deadline=deadline, output=output, report=report) as running:
            outcome = running.run()
            if files is not None:
                running.unpack(files)
    return outcome


def ready(*, kernel: str, modules: Path | None = None, say: Say = silent) -> None:
    """Fetch and make all that a guest of this kernel boots from, where that is not done yet."""
    parts(kernels.find(kernel, modules=modules, say=say), say=say)


def _starting(kernel: kernels.Kernel, guest: Guest) -> str:
    if guest.snapshot is not None:
        return f"starting {kernel.release} from a snapshot, in emulation"
    return f"booting {kernel.release}" + ("" if machine.has_kvm() else " in emulation")


def shell(
    *, kernel: str, modules: Path | None, memory: int, snapshot: bool = True, say: Say
) -> int:
    """A prompt on another kernel, at this process's terminal."""
    chosen = kernels.find(kernel, modules=modules, say=say)
    size = os.get_terminal_size(sys.stdin.fileno())
    lines = [
        f"stty sane rows {size.lines or 24} cols {size.columns or 80}",
        "exec setsid --ctty bash --norc --noprofile -i",
    ]
    seen = {"TERM": os.environ.get("TERM") or "dumb", "PS1": f"{chosen.release}:\\w# "}
    with (
        guest(
            lines, kernel=chosen, memory=memory, snapshot=snapshot, environment=seen, say=say
        ) as built,
        Machine(built, deadline=float("inf")) as running,
    ):
        say(_starting(chosen, built))
        return running.interact()
