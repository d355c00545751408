"""8.4 The device itself: names, sockets, states, counters, and many of them.

a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
  vxlan0 172.18.1.2                172.18.1.3 vxlan0
"""

from __future__ import annotations

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
    link_of,
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


def second_elsewhere(operation):
    """A control: the second device is one of another VNI, port and name."""
    if isinstance(operation, AddLink) and not operation.index:  # what a test makes has none
        return AddLink("a", "other", "vxlan", 0, (("id", 99), ("dstport", 9999)))
    return operation


def nothing_taken_down(operation):
    down = isinstance(operation, SetLink) and operation.up is False
    return None if down else operation


@pytest.mark.behaviour("a second device with the same VNI and port is refused", source=IN_USE)
@pytest.mark.control("it differs in both", change=second_elsewhere, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="nothing-else"),
        pytest.param({"remote": "192.168.57.99"}, id="another-remote"),
        pytest.param({"dev": "lo"}, id="another-card"),
        pytest.param({"local": "192.168.57.99"}, id="another-local"),
    ],
)
def test_the_same_vni_and_port_are_refused_with(lab, more, by):
    (bad,) = device("a", name="second", up=False, id=42, **more)
    with pytest.raises(ApplyError) as refused:
        lab.apply(bad, by=by)
    assert_refused(refused, by, errno.EEXIST, EXISTS)


def same_again(operation):
    """A control: the second device is just like the first."""
    if isinstance(operation, AddLink) and operation.name == "second":
        return AddLink("a", "second", "vxlan", 0, (("id", 42), ("dstport", 4789)))
    return operation


@pytest.mark.behaviour(
    "one VNI may be there more than once where devices can be told apart", source=IN_USE
)
@pytest.mark.control("they cannot", change=same_again, because=EXISTS)
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"dstport": 14789}, id="port"),
        pytest.param({"remote": "fd00::9"}, id="family"),
        pytest.param({"gbp": True}, id="receive-flags"),
    ],
)
def test_the_same_vni_is_accepted_with_another(lab, more, by):
    lab.apply(*device("a", name="second", up=False, id=42, **more), by=by)
    assert link_of(lab, "a", "second").attributes["id"] == 42


@pytest.mark.behaviour(
    "a device with a name that is taken is refused", source="net/core/rtnetlink.c: rtnl_newlink()"
)
@pytest.mark.control("its name is free", change=second_elsewhere, because="DID NOT RAISE")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_taken_name_is_refused(lab, by):
    with pytest.raises(ApplyError, match="File exists") as refused:
        lab.apply(*device("a", up=False, id=43), by=by)
    assert refused.value.errno == errno.EEXIST


@pytest.mark.behaviour(
    "of devices with link-local addresses each card may have one of the same VNI and port",
    source=IN_USE + ", VXLAN_F_IPV6_LINKLOCAL",
)
@pytest.mark.control("both are on one card", change=swap(dev="eth0"), because=EXISTS)
@pytest.mark.topology(bare, family=6, hosts=1)
def test_link_local_devices_are_told_apart_by_their_card(lab):
    near = {"local": "fe80::1", "remote": "fe80::2", "id": 42}
    lab.apply(*device("a", name="first", dev="eth0", **near))
    lab.apply(*device("a", name="second", dev="lo", **near))
    assert link_of(lab, "a", "first").attributes["id"] == 42
    with pytest.raises(ApplyError, match=EXISTS):
        lab.apply(*device("a", name="third", dev="eth0", **near))


# The UDP socket.


@pytest.mark.behaviour("a device has its UDP port only while it is up", source=SOCKETS)
@pytest.mark.control("it is not taken down", change=nothing_taken_down, because="4789")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], port=[4789, 8472, 14789])
def test_the_port_is_open_while_the_device_is_up(lab):
    port = next(iter(lab.topology.ports))
    family = lab.topology.host("a").nics[0].interface.version
    assert udp_ports(lab, "a") == {4: [], 6: [], family: [port]}
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert udp_ports(lab, "a") == {4: [], 6: []}, "4789 or another is still open"
    lab.apply(SetLink("a", "vxlan0", up=True))
    assert udp_ports(lab, "a")[family] == [port]


def second_on_another_port(operation):
    second = isinstance(operation, AddLink) and operation.name == "second"
    return swap(dstport=14789)(operation) if second else operation


