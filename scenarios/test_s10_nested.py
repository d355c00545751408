"""10.4 Tunnels in tunnels: a vxlan device whose underlay is another vxlan device.

    a eth0 ──────── lan ──────── eth0 b     192.168.57.50, .54, or the same in IPv6
      └ vxlan0                vxlan0 ┘      172.18.1.2, .3    VNI 42
          └ vxlan1        vxlan1 ┘          172.18.2.2, .3    VNI 43
              └ vxlan2  vxlan2 ┘            172.18.3.2, .3    VNI 44

Three deep is as far as this goes on every kernel: some refuse to send a fourth header.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from offload_tools import (
    FULL,
    by_tcp,
    largest,
    offload,
    unrecorded,
    vnis,
)

from vxlab import ApplyError, catalog
from vxlab.observe.frames import MARK_PREFIX
from vxlab.operations import AddAddress, AddLink

DEPTHS = pytest.mark.parametrize("depth", [2, 3], ids=["two", "three"])
#: Kernel: include/linux/netdevice.h, MAX_NEST_DEV; the card is the first.
MOST = 8

pytestmark = pytest.mark.requires("ethtool")


def nest(lab, depth, host="ab"):
    """Put vxlan1, vxlan2, … upon vxlan0 of both hosts; the address of b's last device."""
    for level in range(1, depth):
        for node, here, there in (("a", 2, 3), ("b", 3, 2)):
            if node in host:
                lab.apply(device(node, level, here, there))
                lab.apply(AddAddress(node, f"vxlan{level}", f"172.18.{level + 1}.{here}/24"))
    return f"172.18.{depth}.3"


def device(node, level, here, there, bound=None):
    """The operation that makes one such device."""
    attributes = {
        "id": 42 + level,
        "dev": bound or f"vxlan{level - 1}",
        "local": f"172.18.{level}.{here}",
        "remote": f"172.18.{level}.{there}",
        "dstport": 4789,
    }
    return AddLink(node, f"vxlan{level}", "vxlan", 0, tuple(attributes.items()), up=True)


def is_upper(operation):
    return isinstance(operation, AddLink) and operation.name not in ("vxlan0", "eth0")


def with_vni_7(operation):
    if not is_upper(operation) or operation.kind != "vxlan":
        return operation
    attributes = {**dict(operation.attributes), "id": int(operation.name[-1]) + 700}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


def with_mtu_1290(operation):
    return dataclasses.replace(operation, mtu=1290) if is_upper(operation) else operation


def on_nothing(operation):
    """A device that is bound to no other one."""
    if not is_upper(operation) or operation.kind != "vxlan":
        return operation
    free = tuple(pair for pair in operation.attributes if pair[0] not in ("dev", "local"))
    return dataclasses.replace(operation, attributes=free)


@pytest.mark.behaviour(
    "each level has an MTU of 50 bytes less than the one below it",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply()",
)
@pytest.mark.control("upper devices are made with an MTU of 1290", change=with_mtu_1290)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
def test_each_level_takes_its_share_of_the_mtu(lab, depth):
    nest(lab, depth)
    mtus = {link.name: link.mtu for link in lab["a"].state.links}
    overhead = 50 if lab.topology.host("a").nics[0].interface.version == 4 else 70
    for level in range(depth):
        assert mtus[f"vxlan{level}"] == 1500 - overhead - 50 * level


@pytest.mark.behaviour(
    "a frame on the wire has one VXLAN header for each level, the lowest device's outermost",
    source="RFC 7348, section 5",
)
@pytest.mark.control("upper devices are made with other VNIs", change=with_vni_7, because=r"70\d")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
def test_a_frame_on_the_wire_has_a_header_for_each_level(lab, depth):
    address = nest(lab, depth)
    with lab.capture("b:eth0") as seen:
        lab["a"].send_marked(address, b"deep")
        frame = seen["b:eth0"].wait_for(is_marked, "the marked datagram in tunnels")
    assert vnis(frame) == [42, 43, 44][:depth]


def is_marked(frame):
    return frame.data.endswith(MARK_PREFIX + b"deep")


