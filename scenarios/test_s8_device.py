"""8.4 Several devices on one host: names, VNIs, UDP sockets, and what survives down and up.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0
"""

from __future__ import annotations

import dataclasses
import errno
import socket

import pytest
from address_tools import acquaint
from device_tools import (
    ANY_MAC,
    B,
    assert_refused,
    bare,
    device,
    find_link,
    mac_of,
    swap,
    udp_ports,
)

from vxlab import ApplyError, catalog
from vxlab.operations import AddFdb, AddLink, DelLink, SetLink

IN_USE = "drivers/net/vxlan/vxlan_core.c: vxlan_vni_in_use()"
SOCKETS = "drivers/net/vxlan/vxlan_core.c: __vxlan_sock_add(), vxlan_sock_release()"
STOP = "drivers/net/vxlan/vxlan_core.c: vxlan_stop(), vxlan_flush()"
EXISTS = "A VXLAN device with the specified VNI already exists"
SECOND_EXISTS = f"link add dev second .*{EXISTS}"
ACCEPTED = "DID NOT RAISE.*ApplyError"
BOTH = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def second_differs(operation):
    """A control: the second device has another VNI, port and name than the first."""
    if isinstance(operation, AddLink) and not operation.index:  # the lab's own devices have one
        return AddLink("a", "other", "vxlan", 0, (("id", 99), ("dstport", 9999)))
    return operation


@pytest.mark.behaviour(
    "a second device with the same VNI and UDP port is refused, also with another remote, lower"
    " device or local address",
    source=IN_USE,
)
@pytest.mark.control(
    "the second device has another VNI, UDP port and name", change=second_differs, because=ACCEPTED
)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="nothing-else"),
        pytest.param({"remote": "192.168.57.99"}, id="another-remote"),
        pytest.param({"dev": "lo"}, id="another-lower-device"),
        pytest.param({"local": "192.168.57.99"}, id="another-local"),
    ],
)
def test_a_second_device_with_the_same_vni_and_port_is_refused(lab, more, by):
    (second,) = device("a", name="second", up=False, id=42, **more)
    with pytest.raises(ApplyError) as refused:
        lab.apply(second, by=by)
    assert_refused(refused, by, errno.EEXIST, EXISTS)


def second_is_like_the_first(operation):
    """A control: the second device has the VNI, port, family and flags of the first."""
    if isinstance(operation, AddLink) and operation.name == "second":
        return AddLink("a", "second", "vxlan", 0, (("id", 42), ("dstport", 4789)))
    return operation


@pytest.mark.behaviour(
    "two devices may have the same VNI where they differ in UDP port, address family or receive"
    " flags",
    source=IN_USE,
)
@pytest.mark.control(
    "the second device has the UDP port, address family and receive flags of the first",
    change=second_is_like_the_first,
    because=SECOND_EXISTS,
)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"dstport": 14789}, id="port"),
        pytest.param({"remote": "fd00::9"}, id="family"),
        pytest.param({"gbp": True}, id="receive-flags"),
    ],
)
def test_the_same_vni_is_accepted_with_a_difference(lab, more, by):
    lab.apply(*device("a", name="second", up=False, id=42, **more), by=by)
    assert find_link(lab, "a", "second").attributes["id"] == 42


@pytest.mark.behaviour(
    "a device with the name of an existing device is refused",
    source="net/core/rtnetlink.c: rtnl_newlink()",
)
@pytest.mark.control(
    "the second device has a name that is free", change=second_differs, because=ACCEPTED
)
@pytest.mark.topology(catalog.point_to_point())
@BOTH
def test_the_name_of_an_existing_device_is_refused(lab, by):
    with pytest.raises(ApplyError, match="File exists") as refused:
        lab.apply(*device("a", up=False, id=43), by=by)
    assert refused.value.errno == errno.EEXIST


@pytest.mark.behaviour(
    "devices with link-local addresses may have the same VNI and UDP port where their lower"
    " devices differ",
    source=IN_USE + ", VXLAN_F_IPV6_LINKLOCAL",
)
@pytest.mark.control(
    "all devices have the lower device eth0", change=swap(dev="eth0"), because=SECOND_EXISTS
)
@pytest.mark.topology(bare, family=6, hosts=1)
def test_link_local_devices_may_differ_in_their_lower_device(lab):
    link_local = {"local": "fe80::1", "remote": "fe80::2", "id": 42}
    lab.apply(*device("a", name="first", dev="eth0", **link_local))
    lab.apply(*device("a", name="second", dev="lo", **link_local))
    assert find_link(lab, "a", "first").attributes["id"] == 42
    with pytest.raises(ApplyError, match=EXISTS):
        lab.apply(*device("a", name="third", dev="eth0", **link_local))


# The UDP socket.


@pytest.mark.behaviour(
    "the UDP port of a vxlan device is open only while the device is up", source=SOCKETS
)
@pytest.mark.control(
    "the device is not taken down",
    without=SetLink,
    because="the UDP port is open while the device is down",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], port=[4789, 8472, 14789])
def test_the_port_is_open_while_the_device_is_up(lab):
    port = next(iter(lab.topology.ports))
    family = lab.topology.host("a").nics[0].interface.version
    assert udp_ports(lab, "a") == {4: [], 6: [], family: [port]}
    lab.apply(SetLink("a", "vxlan0", up=False))
    closed = {4: [], 6: []}
    assert udp_ports(lab, "a") == closed, "the UDP port is open while the device is down"
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert udp_ports(lab, "a")[family] == [port]


