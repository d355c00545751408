"""Operations on addresses, next hops and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import entries
from vxlab.plan.operations.base import Command, Operation, ip


@dataclass(frozen=True, slots=True)
class AddAddress(Operation):
    """Give an interface an address.

    ``node`` and ``interface`` are names; ``address`` is an IP address with prefix length, such as
    ``192.0.2.1/24``.
    """

    interface: str
    address: str

    def commands(self) -> tuple[Command, ...]:
        """``ip address add``, with the network's broadcast address."""
        line = ["address", "add", self.address, "dev", self.interface]
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class DelAddress(Operation):
    """Remove an address.

    ``node`` and ``interface`` are names; ``address`` is the IP address with its prefix length, as
    it was given.
    """

    interface: str
    address: str

    def commands(self) -> tuple[Command, ...]:
        """``ip address del``."""
        return (ip(self.node, "address", "del", self.address, "dev", self.interface),)


@dataclass(frozen=True, slots=True)
class AddNeighbour(Operation):
    """A neighbour entry, or with ``proxy`` an address that this node answers for.

    ``node`` and ``interface`` are names, ``address`` is the IP address, ``mac`` the MAC address it
    resolves to (None with ``proxy``).  ``state`` is one of
    :data:`vxlab.describe.entries.NEIGHBOUR_STATES`, ``flags`` are names of
    :data:`vxlab.describe.entries.FLAGS` (``router``, ``extern_learn``, ``use``) or ``managed``.
    ``replace`` overwrites an entry that exists.
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
    """Remove a neighbour entry.

    ``node`` and ``interface`` are names, ``address`` is the IP address; ``proxy`` removes an
    address that the node answers for.
    """

    interface: str
    address: str
    proxy: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``ip neigh del``."""
        proxy = ["proxy"] if self.proxy else []
        return (ip(self.node, "neigh", "del", *proxy, self.address, "dev", self.interface),)


@dataclass(frozen=True, slots=True)
class AddNexthop(Operation):
    """A next hop, or a group of them.

    ``node`` is the node's name, ``id`` the next hop's number.  ``via`` is the IP address of a
    gateway or VTEP; ``group``, in its place, are the ids of next hops, or pairs of id and weight.
    With ``fdb`` it is one for forwarding entries: a VTEP, without a device; else ``interface`` is
    the name of the one it leaves by.  ``replace`` overwrites a next hop that exists.
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
    """Remove the next hop number ``id`` of ``node``."""

    id: int

    def commands(self) -> tuple[Command, ...]:
        """``ip nexthop del``."""
        return (ip(self.node, "nexthop", "del", "id", str(self.id)),)
