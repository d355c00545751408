"""What scenarios have in common about addresses: when one may be used, and who asks for MACs."""

from __future__ import annotations

from vxlab import wait_until
from vxlab.operations import AddNeighbour


def wait_for_addresses(lab, node):
    """Wait until no address of a node is tentative, as IPv6 ones are at first, even without DAD."""

    def tentative():
        return [row.address for row in lab[node].state.addresses if "tentative" in row.flags]

    wait_until(
        lambda: not tentative(), f"{node}'s addresses to be good", found=lambda: str(tentative())
    )


def acquaint(lab):
    """b knows a's MAC in the overlay: else it asks for it, 5 s after its first answer."""
    (mac,) = (link.mac for link in lab["a"].state.links if link.name == "vxlan0")
    lab.apply(AddNeighbour("b", "vxlan0", "172.18.1.2", mac))
