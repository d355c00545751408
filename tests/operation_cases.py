"""One case for everything an operation can say: what it is done to, and what it is done by.

For backends: whichever does it, the state read back is the same.  All happens in the node h1 of
:func:`lab_tools.two_hosts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lab_tools import two_hosts

from vxlab.live.lab import Lab
from vxlab.observe.state import NodeState, difference
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddMdb,
    AddNamespace,
    AddNeighbour,
    AddNexthop,
    AddRoute,
    AddVlan,
    AddVlanTunnel,
    AddVni,
    DelAddress,
    DelFdb,
    DelLink,
    DelMdb,
    DelNeighbour,
    DelNexthop,
    DelRoute,
    DelVlan,
    DelVlanTunnel,
    DelVni,
    FlushFdb,
    FlushMdb,
    MoveLink,
    Operation,
    Peer,
    RouteHop,
    SetBridge,
    SetLink,
    SetPort,
    SetVxlan,
)

MAC, OTHER = "02:00:00:00:00:77", "02:00:00:00:00:78"
ALL = "00:00:00:00:00:00"
FAR, FARTHER = "10.0.0.7", "10.0.0.8"
GROUP = "239.1.1.1"

VX = AddLink("h1", "vx", "vxlan", 90, (("id", 77), ("dstport", 4790)), up=True)
EX = AddLink("h1", "ex", "vxlan", 91, (("external", True), ("dstport", 4791)), up=True)
FILTER = (("external", True), ("vnifilter", True), ("dstport", 4792))
VF = AddLink("h1", "vf", "vxlan", 92, FILTER, up=True)
V6 = AddLink("h1", "v6", "vxlan", 95, (("id", 77), ("dstport", 4790), ("local", "fd00::1")))
BR = AddLink("h1", "br", "bridge", 93)
PORT = AddLink("h1", "vp", "vxlan", 94, (("id", 78), ("dstport", 4793)), master="br")
HOP, HOP2, HOPS = (
    AddNexthop("h1", 5, FAR),
    AddNexthop("h1", 6, FARTHER),
    AddNexthop("h1", 9, group=(5,)),
)
ON = ("neigh_suppress", "isolated", "hairpin", "mcast_to_unicast", "locked", "fastleave")
OFF = ("learning", "flood", "mcast_flood", "bcast_flood")
SWITCHES = tuple((name, name in ON) for name in (*ON, *OFF))
SETTINGS = (
    ("stp_state", 1),
    ("forward_delay", 1500),
    ("mcast_snooping", 1),
    ("ageing_time", 1000),
    ("mcast_querier", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``operation`` done to what ``before`` made, with features that it ``needs``."""

    name: str
    before: tuple[Operation, ...]
    operation: Operation
    needs: tuple[str, ...] = ()
    family: int = 4


def _case(
    name: str,
    before: tuple[Operation, ...],
    operation: Operation,
    needs: tuple[str, ...] = (),
    family: int = 4,
) -> Case:
    return Case(name=name, before=before, operation=operation, needs=needs, family=family)


def _entry(**fields: object) -> AddFdb:
    return AddFdb("h1", "vx", **{"mac": MAC, "dst": FAR, **fields})  # type: ignore[arg-type]


def _flush(name: str, one: AddFdb, other: AddFdb, *needs: str, **filters: object) -> Case:
    """A flush of ``one`` that spares ``other``."""
    flush = FlushFdb("h1", "vx", **filters)  # type: ignore[arg-type]
    return _case(
        f"flush by {name}", (VX, HOP, HOPS, one, other), flush, ("bridge.fdb_flush", *needs)
    )


_SPARED = _entry(mac=OTHER, dst=FARTHER)
_BY_FIELD = "bridge.fdb_flush_dst"

