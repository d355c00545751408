"""Whether the values of an operation are of the types that its fields say.

A person may write anything there.  Here it is refused once for all backends, before it becomes
part of a message, of a command or of a line of a script.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal

from vxlab.describe.vxlan import Attributes
from vxlab.errors import ApplyError
from vxlab.plan.operations.base import Document, Operation

#: Whether a value is what a field wants.
Test = Callable[[Any], bool]


def split(operations: Iterable[Operation]) -> tuple[list[Operation], ApplyError | None]:
    """The operations before the first that is wrong, and what is wrong with that; see check()."""
    sound: list[Operation] = []
    for operation in operations:
        try:
            check(operation)
        except ApplyError as error:
            return sound, error
        sound.append(operation)
    return sound, None


def check(operation: Operation) -> None:
    """ApplyError, naming the field, where a value of ``operation`` is not of the field's type.

    Text has no characters that are not printable, but for tabs, which values of settings have.
    """
    kind: Any = type(operation)
    for name, default, test, wanted in _tests_of(kind):
        value = getattr(operation, name)
        if value is not default and not test(value):
            raise ApplyError(repr(operation), f"{name}: wanted {wanted}, found {value!r}")


@functools.cache
def _tests_of(kind: Any) -> tuple[tuple[str, Any, Test, str], ...]:
    """Of each field of a record: name, default, the test of a value, what is wanted in words."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple(
        (field.name, field.default, _test(hints[field.name]), _wanted(hints[field.name]))
        for field in dataclasses.fields(kind)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (
        value.isprintable() or value.replace("\t", " ").isprintable()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_record(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint)


_PLAIN: dict[Any, tuple[Test, str]] = {
    Document: (lambda value: isinstance(value, str) and "\0" not in value, "text without NUL"),
    str: (_is_text, "text of printable characters"),
    int: (_is_number, "a whole number"),
    bool: (lambda value: isinstance(value, bool), "True or False"),
    type(None): (lambda value: value is None, "None"),
}


def _test(hint: Any) -> Test:
    """The test of values of a type: plain ones, literals, unions, tuples and records of these."""
    if hint in _PLAIN:
        return _PLAIN[hint][0]
    parts, origin = typing.get_args(hint), typing.get_origin(hint)
    if origin is Literal:
        return lambda value: value in parts
    if _is_record(hint):
        return lambda value: isinstance(value, hint) and _is_sound(value)
    tests = [_test(part) for part in parts if part is not Ellipsis]
    if origin in (types.UnionType, typing.Union):
        first, *rest = tests
        return lambda value: first(value) or any(test(value) for test in rest)
    if Ellipsis in parts:
        return lambda value: isinstance(value, tuple | list) and all(map(tests[0], value))
    return lambda value: (
        isinstance(value, tuple | list)
        and len(value) == len(tests)
        and all(test(each) for test, each in zip(tests, value, strict=True))
    )


def _is_sound(record: Any) -> bool:
    kind: Any = type(record)
    fields = _tests_of(kind)
    return all(test(getattr(record, name)) for name, _, test, _ in fields)


def _wanted(hint: Any) -> str:
    """What values of a type are, in words."""
    if hint in _PLAIN:
        return _PLAIN[hint][1]
    if hint == Attributes:
        return "a tuple of pairs of name and value"
    parts, origin = typing.get_args(hint), typing.get_origin(hint)
    if _is_record(hint):
        return f"a sound {getattr(hint, '__name__', hint)}"
    if origin is Literal:
        return " or ".join(map(repr, parts))
    words = [_wanted(part) for part in parts if part is not Ellipsis]
    if origin is tuple:
        return f"a tuple of {' and '.join(words)}"
    return " or ".join(words)
