"""``vxlab list``: the catalog in words."""

from __future__ import annotations

import pytest

from vxlab.catalog import CATALOG
from vxlab.commands import main
from vxlab.commands.catalog_topology import topology_of


def test_the_list_has_a_line_for_each_topology_and_one_for_what_can_be_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(CATALOG)
    assert lines[0].split(maxsplit=1)[1].startswith("Hosts on one underlay, each with an address")
    assert lines[9].endswith(
        "--set family=4 router=smcroute ttl=rule port=0 vnis=10,20 group= leak=false"
    )
    assert not [line for line in lines if "`" in line or line.endswith("(E1).")]


@pytest.mark.parametrize("name", CATALOG)
def test_what_the_list_shows_can_be_set(capsys: pytest.CaptureFixture[str], name: str) -> None:
    main.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.split()[0] == name)
    settings = lines[at + 1].split()[1:]
    assert topology_of(name, settings) == CATALOG[name]()
