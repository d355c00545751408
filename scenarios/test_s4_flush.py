"""4.7 Flushing the FDB: which entries each filter removes, alone and with others.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses
import errno
import re

import pytest
from fdb_tools import (
    ANY,
    LATER,
    MAC,
    MULTICAST,
    address,
    arrives,
    assert_copies,
    assert_no_entry,
    assert_refusal,
    default_copies,
    entry,
    found_copies,
    macs,
)

from vxlab import catalog, state
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


def fill(lab):
    """Fill a's FDB: the entries of TABLE, a multicast MAC with two remotes, and one next hop."""
    for name, (host, more) in TABLE.items():
        lab.apply(AddFdb("a", "vxlan0", MACS[name], address(lab, host), **more))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "b")))
    lab.apply(AddFdb("a", "vxlan0", MULTICAST, address(lab, "c"), append=True))
    lab.apply(AddNexthop("a", 1, via=address(lab, "b")), AddNexthop("a", 10, group=(1,)))
    lab.apply(AddFdb("a", "vxlan0", NEXTHOP, nhid=10))


def assert_left(lab, wanted):
    """Assert that a's FDB has the entries of these names; those of a remote end in its host."""
    names = {mac: name for name, mac in MACS.items()} | {NEXTHOP: "nexthop"}
    hosts = {address(lab, host): host for host in "bc"}
    several = {MULTICAST: "group", ANY: "default"}
    found = {
        f"{several[row.mac]}-{hosts[row.dst]}"
        if row.mac in several
        else names.get(row.mac, row.mac)
        for row in state.fdb(lab["a"].namespaces, "vxlan0")
    }
    text = f"entries: wanted {listed(wanted)}; found {listed(found)}"
    assert found == wanted, text


def listed(names):
    """Names of entries as one text."""
    return ", ".join(sorted(names)) or "none"


FROM_B = {"b", "port", "vni", "port+vni", "via", "static", "extern", "group-b", "default-b"}
FROM_C = {"c", "dynamic", "router", "group-c", "default-c"}
ALL = FROM_B | FROM_C | {"nexthop"}
#: The ``because`` of a control under which nothing is flushed, or everything.
FOUND_ALL, FOUND_NONE = f"(?m:; found {re.escape(listed(ALL))}$)", "(?m:; found none$)"

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


def with_wrong_filter(operation):
    """A flush of everything in place of some entries, and none in place of one of everything."""
    everything = FlushFdb("a", "vxlan0")
    if not isinstance(operation, FlushFdb):
        return operation
    return None if operation == everything or operation.src_vni == 42 else everything


@pytest.mark.behaviour(
    "a flush removes exactly the FDB entries that match all of its filters, and without filters "
    "all entries",
    source=BULK,
)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control(
    "a flush with filters flushes everything, and one of everything is left out",
    change=with_wrong_filter,
    because=f"{FOUND_ALL}|{FOUND_NONE}",
)
@three
@pytest.mark.parametrize(("filters", "gone"), FILTERS.values(), ids=FILTERS.keys())
def test_a_flush_removes_what_matches_all_filters(lab, filters, gone):
    fill(lab)
    assert_left(lab, ALL)
    if "dst" in filters:
        filters = {**filters, "dst": address(lab, filters["dst"])}
    lab.apply(FlushFdb("a", "vxlan0", **filters), by="netlink")
    assert_left(lab, ALL - gone)


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


@pytest.mark.behaviour(
    "`bridge fdb flush` removes the FDB entries with the state or the flag that it names, or "
    "without them",
    source=BULK,
)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control(
    "the flush names a flag and a state that no FDB entry has together",
    arguments={"words": ("extern_learn", "dynamic")},
    because=FOUND_ALL,
)
@pytest.mark.requires("bridge.fdb_flush")
@three
@pytest.mark.parametrize(("words", "gone"), WORDS.values(), ids=WORDS.keys())
def test_bridge_flushes_by_state_and_flag(lab, words, gone):
    fill(lab)
    lab["a"].run("bridge", "fdb", "flush", "dev", "vxlan0", "self", *words)
    assert_left(lab, ALL - gone)


