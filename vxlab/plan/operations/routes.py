"""Operations on routes."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe.routes import RouteHop, RouteType
from vxlab.plan.operations.base import Command, Operation, ip

MAIN_TABLE = 254


@dataclass(frozen=True, slots=True)
class AddRoute(Operation):
    """A route.

    ``node`` is the node's name, ``destination`` a network with prefix length, or ``default``;
    ``via`` is the gateway's IP address and ``interface`` the name of the one it leaves by, or
    ``hops`` are several such ways, each with a weight.  ``table`` is the number of the routing
    table; 254 is main.  ``metric`` orders routes to one destination (0: the kernel's choice),
    ``source`` is the IP address that packets are sent from, ``mtu`` the path's in bytes (0: the
    interface's).  ``onlink``: the gateway need not be in a network of the interface.  ``type`` is
    ``unicast``, or ``blackhole``, ``unreachable``, ``prohibit`` for what is dropped.  ``nhid`` is
    the number of a next hop (:class:`AddNexthop`) in place of all those; ``replace`` overwrites a
    route that exists.
    """

    destination: str
    via: str | None = None
    interface: str | None = None
    table: int = MAIN_TABLE
    metric: int = 0
    source: str | None = None
    mtu: int = 0
    onlink: bool = False
    type: RouteType = "unicast"
    hops: tuple[RouteHop, ...] = ()
    nhid: int | None = None
    replace: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``ip route add``, or ``replace``."""
        line = ["route", "replace" if self.replace else "add", *_words(self)]
        line += ["src", self.source] if self.source else []
        line += ["mtu", str(self.mtu)] if self.mtu else []
        line += ["nhid", str(self.nhid)] if self.nhid is not None else []
        for hop in self.hops:
            line += ["nexthop", *hop.words()]
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class DelRoute(Operation):
    """Remove a route.

    ``node`` is the node's name; ``destination``, ``via`` (an IP address), ``interface``, ``table``,
    ``metric`` and ``type`` are as it was added.
    """

    destination: str
    via: str | None = None
    interface: str | None = None
    table: int = MAIN_TABLE
    metric: int = 0
    type: RouteType = "unicast"

    def commands(self) -> tuple[Command, ...]:
        """``ip route del``."""
        return (ip(self.node, "route", "del", *_words(self)),)


def _words(route: AddRoute | DelRoute) -> list[str]:
    line = [route.destination] if route.type == "unicast" else [route.type, route.destination]
    onlink = isinstance(route, AddRoute) and route.onlink
    line += RouteHop(via=route.via, interface=route.interface, onlink=onlink).words()
    line += ["table", str(route.table)] if route.table != MAIN_TABLE else []
    return line + (["metric", str(route.metric)] if route.metric else [])
