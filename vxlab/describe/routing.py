"""The routes of the underlay: from every machine to every subnet, the fewest routers on the way.

Equal ways become one route with several hops.  A machine is in the underlay with its cards and with
the devices upon them, and with what it has on its loopback device or a dummy; a VRF is a router of
its own.  A host with one router beside it needs no more than a default route.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vxlab.describe import checks
from vxlab.describe.checks import parsed
from vxlab.describe.elements import Host, Router
from vxlab.describe.interfaces import Cards
from vxlab.describe.networks import Address, NetworkSet
from vxlab.describe.routes import RouteHop, StaticRoute
from vxlab.describe.wiring import Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """An interface of the underlay.

    ``device`` is its name, ``switch`` that of the switch or cable that it is on ("" for none),
    ``addresses`` are parsed.
    """

    device: str
    switch: str
    addresses: tuple[checks.Interface, ...]


@dataclass(slots=True, eq=False, kw_only=True)
class RoutingTable:
    """One routing table of ``machine``: that of ``vrf``, or the main one.

    ``forwarding`` is True where the machine passes on what is not its own; ``interfaces`` are those
    of the underlay in it.
    """

    machine: Router | Host
    vrf: str | None
    forwarding: bool
    interfaces: list[Interface] = field(default_factory=list)

    @property
    def networks(self) -> set[checks.Network]:
        """The networks that it is connected to."""
        return {each.network for one in self.interfaces for each in one.addresses}

    @property
    def families(self) -> frozenset[int]:
        """The address families, 4 and 6, that it has addresses of."""
        return frozenset(known.version for one in self.interfaces for known in one.addresses)

    @property
    def own_networks(self) -> set[checks.Network]:
        """The networks that are on no switch: those of the loopback device and of dummies."""
        return {each.network for one in self.interfaces if not one.switch for each in one.addresses}

    def address_towards(self, switch: str, version: int) -> str | None:
        """An address of that family on ``switch``; where it has none there, that of another one."""
        ordered = sorted(self.interfaces, key=lambda each: each.switch != switch)
        for each in ordered:
            if each.switch in (switch, ""):
                for address in each.addresses:
                    if address.version == version:
                        return str(address.ip)
        return None


def tables_of(topology: Wiring) -> list[RoutingTable]:
    """The routing tables of all routers and hosts that have an interface in the underlay."""
    found: dict[tuple[str, str | None], RoutingTable] = {}
    for machine in topology.machines:
        forwarding = isinstance(machine, Router) or machine.forwarding
        for vrf, interface in _interfaces(machine):
            key = machine.name, vrf
            table = found.setdefault(
                key, RoutingTable(machine=machine, vrf=vrf, forwarding=forwarding)
            )
            table.interfaces.append(interface)
    return list(found.values())


def _interfaces(machine: Router | Host) -> Iterator[tuple[str | None, Interface]]:
    """The interfaces of the underlay, each with the VRF that it is in."""
    vrfs = {each.name for each in machine.devices if each.kind.name == "vrf"}
    ports = {each.name for each in machine.devices} - vrfs
    for nic in machine.nics:
        if nic.master in ports:
            continue
        vrf = nic.master if nic.master in vrfs else None
        addresses = tuple(map(parsed, nic.addresses))
        yield vrf, Interface(device=nic.device, switch=nic.switch, addresses=addresses)
    below = Cards(machine)
    for device in machine.devices:
        cards = below.below(device.name)
        if device.kind.name not in ("loopback", "dummy") and not cards:
            continue
        if not device.addresses:
            continue
        vrf = device.master if device.master in vrfs else None
        switch = cards[0].switch if cards and device.kind.name != "vrf" else ""
        addresses = tuple(map(parsed, device.addresses))
        yield vrf, Interface(device=device.name, switch=switch, addresses=addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a table can send to: on ``switch``, by its own ``device``, to a machine's ``table``."""

    switch: str
    device: str
    table: RoutingTable


def underlay_of(topology: Wiring) -> Underlay:
    """The underlay of ``topology``, made at the first question: its checks and plans share it."""
    return topology.kept("underlay", lambda: Underlay(topology))


