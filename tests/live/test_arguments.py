"""What is no command, number or text for a live node is refused before anything is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_tools import two_hosts

from vxlab.errors import MissingProgram, VxlabError
from vxlab.live.lab import Lab
from vxlab.live.node import Node

#: What is neither text nor a number.
ODD: tuple[Any, ...] = (None, True, b"x", [], {}, (), ["a"], object(), math.nan)
#: Text that no program and no file can be given.
UNFIT = ("a\0b", "\ud800")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(two_hosts()) as lab:
        yield lab


WORDS: dict[str, tuple[Callable[[Node], Any], str]] = {
    "no words": (lambda n: n.run(), "wanted a program and its arguments.*found nothing"),
    "no words to ask": (lambda n: n.ask(), "wanted a program and its arguments.*found nothing"),
    "no words to start": (lambda n: n.popen(), "wanted a program and its arguments.*found nothing"),
    "a number": (
        lambda n: n.run("ping", "-c", 1),  # type: ignore[arg-type]
        "h1: wanted text, found 1: write '1'",
    ),
    "a float": (lambda n: n.ask("sleep", 0.5), "h1: wanted text, found 0.5: write '0.5'"),  # type: ignore[arg-type]
    "None": (lambda n: n.popen("true", None), "h1: wanted text, found None"),  # type: ignore[arg-type]
    "a list": (lambda n: n.run(["ip", "link"]), r"h1: wanted text, found \['ip', 'link'\]"),  # type: ignore[arg-type]
    "NUL": (lambda n: n.run("echo", "a\0b"), r"wanted text without NUL, found 'a\\x00b'"),
    "a surrogate": (lambda n: n.run("\ud800"), r"has an encoding, found '\\ud800'"),
    "one string": (
        lambda n: n.run("ip -br link"),
        "wanted the program 'ip -br link', .* each of its words by itself: 'ip', '-br', 'link'",
    ),
    "env": (lambda n: n.run("true", env="A=1"), "env: wanted a mapping .*, found 'A=1'"),  # type: ignore[arg-type]
    "env's value": (lambda n: n.run("true", env={"A": 1}), "env: 'A': wanted text, found 1"),  # type: ignore[dict-item]
    "env's name": (lambda n: n.run("true", env={"A\0": ""}), "env: wanted text without NUL"),
    "stdin": (lambda n: n.run("cat", stdin=b"x"), "stdin: wanted text, found b'x'"),  # type: ignore[arg-type]
    "timeout as text": (lambda n: n.run("true", timeout="5"), "timeout: wanted a number .*'5'"),  # type: ignore[arg-type]
    "timeout nan": (lambda n: n.ask("true", timeout=math.nan), "timeout: wanted .*, found nan"),
    "timeout below 0": (lambda n: n.ask("true", timeout=-1), "wanted a number from 0 .*found -1"),
    "ip's number": (lambda n: n.ip("link", 5), "h1: wanted text, found 5: write '5'"),  # type: ignore[arg-type]
    "count as text": (
        lambda n: n.ping("10.0.0.2", count="1"),  # type: ignore[arg-type]
        "count: wanted a whole number from 1 to 2147483648, found '1'",
    ),
    "key": (lambda n: n.sysctl(5), "wanted a setting below net., .*found 5"),  # type: ignore[arg-type]
    "data as text": (lambda n: n.send_marked("10.0.0.2", "x"), "wanted bytes to send, found 'x'"),  # type: ignore[arg-type]
    "data of a device": (
        lambda n: n.add_raw_link("x", "bridge", [5]),  # type: ignore[list-item]
        "h1: x: wanted pairs of number and bytes, found 5",
    ),
}


@pytest.mark.parametrize(("ask", "message"), WORDS.values(), ids=WORDS)
def test_what_is_no_argument_is_a_sentence(
    lab: Lab, ask: Callable[[Node], Any], message: str
) -> None:
    with pytest.raises(VxlabError, match=message):
        ask(lab["h1"])


def test_words_may_be_paths_as_for_subprocess(lab: Lab) -> None:
    result = lab["h1"].run(Path("/bin/echo"), Path("/tmp"), b"x")  # type: ignore[arg-type]
    assert (result.argv, result.stdout) == (("/bin/echo", "/tmp", "x"), "/tmp x\n")


def test_a_program_with_a_blank_in_its_name_can_be_run(lab: Lab, tmp_path: Path) -> None:
    program = tmp_path / "my program"
    program.symlink_to("/bin/true")
    assert lab["h1"].ask(str(program))
    with pytest.raises(MissingProgram, match="wanted the program 'no such'"):
        lab["h1"].ask("no such")


def node_calls(n: Node) -> dict[str, Callable[[Any], Any]]:
    """Every argument of a node's methods."""
    return {
        "run": lambda v: n.run("true", v),
        "ask": lambda v: n.ask("true", v),
        "popen": lambda v: n.popen(v),
        "ip": lambda v: n.ip("link", v),
        "bridge": lambda v: n.bridge("fdb", v),
        "ping": lambda v: n.ping(v),
        "interface": lambda v: n.ping("10.0.0.2", interface=v),
        "size": lambda v: n.ping("10.0.0.2", size=v if v is not True else ""),  # type: ignore[arg-type]
        "interval": lambda v: n.ping("10.0.0.2", interval=v),
        "patience": lambda v: n.ping("10.0.0.2", timeout=v),
        "count": lambda v: n.ping("10.0.0.2", count=v),
        "key": lambda v: n.sysctl(v),
        "name": lambda v: n.add_raw_link(v, "bridge"),
        "kind": lambda v: n.add_raw_link("x", v),
        "raw": lambda v: n.raw_link(v),
        "address": lambda v: n.send_marked(v, b""),
        "port": lambda v: n.send_marked("10.0.0.2", b"", port=v),
    }


def lab_calls(lab: Lab) -> dict[str, Callable[[Any], Any]]:
    """Every argument of a lab's methods."""
    return {
        "node": lambda v: lab[v],
        "capture": lambda v: lab.capture(v),
        "buffer": lambda v: lab.capture("h1", buffer=v),
        "pairs": lambda v: lab.unreached([v]),
        "to": lambda v: lab.unreached([("h1", v)]),
        "from": lambda v: lab.unreached([(v, "10.0.0.2")]),
        "deadline": lambda v: lab.unreached([], timeout=v),
        "daemon": lambda v: lab.start_daemon(v),
        "operation": lambda v: lab.apply(v),
        "backend": lambda v: lab.apply(by=v or 0),  # type: ignore[arg-type]
        "topology": lambda v: Lab(v),
    }


#: What means something.
FINE = {("run", b"x"), ("ask", b"x"), ("interface", None), ("size", None)}


def test_odd_values_are_refused_by_every_method(lab: Lab) -> None:
    count = 0
    for name, call in (node_calls(lab["h1"]) | lab_calls(lab)).items():
        for value in (*ODD, *UNFIT):
            if value in (None, b"x") and (name, value) in FINE:
                continue
            with pytest.raises(VxlabError, match=r"wanted|ended with"):
                call(value)
            count += 1
    assert count > 250
