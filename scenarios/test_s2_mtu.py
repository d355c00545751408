"""2 MTU: what a device has, what it may have, and the largest packet that passes.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

a's device is bound to its card (`dev`), b's is not. The headers round a packet take 50 bytes over
IPv4, 70 over IPv6: the inner Ethernet header counts, the outer one does not.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from mtu_tools import mtu_of, ping, room, told_mtu, underlay
from outer_tools import dissect, made

from vxlab import ApplyError, operations

CORE = "drivers/net/vxlan/vxlan_core.c"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def underlay_mtu(lab):
    return mtu_of(lab, "a", "eth0")


@pytest.mark.behaviour(
    "with dev the MTU is the card's less 50 over IPv4, less 70 over IPv6",
    source=f"{CORE}: vxlan_config_apply(), vxlan_headroom()",
)
@pytest.mark.control("a's device is bound to no card", vteps={"a": {"dev": False}})
@pytest.mark.topology(underlay, family=[4, 6], mtu=[1400, 1600, 9000])
def test_a_device_bound_to_a_card_leaves_room_for_the_headers(lab):
    assert mtu_of(lab, "a") == room(lab, underlay_mtu(lab))


@pytest.mark.behaviour(
    "without dev the MTU is 1500, whatever the card's is",
    source=f"{CORE}: vxlan_setup(), ether_setup()",
)
@pytest.mark.control("b's device is bound to its card", vteps={"b": {"dev": True}})
@pytest.mark.topology(underlay, family=[4, 6], mtu=[1400, 9000])
def test_a_device_without_dev_has_1500_whatever_the_card_has(lab):
    assert mtu_of(lab, "b") == 1500


@pytest.mark.behaviour(
    "with dev one byte more than the card leaves room for is refused, without a word why",
    source=f"{CORE}: vxlan_change_mtu()",
)
@pytest.mark.control("a's device is bound to no card", vteps={"a": {"dev": False}})
@pytest.mark.topology(underlay, family=[4, 6], mtu=[1500, 9000])
@both_ways
def test_one_byte_more_than_there_is_room_for_is_refused(lab, by):
    most = room(lab, underlay_mtu(lab))
    lab.apply(operations.SetLink("a", "vxlan0", mtu=1300), by=by)
    lab.apply(operations.SetLink("a", "vxlan0", mtu=most), by=by)
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("a", "vxlan0", mtu=most + 1), by=by)
    assert (refused.value.errno, refused.value.extack) == (errno.EINVAL, "")
    assert mtu_of(lab, "a") == most


@pytest.mark.behaviour(
    "without dev an MTU may be from 68 to 65535",
    source=f"{CORE}: vxlan_setup(), min_mtu and max_mtu; net/core/dev.c: dev_validate_mtu()",
)
@pytest.mark.control(
    "the MTUs are not set", without=operations.SetLink, because="NOT RAISE|== 1500"
)
@pytest.mark.topology(made())
@both_ways
@pytest.mark.parametrize(
    ("last", "beyond", "why"),
    [(68, 67, "mtu less than device minimum"), (65535, 65536, "mtu greater than device maximum")],
    ids=["least", "most"],
)
def test_without_dev_an_mtu_is_from_68_to_65535(lab, by, last, beyond, why):
    lab.apply(operations.SetLink("b", "vxlan0", mtu=last), by=by)
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("b", "vxlan0", mtu=beyond), by=by)
    assert why in str(refused.value)  # ip passes the kernel's words on
    assert mtu_of(lab, "b") == last


def new_device(lab, mtu):
    """A second device on a's card."""
    host = lab.topology.host("a")
    attributes = (("id", 9), ("local", host.nics[0].ip), ("dev", "eth0"), ("dstport", 9999))
    return operations.AddLink("a", "vx", "vxlan", 0, attributes, mtu=mtu)


@pytest.mark.behaviour(
    "a device made with a larger MTU than the card leaves room for silently gets what there is",
    source=f"{CORE}: vxlan_config_apply(), max_mtu",
)
@pytest.mark.control("it is made with MTU 1300", change=lambda op: with_1300(op), because="1300")
@pytest.mark.topology(made, family=[4, 6])
@both_ways
def test_a_device_made_too_large_gets_what_there_is_room_for(lab, by):
    lab.apply(new_device(lab, 1500), by=by)
    assert mtu_of(lab, "a", "vx") == room(lab)


def with_1300(operation):
    is_new = getattr(operation, "name", "") == "vx"
    return dataclasses.replace(operation, mtu=1300) if is_new else operation


@pytest.mark.behaviour(
    "a device made with a smaller MTU keeps it", source=f"{CORE}: vxlan_config_apply()"
)
@pytest.mark.control("it is made with none", change=lambda op: without_mtu(op), because="1450|1430")
@pytest.mark.topology(made, family=[4, 6])
@both_ways
def test_a_device_made_smaller_keeps_its_mtu(lab, by):
    lab.apply(new_device(lab, 1301), by=by)
    assert mtu_of(lab, "a", "vx") == 1301


def without_mtu(operation):
    is_new = getattr(operation, "name", "") == "vx"
    return dataclasses.replace(operation, mtu=None) if is_new else operation


