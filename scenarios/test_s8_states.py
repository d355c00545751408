"""8.5 Names, MAC, MTU and carrier while traffic goes on, and a hundred devices at once.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from device_tools import A, B, assert_refused, bare, device, link_of, swap, udp_ports

from vxlab import ApplyError, catalog, wait_until
from vxlab.operations import AddLink, DelLink, SetLink

MTU = "drivers/net/vxlan/vxlan_core.c: vxlan_change_mtu(); net/core/dev.c: dev_validate_mtu()"
OTHER_MAC = "02:00:00:00:99:01"


def left_alone(operation):
    """A control: nothing about a's device is changed."""
    if not isinstance(operation, SetLink):
        return operation
    return None if operation.mac or operation.up is False else operation


def at_most_1400(operation):
    """A control: in place of an MTU that must be refused, one that is fine."""
    wanted = isinstance(operation, SetLink) and operation.mtu
    return dataclasses.replace(operation, mtu=1400) if wanted else operation


@pytest.mark.behaviour(
    "a device may be renamed while it is up, and goes on working",
    source="net/core/dev.c: netif_change_name()",
)
@pytest.mark.known_difference("K59", until="6.12")
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}}, because="ping")
@pytest.mark.topology(catalog.point_to_point())
def test_a_renamed_device_goes_on_working(lab):
    assert lab["a"].ping("172.18.1.3", timeout=2)
    index = link_of(lab, "a").index
    lab["a"].run("ip", "link", "set", "vxlan0", "name", "tunnel7")
    assert link_of(lab, "a", "tunnel7").index == index
    assert lab["a"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "a MAC may be changed while the device is up, and the far end learns the new one",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_ether_setup(), IFF_LIVE_ADDR_CHANGE",
)
@pytest.mark.control("it is not changed", change=left_alone, because=OTHER_MAC)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_changed_mac_is_learned(lab, by):
    assert lab["a"].ping("172.18.1.3")
    lab.apply(SetLink("a", "vxlan0", mac=OTHER_MAC), by=by)
    assert lab["a"].ping("172.18.1.3")
    learned = {row.mac: row.dst for row in lab["b"].state.fdb if row.interface == "vxlan0"}
    assert learned.get(OTHER_MAC) == A, f"{OTHER_MAC} is not in {learned}"


