"""Files that a command writes: never over what it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vxlab.errors import VxlabError

#: What SQLite keeps beside a database (sqlite.org/tempfiles.html).
_BESIDE = ("-wal", "-shm", "-journal")


def check_not_input(
    option: str, path: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]]
) -> None:
    """VxlabError where ``path``, which ``option`` names to be written, is one of the ``inputs``.

    A file is the same by whatever name: another path, a link.  Of results files it is also what
    SQLite keeps beside them, which may not be there yet.
    """
    for each in inputs:
        beside = (os.path.realpath(each) + end for end in _BESIDE)
        for name in (os.fspath(each), *beside):
            if _is_same(path, name):
                raise VxlabError(
                    f"{option}: wanted a file to write, found {path}, which is {name} that is "
                    "read: give another name"
                )


def _is_same(one: str | os.PathLike[str], other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # not there yet, one of them
        return Path(one).resolve() == Path(other).resolve()
