"""Whether a test run needs a sandbox, and because of which file; decided before a test is loaded.

Looked at are its test files, the conftest.py files that belong to them, and modules of the project
that those import.  One of them needs a sandbox where it imports vxlab, has the marker ``topology``,
or wants the fixture ``lab`` that no other file defines.  That a file speaks of vxlab is no need.
"""

from __future__ import annotations

import ast
import fnmatch
import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

#: How many files are looked at, and how much of each.
MAX_FILES, MAX_BYTES = 2000, 1 << 20

_FIXTURE = "lab"
#: What a file that has a need must have in it: all others are not parsed, which takes long.
_HINT = re.compile(rf"\b(?:vxlab|topology|{_FIXTURE})\b")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+([^\n#]+))",
    re.MULTILINE,
)
_PLUGINS = re.compile(
    r"^pytest_plugins\b[^=\n]*=([^\n\[(]*(?:\[[^\]]*\]|\([^)]*\))?)", re.MULTILINE
)
_IMPORTING = ("import_module", "importorskip", "__import__")


def need(config: pytest.Config) -> str | None:
    """Which file of the run that ``config`` describes needs a sandbox, and why; None: none does.

    The answer follows "as": ``tests/test_a.py imports vxlab``.
    """
    wish = None
    is_ours = True
    for path, text in _files(config):
        if not _HINT.search(text):
            continue
        found = _Need(text)
        name = os.path.relpath(path, config.rootpath)
        if found.reason:
            return f"{name} {found.reason}"
        is_ours = is_ours and not found.defines
        wish = wish or (f"{name} wants the fixture {_FIXTURE}" if found.wants else None)
    return wish if is_ours else None


class _Need:
    """What one file has that needs a sandbox."""

    def __init__(self, text: str) -> None:
        self.reason = ""
        self.wants = self.defines = False
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):  # which pytest is going to tell
            return
        for node in ast.walk(tree):
            self._look(node)

    def _look(self, node: ast.AST) -> None:
        match node:
            case ast.Import(names=names) if any(_is_vxlab(alias.name) for alias in names):
                self.reason = "imports vxlab"
            case ast.ImportFrom(module=str(module), level=0) if _is_vxlab(module):
                self.reason = "imports vxlab"
            case ast.Attribute(attr="topology", value=ast.Attribute(attr="mark")):
                self.reason = self.reason or "has the marker topology"
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                wanted = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                is_pytests = node.name.startswith("test") or _is_fixture(node)
                self.wants |= is_pytests and any(one.arg == _FIXTURE for one in wanted)
                self.defines |= node.name == _FIXTURE and _is_fixture(node)
            case ast.Call(func=func, args=[*args]):
                self._look_at_call(_last_name(func), args)

    def _look_at_call(self, name: str, args: Iterable[ast.expr]) -> None:
        words = [arg.value for arg in args if isinstance(arg, ast.Constant)]
        if name in _IMPORTING and any(_is_vxlab(str(word)) for word in words):
            self.reason = "imports vxlab"
        self.wants |= name in ("usefixtures", "getfixturevalue") and _FIXTURE in words


def _is_vxlab(module: str) -> bool:
    return module.partition(".")[0] == "vxlab"


def _last_name(func: ast.AST) -> str:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")


def _is_fixture(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    marks = (mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list)
    return any(_last_name(mark) == "fixture" for mark in marks)


# --- what a run is about ---------------------------------------------------------------------


def _files(config: pytest.Config) -> Iterator[tuple[Path, str]]:
    """Files of the run and their text: test files, conftest.py files, then what these import."""
    imported: deque[Path] = deque()
    seen: set[Path] = set()
    for path in _candidates(config):
        yield from _read(path, seen, imported, config)
    while imported:
        yield from _read(imported.popleft(), seen, imported, config)


def _read(
    path: Path, seen: set[Path], imported: deque[Path], config: pytest.Config
) -> Iterator[tuple[Path, str]]:
    if path in seen or len(seen) >= MAX_FILES:
        return
    seen.add(path)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_BYTES)
    except OSError:
        return
    yield path, text
    imported.extend(_imports(path, text, config))


