"""A topology by its name and settings, for ``vxlab plan`` and ``vxlab script``."""

from __future__ import annotations

import pytest

from vxlab import catalog
from vxlab.commands import main
from vxlab.commands.catalog_topology import topology_of


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("point-to-point", ["bind=none", "vni=0x2a"], catalog.point_to_point(bind="none")),
        ("bridged", ["vrf=yes", "group=239.9.9.9"], catalog.bridged(vrf=True, group="239.9.9.9")),
        ("bridged", ["flood=none"], catalog.bridged(flood="none")),
        ("bridged", ["flood="], catalog.bridged()),
        ("kim-and-lee", ["ttl=none", "vnis=1,2"], catalog.kim_and_lee(ttl=None, vnis=(1, 2))),
        ("routed", ["router=none"], catalog.routed(router=None)),
    ],
)
def test_settings_have_the_types_of_the_arguments(
    name: str, settings: list[str], wanted: object
) -> None:
    assert topology_of(name, settings) == wanted


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plan", "multicst"], "found 'multicst': did you mean multicast?"),
        (["plan", "x"], "wanted a topology of the catalog (point-to-point, bridged, "),
        (["script", "routed", "--set", "x=1"], "a key of family, router, ttl, vni, port, hosts, "),
        (["plan", "routed", "--set", "family"], "routed: wanted KEY=VALUE with a key of family"),
        (["plan", "routed", "--set", "vni=x"], "routed: vni: wanted a whole number, found 'x'"),
        (["plan", "routed", "--set", "ttl=1"], "ttl: wanted rule, device or none, found '1'"),
        (["plan", "bridged", "--set", "vrf=2"], "vrf: wanted true or false, found '2'"),
        (["plan", "kim-and-lee", "--set", "vnis=1"], "with commas between, found '1'"),
        (["plan", "routed", "--set", "vni=1", "--set", "vni=1"], "found it set twice"),
        (["plan", "routed", "--set", "hosts=99"], "routed: hosts: wanted 1 to 26, found 99"),
        (["script", "routed", "-o", "/no/such"], "wanted to write /no/such, found: No such file"),
    ],
)
def test_a_mistake_is_named_with_what_there_is(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert main.main(argv) == 1
    said = capsys.readouterr()
    assert said.err.startswith("vxlab: ")
    assert message in said.err
    assert not said.out
