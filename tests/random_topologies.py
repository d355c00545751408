"""Hypothesis strategies: topologies that can be built, and ways to break each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Host, Nic, Vtep
from vxlab.describe.topology import Topology

# derandomize: the same examples in every run, so that a red run means a change; deadline: a lab
# is made by a kernel that may be busy; too_slow: drawing a topology takes some milliseconds;
# filter_too_much and data_too_large: not every topology has what a breaking breaks.
RUN = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=20,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)

NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}", fullmatch=True)
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "ttl": st.integers(0, 255),
        "tos": st.integers(0, 255),
        "learning": st.booleans(),
        "ageing": st.integers(0, 1 << 16),
        "maxaddress": st.integers(0, 1 << 16),
        "srcport": st.tuples(st.integers(1, 100), st.integers(100, 65535)),
        "proxy": st.booleans(),
        "rsc": st.booleans(),
        "l2miss": st.booleans(),
        "l3miss": st.booleans(),
        "udpcsum": st.booleans(),
        "df": st.integers(0, 2),
    },
)
FLOODS = st.sampled_from(["remote", "group", "none"])
PORTS = st.one_of(st.sampled_from([0, 4789, 8472]), st.integers(1, 65535))
MTUS = st.sampled_from([1500, 1400, 9000, 65535])


@st.composite
def topologies(draw: Any) -> Topology:
    """A valid topology: one or two switches or cables, up to four hosts and three segments."""
    family = draw(st.sampled_from([4, 6]))
    switches = draw(st.integers(1, 2))
    # a container's link is named after the first ten letters of its name
    names = draw(st.lists(NAMES, min_size=12, max_size=12, unique_by=lambda name: name[:10]))
    t = TopologyBuilder("random")
    lans = [names.pop() for _ in range(switches)]
    for number, lan in enumerate(lans):
        network = f"10.0.{number}.0/24" if family == 4 else f"fd00:{number}::/64"
        t.switch(lan, network, snooping=draw(st.booleans()), mtu=draw(MTUS))
    if switches == 2:
        t.router(names.pop(), *lans, daemon=None)
    vnis = draw(st.lists(st.integers(1, (1 << 24) - 1), min_size=3, max_size=3, unique=True))
    segments = []
    for number, vni in enumerate(vnis[: draw(st.integers(1, 3))]):
        flood = draw(FLOODS)
        group = None
        if flood == "group":
            group = f"239.1.1.{number}" if family == 4 else f"ff08::{number}"
        segments.append(f"s{number}")
        own = draw(ATTRIBUTES)
        t.segment(f"s{number}", vni, flood=flood, group=group, port=draw(PORTS), attributes=own)
    for number in range(draw(st.integers(1, 4))):
        host = names.pop()
        t.host(host, draw(st.sampled_from(lans)))
        for segment in segments:
            draw(st.sampled_from([_bare, _addressed, _bridged, _absent]))(
                draw, t, host, segment, number, names
            )
    topology = t.build()
    for lan in lans:
        if len(topology.cards(topology.switch(lan))) == 2 and draw(st.booleans()):
            topology = topology.with_switch(lan, cable=True, snooping=False)
    return topology


def _absent(*_: Any) -> None:
    pass


def _bare(_: Any, t: TopologyBuilder, host: str, segment: str, *__: Any) -> None:
    t.vtep(host, segment)


def _addressed(draw: Any, t: TopologyBuilder, host: str, segment: str, n: int, _: Any) -> None:
    third = int(segment[1:])
    four, six = f"172.16.{third}.{n + 1}/24", f"fd16:{third}::{n + 1}/64"
    t.vtep(host, segment, addresses=draw(st.sampled_from([(four,), (six,), (four, six)])))


def _bridged(draw: Any, t: TopologyBuilder, host: str, segment: str, n: int, names: Any) -> None:
    t.vtep(host, segment, bridge=f"br-{segment}")
    if draw(st.booleans()) and len(names) > 4:
        third = int(segment[1:])
        t.container(names.pop(), host, f"br-{segment}", f"172.16.{third}.{n + 101}/24")


Breaking = Callable[[Topology], Topology]


def _first(topology: Topology, kind: str) -> Any:
    elements = getattr(topology, kind)
    assume(elements)
    return elements[0]


def _element(kind: str, **changes: Any) -> Breaking:
    """Change fields of the first element of a kind."""

    def break_it(topology: Topology) -> Topology:
        first = _first(topology, kind)
        new = dataclasses.replace(first, **changes)
        rest = getattr(topology, kind)[1:]
        return dataclasses.replace(topology, **{kind: (new, *rest)})

    return break_it


def _nic(**changes: Any) -> Breaking:
    """Change fields of the first host's first card."""

    def break_it(topology: Topology) -> Topology:
        host: Host = _first(topology, "hosts")
        nic: Nic = dataclasses.replace(host.nics[0], **changes)
        return topology.with_host(host.name, nics=(nic, *host.nics[1:]))

    return break_it


