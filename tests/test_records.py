"""Records with many fields are made by keyword: a row of bare values says nothing to a reader."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vxlab
from vxlab.describe.entries import Field
from vxlab.describe.vxlan import Attribute
from vxlab.operations import Operation, Peer

#: Packages of which this does not hold yet.
NOT_READY = frozenset({"commands", "explain", "matrix", "results", "vm"})

#: Fields that may be given by position.
FEW = 3

#: Rows of tables, whose first columns a reader takes in at a glance.
TABLE_ROWS = {Field: 5, Attribute: 4}

#: Public records that keep accepting positions: their users' calls are older than the rule.
POSITIONS_KEPT = (Operation, Peer)


def modules() -> list[str]:
    """The names of all modules of packages that are ready."""
    names = [module.name for module in pkgutil.walk_packages(vxlab.__path__, "vxlab.")]
    return [name for name in names if name.split(".")[1] not in NOT_READY | {"__main__"}]


def records() -> Iterator[type]:
    """Every dataclass and named tuple of those modules."""
    for name in modules():
        for value in vars(importlib.import_module(name)).values():
            is_own = inspect.isclass(value) and value.__module__ == name
            if is_own and (dataclasses.is_dataclass(value) or hasattr(value, "_fields")):
                yield value


def by_position(record: type) -> list[str]:
    """The fields that a call may give without their names."""
    if not dataclasses.is_dataclass(record):
        return []
    return [field.name for field in dataclasses.fields(record) if field.init and not field.kw_only]


RECORDS = list(records())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_records_take_few_fields_by_position(record):
    if not issubclass(record, POSITIONS_KEPT):
        assert len(by_position(record)) <= TABLE_ROWS.get(record, FEW)


@pytest.mark.parametrize("module", modules())
def test_calls_name_all_fields_but_the_first(module):
    names = {record.__name__ for record in RECORDS if record not in TABLE_ROWS}
    source = Path(str(importlib.import_module(module).__file__))
    found = []
    for call in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call):
            name = getattr(call.func, "id", getattr(call.func, "attr", ""))
            if name in names and len(call.args) > FEW:
                found.append(f"{source.name}:{call.lineno}: {ast.unparse(call)}")
    assert found == []
