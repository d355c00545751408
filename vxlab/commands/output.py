"""Standard output and standard error of a command: closed, full, or with nobody who reads on."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from typing import IO, Any

from vxlab.errors import escaped


class Parser(argparse.ArgumentParser):
    """A parser that does not keep quiet about help that it could not print."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message and file is sys.stdout:
            file.write(message)
        elif message:
            complain(message.rstrip("\n"))


def open_closed_streams() -> None:
    """Give the process the standard streams that it was started without (``>&-``).

    Else the next file that it opens would be one of them, and get what its programs print.  What
    is written to a standard output that was closed fails, as it does in other programs.
    """
    for fd, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            found = os.open(os.devnull, mode)
            if found != fd:
                os.dup2(found, fd)
                os.close(found)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def complain(text: str) -> None:
    """Print ``text`` on stderr, if that takes it; the exit code says the same."""
    try:
        print("\n".join(map(escaped, text.split("\n"))), file=sys.stderr, flush=True)
    except OSError:
        let_go(sys.stderr)


def in_words(error: OSError) -> str:
    """What the system refused, as a sentence; what it names no file for is what was printed."""
    name = error.filename
    if name is not None:
        name = os.fsdecode(name) if isinstance(name, bytes) else name
        return f"wanted to use {name}, found: {error.strerror}: give another, or mend that"
    return (
        f"wanted to print the result, found: {error.strerror or error}: "
        "look at where standard output goes"
    )


def let_go(stream: IO[str]) -> None:
    """Send what ``stream`` could not write nowhere: Python would try again when it ends."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        fd = os.open(os.devnull, os.O_WRONLY)
        os.dup2(fd, stream.fileno())
        os.close(fd)
