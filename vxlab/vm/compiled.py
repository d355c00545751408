"""Python files compiled here: in a guest it takes an emulated processor long.

Each is compiled once and kept by its content.  Test files are compiled as pytest has them, with
their asserts rewritten.  Whatever does not succeed here is left to the guest.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import py_compile
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vxlab.vm import cache

#: Files whose asserts pytest rewrites (its setting python_files, and conftest.py).
_TEST = re.compile(r"test_.*\.py|.*_test\.py|conftest\.py")


def add(files: Iterable[Path], *, rewritten: bool = False) -> None:
    """Put what Python makes of these files into the ``__pycache__`` beside each.

    With ``rewritten`` all of them as pytest has them, else its test files alone.
    """
    kept = cache.part("compiled")
    for file in files:
        asserts = rewritten or _TEST.fullmatch(file.name) is not None
        if asserts and not _can_rewrite():
            continue
        tail = _pytest().PYC_TAIL if asserts else f".{sys.implementation.cache_tag}.pyc"
        with contextlib.suppress(OSError, SyntaxError, ValueError, RecursionError):
            ready = kept / f"{cache.key(file)}{tail}"
            if not ready.exists():
                _make(file, ready, asserts=asserts)
            place = file.parent / "__pycache__"
            place.mkdir(exist_ok=True)
            shutil.copyfile(ready, place / f"{file.stem}{tail}")


def _make(file: Path, ready: Path, *, asserts: bool) -> None:
    """Compile a file; what is half made has no name that anything looks for."""
    handle, name = tempfile.mkstemp(prefix=".", dir=ready.parent)
    os.close(handle)
    try:
        if asserts:
            source, code = _pytest()._rewrite_test(file, None)
            with open(name, "wb") as half:
                _pytest()._write_pyc_fp(half, source, code)
        else:
            unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(file), name, doraise=True, invalidation_mode=unchecked)
        os.replace(name, ready)
    except py_compile.PyCompileError as error:
        raise ValueError(str(error)) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _pytest() -> Any:
    return importlib.import_module("_pytest.assertion.rewrite")


def _can_rewrite() -> bool:
    """Whether this pytest takes what was compiled at another path and time: since 9.2."""
    return hasattr(_pytest(), "_fix_code_filename") and hasattr(_pytest(), "_write_pyc_fp")
