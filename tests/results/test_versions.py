"""The order of versions."""

from __future__ import annotations

import random

import pytest

from vxlab.results.versions import is_version, older, version_key

ORDERED = [
    "4.19",
    "5.4.0",
    "5.10",
    "6.1",
    "6.1.5",
    "6.1.10",
    "6.9",
    "v6.12-rc2",
    "6.12-rc10",
    "6.12",
    "6.12.1",
    "7.2",
    "10.0",
    "/home/kim/linux",
    "6th-try",
    "linux-next",
]


def test_versions_are_ordered_by_number_and_names_come_last() -> None:
    mixed = random.Random(4).sample(ORDERED, len(ORDERED))
    assert sorted(mixed, key=version_key) == ORDERED


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("5.10", "6.1", True),
        ("6.1", "6.12", True),
        ("6.12", "6.1", False),
        ("6.1", "6.1.0", False),  # the same
        ("6.1.0", "6.1", False),
        ("6.1.0-25-amd64", "6.1", False),  # a distribution's name for the same
        ("6.12.0-rc1+", "6.12", True),
        ("6.12", "my-build", True),
        ("my-build", "7.2", False),
    ],
)
def test_one_version_is_older_than_another(one: str, other: str, wanted: bool) -> None:
    assert older(one, other) is wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("6.12", True), ("v7.2-rc1", True), ("6.1.0-25-amd64", True), ("6th", False), ("", False)],
)
def test_a_version_begins_with_numbers_that_end(text: str, wanted: bool) -> None:
    assert is_version(text) is wanted
