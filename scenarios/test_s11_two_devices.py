"""11.1 A VLAN-aware bridge with a vxlan device for each VLAN: what goes into which tunnel.

    a10 ── VLAN 10 ┐                                     ┌ VLAN 10 ── b10
                   ├ br0 of a: vx10 VNI 1000, vx20 VNI 2000, and the same on b and c
    a20 ── VLAN 20 ┘                                     └ VLAN 20 ── b20

All ports have their VLAN as PVID, and untagged.  Each vxlan device floods to both other hosts.
"""

from __future__ import annotations

import dataclasses

import pytest
from absence_tools import on_one_processor
from device_tools import holds
from flood_tools import ANY_MAC, BROADCAST, SENDER, datagram_frame, has_ipv6_address, send_frames
from vlan_tools import EGRESS, INGRESS, NETWORK, UNDERLAY, access, carried, vlan_tags

from vxlab import Bridge, TopologyBuilder, wait_until
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddVlan,
    DelAddress,
    DelFdb,
    DelVlan,
    FlushFdb,
    SetLink,
)

VNIS = {10: 1000, 20: 2000}
SELFTEST = "; selftest forwarding/vxlan_bridge_1q.sh: "
MAC = "02:00:00:00:00:bb"


def two_devices(family=4, port=4789):
    """Three hosts, each with two VLANs in one bridge and a vxlan device for each of them."""
    t = TopologyBuilder("vxlan device for each VLAN")
    t.switch("lan", NETWORK[family])
    for vlan, vni in VNIS.items():
        t.segment(f"vlan{vlan}", vni, port=port)
    for number, host in enumerate("abc", 1):
        t.host(host, "lan")
        t.device(host, Bridge("br0", vlan_filtering=True, vlan_default_pvid=0))
        for vlan in VNIS:
            t.vtep(host, f"vlan{vlan}", device=f"vx{vlan}", bridge="br0", vlans=access(vlan))
            addresses = f"10.0.{vlan}.{number}/24"
            t.container(f"{host}{vlan}", host, "br0", addresses, vlans=access(vlan))
    return t.build()


def swapped_on_b(operation):
    """A control: on b each vxlan device has the other one's VLAN."""
    if isinstance(operation, AddVlan) and operation.node == "b" and "vx" in operation.interface:
        return dataclasses.replace(operation, vlan=30 - operation.vlan)
    return operation


def without_remote_entries(operation):
    """A control: the vxlan device does not know where the MAC address is."""
    if isinstance(operation, AddFdb) and operation.mac == MAC and operation.dst:
        return None
    return operation


def as_pvid(operation):
    """A control: the VLAN of a's port stays its PVID."""
    if isinstance(operation, AddVlan) and operation.node == "a":
        return dataclasses.replace(operation, pvid=True)
    return operation


def flood(lab, vlan, data):
    """A container of a sends a broadcast in its VLAN."""
    send_frames(lab[f"a{vlan}"], "eth0", datagram_frame(BROADCAST, data))


def flooded(lab, vlan, data):
    """What leaves a in its tunnels of a broadcast that a container sends in a VLAN.

    What it sends in the other VLAN follows, and is waited for.
    """
    with on_one_processor(), lab.capture("a:eth0") as seen:
        flood(lab, vlan, data)
        flood(lab, 30 - vlan, b"after " + data)
        for remote in lab.topology.hosts[1:]:
            seen["a:eth0"].wait_for(
                lambda frame, to=remote.nics[0].ip: (
                    holds(b"after " + data)(frame) and frame.outer_dst == to
                ),
                f"the later broadcast to {remote}",
            )
    return carried(seen["a:eth0"], data)


def both(vni, family):
    """A broadcast without a VLAN tag, in a VNI, to both other hosts."""
    _, b, c = UNDERLAY[family]
    return [(vni, b, ()), (vni, c, ())]


FAMILIES = pytest.mark.topology(two_devices, family=[4, 6])


