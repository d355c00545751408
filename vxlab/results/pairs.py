"""Two runs compared, column by column: what belongs together, and what has no partner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vxlab.results.comparison import Change, Column, Limits, compare, in_order


@dataclass(frozen=True)
class Pair:
    """Two columns that were compared, and what changed from the one to the other."""

    before: Column
    after: Column
    changes: tuple[Change, ...]

    @property
    def died(self) -> bool:
        """Whether the second one's machine died, and that of the first had not, or otherwise."""
        was, now = self.before.cell, self.after.cell
        return now.state.is_dead and now.state is not was.state

    @property
    def is_unexpectedly_worse(self) -> bool:
        """Whether a person has to look at it."""
        return self.died or any(each.is_worse and each.is_unexpected for each in self.changes)


@dataclass(frozen=True)
class Comparison:
    """Two sets of columns: pairs of what belongs together, and what has no partner."""

    pairs: tuple[Pair, ...]
    only_before: tuple[Column, ...] = ()
    only_after: tuple[Column, ...] = ()

    @property
    def is_unexpectedly_worse(self) -> bool:
        """Whether one of the pairs is."""
        return any(pair.is_unexpectedly_worse for pair in self.pairs)


def compare_all(
    before: Sequence[Column],
    after: Sequence[Column],
    by: Callable[[Column], tuple[str, ...]],
    limits: Limits,
) -> Comparison:
    """Compare columns of two sides, ``before`` and ``after``, whose keys are equal.

    ``by`` tells a column's key, which no two of one side may share; ``limits`` say from when on a
    scenario counts as slower.
    """
    old, new = ({by(column): column for column in side} for side in (before, after))
    pairs = [
        Pair(column, new[key], compare(column, new[key], limits))
        for key, column in old.items()
        if key in new
    ]
    return Comparison(
        pairs=tuple(sorted(pairs, key=lambda pair: (pair.before.order, pair.after.order))),
        only_before=in_order(column for key, column in old.items() if key not in new),
        only_after=in_order(column for key, column in new.items() if key not in old),
    )
