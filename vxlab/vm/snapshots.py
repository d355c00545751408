"""Guests that are stored once they have started, and go on from there.

Most of the time from a boot to the first scenario is the emulated processor's: the kernel's own
start, and Python's imports.  Both are the same each time.  So they are done once, and the guest is
stored while it waits for its input (:mod:`vxlab.vm.forkserver`).  Each is tried before it is kept,
and thrown away where a program dies in it as none should.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.vm import cache, project, qemu
from vxlab.vm.guest import ExitKind, Guest, GuestExit
from vxlab.vm.machine import Machine
from vxlab.vm.notify import Notify
from vxlab.vm.scratch import Scratch

#: Names the start of this machine (random(4)).
_BOOT = Path("/proc/sys/kernel/random/boot_id")

#: Seconds that a guest has to become ready.
_DEADLINE = 180.0

#: With less memory than this, in MB, there would be little left beside what has been imported.
_LEAST = 512

#: What is run in each before it is kept.
_PROOF = (
    "cd /tmp && echo 'def test_it(): pass' >test_it.py",
    f"exec {project.PYTHON} -m pytest -q -p no:cacheprovider test_it.py",
)

#: Seconds after which one that was not used is removed, when another is made; each has 200 MB.
_OLD = 24 * 3600.0


def with_snapshot(guest: Guest, *, kvm: bool, notify: Notify) -> Guest:
    """``guest``, to go on from its snapshot, which is made the first time; ``notify`` is told so.

    It is to boot, as it was, where ``kvm`` runs it; where its kernel is a developer's own, the
    next one will be another; and where making one fails, for the boot will tell why.
    """
    kept = guest.modules is not None and guest.kernel.is_relative_to(cache.folder())
    if kvm or not kept or guest.memory < _LEAST:
        return guest
    try:
        return replace(guest, snapshot=_snapshot(guest, notify))
    except VxlabError as error:
        notify(f"no snapshot: {error}")
        return guest


def _snapshot(guest: Guest, notify: Notify) -> Path:
    # A guest's clock goes on at the rate of the machine that it was stored on.
    boot = _BOOT.read_text()

    def make(folder: Path) -> None:
        notify("storing a machine that has started, for the next time")
        _remove_old()
        with Machine(guest, deadline=_DEADLINE, kvm=False) as running:
            ended = running.save(folder / "state")
        if not (folder / "state").exists():
            raise VxlabError(f"{ended.kind}: {ended.reason}")
        _prove(replace(guest, snapshot=folder / "state"))

    parts = [str(part) for part in (guest.kernel, guest.start, guest.root, guest.modules)]
    name = cache.key(parts, guest.memory, Path(qemu.__file__), _qemu(), boot)
    found = cache.keep("snapshots", name, make)
    with contextlib.suppress(OSError):  # another user's
        os.utime(found)
    return found / "state"


def _prove(guest: Guest) -> None:
    """Go on from a snapshot once; VxlabError where a Python in it does not end as it should.

    Some that QEMU stores are bad: all seems well, until a Python ends.
    """
    with Scratch() as scratch:
        files = scratch.file()
        project.pack_command(files, _PROOF)
        with Machine(replace(guest, files=files), deadline=_DEADLINE, kvm=False) as running:
            ended = running.run()
    if ended.kind is not ExitKind.DONE or ended.code != 0 or ended.fault:
        found = f"{ended.kind}, exit code {ended.code} {ended.fault} {ended.reason}".strip()
        raise VxlabError(f"wanted a Python in the snapshot to end with 0, found: {found}")


def is_bad(guest: Guest, ended: GuestExit, deadline: float) -> bool:
    """Whether the way that ``guest`` has ended casts doubt on the snapshot that it went on from.

    A program has died as none should, or it did not come to its command within ``deadline``
    seconds.
    """
    if guest.snapshot is None:
        return False
    stuck = ended.kind is ExitKind.NO_BOOT and ended.seconds < deadline
    return bool(ended.fault) or stuck


def discarded(guest: Guest, why: str, notify: Notify) -> Guest:
    """``guest``, to boot: its snapshot is thrown away, and ``notify`` told ``why``.

    Other machines that have begun with it go on.
    """
    if guest.snapshot is None:
        return guest
    notify(f"{why} in a machine from a snapshot: that is thrown away, and all is run after a boot")
    with cache.workplace("snapshots") as place, contextlib.suppress(OSError):
        guest.snapshot.parent.rename(place / "bad")
    return replace(guest, snapshot=None)


def _remove_old() -> None:
    for each in cache.part("snapshots").iterdir():
        if each.is_dir() and time.time() - each.stat().st_mtime > _OLD:
            shutil.rmtree(each, ignore_errors=True)


def _qemu() -> tuple[object, ...]:
    path = os.path.realpath(qemu.executable())
    found = os.stat(path)
    return path, found.st_size, found.st_mtime_ns
