"""Folders to make things in, of which nothing stays behind.

Who makes something holds a lock on the folder (flock(2)), which the kernel takes away where the
process is killed: what nobody holds is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: How the names of all of them begin.
_PREFIX = ".vxlab-half-made-"


@contextlib.contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """An empty folder in the folder ``parent``, which is gone afterwards.

    What is to be kept is moved out of it.  OSError where there can be none.
    """
    place, held = _held(parent)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(held)


def sweep(parent: Path) -> None:
    """Remove from the folder ``parent`` what was left there by those that were killed."""
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith(_PREFIX):
                _remove_unheld(parent / name)


def _held(parent: Path) -> tuple[Path, int]:
    """A new folder, and a descriptor that holds the lock on it."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError):  # swept before it was held: another one
            held = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(held, fcntl.LOCK_EX)
            if os.path.exists(place):
                return place, held
            os.close(held)


def _remove_unheld(place: Path) -> None:
    try:
        held = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone, or another's
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(held)
