"""Several commands of ``ip`` or ``bridge`` by one process, and at which of them it ended.

``ip -batch -`` reads a command from each line of its input.  It names the line of a command that
the kernel refused (``Command failed -:3``), but not that of one whose words it did not like, where
it just ends (``exit()`` in ``lib/utils.c`` of iproute2).  So the lines are given to it through a
pipe in packet mode (pipe(2), O_DIRECT), from which each read gets one line: what is left in the
pipe afterwards shows how far it got, also where a signal ended it or it hung.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import re
import subprocess
import termios
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from vxlab.system.namespaces import Namespaces
from vxlab.system.processes import end, wait_for_end
from vxlab.system.programs import find_program

#: Seconds a process may take; a command takes some milliseconds.
DEADLINE = 30.0

_F_SETPIPE_SZ = 1031  # linux/fcntl.h
#: Size of the pipe: a page for each line, and no more without privileges (pipe(7)).
_PIPE_SIZE = 1 << 20
#: The longest line, with its end: what one read of a pipe may return (PIPE_BUF).
_LONGEST = 4096
#: The most words of a line (MAX_ARGS in iproute2's include/utils.h is 512).
_MOST = 500

_FAILED = re.compile(r"^Command failed -:(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """How a process ended that was given commands.

    ``read`` is how many of them it has read: where it failed, it failed at the last of these.
    ``code`` is its exit code, below 0 the signal that ended it, None where it had to be killed;
    ``output`` what it printed; ``named`` is True where the program itself named the command that
    failed.
    """

    read: int
    code: int | None
    output: str
    named: bool = False


def line_of(words: Sequence[str]) -> bytes | None:
    """The line of a batch that stands for a command, or None where there is none.

    Words may stand in quotes, which know no escapes; ``#`` starts a comment even there; a
    backslash at the end of a line joins it to the next (getcmdline(), makeargs()).
    """
    line = " ".join(map(_quoted, words))
    if any(bad in line for bad in "#\n\0") or len(words) > _MOST:
        return None
    if any('"' in word and "'" in word and _needs_quotes(word) for word in words):
        return None
    encoded = os.fsencode(line + " \n")
    return encoded if len(encoded) <= _LONGEST else None


def _needs_quotes(word: str) -> bool:
    return not word or word[0] in "\"'" or any(space in word for space in " \t\r")


def _quoted(word: str) -> str:
    if not _needs_quotes(word):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'


def run_commands(
    namespaces: Namespaces, program: str, commands: Sequence[Sequence[str]]
) -> BatchResult:
    """Run ``commands`` of ``program`` in a node's network namespace, until one of them fails.

    ``namespaces`` are the node's, ``program`` is ``ip``, ``bridge`` or the like; each command is a
    sequence of words.  One process does as many as it can; ``read`` of the result is less than
    their number where the rest is still to be done.  MissingProgram, or OSError where the program
    cannot be started.
    """
    path = find_program(program)
    if line_of(commands[0]) is None:
        with open(os.devnull, "rb") as nothing:
            code, output = _process(namespaces, [path, *commands[0]], nothing.fileno())
        return BatchResult(read=1, code=code, output=output)
    read, lines = _pipe_of(map(line_of, commands))
    try:
        code, output = _process(namespaces, [path, "-batch", "-"], read)
        left = array.array("i", [0])
        fcntl.ioctl(read, termios.FIONREAD, left)
    finally:
        os.close(read)
    failed = [int(number) for number in _FAILED.findall(output)]
    if failed and 0 < failed[-1] <= len(lines):
        return BatchResult(read=failed[-1], code=code, output=output, named=True)
    return BatchResult(read=_read(lines, left[0]), code=code, output=output)


def _pipe_of(lines: Iterable[bytes | None]) -> tuple[int, list[bytes]]:
    """The reading end of a pipe, and the lines in it: as many as fit, and none after a None."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_DIRECT)
    given: list[bytes] = []
    try:
        with contextlib.suppress(OSError):  # the user has too many pipes: fewer lines at once
            fcntl.fcntl(write, _F_SETPIPE_SZ, _PIPE_SIZE)
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            for line in lines:
                if line is None:
                    break
                os.write(write, line)
                given.append(line)
    finally:
        os.close(write)
    return read, given


def _read(lines: Sequence[bytes], left: int) -> int:
    """How many of the lines were read, where ``left`` bytes of them are not."""
    unread = 0
    while unread < len(lines) and left > 0:
        unread += 1
        left -= len(lines[-unread])
    return len(lines) - unread


def _process(namespaces: Namespaces, argv: list[str], stdin: int) -> tuple[int | None, str]:
    """Run a program and wait for its end: exit code (None: it had to be killed) and output.

    It starts with the network namespace of the thread that starts it, but with this process's
    /proc, where the paths of other nodes' namespaces can be found.
    """
    with open(os.memfd_create("vxlab"), "w+b") as file:  # never full, unlike a pipe
        start = partial(subprocess.Popen, argv, stdin=stdin, stdout=file, stderr=file)
        process = namespaces.visit(partial(start, start_new_session=True))
        try:
            ended = wait_for_end(process, DEADLINE)
        finally:
            end(process)
        file.seek(0)
        output = file.read().decode(errors="replace")
    return process.returncode if ended else None, output
