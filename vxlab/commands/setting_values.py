"""Values given as text, for the parameters of a function that makes a topology."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

from vxlab.errors import VxlabError

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def arguments_of(make: Callable[..., Any], name: str, settings: Sequence[str]) -> dict[str, Any]:
    """The ``settings``, each ``key=value``, as arguments of ``make``.

    That is called ``name`` in messages.

    VxlabError where there is no such parameter, it is set twice, or the value is not of its type.
    """
    hints = _types_of(make)
    known = list(inspect.signature(make).parameters)
    arguments: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or key not in known:
            wanted = f"wanted KEY=VALUE with a key of {', '.join(known) or 'none at all'}"
            raise VxlabError(f"{name}: {wanted}, found {setting!r}")
        if key in arguments:
            raise VxlabError(f"{name}: {key}: wanted one value, found it set twice")
        try:
            arguments[key] = parse(text, hints[key])
        except ValueError:
            wanted = f"wanted {describe(hints[key])}"
            raise VxlabError(f"{name}: {key}: {wanted}, found {text!r}") from None
    return arguments


def _types_of(make: Callable[..., Any]) -> dict[str, Any]:
    """The types of the parameters of ``make``: as it says, else that of the default, else text."""
    try:
        said = typing.get_type_hints(make)
    except (NameError, TypeError):  # of a function of somebody's own, which names no real type
        said = {}
    usual = {
        name: str if parameter.default in (parameter.empty, None) else type(parameter.default)
        for name, parameter in inspect.signature(make).parameters.items()
    }
    return {**usual, **said}


def shown_parameters(make: Callable[..., Any]) -> str:
    """The parameters of ``make`` with their defaults, as they would be set."""
    parameters = inspect.signature(make).parameters.values()
    return " ".join(f"{parameter.name}={_shown(parameter.default)}" for parameter in parameters)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(text: str, hint: Any) -> Any:
    """A value of the type ``hint`` (int, bool, str, Literal, tuple, a union of these) from text.

    A literal wins over None, and None (also written as nothing) over the rest.  ValueError where
    the text fits none of them.
    """
    if _is_union(hint):
        return _first_of(text, sorted(typing.get_args(hint), key=_rank))
    if hint is type(None):
        return _pick({"none": None, "": None}, text)
    if hint is bool:
        return _pick(_BOOLEANS, text)
    if hint is int:
        return int(text, 0)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return _pick({str(choice): choice for choice in arguments}, text)
    if typing.get_origin(hint) is tuple:
        parts = text.split(",") if text else []
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(parts)
        return tuple(parse(part, each) for part, each in zip(parts, arguments, strict=True))
    return text


def describe(hint: Any) -> str:
    """What values of a type look like, for messages."""
    arguments = typing.get_args(hint)
    if _is_union(hint):
        return " or ".join(map(describe, sorted(arguments, key=_rank)))
    if typing.get_origin(hint) is Literal:
        return ", ".join(map(str, arguments))
    if typing.get_origin(hint) is tuple:
        parts = ("more" if each is Ellipsis else describe(each) for each in arguments)
        return f"{' and '.join(parts)} with commas between"
    names = {int: "a whole number", bool: "true or false", str: "text", type(None): "none"}
    return names.get(hint, str(hint))


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _rank(hint: Any) -> int:
    """In which order the types of a union are tried: what takes any text comes last."""
    if typing.get_origin(hint) is Literal:
        return 0
    return {type(None): 1, str: 3}.get(hint, 2)


def _first_of(text: str, hints: Sequence[Any]) -> Any:
    for hint in hints:
        try:
            return parse(text, hint)
        except ValueError:
            continue
    raise ValueError(text)


def _pick(choices: dict[str, Any], text: str) -> Any:
    for known in (text, text.lower()):
        if known in choices:
            return choices[known]
    raise ValueError(text)
