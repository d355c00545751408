"""What ``vxlab compare --json`` prints, as objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vxlab.commands.compared_side import Side

if TYPE_CHECKING:
    from vxlab.results.comparison import Change, Column
    from vxlab.results.model import Case
    from vxlab.results.pairs import Comparison
    from vxlab.results.timelines import Timeline


def versions_object(side: Side, found: Sequence[Timeline], *, worse: bool) -> dict[str, Any]:
    """What changes along the versions of ``side``: ``found``; ``worse`` is the answer in a word."""
    return {
        "run": _run(side),
        "columns": [_column(column) for column in side.columns],
        "changes": [_timeline(each) for each in found],
        "unexpected and worse": worse,
    }


def _timeline(found: Timeline) -> dict[str, Any]:
    return {
        "nodeid": found.nodeid,
        "axis": found.axis,
        "changes at": found.changes_at,
        "versions": found.versions,
        "outcomes": found.outcomes,
        "what": found.what,
        "where": [where for where in found.where if where],
        "known": found.known,
        "worse": found.is_worse,
    }


def pairs_object(before: Side, after: Side, comparison: Comparison) -> dict[str, Any]:
    """What differs between the sides ``before`` and ``after``: their ``comparison``."""
    return {
        "before": _run(before),
        "after": _run(after),
        "columns": [
            {
                "before": _column(pair.before),
                "after": _column(pair.after),
                "changes": [_change(change) for change in pair.changes],
            }
            for pair in comparison.pairs
        ],
        "only before": [_column(column) for column in comparison.only_before],
        "only after": [_column(column) for column in comparison.only_after],
        "unexpected and worse": comparison.is_unexpectedly_worse,
    }


def _run(side: Side) -> dict[str, Any]:
    return {"file": side.path, "run": side.run.id, "started": side.run.started}


def _column(column: Column) -> dict[str, str]:
    cell = column.cell
    named = {"kernel": cell.kernel, "iproute2": cell.iproute2, "backend": cell.backend}
    return {**named, "state": str(cell.state), "reason": cell.reason, "last": cell.last}


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": str(change.kind),
        "nodeid": change.nodeid,
        "before": _case(change.before),
        "after": _case(change.after),
        "known": change.known,
        "worse": change.is_worse,
    }


def _case(case: Case | None) -> dict[str, Any] | None:
    if case is None:
        return None
    return {"outcome": str(case.outcome), "seconds": case.seconds, "reason": case.reason}