@pytest.mark.behaviour(
    "endpoints in two VLANs of a bridge reach those in the same VLAN on all other hosts, each VLAN"
    " by a vxlan device of its own, whatever UDP port they use",
    source=INGRESS + SELFTEST + "ping_ipv4",
)
@pytest.mark.control(
    "on b, each vxlan device has the VLAN of the other one",
    change=swapped_on_b,
    because=r"no answer: \[\('a10', '10\.0\.10\.2'\), \('a20', '10\.0\.20\.2'\)",
)
@pytest.mark.topology(two_devices, family=[4, 6], port=[4789, 8472])
def test_each_vlan_reaches_its_own_peers(lab, chosen):
    pairs = [
        (f"{host}{vlan}", f"10.0.{vlan}.{peer}")
        for host, peers in (("a", (2, 3)), ("b", (3,)))
        for peer in peers
        for vlan in (10, 20)
    ]
    with lab.capture("a:eth0") as seen:
        missing = lab.unreached(pairs)
    assert missing == [], f"no answer: {missing}"
    packets = {(packet.vni, packet.port) for packet in seen["a:eth0"].encapsulated()}
    assert packets == {(1000, chosen["port"]), (2000, chosen["port"])}


@pytest.mark.behaviour(
    "a broadcast in a VLAN leaves by the vxlan device of that VLAN alone, without a tag, once for"
    " each of its remotes",
    source=EGRESS + SELFTEST + "test_flood",
)
@pytest.mark.control(
    "the vxlan device of VLAN 10 has VLAN 20 as well",
    lab=lambda lab: lab.apply(*(AddVlan("a", f"vx{vlan}", 30 - vlan) for vlan in (10, 20))),
    because=r"flooded in VLAN \d0: .*\((1000|2000), '[^']*', \(\d0,\)\)",
)
@FAMILIES
@pytest.mark.parametrize("vlan", [10, 20])
def test_a_broadcast_leaves_by_the_device_of_its_vlan(lab, chosen, vlan):
    found = flooded(lab, vlan, b"flood")
    assert found == both(VNIS[vlan], chosen["family"]), f"flooded in VLAN {vlan}: {found}"


@pytest.mark.behaviour(
    "a broadcast from a tunnel reaches the endpoints in the VLAN of its vxlan device, and none in"
    " another VLAN of the bridge",
    source=INGRESS + SELFTEST + "test_flood",
)
@pytest.mark.control(
    "on b, each vxlan device has the VLAN of the other one",
    change=swapped_on_b,
    because=r"received in VLAN 10: \[b'in 20'\], in VLAN 20: \[b'in 10'\]",
)
@FAMILIES
def test_a_broadcast_from_a_tunnel_reaches_its_vlan_alone(lab):
    with lab.capture("b10", "b20") as seen:
        for data in (b"in 10", b"in 20"):
            flood(lab, int(data[3:]), data)
            wait_until(
                lambda data=data: any(data in one.payloads() for one in seen.values()),
                f"an endpoint to receive {data!r}",
            )
    assert all(capture.was_live for capture in seen.values())
    ten, twenty = seen["b10"].payloads(), seen["b20"].payloads()
    wanted = [b"in 10"], [b"in 20"]
    assert (ten, twenty) == wanted, f"received in VLAN 10: {ten}, in VLAN 20: {twenty}"


@pytest.mark.behaviour(
    "a frame to a MAC address that is known in one VLAN goes to its remote alone, and is flooded in"
    " another VLAN",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit()" + SELFTEST + "test_unicast",
)
@pytest.mark.control(
    "the vxlan device does not know where the MAC address is",
    change=without_remote_entries,
    because=r"sent: \[\(1000, '[^']*2', \(\)\), \(1000, '[^']*3', \(\)\), \(2000",
)
@FAMILIES
@pytest.mark.parametrize("to", [1, 2], ids=["b", "c"])
def test_a_known_mac_goes_to_its_remote_alone(lab, chosen, to):
    remote = UNDERLAY[chosen["family"]][to]
    lab.apply(
        AddFdb("a", "vx10", MAC, remote),
        AddFdb("a", "vx10", MAC, vlan=10, state="static", flags=("master",)),
    )
    assert_sent_to(lab, MAC, [(1000, remote, ()), *both(2000, chosen["family"])])


