"""What ``vxlab doctor`` prints: features as a table, in colours where that is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from vxlab.features import Feature

#: Columns of the table make room for cells of this length; a longer one moves its own row only.
_WIDEST = 80

_GREEN, _RED, _YELLOW, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


def feature_table(found: Sequence[Feature], *, colour: bool = False) -> str:
    """Features as text: name, yes, no or ?, version or reason, hint; then one line that sums up."""
    rows = [("FEATURE", "HERE", "VERSION, OR WHY NOT", "WHAT TO DO")]
    rows += [(item.name, _here(item), item.version or item.reason, item.hint) for item in found]
    widths = [max(min(len(row[column]), _WIDEST) for row in rows) for column in range(3)]
    paint = [""] + [_colour_of(item) if colour else "" for item in found]
    lines = []
    for row, code in zip(rows, paint, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if code:
            cells[1] = f"{code}{cells[1]}{_PLAIN}"
        lines.append("  ".join([*cells, row[3]]).rstrip())
    return "\n".join([*lines, "", _summary(found)])


def _here(feature: Feature) -> str:
    if not feature.known:
        return "?"
    return "yes" if feature.available else "no"


def _colour_of(feature: Feature) -> str:
    if feature.available:
        return _GREEN
    return _RED if feature.required else _YELLOW


def _summary(found: Iterable[Feature]) -> str:
    asked = list(found)
    gone = [item for item in asked if item.known and not item.available]
    needed = [feature.name for feature in gone if feature.required]
    others = [feature.name for feature in gone if not feature.required]
    unknown = [feature.name for feature in asked if not feature.known]
    if needed:
        return f"No scenario can run without {', '.join(needed)}."
    if unknown:
        return f"No answer was found about {', '.join(unknown)}: what needs one of these fails."
    if others:
        return f"Scenarios run here; those that need one of these are skipped: {', '.join(others)}."
    return "All that was looked for is here."


def wants_colour(stream: IO[str]) -> bool:
    """True for a terminal, unless NO_COLOR is set to anything, or TERM is ``dumb``."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()
