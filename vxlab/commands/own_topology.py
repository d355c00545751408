"""A topology of somebody's own, named on the command line as ``FILE.py:FUNCTION``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology

#: How a name begins to be one of a file, and what stands between that and the function.
_SUFFIX, _BETWEEN = ".py", ":"


def is_of_a_file(name: str) -> bool:
    """Whether ``name`` names a file and not a topology of the catalog."""
    return name.endswith(_SUFFIX) or f"{_SUFFIX}{_BETWEEN}" in name


def function_of(name: str) -> Callable[..., Any]:
    """What makes the topology called ``name``, which is ``FILE.py:FUNCTION``.

    In place of a function it may be a topology or a builder.  VxlabError where the file cannot be
    read or run, and where there is no such function, with those that there are.
    """
    path, _, function = name.rpartition(_BETWEEN) if f"{_SUFFIX}:" in name else (name, "", "")
    module = _loaded(Path(path))
    own = _own_names(module)
    if function not in own:
        import difflib

        near = difflib.get_close_matches(function, own, 1)
        known = ", ".join(own) or "none at all"
        hint = f": did you mean {near[0]}?" if near else f": there are {known}"
        what = f"found {function!r}" if function else "found no function"
        raise VxlabError(f"wanted FILE.py:FUNCTION with a function of {path}, {what}{hint}")
    made = getattr(module, function)
    return made if callable(made) else lambda: made


def topology_by(make: Callable[..., Any], name: str, arguments: dict[str, Any]) -> Topology:
    """The topology that ``make`` returns for ``arguments``; ``name`` is what errors call it.

    VxlabError where an argument is missing, where it fails, or returns something else.
    """
    from vxlab.describe.builder import TopologyBuilder
    from vxlab.describe.topology import Topology

    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise VxlabError(f"{name}: wanted --set KEY=VALUE for each: {error}") from None
    try:
        made = make(**arguments)
        made = made.build() if isinstance(made, TopologyBuilder) else made
    except VxlabError:
        raise
    except Exception as error:
        raise VxlabError(f"{name}: {_in_words(error)}") from error
    if not isinstance(made, Topology):
        wanted = "wanted a Topology or a TopologyBuilder"
        raise VxlabError(f"{name}: {wanted} to be returned, found {made!r}")
    return made


def summary_of(make: Callable[..., Any]) -> str:
    """The first line of what a function says of itself; "" where it says nothing."""
    return (inspect.getdoc(make) or "").partition("\n")[0] if inspect.isroutine(make) else ""


def _loaded(path: Path) -> ModuleType:
    """The module in the file; its folder is where it finds others, as if it were run."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise VxlabError(f"wanted FILE.py:FUNCTION, found {found}: {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules.setdefault(path.stem, module)  # where dataclasses look for the names of types
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise VxlabError(f"{path}: {_in_words(error)}") from error
    return module


def _own_names(module: ModuleType) -> list[str]:
    """What the module defines itself and may be a topology: functions, topologies, builders."""
    from vxlab.describe.builder import TopologyBuilder
    from vxlab.describe.topology import Topology

    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, Topology | TopologyBuilder)
        or (inspect.isfunction(value) and value.__module__ == module.__name__)
    ]


def _in_words(error: BaseException) -> str:
    """What went wrong in somebody's file, and in which line."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""
    text = str(error)
    return f"{place}{type(error).__name__}" + (f": {text}" if text else "")
