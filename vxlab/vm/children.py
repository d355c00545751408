"""Programs that vxlab runs for itself: they end with it, however that ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vxlab.system.syscalls import die_with_parent


def tied() -> Callable[[], None]:
    """A ``preexec_fn`` of a program that is to be killed where the calling thread ends."""
    parent = os.getpid()

    def tie() -> None:
        die_with_parent()
        if os.getppid() != parent:  # it has ended before it could be tied to
            os._exit(1)

    return tie


def run(words: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a program and wait for it; it is killed where this process is.

    ``words`` are its name and arguments, ``options`` those of :func:`subprocess.run`, but for
    ``check``: its exit code is the caller's to judge.  OSError where it cannot be run,
    subprocess.TimeoutExpired where it did not end within ``timeout`` seconds.
    """
    return subprocess.run(words, preexec_fn=tied(), check=False, **options)


def start(words: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """Start a program that is killed where this process is.

    ``words`` are its name and arguments, ``options`` those of :class:`subprocess.Popen`.  OSError
    where it cannot be run.
    """
    return subprocess.Popen(words, preexec_fn=tied(), **options)
