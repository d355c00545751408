"""6.6 A controller in place of learning: what an EVPN daemon makes of bridge and device.

    ns0 eth0 172.18.1.2 ─ br0 ─ vxlan0 a ──┬── b vxlan0 ─ br0 ─ 172.18.1.3 eth0 ns1
                                           └── c vxlan0 ─ br0 ─ 172.18.1.4 eth0 ns2

Neither the device nor the bridge's port to it learns; entries come from outside, one in the
bridge (`master`: behind the port) and one in the device (`self`: behind which VTEP).
"""

from __future__ import annotations

import dataclasses

import pytest
from flood_tools import (
    BROADCAST,
    carries,
    copies_sent_to,
    datagram_frame,
    link_of,
    send_frames,
    underlay_address,
)
from neighbour_tools import read_message

from vxlab import catalog
from vxlab.operations import AddFdb, AddNeighbour, SetLink, SetPort, SetSysctl

BRIDGE = "net/bridge/br_fdb.c: br_fdb_update(); net/bridge/br_forward.c: br_flood()"
DEVICE = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"
MAC, OTHER = "02:00:00:00:00:77", "02:00:00:00:00:78"


def unlearned():
    """Three hosts with a container each; no device learns."""
    made = catalog.bridged(hosts=3)
    containers = tuple(
        dataclasses.replace(one, addresses=(*one.addresses, f"fd42::{number}/64"))
        for number, one in enumerate(made.containers, 2)
    )
    made = dataclasses.replace(made, containers=containers)
    for host in "abc":
        made = made.with_vtep(host, "overlay", learning=False)
    return made


def port(**settings):
    """Settings of a's port to its device."""
    return SetPort("a", "vxlan0", tuple(settings.items()))


def place(mac, dst, *, host="a", state="static", flags=()):
    """The two entries of a MAC behind another VTEP."""
    return (
        AddFdb(host, "vxlan0", mac, dst, state=state, flags=("self", *flags)),
        AddFdb(host, "vxlan0", mac, state=state, flags=("master", *flags)),
    )


def entries_of(lab, mac):
    """Where a's forwarding entries of a MAC lead: interface and remote.

    A bridge that knows VLANs has one for each, and for none.
    """
    found = {(row.interface, row.dst) for row in lab["a"].state.fdb if row.mac == mac}
    return sorted(found, key=str)


def hear(lab, mac):
    """Let a hear a frame of ``mac`` through the tunnel."""
    with lab.capture("ns0") as seen:
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"hello", mac=mac))
        seen["ns0"].wait_for_payload(b"hello")


@pytest.mark.behaviour("a port that does not learn makes no entry of what it hears", source=BRIDGE)
@pytest.mark.control("it learns", without=SetPort)
@pytest.mark.topology(unlearned())
def test_a_port_that_does_not_learn_makes_no_entry(lab):
    lab.apply(port(learning=False))
    hear(lab, MAC)
    assert entries_of(lab, MAC) == []


@pytest.mark.behaviour("bridge and device learn apart from each other", source=DEVICE)
@pytest.mark.control("the device learns", vteps={"a": {"learning": True}})
@pytest.mark.topology(unlearned())
def test_the_bridge_learns_where_the_device_does_not(lab):
    hear(lab, MAC)
    assert entries_of(lab, MAC) == [("vxlan0", None)]


@pytest.mark.behaviour("the device learns where the port does not", source=DEVICE)
@pytest.mark.control("the port learns", without=SetPort)
@pytest.mark.topology(unlearned().with_vtep("a", "overlay", learning=True))
def test_the_device_learns_where_the_port_does_not(lab):
    lab.apply(port(learning=False))
    hear(lab, MAC)
    assert entries_of(lab, MAC) == [("vxlan0", underlay_address(lab, "b"))]


@pytest.mark.behaviour("unicast to a MAC with entries goes to one VTEP", source=BRIDGE)
@pytest.mark.control("it has none", without=AddFdb)
@pytest.mark.parametrize("flags", [(), ("extern_learn",)], ids=["static", "extern_learn"])
@pytest.mark.parametrize("host", ["b", "c"], ids=["behind-b", "behind-c"])
@pytest.mark.topology(unlearned())
def test_unicast_to_a_placed_mac_goes_to_one_vtep(lab, host, flags):
    lab.apply(port(learning=False), *place(MAC, underlay_address(lab, host), flags=flags))
    with lab.capture("a:eth0") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(MAC, b"placed"))
        seen["a:eth0"].wait_for(carries(b"placed", lab.topology.ports), "the frame")
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"later"))
        seen["a:eth0"].wait_for(carries(b"later", lab.topology.ports), "a later frame")
    assert copies_sent_to(seen["a:eth0"], b"placed") == [underlay_address(lab, host)]


@pytest.mark.behaviour("a placed MAC stays where it is, whoever uses it", source=DEVICE)
@pytest.mark.control(
    "device and port learn, and nothing is placed",
    vteps={"a": {"learning": True}},
    without=(SetPort, AddFdb),
)
@pytest.mark.topology(unlearned())
def test_a_placed_mac_stays_where_it_is(lab):
    lab.apply(port(learning=False), *place(MAC, underlay_address(lab, "c")))
    hear(lab, MAC)  # from b
    assert entries_of(lab, MAC) == [
        ("vxlan0", underlay_address(lab, "c")),
        ("vxlan0", None),
    ]


