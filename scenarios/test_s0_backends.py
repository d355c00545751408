"""0.2 Backends: netlink, `ip` and a script build the same lab of one plan.

Every topology of the catalog is built in two ways at once; all that the nodes' namespaces hold is
compared: links, addresses, forwarding entries, neighbours, routes, groups.
"""

from __future__ import annotations

import dataclasses

import pytest

from vxlab import Lab, catalog, difference, wait_until
from vxlab.operations import AddFdb, AddLink


def without_the_last_remote(operation):
    """The control: nothing is flooded to further remotes, and devices have another ttl."""
    if isinstance(operation, AddFdb):
        return None
    if isinstance(operation, AddLink) and operation.kind == "vxlan":
        attributes = {**dict(operation.attributes), "ttl": 77}
        return dataclasses.replace(operation, attributes=tuple(attributes.items()))
    return operation


def differences(one, other):
    """What differs between two labs, node by node, apart from what their switches have learned."""
    before, after = one.state(), other.state()
    found = dict.fromkeys(before.keys() ^ after.keys(), "only in one")
    for node in before.keys() & after.keys():
        lines = difference(before[node], after[node])
        lasting = [line for line in lines if not line.endswith(" learned")]
        if lasting:
            found[node] = lasting
    return found


@pytest.mark.behaviour(
    "a lab built by ip, or by a script, holds what the same lab built by netlink holds",
    source="ip-link(8), ip-address(8), bridge(8)",
)
@pytest.mark.control("the lab has other vxlan devices", change=without_the_last_remote)
@pytest.mark.parametrize("by", ["iproute2", "script"])
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[3])
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.topology(catalog.multicast, family=[4, 6])
@pytest.mark.topology(catalog.one_switch, family=[4, 6])
@pytest.mark.topology(catalog.kim_and_lee, family=[4, 6], ttl=["rule", "device"])
@pytest.mark.topology(catalog.routed, family=[4, 6])
def test_every_backend_builds_the_same_lab(lab, by):
    with Lab(lab.topology, backend=by) as other:
        wait_until(
            lambda: not differences(lab, other),
            f"the lab that {by} built to hold what netlink's holds",
            found=lambda: str(differences(lab, other)),
        )
