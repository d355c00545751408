"""6.7 A controller in place of learning: what an EVPN daemon configures on bridge and device.

    ns0 eth0 172.18.1.2 ─ br0 ─ vxlan0 a ──┬── b vxlan0 ─ br0 ─ 172.18.1.3 eth0 ns1
                                           └── c vxlan0 ─ br0 ─ 172.18.1.4 eth0 ns2

Neither the vxlan device nor the bridge port to it learns.  A MAC gets two FDB entries: one in the
bridge (`master`: behind the port), one in the vxlan device (`self`: behind which VTEP).
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
from neighbour_tools import bridged_with_ipv6, read_message

from vxlab.operations import AddFdb, AddNeighbour, SetLink, SetPort, SetSysctl

BRIDGE = "net/bridge/br_fdb.c: br_fdb_update(); net/bridge/br_forward.c: br_flood()"
DEVICE = "drivers/net/vxlan/vxlan_core.c: vxlan_snoop()"
MAC = "02:00:00:00:00:77"
#: What a control expects that lets the vxlan device learn where a MAC is: b.
BEHIND_B = r"\('vxlan0', '192\.168\.57\.54'\)"


def three_hosts_without_learning():
    """Three hosts with a container each; no vxlan device learns."""
    made = bridged_with_ipv6(hosts=3)
    for host in "abc":
        made = made.with_vtep(host, "overlay", learning=False)
    return made


def set_port(**settings):
    """The operation that changes settings of a's bridge port to its vxlan device."""
    return SetPort("a", "vxlan0", tuple(settings.items()))


def entries_for(mac, remote, *, host="a", state="static", flags=()):
    """The operations that add the two FDB entries of a MAC behind another VTEP."""
    return (
        AddFdb(host, "vxlan0", mac, remote, state=state, flags=("self", *flags)),
        AddFdb(host, "vxlan0", mac, state=state, flags=("master", *flags)),
    )


def entries_of(lab, mac):
    """Where a's FDB entries of a MAC lead: interface and remote (None in the bridge).

    A bridge that has VLANs has one for each, and for none.
    """
    found = {(row.interface, row.dst) for row in lab["a"].state.fdb if row.mac == mac}
    return sorted(found, key=str)


def send_from_b(lab, mac):
    """Send a frame with the source MAC ``mac`` from ns1, behind b, through the tunnel to ns0."""
    with lab.capture("ns0") as seen:
        send_frames(lab["ns1"], "eth0", datagram_frame(BROADCAST, b"hello", mac=mac))
        seen["ns0"].wait_for_payload(b"hello")


@pytest.mark.behaviour(
    "a bridge port with `learning off` makes no FDB entry for a received source MAC", source=BRIDGE
)
@pytest.mark.control(
    "the bridge port learns",
    without=SetPort,
    because=r"FDB entries of the MAC: \[\('vxlan0', None\)\]",
)
@pytest.mark.topology(three_hosts_without_learning())
def test_a_port_with_learning_off_makes_no_entry(lab):
    lab.apply(set_port(learning=False))
    send_from_b(lab, MAC)
    found = entries_of(lab, MAC)
    assert found == [], f"FDB entries of the MAC: {found}"


@pytest.mark.behaviour(
    "a bridge learns a MAC from its vxlan device also where that device has `nolearning`",
    source=DEVICE,
)
@pytest.mark.control(
    "a's vxlan device learns",
    vteps={"a": {"learning": True}},
    because=rf"FDB entries of the MAC: \[{BEHIND_B}, \('vxlan0', None\)\]",
)
@pytest.mark.topology(three_hosts_without_learning())
def test_the_bridge_learns_where_the_device_does_not(lab):
    send_from_b(lab, MAC)
    found = entries_of(lab, MAC)
    assert found == [("vxlan0", None)], f"FDB entries of the MAC: {found}"


@pytest.mark.behaviour(
    "a vxlan device learns a MAC also where the bridge port to it has `learning off`", source=DEVICE
)
@pytest.mark.control(
    "the bridge port learns",
    without=SetPort,
    because=rf"FDB entries of the MAC: \[{BEHIND_B}, \('vxlan0', None\)\]",
)
@pytest.mark.topology(three_hosts_without_learning().with_vtep("a", "overlay", learning=True))
def test_the_device_learns_where_the_port_does_not(lab):
    lab.apply(set_port(learning=False))
    send_from_b(lab, MAC)
    found = entries_of(lab, MAC)
    assert found == [("vxlan0", underlay_address(lab, "b"))], f"FDB entries of the MAC: {found}"


