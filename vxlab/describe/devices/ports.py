"""What a bridge keeps about one of its ports: settings, VLANs, and the VNIs that they stand for.

Numbers are those of ``include/uapi/linux/{if_link,if_bridge}.h``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from vxlab.describe import checks
from vxlab.describe.vxlan.table import MAX_VNI, Attributes, Value
from vxlab.errors import TopologyError
from vxlab.netlink.values import ValueType

#: The last VLAN id (IEEE 802.1Q): 4095 is reserved.
LAST_VLAN = 4094


@dataclass(frozen=True, slots=True)
class PortSetting:
    """One setting of a bridge's port.

    ``name`` is what bridge(8) calls it, ``number`` the attribute IFLA_BRPORT_*, ``type`` its
    encoding: "bool" for on and off.  ``high`` is the largest number.
    """

    name: str
    number: int
    type: ValueType = "bool"
    _: KW_ONLY
    high: int = 1

    def problem(self, value: object) -> str:
        """What is wrong with ``value``, as a sentence; "" where nothing is."""
        if self.type == "bool":
            return "" if isinstance(value, bool) else f"wanted True or False, found {value!r}"
        if self.type == "device":
            good = isinstance(value, str)
            return "" if good else f"wanted the name of a device, found {value!r}"
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= self.high:
            return f"wanted a whole number from 0 to {self.high}, found {value!r}"
        return ""


#: Settings of a bridge's port by name (IFLA_BRPORT_*; `bridge link set`).
PORT: Mapping[str, PortSetting] = {
    setting.name: setting
    for setting in (
        PortSetting("state", 1, "u8", high=4),
        PortSetting("priority", 2, "u16", high=63),
        PortSetting("cost", 3, "u32", high=0xFFFF),
        PortSetting("hairpin", 4),
        PortSetting("guard", 5),
        PortSetting("root_block", 6),
        PortSetting("fastleave", 7),
        PortSetting("learning", 8),
        PortSetting("flood", 9),
        PortSetting("proxy_arp", 10),
        PortSetting("proxy_arp_wifi", 12),
        PortSetting("mcast_router", 25, "u8", high=3),
        PortSetting("mcast_flood", 27),
        PortSetting("mcast_to_unicast", 28),
        PortSetting("vlan_tunnel", 29),
        PortSetting("bcast_flood", 30),
        PortSetting("neigh_suppress", 32),
        PortSetting("isolated", 33),
        PortSetting("backup_port", 34, "device"),
        PortSetting("locked", 39),
        PortSetting("mab", 40),
        PortSetting("mcast_max_groups", 42, "u32", high=0xFFFFFFFF),
        PortSetting("neigh_vlan_suppress", 43),
        PortSetting("backup_nhid", 44, "u32", high=0xFFFFFFFF),
        PortSetting("neigh_forward_grat", 45),
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
