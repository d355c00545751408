"""The tenants of E5, and what the servers of one receive while the other's send."""

from __future__ import annotations

import pytest

from vxlab import operations

#: The other tenant of each.
OTHER = {"kim": "lee", "lee": "kim"}
tenants = pytest.mark.parametrize("tenant", ["kim", "lee"])


def mac_of(lab, name):
    return lab[name].ip("link", "show", "eth0")[0]["address"]


def add_neighbour_entries(lab):
    """Let each server know its peer's MAC: in one segment ARP finds two servers of one address."""
    for number in (1, 2):
        for name in OTHER:
            place, peer = f"{name}-srv{number}", f"{name}-srv{3 - number}"
            address = f"1.1.1.{3 - number}"
            lab.apply(operations.AddNeighbour(place, "eth0", address, mac_of(lab, peer)))


def payloads_received(lab, tenant, there):
    """What server ``there`` of each tenant receives while ``tenant``'s other server sends.

    The other tenant's server sends last, by the same way: what was sent before has arrived then.
    """
    here, target, bystander = (
        f"{name}-srv{number}"
        for name, number in ((tenant, 3 - there), (tenant, there), (OTHER[tenant], there))
    )
    with lab.capture(target, bystander) as seen:
        lab[here].send_marked(f"1.1.1.{there}", b"for one")
        seen[target].wait_for_payload(b"for one")
        lab[here].send_marked("1.1.1.255", b"for all")
        seen[target].wait_for_payload(b"for all")
        lab[f"{OTHER[tenant]}-srv{3 - there}"].send_marked(f"1.1.1.{there}", b"the end")
        seen[bystander].wait_for_payload(b"the end")
    assert all(capture.was_live and not capture.dropped for capture in seen.values())
    return {place: capture.payloads() for place, capture in seen.items()}
