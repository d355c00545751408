"""9.3 Injection: which tenants a forged VXLAN packet from the underlay reaches.

    kim-a 172.18.1.1 VNI 10 ┐
                            ├ a 192.168.57.50 ── lan ──┬── .54 b (kim-b, lee-b)
    lee-a 172.18.1.1 VNI 20 ┘                          └── .55 c, which has no tenant

c has no vxlan device: a VTEP in Python sends packets of a kind that the kernel does not send.
"""

from __future__ import annotations

import pytest
from device_tools import PORTS, A, B, C, holds
from tenants import ADDRESS, MAC, VNIS, add_kim_and_lee, tenant_hosts, vnis_swapped_at_a

from vxlab import ReferenceVtep, frames

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), vxlan_vs_find_vni()"
PLACES = {"kim": "kim-a:kim-a", "lee": "lee-a:lee-a"}
BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
SWAPPED = "on a, kim has lee's VNI and lee has kim's"
ONLY_LEE = r"reached \['lee'\], not \['kim'\]"
ONLY_KIM = r"reached \['kim'\], not \[\]"

pytestmark = pytest.mark.topology(tenant_hosts())


def marked_inner_frame(data, to=MAC["a"], source="02:00:00:00:00:66"):
    """A marked datagram to kim's and lee's address on a, in an Ethernet frame."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    ip = IP(src="172.18.1.66", dst=ADDRESS["a"]) / UDP(sport=1, dport=frames.MARK_PORT)
    return Ether(src=source, dst=to) / ip / (frames.MARK_PREFIX + data)


def vtep_on_c(lab):
    """A VTEP in Python on c, whose remote is a."""
    return ReferenceVtep(lab["c"], local=C, remotes=A, address="172.18.1.66/24")


def wait_for_later_frames(vtep, seen):
    """Send a valid frame in each VNI and wait until each tenant of a has received one.

    What was sent before then has been received, or dropped.
    """
    for vni in VNIS.values():
        vtep.send(marked_inner_frame(b"later"), vni=vni)
    for place in PLACES.values():
        seen[place].wait_for(holds(b"later"), "a valid frame, sent later", timeout=3)


def assert_forged_frame_reaches(lab, tenants, *, to=MAC["a"], outer=None, **header):
    """c sends a forged packet to a: assert which of a's tenants receive its inner frame.

    ``header`` are fields of the VXLAN header, ``outer`` those of the outer ones.
    """
    add_kim_and_lee(lab)
    with vtep_on_c(lab) as vtep, lab.capture(*PLACES.values(), ports=PORTS) as seen:
        packet = vtep.encapsulate(marked_inner_frame(b"forged", to), **header)
        vtep.send_outer(packet, **(outer or {}))
        wait_for_later_frames(vtep, seen)
    assert all(capture.was_live for capture in seen.values())
    is_forged = holds(b"forged")
    found = [
        tenant
        for tenant, place in PLACES.items()
        if any(is_forged(frame) for frame in seen[place].frames)
    ]
    assert found == tenants, f"the forged frame reached {found}, not {tenants}"


@pytest.mark.behaviour(
    "a forged VXLAN packet reaches the tenant with its VNI and no other tenant", source=RECEIVE
)
@pytest.mark.control(
    SWAPPED,
    change=vnis_swapped_at_a,
    because=r"reached \['lee'\], not \['kim'\]|reached \['kim'\], not \['lee'\]",
)
@pytest.mark.parametrize("to", [MAC["a"], BROADCAST_MAC], ids=["unicast", "broadcast"])
@pytest.mark.parametrize(("vni", "tenant"), [(10, "kim"), (20, "lee")], ids=["kim", "lee"])
def test_a_forged_packet_reaches_the_tenant_of_its_vni_alone(lab, vni, tenant, to):
    assert_forged_frame_reaches(lab, [tenant], vni=vni, to=to)


@pytest.mark.behaviour(
    "a forged VXLAN packet with a VNI that no tenant has reaches no tenant", source=RECEIVE
)
@pytest.mark.control(
    "the forged packet has VNI 10, which is kim's", arguments={"vni": 10}, because=ONLY_KIM
)
@pytest.mark.parametrize("to", [MAC["a"], BROADCAST_MAC], ids=["unicast", "broadcast"])
@pytest.mark.parametrize("vni", [0, 1, 11, 0x0A00, 0x0A0000, 16777215])
def test_a_forged_packet_with_an_unused_vni_reaches_no_tenant(lab, vni, to):
    assert_forged_frame_reaches(lab, [], vni=vni, to=to)


@pytest.mark.behaviour(
    "a forged VXLAN packet reaches the tenant with its VNI from any outer source address",
    source=RECEIVE,
)
@pytest.mark.control(SWAPPED, change=vnis_swapped_at_a, because=ONLY_LEE)
@pytest.mark.parametrize(
    "source",
    [B, C, "192.168.57.99", "203.0.113.9"],
    ids=["the-remote", "another-host", "an-unused-address", "an-address-without-a-route"],
)
def test_a_forged_packet_is_accepted_from_any_source(lab, source):
    assert_forged_frame_reaches(lab, ["kim"], vni=10, outer={"source": source})


HEADERS = {
    "without-the-i-flag": {"vni": 10, "flags": 0x00},
    "with-a-reserved-bit": {"vni": 10, "reserved1": 1},
    "with-a-reserved-flag": {"vni": 10, "flags": 0x48},
}


@pytest.mark.behaviour(
    "a forged VXLAN packet whose header has no I flag, or a reserved bit or flag set, reaches no"
    " tenant",
    source=RECEIVE,
)
@pytest.mark.control(
    "the forged packet has a valid VXLAN header with kim's VNI",
    arguments={"header": {"vni": 10}},
    because=ONLY_KIM,
)
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_forged_packet_with_an_invalid_header_reaches_no_tenant(lab, header):
    assert_forged_frame_reaches(lab, [], **header)


@pytest.mark.behaviour(
    "a forged VXLAN packet with a tenant's VNI for another UDP port reaches no tenant",
    source=RECEIVE,
)
@pytest.mark.control(
    "the forged packet is for UDP port 4789, which is the tenants'",
    arguments={"port": 4789},
    because=ONLY_KIM,
)
@pytest.mark.parametrize("port", [4790, 8472, 14789])
def test_a_forged_packet_for_another_port_reaches_no_tenant(lab, port):
    assert_forged_frame_reaches(lab, [], vni=10, outer={"port": port})


@pytest.mark.behaviour(
    "a forged frame with a learned MAC as its source moves the FDB entry to the forger's VTEP in"
    " its own VNI and in no other",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control(
    SWAPPED,
    change=vnis_swapped_at_a,
    because="b's MAC is behind 192.168.57.54 for kim, behind 192.168.57.55 for lee",
)
def test_a_forged_frame_moves_a_mac_in_its_vni_alone(lab):
    add_kim_and_lee(lab)
    for tenant in VNIS:
        assert lab[f"{tenant}-a"].ping(ADDRESS["b"], timeout=3)
    with vtep_on_c(lab) as vtep, lab.capture(*PLACES.values(), ports=PORTS) as seen:
        vtep.send(marked_inner_frame(b"forged", source=MAC["b"]), vni=10)
        wait_for_later_frames(vtep, seen)
    remotes = {}
    for tenant in VNIS:
        rows = lab[f"{tenant}-a"].bridge("fdb", "show", "dev", f"{tenant}-a")
        (remotes[tenant],) = [row["dst"] for row in rows if row["mac"] == MAC["b"]]
    kim, lee = remotes["kim"], remotes["lee"]
    assert (kim, lee) == (C, B), f"b's MAC is behind {kim} for kim, behind {lee} for lee"
