"""8.5 A device in use: rename, MAC, MTU and carrier while traffic passes, and a hundred devices.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from absence_tools import on_one_processor
from device_tools import (
    PORTS,
    A,
    B,
    assert_refused,
    bare,
    device,
    find_link,
    mac_of,
    swap,
    udp_ports,
)

from vxlab import ApplyError, catalog, decapsulate, wait_until
from vxlab.operations import AddLink, AddNeighbour, DelLink, SetLink

MTU = "drivers/net/vxlan/vxlan_core.c: vxlan_change_mtu(); net/core/dev.c: dev_validate_mtu()"
OTHER_MAC = "02:00:00:00:99:01"
ACCEPTED = "DID NOT RAISE.*ApplyError"
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def mtu_1400(operation):
    """A control: instead of an MTU that must be refused the device gets 1400."""
    wanted = isinstance(operation, SetLink) and operation.mtu
    return dataclasses.replace(operation, mtu=1400) if wanted else operation


def take_the_name(lab):
    """A control: another interface of a already has the name tunnel7."""
    lab.apply(*device("a", name="tunnel7", up=False, id=7))


@pytest.mark.behaviour(
    "a device may be renamed while it is up, and still carries traffic",
    source="net/core/dev.c: netif_change_name()",
)
@pytest.mark.known_difference("K59", until="6.12")
@pytest.mark.control(
    "another interface of a has the new name",
    lab=take_the_name,
    because="name tunnel7.*File exists",
)
@pytest.mark.topology(catalog.point_to_point())
def test_a_renamed_device_still_carries_traffic(lab):
    assert lab["a"].ping("172.18.1.3", timeout=2)
    index = find_link(lab, "a").index
    lab["a"].run("ip", "link", "set", "vxlan0", "name", "tunnel7")
    assert find_link(lab, "a", "tunnel7").index == index
    assert lab["a"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "the MAC of a device may be changed while it is up, and the remote VTEP learns the new MAC",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_ether_setup(), IFF_LIVE_ADDR_CHANGE",
)
@pytest.mark.control(
    "the change of the MAC is left out", without=SetLink, because=f"{OTHER_MAC} is not in b's FDB"
)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
def test_a_changed_mac_is_learned(lab, by):
    assert lab["a"].ping("172.18.1.3")
    lab.apply(SetLink("a", "vxlan0", mac=OTHER_MAC), by=by)
    assert lab["a"].ping("172.18.1.3")
    learned = {row.mac: row.dst for row in lab["b"].state.fdb if row.interface == "vxlan0"}
    assert OTHER_MAC in learned, f"{OTHER_MAC} is not in b's FDB: {learned}"
    assert learned[OTHER_MAC] == A


@pytest.mark.behaviour(
    "a change of a device's MAC to a multicast address is refused",
    source="net/ethernet/eth.c: eth_prepare_mac_addr_change()",
)
@pytest.mark.control("the change of the MAC is left out", without=SetLink, because=ACCEPTED)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
def test_a_change_to_a_multicast_mac_is_refused(lab, by):
    with pytest.raises(ApplyError, match="Cannot assign requested address") as refused:
        lab.apply(SetLink("a", "vxlan0", mac="01:00:5e:00:00:01"), by=by)
    assert refused.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.behaviour(
    "a change to an MTU larger than the lower device can carry is refused", source=MTU
)
@pytest.mark.control("the MTU is changed to 1400 instead", change=mtu_1400, because=ACCEPTED)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@BOTH
def test_a_change_to_an_mtu_too_large_for_the_lower_device_is_refused(lab, by):
    largest = 1500 - (50 if "." in lab.topology.host("a").nics[0].ip else 70)
    with pytest.raises(ApplyError, match="Invalid argument") as refused:
        lab.apply(SetLink("a", "vxlan0", mtu=largest + 1), by=by)
    assert refused.value.errno == errno.EINVAL
    lab.apply(SetLink("a", "vxlan0", mtu=largest), by=by)


@pytest.mark.behaviour(
    "a change to an MTU below 68 or above 65535 is refused with a reason", source=MTU
)
@pytest.mark.control("the MTU is changed to 1400 instead", change=mtu_1400, because=ACCEPTED)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
@pytest.mark.parametrize(
    ("mtu", "words"),
    [(67, "mtu less than device minimum"), (65536, "mtu greater than device maximum")],
)
def test_a_change_to_an_mtu_out_of_range_is_refused(lab, mtu, words, by):
    with pytest.raises(ApplyError) as refused:
        lab.apply(SetLink("a", "vxlan0", mtu=mtu), by=by)
    assert_refused(refused, by, errno.EINVAL, words)


@pytest.mark.behaviour("a device without a lower device accepts an MTU of 65535", source=MTU)
@pytest.mark.control(
    "a's device has the lower device eth0",
    vteps={"a": {"dev": True}},
    because="mtu 65535: Invalid argument",
)
@pytest.mark.topology(catalog.point_to_point, bind="none")
def test_a_device_without_a_lower_device_accepts_the_largest_mtu(lab):
    lab.apply(SetLink("a", "vxlan0", mtu=65535))
    assert find_link(lab, "a").mtu == 65535


@pytest.mark.behaviour(
    "a device that is up shows the state UNKNOWN, and a device that is down the state DOWN",
    source="net/core/link_watch.c: default_operstate(); RFC 2863",
)
@pytest.mark.control(
    "the device is not taken down", without=SetLink, because="the state is UNKNOWN, not DOWN"
)
@pytest.mark.topology(catalog.point_to_point())
def test_the_state_is_unknown_while_up_and_down_while_down(lab):
    assert find_link(lab, "a").state == "UNKNOWN"
    lab.apply(SetLink("a", "vxlan0", up=False))
    state = find_link(lab, "a").state
    assert state == "DOWN", f"the state is {state}, not DOWN"


def give_a_protodown_reason(lab):
    """A control: a has a reason for protodown, with which the kernel does not take it back."""
    lab["a"].run("ip", "link", "set", "vxlan0", "protodown_reason", "0", "on")


@pytest.mark.behaviour(
    "`protodown on` takes a device's carrier and stops its traffic, and `protodown off` restores"
    " both",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_setup(), change_proto_down",
)
@pytest.mark.control(
    "a's device has a protodown reason, with which `protodown off` is refused",
    lab=give_a_protodown_reason,
    because="protodown off.*active reasons",
)
@pytest.mark.topology(catalog.point_to_point())
def test_protodown_stops_traffic(lab):
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.3", mac_of(lab, "b")))  # so nothing has to wait
    with lab.capture("b:vxlan0") as seen:
        lab["a"].send_marked("172.18.1.3", b"before")
        seen["b:vxlan0"].wait_for_payload(b"before")
        lab["a"].run("ip", "link", "set", "vxlan0", "protodown", "on")
        wait_until(lambda: find_link(lab, "a").state == "DOWN", "vxlan0 to lose its carrier")
        lab["a"].send_marked("172.18.1.3", b"meanwhile")
        lab["a"].run("ip", "link", "set", "vxlan0", "protodown", "off")
        wait_until(lambda: find_link(lab, "a").state == "UP", "vxlan0 to have its carrier again")
        lab["a"].send_marked("172.18.1.3", b"after")
        seen["b:vxlan0"].wait_for_payload(b"after")
    assert seen["b:vxlan0"].was_live, seen["b:vxlan0"].proof
    assert seen["b:vxlan0"].payloads() == [b"before", b"after"]


@pytest.mark.behaviour(
    "`ethtool` shows the speed of the lower device as that of the vxlan device",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_get_link_ksettings()",
)
@pytest.mark.control(
    "a's device has no lower device",
    vteps={"a": {"dev": False}},
    because="eth0 has Speed: .*, vxlan0 has Speed: Unknown",
)
@pytest.mark.requires("ethtool")
@pytest.mark.topology(catalog.point_to_point, bind="both")
def test_the_speed_is_that_of_the_lower_device(lab):
    def speed(interface):
        lines = lab["a"].run("ethtool", interface).stdout.splitlines()
        (line,) = [line.strip() for line in lines if "Speed:" in line]
        return line

    lower, upper = speed("eth0"), speed("vxlan0")
    assert upper == lower, f"eth0 has {lower}, vxlan0 has {upper}"
    assert "driver: vxlan" in lab["a"].run("ethtool", "-i", "vxlan0").stdout


def create_a_hundred(lab):
    """Create a hundred devices on a and as many on b, with the VNIs 1 to 100 and a subnet each."""
    for node, other, last in (("a", B, 2), ("b", A, 3)):
        for vni in range(1, 101):
            address = f"10.0.{vni}.{last}/24"
            lab.apply(*device(node, address, name=f"vxlan{vni}", id=vni, remote=other))


def another_vni_for_the_50th(operation):
    """A control: b's device vxlan50 has VNI 150."""
    one = isinstance(operation, AddLink) and (operation.node, operation.name) == ("b", "vxlan50")
    return swap(id=150)(operation) if one else operation