def second_on_another_port(operation):
    """A control: the second device has the UDP port 14789."""
    second = isinstance(operation, AddLink) and operation.name == "second"
    return swap(dstport=14789)(operation) if second else operation


@pytest.mark.behaviour(
    "devices on one UDP port share one socket until the last of them is deleted", source=SOCKETS
)
@pytest.mark.control(
    "the second device has the UDP port 14789",
    change=second_on_another_port,
    because="the UDP sockets are those of the ports 4789, 14789",
)
@pytest.mark.topology(catalog.point_to_point())
def test_two_devices_share_a_socket(lab):
    lab.apply(*device("a", name="second", id=43))
    ports = udp_ports(lab, "a")[4]
    assert ports == [4789], f"the UDP sockets are those of the ports {', '.join(map(str, ports))}"
    lab.apply(DelLink("a", "vxlan0"))
    assert udp_ports(lab, "a")[4] == [4789]
    lab.apply(DelLink("a", "second"))
    assert udp_ports(lab, "a")[4] == []


@pytest.mark.behaviour(
    "a device cannot be set up while a program has the device's UDP port", source=SOCKETS
)
@pytest.mark.control(
    "the device has the UDP port 14789, the program 4789",
    change=swap(dstport=14789),
    because=ACCEPTED,
)
@pytest.mark.topology(bare, hosts=1)
@BOTH
def test_a_device_cannot_be_set_up_while_its_port_is_in_use(lab, by):
    lab.apply(*device("a", up=False, id=42))
    with lab["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 4789))
        with pytest.raises(ApplyError, match="Address already in use") as refused:
            lab.apply(SetLink("a", "vxlan0", up=True), by=by)
    assert refused.value.errno == errno.EADDRINUSE
    lab.apply(SetLink("a", "vxlan0", up=True), by=by)
    assert udp_ports(lab, "a")[4] == [4789]


@pytest.mark.behaviour(
    "a device cannot be set up while a device with other receive flags has its UDP port",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_find_sock(), VXLAN_F_RCV_FLAGS",
)
@pytest.mark.control(
    "the second device has the UDP port 14789, the first 4789",
    change=second_on_another_port,
    because=ACCEPTED,
)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("flag", ["gbp", "external", "remcsumrx", "udp6zerocsumrx"])
def test_devices_with_other_receive_flags_do_not_share_a_port(lab, flag):
    lab.apply(*device("a", name="second", up=False, **{flag: True}), by="netlink")
    with pytest.raises(ApplyError) as refused:
        lab.apply(SetLink("a", "second", up=True), by="netlink")
    assert refused.value.errno == errno.EADDRINUSE


# What survives down and up.

PERMANENT, STATIC = "02:00:00:00:00:01", "02:00:00:00:00:02"
DYNAMIC, EXTERNAL = "02:00:00:00:00:03", "02:00:00:00:00:04"
ENTRIES = {
    PERMANENT: {"state": "permanent"},
    STATIC: {"state": "static"},
    DYNAMIC: {"state": "dynamic"},
    EXTERNAL: {"state": "dynamic", "flags": ("self", "extern_learn")},
}


def fdb_macs(lab):
    """The MACs in the FDB of a's vxlan0, without that of the default entry."""
    return {row.mac for row in lab["a"].state.fdb if row.interface == "vxlan0"} - {ANY_MAC}


@pytest.mark.behaviour(
    "taking a device down deletes learned and dynamic FDB entries, and keeps permanent and static"
    " ones",
    source=STOP,
)
@pytest.mark.control(
    "the device is not taken down",
    without=SetLink,
    because=f"FDB entries that were not deleted: {DYNAMIC}, {EXTERNAL}, 02:76:78:",
)
@pytest.mark.topology(catalog.point_to_point())
def test_down_deletes_learned_and_dynamic_entries(lab):
    assert lab["a"].ping("172.18.1.3")
    for mac, fields in ENTRIES.items():
        lab.apply(AddFdb("a", "vxlan0", mac, B, **fields))
    assert fdb_macs(lab) == {*ENTRIES, mac_of(lab, "b")}
    lab.apply(SetLink("a", "vxlan0", up=False))
    found = fdb_macs(lab)
    not_deleted = sorted(found - {PERMANENT, STATIC})
    assert not not_deleted, f"FDB entries that were not deleted: {', '.join(not_deleted)}"
    assert found == {PERMANENT, STATIC}


def down_with_another_mac(operation):
    """A control: the device gets another MAC when it is taken down."""
    if isinstance(operation, SetLink) and operation.up is False:
        return dataclasses.replace(operation, mac="02:00:00:00:00:99")
    return operation


@pytest.mark.behaviour(
    "a device keeps its IP address, MAC, attributes, default FDB entry and counters when it is"
    " taken down and set up again",
    source=STOP,
)
@pytest.mark.control(
    "the device gets another MAC while it is down",
    change=down_with_another_mac,
    because="the MAC changed from 02:76:78:.* to 02:00:00:00:00:99",
)
@pytest.mark.topology(catalog.point_to_point())
def test_a_device_keeps_its_settings_through_down_and_up(lab):
    acquaint(lab)
    assert lab["a"].ping("172.18.1.3", count=2)
    before = find_link(lab, "a")
    assert before.counters.tx_packets >= 3
    lab.apply(SetLink("a", "vxlan0", up=False), SetLink("a", "vxlan0", up=True))
    after = find_link(lab, "a")
    assert after.mac == before.mac, f"the MAC changed from {before.mac} to {after.mac}"
    assert after.attributes == before.attributes
    assert after.counters == before.counters
    assert lab["a"].ping("172.18.1.3")
