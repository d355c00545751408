"""What changes at which version: each scenario along the kernels, the iproute2s and the backends.

Along one of the three the other two stay as they are. What changes in the same way whatever these
are is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

from vxlab.results.comparison import (
    Change,
    Column,
    Limits,
    change_of,
    in_order,
    known_of,
    outcome_in_words,
)
from vxlab.results.model import Case, Outcome
from vxlab.results.versions import is_version

Axis = Literal["kernel", "iproute2", "backend"]
AXES: tuple[Axis, ...] = get_args(Axis)

#: What ``changes_at`` is where an outcome changes more often than once.
DIFFERS = "differs"

_NEVER_SLOWER = Limits(factor=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change from one version to the next that is known.

    ``at`` is the version that differs, ``after`` the one before it, ``gap`` those between the two.
    """

    at: str
    after: str
    change: Change
    gap: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One scenario's outcomes over columns that differ in one thing, in the order of versions.

    ``where`` names what the columns have in common, once for each line of columns along which the
    scenario does the same; ``lines`` is how many such lines there are in all.
    """

    nodeid: str
    axis: Axis
    versions: tuple[str, ...]
    outcomes: tuple[str, ...]
    transitions: tuple[Transition, ...]
    where: tuple[str, ...]
    lines: int = 1

    @property
    def changes_at(self) -> str:
        """The first version that differs from the one before; ``differs`` where several do."""
        if not self.transitions:
            return ""
        single = len(self.transitions) == 1 and self.axis != "backend"
        return self.transitions[0].at if single else DIFFERS

    @property
    def known(self) -> str:
        """What explains all of it; '' where a part of it is unexplained."""
        if any(each.change.is_unexpected for each in self.transitions):
            return ""
        return ", ".join(dict.fromkeys(each.change.known for each in self.transitions))

    @property
    def is_worse(self) -> bool:
        """Whether an unexplained transition is one to worse; of backends, whether there is one."""
        changes = [each.change for each in self.transitions if each.change.is_unexpected]
        backends = self.axis == "backend"
        return any(c.is_worse or (backends and not c.lacks_feature) for c in changes)

    @property
    def what(self) -> str:
        """In words: ``passed before, failed from 6.12 on``."""
        if self.changes_at == DIFFERS:
            each = zip(self.versions, self.outcomes, strict=True)
            return "differs: " + ", ".join(f"{version} {outcome}" for version, outcome in each)
        only = self.transitions[0]
        old, new = (outcome_in_words(case) for case in (only.change.before, only.change.after))
        if is_version(only.at) and is_version(only.after):
            text = f"{old} up to {only.after}, {new} from {only.at} on"
        else:
            text = f"{old} with {self._ran(None, only.at)}, {new} with {self._ran(only.at, None)}"
        return text + (f" (not known: {', '.join(only.gap)})" if only.gap else "")

    def _ran(self, first: str | None, end: str | None) -> str:
        """The versions from ``first`` on and before ``end`` at which it ran."""
        begin, stop = (self.versions.index(each) if each else None for each in (first, end))
        every = list(zip(self.versions, self.outcomes, strict=True))[begin:stop]
        return ", ".join(name for name, outcome in every if outcome != Outcome.NOT_RUN)


def timeline(nodeid: str, axis: Axis, columns: Sequence[Column], where: str = "") -> Timeline:
    """The scenario ``nodeid`` along ``columns``, which differ along ``axis`` and are in order.

    What did not run there is passed over; ``where`` names what the columns have in common.
    """
    names = tuple(value_of(column, axis) for column in columns)
    ran = [number for number, column in enumerate(columns) if _is_known(column.case(nodeid))]
    found = []
    for one, other in pairwise(ran):
        change = change_of(nodeid, columns[one], columns[other], _NEVER_SLOWER)
        if change and _outcome(change.before) != _outcome(change.after):
            if axis == "backend" and not change.known:
                change = _explained(change, columns[one])
            gap = names[one + 1 : other]
            found.append(Transition(at=names[other], after=names[one], change=change, gap=gap))
    outcomes = tuple(outcome_in_words(column.case(nodeid)) for column in columns)
    return Timeline(
        nodeid=nodeid,
        axis=axis,
        versions=names,
        outcomes=outcomes,
        transitions=tuple(found),
        where=(where,),
    )


def timelines(columns: Iterable[Column]) -> tuple[Timeline, ...]:
    """All that changes along an axis, the same along several lines told once."""
    ordered = in_order(columns)
    varied = [axis for axis in AXES if len({value_of(column, axis) for column in ordered}) > 1]
    nodeids = list(dict.fromkeys(nodeid for column in ordered for nodeid in column.cases))
    found: list[Timeline] = []
    for axis in AXES:
        lines = [line for line in _lines(ordered, axis) if len(line) > 1]
        wheres = [_where(line[0], [other for other in varied if other != axis]) for line in lines]
        for nodeid in nodeids:
            along = (
                timeline(nodeid, axis, line, where)
                for line, where in zip(lines, wheres, strict=True)
            )
            found += _merged([each for each in along if each.transitions], len(lines))
    return tuple(found)


def value_of(column: Column, axis: Axis) -> str:
    """A column's kernel, iproute2 or backend."""
    values: Mapping[Axis, str] = {
        "kernel": column.cell.kernel,
        "iproute2": column.cell.iproute2,
        "backend": column.cell.backend,
    }
    return values[axis]