@pytest.mark.behaviour("entries of a controller carry the flag extern_learn", source="man 8 bridge")
@pytest.mark.control("they are without", change=lambda op: plain(op))
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(unlearned())
def test_entries_of_a_controller_are_marked_as_such(lab, by):
    lab.apply(*place(MAC, underlay_address(lab, "b"), flags=("extern_learn",)), by=by)
    flags = [row.flags for row in lab["a"].state.fdb if row.mac == MAC]
    found = {("extern_learn" in one, "self" in one) for one in flags}
    assert found == {(True, False), (True, True)}


def plain(operation):
    if not isinstance(operation, AddFdb):
        return operation
    kept = tuple(flag for flag in operation.flags if flag != "extern_learn")
    return dataclasses.replace(operation, flags=kept)


FRAMES = {
    "flood": datagram_frame("02:00:00:00:00:99", b"unknown unicast"),
    "mcast_flood": datagram_frame("01:00:5e:01:02:03", b"multicast"),
    "bcast_flood": datagram_frame(BROADCAST, b"broadcast"),
}


@pytest.mark.behaviour(
    "a port may be kept from unknown unicast, multicast or broadcast, each by itself",
    source="net/bridge/br_forward.c: br_flood()",
)
@pytest.mark.known_difference("I12", until="6.1", of="iproute2")
@pytest.mark.control("the port gets all", without=SetPort)
@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.topology(unlearned())
def test_a_port_may_be_kept_from_one_kind_of_flood(lab, name):
    lab.apply(port(**{name: False}))
    others = [frame for other, frame in FRAMES.items() if other != name]
    with lab.capture("a:eth0", "b:vxlan0") as seen:
        send_frames(lab["ns0"], "eth0", FRAMES[name], *others)
        for data in (b"unknown unicast", b"multicast", b"broadcast"):
            if data not in FRAMES[name]:
                seen["b:vxlan0"].wait_for_payload(data)
    found = [tunnel.inner.mark for tunnel in seen["a:eth0"].encapsulated()]
    marks = [mark for mark in found if mark]
    assert len(marks) == 4, "wanted two kinds, each to two hosts"
    assert not [mark for mark in marks if mark in FRAMES[name]]


def known_everywhere(lab):
    """Tell every host of all endpoints: their neighbours, and where they are."""
    ends = dict(zip("abc", ("ns0", "ns1", "ns2"), strict=True))
    for host in ends:
        lab.apply(
            SetPort(host, "vxlan0", QUIET),
            SetSysctl(host, "net.ipv6.conf.br0.disable_ipv6", "0"),
        )
        for far, end in ends.items():
            if far == host:
                continue
            mac = link_of(lab, end, "eth0").mac
            lab.apply(*place(mac, underlay_address(lab, far), host=host, flags=("extern_learn",)))
            (container,) = (one for one in lab.topology.containers if one.name == end)
            for address in container.addresses:
                lab.apply(AddNeighbour(host, "br0", address.split("/")[0], mac, "noarp"))


QUIET = (
    ("learning", False),
    ("neigh_suppress", True),
    ("flood", False),
    ("mcast_flood", False),
    ("bcast_flood", False),
)


@pytest.mark.behaviour("a network where all is known needs no flooding at all", source=BRIDGE)
@pytest.mark.known_difference("I12", until="6.1", of="iproute2")
@pytest.mark.control("the neighbours are not known", without=AddNeighbour)
@pytest.mark.parametrize("address", ["172.18.1.3", "172.18.1.4", "fd42::3", "fd42::4"])
@pytest.mark.topology(unlearned())
def test_where_all_is_known_nothing_is_flooded(lab, address):
    known_everywhere(lab)
    with lab.capture("a:eth0") as seen:
        assert lab["ns0"].ping(address, timeout=3)
    # what the bridges themselves say (reports of groups) is flooded whatever the port's settings
    own = link_of(lab, "ns0", "eth0").mac
    sent = [tunnel for tunnel in seen["a:eth0"].encapsulated() if tunnel.inner.src == own]
    to_all = [one for one in sent if int(one.inner.dst[:2], 16) & 1]
    assert not any(read_message(one.inner) for one in to_all), (
        "wanted no question to all in the tunnel"
    )
    to_one = {one.outer_dst for one in sent if one not in to_all}
    assert to_one == {underlay_address(lab, {"3": "b", "4": "c"}[address[-1]])}


@pytest.mark.behaviour("when the device goes down a controller's entries stay", source=DEVICE)
@pytest.mark.control("they are dynamic", change=lambda op: dynamic(op))
@pytest.mark.topology(unlearned())
def test_entries_of_a_controller_outlive_a_device_that_goes_down(lab):
    lab.apply(*place(MAC, underlay_address(lab, "b"))[:1])
    lab.apply(SetLink("a", "vxlan0", up=False), SetLink("a", "vxlan0", up=True))
    assert entries_of(lab, MAC) == [("vxlan0", underlay_address(lab, "b"))]


def dynamic(operation):
    if not isinstance(operation, AddFdb) or operation.mac != MAC:
        return operation
    return dataclasses.replace(operation, state="dynamic")
