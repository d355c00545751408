"""4.5 FDB entries on the wire: the remote, port, VNI and lower device of an entry.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses

import pytest
from fdb_tools import (
    MAC,
    MULTICAST,
    OTHER,
    Copy,
    address,
    assert_copies,
    at_another_remote,
    changed_entries,
    default_copies,
    entry,
    found_copies,
    inject,
)

from vxlab import TopologyBuilder, catalog, state
from vxlab.operations import AddFdb, AddLink, AddVni

CORE = "drivers/net/vxlan/vxlan_core.c"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)

OVERRIDES = {
    "nothing": {},
    "port": {"port": 4790},
    "vni": {"vni": 43},
    "largest-vni": {"vni": 0xFFFFFF},
    "port-and-vni": {"port": 4790, "vni": 43},
}


@pytest.mark.behaviour(
    "frames for a MAC are sent with the port and VNI of its FDB entry, and with the device's own "
    "where the entry names none",
    source=f"{CORE}: vxlan_xmit_one()",
)
@pytest.mark.control(
    "the FDB entry has port 4790 and VNI 44",
    change=changed_entries(MAC, port=4790, vni=44),
    because=found_copies("c", port=4790, vni=44),
)
@three
@both_ways
@pytest.mark.parametrize("more", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_port_and_vni_of_an_entry_are_on_the_wire(lab, by, more):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), **more), by=by)
    wanted = Copy(address(lab, "c"), more.get("port", 4789), more.get("vni", 42))
    assert_copies(lab, MAC, [wanted])


@pytest.mark.behaviour(
    "`bridge fdb show` shows the port and the VNI of an FDB entry only where they differ from the "
    "device's own",
    source=f"{CORE}: vxlan_fdb_info()",
)
@pytest.mark.control(
    "the FDB entry has port 4791 and VNI 44",
    change=changed_entries(MAC, port=4791, vni=44),
    because=r"`bridge` shows .*'port': 4791, 'vni': 44\b",
)
@three
@both_ways
@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"port": 4789, "vni": 42}, {}),
        ({"port": 4790, "vni": 42}, {"port": 4790}),
        ({"port": 4789, "vni": 43}, {"vni": 43}),
        ({"port": 4790, "vni": 43}, {"port": 4790, "vni": 43}),
    ],
    ids=["the-device's", "other-port", "other-vni", "both-other"],
)
def test_only_what_differs_from_the_device_is_shown(lab, by, more, shown):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), **more), by=by)
    rows = [row for row in lab["a"].bridge("fdb", "show", "dev", "vxlan0") if row["mac"] == MAC]
    wanted = {"mac": MAC, "dst": address(lab, "c"), **shown}
    wanted |= {"flags": ["self"], "state": "permanent"}
    assert rows == [wanted], f"`bridge` shows {rows}"
    found = entry(lab, MAC)
    assert (found.port, found.vni) == (shown.get("port"), shown.get("vni"))


@pytest.mark.behaviour(
    "frames for a MAC whose FDB entry has port 0 are sent to the device's own port",
    source=f"{CORE}: vxlan_xmit_one()",
)
@pytest.mark.control(
    "the FDB entry has port 4790",
    change=changed_entries(MAC, port=4790),
    because=found_copies("c", port=4790),
)
@three
def test_port_zero_is_the_device_s(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), port=0))
    assert_copies(lab, MAC, default_copies(lab, "c"))


@pytest.mark.behaviour(
    "the kernel accepts an FDB entry with a VNI of more than 24 bits, and sends its lower 24 bits",
    source=f"{CORE}: vxlan_fdb_parse()",
)
@pytest.mark.control(
    "the FDB entry has no VNI of its own",
    change=changed_entries(MAC, vni=None),
    because=found_copies("c"),
)
@three
def test_the_kernel_does_not_check_the_vni_of_an_entry(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), vni=(1 << 24) + 5), by="netlink")
    assert_copies(lab, MAC, [Copy(address(lab, "c"), 4789, 5)])


@pytest.mark.behaviour(
    "frames sent with the VNI of an FDB entry are received by the remote's device with that VNI, "
    "and not by its device with the sender's own VNI",
    source="RFC 7348, 4.1",
)
@pytest.mark.control(
    "the FDB entry has no VNI of its own",
    change=changed_entries(MAC, vni=None),
    because="c/vxlan43: waited .* for the marked payload b'for 43'",
)
@three
def test_an_entry_s_vni_selects_the_receiving_device(lab):
    other = (("id", 43), ("dstport", 4789), ("local", address(lab, "c")), ("dev", "eth0"))
    lab.apply(AddLink("c", "vxlan43", "vxlan", 0, attributes=other, up=True))
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), vni=43))
    with lab.capture("c:vxlan0", "c:vxlan43") as seen:
        inject(lab, "a", MAC, text=b"for 43")
        seen["c:vxlan43"].wait_for_payload(b"for 43", timeout=3)
    assert seen["c:vxlan0"].was_live, seen["c:vxlan0"].proof
    assert seen["c:vxlan0"].payloads() == []


def two_cards():
    """A second card on a leads to a network without b: ARP for b is not answered there."""
    t = TopologyBuilder("two cards")
    t.switch("lan", "192.168.57.0/24").switch("other", "192.168.58.0/24")
    t.segment("overlay", 42, port=4789)
    t.host("a", "lan", "192.168.57.50/24").nic("a", "other", "192.168.58.50/24", device="eth1")
    t.host("b", "lan", "192.168.57.54/24")
    t.vtep("a", "overlay", dev=False, local=False).vtep("b", "overlay")
    return t.build()


@pytest.mark.behaviour(
    "frames for a MAC leave by the lower device that its FDB entry names, even where the routes "
    "to the remote name another one",
    source=f"{CORE}: udp_tunnel_dst_lookup()",
)
@pytest.mark.control(
    "the FDB entry names no lower device",
    change=changed_entries(MAC, via=None),
    because="the lower device of the FDB entry is None",
)
@pytest.mark.topology(two_cards())
@both_ways
def test_an_entry_leaves_by_its_own_lower_device(lab, by):
    before = tx_errors(lab)
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), via="eth1"), by=by)
    via = entry(lab, MAC).via
    assert via == "eth1", f"the lower device of the FDB entry is {via}"
    with lab.capture("a:eth0", "a:eth1") as seen:
        inject(lab, "a", MAC, text=b"via eth1")
        inject(lab, "a", OTHER, text=b"flooded")
        seen["a:eth0"].wait_for(lambda frame: b"flooded" in frame.data, "what is flooded")
        wanted = address(lab, "b")
        seen["a:eth1"].wait_for(lambda frame: asks_for(frame, wanted), "an ARP request for b")
        seen["a:eth0"].assert_silent(lambda frame: b"via eth1" in frame.data, "frame by eth0")
    assert tx_errors(lab) == before


def asks_for(frame, wanted):
    """Whether a frame is an ARP request for this address."""
    return frame.is_arp and frame.data[38:42] == bytes(map(int, wanted.split(".")))


def tx_errors(lab):
    """The tx_errors of a's vxlan0."""
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    return link.counters.tx_errors


