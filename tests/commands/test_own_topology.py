"""``vxlab plan`` and ``vxlab script`` of a topology in somebody's own file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vxlab import TopologyBuilder, make_plan
from vxlab.commands import main

MINE = '''
from helper import ADDRESS
from vxlab import TopologyBuilder

def two(hosts=2, vni: int = 42):
    """Hosts of mine.

    And more about them.
    """
    t = TopologyBuilder("mine")
    t.switch("lan", "192.0.2.0/24")
    t.segment("red", vni)
    for n in range(1, hosts + 1):
        t.host(f"h{n}", "lan")
        t.vtep(f"h{n}", "red", addresses=ADDRESS.format(n))
    return t

BUILT = two().build()

def needs(what):
    return two()

def wrong():
    return two(vni=-1)

def other():
    return 7

def fails():
    return {}["missing"]
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "mine_topologies.py").write_text(MINE)
    (tmp_path / "helper.py").write_text('ADDRESS = "10.0.0.{}/24"\n')
    (tmp_path / "broken_topologies.py").write_text("def f(:\n")
    (tmp_path / "failing_topologies.py").write_text("\nimport no_such_module\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield "mine_topologies.py"
    for name in set(sys.modules) - before:
        if name == "helper" or name.endswith("_topologies"):
            del sys.modules[name]


def plan_of(hosts: int, vni: int) -> str:
    t = TopologyBuilder("mine")
    t.switch("lan", "192.0.2.0/24")
    t.segment("red", vni)
    for n in range(1, hosts + 1):
        t.host(f"h{n}", "lan")
        t.vtep(f"h{n}", "red", addresses=f"10.0.0.{n}/24")
    return "".join(f"{operation}\n" for operation in make_plan(t.build()))


@pytest.mark.parametrize(
    ("name", "settings", "hosts", "vni"),
    [
        ("two", [], 2, 42),
        ("two", ["--set", "hosts=3", "--set", "vni=0x7"], 3, 7),
        ("BUILT", [], 2, 42),
        ("needs", ["--set", "what=this"], 2, 42),
    ],
)
def test_its_plan_is_printed(
    mine: str,
    capsys: pytest.CaptureFixture[str],
    name: str,
    settings: list[str],
    hosts: int,
    vni: int,
) -> None:
    assert main.main(["plan", f"{mine}:{name}", *settings]) == 0
    assert capsys.readouterr().out == plan_of(hosts, vni)


def test_its_script_says_where_it_is_from(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["script", f"{mine}:two", "--set", "hosts=3"]) == 0
    text = capsys.readouterr().out
    assert "Hosts of mine." in text
    assert "And more" not in text
    assert "vxlab script mine_topologies.py:two --set hosts=3" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.py:two"], "wanted FILE.py:FUNCTION, found no such file: none.py"),
        ([".py:two"], "wanted FILE.py:FUNCTION, found no such file: .py"),
        (["mine_topologies.py"], "found no function: there are two, BUILT, needs, wrong, other, "),
        (["mine_topologies.py:tow"], "found 'tow': did you mean two?"),
        (["mine_topologies.py:ADDRESS"], "found 'ADDRESS': there are two, "),
        (["mine_topologies.py:needs"], "needs: wanted --set KEY=VALUE for each: missing a "),
        (["mine_topologies.py:two", "--set", "x=1"], "wanted KEY=VALUE with a key of hosts, vni"),
        (["mine_topologies.py:other", "--set", "x=1"], "with a key of none at all, found 'x=1'"),
        (["mine_topologies.py:two", "--set", "hosts=x"], "hosts: wanted a whole number, found 'x'"),
        (["mine_topologies.py:wrong"], "segment red: vni: wanted 0 to 16777215, found -1"),
        (["mine_topologies.py:other"], "other: wanted a Topology or a TopologyBuilder to be retur"),
        (["mine_topologies.py:fails"], "mine_topologies.py, line 30: KeyError: 'missing'"),
        (["broken_topologies.py:f"], "broken_topologies.py: line 1: "),
        (["failing_topologies.py:f"], "failing_topologies.py, line 2: ModuleNotFoundError: No mo"),
    ],
)
def test_a_mistake_is_named(
    mine: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    del mine
    for command in ("plan", "script"):
        assert main.main([command, *words]) == 1
        said = capsys.readouterr()
        assert said.err.startswith("vxlab: ")
        assert message in said.err
        assert said.err.count("\n") == 1
        assert not said.out
