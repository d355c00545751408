"""How VTEPs must fit together, with one another and with their underlay."""

from __future__ import annotations

from typing import Any

import pytest
from lab_tools import describe, two_hosts

from vxlab import catalog
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError


def one(family: int = 4, flood: Any = "none", **attributes: Any) -> Topology:
    """A host alone, with a device that has these attributes."""
    return several({"attributes": attributes}, family=family, flood=flood)


def several(*vteps: dict[str, Any], family: int = 4, flood: Any = "none") -> Topology:
    """A host alone, with a device in each of the segments s0, s1, …"""
    t = TopologyBuilder("t").switch("lan", "10.0.0.0/24" if family == 4 else "fd00::/64")
    t.host("h", "lan")
    for number, fields in enumerate(vteps):
        t.segment(f"s{number}", 100 + number, flood=flood)
        t.vtep("h", **{"segment": f"s{number}", **fields})
    return t.build()


def apart(*switches: str, routers: tuple[tuple[str, ...], ...] = (), **vtep: Any) -> Topology:
    """Hosts h1, h2, … on the switches given, in one segment; routers without a daemon."""
    t = TopologyBuilder("t")
    for number, name in enumerate(("a", "b", "c"), 1):
        t.switch(name, f"10.0.{number}.0/24")
    for number, beside in enumerate(routers):
        t.router(f"r{number}", *beside, daemon=None)
    t.segment("red", 42)
    for number, switch in enumerate(switches, 1):
        t.host(f"h{number}", switch)
        t.vtep(f"h{number}", "red", **vtep)
    return t.build()


BR = {"bridge": "br0"}
ON_VXLAN1 = "host h vtep vxlan1: "