@pytest.mark.behaviour(
    "a MAC that is no unicast address is refused later too",
    source="net/ethernet/eth.c: eth_prepare_mac_addr_change()",
)
@pytest.mark.control("it is not changed", change=left_alone, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_device_cannot_get_the_mac_of_a_group(lab, by):
    with pytest.raises(ApplyError, match="Cannot assign requested address") as refused:
        lab.apply(SetLink("a", "vxlan0", mac="01:00:5e:00:00:01"), by=by)
    assert refused.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.behaviour("an MTU that the card cannot carry is refused later", source=MTU)
@pytest.mark.control("it is a smaller one", change=at_most_1400, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_an_mtu_too_large_for_the_card_is_refused(lab, by):
    largest = 1500 - (50 if "." in lab.topology.host("a").nics[0].ip else 70)
    with pytest.raises(ApplyError, match="Invalid argument") as refused:
        lab.apply(SetLink("a", "vxlan0", mtu=largest + 1), by=by)
    assert refused.value.errno == errno.EINVAL
    lab.apply(SetLink("a", "vxlan0", mtu=largest), by=by)


@pytest.mark.behaviour("an MTU that no device can have is refused with a reason", source=MTU)
@pytest.mark.control("it is 1400", change=at_most_1400, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize(
    ("mtu", "words"),
    [(67, "mtu less than device minimum"), (65536, "mtu greater than device maximum")],
)
def test_an_mtu_of_no_device_is_refused(lab, mtu, words, by):
    with pytest.raises(ApplyError) as refused:
        lab.apply(SetLink("a", "vxlan0", mtu=mtu), by=by)
    assert_refused(refused, by, errno.EINVAL, words)


@pytest.mark.behaviour("a device without a card takes any MTU up to 65535", source=MTU)
@pytest.mark.control("it is 1400", change=at_most_1400, because="1400")
@pytest.mark.topology(catalog.point_to_point, bind="none")
def test_a_device_without_a_card_takes_any_mtu(lab):
    lab.apply(SetLink("a", "vxlan0", mtu=65535))
    assert link_of(lab, "a").mtu == 65535


@pytest.mark.behaviour(
    "a device that is up shows the state UNKNOWN, and one that is down DOWN",
    source="net/core/link_watch.c: default_operstate(); RFC 2863",
)
@pytest.mark.control("it is not taken down", change=left_alone, because="UNKNOWN")
@pytest.mark.topology(catalog.point_to_point())
def test_the_state_follows_up_and_down(lab):
    assert link_of(lab, "a").state == "UNKNOWN"
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert link_of(lab, "a").state == "DOWN"


@pytest.mark.behaviour(
    "protodown takes the carrier, and with it the traffic, and gives both back",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_setup(), change_proto_down",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}}, because="ping")
@pytest.mark.topology(catalog.point_to_point())
def test_protodown_stops_the_device(lab):
    assert lab["a"].ping("172.18.1.3", timeout=2)
    lab["a"].run("ip", "link", "set", "vxlan0", "protodown", "on")
    wait_until(lambda: link_of(lab, "a").state == "DOWN", "vxlan0 to lose its carrier")
    assert not lab["a"].ping("172.18.1.3", timeout=0.3)
    lab["a"].run("ip", "link", "set", "vxlan0", "protodown", "off")
    wait_until(lambda: link_of(lab, "a").state == "UP", "vxlan0 to have its carrier again")
    assert lab["a"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "the speed that ethtool shows is that of the card",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_get_link_ksettings()",
)
@pytest.mark.control(
    "the device is bound to no card", vteps={"a": {"dev": False}}, because="Unknown"
)
@pytest.mark.requires("ethtool")
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_the_speed_is_that_of_the_card(lab):
    found = lab["a"].run("ethtool", "vxlan0").stdout
    card = lab["a"].run("ethtool", "eth0").stdout
    (speed,) = [line for line in card.splitlines() if "Speed:" in line]
    assert speed in found.splitlines()
    assert "driver: vxlan" in lab["a"].run("ethtool", "-i", "vxlan0").stdout


def hundred(lab):
    """A hundred devices on a and as many on b, VNIs 1 to 100, a subnet each."""
    for node, other, last in (("a", B, 2), ("b", A, 3)):
        for vni in range(1, 101):
            address = f"10.0.{vni}.{last}/24"
            lab.apply(*device(node, address, name=f"vxlan{vni}", id=vni, remote=other))


def not_the_50th(operation):
    one = isinstance(operation, AddLink) and (operation.node, operation.name) == ("b", "vxlan50")
    return swap(id=150)(operation) if one else operation


@pytest.mark.behaviour(
    "a hundred devices share one socket, and each reaches its own peer",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()",
)
@pytest.mark.control("one of b's has another VNI", change=not_the_50th, because="50")
@pytest.mark.slow
@pytest.mark.topology(bare())
def test_a_hundred_devices_work_side_by_side(lab):
    hundred(lab)
    assert udp_ports(lab, "a")[4] == [4789]
    deaf = [vni for vni in range(1, 101) if not lab["a"].ping(f"10.0.{vni}.3", timeout=3)]
    assert deaf == []


@pytest.mark.behaviour(
    "deleting some devices of many leaves the others their socket and their traffic",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_sock_release_prep()",
)
@pytest.mark.control("one of b's has another VNI", change=not_the_50th, because="10.0.50.3")
@pytest.mark.slow
@pytest.mark.topology(bare())
def test_deleting_some_of_a_hundred_leaves_the_others(lab):
    hundred(lab)
    lab.apply(*(DelLink("a", f"vxlan{vni}") for vni in (1, 49, 51, 100)))
    assert udp_ports(lab, "a")[4] == [4789]
    assert lab["a"].ping("10.0.50.3", timeout=3)
    assert not lab["b"].ping("10.0.51.2", timeout=0.3)
