"""8.6 The lower device: what its deletion, move, rename or failure does to a vxlan device.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c

`local` and `dev` bind a's vxlan0 to eth0.  c has no vxlan device; some tests move a's into the
network namespace of c, where the device still uses the lower device and the socket of a.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from address_tools import acquaint
from device_tools import (
    PORTS,
    A,
    B,
    at,
    bare,
    details,
    device,
    find_link,
    mac_of,
    swap,
    udp_ports,
)

from vxlab import ApplyError, catalog, wait_until
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    DelAddress,
    DelLink,
    MoveLink,
    SetLink,
    SetVxlan,
)

LOWER = "drivers/net/vxlan/vxlan_core.c: vxlan_handle_lowerdev_unregister()"
SOCKET = "drivers/net/vxlan/vxlan_core.c: vxlan_sock_add(), vxlan->net"
XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), tx_error"

unbound = swap(dev=None)
UNBOUND = "a's vxlan0 has no lower device"
RENAMED_UP = pytest.mark.known_difference("K59", until="6.12")  # no interface that is up


def names(lab, node):
    """The names of a node's interfaces."""
    return {link.name for link in lab[node].state.links}


@pytest.mark.behaviour(
    "the deletion of the lower device deletes the vxlan device bound to it", source=LOWER
)
@pytest.mark.control(UNBOUND, change=unbound, because="vxlan0 outlived eth0")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
def test_a_deleted_lower_device_takes_the_vxlan_device_along(lab):
    lab.apply(DelLink("a", "eth0"))
    assert "vxlan0" not in names(lab, "a"), "vxlan0 outlived eth0"
    assert names(lab, "a") == {"lo"}


@pytest.mark.behaviour(
    "a vxlan device without a lower device survives the deletion of the interface that its packets"
    " leave by",
    source=LOWER,
)
@pytest.mark.control(
    "a's vxlan0 has the lower device eth0",
    vteps={"a": {"dev": True}},
    because="vxlan0 was deleted with eth0",
)
@pytest.mark.topology(catalog.point_to_point, bind="none")
def test_a_device_without_a_lower_device_survives(lab):
    lab.apply(DelLink("a", "eth0"))
    assert "vxlan0" in names(lab, "a"), "vxlan0 was deleted with eth0"
    assert names(lab, "a") == {"lo", "vxlan0"}


@pytest.mark.behaviour(
    "a move of the lower device to another network namespace deletes the vxlan device bound to it",
    source=LOWER,
)
@RENAMED_UP
@pytest.mark.control(UNBOUND, change=unbound, because="vxlan0 outlived the move of eth9")
@pytest.mark.topology(catalog.point_to_point, bind="both", hosts=3)
def test_a_moved_lower_device_takes_the_vxlan_device_along(lab):
    lab["a"].run("ip", "link", "set", "eth0", "name", "eth9")
    lab.apply(MoveLink("a", "eth9", "c"))
    assert "vxlan0" not in names(lab, "a"), "vxlan0 outlived the move of eth9"
    assert names(lab, "a") == {"lo"}
    assert "eth9" in names(lab, "c")


@pytest.mark.behaviour(
    "a rename of the lower device leaves the vxlan device working, which shows the new name",
    source=LOWER,
)
@RENAMED_UP
@pytest.mark.control(
    UNBOUND, change=unbound, because="the lower device that vxlan0 shows is None, not eth9"
)
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_a_renamed_lower_device_keeps_the_vxlan_device(lab):
    lab["a"].run("ip", "link", "set", "eth0", "name", "eth9")
    lower = details(lab, "a").get("link")
    assert lower == "eth9", f"the lower device that vxlan0 shows is {lower}, not eth9"
    assert lab["a"].ping("172.18.1.3")


# A vxlan device in another network namespace than the one it was created in.


def move_to_c(lab):
    """Create vxlan0 on a and move it to c, where it gets 172.18.1.2; b has a vxlan0 of its own."""
    a, b = at(lab, "a"), at(lab, "b")
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=a))
    lab.apply(*device("a", id=42, remote=b, local=a, dev="eth0", up=False))
    lab.apply(MoveLink("a", "vxlan0", "c"))
    lab.apply(SetLink("c", "vxlan0", up=True), AddAddress("c", "vxlan0", "172.18.1.2/24"))


CREATED_ON_C = "vxlan0 is created in c's network namespace instead of being moved there from a's"


def created_on_c(operation):
    """A control: in place of its creation on a and its move, vxlan0 is created on c."""
    if isinstance(operation, MoveLink):
        return None
    if isinstance(operation, AddLink) and (operation.node, operation.name) == ("a", "vxlan0"):
        return swap(local=None)(dataclasses.replace(operation, node="c"))
    return operation


def lower_device_deleted(operation):
    """A control: an interface of a is deleted instead of that of another host."""
    return DelLink("a", operation.name) if isinstance(operation, DelLink) else operation


