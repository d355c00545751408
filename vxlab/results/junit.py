"""One cell as JUnit XML, for servers that show test results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from vxlab.results.model import Case, Cell, Outcome

#: What no XML 1.0 document can hold, however it is written (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

#: The element that an outcome has, and what it counts as; a pass has none.
_ELEMENTS = {
    Outcome.FAILED: ("failure", "failures"),
    Outcome.ERROR: ("error", "errors"),
    Outcome.SKIPPED: ("skipped", "skipped"),
    Outcome.XFAILED: ("skipped", "skipped"),
    Outcome.NOT_RUN: ("skipped", "skipped"),
}


def junit(cell: Cell, cases: Sequence[Case]) -> str:
    """The XML of a cell and its cases; a cell that died has an error that says how."""
    suite = ElementTree.Element("testsuite", name=_clean(f"vxlab {cell.name}"))
    if cell.started:
        suite.set("timestamp", cell.started)
    _add_properties(suite, cell)
    counts = dict.fromkeys(("failures", "errors", "skipped"), 0)
    for case in cases:
        _add_case(suite, case, counts)
    untold = cell.state.is_dead and cell.last not in {case.nodeid for case in cases}
    if untold:
        _add_death(suite, cell)
        counts["errors"] += 1
    suite.set("tests", str(len(cases) + untold))
    suite.set("time", f"{cell.seconds:.3f}")
    for name, count in counts.items():
        suite.set(name, str(count))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text: str = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _add_properties(suite: ElementTree.Element, cell: Cell) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("kernel", "iproute2", "backend", "state", "release"):
        _property(properties, name, getattr(cell, name))
    for tool, version in cell.tools.items():
        _property(properties, f"version of {tool}", version)


def _add_case(suite: ElementTree.Element, case: Case, counts: dict[str, int]) -> None:
    element = _testcase(suite, case.nodeid, case.seconds)
    if case.behaviour or case.known:
        properties = ElementTree.SubElement(element, "properties")
        _property(properties, "behaviour", case.behaviour)
        for known in case.known:
            _property(properties, "known difference", known.id)
    if case.outcome in _ELEMENTS:
        tag, counter = _ELEMENTS[case.outcome]
        counts[counter] += 1
        first = case.reason.partition("\n")[0]
        message = first if tag != "skipped" else f"{case.outcome}: {first}".removesuffix(": ")
        below = ElementTree.SubElement(element, tag, message=_clean(message))
        below.text = _clean("\n".join(filter(None, (case.reason, case.evidence))))


def _add_death(suite: ElementTree.Element, cell: Cell) -> None:
    """The error of the whole cell, at the scenario that was running."""
    element = _testcase(suite, cell.last or "machine", 0)
    where = f" while {cell.last} was running" if cell.last else ""
    message = f"{cell.state}{where}" + (f": {cell.reason}" if cell.reason else "")
    error = ElementTree.SubElement(element, "error", message=_clean(message), type=cell.state)
    error.text = _clean(cell.log)


def _testcase(suite: ElementTree.Element, nodeid: str, seconds: float) -> ElementTree.Element:
    file, _, name = nodeid.partition("::")
    group = file.removesuffix(".py").replace("/", ".") if name else "vxlab"
    attributes = {"classname": group, "name": name or file, "time": f"{seconds:.3f}"}
    cleaned = {key: _clean(value) for key, value in attributes.items()}
    return ElementTree.SubElement(suite, "testcase", cleaned)


def _property(properties: ElementTree.Element, name: str, value: str) -> None:
    if value:
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))


def _clean(text: str) -> str:
    """The text, with an escape in place of each character that XML forbids."""
    return _FORBIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
