"""What is compiled here is what a guest's Python and pytest take."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from vxlab.vm import cache, compiled


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache/compiled"


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "helper.py").write_text("def three():\n    return 3\n")
    (folder / "test_it.py").write_text(
        "from helper import three\n\ndef test_it():\n    assert three() == 4\n"
    )
    return sorted(folder.iterdir())


def beside(path):
    return sorted(x.name for x in (path.parent / "__pycache__").iterdir())


needs_rewriting = pytest.mark.skipif(
    not compiled._can_rewrite(), reason="this pytest ties what it compiles to a path"
)


@needs_rewriting
def test_pytest_takes_it_and_shows_the_source_of_the_new_place(files, tmp_path):
    compiled.add(files)
    assert len(beside(files[0])) == 2
    moved = files[0].parent.rename(tmp_path / "second")
    marker = tmp_path / "second/__pycache__" / next(x for x in beside(moved / "x") if "pytest" in x)
    before = marker.stat().st_mtime_ns, marker.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "."],
        cwd=moved, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": ""},
    )  # fmt: skip
    assert "where 3 = three()" in done.stdout, "asserts are not rewritten"
    assert "assert three() == 4" in done.stdout, "the source is not found"
    assert (marker.stat().st_mtime_ns, marker.read_bytes()) == before
    _, code = compiled._pytest()._rewrite_test(moved / "test_it.py", None)
    assert compiled._pytest()._read_pyc(moved / "test_it.py", marker).co_code == code.co_code


def test_a_module_is_taken_unchecked(files):
    compiled.add(files[:1])
    (made,) = (files[0].parent / "__pycache__").iterdir()
    assert str(made) == importlib.util.cache_from_source(str(files[0]))
    files[0].write_text("def three():\n    return 99\n")
    asked = "import sys; sys.path[0] = '.'; import helper; print(helper.three())"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=files[0].parent, capture_output=True, check=True
    )
    assert done.stdout == b"3\n", "what was compiled here is not used"


def test_each_content_is_compiled_once(files, kept, monkeypatch):
    compiled.add(files)
    first = {x.name: x.stat().st_mtime_ns for x in kept.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(compiled, "_make", lambda *_, **__: pytest.fail("compiled again"))
        compiled.add(files)
    files[0].write_text("x = 1\n")
    compiled.add(files)
    assert first.keys() < {x.name for x in kept.iterdir()}


def test_what_is_no_python_is_left_to_the_guest(tmp_path, kept):
    for name in ("broken.py", "test_broken.py"):
        (tmp_path / name).write_text("def (:\n")
    (tmp_path / "test_nul.py").write_bytes(b"\0")
    compiled.add([*tmp_path.glob("*.py"), tmp_path / "gone.py"])
    assert os.listdir(kept) == ["CACHEDIR.TAG"]
    assert not (tmp_path / "__pycache__").exists()


def test_a_pytest_that_cannot_is_left_alone(files, monkeypatch):
    monkeypatch.setattr(compiled, "_can_rewrite", lambda: False)
    compiled.add(files)
    assert [x for x in beside(files[0]) if "pytest" in x] == []
    assert len(beside(files[0])) == 1
