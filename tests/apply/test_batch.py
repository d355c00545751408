"""Many commands by one process: how a line is written, and how far the process came."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vxlab.apply import batch
from vxlab.apply.batch import BatchResult, line_of
from vxlab.system import programs
from vxlab.system.namespaces import Namespaces


def read_by_ip(line: bytes) -> list[bytes]:
    """The words of a line as iproute2 takes them: getcmdline() and makeargs() in lib/utils.c."""
    assert line.endswith(b"\n")
    assert b"\\\n" not in line
    rest, words = line.partition(b"#")[0], []
    while rest := rest.lstrip(b" \t\r\n"):
        if rest[:1] in (b"'", b'"'):
            word, quote, rest = rest[1:].partition(rest[:1])
            assert quote
            rest = rest[1:]
        else:
            word, *more = re.split(rb"[ \t\r\n]", rest, maxsplit=1)
            rest = more[0] if more else b""
        words.append(word)
    return words


WORDS = st.lists(st.text(alphabet="ab \t\r\n\"'#\\\0é", max_size=6), min_size=1, max_size=5)


@settings(derandomize=True, deadline=None, database=None)
@given(WORDS)
def test_a_line_is_read_as_the_words_it_was_made_of(words: list[str]) -> None:
    line = line_of(words)
    if line is not None:
        assert read_by_ip(line) == [os.fsencode(word) for word in words]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["link", "show"], b"link show \n"),
        (["a b"], b'"a b" \n'),
        (["a'b"], b"a'b \n"),
        (["'a"], b'"\'a" \n'),
        (['"a'], b"'\"a' \n"),
        ([""], b'"" \n'),
        (["a\\"], b"a\\ \n"),
        (["a\tb"], b'"a\tb" \n'),
        (["a" * 4094], b"a" * 4094 + b" \n"),
        (["a" * 4095], None),
        (["a"] * 500, b"a " * 500 + b"\n"),
        (["a"] * 501, None),
        (["a#b"], None),
        (["a\nb"], None),
        (["a\0b"], None),
        (["'a b\""], None),
    ],
)
def test_how_words_are_written(words: list[str], line: bytes | None) -> None:
    assert line_of(words) == line


# --- processes -------------------------------------------------------------------------------


@pytest.fixture
def node() -> Iterator[Namespaces]:
    with Namespaces("node") as node:
        yield node


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Path]:
    """A shell script in the place of ip, which is to be written."""
    before = programs._iproute2
    for name in ("ip", "bridge"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    programs.use_iproute2(str(tmp_path))
    yield tmp_path / "ip"
    programs.use_iproute2(before)


def add(*names: str) -> list[list[str]]:
    return [["link", "add", "dev", name, "type", "bridge"] for name in names]


def test_commands_are_done_in_the_node_by_one_process(node: Namespaces) -> None:
    assert batch.run_commands(node, "ip", add("a", "b", "c")) == BatchResult(
        read=3, code=0, output=""
    )
    assert {"a:", "b:", "c:"} <= set(node.read("/proc/thread-self/net/dev").split())


def test_a_command_that_fits_no_line_is_done_by_itself(node: Namespaces) -> None:
    names = ["a", "b#", "c", "d"]
    commands = add(*names)
    while commands:
        outcome = batch.run_commands(node, "ip", commands)
        assert outcome.code == 0
        assert outcome.read == (1 if commands[0][3] != "c" else 2)
        del commands[: outcome.read]
    assert {f"{name}:" for name in names} <= set(node.read("/proc/thread-self/net/dev").split())


def test_ip_tells_which_command_the_kernel_refused(node: Namespaces) -> None:
    outcome = batch.run_commands(node, "ip", add("a", "b", "a", "c"))
    assert (outcome.read, outcome.code, outcome.named) == (3, 1, True)
    assert outcome.output == "RTNETLINK answers: File exists\nCommand failed -:3\n"


def test_the_pipe_tells_which_command_ip_refused(node: Namespaces) -> None:
    outcome = batch.run_commands(
        node, "ip", [*add("a", "b"), ["link", "set", "dev", "a", "mtu", "x"]]
    )
    assert (outcome.read, outcome.code, outcome.named) == (3, 255, False)
    assert '"x" is wrong' in outcome.output


def test_one_process_is_given_as_many_commands_as_fit_its_pipe(node: Namespaces) -> None:
    outcome = batch.run_commands(node, "ip", [["link", "set", "dev", "lo", "up"]] * 2000)
    assert 16 <= outcome.read < 2000
    assert outcome.code == 0


def test_where_pipes_cannot_grow_fewer_commands_are_given(
    node: Namespaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PIPE_SIZE", 1 << 31)  # refused to all
    outcome = batch.run_commands(node, "ip", [["link", "set", "dev", "lo", "up"]] * 50)
    assert outcome == BatchResult(read=16, code=0, output="")


def test_nothing_is_left_of_a_process_that_hangs(
    node: Namespaces, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "DEADLINE", 3)  # a shell begins in it on a busy machine
    fake.write_text("#!/bin/sh\necho $$\nexec sleep 1000\n")
    outcome = batch.run_commands(node, "ip", add("a"))
    assert (outcome.read, outcome.code) == (0, None)
    with pytest.raises(ProcessLookupError):
        os.kill(int(outcome.output), 0)


def test_no_descriptors_are_left_open(node: Namespaces, fake: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    batch.run_commands(node, "ip", add("a", "b"))
    fake.write_text("#!/nonexistent\n")
    for commands in (add("a"), add("a#")):
        with pytest.raises(OSError, match="No such file"):
            batch.run_commands(node, "ip", commands)
    assert descriptors() == before


def test_output_does_not_fill_up(node: Namespaces, fake: Path) -> None:
    fake.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero\n")
    assert len(batch.run_commands(node, "ip", add("a")).output) == 3000000


def test_the_calling_thread_stays_where_it_is(node: Namespaces) -> None:
    outcomes: list[BatchResult] = []
    home = os.readlink("/proc/thread-self/ns/net")
    thread = threading.Thread(
        target=lambda: outcomes.append(batch.run_commands(node, "ip", add("a")))
    )
    thread.start()
    thread.join()
    batch.run_commands(node, "ip", add("b"))
    assert os.readlink("/proc/thread-self/ns/net") == home
    assert outcomes == [BatchResult(read=1, code=0, output="")]
