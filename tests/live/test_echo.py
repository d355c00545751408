"""vxlab.live.echo: who reaches whom, all asked at once."""

from __future__ import annotations

import pytest

from vxlab import Lab, catalog, operations
from vxlab.errors import VxlabError
from vxlab.live import echo

FAMILIES = pytest.mark.parametrize("family", [4, 6])


@FAMILIES
def test_all_are_reached(family: int) -> None:
    with Lab(catalog.one_switch(family=family, hosts=4)) as lab:
        names = [host.name for host in lab.topology.hosts]
        outside = {host.name: str(host.nics[0].ip) for host in lab.topology.hosts}
        assert lab.unreached((a, outside[b]) for a in names for b in names if a != b) == []
        assert lab.unreached([("a", "192.168.42.3"), ("b", outside["a"])]) == []


@FAMILIES
def test_who_does_not_answer_is_named_and_others_are_not(family: int) -> None:
    far = {4: "198.51.100.1", 6: "2001:db8:ffff::1"}[family]  # no route
    with Lab(catalog.one_switch(family=family)) as lab:
        b = str(lab.topology.host("b").nics[0].ip)
        nobody = b.rsplit("." if family == 4 else ":", 1)[0] + ("." if family == 4 else ":") + "99"
        pairs = [("a", nobody), ("a", b), ("a", far)]
        assert lab.unreached(pairs, timeout=0.3) == [("a", nobody), ("a", far)]


def test_an_answer_from_elsewhere_does_not_count() -> None:
    with Lab(catalog.one_switch()) as lab:
        # what is sent to .99 goes to b, which answers from its own address only
        (mac,) = [link.mac for link in lab["b"].state.links if link.name == "vxlan0"]
        lab["a"].run("ip", "neigh", "add", "192.168.42.99", "lladdr", mac, "dev", "vxlan0")
        assert lab.unreached([("a", "192.168.42.99")], timeout=0.3) == [("a", "192.168.42.99")]


def test_answers_to_another_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab(catalog.one_switch()) as lab:
        asks = [(lab["a"].namespaces, "192.168.42.3")]
        request = echo._request
        monkeypatch.setattr(echo, "_request", lambda v, who, n: request(v, who ^ 1, n))
        assert echo.unanswered(asks, timeout=0.3) == [0]


def test_nobody_asks() -> None:
    assert echo.unanswered([]) == []


def test_what_is_no_address_is_refused() -> None:
    with (
        Lab(catalog.one_switch()) as lab,
        pytest.raises(VxlabError, match="wanted an IP address, found 'b'"),
    ):
        lab.unreached([("a", "b")])


def test_a_broken_tunnel_is_seen() -> None:
    with Lab(catalog.one_switch(hosts=3)) as lab:
        lab.apply(operations.SetLink("b", "vxlan0", up=False))
        found = lab.unreached([("a", "192.168.42.3"), ("a", "192.168.42.4")], timeout=0.3)
        assert found == [("a", "192.168.42.3")]