@pytest.mark.behaviour(
    "devices on one port share one socket until the last is gone", source=SOCKETS
)
@pytest.mark.control("they are on two ports", change=second_on_another_port, because="14789")
@pytest.mark.topology(catalog.point_to_point())
def test_two_devices_share_a_socket(lab):
    lab.apply(*device("a", name="second", id=43))
    assert udp_ports(lab, "a")[4] == [4789]
    lab.apply(DelLink("a", "vxlan0"))
    assert udp_ports(lab, "a")[4] == [4789]
    lab.apply(DelLink("a", "second"))
    assert udp_ports(lab, "a")[4] == []


@pytest.mark.behaviour(
    "a port that a program has is refused when the device comes up", source=SOCKETS
)
@pytest.mark.control("the device has another port", change=swap(dstport=14789), because="DID NOT")
@pytest.mark.topology(bare, hosts=1)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_port_in_use_is_refused_at_up(lab, by):
    lab.apply(*device("a", up=False, id=42))
    with lab["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 4789))
        with pytest.raises(ApplyError, match="Address already in use") as refused:
            lab.apply(SetLink("a", "vxlan0", up=True), by=by)
    assert refused.value.errno == errno.EADDRINUSE
    lab.apply(SetLink("a", "vxlan0", up=True), by=by)
    assert udp_ports(lab, "a")[4] == [4789]


@pytest.mark.behaviour(
    "devices that want to receive differently cannot share a port",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_find_sock(), VXLAN_F_RCV_FLAGS",
)
@pytest.mark.control("they are on two ports", change=second_on_another_port, because="DID NOT")
@pytest.mark.topology(catalog.point_to_point())
@pytest.mark.parametrize("flag", ["gbp", "external", "remcsumrx", "udp6zerocsumrx"])
def test_a_port_is_not_shared_with_a_device_that_differs_in(lab, flag):
    lab.apply(*device("a", name="second", up=False, **{flag: True}), by="netlink")
    with pytest.raises(ApplyError) as refused:
        lab.apply(SetLink("a", "second", up=True), by="netlink")
    assert refused.value.errno == errno.EADDRINUSE


# What lasts, and what does not.


def made_anew(operation):
    down = isinstance(operation, SetLink) and operation.up is False
    return DelLink("a", "vxlan0") if down else operation


ENTRIES = {
    "02:00:00:00:00:01": {"state": "permanent"},
    "02:00:00:00:00:02": {"state": "static"},
    "02:00:00:00:00:03": {"state": "dynamic"},
    "02:00:00:00:00:04": {"state": "dynamic", "flags": ("self", "extern_learn")},
}


def macs(lab):
    return {row.mac for row in lab["a"].state.fdb if row.interface == "vxlan0"} - {ANY_MAC}


@pytest.mark.behaviour("down takes learned and dynamic entries, and leaves the others", source=STOP)
@pytest.mark.control("it is not taken down", change=nothing_taken_down, because="00:03")
@pytest.mark.topology(catalog.point_to_point())
def test_down_flushes_what_is_not_permanent_or_static(lab):
    assert lab["a"].ping("172.18.1.3")
    for mac, fields in ENTRIES.items():
        lab.apply(AddFdb("a", "vxlan0", mac, B, **fields))
    assert macs(lab) == {*ENTRIES, mac_of(lab, "b")}
    lab.apply(SetLink("a", "vxlan0", up=False))
    assert macs(lab) == {"02:00:00:00:00:01", "02:00:00:00:00:02"}


@pytest.mark.behaviour("addresses, MAC, flood entry and counters survive down and up", source=STOP)
@pytest.mark.control("it is made anew in between", change=made_anew)
@pytest.mark.topology(catalog.point_to_point())
def test_down_and_up_keeps_the_rest(lab):
    acquaint(lab)
    assert lab["a"].ping("172.18.1.3", count=2)
    before = link_of(lab, "a")
    assert before.counters.tx_packets >= 3
    lab.apply(SetLink("a", "vxlan0", up=False), SetLink("a", "vxlan0", up=True))
    after = link_of(lab, "a")
    assert (after.mac, after.attributes, after.counters) == (
        before.mac,
        before.attributes,
        before.counters,
    )
    assert lab["a"].ping("172.18.1.3")
