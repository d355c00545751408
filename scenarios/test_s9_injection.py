"""9.1 Injection: what a stranger of the underlay can do to tenants, and what not.

    kim-a 172.18.1.1 VNI 10 ┐
                            ├ a 192.168.57.50 ── lan ──┬── .54 b (kim-b, lee-b)
    lee-a 172.18.1.1 VNI 20 ┘                          └── .55 c, the stranger

c has no vxlan device: a VTEP in Python sends what no kernel would.
"""

from __future__ import annotations

import pytest
from device_tools import PORTS, A, B, C, holds, swap_at
from tenants import MAC, both_move_in, houses

from vxlab.operations import AddLink
from vxlab.reference import ReferenceVtep

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), vxlan_vs_find_vni()"
KIM, LEE = "kim-a:kim-a", "lee-a:lee-a"
BROADCAST = "ff:ff:ff:ff:ff:ff"

pytestmark = pytest.mark.topology(houses())


def forged(data, to=MAC["a"], source="02:00:00:00:00:66"):
    """A marked datagram for kim's and lee's address, as a frame from a MAC of nobody."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    ip = IP(src="172.18.1.66", dst="172.18.1.1") / UDP(sport=1, dport=40404)
    return Ether(src=source, dst=to) / ip / (b"vxlab:" + data)


def who_hears(lab, *, to=MAC["a"], outer=None, **header):
    """Which of a's tenants hear a forged frame; afterwards both hear one of their own."""
    both_move_in(lab)
    with (
        ReferenceVtep(lab["c"], local=C, remotes=A, address="172.18.1.66/24") as stranger,
        lab.capture(KIM, LEE, ports=PORTS) as seen,
    ):
        stranger.send_outer(stranger.encapsulate(forged(b"forged", to), **header), **(outer or {}))
        for vni, place in ((10, KIM), (20, LEE)):
            stranger.send(forged(b"honest"), vni=vni)
            seen[place].wait_for(holds(b"honest"), "a good frame, later", timeout=3)
    assert seen[KIM].was_live
    assert seen[LEE].was_live
    return [
        name
        for name, place in (("kim", KIM), ("lee", LEE))
        if any(holds(b"forged")(frame) for frame in seen[place].frames)
    ]


def mixed_up_at_a(operation):
    """A control: on a kim has lee's VNI, and lee has kim's."""
    if not isinstance(operation, AddLink) or operation.kind != "vxlan":
        return operation
    found = dict(operation.attributes)
    return swap_at("a", id={10: 20, 20: 10}[found["id"]])(operation)


@pytest.mark.behaviour("a forged frame reaches the tenant of its VNI and no other", source=RECEIVE)
@pytest.mark.control("kim and lee have each other's VNI", change=mixed_up_at_a, because="kim")
@pytest.mark.parametrize("to", [MAC["a"], BROADCAST], ids=["unicast", "broadcast"])
@pytest.mark.parametrize(("vni", "tenant"), [(10, "kim"), (20, "lee")], ids=["kim", "lee"])
def test_a_forged_frame_is_heard_by_the_tenant_of_its_vni(lab, vni, tenant, to):
    assert who_hears(lab, vni=vni, to=to) == [tenant]


@pytest.mark.behaviour("a forged frame in nobody's VNI reaches nobody", source=RECEIVE)
@pytest.mark.control("the VNI is kim's", arguments={"vni": 10}, because="kim")
@pytest.mark.parametrize("to", [MAC["a"], BROADCAST], ids=["unicast", "broadcast"])
@pytest.mark.parametrize("vni", [0, 1, 11, 0x0A00, 0x0A0000, 16777215])
def test_a_forged_frame_is_heard_by_nobody_in_vni(lab, vni, to):
    assert who_hears(lab, vni=vni, to=to) == []


@pytest.mark.behaviour(
    "where a packet comes from does not matter: a VTEP takes it from anybody", source=RECEIVE
)
@pytest.mark.control("kim and lee have each other's VNI", change=mixed_up_at_a, because="kim")
@pytest.mark.parametrize(
    "source",
    [B, C, "192.168.57.99", "203.0.113.9"],
    ids=["the-other-vtep", "a-stranger", "nobody", "nowhere"],
)
def test_a_forged_frame_is_taken_from(lab, source):
    assert who_hears(lab, vni=10, outer={"source": source}) == ["kim"]


HEADERS = {
    "without-the-i-flag": {"vni": 10, "flags": 0x00},
    "with-a-reserved-bit": {"vni": 10, "reserved1": 1},
    "with-a-reserved-flag": {"vni": 10, "flags": 0x48},
}


@pytest.mark.behaviour("an odd header opens no way to any tenant", source=RECEIVE)
@pytest.mark.control("the header is a good one", arguments={"header": {"vni": 10}}, because="kim")
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_forged_frame_is_not_heard(lab, header):
    assert who_hears(lab, **header) == []


@pytest.mark.behaviour("a VNI on another port is nobody's", source=RECEIVE)
@pytest.mark.control("it is the right port", arguments={"port": 4789}, because="kim")
@pytest.mark.parametrize("port", [4790, 8472, 14789])
def test_a_forged_frame_to_another_port_is_not_heard(lab, port):
    assert who_hears(lab, vni=10, outer={"port": port}) == []


@pytest.mark.behaviour(
    "a forged frame moves a MAC to the forger in its own VNI, and in no other",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control("kim and lee have each other's VNI", change=mixed_up_at_a)
def test_a_forged_frame_moves_a_mac_in_its_vni_alone(lab):
    both_move_in(lab)
    for tenant in ("kim", "lee"):
        assert lab[f"{tenant}-a"].ping("172.18.1.2", timeout=3)
    with (
        ReferenceVtep(lab["c"], local=C, remotes=A, address="172.18.1.66/24") as stranger,
        lab.capture(KIM, LEE, ports=PORTS) as seen,
    ):
        stranger.send(forged(b"I am b", source=MAC["b"]), vni=10)
        for vni, place in ((10, KIM), (20, LEE)):
            stranger.send(forged(b"honest"), vni=vni)
            seen[place].wait_for(holds(b"honest"), "a good frame", timeout=3)
    found = {}
    for tenant in ("kim", "lee"):
        rows = lab[f"{tenant}-a"].bridge("fdb", "show", "dev", f"{tenant}-a")
        found[tenant] = [row["dst"] for row in rows if row["mac"] == MAC["b"]]
    assert found == {"kim": [C], "lee": [B]}
