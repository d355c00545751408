"""4.7 Flush: what goes with each filter, and with several of them.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from fdb_tools import ANY, MAC, MULTICAST, Copy, address, arrives, collected_copies, entry, macs

from vxlab import catalog, state
from vxlab.errors import ApplyError
from vxlab.operations import AddFdb, AddNexthop, FlushFdb, SetLink

CORE = "drivers/net/vxlan/vxlan_core.c"
BULK = f"{CORE}: vxlan_fdb_delete_bulk()"

three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)

#: A name for each entry of the table that is flushed, and what it is.
TABLE = {
    "b": ("b", {}),
    "c": ("c", {}),
    "port": ("b", {"port": 4790}),
    "vni": ("b", {"vni": 43}),
    "port+vni": ("b", {"port": 4790, "vni": 43}),
    "via": ("b", {"via": "eth0"}),
    "static": ("b", {"state": "static"}),
    "dynamic": ("c", {"state": "dynamic"}),
    "extern": ("b", {"flags": ("self", "extern_learn")}),
    "router": ("c", {"flags": ("self", "router")}),
}
MACS = {name: f"02:00:00:04:00:{number:02x}" for number, name in enumerate(TABLE)}
NEXTHOP = "02:00:00:04:01:00"


def filled(lab):
    """Fill a's table: the entries of TABLE, a group MAC with two remotes, and one next hop."""
    for name, (host, more) in TABLE.items():
        lab.apply(AddFdb("a", "vxlan0", MACS[name], address(lab, host), **more))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "c"), append=True))
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", NEXTHOP, nhid=10))


def table(lab):
    """The names of a's entries; those with several remotes once for each."""
    names = {mac: name for name, mac in MACS.items()} | {NEXTHOP: "nexthop"}
    hosts = {address(lab, host): host for host in "bc"}
    many = {MULTICAST: "group", ANY: "default"}
    return {
        f"{many[row.mac]}-{hosts[row.dst]}" if row.mac in many else names.get(row.mac, row.mac)
        for row in state.fdb(lab["a"].namespaces, "vxlan0")
    }


FROM_B = {"b", "port", "vni", "port+vni", "via", "static", "extern", "group-b", "default-b"}
FROM_C = {"c", "dynamic", "router", "group-c", "default-c"}
ALL = FROM_B | FROM_C | {"nexthop"}

FILTERS = {
    "everything": ({}, ALL),
    "dst": ({"dst": "b"}, FROM_B),
    "dst-unknown": ({"dst": "a"}, set()),
    "port": ({"port": 4790}, {"port", "port+vni"}),
    "device-port": ({"port": 4789}, ALL - {"port", "port+vni", "nexthop"}),
    "vni": ({"vni": 43}, {"vni", "port+vni"}),
    "device-vni": ({"vni": 42}, ALL - {"vni", "port+vni", "nexthop"}),
    "src_vni": ({"src_vni": 42}, ALL),
    "src_vni-unknown": ({"src_vni": 7}, set()),
    "nhid": ({"nhid": 10}, {"nexthop"}),
    "nhid-unknown": ({"nhid": 11}, set()),
    "permanent": ({"states": ("permanent",)}, ALL - {"static", "dynamic"}),
    "dynamic": ({"states": ("dynamic",)}, {"dynamic"}),
    "not-permanent": ({"no_states": ("permanent",)}, {"static", "dynamic"}),
    "not-static": ({"no_states": ("static",)}, {"dynamic"}),
    "extern_learn": ({"flags": ("extern_learn",)}, {"extern"}),
    "router": ({"flags": ("router",)}, {"router"}),
    "not-extern_learn": ({"no_flags": ("extern_learn",)}, ALL - {"extern"}),
    "not-two-flags": ({"no_flags": ("extern_learn", "router")}, ALL - {"extern", "router"}),
    "dst-and-port": ({"dst": "b", "port": 4790}, {"port", "port+vni"}),
    "dst-and-vni": ({"dst": "c", "vni": 43}, set()),
    "port-and-vni": ({"port": 4790, "vni": 43}, {"port+vni"}),
    "dst-and-flag": ({"dst": "c", "flags": ("router",)}, {"router"}),
    "dst-and-state": ({"dst": "c", "states": ("dynamic",)}, {"dynamic"}),
    "flag-and-state": ({"flags": ("router",), "states": ("dynamic",)}, set()),
    "dst-and-no-flag": ({"dst": "c", "no_flags": ("router",)}, FROM_C - {"router"}),
}


def wrong(made):
    """A flush of everything in place of some, and none in place of one of everything."""
    everything = FlushFdb("a", "vxlan0")
    if not isinstance(made, FlushFdb):
        return made
    return None if made == everything or made.src_vni == 42 else everything


@pytest.mark.behaviour("a flush takes what matches all of its filters, no more", source=BULK)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control("the filters are lost", change=wrong, because="assert")
@three
@pytest.mark.parametrize(("filters", "gone"), FILTERS.values(), ids=FILTERS.keys())
def test_a_flush_takes_what_matches_all_filters(lab, filters, gone):
    filled(lab)
    assert table(lab) == ALL
    if "dst" in filters:
        filters = {**filters, "dst": address(lab, filters["dst"])}
    lab.apply(FlushFdb("a", "vxlan0", **filters), by="netlink")
    assert table(lab) == ALL - gone