def with_one_source_vni(operation):
    """All entries that have a source VNI have the same one."""
    if isinstance(operation, AddFdb) and operation.src_vni:
        return dataclasses.replace(operation, src_vni=20)
    return operation


@pytest.mark.behaviour(
    "an external device with `vnifilter` can have one FDB entry of a MAC for each source VNI "
    "(`src_vni`)",
    source=f"{CORE}: vxlan_find_mac()",
)
@pytest.mark.requires("vxlan.vnifilter")
@pytest.mark.control(
    "both FDB entries of the MAC have the same source VNI",
    change=with_one_source_vni,
    because=f"ApplyError: .*{MAC}.*(EEXIST|File exists)",
)
@pytest.mark.topology(catalog.point_to_point, hosts=3)
@both_ways
def test_an_external_device_has_a_mac_once_for_each_src_vni(lab, by):
    shape = (("external", True), ("vnifilter", True), ("dstport", 4791))
    lab.apply(AddLink("a", "vxlan9", "vxlan", 0, attributes=shape, up=True))
    lab.apply(AddVni("a", "vxlan9", 10), AddVni("a", "vxlan9", 20))
    for vni, host in ((10, "b"), (20, "c")):
        lab.apply(AddFdb("a", "vxlan9", MAC, address(lab, host), vni=vni, src_vni=vni), by=by)
    rows = state.fdb(lab["a"].namespaces, "vxlan9")
    found = {(row.src_vni, row.dst) for row in rows if row.mac == MAC}
    assert found == {(10, address(lab, "b")), (20, address(lab, "c"))}


GET = {
    "remote": ({}, {}),
    "port-and-vni": ({"port": 4790, "vni": 43}, {"port": 4790, "vni": 43}),
    "device": ({"via": "eth0"}, {"viaIf": "eth0"}),
}


@pytest.mark.behaviour(
    "`bridge fdb get` shows the FDB entry of a MAC with its remote, port, VNI and lower device",
    source=f"{CORE}: vxlan_fdb_get()",
)
@pytest.mark.control(
    "the FDB entry is for another MAC",
    change=changed_entries(MAC, mac=OTHER),
    because="CommandError: .*bridge .*fdb get .*Fdb entry not found",
)
@three
@pytest.mark.parametrize(("more", "shown"), GET.values(), ids=GET.keys())
def test_fdb_get_shows_one_entry(lab, more, shown):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), **more))
    (row,) = lab["a"].bridge("fdb", "get", MAC, "dev", "vxlan0", "self")
    wanted = {"mac": MAC, "ifname": "vxlan0", "dst": address(lab, "b"), **shown}
    assert row == {**wanted, "flags": ["self"], "state": "permanent"}


@pytest.mark.behaviour(
    "`bridge fdb get` of a multicast MAC with several remotes shows the first remote only",
    source=f"{CORE}: vxlan_fdb_get()",
)
@pytest.mark.control(
    "the first remote of the multicast MAC is neither host b nor host c",
    change=at_another_remote,
    because=r"(?m)`bridge` shows the remote \S+[.:]59$",
)
@three
def test_fdb_get_shows_the_first_of_several_remotes(lab):
    first = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(first, dataclasses.replace(first, dst=address(lab, "c"), append=True))
    (row,) = lab["a"].bridge("fdb", "get", MULTICAST, "dev", "vxlan0", "self")
    shown = row["dst"]
    assert shown == address(lab, "b"), f"`bridge` shows the remote {shown}"


def add_entry(lab):
    """Give a an FDB entry for the MAC."""
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b")))


@pytest.mark.behaviour(
    "`bridge fdb get` of a MAC that has no FDB entry fails with `Fdb entry not found`",
    source=f"{CORE}: vxlan_fdb_get()",
)
@pytest.mark.control(
    "VTEP a has an FDB entry for the MAC",
    lab=add_entry,
    because=f"`bridge` succeeds and prints .*{MAC}",
)
@three
def test_fdb_get_of_an_unknown_mac_fails(lab):
    found = lab["a"].run("bridge", "fdb", "get", MAC, "dev", "vxlan0", "self", check=False)
    assert found.code != 0, f"`bridge` succeeds and prints {found.stdout}"
    assert "Fdb entry not found" in found.stderr
