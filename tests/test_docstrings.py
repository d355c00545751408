"""Public docstrings name every parameter, so that ``help()`` is enough to call what it shows."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import vxlab

#: Packages and modules of which this does not hold yet; ``__main__`` is nothing to import.
NOT_READY = frozenset(
    {
        "__main__",
        "commands",
        "explain",
        "matrix",
        "results",
        "vm",
    }
)

#: With fewer parameters than this, a sentence about the whole says enough.
MANY = 3


def modules() -> list[str]:
    """The names of all modules of packages that are ready."""
    names = [module.name for module in pkgutil.walk_packages(vxlab.__path__, "vxlab.")]
    return [name for name in names if not NOT_READY & {name, name.split(".")[1]}]


def parameters(function: Callable[..., Any]) -> list[str]:
    """The names of a function's parameters, without the one that stands for the object."""
    names = inspect.signature(function).parameters
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def documented(text: str) -> set[str]:
    """The words that stand in ``double backquotes`` in a docstring."""
    return {
        word for quoted in re.findall(r"(?s)``(.+?)``", text) for word in re.findall(r"\w+", quoted)
    }


def missing(names: list[str], *texts: str | None) -> list[str]:
    """The parameters that none of the texts names, where there are so many that it matters."""
    known = documented("\n".join(text or "" for text in texts))
    return [name for name in names if name not in known] if len(names) >= MANY else []


def own(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public functions and classes that a module itself defines."""
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__:
            yield name, value


def of_class(cls: type) -> Iterator[tuple[str, list[str]]]:
    """What is missing in the docstrings of a class and of its public methods."""
    about_class = [vars(each).get("__doc__") for each in cls.__mro__[:-1]]
    if dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls) if field.init]
        shown = [name for name in names if not name.startswith("_")]
        yield "", missing(shown, *about_class)
    for name, value in vars(cls).items():
        function = getattr(value, "__func__", value)
        if not inspect.isfunction(function) or (name.startswith("_") and name != "__init__"):
            continue
        if name == "__init__" and dataclasses.is_dataclass(cls):
            continue
        inherited = [inspect.getdoc(getattr(each, name, None)) for each in cls.__mro__[:-1]]
        about_class_too = about_class if name == "__init__" else []
        yield f".{name}", missing(parameters(function), *inherited, *about_class_too)


def problems(module: ModuleType) -> Iterator[str]:
    """A line for each public name whose docstring leaves a parameter out."""
    for name, value in own(module):
        if inspect.isclass(value):
            for where, names in of_class(value):
                if names:
                    yield f"{name}{where}: {', '.join(names)}"
        elif inspect.isfunction(function := inspect.unwrap(value)):
            names = missing(parameters(function), function.__doc__)
            yield from [f"{name}: {', '.join(names)}"] if names else []


@pytest.mark.parametrize("name", modules())
def test_docstrings_name_every_parameter(name):
    assert list(problems(importlib.import_module(name))) == []


def test_a_missing_parameter_is_noticed():
    def move(what, whence, where):
        """Move ``what`` to ``where``."""

    assert missing(parameters(move), move.__doc__) == ["whence"]


def test_what_is_not_ready_exists():
    names = {module.name for module in pkgutil.walk_packages(vxlab.__path__, "vxlab.")}
    assert names >= {name if "." in name else f"vxlab.{name}" for name in NOT_READY}
