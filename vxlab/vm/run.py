"""A command on another kernel: all that it takes, from a version to an outcome."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.vm import images, kernels, machine, project
from vxlab.vm.machine import Guest, Machine, Outcome, Report
from vxlab.vm.packages import Say, silent


@contextmanager
def guest(
    command: Sequence[str],
    *,
    kernel: kernels.Kernel,
    folder: Path | None = None,
    memory: int = 1024,
    environment: Mapping[str, str] | None = None,
    say: Say = silent,
) -> Iterator[Guest]:
    """What to boot for lines of shell, with the project in ``folder`` (by default this one)."""
    work = Path(tempfile.mkdtemp(prefix="vxlab-guest-"))
    try:
        root, modules, start = images.root(say), images.modules(kernel), images.start(kernel)
        say("packing the project")
        project.stage(folder or Path.cwd(), work / "tree")
        project.pack(work / "tree", work / "files.tar", command, environment)
        shutil.rmtree(work / "tree")
        yield Guest(kernel.image, start, root, modules, work / "files.tar", memory=memory)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(
    command: Sequence[str],
    *,
    kernel: str,
    modules: Path | None = None,
    folder: Path | None = None,
    deadline: float = 3600.0,
    memory: int = 1024,
    files: Path | None = None,
    output: Callable[[bytes], object] = lambda _: None,
    report: Callable[[Report], object] = lambda _: None,
    say: Say = silent,
) -> Outcome:
    """Run lines of shell on another kernel, in the project, and say how that ended.

    ``kernel`` is what :func:`vxlab.vm.kernels.find` takes, ``deadline`` in seconds, ``memory`` in
    MB.  What the command leaves in ``$VXLAB_OUTPUT`` goes to the folder ``files``.
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
    with guest(command, kernel=chosen, folder=folder, memory=memory, say=say) as built:
        kvm = machine.has_kvm()
        say(f"booting {chosen.release}" + ("" if kvm else " in emulation"))
        with Machine(built, deadline=deadline, output=output, report=report, kvm=kvm) as running:
            outcome = running.run()
            if files is not None:
                running.unpack(files)
    return outcome


def ready(*, kernel: str, modules: Path | None = None, say: Say = silent) -> None:
    """Fetch and make all that a guest of this kernel boots from, where that is not done yet."""
    chosen = kernels.find(kernel, modules=modules, say=say)
    images.root(say)
    images.modules(chosen)
    images.start(chosen)


def shell(*, kernel: str, modules: Path | None, memory: int, say: Say) -> int:
    """A prompt on another kernel, at this process's terminal."""
    chosen = kernels.find(kernel, modules=modules, say=say)
    size = os.get_terminal_size(sys.stdin.fileno())
    lines = [
        f"stty sane rows {size.lines or 24} cols {size.columns or 80}",
        "exec setsid --ctty bash --norc --noprofile -i",
    ]
    seen = {"TERM": os.environ.get("TERM") or "dumb", "PS1": f"{chosen.release}:\\w# "}
    with (
        guest(lines, kernel=chosen, memory=memory, environment=seen, say=say) as built,
        Machine(built, deadline=float("inf"), kvm=machine.has_kvm()) as running,
    ):
        say(f"booting {chosen.release}")
        return running.interact()