def assert_sent_to(lab, mac, wanted):
    """Assert what leaves a of frames to a MAC, first in VLAN 10, then in VLAN 20."""
    with on_one_processor(), lab.capture("a:eth0") as seen:
        for vlan in (10, 20):
            send_frames(lab[f"a{vlan}"], "eth0", datagram_frame(mac, b"in %d" % vlan))
        flood(lab, 10, b"last")
        seen["a:eth0"].wait_for(holds(b"last"), "a later frame")
    found = carried(seen["a:eth0"], b"in 10", b"in 20")
    assert found == wanted, f"sent: {found}"


@pytest.mark.behaviour(
    "the source MAC of a decapsulated frame is learned by the vxlan device with its remote, and by"
    " the bridge in the VLAN of that device alone",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop(); net/bridge/br_fdb.c: br_fdb_update()"
    + SELFTEST
    + "test_learning",
)
@pytest.mark.control(
    "on b, each vxlan device has the VLAN of the other one, so that VLAN 20 comes in VNI 1000",
    change=swapped_on_b,
    because=r"a to learn 02:00:00:00:00:aa; found \[\('vx20', None, '[^']*'\), \('vx20', 20",
)
@FAMILIES
def test_a_mac_is_learned_in_the_vlan_of_its_device(lab, chosen):
    b = UNDERLAY[chosen["family"]][1]
    wanted = [("vx10", None, b), ("vx10", 10, None)]
    send_frames(lab["b10"], "eth0", datagram_frame(BROADCAST, b"learn me"))
    wait_until(
        lambda: learned(lab, SENDER) == wanted,
        f"a to learn {SENDER}",
        timeout=3,
        found=lambda: str(learned(lab, SENDER)),
    )
    sent = {"mac": MAC, "src": "172.18.1.202"}
    frame = datagram_frame(SENDER, b"to the learned one", **sent)
    with on_one_processor(), lab.capture("a:eth0") as seen:
        send_frames(lab["a10"], "eth0", frame, datagram_frame(BROADCAST, b"last", **sent))
        seen["a:eth0"].wait_for(holds(b"last"), "a later frame")
        assert carried(seen["a:eth0"], b"to the learned one") == [(1000, b, ())]
    lab.apply(FlushFdb("a", "vx10"), DelFdb("a", "vx10", SENDER, vlan=10, flags=("master",)))
    assert learned(lab, SENDER) == []


def learned(lab, mac):
    """The entries for a MAC on a: port, VLAN and remote of each, in order."""
    rows = [row for row in lab["a"].state.fdb if row.mac == mac]
    found = [(row.interface, row.vlan, row.dst) for row in rows]
    return sorted(found, key=lambda row: (row[0], row[1] or 0))


@pytest.mark.behaviour(
    "a vxlan device whose port is not in a VLAN gets none of its broadcasts, and gets them again"
    " once the VLAN is added again; another VLAN that is added changes nothing",
    source=EGRESS + SELFTEST + "test_pvid",
)
@pytest.mark.control(
    "the VLAN is not deleted",
    without=DelVlan,
    because=r"flooded without the VLAN: \[\(1000",
)
@FAMILIES
def test_a_port_without_the_vlan_gets_no_broadcasts(lab, chosen):
    wanted = both(1000, chosen["family"])
    assert flooded(lab, 10, b"before") == wanted
    lab.apply(AddVlan("a", "vx10", 30))
    assert flooded(lab, 10, b"another") == wanted
    lab.apply(DelVlan("a", "vx10", 30), DelVlan("a", "vx10", 10))
    found = flooded(lab, 10, b"deleted")
    assert found == [], f"flooded without the VLAN: {found}"
    lab.apply(AddVlan("a", "vx10", 10, pvid=True, untagged=True))
    assert flooded(lab, 10, b"added again") == wanted


