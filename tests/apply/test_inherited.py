"""A new node has the settings of a machine that was just booted, wherever its lab runs."""

from __future__ import annotations

import pytest

from vxlab import Lab, catalog
from vxlab.apply import inherited


def value(lab: Lab, node: str, file: str) -> str | None:
    try:
        return lab[node].namespaces.read(f"/proc/sys/{file}").strip()
    except FileNotFoundError:
        return None


@pytest.fixture(autouse=True)
def _asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inherited._Inherited, "odd", None)


def test_every_setting_of_the_table_is_as_it_says() -> None:
    with Lab(catalog.point_to_point()) as lab:
        found = {file: value(lab, "a", file) for file in inherited.FRESH}
    there = {file: each for file, each in found.items() if each is not None}
    assert len(there) > 50  # the files are those of a kernel
    assert there == {file: inherited.FRESH[file] for file in there}


def test_what_is_otherwise_outside_is_set_in_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a distribution changed looks to this process as if a fresh machine had another value."""
    odd = {"net/ipv4/conf/default/promote_secondaries": "1", "net/ipv4/conf/all/no_such": "5"}
    monkeypatch.setattr(inherited, "FRESH", odd)
    with Lab(catalog.point_to_point()) as lab:
        for node in ("a", "b"):
            assert value(lab, node, "net/ipv4/conf/default/promote_secondaries") == "1"
    monkeypatch.setattr(inherited, "FRESH", {next(iter(odd)): "0"})
    monkeypatch.setattr(inherited._Inherited, "odd", None)
    with Lab(catalog.point_to_point()) as lab:
        assert value(lab, "a", "net/ipv4/conf/default/promote_secondaries") == "0"


def test_the_machine_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = inherited._is_odd
    monkeypatch.setattr(inherited, "_is_odd", lambda *each: asked.append(each[0]) or real(*each))
    with Lab(catalog.point_to_point()) as lab:
        assert len(lab) > 1
    assert sorted(asked) == sorted(inherited.FRESH)
