"""9.2 Many tenants: sixteen on the same two hosts, all numbered alike; who hears whom.

t1-a 172.18.1.1 VNI 101 ┐                                    ┌ VNI 101 172.18.1.2 t1-b
…                       ├ a 192.168.57.50 ── lan ── .54 b ───┤ …
t16-a 172.18.1.1 VNI 116┘                                    └ VNI 116 172.18.1.2 t16-b
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import udp_ports
from tenants import EVERYBODY, houses, move_in

from vxlab.operations import AddLink

TENANTS = tuple(f"t{number}" for number in range(1, 17))
VNIS = {tenant: 100 + number for number, tenant in enumerate(TENANTS, 1)}
RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()"

pytestmark = pytest.mark.topology(houses(TENANTS))


def two_mixed_up(operation):
    """A control: on b the tenants 7 and 8 have each other's VNI."""
    if not isinstance(operation, AddLink) or operation.node != "b":
        return operation
    found = dict(operation.attributes)
    found["id"] = {107: 108, 108: 107}.get(found.get("id"), found.get("id"))
    return dataclasses.replace(operation, attributes=tuple(found.items()))


def matrix(lab, to):
    """Who hears whom when all speak on a: for each tenant of b, the names of those it hears."""
    places = {tenant: f"{tenant}-b:{tenant}-b" for tenant in TENANTS}
    with lab.capture(*places.values(), buffer=1 << 20) as seen:
        for tenant in TENANTS:
            lab[f"{tenant}-a"].send_marked(to, tenant.encode())
        for tenant in TENANTS:
            lab[f"{tenant}-a"].send_marked(to, b"end")
        for place in places.values():
            seen[place].wait_for_payload(b"end", timeout=3)
    assert all(capture.was_live and not capture.dropped for capture in seen.values())
    return {
        tenant: [mark.decode() for mark in seen[place].payloads() if mark != b"end"]
        for tenant, place in places.items()
    }


def t16_elsewhere(operation):
    if not isinstance(operation, AddLink) or not operation.name.startswith("t16-"):
        return operation
    found = {**dict(operation.attributes), "dstport": 14789}
    return dataclasses.replace(operation, attributes=tuple(found.items()))


@pytest.mark.behaviour("of sixteen tenants each hears its own peer, and no other", source=RECEIVE)
@pytest.mark.control("two of them are mixed up on b", change=two_mixed_up, because="t7")
@pytest.mark.parametrize("to", ["172.18.1.2", EVERYBODY], ids=["unicast", "broadcast"])
def test_each_of_sixteen_hears_its_own_alone(lab, to):
    for tenant, vni in VNIS.items():
        move_in(lab, tenant, id=vni)
    assert matrix(lab, to) == {tenant: [tenant] for tenant in TENANTS}


@pytest.mark.behaviour(
    "sixteen tenants in one group hear their own peers alone too", source=RECEIVE
)
@pytest.mark.control("two of them are mixed up on b", change=two_mixed_up, because="t7")
def test_each_of_sixteen_in_one_group_hears_its_own_alone(lab):
    for tenant, vni in VNIS.items():
        move_in(lab, tenant, id=vni, group="239.1.1.1", dev="eth0")
    assert matrix(lab, EVERYBODY) == {tenant: [tenant] for tenant in TENANTS}


@pytest.mark.behaviour(
    "sixteen tenants share one socket", source="drivers/net/vxlan/vxlan_core.c: __vxlan_sock_add()"
)
@pytest.mark.control("one has another port", change=t16_elsewhere, because="14789")
def test_sixteen_tenants_share_a_socket(lab):
    for tenant, vni in VNIS.items():
        move_in(lab, tenant, id=vni)
    assert udp_ports(lab, "a") == {4: [4789], 6: []}
