"""Routes as a person writes them down for a machine."""

from __future__ import annotations

import ipaddress
from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

from vxlab.describe import checks
from vxlab.describe.devices.base import as_tuple
from vxlab.errors import TopologyError

RouteType = Literal["unicast", "blackhole", "unreachable", "prohibit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHop:
    """One of the ways that a route has.

    ``via`` is the gateway's IP address, ``interface`` the name of the one it leaves by: at least
    one of them.  ``weight``, 1 to 256, is its share; with ``onlink`` the gateway need not be in a
    network of the interface.
    """

    via: str | None = None
    interface: str | None = None
    weight: int = 1
    onlink: bool = False

    def words(self) -> list[str]:
        """The words of ip(8)."""
        line = ["via", self.via] if self.via else []
        line += ["dev", self.interface] if self.interface else []
        line += ["weight", str(self.weight)] if self.weight != 1 else []
        return line + (["onlink"] if self.onlink else [])


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route of a machine.

    ``destination`` is a network with prefix length, or ``default``; ``via`` the gateway's IP
    address and ``interface`` the name of the one it leaves by, or ``hops`` are several ways.
    ``table`` is the number of the routing table, or ``vrf`` the name of the VRF whose table it is
    (neither: main).  ``metric`` orders routes to one destination, ``source`` is the IP address that
    packets are sent from, ``mtu`` the path's in bytes; ``onlink``: the gateway need not be in a
    network of the interface.  ``type`` is ``unicast``, ``blackhole``, ``unreachable`` or
    ``prohibit``.  Every wrong value is a TopologyError.
    """

    destination: str
    via: str | None = None
    _: KW_ONLY
    interface: str | None = None
    hops: tuple[RouteHop, ...] = ()
    table: int | None = None
    vrf: str | None = None
    metric: int = 0
    source: str | None = None
    mtu: int = 0
    onlink: bool = False
    type: RouteType = "unicast"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hops", as_tuple(self.hops))
        node = str(self)
        if self.destination != "default":
            checks.prefix(node, "destination", self.destination)
        checks.members(node, "hops", self.hops, RouteHop)
        if self.type not in get_args(RouteType):
            known = ", ".join(get_args(RouteType))
            raise TopologyError(node, "type", f"wanted {known}, found {self.type!r}")
        for hop in self.hops or (self,):
            _check_hop(node, hop)
        way = bool(self.via or self.interface or self.hops)
        if way != (self.type == "unicast"):
            wanted = "a gateway (via), an interface or hops" if not way else "no gateway"
            raise TopologyError(node, "via", f"wanted {wanted} for a route of type {self.type}")
        checks.number(node, "metric", self.metric, 0, 0xFFFFFFFF)
        checks.number(node, "mtu", self.mtu, 0, 0xFFFF)
        if self.table is not None:
            checks.number(node, "table", self.table, 1, 0xFFFFFFFF)
        if self.vrf is not None:
            checks.device(node, "vrf", self.vrf)
        if self.source is not None:
            checks.host_address(node, "source", self.source)
        self._check_families()

    def __str__(self) -> str:
        return f"route {self.destination}"

    def _check_families(self) -> None:
        """Refuse an IPv4 gateway of an IPv6 network; the other way round Linux can do it."""
        if self.destination == "default":
            return
        version = ipaddress.ip_network(self.destination).version
        for hop in self.hops or (self,):
            if version == 6 and hop.via and ipaddress.ip_address(hop.via).version == 4:
                raise TopologyError(str(self), "via", f"wanted an IPv6 gateway, found {hop.via}")


def _check_hop(node: str, hop: RouteHop | StaticRoute) -> None:
    if hop.via is not None:
        checks.host_address(node, "via", hop.via)
    if hop.interface is not None:
        checks.text(node, "interface", hop.interface)
    checks.boolean(node, "onlink", hop.onlink)
    if isinstance(hop, RouteHop):
        checks.number(node, "weight", hop.weight, 1, 256)
        if not (hop.via or hop.interface):
            raise TopologyError(node, "hops", "wanted a gateway (via) or an interface, found none")
