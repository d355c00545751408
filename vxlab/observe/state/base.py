"""What all rows of a node's state have in common: their order, and how they become text."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vxlab.describe.vxlan import BY_NAME, Value
from vxlab.describe.vxlan import words as spelled


def _sortable(value: Any) -> tuple[bool, Any]:
    """A key that orders None before everything else, and mappings by their text."""
    if isinstance(value, Mapping):
        value = str(sorted(value.items()))
    return value is not None, value


class Row:
    """Base of all rows: gives them an order, that of their fields from left to right."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return sort_key(self) < sort_key(other)


@functools.cache
def _compared(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(kind) if item.compare)


def sort_key(row: Any) -> tuple[Any, ...]:
    """What a row is sorted by."""
    return tuple([_sortable(getattr(row, name)) for name in _compared(row.__class__)])


def words(kind: str, attributes: Mapping[str, Value]) -> str:
    """Attributes of a device of a ``kind`` as one line of words, without defaults.

    Those of vxlan are as ``ip link add`` takes them.
    The defaults of other kinds are not known here: what is off, zero or empty is left out.
    """
    shown: list[str] = []
    for name, value in attributes.items():
        if kind == "vxlan" and name in BY_NAME:
            if value != BY_NAME[name].default:
                shown += spelled(name, value)
        elif value:
            shown.append(f"{name} {value}")
    return " ".join(shown)


def line(*parts: str) -> str:
    """The parts that are not empty, with a space between them."""
    return " ".join(filter(None, parts))


def pair(name: str, value: object) -> str:
    """``name value``, or nothing where there is no value."""
    return "" if value is None or value == "" else f"{name} {value}"