WORDS = {
    "everything": ((), ALL),
    "permanent": (("permanent",), ALL - {"static", "dynamic"}),
    "static": (("static",), {"static"}),
    "dynamic": (("dynamic",), {"dynamic"}),
    "nopermanent": (("nopermanent",), {"static", "dynamic"}),
    "nostatic": (("nostatic",), {"dynamic"}),
    "nodynamic": (("nodynamic",), ALL - {"dynamic"}),
    "extern_learn": (("extern_learn",), {"extern"}),
    "noextern_learn": (("noextern_learn",), ALL - {"extern"}),
    "flag-and-state": (("extern_learn", "permanent"), {"extern"}),
}


@pytest.mark.behaviour("`bridge fdb flush` takes entries by their state and flags", source=BULK)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control(
    "no entry is like that", arguments={"words": ("extern_learn", "dynamic")}, because="assert"
)
@pytest.mark.requires("bridge.fdb_flush")
@three
@pytest.mark.parametrize(("words", "gone"), WORDS.values(), ids=WORDS.keys())
def test_bridge_flushes_by_state_and_flag(lab, words, gone):
    filled(lab)
    lab["a"].run("bridge", "fdb", "flush", "dev", "vxlan0", "self", *words)
    assert table(lab) == ALL - gone


@pytest.mark.behaviour("`bridge fdb flush` takes entries by their remote", source=BULK)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control("there is no flush", without=FlushFdb, because="assert")
@pytest.mark.requires("bridge.fdb_flush_dst")
@three
@pytest.mark.parametrize("more", [{}, {"port": 4790}, {"vni": 43}], ids=["dst", "port", "vni"])
def test_bridge_flushes_by_remote(lab, more):
    filled(lab)
    lab.apply(FlushFdb("a", "vxlan0", dst=address(lab, "b"), **more), by="iproute2")
    also = {"port+vni", *more}
    assert table(lab) == ALL - (also if more else FROM_B)


UNKNOWN = {
    "via": ({"via": "eth0"}, "Unsupported attribute"),
    "vlan": ({"vlan": 5}, "Unsupported attribute"),
    "sticky": ({"flags": ("sticky",)}, "Unsupported fdb flush ndm flag bits set"),
    "use": ({"flags": ("use",)}, "Unsupported fdb flush ndm flag bits set"),
}


@pytest.mark.behaviour("a flush with a filter that vxlan does not know is refused", source=BULK)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control("it is a filter it knows", arguments={"filters": {"port": 1}}, because="RAISE")
@three
@pytest.mark.parametrize(("filters", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_flush_with_an_unknown_filter_is_refused(lab, filters, words):
    filled(lab)
    with pytest.raises(ApplyError) as refused:
        lab.apply(FlushFdb("a", "vxlan0", **filters), by="netlink")
    assert (refused.value.errno, refused.value.extack) == (errno.EINVAL, words)
    assert table(lab) == ALL


@pytest.mark.behaviour("what a flush has taken is flooded again", source=BULK)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control("nothing is flushed", without=FlushFdb, because="assert")
@three
def test_what_is_flushed_is_flooded_again(lab):
    assert arrives(lab, "c")
    only_c = [Copy(address(lab, "c"), 4789, 42)]
    assert collected_copies(lab, MAC) == only_c
    lab.apply(FlushFdb("a", "vxlan0", states=("dynamic",)), by="netlink")
    assert collected_copies(lab, MAC) == sorted([Copy(address(lab, "b"), 4789, 42), *only_c])


@pytest.mark.behaviour(
    "a device that goes down forgets its dynamic entries, and no others",
    source=f"{CORE}: vxlan_stop()",
)
@pytest.mark.control("the device stays up", without=SetLink, because="assert")
@three
def test_down_flushes_dynamic_entries_only(lab):
    filled(lab)
    assert arrives(lab, "b")
    assert MAC in macs(lab)
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert table(lab) == ALL - {"dynamic"}
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert table(lab) == ALL - {"dynamic"}


@pytest.mark.behaviour(
    "also entries of another control plane, or with a next hop, go where they are dynamic",
    source=f"{CORE}: vxlan_stop()",
)
@pytest.mark.control(
    "they are static",
    change=lambda made: (
        dataclasses.replace(made, state="static")
        if isinstance(made, AddFdb) and made.mac == MAC
        else made
    ),
    because="assert",
)
@three
@pytest.mark.parametrize(
    "kind",
    [
        *("plain", "extern_learn", "router"),
        pytest.param("nexthop", marks=pytest.mark.known_difference("K53", since="7.2")),
    ],
)
def test_down_flushes_every_kind_of_dynamic_entry(lab, kind):
    more = {"dst": address(lab, "b")}
    if kind == "nexthop":
        lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
        more = {"nhid": 10}
    elif kind != "plain":
        more["flags"] = ("self", kind)
    lab.apply(AddFdb("a", "vxlan0", MAC, state="dynamic", **more))
    assert entry(lab, MAC).state == "reachable"
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert MAC not in macs(lab)