def _imports(path: Path, text: str, config: pytest.Config) -> Iterator[Path]:
    """The project's own modules that a file imports."""
    around = [path.parent]
    while around[-1] != config.rootpath and around[-1] != around[-1].parent:
        around.append(around[-1].parent)
    places = around if around[-1] == config.rootpath else around[:1]
    places = [*places, *(config.rootpath / place for place in config.getini("pythonpath"))]
    for module, names in _modules(text):
        dots = len(module) - len(module.lstrip("."))
        where = [path.parents[dots - 1]] if 0 < dots <= len(path.parents) else places
        parts = [part for part in module.split(".") if part]
        for place in where:
            for whole in (parts, *([*parts, name] for name in names)):
                yield from _modules_on_the_way(place, whole)


def _modules(text: str) -> Iterator[tuple[str, list[str]]]:
    """Names of modules that a text imports, with what it takes from each."""
    for module, names, several in _IMPORT.findall(text):
        if module:
            yield module, re.findall(r"(\w+)(?:\s+as\s+\w+)?", names)
        for one in several.split(","):
            yield one.split()[0] if one.split() else "", []
    for plugins in _PLUGINS.findall(text):
        for one in re.findall(r"[\"']([\w.]+)[\"']", plugins):
            yield one, []


def _modules_on_the_way(place: Path, parts: list[str]) -> Iterator[Path]:
    """The files that are loaded for the module ``a.b.c``: of a, of a.b, and its own."""
    for count in range(1, len(parts) + 1):
        base = place.joinpath(*parts[:count])
        for path in (base / "__init__.py", base.with_name(base.name + ".py")):
            if path.is_file():
                yield path


def _starts(config: pytest.Config) -> list[Path]:
    """The files and folders that pytest is going to look for tests in."""
    invoked = config.invocation_params.dir
    words = [word.partition("::")[0] for word in config.known_args_namespace.file_or_dir]
    if not words and invoked == config.rootpath:
        for pattern in config.getini("testpaths"):
            words += sorted(glob.glob(str(config.rootpath / pattern), recursive=True))
    return [invoked / word for word in words] or [invoked]


def _candidates(config: pytest.Config) -> Iterator[Path]:
    """Test files and conftest.py files."""
    for start in map(Path, map(os.path.normpath, _starts(config))):
        for folder in (start, *start.parents):
            if (folder / "conftest.py").is_file():
                yield folder / "conftest.py"
            if folder == config.rootpath:
                break
        if start.is_file():
            yield start
        else:
            yield from _test_files(start, config)


def _ignored(config: pytest.Config) -> Callable[[str], bool]:
    """Whether a path is one that ``--ignore`` or ``--ignore-glob`` leaves out."""
    options, invoked = config.known_args_namespace, config.invocation_params.dir
    paths = {os.path.normpath(invoked / word) for word in options.ignore or ()}
    patterns = [os.path.normpath(invoked / word) for word in options.ignore_glob or ()]

    def is_ignored(path: str) -> bool:
        return path in paths or any(fnmatch.fnmatch(path, pattern) for pattern in patterns)

    return is_ignored


def _test_files(start: Path, config: pytest.Config) -> Iterator[Path]:
    wanted = ["conftest.py", *config.getini("python_files")]
    left_out = config.getini("norecursedirs")
    is_ignored = _ignored(config)
    for folder, folders, files in os.walk(start):
        folders[:] = sorted(
            name
            for name in folders
            if not any(fnmatch.fnmatch(name, pattern) for pattern in left_out)
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
            and not is_ignored(os.path.join(folder, name))
        )
        for name in sorted(files):
            path = os.path.join(folder, name)
            if any(fnmatch.fnmatch(name, pattern) for pattern in wanted) and not is_ignored(path):
                yield Path(path)
