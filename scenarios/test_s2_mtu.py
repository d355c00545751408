"""2.1 The MTU of a vxlan device: its default, its limits, and the largest packet that passes.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0, or the reference (`far`)

The vxlan device of a is bound to a lower device (`dev eth0`), that of b is not.  The headers take
50 bytes over IPv4, 70 over IPv6: those of inner Ethernet, VXLAN, UDP and outer IP.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from mtu_tools import inner_mtu, mtu_of, refused_mtu, sized_ping, tunnel_over
from outer_tools import dissect, one_tunnel

from vxlab import ApplyError, operations

CORE = "drivers/net/vxlan/vxlan_core.c"
#: Ethertype and protocol of an inner packet: UDP in IPv4.
IN_UDP = b"\x08\x00\x11"

both_ways = pytest.mark.parametrize("by", ["netlink", "iproute2"])


def with_mtu_1300(operation):
    if getattr(operation, "name", "") != "vx":
        return operation
    return dataclasses.replace(operation, mtu=1300)


def without_mtu(operation):
    if getattr(operation, "name", "") != "vx":
        return operation
    return dataclasses.replace(operation, mtu=None)


def without_a_new_lower_mtu(operation):
    """Leave out what sets the MTU of the lower device of a."""
    if not isinstance(operation, operations.SetLink) or operation.mtu is None:
        return operation
    return None if (operation.node, operation.name) == ("a", "eth0") else operation


def lower_by_1(lab):
    """Lower the MTU of the vxlan device of a by 1."""
    lab.apply(operations.SetLink("a", "vxlan0", mtu=mtu_of(lab, "a") - 1))


def second_offset(lab):
    """The fragment offset of a second inner fragment, in units of 8 bytes, as the header has it."""
    return f"{(inner_mtu(lab) - 20) // 8:04x}"


def underlay_mtu(lab):
    """The MTU of the lower device of a."""
    return mtu_of(lab, "a", "eth0")


@pytest.mark.behaviour(
    "with `dev` the default MTU of a vxlan device is that of the lower device less 50 over "
    "IPv4, less 70 over IPv6",
    source=f"{CORE}: vxlan_config_apply(), vxlan_headroom()",
)
@pytest.mark.control(
    "VTEP a is bound to no lower device",
    vteps={"a": {"dev": False}},
    because="assert 1500 == (13[35]0|15[35]0|89[35]0)",
)
@pytest.mark.topology(tunnel_over, family=[4, 6], mtu=[1400, 1600, 9000])
def test_with_dev_the_default_mtu_leaves_room_for_the_headers(lab):
    assert mtu_of(lab, "a") == inner_mtu(lab, underlay_mtu(lab))


@pytest.mark.behaviour(
    "without `dev` the default MTU of a vxlan device is 1500, whatever the MTU of the "
    "underlay interface is",
    source=f"{CORE}: vxlan_setup(), ether_setup()",
)
@pytest.mark.control(
    "VTEP b is bound to its lower device",
    vteps={"b": {"dev": True}},
    because="assert (13[35]0|89[35]0) == 1500",
)
@pytest.mark.topology(tunnel_over, family=[4, 6], mtu=[1400, 9000])
def test_without_dev_the_default_mtu_is_1500(lab):
    assert mtu_of(lab, "b") == 1500


@pytest.mark.behaviour(
    "with `dev` an MTU one byte larger than the lower device leaves room for is refused "
    "with EINVAL, without an explanation",
    source=f"{CORE}: vxlan_change_mtu()",
)
@pytest.mark.control(
    "VTEP a is bound to no lower device",
    vteps={"a": {"dev": False}},
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.topology(tunnel_over, family=[4, 6], mtu=[1500, 9000])
@both_ways
def test_with_dev_an_mtu_that_is_too_large_is_refused(lab, by):
    most = inner_mtu(lab, underlay_mtu(lab))
    lab.apply(operations.SetLink("a", "vxlan0", mtu=1300), by=by)
    lab.apply(operations.SetLink("a", "vxlan0", mtu=most), by=by)
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("a", "vxlan0", mtu=most + 1), by=by)
    assert (refused.value.errno, refused.value.extack) == (errno.EINVAL, "")
    assert mtu_of(lab, "a") == most


@pytest.mark.behaviour(
    "without `dev` the MTU of a vxlan device can be set to 68 up to 65535, and to no other value",
    source=f"{CORE}: vxlan_setup(), min_mtu and max_mtu; net/core/dev.c: dev_validate_mtu()",
)
@pytest.mark.control(
    "the operations that set the MTU are left out",
    without=operations.SetLink,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.topology(one_tunnel())
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
    """The operation that creates a second vxlan device, vx, on the lower device of a."""
    host = lab.topology.host("a")
    attributes = (("id", 9), ("local", host.nics[0].ip), ("dev", "eth0"), ("dstport", 9999))
    return operations.AddLink("a", "vx", "vxlan", 0, attributes, mtu=mtu)


@pytest.mark.behaviour(
    "a vxlan device created with a larger MTU than the lower device leaves room for "
    "silently gets the largest MTU that there is room for",
    source=f"{CORE}: vxlan_config_apply(), max_mtu",
)
@pytest.mark.control(
    "the vxlan device is created with an MTU of 1300",
    change=with_mtu_1300,
    because="assert 1300 == 14[35]0",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@both_ways
def test_an_mtu_too_large_at_creation_is_reduced(lab, by):
    lab.apply(new_device(lab, 1500), by=by)
    assert mtu_of(lab, "a", "vx") == inner_mtu(lab)


@pytest.mark.behaviour(
    "a vxlan device created with a smaller MTU than the lower device leaves room for keeps "
    "that MTU",
    source=f"{CORE}: vxlan_config_apply()",
)
@pytest.mark.control(
    "the vxlan device is created without an MTU",
    change=without_mtu,
    because="assert 14[35]0 == 1301",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
@both_ways
def test_a_smaller_mtu_at_creation_is_kept(lab, by):
    lab.apply(new_device(lab, 1301), by=by)
    assert mtu_of(lab, "a", "vx") == 1301


@pytest.mark.behaviour(
    "when the MTU of the lower device is lowered, that of the vxlan device stays, even when "
    "another attribute is changed; but a new MTU must then fit the lower device",
    source=f"{CORE}: vxlan_netdevice_event(), vxlan_change_mtu()",
)
@pytest.mark.control(
    "the MTU of the lower device stays at 1500",
    change=without_a_new_lower_mtu,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_mtu_does_not_follow_a_lowered_lower_device(lab):
    lab.apply(operations.SetLink("a", "eth0", mtu=1400))
    lab.apply(operations.SetVxlan("a", "vxlan0", (("ttl", 9),)))
    assert mtu_of(lab, "a") == inner_mtu(lab, 1500)
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("a", "vxlan0", mtu=inner_mtu(lab, 1400) + 1))
    assert refused.value.errno == errno.EINVAL
    lab.apply(operations.SetLink("a", "vxlan0", mtu=inner_mtu(lab, 1400)))
    assert mtu_of(lab, "a") == inner_mtu(lab, 1400)


@pytest.mark.behaviour(
    "when the MTU of the lower device is raised, that of the vxlan device stays, but it can "
    "be raised then",
    source=f"{CORE}: vxlan_netdevice_event(), vxlan_change_mtu()",
)
@pytest.mark.control(
    "the MTU of the lower device stays at 1500",
    change=without_a_new_lower_mtu,
    because="vxlan0 mtu 19[35]0: Invalid argument",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_the_mtu_does_not_follow_a_raised_lower_device(lab):
    lab.apply(operations.SetLink("a", "eth0", mtu=2000))
    assert mtu_of(lab, "a") == inner_mtu(lab, 1500)
    lab.apply(operations.SetLink("a", "vxlan0", mtu=inner_mtu(lab, 2000)))
    assert mtu_of(lab, "a") == inner_mtu(lab, 2000)


@pytest.mark.behaviour(
    "on a lower device without room for the least MTU of 68, a vxlan device is created with "
    "an MTU of 68, but an MTU of 68 cannot be set",
    source=f"{CORE}: vxlan_config_apply(), max_mtu < ETH_MIN_MTU; vxlan_change_mtu()",
)
@pytest.mark.control(
    "the lower device keeps an MTU of 1500", without=operations.SetLink, because="assert 1450 == 68"
)
@pytest.mark.topology(one_tunnel())
def test_on_a_lower_device_that_is_too_small_the_mtu_is_68(lab):
    lab.apply(operations.SetLink("a", "eth0", mtu=100))
    lab.apply(new_device(lab, None))
    assert mtu_of(lab, "a", "vx") == 68
    with pytest.raises(ApplyError) as refused:
        lab.apply(operations.SetLink("a", "vxlan0", mtu=68))
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour(
    "with `dev` a ping with DF whose IPv4 packet is as large as the MTU is answered; one "
    "byte more is refused to the sender",
    source="net/ipv4/ip_output.c: ip_append_data(); man 8 ping: -M do",
)
@pytest.mark.control(
    "the MTU of VTEP a is 1 byte less than the lower device leaves room for",
    lab=lower_by_1,
    because=r"a ping as large as the room for it is not answered\nassert 1 == 0",
)
@pytest.mark.topology(tunnel_over, family=[4, 6], mtu=[1500, 9000])
def test_the_largest_ping_is_as_large_as_the_mtu(lab, far):
    most = inner_mtu(lab, underlay_mtu(lab))
    with lab.capture("b:eth0") as seen:
        answered = sized_ping(lab, far.address, most, df=True)
        assert answered.code == 0, "a ping as large as the room for it is not answered"
        assert refused_mtu(lab, far.address, most + 1) == most
        assert lab["a"].ping(far.address), "b does not answer"
    lengths = [frame.length for frame in seen["b:eth0"].frames]
    assert max(lengths) == 14 + underlay_mtu(lab)  # the underlay's MTU is used up
    assert seen["b:eth0"].was_live


@pytest.mark.behaviour(
    "with `dev` a host sends a larger packet without DF in inner fragments, each in an "
    "outer packet of its own",
    source="net/ipv4/ip_output.c: ip_fragment(); RFC 7348, section 4.3",
)
@pytest.mark.control(
    "VTEP a is bound to no lower device",
    vteps={"a": {"dev": False}},
    because=r"the outer packets are fragments\nassert \[8192\] ==|waited 3.* for the last fragment",
)
@pytest.mark.topology(one_tunnel, family=[4, 6])
def test_a_packet_larger_than_the_mtu_is_fragmented_inside(lab, far):
    assert lab["a"].ping(far.address), "b does not answer"  # so a knows the MAC of b
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(far.address, bytes(1440) + b"the end")
        last = seen["b:eth0"].wait_for(
            lambda x: x.data.endswith(b"the end"), "the last fragment", timeout=3
        )
    frames = [each for each in seen["b:eth0"].frames if each.udp_ports and not each.outgoing]
    arrived = [dissect(each.data) for each in frames]
    fragments = [outer for outer in arrived if outer.inner[12:14] + outer.inner[23:24] == IN_UDP]
    assert [outer.flags for outer in fragments] == [0, 0], "the outer packets are fragments"
    assert [outer.inner[20:22].hex() for outer in fragments] == ["2000", second_offset(lab)]
    far.wait_for(dissect(last.data).inner)
