"""Generated command lines, and generated files that they read: an exit code and a sentence."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from bad_values import REPEATABLE, WORDS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from results_tools import case, write_run

from vxlab import sandbox
from vxlab.commands import main
from vxlab.plugin.reports import SeenRecorder

#: What is there beside the test, and can be none of what a command wants.
FILES = ("folder", "pipe", "garbage", "empty", "dangling", "nowhere", "nowhere/x", "garbage/x")
DEVICES = ("/dev/zero", "/dev/full", "/proc/self/mem", "/proc/x")
NUMBERS = ("-1", "nan", "inf", "1e999", "x", "0x", "1.5.2", "-9" * 50)

#: Command lines with one word left out, and what cannot stand there.
HOLES: tuple[tuple[str, Sequence[str]], ...] = (
    ("HOLE", ("list2", "complete", "-x", "--", "help")),
    ("list HOLE", FILES),
    ("plan HOLE", FILES),
    ("script HOLE", ("bridge", "kim_and_lee", *FILES)),
    ("doctor HOLE", ("vfr", "vxlan.nosuch", "ip.", *FILES)),
    ("plan bridged --set HOLE", ("hosts", "hosts=", "hosts=x", "hosts=2,x", "host=2", "=", *FILES)),
    ("script bridged -o HOLE", ("folder", "pipe", "garbage/x", "nowhere/x", *DEVICES[1:])),
    (
        "compare HOLE",
        ("good#9", "good#" + "9" * 400, "good:kernel=", "good:os=1", *FILES, *DEVICES),
    ),
    ("compare good HOLE", FILES),
    ("compare good --slower HOLE", ("0.5", *NUMBERS)),
    ("compare good --html HOLE", ("good", "folder", "pipe", "nowhere/x", *DEVICES[1:])),
    ("merge out HOLE", (*FILES, *DEVICES)),
    ("merge HOLE good", ("garbage", "folder", "pipe", "nowhere/x", *DEVICES)),
    ("matrix --resume --results HOLE", FILES),
    ("matrix --kernels garbage --results HOLE", ("folder", "pipe", "garbage", "nowhere/x")),
    ("matrix --kernels HOLE", ("garbage", "folder", "pipe", "nowhere/x", ",", "garbage,")),
    ("matrix --kernels garbage --machines HOLE", ("0", *NUMBERS)),
    ("matrix --kernels garbage --deadline HOLE", ("0", *NUMBERS)),
    ("matrix --kernels garbage --backends HOLE", ("netlnk", ",", *FILES)),
    ("matrix --kernels garbage --iproute2 HOLE", ("folder", "pipe", "nowhere/x")),
    ("iproute2 HOLE", ("folder", "pipe", "garbage", "nowhere/x")),
    ("vm HOLE", ("walk", "--kernel", *FILES)),
    ("vm run --kernel HOLE", ("folder", "pipe", "garbage", "empty", "nowhere/x")),
    ("vm run --kernel garbage --memory HOLE", ("0", *NUMBERS)),
    ("bisect-run --kernel HOLE", ("folder", "pipe", "garbage", "empty", "nowhere/x")),
    ("bisect-run --kernel garbage --backend HOLE", ("netlnk", *FILES)),
)
#: Where other words than those would mean something: a version that is looked for, a new file.
PICKED = ("-o", "--html", "merge HOLE", "--kernels HOLE", "--iproute2", "iproute2", "--kernel ")


def takes_any(line: str) -> bool:
    return not any(word in line for word in PICKED)


LINES = st.sampled_from(HOLES).flatmap(
    lambda hole: st.tuples(
        st.just(hole[0]),
        st.one_of(st.sampled_from(hole[1]), WORDS if takes_any(hole[0]) else st.nothing()),
    )
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a results file, ``good``, and with what is nothing of use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VXLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sandbox, "inside", lambda: True)  # doctor looks around in this process
    for name, text in (("garbage", "x\0" * 300), ("empty", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere/x")
    make_results(tmp_path / "good")
    return tmp_path


def make_results(path: Path) -> None:
    passed = {one.nodeid: one for one in (case(), case("b", "failed", reason="why"))}
    write_run(path, {("6.1", "6.15", "netlink"): passed})


@contextlib.contextmanager
def said() -> Iterator[io.StringIO]:
    text = io.StringIO()
    with contextlib.redirect_stderr(text), contextlib.redirect_stdout(io.StringIO()):
        yield text


def run(words: Sequence[str]) -> tuple[int, str]:
    """The exit code of ``vxlab`` in this process, and what it says on stderr."""
    with said() as text:
        try:
            code = main.main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, text.getvalue()


@settings(REPEATABLE, max_examples=150)
@given(LINES)
@example(("plan bridged --set HOLE", "hosts=2\n--"))
@example(("compare HOLE", "good#" + "9" * 5000))
@example(("doctor HOLE", "\udcff"))
def test_a_bad_word_in_a_command_line_is_a_sentence(line: tuple[str, str]) -> None:
    code, text = run([line[1] if word == "HOLE" else word for word in line[0].split()])
    if code == 0 and takes_any(line[0]):  # a word that meant something: help, or a number
        assert line[1].startswith(("-h", "--h")) or line[1].strip().isdecimal() or not line[1]
        return
    assert code in (1, 2, 125, 129), text
    assert "Traceback" not in text
    assert "wanted" in text or "error:" in text, text
    assert all(each.isprintable() for each in text.splitlines())


#: What a program that is none of ours, or a disk that fails, may have put into a results file.
CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=9), WORDS
)
COLUMNS = st.sampled_from(
    [
        *(f"run.{name}" for name in ("started", "ended", "selection", "version", "host")),
        *(
            f"cell.{name}"
            for name in ("kernel", "iproute2", "backend", "state", "started", "tools")
        ),
        *(f"cell.{name}" for name in ("seconds", "release", "config", "fingerprint", "log", "run")),
        *(f"case_.{name}" for name in ("nodeid", "outcome", "seconds", "reason", "known", "cell")),
    ]
)


def check_reading(path: Path) -> None:
    for words in (
        ["compare", str(path)],
        ["compare", str(path), "--json"],
        ["merge", "m", str(path)],
    ):
        code, text = run(words)
        assert code in (0, 1), text
        assert (code == 0) or not text or "wanted" in text, text
        (path.parent / "m").unlink(missing_ok=True)


@settings(REPEATABLE, max_examples=40)
@given(COLUMNS, CELLS)
def test_any_value_in_a_results_file_is_read_or_refused(
    place: Path, column: str, value: object
) -> None:
    path = place / "changed"
    path.write_bytes((place / "good").read_bytes())
    table, _, name = column.partition(".")
    with (
        contextlib.closing(sqlite3.connect(path)) as connection,
        contextlib.suppress(sqlite3.Error, UnicodeEncodeError),
    ):
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(f"UPDATE {table} SET {name} = ?", (value,))
        connection.commit()
    check_reading(path)


@settings(REPEATABLE, max_examples=40)
@given(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=64), st.booleans())
def test_a_damaged_results_file_is_read_or_refused(
    place: Path, position: int, data: bytes, cut: bool
) -> None:
    content = bytearray((place / "good").read_bytes())
    position %= len(content)
    content[position : len(content) if cut else position + len(data)] = data
    (place / "changed").write_bytes(content)
    check_reading(place / "changed")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=5,
)


@settings(REPEATABLE, max_examples=40)
@given(st.one_of(JSON.map(json.dumps).map(str.encode), st.binary(max_size=20)))
@example(b"[" * 100_000)
@example(b'["a", "\\ud800"]')
def test_any_file_of_tests_that_were_seen_is_a_list_or_refused(place: Path, data: bytes) -> None:
    path = place / "seen.json"
    path.write_bytes(data)
    refused = ""
    try:
        SeenRecorder(path)
    except pytest.UsageError as error:
        refused = str(error)
    if not refused:
        assert all(isinstance(each, str) for each in json.loads(data))
        return
    assert refused.startswith("--vxlab-seen: wanted a file with a list of node ids as JSON, found")


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "kim-and-lee", "--set", b"\xff=\x01"],
        ["compare", "pipe"],
        ["merge", "good", "garbage"],
        ["vm", "run", "--kernel", "folder"],
        ["setup", "--nosuch"],
    ],
    ids=lambda words: str(words[0]),
)
def test_a_process_of_its_own_ends_the_same(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vxlab", *words],
        capture_output=True,
        timeout=60,
        check=False,
        errors="replace",
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "wanted" in done.stderr or "error:" in done.stderr
