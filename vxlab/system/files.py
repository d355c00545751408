"""Files that a person names: opened without waiting, whatever they turn out to be."""

from __future__ import annotations

import errno
import os
import stat
from typing import TextIO

Name = str | os.PathLike[str]


def open_to_write(path: Name, *, append: bool = False) -> TextIO:
    """The file ``path``, made where it is not there, to write text to.

    With ``append`` what is in it stays.  OSError where it cannot be written, also for a pipe that
    nobody reads, which would be waited for for ever, and for a path that is no text.
    """
    _check(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    fd = _open(path, flags | (os.O_APPEND if append else os.O_TRUNC))
    os.set_blocking(fd, True)
    return open(fd, "a" if append else "w", encoding="utf-8", errors="backslashreplace")


def check_writable(path: Name) -> None:
    """OSError where :func:`open_to_write` would raise one; no file is made."""
    _check(path)
    try:
        os.close(_open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except FileNotFoundError:
        parent = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(parent):
            raise
        if not os.access(parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), parent) from None


def read_text(path: Name) -> str:
    """The text of the file ``path``.

    OSError where it cannot be read, also for a pipe or a device, which may have no end;
    UnicodeDecodeError where it is no text.
    """
    _check(path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device, not a file", os.fspath(path))
        return file.read()


def _open(path: Name, flags: int) -> int:
    try:
        return os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "a pipe that nobody reads", os.fspath(path)) from error
        raise


def _check(path: Name) -> None:
    name = os.fspath(path)
    if not name or "\0" in name:
        raise OSError(errno.ENOENT, "no name of a file", name)
