"""What differs between two columns: the same scenarios on two kernels, or in two runs.

Nothing here reads or writes; a column is a cell with its cases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from vxlab.results.model import Case, Cell, CellState, Component, KnownDifference, Outcome
from vxlab.results.versions import VersionKey, is_version, version_key

#: A scenario is slower from this many times the time on, and this many seconds more.
FACTOR, SECONDS = 2.0, 1.0

#: How well a scenario did that ran: it passed, failed as it is marked to, or failed.
_RANK = {
    Outcome.PASSED: 0,
    Outcome.XPASSED: 0,
    Outcome.XFAILED: 1,
    Outcome.FAILED: 2,
    Outcome.ERROR: 2,
}

#: Addresses and numbers of a reason: they differ from run to run.
_VARIABLE = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"  # UUID
    r"|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"  # MAC
    r"|(?<![\w:])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])"  # IPv6
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"  # IPv4
    r"|\b0x[0-9a-f]+\b"
    r"|\d+(?:\.\d+)*",
    re.IGNORECASE,
)


class ChangeKind(StrEnum):
    """What kind of a change, the ones to look at first before the others."""

    FAILS = "pass to fail"
    NOT_RUN = "not run"
    DISAPPEARED = "disappeared"
    NEWLY_SKIPPED = "newly skipped"
    SLOWER = "slower"
    OTHER_REASON = "other reason"
    APPEARED = "appeared"
    NO_LONGER_SKIPPED = "no longer skipped"
    PASSES = "fail to pass"


@dataclass(frozen=True)
class Column:
    """A cell with its cases by node id; ``label`` is a letter where columns are of two runs."""

    cell: Cell
    cases: Mapping[str, Case]
    label: str = ""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.label}: {self.cell.name}" if self.label else self.cell.name

    @property
    def order(self) -> tuple[VersionKey, VersionKey, str]:
        """What columns are sorted by: kernel, then iproute2, both by version, then backend."""
        kernel, iproute2 = (self._sorted_by(each) for each in ("kernel", "iproute2"))
        return kernel, iproute2, self.cell.backend

    def _sorted_by(self, of: Component) -> VersionKey:
        """By its name, and by its own version where that is none: ``here``, or a path."""
        name = self.cell.kernel if of == "kernel" else self.cell.iproute2
        return version_key(name if is_version(name) else self.version(of))

    def version(self, of: Component) -> str:
        """The version of its kernel or iproute2, as it says itself where that is known."""
        name = self.cell.kernel if of == "kernel" else self.cell.iproute2
        own = self.cell.release if of == "kernel" else self.cell.tools.get("ip", "")
        return own if is_version(own) else name

    @cached_property
    def unfinished(self) -> str:
        """Why scenarios are missing from it; '' where none is."""
        cell = self.cell
        if cell.state is CellState.DONE:
            return ""
        return f"{cell.state}: {cell.reason}" if cell.reason else str(cell.state)

    def case(self, nodeid: str) -> Case | None:
        """What a scenario did here; ``not run`` where the cell did not get to it, else None."""
        found = self.cases.get(nodeid)
        if found is not None or not self.unfinished:
            return found
        how = " while this scenario ran" if nodeid == self.cell.last else ""
        reason = f"{self.cell.state}{how}" + (f": {self.cell.reason}" if self.cell.reason else "")
        return Case(nodeid=nodeid, outcome=Outcome.NOT_RUN, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One scenario that did something else after than before.

    ``known`` names what explains it: ids of known differences, or ``xfail``; '' where nothing does.
    """

    kind: ChangeKind
    nodeid: str
    before: Case | None
    after: Case | None
    known: str = ""

    @property
    def is_worse(self) -> bool:
        """Whether something was lost: a pass, a run, a scenario, or time.

        What a kernel or a machine lacks, as a probe has found, is no loss.
        """
        if self.kind in (ChangeKind.APPEARED, ChangeKind.NO_LONGER_SKIPPED):
            return self.after is not None and self.after.outcome.is_bad
        if self.kind is ChangeKind.NOT_RUN:
            return self.after is not None and self.after.outcome is Outcome.NOT_RUN
        if self.lacks_feature:
            return False
        lost = (
            ChangeKind.FAILS,
            ChangeKind.DISAPPEARED,
            ChangeKind.NEWLY_SKIPPED,
            ChangeKind.SLOWER,
        )
        return self.kind in lost

    @property
    def lacks_feature(self) -> bool:
        """Whether one side was skipped for what is missing there, and the other did not fail."""
        if self.kind is ChangeKind.NEWLY_SKIPPED:
            return self.after is not None and self.after.lacks_feature
        if self.kind is ChangeKind.NO_LONGER_SKIPPED and self.before and self.after:
            return self.before.lacks_feature and not self.after.outcome.is_bad
        return False

    @property
    def is_unexpected(self) -> bool:
        """Whether nothing explains it."""
        return not self.known

    @property
    def what(self) -> str:
        """From what to what, in words."""
        if self.kind is ChangeKind.SLOWER and self.before and self.after:
            return f"{self.before.seconds:.1f} s → {self.after.seconds:.1f} s"
        return f"{outcome_in_words(self.before)} → {outcome_in_words(self.after)}"


