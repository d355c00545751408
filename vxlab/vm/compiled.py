"""Python files compiled here: in a guest it takes an emulated processor long.

Each is compiled once and kept by its content.  Test files are compiled as pytest has them, with
their asserts rewritten.  Whatever does not succeed here is left to the guest.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import py_compile
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vxlab.vm import cache

#: Files whose asserts pytest rewrites (its setting python_files, and conftest.py).
_TEST = re.compile(r"test_.*\.py|.*_test\.py|conftest\.py")


def add(files: Iterable[Path], *, rewritten: bool = False) -> None:
    """Put what Python makes of these files into the ``__pycache__`` beside each.

    With ``rewritten`` all of them as pytest has them, else its test files alone.
    """
    for file, name, ready in kept(files, rewritten=rewritten):
        place = file.parent / "__pycache__"
        place.mkdir(exist_ok=True)
        shutil.copyfile(ready, place / name)


def kept(files: Iterable[Path], *, rewritten: bool = False) -> Iterator[tuple[Path, str, Path]]:
    """Of each of these files what Python makes of it: the file, the name, and where it is kept.

    The name is that in the ``__pycache__`` beside the file; ``rewritten`` is as :func:`add` has it.
    Those that do not compile are left out.
    """
    place = cache.part("compiled")
    with cache.workplace("compiled") as half:
        for file in files:
            asserts = rewritten or _TEST.fullmatch(file.name) is not None
            if asserts and not _can_rewrite():
                continue
            tail = _pytest().PYC_TAIL if asserts else f".{sys.implementation.cache_tag}.pyc"
            try:
                ready = place / f"{cache.key(file)}{tail}"
                if not ready.exists():
                    _make(file, half / ready.name, asserts=asserts)
                    os.replace(half / ready.name, ready)
            except (OSError, SyntaxError, ValueError, RecursionError):
                continue
            yield file, f"{file.stem}{tail}", ready


def _make(file: Path, compiled: Path, *, asserts: bool) -> None:
    """Compile a file."""
    if asserts:
        source, code = _pytest()._rewrite_test(file, None)
        with compiled.open("wb") as half:
            _pytest()._write_pyc_fp(half, source, code)
        return
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(file), str(compiled), doraise=True, invalidation_mode=unchecked)
    except py_compile.PyCompileError as error:
        raise ValueError(str(error)) from error


def _pytest() -> Any:
    return importlib.import_module("_pytest.assertion.rewrite")


def _can_rewrite() -> bool:
    """Whether this pytest takes what was compiled at another path and time: since 9.2."""
    return hasattr(_pytest(), "_fix_code_filename") and hasattr(_pytest(), "_write_pyc_fp")
