"""4.5 What an entry says, on the wire: its remote, port, VNI and device.

a eth0 192.168.57.50 ──── lan ──┬── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2             │                vxlan0 172.18.1.3
                                └── 192.168.57.55 eth0 c
                                                 vxlan0 172.18.1.4
"""

from __future__ import annotations

import dataclasses

import pytest
from fdb_tools import MAC, MULTICAST, OTHER, Copy, address, collected_copies, entry, inject

from vxlab import catalog, state
from vxlab.operations import AddFdb, AddLink, AddVni

CORE = "drivers/net/vxlan/vxlan_core.c"

both = pytest.mark.parametrize("by", ["netlink", "iproute2"])
three = pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=3)


def plain(*fields):
    """A change of all entries that are made: these fields are not set."""

    def change(made):
        unset = dict.fromkeys(fields)
        return dataclasses.replace(made, **unset) if isinstance(made, AddFdb) else made

    return change


OVERRIDES = {
    "nothing": {},
    "port": {"port": 4790},
    "vni": {"vni": 43},
    "largest-vni": {"vni": 0xFFFFFF},
    "port-and-vni": {"port": 4790, "vni": 43},
}


@pytest.mark.behaviour(
    "port and VNI of an entry go before the device's", source=f"{CORE}: vxlan_xmit_one()"
)
@pytest.mark.control(
    "the entry has a port and VNI of its own",
    change=lambda made: (
        dataclasses.replace(made, port=4790, vni=44) if isinstance(made, AddFdb) else made
    ),
    because="assert",
)
@three
@both
@pytest.mark.parametrize("more", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_port_and_vni_of_an_entry_are_on_the_wire(lab, by, more):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), **more), by=by)
    wanted = Copy(address(lab, "c"), more.get("port", 4789), more.get("vni", 42))
    assert collected_copies(lab, MAC) == [wanted]


@pytest.mark.behaviour(
    "port and VNI are shown only where they are not the device's",
    source=f"{CORE}: vxlan_fdb_info()",
)
@pytest.mark.control(
    "the entry has a port and VNI of its own",
    change=lambda made: (
        dataclasses.replace(made, port=4791, vni=44) if isinstance(made, AddFdb) else made
    ),
    because="assert",
)
@three
@both
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
    assert rows == [
        {"mac": MAC, "dst": address(lab, "c"), **shown, "flags": ["self"], "state": "permanent"}
    ]
    found = entry(lab, MAC)
    assert (found.port, found.vni) == (shown.get("port"), shown.get("vni"))


@pytest.mark.behaviour(
    "port 0 of an entry stands for the device's", source=f"{CORE}: vxlan_xmit_one()"
)
@pytest.mark.control(
    "the port is 4790",
    change=lambda made: dataclasses.replace(made, port=4790) if isinstance(made, AddFdb) else made,
    because="assert",
)
@three
def test_port_zero_is_the_device_s(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), port=0))
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 42)]


@pytest.mark.behaviour(
    "of a VNI that is too large the kernel sends the lower 24 bits, unasked",
    source=f"{CORE}: vxlan_fdb_parse()",
)
@pytest.mark.control("the VNI is the device's", change=plain("vni"), because="assert")
@three
def test_the_kernel_does_not_check_the_vni_of_an_entry(lab):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), vni=(1 << 24) + 5), by="netlink")
    assert collected_copies(lab, MAC) == [Copy(address(lab, "c"), 4789, 5)]


@pytest.mark.behaviour(
    "the entry's VNI decides which device of the far end receives", source="RFC 7348, 4.1"
)
@pytest.mark.control("the entry has no VNI of its own", change=plain("vni"), because="waited")
@three
def test_an_entry_s_vni_reaches_the_other_segment(lab):
    other = (("id", 43), ("dstport", 4789), ("local", address(lab, "c")), ("dev", "eth0"))
    lab.apply(AddLink("c", "vxlan43", "vxlan", 0, attributes=other, up=True))
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "c"), vni=43))
    with lab.capture("c:vxlan0", "c:vxlan43") as seen:
        inject(lab, "a", MAC, text=b"for 43")
        seen["c:vxlan43"].wait_for_payload(b"for 43", timeout=3)
    assert seen["c:vxlan0"].was_live
    assert seen["c:vxlan0"].payloads() == []


