"""The resources a process holds, for tests that a lab gives back all it took."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from vxlab.system import launcher, workers
from vxlab.system.waiting import wait_until

KINDS = ("net", "uts", "mnt", "pid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Everything of this process that outlives a function call, and is not memory.

    ``descriptors`` are its open files by number, ``namespaces`` those its threads, its processes
    and its open files are in or hold, ``processes`` all that descend from it, ``threads`` the
    names of its threads, ``files`` the content of the temporary folder.
    """

    descriptors: tuple[tuple[int, str], ...]
    namespaces: frozenset[str]
    processes: frozenset[int]
    threads: tuple[str, ...]
    files: frozenset[str]


def resources() -> Resources:
    """What there is now."""
    descriptors = _descriptors()
    held = {target for _, target in descriptors if target.split(":")[0] in KINDS}
    processes = _descendants()
    for task in [f"/proc/self/task/{tid}" for tid in os.listdir("/proc/self/task")]:
        held |= _namespaces_of(task)
    for pid in processes:
        held |= _namespaces_of(f"/proc/{pid}")
    files = {str(path) for path in Path(tempfile.gettempdir()).iterdir()}
    threads = sorted(thread.name for thread in threading.enumerate())
    return Resources(
        descriptors=tuple(descriptors),
        namespaces=frozenset(held),
        processes=frozenset(processes),
        threads=tuple(threads),
        files=frozenset(files),
    )


def _changed(before: Resources, after: Resources) -> str:
    """The names of what differs, and how."""
    pairs = [(f.name, getattr(before, f.name), getattr(after, f.name)) for f in fields(before)]
    return "; ".join(
        f"{name}: gone {sorted(set(old) - set(new))}, left {sorted(set(new) - set(old))}"
        for name, old, new in pairs
        if old != new
    )


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the folder that was just listed
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return sorted(found)


def _namespaces_of(task: str) -> set[str]:
    found = set()
    for kind in KINDS:
        with contextlib.suppress(OSError):  # ended meanwhile
            found.add(os.readlink(f"{task}/ns/{kind}"))
    return found


def _descendants() -> set[int]:
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found - {os.getpid()}
        found |= more


def threads_settled() -> bool:
    """False while a socket of a capture is being closed, or workers end who are not needed."""
    names = [thread.name for thread in threading.enumerate()]
    return "vxlab-close" not in names and names.count(workers.NAME) == workers.IDLE


@contextlib.contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Within the block temporary files go to ``folder``; after it all is as it was before.

    The thread that starts programs stays, and so do its descriptors, and so do the workers: they
    are there beforehand.  Captures close their sockets in threads of their own, which are waited
    for.
    """
    launcher.get_launcher()
    workers.undisturbed(int)
    wait_until(threads_settled, "captures to be closed")
    folder.mkdir(parents=True, exist_ok=True)
    old, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        before = resources()
        yield
        wait_until(threads_settled, "captures to be closed")
        after = resources()
        assert after == before, _changed(before, after)
    finally:
        tempfile.tempdir = old
