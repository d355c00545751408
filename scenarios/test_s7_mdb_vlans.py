"""7.13 MDB and VLANs: groups in the VLANs of a bridge, which are VNIs of an external device.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0 ── br0                 ├── .55 eth0 c vxlan0 ── br0
                                    └── .56 eth0 d

The VLANs 10, 20 and 4000 are the VNIs 10010, 10020 and 14000.
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import PORTS, at, device, tunnels
from flood_tools import send_frames
from mdb_tools import (
    entry,
    group_frame,
    in_all_families,
    overlay,
)

from vxlab import wait_until
from vxlab.operations import AddLink, AddMdb, AddVlan, AddVlanTunnel, DelVlan, SetLink, SetPort

VNIS = {10: 10010, 20: 10020, 4000: 14000}
SOURCE_VNI = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_config_attrs_init(), MDBE_ATTR_SRC_VNI"

pytestmark = [pytest.mark.requires("vxlan-mdb", "bridge-vlan"), in_all_families]


def make_bridge(lab, node, own):
    """Make a node's bridge and vxlan device; the bridge itself is in the VLANs `own`, untagged.

    What the bridge itself sends is in the first of these.
    """
    settings = (("vlan_filtering", 1), ("vlan_default_pvid", 0), ("mcast_snooping", 0))
    lab.apply(AddLink(node, "br0", "bridge", 0, settings, up=True))
    lab.apply(
        *device(node, external=True, local=at(lab, node)), SetLink(node, "vxlan0", master="br0")
    )
    lab.apply(SetPort(node, "vxlan0", (("vlan_tunnel", True),)))
    for vlan, vni in VNIS.items():
        lab.apply(AddVlan(node, "vxlan0", vlan), AddVlanTunnel(node, "vxlan0", vlan, vni))
    for vlan in own:
        pvid = vlan == own[0]
        lab.apply(AddVlan(node, "br0", vlan, pvid=pvid, untagged=True, itself=True))


def send(lab, group, source, data):
    """Have a's bridge send a marked datagram to a group."""
    send_frames(lab["a"], "br0", group_frame(group, source, data))


#: Fields of the entry of VLAN 10, and the VNI and UDP port in which its group is sent.
PARAMETERS = {
    "vni-of-the-vlan": ({}, 10010, 4789),
    "another-vni": ({"vni": 14000}, 14000, 4789),
    "another-port": ({"port": 14789}, 10010, 14789),
    "both": ({"vni": 14000, "port": 14789}, 14000, 14789),
}


def group_of_vlan_20(operation):
    """A control: the entries of the group that is sent to are of VLAN 20."""
    if isinstance(operation, AddMdb) and operation.group in ("239.1.1.1", "ff0e::1"):
        return dataclasses.replace(operation, src_vni=10020)
    return operation


@pytest.mark.behaviour(
    "a group in a bridge's VLAN is sent to the MDB remotes of the VLAN's VNI, in that VNI to the "
    "device's UDP port, or in the VNI and to the port that the MDB entry names",
    source=SOURCE_VNI,
)
@pytest.mark.control(
    "the group's MDB entries are of VLAN 20",
    change=group_of_vlan_20,
    because="nothing of VLAN 10 was sent to c",
)
@pytest.mark.parametrize("case", PARAMETERS)
def test_a_group_of_a_vlan_is_sent_as_its_entry_says(lab, chosen, case):
    fields, vni, port = PARAMETERS[case]
    inner = overlay(chosen)
    make_bridge(lab, "a", [10])
    lab.apply(entry(lab, inner.group, "b", src_vni=10020), by="netlink")
    lab.apply(entry(lab, inner.group, "c", src_vni=10010, **fields), by="netlink")
    lab.apply(entry(lab, inner.spare, "c", src_vni=10010), by="netlink")
    with lab.capture("a:eth0", ports=PORTS) as seen:
        send(lab, inner.group, inner.source, b"of VLAN 10")
        send(lab, inner.spare, inner.source, b"later")
        wait_until(lambda: tunnels(seen["a:eth0"], b"later"), "the other group")
    found = tunnels(seen["a:eth0"], b"of VLAN 10")
    assert found, "nothing of VLAN 10 was sent to c"
    sent = [(one.outer_dst, one.vni, one.port) for one in found]
    assert sent == [(at(lab, "c"), vni, port)], f"(remote, VNI, UDP port) are {sent}"


@pytest.mark.behaviour(
    "a group that an MDB entry moves to another VNI arrives in the VLAN of that VNI, unless the "
    "receiving port is not in that VLAN",
    source=SOURCE_VNI + "; net/bridge/br_vlan_tunnel.c: br_handle_ingress_vlan_tunnel()",
)
@pytest.mark.control(
    "c's port stays in the VLAN 4000",
    without=DelVlan,
    because="c received a group of a VLAN that its port is not in",
)
def test_a_group_arrives_in_the_vlan_of_the_new_vni(lab, chosen):
    inner = overlay(chosen)
    make_bridge(lab, "a", [10])
    make_bridge(lab, "c", [4000, 10])
    moved = entry(lab, inner.group, "c", src_vni=10010, vni=14000)
    lab.apply(moved, entry(lab, inner.other, "c", src_vni=10010), by="netlink")
    with lab.capture("c:br0") as seen:
        send(lab, inner.group, inner.source, b"in VLAN 4000")
        seen["c:br0"].wait_for_payload(b"in VLAN 4000")
    lab.apply(DelVlan("c", "vxlan0", 4000))
    with lab.capture("c:br0") as seen:
        send(lab, inner.group, inner.source, b"lost")
        send(lab, inner.other, inner.source, b"in VLAN 10")
        seen["c:br0"].wait_for_payload(b"in VLAN 10")
    assert seen["c:br0"].was_live, seen["c:br0"].proof
    found = b"lost" in seen["c:br0"].payloads()
    assert not found, "c received a group of a VLAN that its port is not in"
