"""Behaviours in Markdown: what each scenario shows, how it is made to fail, and what it needs.

The text is the same for the same tests, in whatever order they were collected.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from vxlab.errors import VxlabError
from vxlab.plugin import variants
from vxlab.plugin.markers import behaviour_of, control_of
from vxlab.plugin.variants import Variant

HEAD = """\
# Behaviours

Every behaviour that the scenarios show, and for each one the control that proves its scenario can
fail: `pytest scenarios --vxlab-controls` runs each scenario on a lab that is broken in the way
named here, and there it must turn red. Features that a scenario needs are probed, and it is
skipped where one is missing; "some" stands where only some of its cases need one.

This file is written from the markers `behaviour` and `control` by `make docs`; do not edit it.
"""
COLUMNS = ("behaviour", "scenario", "cases", "control", "source", "kernel", "iproute2", "programs")

#: What no scenario can do without.
_ALWAYS = ("vxlan", "veth", "bridge")
#: Scenarios that are controls themselves are named so.
_CONTROL = "test_control_"
#: Words of such names that are written in capitals.
_ACRONYMS = {"vni": "VNI", "vnis": "VNIs", "udp": "UDP", "arp": "ARP", "fdb": "FDB", "ttl": "TTL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One test function, with all its cases.

    ``file`` is its path; ``name`` its name below that; ``title`` that of its file; ``items`` are
    its cases.
    """

    file: str
    name: str
    title: str
    items: tuple[pytest.Item, ...]

    @property
    def is_control(self) -> bool:
        """Whether it is a control itself: it shows what a broken lab looks like."""
        return self.name.rpartition("::")[2].startswith(_CONTROL)

    @property
    def is_described(self) -> bool:
        """Whether it says what it shows and how it is made to fail."""
        item = self.items[0]
        return self.is_control or None not in (behaviour_of(item), control_of(item))


def write(items: Iterable[pytest.Item]) -> str:
    """The whole document; VxlabError, naming the test, where a topology cannot be built."""
    found = scenarios(items)
    files: dict[str, list[Scenario]] = {}
    for scenario in found:
        if scenario.is_described:
            files.setdefault(scenario.file, []).append(scenario)
    chapters = [_chapter(file, listed) for file, listed in files.items()]
    missing = [scenario for scenario in found if not scenario.is_described]
    return "\n".join([HEAD, *chapters, *_missing(missing)])


def scenarios(items: Iterable[pytest.Item]) -> list[Scenario]:
    """The test functions among collected tests: by file, then as they stand in it."""
    cases: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        file, _, rest = item.nodeid.partition("::")
        above = rest[: len(rest) - len(item.name)]
        name = str(getattr(item, "originalname", item.name))
        cases.setdefault((file, above + name), []).append(item)
    found = [
        Scenario(file=file, name=name, title=_title(group[0]), items=tuple(group))
        for (file, name), group in cases.items()
    ]
    return sorted(found, key=_place)


def _place(scenario: Scenario) -> tuple[tuple[int, ...], list[tuple[int, str]], int, str]:
    """Where a scenario stands: by the number of its chapter, then by its file and line.

    A title without a number ("E2: …") comes before all those that have one, and test_e2 before
    test_e10.
    """
    words = re.findall(r"(\d+)|(\D+)", scenario.file)
    file = [(int(number or -1), text) for number, text in words]
    line = scenario.items[0].location[1] or 0
    return chapter_number(scenario.title), file, line, scenario.name


def chapter_number(title: str) -> tuple[int, ...]:
    """The number that a title begins with, ``(10, 2)`` of "10.2 GSO: …"; () where it has none."""
    number = re.match(r"\d+(\.\d+)*(?= )", title)
    return tuple(map(int, number.group().split("."))) if number else ()


def _title(item: pytest.Item) -> str:
    """The first line of a test file's docstring, without its full stop."""
    text = inspect.getdoc(getattr(item, "module", None)) or ""
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def _chapter(file: str, listed: Sequence[Scenario]) -> str:
    name = file.rpartition("/")[2]
    lines = [f"## {listed[0].title or name}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
    return "\n".join([*lines, *(_row(_cells(name, scenario)) for scenario in listed), ""])


def _cells(file: str, scenario: Scenario) -> list[str]:
    behaviour, control = behaviour_of(scenario.items[0]), control_of(scenario.items[0])
    name = scenario.name.rpartition("::")[2]
    sentence = " ".join(
        _ACRONYMS.get(word, word) for word in name.removeprefix(_CONTROL).split("_")
    )
    return [
        behaviour.sentence if behaviour else sentence,
        f"`{file}::{scenario.name}`",
        str(len(scenario.items)),
        control.what if control else "is a control itself",
        behaviour.source if behaviour else "",
        *_needs(scenario),
    ]


def _row(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _missing(scenarios: Sequence[Scenario]) -> list[str]:
    if not scenarios:
        return []
    lines = [f"- `{scenario.file}::{scenario.name}`" for scenario in scenarios]
    return ["\n".join(["## Not yet described", "", *lines, ""])]


def _needs(scenario: Scenario) -> tuple[str, str, str]:
    """The features of the kernel, of iproute2, and the programs that a scenario needs."""
    from vxlab.features import tools

    programs = {check.name for check in tools.CHECKS}
    cases = [_features(item) for item in scenario.items]
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name in sorted({name for case in cases for name in case} - set(_ALWAYS)):
        everywhere = all(name in case for case in cases)
        iproute2 = name.startswith(("ip.", "bridge."))
        part = parts[1 if iproute2 else 2 if name in programs else 0]
        part.append(f"`{name}`" if everywhere else f"`{name}` (some)")
    return ", ".join(parts[0]), ", ".join(parts[1]), ", ".join(parts[2])


def _features(item: pytest.Item) -> set[str]:
    """The features that one case needs: those it names, and those of its topology."""
    named = {str(name) for mark in item.iter_markers("requires") for name in mark.args}
    if "topology" not in getattr(item, "fixturenames", ()):
        return named
    try:
        given = getattr(item, "callspec", None)
        variant = given.params.get("topology") if given else None
        found = [variant] if isinstance(variant, Variant) else variants.variants(item)[:1]
        return named.union(*(variants.features_of(one.build()) for one in found))
    except VxlabError as error:
        raise VxlabError(f"{item.nodeid}: {error}") from error