@pytest.mark.behaviour(
    "a unicast frame to a MAC with FDB entries, static or extern_learn, is sent to the entry's "
    "VTEP only",
    source=BRIDGE,
)
@pytest.mark.control(
    "the MAC has no FDB entries", without=AddFdb, because="the frame was not sent to its VTEP only"
)
@pytest.mark.parametrize("flags", [(), ("extern_learn",)], ids=["static", "extern_learn"])
@pytest.mark.parametrize("host", ["b", "c"], ids=["behind-b", "behind-c"])
@pytest.mark.topology(three_hosts_without_learning())
def test_unicast_to_a_mac_with_entries_goes_to_one_vtep(lab, host, flags):
    remote = underlay_address(lab, host)
    lab.apply(set_port(learning=False), *entries_for(MAC, remote, flags=flags))
    with lab.capture("a:eth0") as seen:
        send_frames(lab["ns0"], "eth0", datagram_frame(MAC, b"unicast"))
        seen["a:eth0"].wait_for(carries(b"unicast", lab.topology.ports), "the frame")
        send_frames(lab["ns0"], "eth0", datagram_frame(BROADCAST, b"later"))
        seen["a:eth0"].wait_for(carries(b"later", lab.topology.ports), "a later frame")
    sent = copies_sent_to(seen["a:eth0"], b"unicast")
    assert sent == [remote], "the frame was not sent to its VTEP only"


@pytest.mark.behaviour(
    "with learning off, static FDB entries stay as they are when their MAC sends from another VTEP",
    source=DEVICE,
)
@pytest.mark.control(
    "a's vxlan device and bridge port learn, and the MAC has no static FDB entries",
    vteps={"a": {"learning": True}},
    without=(SetPort, AddFdb),
    because=rf"FDB entries of the MAC: \[{BEHIND_B}",
)
@pytest.mark.topology(three_hosts_without_learning())
def test_static_entries_stay_when_their_mac_moves(lab):
    lab.apply(set_port(learning=False), *entries_for(MAC, underlay_address(lab, "c")))
    send_from_b(lab, MAC)
    found = entries_of(lab, MAC)
    wanted = [("vxlan0", underlay_address(lab, "c")), ("vxlan0", None)]
    assert found == wanted, f"FDB entries of the MAC: {found}"


def without_extern_learn(operation):
    """The same FDB entry without the flag extern_learn."""
    if not isinstance(operation, AddFdb):
        return operation
    kept = tuple(flag for flag in operation.flags if flag != "extern_learn")
    return dataclasses.replace(operation, flags=kept)


