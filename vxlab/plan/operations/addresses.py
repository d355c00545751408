"""Operations on addresses, routes and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import entries
from vxlab.plan.operations.base import Command, Operation, ip


@dataclass(frozen=True, slots=True)
class AddAddress(Operation):
    """An address with its prefix length, ``192.0.2.1/24``."""

    interface: str
    address: str

    def commands(self) -> tuple[Command, ...]:
        """``ip address add``, with the network's broadcast address."""
        line = ["address", "add", self.address, "dev", self.interface]
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class DelAddress(Operation):
    """Take an address away; with its prefix length, as it was given."""

    interface: str
    address: str

    def commands(self) -> tuple[Command, ...]:
        """``ip address del``."""
        return (ip(self.node, "address", "del", self.address, "dev", self.interface),)


@dataclass(frozen=True, slots=True)
class AddRoute(Operation):
    """A route to ``destination`` (a network, or ``default``) by a gateway or a device."""

    destination: str
    via: str | None = None
    interface: str | None = None
    table: int = 254

    def commands(self) -> tuple[Command, ...]:
        """``ip route add``."""
        line = ["route", "add", self.destination]
        line += ["via", self.via] if self.via else []
        line += ["dev", self.interface] if self.interface else []
        line += ["table", str(self.table)] if self.table != 254 else []
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class AddNeighbour(Operation):
    """A neighbour entry, or with ``proxy`` an address that this node answers for.

    ``state`` is one of :data:`vxlab.describe.entries.NEIGHBOUR_STATES`, ``flags`` are names of
    :data:`vxlab.describe.entries.FLAGS` (``router``, ``extern_learn``, ``use``) or ``managed``.
    """

    interface: str
    address: str
    mac: str | None = None
    state: str = "permanent"
    flags: tuple[str, ...] = ()
    proxy: bool = False
    replace: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``ip neigh add``."""
        line = ["neigh", "replace" if self.replace else "add"]
        if self.proxy:
            return (ip(self.node, *line, "proxy", self.address, "dev", self.interface),)
        line += [self.address, *entries.words(entries.NEIGHBOUR, self)]
        line += ["dev", self.interface, "nud", self.state, *self.flags]
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class DelNeighbour(Operation):
    """Take a neighbour entry away."""

    interface: str
    address: str
    proxy: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``ip neigh del``."""
        proxy = ["proxy"] if self.proxy else []
        return (ip(self.node, "neigh", "del", *proxy, self.address, "dev", self.interface),)


@dataclass(frozen=True, slots=True)
class AddNexthop(Operation):
    """A next hop, or a ``group`` of them: ids, or pairs of id and weight.

    With ``fdb`` it is one for forwarding entries: a VTEP, without a device.
    """

    id: int
    via: str | None = None
    group: tuple[int | tuple[int, int], ...] = ()
    fdb: bool = True
    interface: str | None = None
    replace: bool = False

    def members(self) -> tuple[tuple[int, int], ...]:
        """The group as pairs of id and weight."""
        return tuple((one, 1) if isinstance(one, int) else one for one in self.group)

    def commands(self) -> tuple[Command, ...]:
        """``ip nexthop add``."""
        line = ["nexthop", "replace" if self.replace else "add", "id", str(self.id)]
        if self.group:
            shown = (
                f"{one},{weight}" if weight > 1 else str(one) for one, weight in self.members()
            )
            line += ["group", "/".join(shown)]
        line += ["via", self.via] if self.via else []
        line += ["dev", self.interface] if self.interface else []
        return (ip(self.node, *line, *(["fdb"] if self.fdb else [])),)


@dataclass(frozen=True, slots=True)
class DelNexthop(Operation):
    """Take a next hop away."""

    id: int

    def commands(self) -> tuple[Command, ...]:
        """``ip nexthop del``."""
        return (ip(self.node, "nexthop", "del", "id", str(self.id)),)