@pytest.mark.behaviour(
    "a vxlan device moved to another network namespace sends and receives by the underlay of the"
    " namespace that it was created in",
    source=SOCKET,
)
@pytest.mark.control(
    CREATED_ON_C, change=created_on_c, because="no packets in both directions at a's eth0"
)
@pytest.mark.topology(bare, hosts=3, family=[4, 6])
def test_a_moved_device_uses_its_first_underlay(lab):
    move_to_c(lab)
    with lab.capture("a:eth0", "c:eth0", ports=PORTS) as seen:
        assert lab["c"].ping("172.18.1.3", timeout=3)
    senders = {row.outer_src for row in seen["a:eth0"].encapsulated()}
    assert senders == {at(lab, "a"), at(lab, "b")}, "no packets in both directions at a's eth0"
    seen["c:eth0"].assert_silent(lambda frame: frame.udp_ports, "UDP in the new namespace")


@pytest.mark.behaviour(
    "the UDP socket of a vxlan device that is moved stays in the network namespace that the device"
    " was created in",
    source=SOCKET,
)
@pytest.mark.control(
    CREATED_ON_C, change=created_on_c, because=r"UDP ports of a: \[\], of c: \[4789\]"
)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_keeps_its_socket_in_its_first_namespace(lab):
    move_to_c(lab)
    a, c = udp_ports(lab, "a")[4], udp_ports(lab, "c")[4]
    assert (a, c) == ([4789], []), f"UDP ports of a: {a}, of c: {c}"


@pytest.mark.behaviour(
    "a vxlan device that was moved is deleted with its lower device in the network namespace that"
    " it was created in",
    source=LOWER,
)
@pytest.mark.control(UNBOUND, change=unbound, because="c's vxlan0 outlived a's eth0")
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_is_deleted_with_its_lower_device(lab):
    move_to_c(lab)
    lab.apply(DelLink("a", "eth0"))
    assert "vxlan0" not in names(lab, "c"), "c's vxlan0 outlived a's eth0"
    assert names(lab, "c") == {"lo", "eth0"}


@pytest.mark.behaviour(
    "a vxlan device that was moved survives the deletion of another interface in its new network"
    " namespace, and still carries traffic",
    source=LOWER,
)
@pytest.mark.control(
    "a's eth0, the lower device of vxlan0, is deleted instead of c's eth0",
    change=lower_device_deleted,
    because="c's vxlan0 was deleted",
)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_survives_an_interface_beside_it(lab):
    move_to_c(lab)
    lab.apply(DelLink("c", "eth0"))
    assert "vxlan0" in names(lab, "c"), "c's vxlan0 was deleted"
    assert lab["c"].ping("172.18.1.3", timeout=3)


@pytest.mark.behaviour(
    "the VNI and UDP port of a vxlan device that was moved are taken in the network namespace that"
    " it was created in, and free in its new one",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vni_in_use(src_net)",
)
@pytest.mark.control(
    CREATED_ON_C,
    change=created_on_c,
    because="-n c link add dev second .*specified VNI already exists",
)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_holds_its_vni_in_its_first_namespace(lab):
    move_to_c(lab)
    lab.apply(*device("c", name="second", id=42), by="netlink")
    with pytest.raises(ApplyError, match="specified VNI already exists") as refused:
        lab.apply(*device("a", name="second", id=42), by="netlink")
    assert refused.value.errno == errno.EEXIST


def dynamic_entries(operation):
    """A control: FDB entries are dynamic, not permanent."""
    if isinstance(operation, AddFdb):
        return dataclasses.replace(operation, state="dynamic")
    return operation


@pytest.mark.behaviour(
    "a move to another network namespace sets a vxlan device down and removes its IP addresses, but"
    " not its MAC and permanent FDB entries",
    source=SOCKET,
)
@pytest.mark.control(
    "the FDB entry of a's vxlan0 is dynamic, not permanent",
    change=dynamic_entries,
    because="the FDB entry of 02:00:00:00:00:09 is gone",
)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_loses_its_addresses_and_keeps_its_entries(lab):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, dev="eth0"))
    lab.apply(AddFdb("a", "vxlan0", "02:00:00:00:00:09", B))
    mac = mac_of(lab, "a")
    lab.apply(MoveLink("a", "vxlan0", "c"))
    found = find_link(lab, "c")
    assert found is not None
    assert (found.mac, found.up) == (mac, False)
    assert not [row for row in lab["c"].state.addresses if row.interface == "vxlan0"]
    fdb = {row.mac for row in lab["c"].state.fdb if row.interface == "vxlan0"}
    assert "02:00:00:00:00:09" in fdb, "the FDB entry of 02:00:00:00:00:09 is gone"
    assert fdb == {"00:00:00:00:00:00", "02:00:00:00:00:09"}


# A vxlan device whose underlay cannot carry what the device sends.


