"""11.4 One vxlan device for all VLANs of a bridge: each VLAN has a VNI of the device's filter.

a1 ── VLAN 10 ┐                                              ┌ VLAN 10 ── a2
              ├ br0 ── vx0 external vnifilter, vlan_tunnel ──┤
b1 ── VLAN 20 ┘        VLAN 10 VNI 1010, VLAN 20 VNI 1020    └ VLAN 20 ── b2
"""

from __future__ import annotations

import dataclasses

import pytest
from absence_tools import on_one_processor
from device_tools import holds
from flood_tools import BROADCAST, datagram_frame, send_frames
from vlan_tools import NETWORK, UNDERLAY, access, carried

from vxlab import Bridge, PortVlan, TopologyBuilder, Vxlan, wait_until
from vxlab.operations import AddVlanTunnel, AddVni, DelVni

GROUPS = {4: ("239.1.1.1", "239.1.1.2"), 6: ("ff05::1", "ff05::2")}
TUNNEL = "net/bridge/br_vlan_tunnel.c: br_handle_{in,e}gress_vlan_tunnel()"
SELFTEST = "; selftest net/test_vxlan_vnifiltering.sh"

pytestmark = pytest.mark.requires("vxlan.vnifilter")


def single_device(family=4, flood="vni"):
    """Two hosts with one external vxlan device each; ``flood``: whose remote or group it is.

    "vni": each VNI has a remote, "device": the device has one, "vni-group" and "device-group" have
    multicast groups.
    """
    t = TopologyBuilder("one vxlan device for all VLANs")
    t.cable("lan", NETWORK[family])
    for n in (1, 2):
        host, own, other = f"h{n}", UNDERLAY[family][n - 1], UNDERLAY[family][2 - n]
        t.host(host, "lan")
        t.device(host, Bridge("br0", vlan_filtering=True, vlan_default_pvid=0))
        t.device(host, vxlan_device(own, other, family, flood))
        for number, vni in enumerate((1010, 1020)):
            to = {"vni": {"remote": other}, "vni-group": {"group": GROUPS[family][number]}}
            t.then(AddVni(host, "vx0", vni, **to.get(flood, {})))
        for name, vlan in (("a", 10), ("b", 20)):
            addresses = f"10.0.{vlan}.{n}/24"
            t.container(f"{name}{n}", host, "br0", addresses, mtu=1430, vlans=access(vlan))
    return t.build()


def vxlan_device(own, other, family, flood):
    """The vxlan device of a host: a port of br0, with a VNI for each VLAN."""
    more = {"device": {"remote": other}, "device-group": {"group": GROUPS[family][0]}}
    attributes = {"external": True, "vnifilter": True, "local": own, "dev": "eth0"}
    attributes |= {"dstport": 4789, "learning": True, **more.get(flood, {})}
    vlans = (PortVlan(10, vni=1010), PortVlan(20, vni=1020))
    return Vxlan(
        "vx0", master="br0", attributes=attributes, port={"vlan_tunnel": True}, vlans=vlans
    )


def swapped_vnis(operation):
    """A control: on h2 each VLAN has the VNI of the other one."""
    if isinstance(operation, AddVlanTunnel) and operation.node == "h2":
        return dataclasses.replace(operation, vni=2030 - operation.vni)
    return operation


def without_vni_1020(operation):
    """A control: VNI 1020 is not in the filter of h1."""
    if isinstance(operation, AddVni) and operation.node == "h1" and operation.vni == 1020:
        return None
    return operation


def assert_flooded(lab, vlan, name, wanted):
    """Assert in which VNI, whereto, and with which tags a broadcast of h1's endpoint leaves."""
    data = b"in %d" % vlan
    with lab.capture("h1:eth0") as seen:
        send_frames(lab[f"{name}1"], "eth0", datagram_frame(BROADCAST, data))
        seen["h1:eth0"].wait_for(holds(data), f"a broadcast in VLAN {vlan}")
    found = carried(seen["h1:eth0"], data)
    assert found == [wanted], f"VLAN {vlan} is carried as {found}"