LINKS = (
    _case("bridge", (), BR),
    _case(
        "bridge with settings", (), AddLink("h1", "m", "bridge", 93, SETTINGS, mac=MAC, mtu=1400)
    ),
    _case(
        "veth",
        (),
        AddLink(
            *("h1", "a", "veth", 93),
            peer=Peer("h2", "name", 94, mac=OTHER, mtu=1400),
            mac=MAC,
            mtu=1300,
            up=True,
        ),
    ),
    _case("vxlan in a bridge", (BR,), PORT),
    _case("index left to the kernel", (), AddLink("h1", "x", "bridge", 0)),
    _case("up", (BR,), SetLink("h1", "br", up=True)),
    _case("down", (VX,), SetLink("h1", "vx", up=False)),
    _case("mtu and mac", (VX,), SetLink("h1", "vx", mtu=1300, mac=MAC)),
    _case("master", (BR, VX), SetLink("h1", "vx", master="br")),
    _case("no master", (BR, PORT), SetLink("h1", "vp", master="")),
    _case("vxlan changed", (VX,), SetVxlan("h1", "vx", (("ttl", 9), ("learning", False)))),
    _case("link gone", (VX,), DelLink("h1", "vx")),
    _case("link moved", (VX,), MoveLink("h1", "vx", "h2")),
    _case("port", (BR, PORT), SetPort("h1", "vp", SWITCHES)),
    _case(
        "port by VLAN",
        (BR, PORT),
        SetPort("h1", "vp", (("neigh_vlan_suppress", True),)),
        ("bridge.neigh_vlan_suppress",),
    ),
    _case("namespace", (), AddNamespace("h3")),
)
ADDRESSES = (
    _case("address", (VX,), AddAddress("h1", "vx", "10.7.0.1/24")),
    _case("address of a host", (VX,), AddAddress("h1", "vx", "10.7.0.1/32")),
    _case("IPv6 address", (), AddAddress("h1", "eth0", "fd07::1/64"), family=6),
    _case(
        "address gone",
        (VX, AddAddress("h1", "vx", "10.7.0.1/24")),
        DelAddress("h1", "vx", "10.7.0.1/24"),
    ),
    _case("route", (), AddRoute("h1", "10.8.0.0/16", via="10.0.0.2")),
    _case("default route in a table", (), AddRoute("h1", "default", via="10.0.0.2", table=1000)),
    _case("route of a device", (), AddRoute("h1", "10.8.0.0/16", interface="vxlan0")),
    _case("table of a device", (), AddRoute("h1", "10.8.0.0/16", interface="vxlan0", table=77)),
    _case("IPv6 route", (), AddRoute("h1", "fd08::/64", interface="eth0"), family=6),
    _case("neighbour", (), AddNeighbour("h1", "eth0", FAR, MAC)),
    _case("reachable neighbour", (), AddNeighbour("h1", "eth0", FAR, MAC, state="reachable")),
    _case("stale neighbour", (), AddNeighbour("h1", "eth0", FAR, MAC, state="stale")),
    _case(
        "IPv6 neighbour with flags",
        (),
        AddNeighbour("h1", "eth0", "fd00::9", MAC, flags=("router", "extern_learn")),
        family=6,
    ),
    _case(
        "neighbour replaced",
        (AddNeighbour("h1", "eth0", FAR, MAC),),
        AddNeighbour("h1", "eth0", FAR, OTHER, replace=True),
    ),
    _case("proxy", (), AddNeighbour("h1", "eth0", FAR, proxy=True)),
    _case(
        "neighbour gone", (AddNeighbour("h1", "eth0", FAR, MAC),), DelNeighbour("h1", "eth0", FAR)
    ),
    _case(
        "proxy gone",
        (AddNeighbour("h1", "eth0", FAR, proxy=True),),
        DelNeighbour("h1", "eth0", FAR, proxy=True),
    ),
    _case("next hop", (), HOP),
    _case("plain next hop", (), AddNexthop("h1", 5, "10.0.0.2", fdb=False, interface="eth0")),
    _case("IPv6 next hop", (), AddNexthop("h1", 5, "fd00::9")),
    _case("group of next hops", (HOP, HOP2), AddNexthop("h1", 9, group=(5, (6, 3)))),
    _case("next hop replaced", (HOP,), AddNexthop("h1", 5, FARTHER, replace=True)),
    _case("next hop gone", (HOP,), DelNexthop("h1", 5)),
)
ENTRIES = (
    _case("entry", (VX,), _entry()),
    _case("static entry", (VX,), _entry(port=5000, vni=99, via="eth0", state="static")),
    _case("dynamic entry", (VX,), _entry(state="dynamic")),
    _case("used entry", (VX,), _entry(state="dynamic", flags=("self", "use"))),
    _case("entry with flags", (VX,), _entry(flags=("self", "router", "extern_learn"))),
    _case("entry appended", (VX, _entry(mac=ALL)), _entry(mac=ALL, dst=FARTHER, append=True)),
    _case("entry replaced", (VX, _entry()), _entry(dst=FARTHER, replace=True)),
    _case("entry with next hops", (VX, HOP, HOPS), _entry(dst=None, nhid=9)),
    _case("entry of a VNI", (EX,), AddFdb("h1", "ex", MAC, FAR, src_vni=7, vni=8)),
    _case("IPv6 entry", (V6,), AddFdb("h1", "v6", MAC, "fd00::9")),
    _case("bridge's entry", (BR, PORT), AddFdb("h1", "vp", MAC, flags=("master",), state="static")),
    _case(
        "sticky entry",
        (BR, PORT),
        AddFdb("h1", "vp", MAC, flags=("master", "sticky"), state="static"),
    ),
    _case("both entries", (BR, PORT), AddFdb("h1", "vp", MAC, FAR, flags=("self", "master"))),
    _case("entry gone", (VX, _entry()), DelFdb("h1", "vx", MAC, FAR)),
    _case(
        "one of two gone",
        (VX, _entry(mac=ALL), _entry(mac=ALL, dst=FARTHER, append=True)),
        DelFdb("h1", "vx", ALL, FAR),
    ),
    _case(
        "entry of a VNI gone",
        (EX, AddFdb("h1", "ex", MAC, FAR, src_vni=7)),
        DelFdb("h1", "ex", MAC, FAR, src_vni=7),
    ),
    _case(
        "bridge's entry gone",
        (BR, PORT, AddFdb("h1", "vp", MAC, flags=("master",))),
        DelFdb("h1", "vp", MAC, flags=("master",)),
    ),
    _case("flush", (VX, _entry(), _SPARED), FlushFdb("h1", "vx"), ("bridge.fdb_flush",)),
    _flush("dst", _entry(), _SPARED, _BY_FIELD, dst=FAR),
    _flush("port and VNI", _entry(port=7, vni=5), _SPARED, _BY_FIELD, port=7, vni=5),
    _flush("next hop", _entry(dst=None, nhid=9), _SPARED, _BY_FIELD, nhid=9),
    _flush("state", _entry(), _entry(mac=OTHER, state="static"), states=("permanent",)),
    _flush("other state", _entry(state="static"), _SPARED, no_states=("permanent",)),
    _flush("dynamic", _entry(state="dynamic"), _SPARED, states=("dynamic",)),
    _flush("flag", _entry(flags=("self", "extern_learn")), _SPARED, flags=("extern_learn",)),
    _flush(
        *("no flag", _entry(), _entry(mac=OTHER, flags=("self", "router")), _BY_FIELD),
        no_flags=("router",),
    ),
    _case(
        "flush by source VNI",
        (EX, *(AddFdb("h1", "ex", mac, FAR, src_vni=n) for n, mac in enumerate((MAC, OTHER), 5))),
        FlushFdb("h1", "ex", src_vni=5),
        (_BY_FIELD,),
    ),
)
_GROUPS_OF_ALL_KINDS = (
    EX,
    AddMdb("h1", "ex", GROUP, FAR, port=77, src_vni=9),
    AddMdb("h1", "ex", "239.9.9.8", FAR, vni=8, src_vni=9),
    AddMdb("h1", "ex", "239.9.9.7", FAR, src_vni=10, protocol=186),
)
GROUPS = (
    _case("VNI", (VF,), AddVni("h1", "vf", 7)),
    _case("VNIs", (VF,), AddVni("h1", "vf", 7, 9)),
    _case("VNI with its remote", (VF,), AddVni("h1", "vf", 7, remote=FAR)),
    _case("VNI with its IPv6 remote", (VF,), AddVni("h1", "vf", 7, remote="fd00::9")),
    _case("VNI gone", (VF, AddVni("h1", "vf", 7, 9)), DelVni("h1", "vf", 8)),
    _case("VNIs gone", (VF, AddVni("h1", "vf", 7, 9)), DelVni("h1", "vf", 7, 8)),
    _case("group", (VX,), AddMdb("h1", "vx", GROUP, FAR)),
    _case(
        "group with all",
        (EX,),
        AddMdb("h1", "ex", GROUP, FAR, port=77, vni=8, src_vni=9, via="eth0"),
    ),
    _case("group of a source", (VX,), AddMdb("h1", "vx", GROUP, FAR, source="10.1.1.1")),
    _case(
        "group of sources",
        (VX,),
        AddMdb(
            *("h1", "vx", GROUP, FAR), filter_mode="include", source_list=("10.1.1.1", "10.2.2.2")
        ),
    ),
    _case("IPv6 group", (VX,), AddMdb("h1", "vx", "ff0e::1", FAR)),
    _case("all other groups", (VX,), AddMdb("h1", "vx", "0.0.0.0", FAR)),
    _case(
        "group replaced",
        (VX, AddMdb("h1", "vx", GROUP, FAR)),
        AddMdb("h1", "vx", GROUP, FAR, port=99, replace=True),
    ),
    _case("group gone", (VX, AddMdb("h1", "vx", GROUP, FAR)), DelMdb("h1", "vx", GROUP, FAR)),
    _case("group of a protocol", (VX,), AddMdb("h1", "vx", GROUP, FAR, protocol=186)),
    *(
        _case(f"groups flushed by {name}", _GROUPS_OF_ALL_KINDS, FlushMdb("h1", "ex", **filters))  # type: ignore[arg-type]
        for name, filters in {
            "nothing": {},
            "remote": {"dst": FAR, "port": 77},
            "VNI": {"vni": 8, "src_vni": 9},
            "protocol": {"protocol": 186},
            "port and state": {"port_name": "ex", "state": "permanent"},
        }.items()
    ),
)
_FILTERING = AddLink("h1", "fb", "bridge", 96, (("vlan_filtering", 1),))
_MEMBER = AddLink("h1", "fp", "vxlan", 97, (("external", True), ("dstport", 4794)), master="fb")
_TUNNELS = SetPort("h1", "fp", (("vlan_tunnel", True),))
_VLANS = (_FILTERING, _MEMBER, _TUNNELS)
_NET = "10.77.0.0/16"
BRIDGES = (
    _case("bridge changed", (BR,), SetBridge("h1", "br", SETTINGS)),
    _case("VLAN", _VLANS, AddVlan("h1", "fp", 5, pvid=True, untagged=True), ("bridge-vlan",)),
    _case("VLANs", _VLANS, AddVlan("h1", "fp", 5, last=9), ("bridge-vlan",)),
    _case("VLAN of a bridge", _VLANS, AddVlan("h1", "fb", 5, itself=True), ("bridge-vlan",)),
    _case(
        "VLAN gone",
        (*_VLANS, AddVlan("h1", "fp", 5, last=9)),
        DelVlan("h1", "fp", 6, last=8),
        ("bridge-vlan",),
    ),
    _case(
        "VNI of a VLAN",
        (*_VLANS, AddVlan("h1", "fp", 5, last=9)),
        AddVlanTunnel("h1", "fp", 5, 105, last=9),
        ("bridge-vlan",),
    ),
    _case(
        "VNI of a VLAN gone",
        (*_VLANS, AddVlan("h1", "fp", 5), AddVlanTunnel("h1", "fp", 5, 105)),
        DelVlanTunnel("h1", "fp", 5, 105),
        ("bridge-vlan",),
    ),
)
ROUTES = (
    _case(
        "route with a metric, source, MTU",
        (),
        AddRoute("h1", _NET, "10.0.0.2", metric=7, source="10.0.0.1", mtu=1400),
    ),
    _case("route on link", (), AddRoute("h1", _NET, "10.99.0.1", "eth0", onlink=True)),
    _case("blackhole", (), AddRoute("h1", _NET, type="blackhole")),
    _case(
        "route replaced",
        (AddRoute("h1", _NET, "10.0.0.2"),),
        AddRoute("h1", _NET, "10.0.0.3", replace=True),
    ),
    _case(
        "route with hops",
        (),
        AddRoute(
            "h1",
            _NET,
            hops=(RouteHop(via="10.0.0.2", weight=3), RouteHop(via="10.0.0.3")),
        ),
    ),
    _case("route gone", (AddRoute("h1", _NET, "10.0.0.2"),), DelRoute("h1", _NET, "10.0.0.2")),
    _case(
        "blackhole gone",
        (AddRoute("h1", _NET, type="blackhole"),),
        DelRoute("h1", _NET, type="blackhole"),
    ),
)
CASES = (*LINKS, *ADDRESSES, *ENTRIES, *GROUPS, *BRIDGES, *ROUTES)


