"""Waiting for addresses to be usable, and a neighbour entry that spares b an ARP request."""

from __future__ import annotations

from vxlab import wait_until
from vxlab.operations import AddNeighbour


def wait_for_addresses(lab, node):
    """Wait until no address of a node is tentative.

    A new IPv6 address is tentative at first, even without duplicate address detection.
    """

    def tentative():
        return [row.address for row in lab[node].state.addresses if "tentative" in row.flags]

    wait_until(
        lambda: not tentative(),
        f"{node} to have no tentative address",
        found=lambda: str(tentative()),
    )


def acquaint(lab):
    """Give b a permanent neighbour entry for a's overlay address.

    Without it b sends an ARP request for a's MAC 5 s after its first reply.
    """
    (mac,) = (link.mac for link in lab["a"].state.links if link.name == "vxlan0")
    lab.apply(AddNeighbour("b", "vxlan0", "172.18.1.2", mac))
