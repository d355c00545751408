"""Which cases of a test are worth their time: each value once, and pairs where that counts.

A test with three parameters of four values each has 64 cases, of which 4 have every value among
them.  Which two values matter together is mostly known: the family of the underlay and what is at
the far end, a topology and who builds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

import pytest

from vxlab.plugin.variants import Variant

#: A value of a parameter, by name and text.
Choice = tuple[str, str]


def thin(items: Sequence[pytest.Item], pairs: Collection[tuple[str, str]]) -> list[pytest.Item]:
    """The cases to keep of all, in their order.

    Of each test function they are the fewest found that have each value of each parameter, and
    each combination of values of each of the ``pairs`` of parameters, named in alphabetical order.
    The arguments of a topology count as parameters of their own; what makes it is ``topology``.
    """
    cases: dict[str, list[tuple[pytest.Item, frozenset[tuple[Choice, ...]]]]] = {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        cases.setdefault(name, []).append((item, _covered(item, pairs)))
    kept = {item for group in cases.values() for item in _fewest(group)}
    return [item for item in items if item in kept]


def _fewest(
    group: list[tuple[pytest.Item, frozenset[tuple[Choice, ...]]]],
) -> list[pytest.Item]:
    """Of several cases so many, each the one that adds most, that nothing is left to add."""
    left = frozenset[tuple[Choice, ...]]().union(*(covered for _, covered in group))
    kept = []
    while left:
        item, covered = max(group, key=lambda case: len(case[1] & left))
        kept.append(item)
        left -= covered
    return kept


def _covered(
    item: pytest.Item, pairs: Collection[tuple[str, str]]
) -> frozenset[tuple[Choice, ...]]:
    """The values that a case has, and the pairs of them that count."""
    choices = sorted(_choices(item))
    singles = [(choice,) for choice in choices] or [(("", ""),)]
    both = itertools.combinations(choices, 2)
    return frozenset([*singles, *(two for two in both if (two[0][0], two[1][0]) in pairs)])


def _choices(item: pytest.Item) -> Iterable[Choice]:
    spec = getattr(item, "callspec", None)
    for name, value in sorted(spec.params.items()) if spec else ():
        if isinstance(value, Variant):
            yield name, getattr(value.make, "__name__", repr(value.make))
            yield from ((argument, repr(each)) for argument, each in value.arguments)
        else:
            yield name, repr(value)
