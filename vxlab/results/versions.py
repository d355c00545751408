"""The order of versions: 5.10, 6.1, 6.12-rc1, 6.12, 7.2, and after all of them plain names."""

from __future__ import annotations

import re

#: Numbers, a release candidate, and what a distribution adds: ``6.1.0-25-amd64``, ``v6.12-rc3``.
_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:[-~.]?rc(\d+))?(?![\w.])(.*)", re.DOTALL)

#: What a release counts as where candidates have their number: it comes after all of them.
_RELEASED = 1 << 30

VersionKey = tuple[bool, tuple[int, ...], int, str]


def version_key(text: str) -> VersionKey:
    """What to sort by: each part of a version as a number; what is no version last, by its name.

    6.1 and 6.1.0 are equally old; text breaks the tie.
    """
    numbers, candidate = _parts(text)
    return numbers is None, numbers or (), candidate, text


def is_version(text: str) -> bool:
    """Whether the text begins with a version, as ``6.12`` and ``6.1.0-25-amd64`` do."""
    return _VERSION.match(text) is not None


def older(one: str, other: str) -> bool:
    """Whether ``one`` came before ``other``; what is no version counts as newer than any."""
    return version_key(one)[:3] < version_key(other)[:3]


def _parts(text: str) -> tuple[tuple[int, ...] | None, int]:
    found = _VERSION.match(text)
    if found is None:
        return None, 0
    numbers = [int(part) for part in found[1].split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), _RELEASED if found[2] is None else int(found[2])
