"""Ready-made topologies, one function each, to be used, read and copied.

Each returns a :class:`~vxlab.describe.topology.Topology`, and raises TopologyError for a value that
cannot be.  ``family`` is that of the underlay, 4 or 6; an IPv6 underlay has the IPv4 numbers in its
addresses (192.168.57.50 becomes fd00:192:168:57::50).  ``port`` is the UDP destination port, where
0 stands for the kernel's 8472.  Names and addresses are those of well-known how-to articles, so
that a reader finds them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping

from vxlab.catalog.addresses_on_devices import one_switch, point_to_point
from vxlab.catalog.behind_routers import kim_and_lee, routed
from vxlab.catalog.bridges import bridged, multicast
from vxlab.catalog.fabrics import (
    bond_underlay,
    impaired,
    mdb,
    spine_leaf,
    two_routers,
    vrf_underlay,
)
from vxlab.catalog.gateways import flannel, irb_asymmetric, irb_symmetric
from vxlab.catalog.underlay import GROUPS, Ttl
from vxlab.catalog.vlans import q_in_vni, single_device, vlan_aware
from vxlab.describe.topology import Topology

__all__ = [
    "CATALOG",
    "GROUPS",
    "Ttl",
    "bond_underlay",
    "bridged",
    "flannel",
    "impaired",
    "irb_asymmetric",
    "irb_symmetric",
    "kim_and_lee",
    "mdb",
    "multicast",
    "one_switch",
    "picture_of",
    "point_to_point",
    "q_in_vni",
    "routed",
    "single_device",
    "spine_leaf",
    "summary_of",
    "two_routers",
    "vlan_aware",
    "vrf_underlay",
]

#: All topologies by name.
CATALOG: Mapping[str, Callable[..., Topology]] = {
    "point-to-point": point_to_point,
    "bridged": bridged,
    "multicast": multicast,
    "one-switch": one_switch,
    "kim-and-lee": kim_and_lee,
    "routed": routed,
    "vlan-aware": vlan_aware,
    "single-device": single_device,
    "q-in-vni": q_in_vni,
    "irb-symmetric": irb_symmetric,
    "irb-asymmetric": irb_asymmetric,
    "flannel": flannel,
    "mdb": mdb,
    "vrf-underlay": vrf_underlay,
    "bond-underlay": bond_underlay,
    "spine-leaf": spine_leaf,
    "two-routers": two_routers,
    "impaired": impaired,
}


def summary_of(name: str) -> str:
    """In a line of plain words, what the topology of that name is; "" where there is none."""
    text = _description(name).partition("\n")[0]
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")
    return re.sub(r" \(E\d+\)", "", text)


def picture_of(name: str) -> list[str]:
    """The lines that draw the topology of that name, without their own indent; none without it."""
    for part in _description(name).split("\n\n")[1:]:
        if "──" in part or " ─ " in part:
            return inspect.cleandoc("\n" + part.strip("\n")).splitlines()
    return []


def _description(name: str) -> str:
    return (inspect.getdoc(CATALOG[name]) if name in CATALOG else None) or ""
