"""Operations on interfaces.

Their commands say ``dev`` before a name: without it ip takes a name for a word of its own where
that begins so, and no link could be called ``a`` (address) or ``br`` (broadcast).
"""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import vxlan
from vxlab.describe.vxlan import Attributes
from vxlab.plan.operations.base import Command, NodeName, Operation, bridge, ip


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a veth pair.

    ``node`` is the name of the node that it is in, ``name`` its own, ``index`` its interface index
    (0: the kernel picks one).  ``mac`` is its MAC address (None: the kernel gives it one), ``mtu``
    its MTU in bytes (None: 1500).
    """

    node: str
    name: str
    index: int
    mac: str | None = None
    mtu: int | None = None

    def words(self) -> list[str]:
        """What follows ``type veth``."""
        line = ["peer", "name", self.name]
        line += ["index", str(self.index)] if self.index else []
        line += ["address", self.mac] if self.mac else []
        line += ["mtu", str(self.mtu)] if self.mtu else []
        return [*line, "netns", NodeName(self.node)]


@dataclass(frozen=True, slots=True)
class AddLink(Operation):
    """A new interface.

    ``node`` is the node's name, ``name`` the interface's, ``kind`` its type: ``veth``, ``bridge``,
    ``vxlan``, ``vrf``, or another that the kernel has (``dummy``).  ``index`` is its interface
    index, 0 for one that the kernel picks.  ``attributes``, pairs of name and value, are those of
    the kind: for vxlan the names of :mod:`vxlab.describe.vxlan`, for bridge those of
    :data:`vxlab.describe.entries.BRIDGE`, for vrf ``table``, for others what ``ip`` knows (and none
    by netlink).  With ``master`` it becomes a port of that bridge or VRF; ``peer`` is the other end
    of a veth, which is always created down.  ``mac`` is its MAC address (None: the kernel gives it
    one), ``mtu`` its MTU in bytes (None: the kernel's); it is set ``up`` or stays down.
    """

    name: str
    kind: str
    index: int
    attributes: Attributes = ()
    master: str | None = None
    peer: Peer | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool = False

    def commands(self) -> tuple[Command, ...]:
        """``ip link add``, and ``ip link set`` for master and state."""
        line = ["link", "add", "dev", self.name]
        line += ["index", str(self.index)] if self.index else []
        line += ["address", self.mac] if self.mac else []
        line += ["mtu", str(self.mtu)] if self.mtu else []
        line += ["type", self.kind, *(self.peer.words() if self.peer else [])]
        for name, value in self.attributes:
            line += vxlan.words(name, value) if self.kind == "vxlan" else [name, str(value)]
        add = ip(self.node, *line)
        if not (self.master or self.up):
            return (add,)
        return add, *SetLink(self.node, self.name, self.up or None, master=self.master).commands()


@dataclass(frozen=True, slots=True)
class SetLink(Operation):
    """Change an interface; what is None stays as it is.

    ``node`` is the node's name, ``name`` the interface's.  ``up`` sets it up or down; ``master``
    makes it a port of that bridge or VRF, "" of none; ``mtu`` is in bytes, ``mac`` a MAC address.
    """

    name: str
    up: bool | None = None
    master: str | None = None
    mtu: int | None = None
    mac: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """``ip link set``."""
        line = ["link", "set", "dev", self.name]
        if self.master is not None:
            line += ["master", self.master] if self.master else ["nomaster"]
        if self.up is not None:
            line.append("up" if self.up else "down")
        line += ["mtu", str(self.mtu)] if self.mtu else []
        line += ["address", self.mac] if self.mac else []
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class SetVxlan(Operation):
    """Change attributes of an existing vxlan device; the kernel refuses some.

    ``node`` is the node's name, ``name`` the device's; ``attributes`` are pairs of name and value
    (:mod:`vxlab.describe.vxlan`).
    """

    name: str
    attributes: Attributes

    def commands(self) -> tuple[Command, ...]:
        """``ip link set … type vxlan``."""
        line = ["link", "set", "dev", self.name, "type", "vxlan"]
        for name, value in self.attributes:
            line += vxlan.words(name, value)
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class SetPort(Operation):
    """Change settings of a bridge's port.

    ``node`` and ``interface`` are names; ``attributes`` are pairs of a name
    (:data:`vxlab.describe.entries.PORT`) and True or False.
    """

    interface: str
    attributes: Attributes

    def commands(self) -> tuple[Command, ...]:
        """``bridge link set``."""
        line = ["link", "set", "dev", self.interface]
        for name, value in self.attributes:
            line += [name, "on" if value else "off"]
        return (bridge(self.node, *line),)


@dataclass(frozen=True, slots=True)
class DelLink(Operation):
    """Remove the interface ``name`` of ``node`` (and the other end of a veth pair)."""

    name: str

    def commands(self) -> tuple[Command, ...]:
        """``ip link del``."""
        return (ip(self.node, "link", "del", "dev", self.name),)


@dataclass(frozen=True, slots=True)
class MoveLink(Operation):
    """Move an interface to another node's network namespace; it keeps its name.

    ``node`` is the name of the node that it is in, ``name`` its own, ``to`` that of the other node.
    """

    name: str
    to: str

    def commands(self) -> tuple[Command, ...]:
        """``ip link set … netns``."""
        return (ip(self.node, "link", "set", "dev", self.name, "netns", NodeName(self.to)),)