BAD: list[tuple[str, Any, str]] = [
    (
        "unknown segment",
        lambda: describe().vtep("h1", "blue").build(),
        "host h1 vtep vxlan1: segment: wanted a known segment, found 'blue': red",
    ),
    (
        "segment twice",
        lambda: describe().vtep("h1", "red").build(),
        "host h1 vtep vxlan1: segment: wanted one device a segment, vtep vxlan0 is in red already",
    ),
    (
        "device as a card",
        lambda: two_hosts(device="eth0"),
        "host h1 vtep eth0: device: wanted a free name, found an underlay interface",
    ),
    (
        "device twice",
        lambda: several({}, {"device": "vxlan0"}),
        "host h vtep vxlan0: device: wanted a free name, found a vxlan device",
    ),
    (
        "bridge as a card",
        lambda: two_hosts(bridge="eth0"),
        "host h1: bridge: wanted a free name, eth0 is an underlay interface",
    ),
    (
        "bridge as its device",
        lambda: two_hosts(bridge="vxlan0"),
        "host h1: bridge: wanted a free name, vxlan0 is a vxlan device",
    ),
    (
        "VRF as its bridge",
        lambda: two_hosts(bridge="br0", vrf="br0"),
        "host h1: vrf: wanted a free name, br0 is a bridge",
    ),
    (
        "a bridge in two VRFs",
        lambda: several({**BR, "vrf": "v1"}, {**BR, "vrf": "v2"}),
        ON_VXLAN1 + "vrf: wanted one for a bridge, found br0 in v1 and in v2",
    ),
    (
        "a bridge half in a VRF",
        lambda: several(BR, {**BR, "vrf": "v2"}),
        ON_VXLAN1 + "vrf: wanted one for a bridge, found br0 in None and in v2",
    ),
    (
        "no card",
        lambda: (
            TopologyBuilder("t").segment("red", 5).host("h").vtep("h", "red", nic="eth0").build()
        ),
        "host h vtep vxlan0: nic: wanted the interface eth0, found none",
    ),
    (
        "unknown card",
        lambda: two_hosts(nic="eth1"),
        "host h1 vtep vxlan0: nic: wanted the interface eth1, found eth0",
    ),
    (
        "group without dev",
        lambda: describe(segment={"group": "239.1.1.1"}, dev=False).build(),
        "host h1 vtep vxlan0: dev: wanted True for a multicast group, found False",
    ),
    (
        "remotes beside a group",
        lambda: describe(segment={"group": "239.1.1.1"}, remotes=("10.0.0.2",)).build(),
        "host h1 vtep vxlan0: remotes: wanted none with flood 'group'",
    ),
    (
        "remotes without flooding",
        lambda: describe(segment={"flood": "none"}, remotes=("10.0.0.2",)).build(),
        "host h1 vtep vxlan0: remotes: wanted none with flood 'none'",
    ),
    (
        "IPv6 remote on IPv4",
        lambda: two_hosts(remotes=("fd00::2",)),
        "host h1 vtep vxlan0: remotes: wanted IPv4 as eth0 has, found fd00::2",
    ),
    (
        "IPv4 group on IPv6",
        lambda: describe(6, segment={"group": "239.1.1.1"}).build(),
        "host h1 vtep vxlan0: group: wanted IPv6 as eth0 has, found 239.1.1.1",
    ),
    (
        "IPv6 group as an attribute",
        lambda: one(group="ff08::1"),
        "host h vtep vxlan0: group: wanted IPv4 as eth0 has, found ff08::1",
    ),
    (
        "IPv6 local as an attribute",
        lambda: one(local="fd00::1"),
        "host h vtep vxlan0: local: wanted IPv4 as eth0 has, found fd00::1",
    ),
    (
        "one switch of each family",
        lambda: (
            describe().switch("six", "fd00::/64").host("h3", "six").vtep("h3", "red", mac=None)
        ).build(),
        "host h1 vtep vxlan0: remotes: wanted IPv4 as eth0 has, found fd00::1",
    ),
    (
        "no address on IPv6",
        lambda: several({"local": False}, family=6),
        "host h vtep vxlan0: local: wanted True: with no address at all the device would be an",
    ),
    (
        "both group and remote",
        lambda: two_hosts().with_vtep("h1", "red", group="239.1.1.1"),
        "host h1 vtep vxlan0: remote: wanted either a group or a remote, found both",
    ),
    (
        "flow label on IPv4",
        lambda: one(flowlabel=5),
        "host h vtep vxlan0: flowlabel: wanted none (only IPv6 has flow labels), found an IPv4",
    ),
    (
        "unknown dev",
        lambda: one(dev="eth7"),
        "host h vtep vxlan0: dev: wanted an interface that is there before, found eth7: lo, eth0",
    ),
    (
        "dev that comes later",
        lambda: several({"attributes": {"dev": "vxlan1"}}, {}),
        "host h vtep vxlan0: dev: wanted an interface that is there before, found vxlan1",
    ),
    (
        "MTU too small for IPv6",
        lambda: (
            TopologyBuilder("t")
            .switch("lan", "10.0.0.0/24", mtu=1329)
            .segment("red", 5)
            .host("h", "lan")
            .vtep("h", "red", addresses="fd01::1/64")
            .build()
        ),
        "host h vtep vxlan0: addresses: wanted an MTU of 1280 for fd01::1/64, found 1279",
    ),
    (
        "VNI and port twice",
        lambda: several({}, {"attributes": {"id": 100}}),
        ON_VXLAN1 + "id: wanted one device a VNI and port, vtep vxlan0 has (100, 8472)",
    ),
    (
        "VNI and port twice, port 0",
        lambda: several({"attributes": {"dstport": 0}}, {"attributes": {"id": 100}}),
        ON_VXLAN1 + "id: wanted one device a VNI and port, vtep vxlan0 has (100, 8472)",
    ),
    *(
        (
            f"{name} on half of a port",
            lambda name=name: several({"attributes": {name: True}}, {}),
            ON_VXLAN1 + f"{name}: wanted True as vtep vxlan0 has on the same port 8472, found "
            "False: use another port",
        )
        for name in ("gbp", "external", "remcsumrx", "udp6zerocsumrx")
    ),
    (
        "own address as a remote",
        lambda: two_hosts().with_vtep("h2", "red", remotes=("10.0.0.1", "10.0.0.2")),
        "host h2 vtep vxlan0: remotes: wanted another host's address, found its own 10.0.0.2",
    ),
    (
        "own address as an attribute",
        lambda: two_hosts().with_vtep("h2", "red", remote="10.0.0.2"),
        "host h2 vtep vxlan0: remotes: wanted another host's address, found its own 10.0.0.2",
    ),
    (
        "own address of another card",
        lambda: (
            describe().switch("wan", "10.0.9.0/24").nic("h1", "wan", device="eth1").build()
        ).with_vtep("h1", "red", remotes=("10.0.9.1",)),
        "host h1 vtep vxlan0: remotes: wanted another host's address, found its own 10.0.9.1",
    ),
    (
        "no gateway",
        lambda: apart("a", "b"),
        "host h1 vtep vxlan0: remotes: wanted a way to 10.0.2.1, found no router on switch a",
    ),
    (
        "no gateway on one side",
        lambda: apart("a", "b", routers=(("b", "c"),)),
        "host h1 vtep vxlan0: remotes: wanted a way to 10.0.2.2, found no router on switch a",
    ),
    (
        "no gateway for a group",
        lambda: (
            TopologyBuilder("t")
            .switch("a", "10.0.1.0/24")
            .switch("b", "10.0.2.0/24")
            .segment("red", 5, group="239.1.1.1")
            .host("h1", "a")
            .host("h2", "b")
            .vtep("h1", "red")
            .vtep("h2", "red")
            .build()
        ),
        "host h1 vtep vxlan0: segment: wanted a way to 10.0.2.1, found no router on switch a",
    ),
    (
        "remote far away without a gateway",
        lambda: two_hosts(remotes=("192.0.2.1",)),
        "host h1 vtep vxlan0: remotes: wanted a way to 192.0.2.1, found no router on switch lan",
    ),
    (
        "a gateway that does not lead there",
        lambda: apart("a", "c", routers=(("a",), ("b", "c"))),
        "host h1 vtep vxlan0: remotes: wanted a way to 10.0.3.2, found that router r0, the "
        "gateway, has no interface on its network",
    ),
    (
        "bound to a card without a gateway",
        lambda: (
            TopologyBuilder("t")
            .switch("a", "10.0.1.0/24")
            .switch("b", "10.0.2.0/24")
            .switch("c", "10.0.3.0/24")
            .router("r", "a", "b", "c", daemon=None)
            .segment("red", 5)
            .host("h1", "a")
            .nic("h1", "b", device="eth1")
            .vtep("h1", "red", nic="eth1")
            .host("h2", "c")
            .vtep("h2", "red")
            .build()
        ),
        "host h1 vtep vxlan0: remotes: wanted a way to 10.0.3.2, found no router for eth1",
    ),
]