def needs(case: Case) -> tuple[str, ...]:
    """The features that a case needs where iproute2 does it."""
    match case.operation:
        case AddVni() | DelVni():
            return (*case.needs, "vxlan.vnifilter", "bridge.vni")
        case FlushMdb():
            return (*case.needs, "bridge.mdb", "bridge.mdb_flush")
        case AddMdb() | DelMdb():
            return (*case.needs, "bridge.mdb")
        case AddNexthop():
            return (*case.needs, "ip.nexthop_fdb")
    return case.needs


def changes(case: Case, apply: Callable[[Lab, Operation], None]) -> list[str]:
    """What ``apply`` changes in the lab of a case by its operation, node by node.

    Without what is the kernel's own choice: MAC addresses of new links.
    """
    with Lab(two_hosts(case.family)) as lab:
        lab.apply(*case.before)
        before = lab.state()
        apply(lab, case.operation)
        lab._site.wait_for_links()  # an IPv6 address is tentative for a moment
        after = lab.state()
    lines = [
        f"{node} {line}"
        for node in after
        for line in lasting(difference(before.get(node, NodeState(node)), after[node]))
    ]
    states = [*before.values(), *after.values()]
    own = {link.mac for state in states for link in state.links if link.mac} - {MAC, OTHER}
    for mac in own:
        lines = [line.replace(mac, "its MAC") for line in lines]
    return sorted(lines)


def lasting(lines: list[str]) -> list[str]:
    """Lines of a difference without what the kernel does by itself a moment later.

    That is link-local addresses, with their routes and groups, and what the switch learns of them.
    """
    by_itself = re.compile(r" (fe80|ff02|ff00):| master switch learned$")
    return [line for line in lines if not by_itself.search(line)]