@pytest.mark.behaviour(
    "the device of an entry goes before the routes", source=f"{CORE}: udp_tunnel_dst_lookup()"
)
@pytest.mark.control("the entry has no device", change=plain("via"), because="assert")
@pytest.mark.topology(lambda: two_cards())
@both
def test_an_entry_leaves_by_its_own_device(lab, by):
    before = tx_errors(lab)
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), via="eth1"), by=by)
    assert entry(lab, MAC).via == "eth1"
    with lab.capture("a:eth0", "a:eth1") as seen:
        inject(lab, "a", MAC, text=b"via eth1")
        inject(lab, "a", OTHER, text=b"flooded")
        seen["a:eth0"].wait_for(lambda frame: b"flooded" in frame.data, "what is flooded")
        wanted = address(lab, "b")
        seen["a:eth1"].wait_for(lambda frame: asks_for(frame, wanted), "a question for b's MAC")
        seen["a:eth0"].assert_silent(lambda frame: b"via eth1" in frame.data, "frame by eth0")
    assert tx_errors(lab) == before


def two_cards():
    """a with a second card, that leads elsewhere: who is sent that way is never found."""
    import vxlab

    t = vxlab.TopologyBuilder("two cards")
    t.switch("lan", "192.168.57.0/24").switch("other", "192.168.58.0/24")
    t.segment("overlay", 42, port=4789)
    t.host("a", "lan", "192.168.57.50/24").nic("a", "other", "192.168.58.50/24", device="eth1")
    t.host("b", "lan", "192.168.57.54/24")
    t.vtep("a", "overlay", dev=False, local=False).vtep("b", "overlay")
    return t.build()


def asks_for(frame, wanted):
    return frame.is_arp and frame.data[38:42] == bytes(map(int, wanted.split(".")))


def tx_errors(lab):
    (link,) = [row for row in state.links(lab["a"].namespaces) if row.name == "vxlan0"]
    return link.counters.tx_errors


@pytest.mark.behaviour(
    "with src_vni a device of many VNIs has one entry for each", source=f"{CORE}: vxlan_find_mac()"
)
@pytest.mark.requires("vxlan.vnifilter")
@pytest.mark.control(
    "they are for one VNI",
    change=lambda made: (
        dataclasses.replace(made, src_vni=20) if isinstance(made, AddFdb) and made.src_vni else made
    ),
    because="EEXIST|File exists",
)
@pytest.mark.topology(catalog.point_to_point, hosts=3)
@both
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


@pytest.mark.behaviour("`bridge fdb get` gives one entry", source=f"{CORE}: vxlan_fdb_get()")
@pytest.mark.control("the MAC is another", change=lambda made: elsewhere(made), because="not found")
@three
@pytest.mark.parametrize(("more", "shown"), GET.values(), ids=GET.keys())
def test_fdb_get_gives_one_entry(lab, more, shown):
    lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"), **more))
    (row,) = lab["a"].bridge("fdb", "get", MAC, "dev", "vxlan0", "self")
    wanted = {"mac": MAC, "ifname": "vxlan0", "dst": address(lab, "b"), **shown}
    assert row == {**wanted, "flags": ["self"], "state": "permanent"}


def elsewhere(made):
    return dataclasses.replace(made, mac=OTHER) if getattr(made, "mac", "") == MAC else made


@pytest.mark.behaviour(
    "`bridge fdb get` of a group MAC gives its first remote only",
    source=f"{CORE}: vxlan_fdb_get()",
)
@pytest.mark.control(
    "the first remote is another",
    change=lambda made: (
        dataclasses.replace(made, dst=made.dst[:-1] + "9")
        if isinstance(made, AddFdb) and not made.append
        else made
    ),
    because="assert",
)
@three
def test_fdb_get_gives_the_first_of_several_remotes(lab):
    first = AddFdb("a", "vxlan0", MULTICAST, address(lab, "b"))
    lab.apply(first, dataclasses.replace(first, dst=address(lab, "c"), append=True))
    (row,) = lab["a"].bridge("fdb", "get", MULTICAST, "dev", "vxlan0", "self")
    assert row["dst"] == address(lab, "b")


@pytest.mark.behaviour(
    "`bridge fdb get` of an unknown MAC is refused", source=f"{CORE}: vxlan_fdb_get()"
)
@pytest.mark.control(
    "there is an entry",
    lab=lambda lab: lab.apply(AddFdb("a", "vxlan0", MAC, address(lab, "b"))),
    because="assert",
)
@three
def test_fdb_get_of_an_unknown_mac_is_refused(lab):
    found = lab["a"].run("bridge", "fdb", "get", MAC, "dev", "vxlan0", "self", check=False)
    assert found.code != 0
    assert "Fdb entry not found" in found.stderr