def key_by(axes: Sequence[Axis]) -> Callable[[Column], tuple[str, ...]]:
    """A function that tells a column's values along these axes."""
    return lambda column: tuple(value_of(column, axis) for axis in axes)


def _lines(columns: Sequence[Column], axis: Axis) -> list[list[Column]]:
    lines: dict[tuple[str, ...], list[Column]] = {}
    key = key_by([other for other in AXES if other != axis])
    for column in columns:
        lines.setdefault(key(column), []).append(column)
    return list(lines.values())


def _where(column: Column, axes: Sequence[Axis]) -> str:
    """Where a line is, by what other lines have otherwise."""
    values = {axis: value_of(column, axis) for axis in axes}
    return ", ".join(
        name if axis == "backend" else f"{axis} {name}" for axis, name in values.items()
    )


def _merged(found: Sequence[Timeline], lines: int) -> list[Timeline]:
    """One scenario's timelines along an axis; those that tell the same become one."""
    groups: list[list[Timeline]] = []
    for each in sorted(found, key=lambda one: one.outcomes.count(Outcome.NOT_RUN)):
        same = next((group for group in groups if _agree(group[0], each)), None)
        if same is None:
            groups.append([each])
        else:
            same.append(each)
    return [
        replace(
            group[0],
            where=tuple(where for each in found if each in group for where in each.where),
            lines=lines,
        )
        for group in groups
    ]


def _agree(one: Timeline, other: Timeline) -> bool:
    """Whether two timelines tell the same, as far as either knows: a dead cell is no difference."""
    if (one.known, one.is_worse) != (other.known, other.is_worse):
        return False
    both = zip(one.outcomes, other.outcomes, strict=False)
    return one.what == other.what or (
        one.versions == other.versions
        and all(old == new or Outcome.NOT_RUN in (old, new) for old, new in both)
    )


def _outcome(case: Case | None) -> Outcome | None:
    return case.outcome if case else None


def _is_known(case: Case | None) -> bool:
    return case is None or case.outcome is not Outcome.NOT_RUN


def _explained(change: Change, column: Column) -> Change:
    """Between backends a known difference that holds with both explains what one of them does."""
    ids = [
        known.id
        for known in known_of(change.before, change.after)
        if known.covers(column.version(known.of))
    ]
    return replace(change, known=", ".join(ids))
