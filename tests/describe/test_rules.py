"""Where elements do not fit together, the error names the element and its field."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from bad_description_cases import on_one_switch
from lab_tools import describe, two_hosts, with_containers

from vxlab import catalog
from vxlab.describe import rules
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Host, Nic, Router, Segment, Switch, Vtep
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError
from vxlab.services.base import MAX_INTERFACES
from vxlab.services.pimd import SOURCE_SPECIFIC, Pimd
from vxlab.services.smcroute import LONGEST_LINE, Smcroute


def lan(*machines: Host | Router, **more: Any) -> Topology:
    """A topology of machines on the switches lan (10.0.0.0/24) and wan (10.0.1.0/24)."""
    switches = (Switch("lan", "10.0.0.0/24"), Switch("wan", "10.0.1.0/24"))
    hosts = tuple(each for each in machines if isinstance(each, Host))
    routers = tuple(each for each in machines if isinstance(each, Router))
    return Topology("t", **{"switches": switches, "hosts": hosts, "routers": routers, **more})


def card(number: int = 1, device: str = "eth0", switch: str = "lan", **more: Any) -> Nic:
    """A card at 10.0.0.N on lan, or at 10.0.1.N on wan."""
    return Nic(device, switch, f"10.0.{int(switch == 'wan')}.{number}/24", **more)


def star(cards: int, name: str = "eth{}", **router: Any) -> Topology:
    """A router with a host on each of its switches."""
    nics, hosts, switches = [], [], []
    for n in range(cards):
        switches.append(Switch(f"s{n}", f"10.1.{n}.0/24"))
        nics.append(Nic(name.format(n), f"s{n}", f"10.1.{n}.1/24"))
        hosts.append(Host(f"h{n}", (Nic("eth0", f"s{n}", f"10.1.{n}.2/24"),)))
    machine = Router("r", tuple(nics), **router)
    return Topology("star", switches=tuple(switches), routers=(machine,), hosts=tuple(hosts))


BAD: list[tuple[str, Any, str]] = [
    ("no name", lambda: Topology(""), "topology: name: wanted a non-empty string"),
    (
        "a list",
        lambda: Topology("t", hosts=[Host("h")]),  # type: ignore[arg-type]
        "topology t: hosts: wanted a tuple of Host, found [",
    ),
    (
        "a kind",
        lambda: Topology("t", switches=(Host("h"),)),  # type: ignore[arg-type]
        "topology t: switches: wanted a tuple of Switch, found Host(",
    ),
    (
        "node twice",
        lambda: lan(Host("lan")),
        "topology t: nodes: wanted each node name once, found 'lan' twice",
    ),
    (
        "host twice",
        lambda: lan(Host("h"), Host("h")),
        "topology t: nodes: wanted each node name once, found 'h' twice",
    ),
    (
        "segment twice",
        lambda: lan(segments=(Segment("red", 1), Segment("red", 2))),
        "topology t: segments: wanted each segment name once, found 'red' twice",
    ),
    (
        "interface twice",
        lambda: lan(Host("h", (card(1), card(1, switch="wan")))),
        "host h: nics: wanted each interface name once, found 'eth0' twice",
    ),
    (
        "unknown switch",
        lambda: lan(Host("h", (Nic("eth0", "man", "10.0.0.1/24"),))),
        "host h: eth0: wanted a known switch, found 'man': lan, wan",
    ),
    (
        "no switch",
        lambda: Topology("t", hosts=(Host("h", (card(),)),)),
        "host h: eth0: wanted a known switch, found 'lan': none at all",
    ),
    (
        "other network",
        lambda: lan(Host("h", (Nic("eth0", "lan", "10.9.0.1/24"),))),
        "host h: eth0: wanted an address in 10.0.0.0/24 as on switch lan, found 10.9.0.1/24",
    ),
    (
        "other prefix",
        lambda: lan(Host("h", (Nic("eth0", "lan", "10.0.0.1/25"),))),
        "host h: eth0: wanted an address in 10.0.0.0/24 as on switch lan, found 10.0.0.1/25",
    ),
    (
        "other family",
        lambda: lan(Host("h", (Nic("eth0", "lan", "fd00::1/64"),))),
        "host h: eth0: wanted an address in 10.0.0.0/24",
    ),
    (
        "address twice",
        lambda: lan(Host("a", (card(),)), Host("b", (card(),))),
        "host b: eth0: wanted an address of its own, 10.0.0.1 is host a's",
    ),
    (
        "address of the router",
        lambda: lan(Host("a", (card(),)), Router("r", (card(),), None)),
        "host a: eth0: wanted an address of its own, 10.0.0.1 is router r's",
    ),
    (
        "two cards on one switch",
        lambda: lan(Host("h", (card(1), card(2, "eth1")))),
        "host h: nics: wanted networks apart, found 10.0.0.1/24 (eth0) over 10.0.0.2/24 (eth1)",
    ),
    (
        "two switches with one network",
        lambda: lan(
            Host("h", (card(1), Nic("eth1", "two", "10.0.0.9/24"))),
            switches=(Switch("lan", "10.0.0.0/24"), Switch("two", "10.0.0.0/24")),
        ),
        "host h: nics: wanted networks apart, found 10.0.0.1/24 (eth0) over 10.0.0.9/24 (eth1)",
    ),
    (
        "mac twice",
        lambda: lan(
            Router("r", (card(9, mac="02:00:00:00:00:01"),), None),
            Host("a", (card(1, mac="02:00:00:00:00:01"),)),
        ),
        "host a: eth0: wanted a mac of its own on switch lan, 02:00:00:00:00:01 is router r's",
    ),
    (
        "router without cards",
        lambda: lan(Router("r")),
        "router r: nics: wanted at least one, found none",
    ),
    (
        "daemon with one card",
        lambda: lan(Router("r", (card(),))),
        "router r: nics: wanted 2 to 31 for smcroute to route between, found 1: add an interface",
    ),
    (
        "daemon with too many cards",
        lambda: star(32, daemon="pimd"),
        "router r: nics: wanted 2 to 31 for pimd to route between, found 32",
    ),
    (
        "smcroute with long names",
        lambda: star(31, "fifteen-long{:03d}"),
        "router r: nics: wanted names that fit into a line of smcroute's 510 bytes together",
    ),
    (
        "pimd on IPv6",
        lambda: catalog.kim_and_lee(family=6, router="pimd"),
        "router router: daemon: pimd routes IPv4 only, found an IPv6 underlay: use smcroute",
    ),
    (
        "pimd alone",
        lambda: lan(Router("r", (card(), card(1, "eth1", "wan")), "pimd")),
        "router r: daemon: pimd needs a host on one of its subnets to start, found none",
    ),
    (
        "pimd and source-specific groups",
        lambda: catalog.kim_and_lee(router="pimd", group="232.1.1.1"),
        "router router: daemon: pimd wanted a group outside 232.0.0.0/8 (source-specific), found "
        "232.1.1.1 of host lxc1 vtep vxlan10",
    ),
    (
        "container of nobody",
        lambda: with_containers().container("c3", "h9", "br0").build(),
        "container c3: host: wanted a known host, found 'h9': h1, h2",
    ),
    (
        "container of a switch",
        lambda: with_containers().container("c3", "lan", "br0").build(),
        "container c3: host: wanted a known host, found 'lan': h1, h2",
    ),
    (
        "container on an unknown bridge",
        lambda: with_containers().container("c3", "h1", "br9").build(),
        "container c3: bridge: wanted a bridge of host h1, found 'br9': br0",
    ),
    (
        "container without a bridge",
        lambda: describe().container("c3", "h1", "br0").build(),
        "container c3: bridge: wanted a bridge of host h1, found 'br0': none at all",
    ),
    (
        "container's name as a node's",
        lambda: with_containers().container("h1", "h1", "br0").build(),
        "node h1: name: wanted a new name, found it in use",
    ),
    (
        "container's link as a bridge",
        lambda: with_containers().container("c3", "h1", "br0", host_device="br0").build(),
        "container c3: host_device: wanted a free name on host h1, found a bridge",
    ),
    (
        "containers' links alike",
        lambda: with_containers().container("c3", "h1", "br0", host_device="c1-eth0").build(),
        "container c3: host_device: wanted a free name on host h1, found a container's link",
    ),
    (
        "address twice in a segment",
        lambda: with_containers().container("c3", "h2", "br0", "172.16.0.1/24").build(),
        "container c3: addresses: wanted 172.16.0.1/24 once in segment red, container c1 has it",
    ),
    (
        "address twice on a device",
        lambda: two_hosts(addresses=("1.1.1.1/24", "1.1.1.1/25")),
        "host h1 vtep vxlan0: addresses: wanted 1.1.1.1/25 once in segment red, host h1 vtep",
    ),
    (
        "overlay over underlay",
        lambda: two_hosts().with_vtep("h1", "red", addresses=("10.0.0.7/16",)),
        "host h1: addresses: wanted networks apart, found 10.0.0.1/24 (eth0) over 10.0.0.7/16",
    ),
    (
        "MTU too small for a container",
        lambda: _small(with_containers(), 117).build(),
        "container c1: bridge: wanted an MTU of 68 at least, found 67 behind the encapsulation",
    ),
    (
        "MTU too small for IPv6 in a container",
        lambda: _small(with_containers(), 1329).container("c3", "h1", "br0", "fd01::1/64").build(),
        "container c3: addresses: wanted an MTU of 1280 for fd01::1/64, found 1279 behind",
    ),
]


def _small(t: TopologyBuilder, mtu: int) -> TopologyBuilder:
    t._switches[0] = dataclasses.replace(t._switches[0], mtu=mtu)
    return t


@pytest.mark.parametrize(("make", "message"), [pytest.param(m, t, id=n) for n, m, t in BAD])
def test_a_misfit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value).startswith(message)


GOOD: list[tuple[str, Any]] = [
    ("nothing at all", lambda: Topology("t")),
    ("a switch alone", lambda: lan()),
    ("a host without cards", lambda: lan(Host("h"))),
    ("a router with one card and no daemon", lambda: lan(Router("r", (card(),), None))),
    ("most cards", lambda: star(31, daemon="smcroute")),
    ("most cards of pimd", lambda: star(31, daemon="pimd")),
    (
        "a mac on two switches",
        lambda: lan(
            Host("a", (card(1, mac="02:00:00:00:00:01"),)),
            Host("b", (card(1, switch="wan", mac="02:00:00:00:00:01"),)),
        ),
    ),
    ("equal addresses in two segments", catalog.kim_and_lee),
    ("equal addresses in one segment, on purpose", lambda: catalog.kim_and_lee(leak=True)),
    (
        "one address in two underlays",
        lambda: lan(
            Host("a", (card(1),)),
            Host("b", (Nic("eth0", "two", "10.0.0.1/24"),)),
            switches=(Switch("lan", "10.0.0.0/24"), Switch("two", "10.0.0.0/24")),
        ),
    ),
    ("names of both kinds", lambda: lan(Host("all"), Host("default"), Host("lo"), Host("switch"))),
    ("least MTU for containers", lambda: _small(with_containers(), 118).build()),
    (
        "least MTU for IPv6 in containers",
        lambda: _small(with_containers(), 1330).container("c3", "h1", "br0", "fd01::1/64").build(),
    ),
    (
        "overlay and underlay apart in a VRF",
        lambda: lan(
            Host("h", (card(1),), (Vtep("red", addresses=("10.0.0.9/16",), vrf="vrf0"),)),
            segments=(Segment("red", 5),),
        ),
    ),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in GOOD])
def test_what_fits_is_accepted(make: Any) -> None:
    assert isinstance(make(), Topology)


def test_the_limits_are_those_of_the_daemons() -> None:
    assert rules.ROUTER_INTERFACES == (2, MAX_INTERFACES)
    assert rules.SMCROUTE_LINE == LONGEST_LINE
    assert rules.SOURCE_SPECIFIC == SOURCE_SPECIFIC


@pytest.mark.parametrize("cards", [2, 31])
def test_what_is_accepted_here_the_daemons_accept(cards: int) -> None:
    names = [f"eth{n}" for n in range(cards)]
    assert Smcroute(names, ["ff08::1:2:3:4"]).interfaces == Pimd(names, ["239.1.1.1"]).interfaces


def test_smcroute_s_longest_line_is_not_guessed_too_short() -> None:
    for length in range(9, 14):
        names = [f"{n:02d}".ljust(length, "x") for n in range(31)]
        group = "ff08:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        try:
            star(31, "{:02d}".ljust(length + 4, "x"))
        except TopologyError:
            continue
        assert Smcroute(names, [group]).interfaces


def test_many_segments_are_checked_in_a_time_that_grows_with_their_number() -> None:
    """Counted, not timed: the elements are asked for their names no more than a few times each."""
    asked = 0

    class Counting(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal asked
            asked += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    number = 200
    segments = tuple(Segment(Counting(f"s{n}"), n + 1) for n in range(number))
    hosts = []
    for n in (1, 2):
        vteps = tuple(Vtep(Counting(f"s{k}"), f"vx{k}") for k in range(number))
        hosts.append(Host(f"h{n}", (card(n),), vteps))
    Topology(
        "many",
        switches=(Switch("lan", "10.0.0.0/24"),),
        routers=(),
        hosts=tuple(hosts),
        segments=segments,
    )
    assert asked < 100 * number


def test_a_switch_has_as_many_ports_as_the_kernel_s_bridge() -> None:
    assert len(on_one_switch(1023).hosts) == 1023
