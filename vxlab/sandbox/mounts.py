"""The mounts of a sandbox: fresh ``/proc`` and ``/sys``, and empty folders where others write.

It may import as little as :mod:`vxlab.sandbox.boot`, and for the same reason.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from vxlab.system.syscalls import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    mount,
    mount_sysfs,
)

#: Folders that get a private, empty tmpfs; the second one holds the temporary files too.
COVERED = ("/run", "/dev/shm")
#: Folders that become read-only.
PROTECTED = ("/etc",)
#: ``TMPDIR`` inside a sandbox; short, since the path of a UNIX socket ends at 108 bytes.
TEMP = "/dev/shm/tmp"

#: Where other file systems are mounted on any machine: the kernel knows that they hide nothing.
_EMPTY = (
    *("/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd", "/sys/fs/", "/sys/firmware/efi/efivars"),
    *("/sys/kernel/config", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing"),
)


def hidden_parts(mountinfo: str) -> list[str]:
    """What of ``/proc`` and ``/sys`` is hidden or read-only, as in a container.

    Where that is so the kernel lets no fresh one be mounted in a user namespace.  ``mountinfo`` is
    the text of ``/proc/PID/mountinfo`` (proc(5)).
    """
    found = set()
    for line in mountinfo.splitlines():
        _, _, _, _, point, options = line.split(" ")[:6]
        if point in ("/proc", "/sys"):
            if "ro" in options.split(","):
                found.add(point)
        elif point.startswith(("/proc/", "/sys/")) and not point.startswith(_EMPTY):
            found.add(point)
    return sorted(found)


def cover(target: str, mode: str, keep: Sequence[str]) -> None:
    """Put an empty tmpfs on ``target`` and bind those paths of ``keep`` that lie below it back in.

    ``mode`` is that of the folder, in octal digits (``755``).  OSError with EBUSY where ``target``
    itself is to be kept.
    """
    target = os.path.realpath(target)
    wanted: list[tuple[str, int]] = []
    for path in sorted({os.path.realpath(path) for path in keep}):
        if path == target:
            raise OSError(errno.EBUSY, f"mount tmpfs on {target}: this run needs what lies in it")
        below = path.startswith(target + "/")
        if below and not any(path.startswith(kept + "/") for kept, _ in wanted):
            wanted.append((path, os.open(path, os.O_PATH | os.O_CLOEXEC)))
    os.makedirs(target, exist_ok=True)
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    for path, fd in wanted:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC))
        mount(f"/proc/self/fd/{fd}", path, "bind", MS_BIND | MS_REC)
        os.close(fd)


def protect(folder: str, keep: Sequence[str]) -> None:
    """Make ``folder`` read-only, but for those paths of ``keep`` that lie below it.

    What is mounted below it stays as it is.  A folder that is missing, or a link, is left alone.
    """
    if os.path.realpath(folder) != folder or not os.path.isdir(folder):
        return
    for path in {os.path.realpath(path) for path in keep}:
        if path == folder:
            return
        if path.startswith(folder + "/"):
            mount(path, path, "bind", MS_BIND | MS_REC)
    mount(folder, folder, "bind", MS_BIND | MS_REC)
    # a mount from another user namespace keeps what it has (mount_namespaces(7))
    kept = os.statvfs(folder).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("none", folder, "bind", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def private_mounts(keep: Sequence[str], *, everything: bool = True) -> None:
    """Give the calling thread's own mount namespace a private ``/run`` and a fresh ``/sys``.

    With ``everything`` also a fresh ``/proc``, for a new PID namespace, a private ``/dev/shm`` that
    holds the temporary files, and a read-only ``/etc``, which root could write to otherwise.  Paths
    of ``keep`` stay visible and writable.
    """
    here = os.getcwd()
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    if everything:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount_sysfs()
    cover(COVERED[0], "755", keep)
    if everything:
        for folder in PROTECTED:
            protect(folder, keep)
        cover(COVERED[1], "1777", keep)
        os.makedirs(TEMP, exist_ok=True)
        os.chmod(TEMP, 0o1777)
    os.chdir(here)
