"""9.2 Many tenants: sixteen on the same two hosts, with equal MAC and IP addresses.

t1-a 172.18.1.1 VNI 101 ┐                                    ┌ VNI 101 172.18.1.2 t1-b
…                       ├ a 192.168.57.50 ── lan ── .54 b ───┤ …
t16-a 172.18.1.1 VNI 116┘                                    └ VNI 116 172.18.1.2 t16-b
"""

from __future__ import annotations

import pytest
from device_tools import swap, udp_ports
from tenants import ADDRESS, BROADCAST_ADDRESS, add_tenant, tenant_hosts, with_values

from vxlab.operations import AddLink

TENANTS = tuple(f"t{number}" for number in range(1, 17))
VNIS = {tenant: 100 + number for number, tenant in enumerate(TENANTS, 1)}
RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()"

pytestmark = pytest.mark.topology(tenant_hosts(TENANTS))


def two_vnis_swapped_at_b(operation):
    """A control: on b t7 has t8's VNI, and t8 has t7's."""
    return with_values(operation, "b", "id", {107: 108, 108: 107})


SWAPPED = "on b, t7 has t8's VNI and t8 has t7's"
SWAPPED_SHOWS = r"received: \{'t7': \['t8'\], 't8': \['t7'\]\}"


def port_14789_for_t16(operation):
    """A control: the devices of t16 have the UDP port 14789."""
    if isinstance(operation, AddLink) and operation.name.startswith("t16-"):
        return swap(dstport=14789)(operation)
    return operation


def add_tenants(lab, **attributes):
    """Give all sixteen tenants their devices."""
    for tenant, vni in VNIS.items():
        add_tenant(lab, tenant, id=vni, **attributes)


def received_at_b(lab, to):
    """All tenants send on a: for each tenant of b, the names of those from which it receives."""
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


def assert_each_receives_its_own(lab, to):
    """Assert that each tenant of b receives from its peer on a and from no other tenant."""
    received = received_at_b(lab, to)
    wrong = {tenant: found for tenant, found in received.items() if found != [tenant]}
    assert wrong == {}, f"datagrams of other tenants were received: {wrong}"


@pytest.mark.behaviour(
    "each of sixteen tenants with the same MAC and IP addresses receives the datagrams of its own"
    " peer and of no other tenant",
    source=RECEIVE,
)
@pytest.mark.control(SWAPPED, change=two_vnis_swapped_at_b, because=SWAPPED_SHOWS)
@pytest.mark.parametrize("to", [ADDRESS["b"], BROADCAST_ADDRESS], ids=["unicast", "broadcast"])
def test_each_of_sixteen_tenants_receives_from_its_peer_alone(lab, to):
    add_tenants(lab)
    assert_each_receives_its_own(lab, to)


@pytest.mark.behaviour(
    "each of sixteen tenants whose VNIs flood to one multicast group receives the broadcasts of its"
    " own peer and of no other tenant",
    source=RECEIVE,
)
@pytest.mark.control(SWAPPED, change=two_vnis_swapped_at_b, because=SWAPPED_SHOWS)
def test_sixteen_tenants_in_one_group_are_kept_apart(lab):
    add_tenants(lab, group="239.1.1.1", dev="eth0")
    assert_each_receives_its_own(lab, BROADCAST_ADDRESS)


@pytest.mark.behaviour(
    "the devices of sixteen tenants on one UDP port share one socket",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_sock_add()",
)
@pytest.mark.control(
    "the devices of tenant t16 have the UDP port 14789",
    change=port_14789_for_t16,
    because=r"the UDP sockets of a: \{4: \[4789, 14789\], 6: \[\]\}",
)
def test_sixteen_tenants_share_a_socket(lab):
    add_tenants(lab)
    found = udp_ports(lab, "a")
    assert found == {4: [4789], 6: []}, f"the UDP sockets of a: {found}"
