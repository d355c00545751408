"""Operations on interfaces.

Their commands say ``dev`` before a name: without it ip takes a name for a word of its own where
that begins so, and no link could be called ``a`` (address) or ``br`` (broadcast).
"""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import entries
from vxlab.describe.devices import PORT, kind_of
from vxlab.describe.vxlan import Attributes, Value
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

    ``node`` is the node's name, ``name`` the interface's, ``kind`` its type as ip(8) has it;
    ``index`` its interface index, 0 for one that the kernel picks.  ``attributes``, pairs of name
    and value, are the settings of the kind (:data:`vxlab.devices.KINDS`; for vxlan those of
    :mod:`vxlab.vxlan`).  With ``master`` it becomes a port of that bridge, bond or VRF; ``link`` is
    the device below it; ``peer`` is the other end of a veth, which is always created down.  ``mac``
    is its MAC address (None: the kernel gives it one), ``mtu`` its MTU in bytes (None: the
    kernel's); it is set ``up`` or stays down.
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
    link: str | None = None

    def commands(self) -> tuple[Command, ...]:
        """``ip link add``, and ``ip link set`` for master and state."""
        line = ["link", "add", *(["link", self.link] if self.link else []), "dev", self.name]
        line += ["index", str(self.index)] if self.index else []
        line += ["address", self.mac] if self.mac else []
        line += ["mtu", str(self.mtu)] if self.mtu else []
        line += ["type", self.kind, *(self.peer.words() if self.peer else [])]
        for name, value in self.attributes:
            line += kind_of(self.kind).words(name, value)
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
            line += kind_of("vxlan").words(name, value)
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class SetBridge(Operation):
    """Change settings of an existing bridge.

    ``node`` is the node's name, ``name`` the bridge's; ``attributes`` are pairs of name and value,
    such as ``("vlan_filtering", True)`` (the settings of :class:`vxlab.Bridge`).
    """

    name: str
    attributes: Attributes

    def commands(self) -> tuple[Command, ...]:
        """``ip link set … type bridge``."""
        line = ["link", "set", "dev", self.name, "type", "bridge"]
        for name, value in self.attributes:
            line += kind_of("bridge").words(name, value)
        return (ip(self.node, *line),)


@dataclass(frozen=True, slots=True)
class SetPort(Operation):
    """Change settings of a bridge's port.

    ``node`` and ``interface`` are names; ``attributes`` are pairs of a name
    (:data:`vxlab.devices.PORT`) and its value: True or False for most, a number, or the name of a
    device (``backup_port``; "" for none).
    """

    interface: str
    attributes: Attributes

    def commands(self) -> tuple[Command, ...]:
        """``bridge link set``; ValueError for an unknown setting."""
        line = ["link", "set", "dev", self.interface]
        for name, value in self.attributes:
            line += _port_words(name, value)
        return (bridge(self.node, *line),)


def _port_words(name: str, value: Value) -> list[str]:
    match entries.find(PORT, name, "setting of a bridge's port").type:
        case "bool":
            return [name, "on" if value else "off"]
        case "device" if not value:
            return [f"no{name}"]
    return [name, str(int(value) if isinstance(value, bool) else value)]


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