@pytest.mark.parametrize(("make", "message"), [pytest.param(m, t, id=n) for n, m, t in BAD])
def test_a_misfit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value).startswith(message)


GOOD: list[tuple[str, Any]] = [
    ("two routers in a row", lambda: apart("a", "c", routers=(("a", "b"), ("b", "c")))),
    ("equal VNIs on two ports", lambda: several({}, {"attributes": {"id": 100, "dstport": 4789}})),
    ("other flags, other port", lambda: several({"attributes": {"gbp": True, "dstport": 5}}, {})),
    ("flags that share a socket", lambda: several({"attributes": {"proxy": True}}, {})),
    ("two segments in one bridge", lambda: several(BR, BR)),
    ("two bridges in one VRF", lambda: several({**BR, "vrf": "v"}, {"bridge": "br1", "vrf": "v"})),
    ("a tunnel in a tunnel", lambda: several({}, {"attributes": {"dev": "vxlan0"}})),
    ("dev lo", lambda: one(dev="lo", remote="127.0.0.1")),
    ("remote on the loopback device", lambda: one(remote="127.0.0.1")),
    ("external on IPv6 with no address", lambda: one(6, local="::", external=True)),
    ("flow label on IPv6", lambda: one(6, flowlabel=5)),
    ("no remote at all", lambda: two_hosts(remotes=())),
    ("a remote that nobody has", lambda: two_hosts(remotes=("10.0.0.99",))),
    ("a remote behind the router", lambda: apart("a", routers=(("a", "b"),), remotes=("9.9.9.9",))),
    ("across a router", lambda: apart("a", "b", "c", routers=(("a", "b", "c"),))),
    (
        "apart, and never meant to meet",
        lambda: apart("a", "b", remotes=()),
    ),
    (
        "by the second card, on its own network",
        lambda: (
            TopologyBuilder("t")
            .switch("a", "10.0.1.0/24")
            .switch("b", "10.0.2.0/24")
            .segment("red", 5)
            .host("h1", "a")
            .nic("h1", "b", device="eth1")
            .vtep("h1", "red", nic="eth1")
            .host("h2", "b")
            .vtep("h2", "red")
            .build()
        ),
    ),
    ("no multicast router", lambda: catalog.kim_and_lee(router=None)),
]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in GOOD])
def test_what_fits_is_accepted(make: Any) -> None:
    assert isinstance(make(), Topology)
