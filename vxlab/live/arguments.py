"""Checks of what a person hands to a live node or lab, before anything is done with it.

``who`` is what a VxlabError begins with: the node or lab, and the argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from vxlab.errors import VxlabError

#: The most seconds that may be waited for: what a wait can be told to take, and some centuries.
LONGEST = 9e9


def words(who: str, argv: Iterable[Any]) -> tuple[str, ...]:
    """A program and its arguments as text; paths and bytes become text, as for subprocess.

    ``who`` is the node's name, ``argv`` the words.  Numbers do not become text, as there.
    VxlabError where there are none, or one is no text that a program can be given.
    """
    found = tuple(
        os.fsdecode(word) if isinstance(word, bytes | os.PathLike) else word for word in argv
    )
    if not found:
        example = 'a program and its arguments, such as "ip", "link"'
        raise VxlabError(f"{who}: wanted {example}, found nothing")
    for word in found:
        text(who, word, hint=f": write {str(word)!r}" if isinstance(word, int | float) else "")
    return found


def text(who: str, value: Any, *, hint: str = "") -> str:
    """``value`` if it is text that the kernel can be given.

    ``who`` begins the VxlabError where it is not, ``hint`` ends it.
    """
    if not isinstance(value, str):
        raise VxlabError(f"{who}: wanted text, found {value!r}{hint}")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        raise VxlabError(f"{who}: wanted text that has an encoding, found {value!r}") from error
    if "\0" in value:
        raise VxlabError(f"{who}: wanted text without NUL, found {value!r}")
    return value


def environment(who: str, env: Any) -> None:
    """VxlabError, which ``who`` begins, unless ``env`` is None, or a mapping of names and texts."""
    if env is None:
        return
    if not isinstance(env, Mapping):
        raise VxlabError(f"{who}: env: wanted a mapping of names and texts, found {env!r}")
    for name, value in env.items():
        text(f"{who}: env", name)
        text(f"{who}: env: {name!r}", value)


def number(who: str, value: Any, *, low: float = 0, high: float = LONGEST) -> None:
    """VxlabError, which ``who`` begins, unless ``value`` is a number from ``low`` to ``high``."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise VxlabError(f"{who}: wanted a number from {low:g} to {high:g}, found {value!r}")


def whole_number(who: str, value: Any, *, low: int, high: int) -> None:
    """VxlabError unless ``value`` is a whole number from ``low`` to ``high``; ``who`` begins it."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise VxlabError(f"{who}: wanted a whole number from {low} to {high}, found {value!r}")


def pairs(who: str, values: Any, kinds: tuple[type, type], wanted: str) -> list[tuple[Any, Any]]:
    """``values`` as a list, if each is a pair of these ``kinds``.

    ``who`` begins the VxlabError where one is not, ``wanted`` says there what pairs they are.
    """
    found = list(values) if isinstance(values, Iterable) else [values]
    for each in found:
        is_pair = isinstance(each, tuple | list) and len(each) == 2
        if not is_pair or not all(map(isinstance, each, kinds)):
            raise VxlabError(f"{who}: wanted pairs of {wanted}, found {each!r}")
    return found
