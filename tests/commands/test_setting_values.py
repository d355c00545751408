"""Values of settings, by the types of a topology's parameters."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from vxlab.commands.setting_values import describe, parse


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("a,b", tuple[str, ...], ("a", "b")),
        ("", tuple[int, ...], ()),
        ("No", bool, False),
        ("7", int | str, 7),
        ("x", int | str, "x"),
        ("none", str | None, None),
        ("none", Literal["none"] | None, "none"),
        ("2", Literal[1, 2], 2),
    ],
)
def test_values_are_read_by_their_type(text: str, hint: Any, value: object) -> None:
    assert parse(text, hint) == value
    assert type(parse(text, hint)) is type(value)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (tuple[str, ...], "text and more with commas between"),
        (int | None, "none or a whole number"),
        (float, "<class 'float'>"),
    ],
)
def test_types_are_described_in_words(hint: Any, words: str) -> None:
    assert describe(hint) == words
