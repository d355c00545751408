"""0.2 Backends: netlink, `ip` and a script build the same lab from one plan.

Every topology of the catalog is built in two ways at once, and the state of all nodes is compared:
links, addresses, FDB entries, neighbours, routes, groups.
"""

from __future__ import annotations

import dataclasses

import pytest

from vxlab import Lab, catalog, difference, wait_until
from vxlab.operations import AddLink


def with_ttl_77(operation):
    """The control's change: vxlan devices are created with ttl 77."""
    if isinstance(operation, AddLink) and operation.kind == "vxlan":
        attributes = {**dict(operation.attributes), "ttl": 77}
        return dataclasses.replace(operation, attributes=tuple(attributes.items()))
    return operation


def differences(one, other):
    """What differs between two labs, node by node, apart from learned FDB entries."""
    before, after = one.state(), other.state()
    found = dict.fromkeys(before.keys() ^ after.keys(), "only in one")
    for node in before.keys() & after.keys():
        lines = difference(before[node], after[node])
        lasting = [line for line in lines if not line.endswith(" learned")]
        if lasting:
            found[node] = lasting
    return found


@pytest.mark.behaviour(
    "a lab built by `ip` or by the script backend has the same links, addresses, FDB entries, "
    "neighbours, routes and groups as the lab that netlink builds from the same topology",
    source="ip-link(8), ip-address(8), bridge(8)",
)
@pytest.mark.control(
    "the vxlan devices of the lab built by netlink have ttl 77",
    change=with_ttl_77,
    because=r"to be in the same state.*'- link \d+: vxlan\d+: [^']* ttl 77 ",
)
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
            f"the labs built by netlink and by {by} to be in the same state",
            found=lambda: str(differences(lab, other)),
        )
