"""A command on another kernel: all that it takes, from a version to how it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.vm import bundles, images, kernels, project, snapshots
from vxlab.vm.bundles import Bundle
from vxlab.vm.guest import Guest, GuestExit
from vxlab.vm.kvm import has_kvm
from vxlab.vm.machine import JsonObject, Machine
from vxlab.vm.notify import Notify, silent
from vxlab.vm.scratch import Scratch

#: So many files that were left out are named.
_SHOWN = 10


def parts(
    kernel: kernels.Kernel, *, memory: int = 1024, snapshot: bool = True, notify: Notify = silent
) -> Guest:
    """All that a guest of ``kernel`` starts from, made where it is not there yet; no input.

    ``memory`` is in MB.  With ``snapshot`` it goes on from where one of its kind was stored, if it
    is emulated; ``notify`` is told what takes time.
    """
    root, modules, start = images.root(notify), images.modules(kernel), images.start(kernel)
    guest = Guest(kernel=kernel.image, start=start, root=root, modules=modules, memory=memory)
    if not snapshot:
        return guest
    return snapshots.with_snapshot(guest, kvm=has_kvm(), notify=notify)


@contextmanager
def guest(
    command: Sequence[str],
    *,
    kernel: kernels.Kernel,
    folder: Path | None = None,
    memory: int = 1024,
    snapshot: bool = True,
    environment: Mapping[str, str] | None = None,
    terminal: bool = True,
    iproute2: Sequence[Bundle] = (),
    notify: Notify = silent,
) -> Iterator[Guest]:
    """What to start for the lines of shell ``command``, with the project in ``folder``.

    ``folder`` is by default this one, ``environment`` are variables of the command; its output is a
    ``terminal`` or not, ``iproute2`` are bundles to be mounted.  ``kernel``, ``memory``,
    ``snapshot`` and ``notify`` are as :func:`parts` has them.
    """
    found = parts(kernel, memory=memory, snapshot=snapshot, notify=notify)
    with Scratch() as scratch:
        notify("packing the project")
        files = scratch.file()
        tools, mount = bundles.image(iproute2) if iproute2 else (None, None)
        project.pack(
            folder or Path.cwd(), files, command, environment, terminal=terminal, tools=mount
        )
        yield replace(found, files=files, tools=tools)


def run_command(
    command: Sequence[str],
    *,
    kernel: str,
    modules: Path | None = None,
    folder: Path | None = None,
    deadline: float = 3600.0,
    memory: int = 1024,
    snapshot: bool = True,
    files: Path | None = None,
    terminal: bool = True,
    iproute2: Sequence[Bundle] = (),
    output: Callable[[bytes], object] = lambda _: None,
    report: Callable[[JsonObject], object] = lambda _: None,
    notify: Notify = silent,
) -> GuestExit:
    """Run lines of shell, the ``command``, on another kernel, and say how that ended.

    ``kernel`` and ``modules`` are what :func:`vxlab.vm.kernels.find` takes, ``deadline`` is in
    seconds, ``memory`` in MB.  The project in ``folder`` (by default this one) is inside.  With
    ``snapshot`` an emulated machine goes on from where one of its kind was stored after its start
    (:mod:`vxlab.vm.snapshots`).  The command's output is a ``terminal`` or not; the bundles
    ``iproute2`` are there at the same paths as here.  What the command leaves in ``$VXLAB_OUTPUT``
    goes to the folder ``files``; ``output`` gets what it prints, ``report`` what it reports,
    ``notify`` is told what takes time, and what was left out of the files.  VxlabError where the
    kernel, a program or the mirror is not there.
    """
    if files is not None:  # before all that takes time
        _make_folder(files)
    chosen = kernels.find(kernel, modules=modules, notify=notify)
    with guest(
        command,
        kernel=chosen,
        folder=folder,
        memory=memory,
        snapshot=snapshot,
        terminal=terminal,
        iproute2=iproute2,
        notify=notify,
    ) as built:

        def started(guest: Guest) -> GuestExit:
            notify(_starting(chosen, guest))
            with Machine(guest, deadline=deadline, output=output, report=report) as running:
                ended = running.run()
                if files is not None and not snapshots.is_bad(guest, ended, deadline):
                    _tell_left_out(running.unpack(files), notify)
            return ended

        ended = started(built)
        if snapshots.is_bad(built, ended, deadline):
            ended = started(snapshots.discarded(built, ended.fault or str(ended.kind), notify))
    return ended


def _make_folder(files: Path) -> None:
    try:
        files.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VxlabError(
            f"wanted a folder for what comes back, found {files}: {error.strerror}"
        ) from error


def _tell_left_out(lines: Sequence[str], notify: Notify) -> None:
    for line in lines[:_SHOWN]:
        notify(f"left out of what came back: {line}")
    if len(lines) > _SHOWN:
        notify(f"and {len(lines) - _SHOWN} more")


def prepare_kernel(*, kernel: str, modules: Path | None = None, notify: Notify = silent) -> None:
    """Fetch and make all that a guest of a kernel boots from, where that is not done yet.

    ``kernel`` and ``modules`` are what :func:`vxlab.vm.kernels.find` takes; ``notify`` is told what
    takes time.  VxlabError where the kernel, a program or the mirror is not there.
    """
    parts(kernels.find(kernel, modules=modules, notify=notify), notify=notify)


def _starting(kernel: kernels.Kernel, guest: Guest) -> str:
    if guest.snapshot is not None:
        return f"starting {kernel.release} from a snapshot, in emulation"
    return f"booting {kernel.release}" + ("" if has_kvm() else " in emulation")


def run_shell(
    *, kernel: str, modules: Path | None, memory: int, snapshot: bool = True, notify: Notify
) -> int:
    """A prompt on another kernel, at this process's terminal; the shell's exit code.

    ``kernel``, ``modules``, ``memory``, ``snapshot`` and ``notify`` are as :func:`run_command` has
    them, and so are the errors.
    """
    chosen = kernels.find(kernel, modules=modules, notify=notify)
    size = os.get_terminal_size(sys.stdin.fileno())
    lines = [
        f"stty sane rows {size.lines or 24} cols {size.columns or 80}",
        "exec setsid --ctty bash --norc --noprofile -i",
    ]
    seen = {"TERM": os.environ.get("TERM") or "dumb", "PS1": f"{chosen.release}:\\w# "}
    with (
        guest(
            lines, kernel=chosen, memory=memory, snapshot=snapshot, environment=seen, notify=notify
        ) as built,
        Machine(built, deadline=float("inf")) as running,
    ):
        notify(_starting(chosen, built))
        return running.interact()