@pytest.mark.behaviour(
    "one external vxlan device carries each VLAN of its bridge in the VNI that the port has for the"
    " VLAN, without a tag, and endpoints reach those in their own VLAN",
    source=TUNNEL + SELFTEST,
)
@pytest.mark.control(
    "on h2 each VLAN has the VNI of the other one",
    change=swapped_vnis,
    because=r"no answer: \[\('a1', '10\.0\.10\.2'\), \('b1', '10\.0\.20\.2'\)\]",
)
@pytest.mark.topology(
    single_device, family=[4, 6], flood=["vni", "device", "vni-group", "device-group"]
)
def test_each_vlan_has_a_vni_of_its_own(lab, chosen):
    missing = lab.unreached([("a1", "10.0.10.2"), ("b1", "10.0.20.2")])
    assert missing == [], f"no answer: {missing}"
    rows = [row for row in lab["h1"].state.vlans if row.interface == "vx0"]
    assert [(row.vlan, row.vni) for row in rows] == [(10, 1010), (20, 1020)]


@pytest.mark.behaviour(
    "what a bridge floods in a VLAN goes to the remote or group of the VLAN's VNI, and to that of"
    " the vxlan device where the VNI has none",
    source="drivers/net/vxlan/vxlan_vnifilter.c: vxlan_update_default_fdb_entry()" + SELFTEST,
)
@pytest.mark.control(
    "on h1 VNI 1020 is not in the filter",
    change=without_vni_1020,
    because="waited .* for a broadcast in VLAN 20",
)
@pytest.mark.topology(
    single_device, family=[4, 6], flood=["vni", "device", "vni-group", "device-group"]
)
def test_a_vlan_floods_to_the_remote_of_its_vni(lab, chosen):
    family, other = chosen["family"], UNDERLAY[chosen["family"]][1]
    first, second = {
        "vni": (other, other),
        "device": (other, other),
        "vni-group": GROUPS[family],
        "device-group": (GROUPS[family][0], GROUPS[family][0]),
    }[chosen["flood"]]
    assert_flooded(lab, 10, "a", (1010, first, ()))
    assert_flooded(lab, 20, "b", (1020, second, ()))


@pytest.mark.behaviour(
    "a VLAN whose VNI is taken from the filter of a bridge's vxlan device is received no more,"
    " while another VLAN of the same device is, until the VNI is added again",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()" + SELFTEST,
)
@pytest.mark.control(
    "the VNI stays in the filter",
    without=DelVni,
    because=r"b2 received \[b'no VNI', b'VNI again'\]",
)
@pytest.mark.topology(single_device, family=[4, 6])
def test_a_vlan_without_its_vni_is_not_received(lab, chosen):
    own = UNDERLAY[chosen["family"]][0]
    sent = [("b", b"no VNI"), ("a", b"other VNI"), ("b", b"VNI again")]
    with on_one_processor(), lab.capture("a2", "b2") as seen:
        lab.apply(DelVni("h2", "vx0", 1020))
        for name, data in sent:
            if data == b"VNI again":
                lab.apply(AddVni("h2", "vx0", 1020, remote=own))
            send_frames(lab[f"{name}1"], "eth0", datagram_frame(BROADCAST, data))
            if data != b"no VNI":
                seen[f"{name}2"].wait_for_payload(data)
    assert seen["b2"].was_live
    found = seen["b2"].payloads()
    assert found == [b"VNI again"], f"b2 received {found}"


def learned(lab, mac):
    """The entries for a MAC on h1: port, VLAN, VNI and remote of each."""
    rows = [row for row in lab["h1"].state.fdb if row.mac == mac]
    return {(row.interface, row.vlan, row.src_vni, row.dst) for row in rows}


@pytest.mark.behaviour(
    "the source MAC of a decapsulated frame is learned by an external vxlan device in the packet's"
    " VNI, and by the bridge in the VLAN of that VNI",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop(); " + TUNNEL,
)
@pytest.mark.control(
    "on h2 each VLAN has the VNI of the other one",
    change=swapped_vnis,
    because=r"h1 to learn 02:00:00:00:00:aa; found .*\('vx0', 20, None, None\)",
)
@pytest.mark.topology(single_device, family=[4, 6])
def test_a_mac_is_learned_in_the_vni_of_its_vlan(lab, chosen):
    mac, other = "02:00:00:00:00:aa", UNDERLAY[chosen["family"]][1]
    wanted = {("vx0", None, 1010, other), ("vx0", 10, None, None)}
    send_frames(lab["a2"], "eth0", datagram_frame(BROADCAST, b"learn me", mac=mac))
    wait_until(
        lambda: learned(lab, mac) == wanted,
        f"h1 to learn {mac}",
        timeout=3,
        found=lambda: str(learned(lab, mac)),
    )
