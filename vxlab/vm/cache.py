"""What is made once and kept: folders named after what they are made from."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

from vxlab.errors import VxlabError
from vxlab.vm import workplace as folders

T = TypeVar("T")

#: Seconds for which what the mirror offers is believed.
FRESH = 3 * 24 * 3600.0

#: What virtual machines keep; the same folder has the multicast routers that set-up unpacked.
_KINDS = (
    *("apt", "kernels", "roots", "modules", "starts", "busybox", "compiled", "iproute2", "kvm"),
    *("locks", "snapshots"),
)

#: A file that says who made a folder, for backups as well (bford.info/cachedir).
_MARK = "CACHEDIR.TAG"
_MARKED = """Signature: 8a477f597d28d172789f06886806bc55
# made by vxlab: `vxlab vm clean` removes this folder
"""

#: Names the folder that everything is kept in.
VARIABLE = "VXLAB_CACHE"


def folder() -> Path:
    """The cache: ``$VXLAB_CACHE``, else /var/cache/vxlab for root, ~/.cache/vxlab for others."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0 and os.access("/var/cache", os.W_OK):  # in a sandbox anyone is root
        return Path("/var/cache/vxlab")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "vxlab").absolute()


def part(*names: str) -> Path:
    """A folder of the cache, made if need be; VxlabError where it cannot be."""
    found = folder().joinpath(*names)
    try:
        if names:
            _mark(folder() / names[0])
        found.mkdir(parents=True, exist_ok=True)
        if not os.access(found, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise VxlabError(
            f"wanted to write to the folder {found}, found: {error.strerror}: "
            f"set {VARIABLE} to another"
        ) from error
    return found


def _mark(kind: Path) -> None:
    """Make the folder ``kind`` with vxlab's mark; one with other things in it does not get one.

    In the place that is vxlab's by its name, all are vxlab's.
    """
    kind.mkdir(parents=True, exist_ok=True)
    if not _is_ours(kind) and set(os.listdir(kind)) <= {_MARK}:
        (kind / _MARK).write_text(_MARKED)


def _is_ours(kind: Path) -> bool:
    """Whether vxlab made a folder, which is no link to another, by its mark or its place."""
    with contextlib.suppress(OSError, ValueError):
        by_place = not os.environ.get(VARIABLE)
        return not kind.is_symlink() and (by_place or (kind / _MARK).read_text() == _MARKED)
    return False


def key(*parts: object) -> str:
    """A short name for all that something is made from; files count by their content."""
    digest = hashlib.sha256()
    for one in parts:
        data = one.read_bytes() if isinstance(one, Path) else repr(one).encode()
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """One process at a time does what ``name`` stands for."""
    path = part("locks") / name
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def keep(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``kind``/``name`` of the cache, filled the first time, whole or not at all.

    ``make`` gets an empty folder, which goes there when it is done.
    """
    final = part(kind) / name
    if final.is_dir():
        return final
    with lock(f"{kind}-{name}"):
        if final.is_dir():
            return final
        with workplace(kind) as place:
            made = place / name
            made.mkdir()
            made.chmod(0o755)
            make(made)
            made.rename(final)
    return final


@contextlib.contextmanager
def workplace(kind: str) -> Iterator[Path]:
    """An empty folder to make things in for the folder ``kind``, on the same file system.

    Afterwards it is gone; where this process is killed the next one removes it.
    """
    parent = part(kind)
    for each in _KINDS:
        folders.sweep(folder() / each)
    with folders.workplace(parent) as place:
        yield place


def remember(kind: str, name: str, find: Callable[[], Path]) -> Path:
    """The folder of ``kind`` that ``find`` found last for ``name``, for as long as it is fresh.

    Looking for a version in the package lists takes seconds.  Where ``find`` fails, as without a
    network, the last one is good however old.
    """
    note = part(kind, "found") / name
    known = None
    with contextlib.suppress(OSError):
        known = folder() / kind / note.read_text()
        if not known.is_dir():
            known = None
        elif time.time() - note.stat().st_mtime < FRESH:
            return known
    try:
        found = find()
    except VxlabError:
        if known is None:
            raise
        return known
    write(note, found.name)
    return found


def noted(name: str, find: Callable[[], T], *, now: bool = False) -> T:
    """What the mirror offers, as ``find`` found it last, where that is fresh and not asked ``now``.

    ``name`` is that of the file that it is kept in, as JSON: tuples come back as lists.
    """
    note = part("apt") / f"{name}.json"
    with contextlib.suppress(OSError, ValueError):
        if not now and time.time() - note.stat().st_mtime < FRESH:
            return cast("T", json.loads(note.read_text()))
    found = find()
    write(note, json.dumps(found))
    return found


def write(path: Path, text: str) -> None:
    """Write a file that others may read at the same time: they see the old text or the new."""
    with workplace(path.relative_to(folder()).parts[0]) as place:
        (place / path.name).write_text(text, encoding="utf-8")
        os.replace(place / path.name, path)


def clean() -> tuple[int, list[Path]]:
    """Remove all that virtual machines have kept.

    The bytes that were in it, and folders that are called as vxlab's are, but that it did not make:
    those are left as they are.
    """
    size, left = 0, []
    for place in (folder() / kind for kind in _KINDS):
        if not place.is_dir():
            continue
        if not _is_ours(place):
            left.append(place)
            continue
        for file in place.rglob("*"):
            with contextlib.suppress(OSError):
                size += file.lstat().st_blocks * 512
        shutil.rmtree(place, ignore_errors=True)
    return size, left
