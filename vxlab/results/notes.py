"""What a comparison found, as short notes for a person: one for each thing to look at.

What is the same in many columns, or of many scenarios for one reason, is one note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vxlab.results.comparison import Change, ChangeKind, Column
from vxlab.results.pairs import Comparison, Pair
from vxlab.results.timelines import DIFFERS, Timeline
from vxlab.results.versions import version_key

#: The heading of notes that are not about a change of a scenario.
DEAD = "dead cell"
#: So many columns are named one by one.
_FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing to look at.

    ``at`` is its heading (a kind of change, or a version), ``title`` what it is about, ``what``
    what happened there, ``where`` in which columns; ``known`` what explains it.
    """

    at: str
    title: str
    nodeids: tuple[str, ...]
    what: str
    where: str = ""
    known: str = ""
    worse: bool = False
    reason: str = ""

    @property
    def is_unexpectedly_worse(self) -> bool:
        """Whether a person has to look at it."""
        return self.worse and not self.known


def of_comparison(comparison: Comparison) -> list[Note]:
    """Notes on two runs, in the order of :class:`~vxlab.results.comparison.ChangeKind`."""
    pairs = comparison.pairs
    notes = [_died(pair) for pair in pairs if pair.died]
    merged: dict[tuple[str, ...], list[tuple[Pair, Change]]] = {}
    for pair in pairs:
        lost = [each for each in pair.changes if each.kind is ChangeKind.NOT_RUN and each.is_worse]
        notes += [_lost(pair, lost, len(pairs))] if lost else []
        for change in pair.changes:
            if change not in lost:
                merged.setdefault(_sameness(change), []).append((pair, change))
    notes += [_changed(found, len(pairs)) for found in merged.values()]
    order = [DEAD, *ChangeKind]
    return sorted(notes, key=lambda note: (order.index(note.at), note.title))


def of_timelines(found: Iterable[Timeline]) -> list[Note]:
    """Notes on what changes at which version, in the order of the versions."""
    return [_moved(each) for each in sorted(found, key=_time_order)]


def of_dead_cells(columns: Iterable[Column]) -> list[Note]:
    """A note for each column whose machine died."""
    return [
        Note(
            at=DEAD,
            title=column.name,
            nodeids=(column.cell.last,) if column.cell.last else (),
            what=str(column.cell.state),
            where=f"while {column.cell.last} ran" if column.cell.last else "",
            worse=True,
            reason=column.cell.reason,
        )
        for column in columns
        if column.cell.state.is_dead
    ]


def name_of(pair: Pair) -> str:
    """What two compared columns are called."""
    old, new = pair.before.cell.name, pair.after.cell.name
    return old if old == new else f"{old} → {new}"


def _died(pair: Pair) -> Note:
    note = of_dead_cells([pair.after])[0]
    what = f"{pair.before.cell.state} → {pair.after.cell.state}"
    return replace(note, title=name_of(pair), what=what)


def _lost(pair: Pair, lost: Sequence[Change], pairs: int) -> Note:
    """All that a cell did not get to, as one note."""
    return Note(
        at=ChangeKind.NOT_RUN,
        title=lost[0].nodeid if len(lost) == 1 else f"{len(lost)} scenarios",
        nodeids=tuple(change.nodeid for change in lost),
        what="not run any more",
        where=name_of(pair) if pairs > 1 else "",
        worse=True,
        reason=pair.after.unfinished,
    )


def _sameness(change: Change) -> tuple[str, ...]:
    """What changes have in common that are told as one."""
    what = "" if change.kind is ChangeKind.SLOWER else change.what
    return (change.nodeid, change.kind, what, change.known, str(change.is_worse))


def _changed(found: Sequence[tuple[Pair, Change]], pairs: int) -> Note:
    first = found[0][1]
    names = [name_of(pair) for pair, _ in found]
    if pairs == 1:
        where = ""
    elif len(names) == pairs:
        where = f"all {pairs} columns"
    else:
        where = _some(names)
    shown = first.after if first.after and first.after.reason else first.before
    reason = shown.reason if shown else ""
    if first.kind is ChangeKind.OTHER_REASON and first.before and first.after:
        reason = f"{first.before.reason}  →  {first.after.reason}"
    return Note(
        at=first.kind,
        title=first.nodeid,
        nodeids=(first.nodeid,),
        what=first.what,
        where=where,
        known=first.known,
        worse=first.is_worse,
        reason="" if first.kind is ChangeKind.SLOWER else reason,
    )


def _moved(found: Timeline) -> Note:
    at = DIFFERS if found.changes_at == DIFFERS else f"{found.axis} {found.changes_at}"
    what = found.what if at != DIFFERS else f"{found.axis} {found.what}"
    if len(found.where) == found.lines:
        where = "everywhere" if found.lines > 1 else ""
    else:
        where = "with " + _some_lines(found.where)
    cases = [case for each in found.transitions for case in (each.change.after, each.change.before)]
    reason = next((case.reason for case in cases if case and case.reason), "")
    return Note(
        at=at,
        title=found.nodeid,
        nodeids=(found.nodeid,),
        what=what,
        where=where,
        known=found.known,
        worse=found.is_worse,
        reason=reason,
    )


def _some_lines(lines: Sequence[str]) -> str:
    """The names of lines, as ``where`` of a timeline has them; what all have in common once."""
    axis = f"{lines[0].partition(' ')[0]} "
    if any(", " in line for line in lines):
        return _some(lines, "; ")
    if all(line.startswith(axis) for line in lines):
        return axis + _some([line.removeprefix(axis) for line in lines])
    return _some(lines)


def _some(names: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(names[:_FEW])
    return shown if len(names) <= _FEW else f"{shown}{separator}and {len(names) - _FEW} more"


def _time_order(found: Timeline) -> tuple[object, ...]:
    differs = found.changes_at == DIFFERS
    return differs, found.axis != "kernel", version_key(found.changes_at), found.nodeid