def tx_errors(lab):
    """tx_errors and tx_carrier_errors of a's vxlan0."""
    (link,) = lab["a"].ip("-s", "-s", "link", "show", "vxlan0")
    return link["stats64"]["tx"]["errors"], link["stats64"]["tx"]["carrier_errors"]


def remove_address(lab):
    lab.apply(DelAddress("a", "eth0", lab.topology.host("a").nics[0].address))


def restore_address(lab):
    lab.apply(AddAddress("a", "eth0", lab.topology.host("a").nics[0].address))


def take_eth0_down(lab):
    lab.apply(SetLink("a", "eth0", up=False))


def set_eth0_up(lab):
    lab.apply(SetLink("a", "eth0", up=True))


def change_local(lab):
    lab.apply(SetVxlan("a", "vxlan0", (("local", "192.168.57.99"),)))


def restore_local(lab):
    lab.apply(SetVxlan("a", "vxlan0", (("local", A),)))


def restore_nothing(lab):
    """A control: what was broken stays broken."""


#: How a's vxlan0 loses its way to b, and how it gets it back.
FAULTS = {
    "the-address-of-eth0-is-removed": (remove_address, restore_address),
    "eth0-is-down": (take_eth0_down, set_eth0_up),
    "local-is-no-address-of-the-host": (change_local, restore_local),
}


@pytest.mark.behaviour(
    "an outer packet without a route, or with a source address that the host does not have, counts"
    " as tx_errors and tx_carrier_errors of the vxlan device",
    source=XMIT,
)
@pytest.mark.control(
    "a's underlay address, lower device and `local` stay as they are",
    without=(DelAddress, SetLink, SetVxlan),
    because=r"tx_errors and tx_carrier_errors are \(0, 0\), not \(3, 3\)",
)
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS.values()], ids=FAULTS)
def test_packets_without_a_route_count_as_carrier_errors(lab, fault):
    acquaint(lab)
    assert lab["a"].ping("172.18.1.3")
    assert tx_errors(lab) == (0, 0)
    fault(lab)
    for _ in range(3):
        lab["a"].send_marked("172.18.1.3", b"lost")
    found = tx_errors(lab)
    assert found == (3, 3), f"tx_errors and tx_carrier_errors are {found}, not (3, 3)"


def take_vxlan0_down(lab):
    """A control: vxlan0 is down, as eth0 will be."""
    lab.apply(SetLink("a", "vxlan0", up=False))


@pytest.mark.behaviour(
    "a vxlan device whose lower device is down still shows UP, LOWER_UP and the state UNKNOWN",
    source=XMIT,
)
@pytest.mark.control(
    "a's vxlan0 is down as well as eth0",
    lab=take_vxlan0_down,
    because="the state of vxlan0 is DOWN, not UNKNOWN",
)
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_a_device_stays_up_while_its_lower_device_is_down(lab):
    lab.apply(SetLink("a", "eth0", up=False))
    found = find_link(lab, "a")
    assert found.state == "UNKNOWN", f"the state of vxlan0 is {found.state}, not UNKNOWN"
    assert {"UP", "LOWER_UP"} <= set(found.flags)


@pytest.mark.behaviour(
    "traffic resumes once the underlay address, the lower device or `local` is as it was before",
    source=XMIT,
)
@pytest.mark.control(
    "a's underlay address, lower device or `local` is not restored",
    arguments={"restore": restore_nothing},
    because="waited 8 s for b to answer again",
)
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize(("fault", "restore"), FAULTS.values(), ids=FAULTS)
def test_traffic_resumes_once_the_underlay_is_restored(lab, fault, restore):
    assert lab["a"].ping("172.18.1.3")
    before = tx_errors(lab)
    fault(lab)
    lab["a"].send_marked("172.18.1.3", b"lost")
    assert tx_errors(lab) > before, "a's vxlan0 has counted no error"
    restore(lab)
    wait_until(lambda: lab["a"].ping("172.18.1.3", timeout=0.5), "b to answer again", timeout=8)


def create_after_the_change(lab):
    """A control: eth0 has its smaller MTU before vxlan0 is created."""
    lab.apply(DelLink("a", "vxlan0"), SetLink("a", "eth0", mtu=1400))
    lab.apply(*device("a", id=42, remote=B, dev="eth0"))


@pytest.mark.behaviour(
    "a later, smaller MTU of the lower device does not change the MTU of the vxlan device",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_netdevice_event()",
)
@pytest.mark.control(
    "a's vxlan0 is created after the MTU of eth0 was changed",
    lab=create_after_the_change,
    because="the MTU of vxlan0 is 1350, not 1450",
)
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_a_smaller_mtu_of_the_lower_device_does_not_spread(lab):
    lab.apply(SetLink("a", "eth0", mtu=1400))
    mtu = find_link(lab, "a").mtu
    assert mtu == 1450, f"the MTU of vxlan0 is {mtu}, not 1450"
