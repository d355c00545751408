"""The few Linux system calls that Python 3.11 does not offer by itself.

They act on the calling *thread*, as the kernel does, and raise OSError where it refuses.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_FS = 0x00000200
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MNT_DETACH = 2  # linux/fs.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, doing: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (``CLONE_*``; unshare(2)). OSError if refused."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace behind ``fd`` (setns(2)). OSError if refused."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount a file system (mount(2)); OSError if refused.

    ``source`` is the device or folder, ``target`` the folder that it appears at, ``kind`` the type
    of the file system (``tmpfs``, ``proc``, ``bind``); ``flags`` are MS_*, ``data`` the options of
    that type, such as ``mode=755``.
    """
    _check(
        _libc.mount(
            source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
        ),
        f"mount {kind} on {target}",
    )


def unmount(target: str) -> None:
    """Take away what was mounted last at ``target``, even while in use; OSError if refused."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def mount_sysfs() -> None:
    """Have ``/sys`` show the devices of the calling thread's network namespace, and no others.

    Where the kernel lets none be mounted but a read-only one, as a container's own is, it is that.
    Where it lets none be mounted at all, as parts of the old one are hidden (mount_too_revealing(),
    fs/namespace.c), that one stays, and an empty folder covers its list of devices.
    """
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    for more in (0, MS_RDONLY):
        try:
            return mount("sysfs", "/sys", "sysfs", flags | more)
        except PermissionError:
            continue
    try:  # noqa: SIM105 -- contextlib would delay the start of every sandbox
        mount("tmpfs", "/sys/class/net", "tmpfs", flags | MS_RDONLY, "mode=755")
    except FileNotFoundError:
        pass  # all of it is hidden
    return None


def sethostname(name: str) -> None:
    """Set the host name of the calling thread's UTS namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def die_with_parent() -> None:
    """Let the calling process be killed when the thread that started it ends, in whatever way.

    For ``preexec_fn``; prctl(2), PR_SET_PDEATHSIG.
    """
    _libc.prctl(1, signal.SIGKILL)


def lo_up() -> None:
    """Bring the loopback device of the calling thread's network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # SIOCSIFFLAGS with IFF_UP | IFF_RUNNING (linux/sockios.h, linux/if.h)
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh22x", b"lo", 0x1 | 0x40))