@pytest.mark.behaviour(
    "a hundred devices share one UDP socket, and each reaches the device of its VNI on the other"
    " host",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()",
)
@pytest.mark.control(
    "b's device vxlan50 has VNI 150",
    change=another_vni_for_the_50th,
    because=r"VNIs without an answer: \[50\]",
)
@pytest.mark.slow
@pytest.mark.topology(bare())
def test_each_of_a_hundred_devices_reaches_its_peer(lab):
    create_a_hundred(lab)
    assert udp_ports(lab, "a")[4] == [4789]
    silent = [vni for vni in range(1, 101) if not lab["a"].ping(f"10.0.{vni}.3", timeout=3)]
    assert silent == [], f"VNIs without an answer: {silent}"


@pytest.mark.behaviour(
    "deleting some of many devices leaves the others their shared socket and their traffic",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_sock_release_prep()",
)
@pytest.mark.control(
    "b's device vxlan50 has VNI 150",
    change=another_vni_for_the_50th,
    because="vxlan50, which was not deleted, carries no traffic",
)
@pytest.mark.slow
@pytest.mark.topology(bare())
def test_deleting_some_of_a_hundred_leaves_the_others(lab):
    create_a_hundred(lab)
    lab.apply(*(DelLink("a", f"vxlan{vni}") for vni in (1, 49, 51, 100)))
    assert udp_ports(lab, "a")[4] == [4789]
    answered = lab["a"].ping("10.0.50.3", timeout=3)
    assert answered, "vxlan50, which was not deleted, carries no traffic"
    with on_one_processor(), lab.capture("b:eth0", ports=PORTS) as seen:
        lab["b"].send_marked("10.0.51.2", b"asks for the MAC")
        seen["b:eth0"].wait_for(of_vni_51(outgoing=True), "b's ARP request in VNI 51")
        assert lab["b"].ping("10.0.50.2")  # by the same way, and later
    seen["b:eth0"].assert_silent(of_vni_51(outgoing=False), "packet of a in VNI 51")


def of_vni_51(*, outgoing):
    """A predicate: a packet in VNI 51 that b has sent, or received."""

    def look(frame):
        tunnel = decapsulate(frame, PORTS)
        return tunnel is not None and tunnel.vni == 51 and frame.outgoing == outgoing

    return look