@pytest.mark.behaviour(
    "FDB entries that are added with the flag extern_learn show it, in bridge and vxlan device",
    source="man 8 bridge",
)
@pytest.mark.control(
    "the FDB entries are added without the flag extern_learn",
    change=without_extern_learn,
    because=r"extern_learn of the bridge's and the device's entries: \[False, False\]",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.topology(three_hosts_without_learning())
def test_entries_of_a_controller_show_extern_learn(lab, by):
    lab.apply(*entries_for(MAC, underlay_address(lab, "b"), flags=("extern_learn",)), by=by)
    flags = [row.flags for row in lab["a"].state.fdb if row.mac == MAC]
    of_bridge = {"extern_learn" in one for one in flags if "self" not in one}
    of_device = {"extern_learn" in one for one in flags if "self" in one}
    found = [*of_bridge, *of_device]
    problem = f"extern_learn of the bridge's and the device's entries: {found}"
    assert found == [True, True], problem


#: The destination MAC and the payload of each kind of frame, by the setting that floods it.
KINDS = {
    "flood": ("02:00:00:00:00:99", b"unknown unicast"),
    "mcast_flood": ("01:00:5e:01:02:03", b"multicast"),
    "bcast_flood": (BROADCAST, b"broadcast"),
}


@pytest.mark.behaviour(
    "the flooding of unknown unicast, of multicast and of broadcast can each be switched off on a "
    "bridge port without the others",
    source="net/bridge/br_forward.c: br_flood()",
)
@pytest.mark.known_difference("I12", until="6.1", of="iproute2")
@pytest.mark.control(
    "no kind of flooding is switched off on the bridge port",
    without=SetPort,
    because="a frame was sent although its kind of flooding is off",
)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.topology(three_hosts_without_learning())
def test_one_kind_of_flooding_can_be_switched_off(lab, name):
    lab.apply(set_port(**{name: False}))
    _, off = KINDS[name]
    others = {other: KINDS[other] for other in KINDS if other != name}
    with lab.capture("a:eth0", "b:vxlan0") as seen:
        sent = [datagram_frame(mac, data) for mac, data in (KINDS[name], *others.values())]
        send_frames(lab["ns0"], "eth0", *sent)
        for _, data in others.values():
            seen["b:vxlan0"].wait_for_payload(data)
    marks = [packet.inner.mark for packet in seen["a:eth0"].encapsulated()]
    assert off not in marks, "a frame was sent although its kind of flooding is off"
    assert {data: marks.count(data) for _, data in others.values()} == {
        data: 2
        for _, data in others.values()  # to b and to c
    }


QUIET = (
    ("learning", False),
    ("neigh_suppress", True),
    ("flood", False),
    ("mcast_flood", False),
    ("bcast_flood", False),
)
HOST_OF = {"ns0": "a", "ns1": "b", "ns2": "c"}


def add_all_entries(lab):
    """Give every host the FDB entries and neighbours of all containers, and flood nothing."""
    for host in HOST_OF.values():
        lab.apply(
            SetPort(host, "vxlan0", QUIET),
            SetSysctl(host, "net.ipv6.conf.br0.disable_ipv6", "0"),
        )
        for container in lab.topology.containers:
            far = HOST_OF[container.name]
            if far == host:
                continue
            mac = link_of(lab, container.name, "eth0").mac
            remote = underlay_address(lab, far)
            lab.apply(*entries_for(mac, remote, host=host, flags=("extern_learn",)))
            for address in container.addresses:
                lab.apply(AddNeighbour(host, "br0", address.split("/")[0], mac, "noarp"))


@pytest.mark.behaviour(
    "where all FDB entries and neighbours are configured, containers reach each other with "
    "flooding off, and no ARP request or neighbour solicitation enters the tunnel",
    source=BRIDGE,
)
@pytest.mark.known_difference("I12", until="6.1", of="iproute2")
@pytest.mark.control(
    "the neighbours are not configured", without=AddNeighbour, because="the ping was not answered"
)
@pytest.mark.parametrize("address", ["172.18.1.3", "172.18.1.4", "fd42::3", "fd42::4"])
@pytest.mark.topology(three_hosts_without_learning())
def test_where_all_entries_are_configured_nothing_is_flooded(lab, address):
    add_all_entries(lab)
    with lab.capture("a:eth0") as seen:
        answered = lab["ns0"].ping(address, timeout=3)
    assert answered, "the ping was not answered"
    # the bridges' own reports of groups are flooded whatever the port's settings: so only ns0's
    own = link_of(lab, "ns0", "eth0").mac
    sent = [packet for packet in seen["a:eth0"].encapsulated() if packet.inner.src == own]
    to_group = [one for one in sent if int(one.inner.dst[:2], 16) & 1]  # or broadcast
    assert not any(read_message(one.inner) for one in to_group)
    to_one = {one.outer_dst for one in sent if one not in to_group}
    assert to_one == {underlay_address(lab, "b" if address.endswith("3") else "c")}


def dynamic_entry(operation):
    """The same FDB entry, dynamic in place of static."""
    if not isinstance(operation, AddFdb) or operation.mac != MAC:
        return operation
    return dataclasses.replace(operation, state="dynamic")


@pytest.mark.behaviour(
    "a static FDB entry of a vxlan device stays when the device is set down and up again",
    source=DEVICE,
)
@pytest.mark.control(
    "the FDB entry is dynamic", change=dynamic_entry, because=r"FDB entries of the MAC: \[\]"
)
@pytest.mark.topology(three_hosts_without_learning())
def test_a_static_entry_stays_when_the_device_is_set_down(lab):
    of_device, _ = entries_for(MAC, underlay_address(lab, "b"))
    lab.apply(of_device)
    lab.apply(SetLink("a", "vxlan0", up=False), SetLink("a", "vxlan0", up=True))
    found = entries_of(lab, MAC)
    assert found == [("vxlan0", underlay_address(lab, "b"))], f"FDB entries of the MAC: {found}"
