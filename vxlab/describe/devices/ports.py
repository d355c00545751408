"""What a bridge keeps about one of its ports: settings, VLANs, and the VNIs that they stand for.

Numbers are those of ``include/uapi/linux/{if_link,if_bridge}.h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from vxlab.describe import checks
from vxlab.describe.devices.setting import Setting
from vxlab.describe.vxlan.table import MAX_VNI, Attributes, Value
from vxlab.errors import TopologyError

#: The last VLAN id (IEEE 802.1Q): 4095 is reserved.
LAST_VLAN = 4094


#: Settings of a bridge's port by name (IFLA_BRPORT_*; `bridge link set`).
PORT: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("state", 1, "u8", high=4),
        Setting("priority", 2, "u16", high=63),
        Setting("cost", 3, "u32", high=0xFFFF),
        Setting("hairpin", 4, "bool"),
        Setting("guard", 5, "bool"),
        Setting("root_block", 6, "bool"),
        Setting("fastleave", 7, "bool"),
        Setting("learning", 8, "bool"),
        Setting("flood", 9, "bool"),
        Setting("proxy_arp", 10, "bool"),
        Setting("proxy_arp_wifi", 12, "bool"),
        Setting("mcast_router", 25, "u8", high=3),
        Setting("mcast_flood", 27, "bool"),
        Setting("mcast_to_unicast", 28, "bool"),
        Setting("vlan_tunnel", 29, "bool"),
        Setting("bcast_flood", 30, "bool"),
        Setting("neigh_suppress", 32, "bool"),
        Setting("isolated", 33, "bool"),
        Setting("backup_port", 34, "device"),
        Setting("locked", 39, "bool"),
        Setting("mab", 40, "bool"),
        Setting("mcast_max_groups", 42, "u32"),
        Setting("neigh_vlan_suppress", 43, "bool"),
        Setting("backup_nhid", 44, "u32"),
        Setting("neigh_forward_grat", 45, "bool"),
    )
}


@dataclass(frozen=True, slots=True)
class PortVlan:
    """A VLAN, or a range of them, of a bridge's port.

    ``id`` is 1 to 4094; with ``last`` it is the range from ``id`` to ``last``.  ``pvid``: frames
    without a tag belong to it; ``untagged``: its frames leave without a tag.  ``vni`` is the VNI
    that a vxlan device with ``external`` gives to it (``vlan_tunnel`` of the port must be on); a
    range has a range of VNIs from there on.
    """

    id: int
    _: KW_ONLY
    last: int | None = None
    pvid: bool = False
    untagged: bool = False
    vni: int | None = None

    def __post_init__(self) -> None:
        checks.number("vlan", "id", self.id, 1, LAST_VLAN)
        if self.last is not None:
            checks.number(str(self), "last", self.last, self.id, LAST_VLAN)
            if self.pvid and self.last > self.id:
                raise TopologyError(str(self), "pvid", "wanted one VLAN, found a range")
        checks.boolean(str(self), "pvid", self.pvid)
        checks.boolean(str(self), "untagged", self.untagged)
        if self.vni is not None:
            more = (self.last or self.id) - self.id
            checks.number(str(self), "vni", self.vni, 0, MAX_VNI - more)

    def __str__(self) -> str:
        return f"vlan {self.id}" + (f"-{self.last}" if self.last else "")


def check_vlans(node: str, found: tuple[object, ...]) -> tuple[PortVlan, ...]:
    """VLANs, with numbers made :class:`PortVlan`; TopologyError of ``node`` for another value."""
    vlans = tuple(PortVlan(each) if type(each) is int else each for each in found)
    checks.members(node, "vlans", vlans, PortVlan)
    pvids = [each for each in vlans if isinstance(each, PortVlan) and each.pvid]
    if len(pvids) > 1:
        raise TopologyError(node, "vlans", f"wanted one with pvid, found {pvids[0]} and {pvids[1]}")
    return vlans  # type: ignore[return-value]


def check_port(
    node: str, master: str | None, settings: Attributes, vlans: tuple[PortVlan, ...]
) -> None:
    """TopologyError of ``node`` for a port without a bridge, and for settings that cannot be.

    ``master`` is the name of its bridge or None, ``settings`` and ``vlans`` are what it is given.
    """
    if master is None and (settings or vlans):
        field = "port" if settings else "vlans"
        raise TopologyError(node, field, "wanted a port of a bridge (master), found none")
    for name, value in settings:
        problem = port_problem(name, value)
        if problem:
            raise TopologyError(node, str(name), problem)


def port_problem(name: str, value: Value) -> str:
    """What is wrong with a port's setting ``name`` of ``value``, as a sentence; "" for nothing."""
    if name not in PORT:
        return f"wanted a setting of a bridge's port ({', '.join(PORT)}), found {name!r}"
    return PORT[name].problem(value)
