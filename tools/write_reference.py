"""Prints docs/reference.md: operations, vxlan attributes and codes of a diagnosis, from the code.

Usage: python tools/write_reference.py >docs/reference.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator

from vxlab import devices, operations, vxlan
from vxlab.describe import entries
from vxlab.explain.diagnosis import CODES

HEAD = """\
# Reference

This page is written from the code by `make docs`; do not edit it.

## Operations

`lab.apply(operation, …)` changes a lab; a plan (`make_plan(topology)`) is made of operations. All
are in `vxlab.operations`. They are equal if their fields are, and print as the commands that do the
same by hand.
"""
ATTRIBUTES = """\
## Attributes of vxlan devices

For `attributes=…` of a segment or a VTEP, and for `SetVxlan`. The names are the words of
`ip link add … type vxlan`. "Later" are those that `SetVxlan` may change; the kernel has the
last word.
"""
WORDS = """\
## Words that operations take

What the names in capitals above stand for.
"""
KINDS = """\
## Kinds of device

For `TopologyBuilder.device` and `AddLink`: each kind with its settings, which are the fields of its
class or go into `attributes`. Words are in quotes; all else is a number, or True and False.
"""
PORTS = """\
## Settings of a bridge's port

For `port=…` of a device, card, VTEP or container, and for `SetPort`.
"""
DIAGNOSIS = """\
## Codes of a diagnosis

What `diagnose(lab, source, address).code` may be, and what to do about each.
"""
#: What a value of an attribute is, by how it is encoded; {} is the range of a number.
VALUES = {
    "bool": "True or False",
    "flag": "True",
    "address": "an IP address",
    "device": "the name of a device of the host",
    "ports": "a pair of ports",
    "bits": "a number of 64 bits",
}
#: The tables of words that docstrings of operations refer to.
TABLES = ("FDB_STATES", "NEIGHBOUR_STATES", "FLAGS")


def page() -> str:
    """The whole page, as Markdown."""
    parts = [
        HEAD,
        *_operations(),
        WORDS,
        _table(("name", "words"), map(_words, TABLES)),
        ATTRIBUTES,
    ]
    parts += [_table(("attribute", "value", "default", "later"), map(_attribute, vxlan.ATTRIBUTES))]
    parts += [KINDS, _table(("kind", "class", "settings"), map(_kind, _device_classes()))]
    parts += [PORTS, _table(("setting", "value"), map(_port, devices.PORT.values()))]
    parts += [DIAGNOSIS, _table(("code", "to do"), ((f"`{code}`", CODES[code]) for code in CODES))]
    return "\n".join(parts)


def _operations() -> Iterator[str]:
    """Each operation, and what is a part of one: its fields, and what they mean."""
    for name in operations.__all__:
        found = getattr(operations, name)
        if found is operations.Operation or not dataclasses.is_dataclass(found):
            continue
        fields = inspect.signature(found).parameters.values()
        call = f"{name}({', '.join(map(_parameter, fields))})"
        yield f"### {name}\n\n`{call}`\n\n{_markdown(found.__doc__)}\n"
        by_hand = getattr(found, "commands", None)
        if by_hand and by_hand is not operations.Operation.commands:
            yield f"By hand: {_markdown(by_hand.__doc__)}\n"


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return parameter.name
    default = repr(parameter.default)
    return f"{parameter.name}={'…' if default.startswith('<') else default}"


def _markdown(docstring: str | None) -> str:
    """A docstring, whose code and references become code of Markdown."""
    text = inspect.cleandoc(docstring or "")
    text = text.replace(":mod:`vxlab.describe.vxlan`", "the table of vxlan attributes below")
    text = re.sub(r":\w+:`vxlab\.(?:devices|vxlan)(?:\.[A-Z]+)?`", "the tables below", text)
    text = re.sub(r":class:`vxlab\.(\w+)`", r"`\1`", text)
    text = re.sub(r":\w+:`(?:vxlab\.describe\.entries\.)?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def _words(name: str) -> tuple[str, str]:
    return f"`{name}`", ", ".join(f"`{word}`" for word in getattr(entries, name))


def _device_classes() -> list[type[devices.Device]]:
    found = [getattr(devices, name) for name in devices.__all__]
    made = [each for each in found if inspect.isclass(each) and hasattr(each, "kind")]
    return sorted(made, key=lambda each: each.kind.name)


def _kind(found: type[devices.Device]) -> Iterator[str]:
    yield f"`{found.kind.name}`"
    yield f"`{found.__name__}`"
    settings = [_setting(setting) for setting in found.kind.settings]
    yield ", ".join(settings) or ("as for `SetVxlan`" if found.kind.name == "vxlan" else "none")


def _setting(setting: devices.Setting) -> str:
    words = ", ".join(f'"{word}"' for word in setting.words)
    return f"`{setting.name}`" + (f" ({words})" if words else "")


def _port(setting: devices.Setting) -> tuple[str, str]:
    values = {"bool": "True or False", "device": 'the name of a device, "" for none'}
    value = values.get(setting.type) or f"{setting.low} to {setting.highest}"
    return f"`{setting.name}`", value


def _attribute(attribute: vxlan.Attribute) -> Iterator[str]:
    yield f"`{attribute.name}`"
    yield VALUES.get(attribute.kind, f"{attribute.low} to {attribute.high}")
    yield "" if attribute.default is None else repr(attribute.default)
    yield "yes" if attribute.changeable else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [tuple(head), *map(tuple, rows)]
    cells.insert(1, ("---",) * len(cells[0]))
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in cells)
    return "".join(f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