@pytest.mark.behaviour(
    "a VLAN that is not untagged on the port of a vxlan device has its tag in the tunnel, until it"
    " is made untagged again",
    source=EGRESS + SELFTEST + "test_pvid",
)
@pytest.mark.control(
    "the port keeps its VLAN untagged",
    without=AddVlan,
    because=r"tags in the tunnel: \[\(\), \(\)\]",
)
@FAMILIES
def test_a_tagged_vlan_has_its_tag_in_the_tunnel(lab, chosen):
    lab.apply(AddVlan("a", "vx10", 10))
    found = [tags for _, _, tags in flooded(lab, 10, b"tagged")]
    assert found == [(10,), (10,)], f"tags in the tunnel: {found}"
    lab.apply(AddVlan("a", "vx10", 10, pvid=True, untagged=True))
    assert flooded(lab, 10, b"untagged") == both(1000, chosen["family"])


@pytest.mark.behaviour(
    "a port without a PVID drops frames without a tag that come out of the tunnel, takes those with"
    " a tag of its VLAN, and takes both once it has its PVID again",
    source=INGRESS + SELFTEST + "test_pvid",
)
@pytest.mark.control(
    "the VLAN stays the PVID of a's port",
    change=as_pvid,
    because=r"a10 received \[b'no tag', b'tag', b'PVID again'\]",
)
@FAMILIES
def test_a_port_without_a_pvid_drops_frames_without_a_tag(lab):
    lab.apply(AddVlan("a", "vx10", 10, untagged=True))
    with on_one_processor(), lab.capture("b:eth0", "a10") as seen:
        send_from_b(lab, b"no tag")
        lab.apply(AddVlan("b", "vx10", 10))
        send_from_b(lab, b"tag")
        seen["a10"].wait_for_payload(b"tag")
        lab.apply(AddVlan("a", "vx10", 10, pvid=True, untagged=True))
        lab.apply(AddVlan("b", "vx10", 10, pvid=True, untagged=True))
        send_from_b(lab, b"PVID again")
        seen["a10"].wait_for_payload(b"PVID again")
    tags = [vlan_tags(seen["b:eth0"], data)[0] for data in (b"no tag", b"tag", b"PVID again")]
    assert tags == [(), (10,), ()]
    assert seen["a10"].was_live
    found = seen["a10"].payloads()
    assert found == [b"tag", b"PVID again"], f"a10 received {found}"


def send_from_b(lab, data):
    """b's container of VLAN 10 sends a broadcast."""
    send_frames(lab["b10"], "eth0", datagram_frame(BROADCAST, data))


@pytest.mark.behaviour(
    "vxlan devices that leave their bridge and come back with their VLANs and flood entries, after"
    " the underlay address has gone and come back, forward as before",
    source=INGRESS + SELFTEST + "reapply_config",
)
@pytest.mark.control(
    "the VLANs are not added to the ports again",
    without=AddVlan,
    because=r"no answer: \[\('a10', '10\.0\.10\.2'\), \('a20', '10\.0\.20\.2'\)\]",
)
@FAMILIES
def test_all_is_as_before_after_it_was_applied_again(lab, chosen):
    own, *others = UNDERLAY[chosen["family"]]
    network = f"{own}/{NETWORK[chosen['family']].partition('/')[2]}"
    devices = ("vx10", "vx20")
    flood_entries = [(device, remote) for device in devices for remote in others]
    lab.apply(
        *(DelFdb("a", device, ANY_MAC) for device in devices),
        *(SetLink("a", device, master="") for device in devices),
        DelAddress("a", "eth0", network),
    )
    lab.apply(
        AddAddress("a", "eth0", network),
        *(SetLink("a", device, master="br0") for device in devices),
        *(AddVlan("a", f"vx{vlan}", vlan, pvid=True, untagged=True) for vlan in (10, 20)),
        *(AddFdb("a", device, ANY_MAC, remote, append=True) for device, remote in flood_entries),
    )
    wait_until(
        lambda: chosen["family"] == 4 or has_ipv6_address(lab["a"], "eth0"), "the IPv6 address"
    )
    missing = lab.unreached([("a10", "10.0.10.2"), ("a20", "10.0.20.2")])
    assert missing == [], f"no answer: {missing}"
    assert flooded(lab, 10, b"again") == both(1000, chosen["family"])