@dataclass(frozen=True)
class Limits:
    """From when on a scenario counts as slower: ``factor`` times, and ``seconds`` more.

    A factor of 0 means never.
    """

    factor: float = FACTOR
    seconds: float = SECONDS

    def exceeded(self, before: float, after: float) -> bool:
        """Whether ``after`` is slower than ``before``."""
        longer = after >= self.factor * before and after - before >= self.seconds
        return self.factor > 0 and longer


def outcome_in_words(case: Case | None) -> str:
    """A case's outcome; ``absent`` where there is none."""
    return str(case.outcome) if case else "absent"


def compare(
    before: Column,
    after: Column,
    limits: Limits = Limits(),
) -> tuple[Change, ...]:
    """All changes of scenarios from ``before`` to ``after``, in the order of kinds and names.

    ``limits`` say from when on a scenario counts as slower.
    """
    everything = {**before.cases, **after.cases}
    found = (change_of(nodeid, before, after, limits) for nodeid in everything)
    order = list(ChangeKind)
    return tuple(
        sorted(filter(None, found), key=lambda change: (order.index(change.kind), change.nodeid))
    )


def change_of(
    nodeid: str,
    before: Column,
    after: Column,
    limits: Limits = Limits(),
) -> Change | None:
    """What changed of the scenario ``nodeid`` from ``before`` to ``after``; None where nothing did.

    ``limits`` say from when on it counts as slower.
    """
    old, new = before.case(nodeid), after.case(nodeid)
    kind = _kind_of(old, new, limits)
    if kind is None:
        return None
    return Change(
        kind=kind,
        nodeid=nodeid,
        before=old,
        after=new,
        known=_explanation(kind, old, new, before, after),
    )


def _kind_of(old: Case | None, new: Case | None, limits: Limits) -> ChangeKind | None:
    if old is None or new is None:
        there = old or new
        if there is None or there.outcome is Outcome.NOT_RUN:
            return None
        return ChangeKind.APPEARED if old is None else ChangeKind.DISAPPEARED
    for outcome, came, went in (
        (Outcome.NOT_RUN, ChangeKind.NOT_RUN, ChangeKind.NOT_RUN),
        (Outcome.SKIPPED, ChangeKind.NEWLY_SKIPPED, ChangeKind.NO_LONGER_SKIPPED),
    ):
        if outcome in (old.outcome, new.outcome):
            if old.outcome is new.outcome:
                return None
            return came if new.outcome is outcome else went
    return _kind_of_ran(old, new, limits)


def _kind_of_ran(old: Case, new: Case, limits: Limits) -> ChangeKind | None:
    was, now = _RANK[old.outcome], _RANK[new.outcome]
    if was != now:
        return ChangeKind.FAILS if now > was else ChangeKind.PASSES
    if not now:
        return ChangeKind.SLOWER if limits.exceeded(old.seconds, new.seconds) else None
    same = old.outcome is new.outcome and normalised(old.reason) == normalised(new.reason)
    return None if same else ChangeKind.OTHER_REASON


def normalised(reason: str) -> str:
    """A reason without its numbers and addresses, and with single spaces."""
    return " ".join(_VARIABLE.sub("#", reason).split())


#: Which side of a change has to be the odd one for a known difference to explain it.
_ODD: Mapping[ChangeKind, Callable[[bool, bool], bool]] = {
    ChangeKind.FAILS: lambda before, after: after and not before,
    ChangeKind.DISAPPEARED: lambda before, after: after and not before,
    ChangeKind.NEWLY_SKIPPED: lambda before, after: after and not before,
    ChangeKind.SLOWER: lambda before, after: after and not before,
    # that a cell died is never explained by a scenario
    ChangeKind.NOT_RUN: lambda before, after: False,
    ChangeKind.OTHER_REASON: lambda before, after: before != after,
    ChangeKind.APPEARED: lambda before, after: before and not after,
    ChangeKind.NO_LONGER_SKIPPED: lambda before, after: before and not after,
    ChangeKind.PASSES: lambda before, after: before and not after,
}


def _explanation(
    kind: ChangeKind, old: Case | None, new: Case | None, before: Column, after: Column
) -> str:
    ids = [
        known.id
        for known in known_of(old, new)
        if _ODD[kind](known.covers(before.version(known.of)), known.covers(after.version(known.of)))
    ]
    if kind is ChangeKind.FAILS and new and new.outcome is Outcome.XFAILED:
        ids.append("xfail")
    return ", ".join(ids)


def known_of(*cases: Case | None) -> list[KnownDifference]:
    """The known differences of cases, each once."""
    return list(dict.fromkeys(known for case in cases if case for known in case.known))


def in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Columns by version of kernel and iproute2, then by backend."""
    return tuple(sorted(columns, key=lambda column: column.order))