@pytest.mark.behaviour(
    "when the card's MTU is lowered the device's does not follow, nor by another change of it; "
    "but from then on only what fits can be set",
    source=f"{CORE}: vxlan_netdevice_event(), vxlan_change_mtu()",
)
@pytest.mark.control(
    "the card's MTU stays", change=lambda op: None if op.node == "a" and is_card(op) else op
)
@pytest.mark.topology(made, family=[4, 6])
def test_the_mtu_does_not_follow_a_card_that_is_lowered(lab):
    lab.apply(operations.SetLink("a", "eth0", mtu=1400))
    lab.apply(operations.SetVxlan("a", "vxlan0", (("ttl", 9),)))
    assert mtu_of(lab, "a") == room(lab, 1500)
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("a", "vxlan0", mtu=room(lab, 1400) + 1))
    assert refused.value.errno == errno.EINVAL
    lab.apply(operations.SetLink("a", "vxlan0", mtu=room(lab, 1400)))
    assert mtu_of(lab, "a") == room(lab, 1400)


def is_card(operation):
    """A new MTU of a card; it is brought up by another."""
    is_link = isinstance(operation, operations.SetLink)
    return is_link and operation.name == "eth0" and operation.mtu is not None


@pytest.mark.behaviour(
    "when the card's MTU is raised the device's does not follow, but more can be set",
    source=f"{CORE}: vxlan_netdevice_event(), vxlan_change_mtu()",
)
@pytest.mark.control(
    "the card's MTU stays", change=lambda op: None if op.node == "a" and is_card(op) else op
)
@pytest.mark.topology(made, family=[4, 6])
def test_the_mtu_does_not_follow_a_card_that_is_raised(lab):
    lab.apply(operations.SetLink("a", "eth0", mtu=2000))
    assert mtu_of(lab, "a") == room(lab, 1500)
    lab.apply(operations.SetLink("a", "vxlan0", mtu=room(lab, 2000)))
    assert mtu_of(lab, "a") == room(lab, 2000)


@pytest.mark.behaviour(
    "on a card without room for the least MTU, 68, a device is made with that; it cannot be set",
    source=f"{CORE}: vxlan_config_apply(), max_mtu < ETH_MIN_MTU; vxlan_change_mtu()",
)
@pytest.mark.control("the card has room", without=operations.SetLink, because="1450|NOT RAISE")
@pytest.mark.topology(made())
def test_on_a_card_that_is_too_small_a_device_has_68(lab):
    lab.apply(operations.SetLink("a", "eth0", mtu=100))
    lab.apply(new_device(lab, None))
    assert mtu_of(lab, "a", "vx") == 68
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("a", "vxlan0", mtu=68))
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour(
    "with dev the largest packet that is answered is the MTU; one byte more does not leave",
    source="net/ipv4/ip_output.c: ip_append_data(); man 8 ping: -M do",
)
@pytest.mark.control("the device's MTU is less by one", lab=lambda lab: one_less(lab))
@pytest.mark.topology(underlay, family=[4, 6], mtu=[1500, 9000])
def test_the_largest_ping_is_the_mtu_and_not_a_byte_more(lab, far):
    most = room(lab, underlay_mtu(lab))
    with lab.capture("b:eth0") as seen:
        assert ping(lab, far.address, most, df=True).code == 0
        refused = ping(lab, far.address, most + 1, df=True)
        assert (refused.code, told_mtu(refused)) == (1, most)
        assert lab["a"].ping(far.address)
    lengths = [frame.length for frame in seen["b:eth0"].frames]
    assert max(lengths) == 14 + underlay_mtu(lab)  # full to the last byte
    assert seen["b:eth0"].was_live


def one_less(lab):
    lab.apply(operations.SetLink("a", "vxlan0", mtu=mtu_of(lab, "a") - 1))


@pytest.mark.behaviour(
    "a larger packet that may be fragmented is, inside, and each piece is a packet of its own",
    source="net/ipv4/ip_output.c: ip_fragment(); RFC 7348, section 4.3",
)
@pytest.mark.control("a's device is bound to no card", vteps={"a": {"dev": False}})
@pytest.mark.topology(made, family=[4, 6])
def test_a_larger_packet_is_fragmented_inside(lab, far):
    assert lab["a"].ping(far.address)  # a knows the far end's MAC
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(far.address, bytes(1440) + b"the end")
        last = seen["b:eth0"].wait_for(
            lambda x: x.data.endswith(b"the end"), "the last piece", timeout=3
        )
    frames = [each for each in seen["b:eth0"].frames if each.udp_ports and not each.outgoing]
    arrived = [dissect(each.data) for each in frames]
    pieces = [outer for outer in arrived if outer.inner[12:14] + outer.inner[23:24] == IN_UDP]
    assert [outer.flags for outer in pieces] == [0, 0]  # none of them outside
    assert [outer.inner[20:22].hex() for outer in pieces] == ["2000", offset(lab)]
    far.wait_for(dissect(last.data).inner)


#: Ethertype and protocol of an inner packet: UDP in IPv4.
IN_UDP = b"\x08\x00\x11"


def offset(lab):
    """The fragment word of a second piece: where it is, in steps of 8 bytes behind the header."""
    return f"{(room(lab) - 20) // 8:04x}"
