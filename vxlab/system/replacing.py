"""Another iproute2 in the place of the system's, for every program and however it is called.

:func:`~vxlab.system.programs.find_program` decides which ``ip`` vxlab itself runs.  A test, a
shell, a daemon's hook or testinfra call one as they like, so the folder comes first in ``PATH``,
and in a mount namespace of our own its programs are mounted over the system's: ``/sbin/ip`` is
the one asked for, also where ``PATH`` was thrown away.

A program that is a script is reached by ``PATH`` alone: it may call the system's by its path, as
wrappers do, and would call itself for ever.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from vxlab.system import programs
from vxlab.system.syscalls import MS_BIND, mount, unmount


@contextlib.contextmanager
def first_in_path(folder: str) -> Iterator[None]:
    """Within the block ``folder`` comes first in the ``PATH`` of this process and its children."""
    before = os.environ.get("PATH")
    rest = [each for each in (before or os.defpath).split(os.pathsep) if each != folder]
    os.environ["PATH"] = os.pathsep.join([folder, *rest])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


@contextlib.contextmanager
def mounted(folder: str) -> Iterator[None]:
    """Within the block the system's programs of iproute2 are those of ``folder``, for all to see.

    In the calling thread's mount namespace, which must be one of our own.  OSError where the kernel
    refuses.
    """
    with contextlib.ExitStack() as undo:
        for place in mount_over_system(folder):
            undo.callback(unmount, place)
        yield


def mount_over_system(folder: str) -> list[str]:
    """Mount the programs of iproute2 in ``folder`` over the system's; the files that this hides.

    Not where they are the same already.  Namespace and OSError are those of :func:`mounted`.
    """
    hidden = []
    for name in programs.IPROUTE2:
        own = os.path.join(folder, name)
        if not _is_binary(own):
            continue
        for place in _places(name):
            if not os.path.samefile(own, place):
                mount(own, place, "bind", MS_BIND)
                hidden.append(place)
    return hidden


def _places(name: str) -> list[str]:
    """The files, without links to them, that a program of this name may be."""
    folders = (*os.environ.get("PATH", "").split(os.pathsep), *programs.SYSTEM_PATH)
    paths = (os.path.join(folder, name) for folder in folders if os.path.isabs(folder))
    return sorted({os.path.realpath(path) for path in paths if os.path.isfile(path)})


def _is_binary(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:  # a folder need not have them all
        return False