@pytest.mark.behaviour(
    "`bridge fdb flush` removes the FDB entries with the remote address, and the port or VNI, that "
    "it names",
    source=BULK,
)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control("the flush is left out", without=FlushFdb, because=FOUND_ALL)
@pytest.mark.requires("bridge.fdb_flush_dst")
@three
@pytest.mark.parametrize("more", [{}, {"port": 4790}, {"vni": 43}], ids=["dst", "port", "vni"])
def test_bridge_flushes_by_remote(lab, more):
    fill(lab)
    lab.apply(FlushFdb("a", "vxlan0", dst=address(lab, "b"), **more), by="iproute2")
    also = {"port+vni", *more}
    assert_left(lab, ALL - (also if more else FROM_B))


UNKNOWN = {
    "via": ({"via": "eth0"}, "Unsupported attribute"),
    "vlan": ({"vlan": 5}, "Unsupported attribute"),
    "sticky": ({"flags": ("sticky",)}, "Unsupported fdb flush ndm flag bits set"),
    "use": ({"flags": ("use",)}, "Unsupported fdb flush ndm flag bits set"),
}


def with_known_filter(operation):
    """The flush has a filter that vxlan devices know."""
    if isinstance(operation, FlushFdb):
        return FlushFdb("a", "vxlan0", port=1)
    return operation


@pytest.mark.behaviour(
    "a flush with a filter that vxlan devices do not support, such as a lower device, a VLAN or "
    "the flag `sticky`, is refused with EINVAL and removes nothing",
    source=BULK,
)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control(
    "the flush has a filter by port, which vxlan devices support",
    change=with_known_filter,
    because="not refused: bridge -n a fdb flush",
)
@three
@pytest.mark.parametrize(("filters", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_flush_with_an_unknown_filter_is_refused(lab, filters, words):
    fill(lab)
    assert_refusal(lab, FlushFdb("a", "vxlan0", **filters), "netlink", errno.EINVAL, words)
    assert_left(lab, ALL)


@pytest.mark.behaviour(
    "frames for a MAC whose learned FDB entry was flushed are sent to all default remotes again",
    source=BULK,
)
@pytest.mark.known_difference("K58", until="6.12")
@pytest.mark.control(
    "the FDB of VTEP a is not flushed", without=FlushFdb, because=found_copies("c")
)
@three
def test_frames_for_a_flushed_mac_are_flooded(lab):
    assert arrives(lab, "c")
    assert_copies(lab, MAC, default_copies(lab, "c"))
    lab.apply(FlushFdb("a", "vxlan0", states=("dynamic",)), by="netlink")
    assert_copies(lab, MAC, default_copies(lab, "b", "c"))


@pytest.mark.behaviour(
    "a device that is set down loses its learned and dynamic FDB entries, and keeps all others",
    source=f"{CORE}: vxlan_stop()",
)
@pytest.mark.control(
    "VTEP a's device stays up",
    without=SetLink,
    because=f"(?m); found {MAC}, {LATER}, {re.escape(listed(ALL))}$",
)
@three
def test_down_flushes_dynamic_entries_only(lab):
    fill(lab)
    assert arrives(lab, "b")
    assert MAC in macs(lab)
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert_left(lab, ALL - {"dynamic"})
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert_left(lab, ALL - {"dynamic"})


def as_static(operation):
    """The entry for MAC is added as a static one."""
    if isinstance(operation, AddFdb) and operation.mac == MAC:
        return dataclasses.replace(operation, state="static")
    return operation


@pytest.mark.behaviour(
    "a device that is set down also loses dynamic FDB entries with the flag `extern_learn` or "
    "`router`, or with a next hop group",
    source=f"{CORE}: vxlan_stop()",
)
@pytest.mark.control(
    "the FDB entry is static",
    change=as_static,
    because=f"wanted no entry for {MAC}, found {MAC} .* static$",
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
    before = entry(lab, MAC)
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert_no_entry(lab, MAC)
    assert before.state == "reachable"
