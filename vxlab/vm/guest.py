"""A guest: what it starts from, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What to boot: images, memory in MB, and what goes in.

    ``kernel`` is a bzImage, ``start`` the first stage, ``root`` the root file system, ``modules``
    an image of the kernel's modules, None where it has none.  ``files`` is a tar with
    ``vxlab/command`` in it, None for a guest that is but to be saved; ``tools`` an image to be
    mounted where the file ``vxlab/tools`` of the tar says; ``snapshot`` what
    :meth:`~vxlab.vm.machine.Machine.save` has written, of a guest that differs in these alone: then
    it goes on from there.
    """

    kernel: Path
    start: Path
    root: Path
    modules: Path | None
    files: Path | None = None
    tools: Path | None = None
    memory: int = 1024
    snapshot: Path | None = None


class ExitKind(StrEnum):
    """In which way a guest ended."""

    DONE = "done"
    CRASHED = "kernel crashed"
    NO_BOOT = "boot failed"
    DEADLINE = "deadline"
    FULL = "disk full"
    LOST = "machine lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestExit:
    """How a guest ended: ``code`` is its command's exit code where it ended by itself.

    ``log`` is the kernel's log; ``reason`` says in a line why it did not end well, and
    ``fingerprint`` names a panic by what it said and where; ``seconds`` it ran in all, ``booted``
    are those until its command began, None where it never did.  ``fault`` is the signal by which a
    Python in it died that should not have (``SIGSEGV``), '' where none did.
    """

    kind: ExitKind
    code: int | None = None
    reason: str = ""
    fingerprint: str = ""
    log: str = ""
    seconds: float = 0.0
    booted: float | None = None
    fault: str = ""
