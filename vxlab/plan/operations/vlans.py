"""Operations on the VLANs of bridges and their ports."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.plan.operations.base import Command, Operation, bridge


@dataclass(frozen=True, slots=True)
class AddVlan(Operation):
    """Make a bridge's port, or the bridge itself, a member of a VLAN or a range of them.

    ``node`` and ``interface`` are names; ``vlan`` is 1 to 4094, or the first of a range up to
    ``last``.  ``pvid``: frames without a tag belong to it; ``untagged``: its frames leave without a
    tag.  ``itself`` means the bridge called ``interface``, not a port.
    """

    interface: str
    vlan: int
    last: int | None = None
    pvid: bool = False
    untagged: bool = False
    itself: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``bridge vlan add``."""
        line = ["vlan", "add", "dev", self.interface, "vid", _range(self.vlan, self.last)]
        line += [word for word in ("pvid", "untagged") if getattr(self, word)]
        return (bridge(self.node, *line, *(["self"] if self.itself else [])),)


@dataclass(frozen=True, slots=True)
class DelVlan(Operation):
    """Take a bridge's port, or with ``itself`` the bridge, out of a VLAN or a range of them.

    ``node`` and ``interface`` are names; ``vlan`` is 1 to 4094, or the first of a range up to
    ``last``.
    """

    interface: str
    vlan: int
    last: int | None = None
    itself: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``bridge vlan del``."""
        line = ["vlan", "del", "dev", self.interface, "vid", _range(self.vlan, self.last)]
        return (bridge(self.node, *line, *(["self"] if self.itself else [])),)


@dataclass(frozen=True, slots=True)
class AddVlanTunnel(Operation):
    """Give a VLAN of a port the VNI that it has behind a vxlan device with ``external``.

    ``node`` and ``interface`` are names; the port's ``vlan_tunnel`` must be on, and it must be a
    member of ``vlan``, 1 to 4094.  With ``last`` it is a range of VLANs, with VNIs from ``vni`` on.
    """

    interface: str
    vlan: int
    vni: int
    last: int | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge vlan add … tunnel_info``."""
        return (_tunnel(self, "add"),)


@dataclass(frozen=True, slots=True)
class DelVlanTunnel(Operation):
    """Take the VNI from a VLAN of a port.

    ``node``, ``interface``, ``vlan``, ``vni`` and ``last`` are as for :class:`AddVlanTunnel`.
    """

    interface: str
    vlan: int
    vni: int
    last: int | None = None

    def commands(self) -> tuple[Command, ...]:
        """``bridge vlan del … tunnel_info``."""
        return (_tunnel(self, "del"),)


def _tunnel(entry: AddVlanTunnel | DelVlanTunnel, verb: str) -> Command:
    last = entry.last and entry.vni + entry.last - entry.vlan
    line = ["vlan", verb, "dev", entry.interface, "vid", _range(entry.vlan, entry.last)]
    return bridge(entry.node, *line, "tunnel_info", "id", _range(entry.vni, last))


def _range(first: int, last: int | None) -> str:
    return f"{first}-{last}" if last and last != first else str(first)
