"""Notes as plain text for a terminal: what is unexpected first, counts last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vxlab.results.comparison import ChangeKind
from vxlab.results.notes import DEAD, Note
from vxlab.results.pairs import Comparison

#: Reasons are cut to a line of this length; the page and ``--json`` have all of them.
_WIDEST = 110


def text_of(notes: Sequence[Note]) -> list[str]:
    """Notes in three parts, each under a heading and with an empty line behind; as lines."""
    worse = [note for note in notes if note.is_unexpectedly_worse]
    known = [note for note in notes if note.known]
    others = [note for note in notes if note not in worse and note not in known]
    lines = []
    for heading, part in (
        ("UNEXPECTED, AND WORSE", worse),
        ("OTHER CHANGES", others),
        ("KNOWN DIFFERENCES", known),
    ):
        if part:
            lines += [heading, *_table(part), ""]
    return lines


def counts_of(comparison: Comparison) -> str:
    """How many changes of each kind two runs have, and how many of them matter; one line."""
    changes = [change for pair in comparison.pairs for change in pair.changes]
    kinds = Counter(change.kind for change in changes)
    each = ", ".join(f"{kinds[kind]} {kind}" for kind in ChangeKind if kinds[kind])
    worse = sum(change.is_worse and change.is_unexpected for change in changes)
    known = sum(not change.is_unexpected for change in changes)
    died = sum(pair.died for pair in comparison.pairs)
    line = f"{counted(len(changes), 'change')} in {counted(len(comparison.pairs), 'column')}"
    line += f" ({each})" if each else ""
    line += f": {worse} unexpected and worse, {known} known"
    return line + (f", {counted(died, 'dead cell')}" if died else "")


def counts_of_notes(notes: Sequence[Note]) -> str:
    """How many things change along the versions, and how many of them matter; one line."""
    moved = [note for note in notes if note.at != DEAD]
    worse = sum(note.is_unexpectedly_worse for note in moved)
    known = sum(bool(note.known) for note in moved)
    died = len(notes) - len(moved)
    scenarios = len({note.nodeids for note in moved})
    line = f"{counted(len(moved), 'change')} of {counted(scenarios, 'scenario')}"
    line += f": {worse} unexpected and worse, {known} known"
    return line + (f", {counted(died, 'dead cell')}" if died else "")


def counted(count: int, word: str) -> str:
    """A number with its word: ``1 column``, ``2 columns``."""
    return f"{count} {word}" + "s" * (count != 1)


def _table(notes: Sequence[Note]) -> list[str]:
    rows = [tuple(map(printable, (note.at, note.title, _what(note)))) for note in notes]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    second = min(second, _WIDEST - first)
    lines = []
    for row, note in zip(rows, notes, strict=True):
        lines.append(f"  {row[0]:{first}}  {row[1]:{second}}  {row[2]}".rstrip())
        if note.reason:
            lines.append(f"  {'':{first}}    {_one_line(note.reason)}")
    return lines


def _what(note: Note) -> str:
    known = f"known: {note.known}" if note.known else ""
    return "; ".join(filter(None, (note.what, note.where, known)))


def _one_line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in text)
