"""8.6 The card below: a device lives and dies with it, also from another namespace.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c

`local` and `dev` bind a's device to its card; c has no device, and takes a's where a test says so.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from address_tools import acquaint
from device_tools import PORTS, A, B, at, bare, details, device, link_of, mac_of, swap_at, udp_ports

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

NETDEV = "drivers/net/vxlan/vxlan_core.c: vxlan_handle_lowerdev_unregister()"
SOCKET = "drivers/net/vxlan/vxlan_core.c: vxlan_sock_add(), vxlan->net"
XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), tx_error"
PAIR = {"family": [4, 6], "bind": "both"}


def unbound(operation):
    """A device that is not bound to its card."""
    if not isinstance(operation, AddLink) or operation.kind != "vxlan":
        return operation
    kept = tuple((name, value) for name, value in operation.attributes if name != "dev")
    return dataclasses.replace(operation, attributes=kept)


UP = pytest.mark.known_difference("K59", until="6.12")  # renames no card that is up


def names(lab, node):
    return {link.name for link in lab[node].state.links}


@pytest.mark.behaviour("deleting the card deletes the vxlan device bound to it", source=NETDEV)
@pytest.mark.control("the device is not bound", change=unbound, because="vxlan0")
@pytest.mark.topology(catalog.point_to_point, **PAIR)
def test_deleting_the_card_deletes_the_device(lab):
    lab.apply(DelLink("a", "eth0"))
    assert names(lab, "a") == {"lo"}


@pytest.mark.behaviour("a device that is bound to no card survives the card", source=NETDEV)
@pytest.mark.control("it is bound", vteps={"a": {"dev": True}}, because="vxlan0")
@pytest.mark.topology(catalog.point_to_point, bind="none")
def test_a_device_without_a_card_survives_it(lab):
    lab.apply(DelLink("a", "eth0"))
    assert names(lab, "a") == {"lo", "vxlan0"}


@pytest.mark.behaviour("a card that moves away deletes the vxlan device bound to it", source=NETDEV)
@UP
@pytest.mark.control("the device is not bound", change=unbound, because="vxlan0")
@pytest.mark.topology(catalog.point_to_point, bind="both", hosts=3)
def test_a_card_that_moves_away_deletes_the_device(lab):
    lab["a"].run("ip", "link", "set", "eth0", "name", "eth9")
    lab.apply(MoveLink("a", "eth9", "c"))
    assert names(lab, "a") == {"lo"}
    assert "eth9" in names(lab, "c")


@pytest.mark.behaviour(
    "a renamed card keeps its vxlan device, which shows the new name", source=NETDEV
)
@UP
@pytest.mark.control("the device is not bound", change=unbound, because="None")
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_a_renamed_card_keeps_its_device(lab):
    lab["a"].run("ip", "link", "set", "eth0", "name", "eth9")
    assert details(lab, "a").get("link") == "eth9"
    assert lab["a"].ping("172.18.1.3")


# A device that moves: vxlan0 of a goes to c, which has an underlay of its own and no device.


def moved(lab):
    """A device made on a, and moved to c; b has its own."""
    a, b = at(lab, "a"), at(lab, "b")
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=a))
    lab.apply(*device("a", id=42, remote=b, local=a, dev="eth0", up=False))
    lab.apply(MoveLink("a", "vxlan0", "c"))
    lab.apply(SetLink("c", "vxlan0", up=True), AddAddress("c", "vxlan0", "172.18.1.2/24"))


def at_a(operation):
    """A control: a's card is deleted, in place of another's."""
    return DelLink("a", operation.name) if isinstance(operation, DelLink) else operation


@pytest.mark.behaviour(
    "a moved device goes on sending and receiving by its first home", source=SOCKET
)
@pytest.mark.control("b's device has VNI 43", change=swap_at("b", id=43), because="ping")
@pytest.mark.topology(bare, hosts=3, family=[4, 6])
def test_a_moved_device_works_by_its_first_home(lab):
    moved(lab)
    with lab.capture("a:eth0", "c:eth0", ports=PORTS) as seen:
        assert lab["c"].ping("172.18.1.3", timeout=3)
    assert {row.outer_src for row in seen["a:eth0"].encapsulated()} == {at(lab, "a"), at(lab, "b")}
    seen["c:eth0"].assert_silent(lambda frame: frame.udp_ports, "UDP at the new home")


@pytest.mark.behaviour("a moved device's socket stays in its first namespace", source=SOCKET)
@pytest.mark.control("it is not moved", without=MoveLink)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_has_its_socket_in_its_first_home(lab):
    moved(lab)
    assert (udp_ports(lab, "a")[4], udp_ports(lab, "c")[4]) == ([4789], [])


@pytest.mark.behaviour("a moved device dies with the card in its first namespace", source=NETDEV)
@pytest.mark.control("the device is not bound", change=unbound, because="vxlan0")
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_dies_with_its_first_card(lab):
    moved(lab)
    lab.apply(DelLink("a", "eth0"))
    assert names(lab, "c") == {"lo", "eth0"}


@pytest.mark.behaviour(
    "a moved device does not care for a card in its new namespace", source=NETDEV
)
@pytest.mark.control("its own card is deleted", change=at_a, because="172.18.1.3")
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_survives_a_card_at_its_new_home(lab):
    moved(lab)
    lab.apply(DelLink("c", "eth0"))
    assert lab["c"].ping("172.18.1.3", timeout=3)


@pytest.mark.behaviour(
    "its VNI and port stay taken in the first namespace, and are free in the new one",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vni_in_use(src_net)",
)
@pytest.mark.control("the device is not moved", without=MoveLink)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_holds_its_vni_at_its_first_home(lab):
    moved(lab)
    lab.apply(*device("c", name="second", id=42), by="netlink")
    with pytest.raises(ApplyError, match="specified VNI already exists") as refused:
        lab.apply(*device("a", name="second", id=42), by="netlink")
    assert refused.value.errno == errno.EEXIST


@pytest.mark.behaviour(
    "a move takes the addresses, and keeps MAC and permanent entries", source=SOCKET
)
@pytest.mark.control("it is not moved", without=MoveLink)
@pytest.mark.topology(bare, hosts=3)
def test_a_moved_device_loses_its_addresses_and_keeps_its_entries(lab):
    lab.apply(*device("a", "172.18.1.2/24", id=42, remote=B, dev="eth0"))
    lab.apply(AddFdb("a", "vxlan0", "02:00:00:00:00:09", B))
    mac = mac_of(lab, "a")
    lab.apply(MoveLink("a", "vxlan0", "c"))
    found = link_of(lab, "c")
    assert found is not None
    assert (found.mac, found.up) == (mac, False)
    assert not [row for row in lab["c"].state.addresses if row.interface == "vxlan0"]
    fdb = {row.mac for row in lab["c"].state.fdb if row.interface == "vxlan0"}
    assert fdb == {"00:00:00:00:00:00", "02:00:00:00:00:09"}


# What a device counts while its card cannot carry what it sends.


def carrier_errors(lab):
    (link,) = lab["a"].ip("-s", "-s", "link", "show", "vxlan0")
    return link["stats64"]["tx"]["errors"], link["stats64"]["tx"]["carrier_errors"]


def cut_address(lab):
    local = lab.topology.host("a").nics[0].address
    lab.apply(DelAddress("a", "eth0", local))


def cut_card(lab):
    lab.apply(SetLink("a", "eth0", up=False))


def cut_local(lab):
    lab.apply(SetVxlan("a", "vxlan0", (("local", "192.168.57.99"),)))


def mend_address(lab):
    lab.apply(AddAddress("a", "eth0", lab.topology.host("a").nics[0].address))


def mend_card(lab):
    lab.apply(SetLink("a", "eth0", up=True))


def mend_local(lab):
    lab.apply(SetVxlan("a", "vxlan0", (("local", A),)))


def both_down(lab):
    lab.apply(SetLink("a", "vxlan0", up=False))


def never_again(operation):
    back = isinstance(operation, AddAddress) or (isinstance(operation, SetLink) and operation.up)
    back |= isinstance(operation, SetVxlan) and operation.attributes == (("local", A),)
    return None if back else operation


def smaller_first(lab):
    lab.apply(DelLink("a", "vxlan0"), SetLink("a", "eth0", mtu=1400))
    lab.apply(*device("a", id=42, remote=B, dev="eth0"))


CUTS = {
    "its-address-is-taken-away": (cut_address, mend_address),
    "its-card-is-down": (cut_card, mend_card),
    "its-local-address-is-nobodys": (cut_local, mend_local),
}


@pytest.mark.behaviour("what finds no way counts as tx_errors and tx_carrier_errors", source=XMIT)
@pytest.mark.control(
    "all is as it was", without=(DelAddress, SetLink, SetVxlan), because=r"\(0, 0\)"
)
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize("cut", CUTS)
def test_a_device_counts_carrier_errors_while(lab, cut):
    acquaint(lab)
    assert lab["a"].ping("172.18.1.3")
    assert carrier_errors(lab) == (0, 0)
    CUTS[cut][0](lab)
    for _ in range(3):
        lab["a"].send_marked("172.18.1.3", b"lost")
    assert carrier_errors(lab) == (3, 3)


@pytest.mark.behaviour("a device never shows that its card has gone down", source=XMIT)
@pytest.mark.control("the device is taken down too", lab=both_down, because="DOWN")
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_a_device_stays_up_over_a_card_that_is_down(lab):
    lab.apply(SetLink("a", "eth0", up=False))
    found = link_of(lab, "a")
    assert found.state == "UNKNOWN"
    assert {"UP", "LOWER_UP"} <= set(found.flags)


@pytest.mark.behaviour("traffic returns once the card and its address are back", source=XMIT)
@pytest.mark.control("they do not come back", change=never_again, because="ping")
@pytest.mark.topology(catalog.point_to_point, bind="both")
@pytest.mark.parametrize("cut", CUTS)
def test_traffic_returns_after(lab, cut):
    assert lab["a"].ping("172.18.1.3")
    break_it, mend = CUTS[cut]
    break_it(lab)
    assert not lab["a"].ping("172.18.1.3", timeout=0.3)
    mend(lab)
    wait_until(lambda: lab["a"].ping("172.18.1.3", timeout=0.5), "a ping to be answered", timeout=8)


@pytest.mark.behaviour(
    "a smaller MTU of the card does not reach the device on it",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_netdevice_event()",
)
@pytest.mark.control("the device is made after the change", lab=smaller_first)
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_a_smaller_mtu_of_the_card_does_not_reach_the_device(lab):
    lab.apply(SetLink("a", "eth0", mtu=1400))
    assert link_of(lab, "a").mtu == 1450
