"""Rows of a results file as runs, cells and cases: checked, for anybody may have written them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from vxlab.errors import VxlabError
from vxlab.results.model import Case, Cell, CellState, KnownDifference, Outcome, Run

T = TypeVar("T", Run, Cell, Case)

#: The types of fields, as the classes have them, and what their columns may hold.
_TYPES: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}

#: What reading a row raises that is not as vxlab writes them.
_WRONG = (ValueError, TypeError, KeyError, AttributeError, RecursionError, VxlabError)


def run_of(row: Mapping[str, Any]) -> Run:
    """The run that a row holds; ValueError where it is none."""
    try:
        loaded = {name: json.loads(row[name]) for name in ("selection", "host")}
        return _checked(Run(**{**row, **loaded, "host": _object(loaded["host"])}))
    except _WRONG as error:
        raise ValueError(f"a run that is none: {error}") from error


def cell_of(row: Mapping[str, Any]) -> Cell:
    """The cell that a row holds; ValueError where it is none."""
    try:
        tools = {name: str(value) for name, value in _object(json.loads(row["tools"])).items()}
        return _checked(Cell(**{**row, "state": CellState(row["state"]), "tools": tools}))
    except _WRONG as error:
        raise ValueError(f"a cell that is none: {error}") from error


def case_of(row: Mapping[str, Any]) -> Case:
    """The case that a row holds; ValueError where it is none."""
    try:
        fields = {name: value for name, value in row.items() if name != "cell"}
        known = tuple(KnownDifference(**each) for each in json.loads(row["known"]))
        return _checked(Case(**{**fields, "outcome": Outcome(row["outcome"]), "known": known}))
    except _WRONG as error:
        raise ValueError(f"a case that is none: {error}") from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"wanted an object, found {value!r:.50}")
    return value


def _checked(made: T) -> T:
    """The same, whose texts are texts and whose numbers are numbers."""
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if not isinstance(value, _TYPES.get(str(field.type), (object,))):
            raise TypeError(f"{field.name}: wanted {field.type}, found {value!r:.50}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{field.name}: wanted a number, found {value}")
    return made