def _vtep(**changes: Any) -> Breaking:
    """Change fields of the first device there is."""

    def break_it(topology: Topology) -> Topology:
        hosts = [host for host in topology.hosts if host.vteps]
        assume(hosts)
        first: Vtep = hosts[0].vteps[0]
        new = dataclasses.replace(first, **changes)
        return topology.with_host(hosts[0].name, vteps=(new, *hosts[0].vteps[1:]))

    return break_it


def _node_twice(topology: Topology) -> Topology:
    host = _first(topology, "hosts")
    return dataclasses.replace(topology, hosts=(*topology.hosts, dataclasses.replace(host)))


def _address_twice(topology: Topology) -> Topology:
    host = _first(topology, "hosts")
    twin = Host("the-twin", host.nics)
    return dataclasses.replace(topology, hosts=(*topology.hosts, twin))


def _segment_twice(topology: Topology) -> Topology:
    hosts = [host for host in topology.hosts if host.vteps]
    assume(hosts)
    more = Vtep(hosts[0].vteps[0].segment, "another")
    return topology.with_host(hosts[0].name, vteps=(*hosts[0].vteps, more))


def _another_network(topology: Topology) -> Topology:
    switch = topology.switches[0]
    assume(any(nic.switch == switch.name for each in topology.machines for nic in each.nics))
    return _element("switches", network="10.77.0.0/24")(topology)


def _renamed(topology: Topology) -> Topology:
    segment = _first(topology, "segments")
    assume(topology.vteps(segment.name))
    return _element("segments", name="renamed")(topology)


#: One broken field each.
BREAKINGS: dict[str, Breaking] = {
    "node twice": _node_twice,
    "address twice": _address_twice,
    "segment twice on a host": _segment_twice,
    "switch without a network": _element("switches", network="10.0.0.0/32"),
    "another network": _another_network,
    "switch's name": _element("switches", name="not a name"),
    "switch's mtu": _element("switches", mtu=67),
    "host's name": _element("hosts", name=""),
    "VNI below 0": _element("segments", vni=-1),
    "VNI too large": _element("segments", vni=1 << 24),
    "VNI as text": _element("segments", vni="42"),
    "port": _element("segments", port=65536),
    "flood": _element("segments", flood="everywhere"),
    "group": _element("segments", flood="group", group="10.0.0.1"),
    "segment's name": _renamed,
    "container's host": _element("containers", host="nobody"),
    "container's bridge": _element("containers", bridge="nowhere"),
    "container's address": _element("containers", addresses=("172.16.0.0/24",)),
    "card's switch": _nic(switch="nowhere"),
    "card's address": _nic(address="192.0.2.1/24"),
    "card's prefix": _nic(address="10.0.0.1"),
    "card's mac": _nic(mac="ff:ff:ff:ff:ff:ff"),
    "card's name": _nic(device="a-name-too-long-for-it"),
    "device's segment": _vtep(segment="nothing"),
    "device's name": _vtep(device="eth0"),
    "device's card": _vtep(nic="eth9"),
    "device's remotes": _vtep(remotes=("239.1.1.1",)),
    "device's bridge": _vtep(bridge="eth0", addresses=()),
    "device's attribute": _vtep(attributes=(("ttl", 256),)),
    "device's flow": _vtep(attributes=(("gpe", True),)),
}
