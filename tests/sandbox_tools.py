"""Runs programs in sandboxes or where they are forbidden, and finds the processes of a run."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

#: Runs what follows in a sandbox.
BOXED = [
    sys.executable,
    "-c",
    "import sys; from vxlab import sandbox; sys.exit(sandbox.run(sys.argv[1:]))",
]


def here(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def carrying(token: str) -> dict[int, str]:
    """Command lines, by pid, of all processes with this word in their environment."""
    found = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and token.encode() in Path("/proc", name, "environ").read_bytes():
                words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
                found[int(name)] = b" ".join(words).decode()
    return found


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def forbidding(setting: str, *, capable: bool = False) -> list[str]:
    """The start of a command line that runs what follows where a setting is 0.

    Settings below ``user`` hold for one user namespace each: here, for that of a sandbox.
    Unless ``capable``, what follows has as few rights in it as an ordinary user.
    """
    script = f'echo 0 >/proc/sys/user/{setting} || exit 99; unset VXLAB_SANDBOX; exec "$@"'
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]
    return [*BOXED, "sh", "-c", script, "sh", *([] if capable else drop)]