class Underlay:
    """Who is beside whom, and how far every subnet is from every router."""

    def __init__(self, topology: Wiring) -> None:
        self.topology = topology
        self.tables = tables_of(topology)
        #: On each switch the routers, and the hosts that have more than their card.
        self._known_on: dict[str, list[RoutingTable]] = defaultdict(list)
        self._of: dict[str, list[RoutingTable]] = defaultdict(list)
        for table in self.tables:
            self._of[table.machine.name].append(table)
            known = table.forwarding or table.own_networks
            for switch in dict.fromkeys(each.switch for each in table.interfaces if each.switch):
                if known:
                    self._known_on[switch].append(table)
        self._distances: dict[RoutingTable, Mapping[checks.Network, int]] = {}
        self._reached: dict[RoutingTable, NetworkSet] = {}
        self._connected: dict[str, dict[str | None, NetworkSet]] = {}
        self._ways: dict[str, dict[str | None, list[Beside]]] = {}

    def tables_of(self, machine: Router | Host) -> list[RoutingTable]:
        """The routing tables of one machine."""
        return self._of.get(machine.name, [])

    def routes(self, table: RoutingTable) -> tuple[StaticRoute, ...]:
        """The routes that ``table`` needs to reach everything, without its connected networks."""
        if self.topology.routing == "written":
            return ()
        ways = self.ways(table)
        if self._has_default(table, ways):
            return tuple(self._default(table, ways))
        return tuple(self._routes(table, ways))

    def reaches(self, router: RoutingTable, address: Address) -> bool:
        """Whether ``router`` knows a way to ``address``, parsed."""
        if router not in self._reached:
            self._reached[router] = NetworkSet(self._distance(router))
        return address in self._reached[router]

    def connected(self, machine: Router | Host, device: str | None = None) -> NetworkSet:
        """The networks of the underlay that ``machine`` is in, or those of one ``device`` of it."""
        if machine.name not in self._connected:
            rows: dict[str | None, list[checks.Network]] = {None: []}
            for table in self.tables_of(machine):
                for each in table.interfaces:
                    networks = [address.network for address in each.addresses]
                    rows.setdefault(each.device, []).extend(networks)
                    rows[None] += networks
            found = {name: NetworkSet(networks) for name, networks in rows.items()}
            self._connected[machine.name] = found
        return self._connected[machine.name].get(device) or NetworkSet([])

    def ways_of(self, machine: Router | Host, device: str | None = None) -> list[Beside]:
        """What all tables of ``machine`` send to, or what they send to by one ``device`` of it."""
        if machine.name not in self._ways:
            rows: dict[str | None, list[Beside]] = {None: []}
            for table in self.tables_of(machine):
                for way in self.ways(table):
                    rows.setdefault(way.device, []).append(way)
                    rows[None].append(way)
            self._ways[machine.name] = rows
        return self._ways[machine.name].get(device, [])

    def ways(self, table: RoutingTable) -> list[Beside]:
        """The machines that a table sends to; of several ways to its only router the first."""
        beside = list(self._beside(table))
        return beside[:1] if self._has_default(table, beside) else beside

    def _has_default(self, table: RoutingTable, ways: list[Beside]) -> bool:
        """Whether a default route says it all: a host with nothing but one router beside it."""
        one = len({id(each.table) for each in ways}) <= 1
        return one and not table.forwarding and all(each.table.forwarding for each in ways)

    def _beside(self, table: RoutingTable) -> Iterator[Beside]:
        """The routers beside a table, and the hosts that have more than their card."""
        for each in table.interfaces:
            for other in self._known_on.get(each.switch, ()):
                if other is not table:
                    yield Beside(switch=each.switch, device=each.device, table=other)

    def _default(self, table: RoutingTable, ways: list[Beside]) -> Iterator[StaticRoute]:
        """The default routes of a host that has one router beside it."""
        for version in sorted(table.families):
            for each in ways:
                hop = _hop(each, version)
                if hop is not None:
                    yield _route("default", [hop], table.vrf)

    def _routes(self, table: RoutingTable, beside: list[Beside]) -> Iterator[StaticRoute]:
        connected = table.networks
        ways: dict[checks.Network, dict[int, list[Beside]]] = {}
        for each in beside:
            for network, distance in self._distance(each.table).items():
                if network not in connected:
                    ways.setdefault(network, {}).setdefault(distance, []).append(each)
        for network in sorted(ways, key=lambda n: (n.version, int(n.network_address), n.prefixlen)):
            nearest = ways[network][min(ways[network])]
            hops = dict.fromkeys(_hop(each, network.version) for each in nearest)
            usable = [hop for hop in hops if hop is not None]
            if usable:
                yield _route(str(network), usable, table.vrf)

    def _distance(self, start: RoutingTable) -> Mapping[checks.Network, int]:
        """Every network that ``start`` has or passes packets to, and over how many machines."""
        if start in self._distances:
            return self._distances[start]
        found = dict.fromkeys(start.networks if start.forwarding else start.own_networks, 0)
        seen, queue = {id(start)}, deque([(start, 0)] if start.forwarding else [])
        while queue:
            table, distance = queue.popleft()
            for switch in dict.fromkeys(each.switch for each in table.interfaces if each.switch):
                for other in self._known_on[switch]:
                    if id(other) in seen:
                        continue
                    seen.add(id(other))
                    reached = other.networks if other.forwarding else other.own_networks
                    for network in reached:
                        found.setdefault(network, distance + 1)
                    if other.forwarding:
                        queue.append((other, distance + 1))
        self._distances[start] = found
        return found


def _hop(beside: Beside, version: int) -> RouteHop | None:
    """The hop to a router; by the address that it has elsewhere where it has none on the link."""
    via = beside.table.address_towards(beside.switch, version)
    if via is None:
        return None
    there = (each for each in beside.table.interfaces if each.switch == beside.switch)
    if any(str(address.ip) == via for each in there for address in each.addresses):
        return RouteHop(via=via)
    return RouteHop(via=via, interface=beside.device, onlink=True)


def _route(destination: str, hops: list[RouteHop], vrf: str | None) -> StaticRoute:
    if len(hops) > 1:
        return StaticRoute(destination, hops=tuple(hops), vrf=vrf)
    hop = hops[0]
    return StaticRoute(destination, hop.via, interface=hop.interface, onlink=hop.onlink, vrf=vrf)
