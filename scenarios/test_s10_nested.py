"""10.4 Nested tunnels: a vxlan device whose lower device is another vxlan device.

    a eth0 ──────── lan ──────── eth0 b     192.168.57.50, .54, or the same in IPv6
      └ vxlan0                vxlan0 ┘      172.18.1.2, .3    VNI 42
          └ vxlan1        vxlan1 ┘          172.18.2.2, .3    VNI 43
              └ vxlan2  vxlan2 ┘            172.18.3.2, .3    VNI 44

No scenario sends through more than three levels, as some kernels drop a packet that gets a fourth
VXLAN header.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from offload_tools import (
    FULL_FRAME,
    largest_frame,
    set_offload,
    tcp_transfer,
    vnis,
)

from vxlab import ApplyError, catalog, frames, vxlan
from vxlab.operations import AddAddress, AddLink

DEPTHS = pytest.mark.parametrize("depth", [2, 3], ids=["two", "three"])
#: The most devices in a stack, eth0 included (include/linux/netdevice.h: MAX_NEST_DEV).
MOST = 8

pytestmark = pytest.mark.requires("ethtool")


def nest(lab, depth, host="ab"):
    """Put vxlan1, vxlan2, … on top of vxlan0 of both hosts; the address of the last device of b."""
    for level in range(1, depth):
        for node, here, there in (("a", 2, 3), ("b", 3, 2)):
            if node in host:
                lab.apply(device(node, level, here, there))
                lab.apply(AddAddress(node, f"vxlan{level}", f"172.18.{level + 1}.{here}/24"))
    return f"172.18.{depth}.3"


def device(node, level, here, there, bound=None):
    """The operation that creates one such device, on the device below it or on ``bound``."""
    attributes = {
        "id": 42 + level,
        "dev": bound or f"vxlan{level - 1}",
        "local": f"172.18.{level}.{here}",
        "remote": f"172.18.{level}.{there}",
        "dstport": 4789,
    }
    return AddLink(node, f"vxlan{level}", "vxlan", 0, tuple(attributes.items()), up=True)


def is_upper(operation):
    """Whether an operation creates a device on top of vxlan0."""
    return isinstance(operation, AddLink) and operation.name not in ("vxlan0", "eth0")


def with_vni_700(operation):
    if not is_upper(operation) or operation.kind != "vxlan":
        return operation
    attributes = {**dict(operation.attributes), "id": int(operation.name[-1]) + 700}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


def with_vni_700_at_b(operation):
    return with_vni_700(operation) if operation.node == "b" else operation


def with_mtu_1290(operation):
    return dataclasses.replace(operation, mtu=1290) if is_upper(operation) else operation


def bound_to_nothing(operation):
    """The same device without a lower device."""
    if not is_upper(operation) or operation.kind != "vxlan":
        return operation
    free = tuple(pair for pair in operation.attributes if pair[0] not in ("dev", "local"))
    return dataclasses.replace(operation, attributes=free)


@pytest.mark.behaviour(
    "each nested vxlan device has an MTU 50 less than that of the vxlan device below it",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply()",
)
@pytest.mark.control(
    "the upper vxlan devices are created with an MTU of 1290",
    change=with_mtu_1290,
    because=r"vxlan1 has another MTU\nassert 1290 ==",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
def test_each_level_has_a_smaller_mtu(lab, depth):
    nest(lab, depth)
    mtus = {link.name: link.mtu for link in lab["a"].state.links}
    overhead = vxlan.OVERHEAD[lab.topology.host("a").nics[0].interface.version]
    for level in range(depth):
        wanted = 1500 - overhead - 50 * level
        assert mtus[f"vxlan{level}"] == wanted, f"vxlan{level} has another MTU"


@pytest.mark.behaviour(
    "a frame on the wire has one VXLAN header for each nested vxlan device, that of the "
    "lowest device outermost",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "the upper vxlan devices have the VNIs 701 and 702",
    change=with_vni_700,
    because=r"\[42, 701(, 702)?\] == \[42, 43",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
def test_a_frame_on_the_wire_has_a_header_for_each_level(lab, depth):
    address = nest(lab, depth)
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(address, b"deep")
        frame = seen["b:eth0"].wait_for(is_marked, "the marked datagram in tunnels")
    assert vnis(frame) == [42, 43, 44][:depth]


def is_marked(frame):
    return frame.data.endswith(frames.MARK_PREFIX + b"deep")


@pytest.mark.behaviour(
    "a ping is answered in both directions at each level of nested tunnels",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), vxlan_rcv()",
)
@pytest.mark.control(
    "the upper vxlan devices of b have the VNIs 701 and 702, those of a 43 and 44",
    change=with_vni_700_at_b,
    because=r"b does not answer at level 2\nassert Ping\(sent=1, received=0",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
def test_a_ping_is_answered_at_every_level(lab, depth):
    nest(lab, depth)
    for level in range(1, depth + 1):
        answered = lab["a"].ping(f"172.18.{level}.3", timeout=3)
        assert answered, f"b does not answer at level {level}"
        answered = lab["b"].ping(f"172.18.{level}.2", timeout=3)
        assert answered, f"a does not answer at level {level}"


@pytest.mark.behaviour(
    "TCP packets longer than the MTU enter the uppermost of nested vxlan devices, and the "
    "kernel segments them before the next lower one; all data arrives",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_setup(), no NETIF_F_GSO_UDP_TUNNEL_CSUM; "
    "net/core/dev.c: validate_xmit_skb()",
)
@pytest.mark.control(
    "the uppermost vxlan device of a has `tcp-segmentation-offload off`",
    arguments={"setting": "tso off"},
    because=r"the packets were segmented too early\nassert \d+ > 1514",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
@pytest.mark.parametrize("setting", ["tso on"], ids=["tso_on"])
def test_tcp_is_segmented_before_the_second_tunnel(lab, depth, setting):
    address = nest(lab, depth)
    top, below = f"a:vxlan{depth - 1}", f"a:vxlan{depth - 2}"
    set_offload(lab, f"{top} {setting}")
    with lab.capture(top, below, "a:eth0") as seen:
        sent, arrived = tcp_transfer(lab, address)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, top) > FULL_FRAME, "the packets were segmented too early"
    assert largest_frame(seen, below) <= FULL_FRAME, "the packets were not segmented"
    assert largest_frame(seen, "a:eth0") == FULL_FRAME


@pytest.mark.behaviour(
    "GRO of a vxlan device merges decapsulated packets that are inside one further tunnel",
    source="net/core/gro_cells.c: gro_cells_receive(); drivers/net/vxlan/vxlan_core.c: "
    "vxlan_gro_receive()",
)
@pytest.mark.control(
    "the lowest vxlan device of b has GRO off",
    arguments={"state": "off"},
    because=r"no packets were merged\nassert \d+ > 1514",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@pytest.mark.parametrize("state", ["on"])
def test_gro_merges_packets_inside_one_further_tunnel(lab, state):
    lab.stop_recording()
    address = nest(lab, 2)
    set_offload(lab, f"b:vxlan0 gro {state}")
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab, address)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:eth0") <= FULL_FRAME, "packets were merged"
    assert largest_frame(seen, "b:vxlan0") > FULL_FRAME, "no packets were merged"


@pytest.mark.behaviour(
    "GRO of a vxlan device does not merge decapsulated packets that are inside two further "
    "tunnels; the next upper vxlan device merges them",
    source="net/ipv4/udp_offload.c: udp_gro_receive(), NAPI_GRO_CB(skb)->encap_mark",
)
@pytest.mark.control(
    "the packet is nested in two tunnels only",
    arguments={"depth": 2},
    because=r"packets were merged\nassert \d+ <= 1514",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@pytest.mark.parametrize("depth", [3])
def test_gro_does_not_merge_packets_inside_two_further_tunnels(lab, depth):
    lab.stop_recording()
    address = nest(lab, depth)
    with lab.capture("b:vxlan0", "b:vxlan1") as seen:
        sent, arrived = tcp_transfer(lab, address)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:vxlan1") > FULL_FRAME, "no packets were merged"
    assert largest_frame(seen, "b:vxlan0") <= FULL_FRAME, "packets were merged"


@pytest.mark.behaviour(
    "a vxlan device of a container sends through the tunnel of its host, and TCP data "
    "between containers has two VXLAN headers on the wire",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), vxlan_rcv()",
)
@pytest.mark.control(
    "the vxlan devices of the containers have VNI 701",
    change=with_vni_700,
    because=r"\{\(42, 701\)\} == \{\(42, 43\)\}",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_a_container_has_a_tunnel_through_the_tunnel(lab):
    for node, here, there in (("ns0", 2, 3), ("ns1", 3, 2)):
        lab.apply(device(node, 1, here, there, bound="eth0"))
        lab.apply(AddAddress(node, "vxlan1", f"172.18.2.{here}/24"))
    with lab.capture("a:eth0") as seen:
        sent, arrived = tcp_transfer(lab, "172.18.2.3", client="ns0", server="ns1")
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") == FULL_FRAME
    full = [frame for frame in seen["a:eth0"].frames if frame.length == FULL_FRAME]
    assert {tuple(vnis(frame)) for frame in full} == {(42, 43)}


@pytest.mark.behaviour(
    "the kernel refuses to create a vxlan device that would be the ninth device of a stack, "
    "the underlay interface included",
    source="net/core/dev.c: __netdev_upper_dev_link(), MAX_NEST_DEV",
)
@pytest.mark.control(
    "the device is created without a lower device",
    change=bound_to_nothing,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.topology(catalog.point_to_point(bind="both"))
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_too_many_levels_are_refused(lab, by):
    nest(lab, MOST - 1, host="a")
    with pytest.raises(ApplyError) as refused:
        lab.apply(device("a", MOST - 1, 2, 3), by=by)
    if by == "netlink":
        assert refused.value.errno == errno.EMLINK
    assert "Too many links" in str(refused.value)
    assert f"vxlan{MOST - 1}" not in {link.name for link in lab["a"].state.links}