@pytest.mark.behaviour(
    "all levels can be pinged, both ways",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit_one(), vxlan_rcv()",
)
@pytest.mark.control(
    "b's second device expects another VNI",
    change=lambda operation: with_vni_7(operation) if operation.node == "b" else operation,
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
def test_every_level_answers(lab, depth):
    nest(lab, depth)
    for level in range(1, depth + 1):
        assert lab["a"].ping(f"172.18.{level}.3", timeout=3)
        assert lab["b"].ping(f"172.18.{level}.2", timeout=3)


@pytest.mark.behaviour(
    "TCP crosses a tunnel in a tunnel; its packets are cut before the device below the first",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_setup(), no NETIF_F_GSO_UDP_TUNNEL_CSUM; "
    "net/core/dev.c: validate_xmit_skb()",
)
@pytest.mark.control(
    "TCP's packets are cut before the first device",
    arguments={"setting": "tso off"},
    because=f"> {FULL}",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@DEPTHS
@pytest.mark.parametrize("setting", ["tso on"], ids=["uncut"])
def test_tcp_is_cut_on_its_way_into_the_second_tunnel(lab, depth, setting):
    address = nest(lab, depth)
    top, below = f"a:vxlan{depth - 1}", f"a:vxlan{depth - 2}"
    offload(lab, f"{top} {setting}")
    with lab.capture(top, below, "a:eth0") as seen:
        sent, arrived = by_tcp(lab, address)
    assert arrived == sent
    assert largest(seen, top) > FULL
    assert largest(seen, below) <= FULL
    assert largest(seen, "a:eth0") == FULL


@pytest.mark.behaviour(
    "a vxlan device with GRO puts together what is in one more tunnel still",
    source="net/core/gro_cells.c: gro_cells_receive(); drivers/net/vxlan/vxlan_core.c: "
    "vxlan_gro_receive()",
)
@pytest.mark.control(
    "the lowest device has GRO off", arguments={"state": "off"}, because=f"> {FULL}"
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@pytest.mark.parametrize("state", ["on"])
def test_gro_looks_into_one_tunnel(lab, state):
    unrecorded(lab)
    address = nest(lab, 2)
    offload(lab, f"b:vxlan0 gro {state}")
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        sent, arrived = by_tcp(lab, address)
    assert arrived == sent
    assert largest(seen, "b:eth0") <= FULL
    assert largest(seen, "b:vxlan0") > FULL


@pytest.mark.behaviour(
    "but not what is in two: that is left to the device above",
    source="net/ipv4/udp_offload.c: udp_gro_receive(), NAPI_GRO_CB(skb)->encap_mark",
)
@pytest.mark.control("there are two levels only", arguments={"depth": 2}, because=f"<= {FULL}")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind="both")
@pytest.mark.parametrize("depth", [3])
def test_gro_does_not_look_into_two_tunnels(lab, depth):
    unrecorded(lab)
    address = nest(lab, depth)
    with lab.capture("b:vxlan0", "b:vxlan1") as seen:
        sent, arrived = by_tcp(lab, address)
    assert arrived == sent
    assert largest(seen, "b:vxlan1") > FULL
    assert largest(seen, "b:vxlan0") <= FULL


@pytest.mark.behaviour(
    "a container may have a tunnel of its own through the tunnel of its host",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), vxlan_rcv()",
)
@pytest.mark.control("the containers' devices have other VNIs", change=with_vni_7, because="701")
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_a_container_has_a_tunnel_through_the_tunnel(lab):
    for node, here, there in (("ns0", 2, 3), ("ns1", 3, 2)):
        lab.apply(device(node, 1, here, there, bound="eth0"))
        lab.apply(AddAddress(node, "vxlan1", f"172.18.2.{here}/24"))
    with lab.capture("a:eth0") as seen:
        sent, arrived = by_tcp(lab, "172.18.2.3", client="ns0", server="ns1")
    assert arrived == sent
    assert largest(seen, "a:eth0") == FULL
    full = [frame for frame in seen["a:eth0"].frames if frame.length == FULL]
    assert {tuple(vnis(frame)) for frame in full} == {(42, 43)}


@pytest.mark.behaviour(
    "the kernel refuses the device that would be the ninth on top of each other, card included",
    source="net/core/dev.c: __netdev_upper_dev_link(), MAX_NEST_DEV",
)
@pytest.mark.control("the device is bound to no other one", change=on_nothing, because="DID NOT")
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
