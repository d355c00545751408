"""What ip(8) and bridge(8) show of a node of a lab, by name."""

from __future__ import annotations

from typing import Any

from vxlab import vxlan
from vxlab.live.lab import Lab


def links(lab: Lab, node: str) -> dict[str, Any]:
    """The links of a node by name, as `ip -d link show` tells them."""
    return {link["ifname"]: link for link in lab[node].ip("-d", "link", "show")}


def vxlan_of(lab: Lab, node: str, name: str) -> dict[str, Any]:
    """The attributes of a vxlan device."""
    return vxlan.from_json(links(lab, node)[name]["linkinfo"]["info_data"])


def fdb(lab: Lab, node: str, name: str) -> set[tuple[str, str, str]]:
    """(MAC, destination, state) of what a vxlan device itself knows."""
    rows = lab[node].bridge("fdb", "show", "dev", name)
    return {(row["mac"], row["dst"], row["state"]) for row in rows if "dst" in row}
