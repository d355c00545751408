"""What a kernel said when it ended itself."""

from __future__ import annotations

import hashlib
import re

#: What it says; the first line names the reason.
_PANIC = re.compile(r"^.*?((?:BUG:|kernel BUG at|Oops:|Kernel panic - not syncing:).*)$", re.M)
#: A function of a call trace; the kernel is not sure of those with a question mark.  The compiler
#: splits functions, into xyz.cold or xyz.isra.0, as it likes.
_FUNCTION = re.compile(r"(?<!\? )(?<![\w.])([a-z_]\w*)(?:\.\w+)*\+0x[0-9a-f]+/0x[0-9a-f]+")
#: What every panic goes through.
_COMMON = {"dump_stack", "dump_stack_lvl", "panic", "vpanic", "printk", "_printk"}


def message(log: str) -> str:
    """The line that names the reason; empty where a log tells of no panic."""
    found = _PANIC.search(log)
    return found.group(1).strip() if found else ""


def fingerprint(log: str) -> str:
    """What a panic is known by: its kind and the functions it happened in, not its addresses."""
    found = _PANIC.search(log)
    if found is None:
        return ""
    kind = re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+", "N", found.group(1).strip())
    after = log[found.start() :]
    functions = [x for x in dict.fromkeys(_FUNCTION.findall(after)) if x not in _COMMON][:6]
    digest = hashlib.sha256(" ".join([kind, *functions]).encode()).hexdigest()[:8]
    return f"{digest} {kind}" + (f" in {' < '.join(functions)}" if functions else "")


def excerpt(log: str) -> str:
    """The lines of a log that say most: a panic with its call trace, else the end."""
    found = _PANIC.search(log)
    lines = log[found.start() :].splitlines()[:40] if found else log.splitlines()[-12:]
    return "\n".join(lines)
