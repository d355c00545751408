"""Operations: everything that changes a lab, as plain data.

A plan is an ordered tuple of them.  Each names its node, is printable as the line a person
would have typed, comparable, and free of I/O; a backend applies it.  Interfaces are named, not
numbered: ``index`` is the number a new interface is given, so that later operations can be
encoded without asking the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vxlab import vxlan
from vxlab.errors import VxlabError
from vxlab.vxlan import Attributes


@dataclass(frozen=True, slots=True)
class Operation:
    """Base of all operations; ``node`` is the node it happens in."""

    node: str


@dataclass(frozen=True, slots=True)
class AddNamespace(Operation):
    """A new node: its namespaces, with the loopback device up."""

    def __str__(self) -> str:
        return f"ip netns add {self.node}"


def sysctl_path(key: str) -> str:
    """The file of a setting in dotted form; VxlabError unless it is one of the network's.

    The others are the machine's, not the node's.  As with sysctl(8), a dot in the name of an
    interface is written as a slash: ``net.ipv6.conf.eth0/10.mtu``.
    """
    path = "/proc/sys/" + key.translate(str.maketrans("./", "/."))
    if not path.startswith("/proc/sys/net/") or ".." in path.split("/"):
        raise VxlabError(f"wanted a setting below net., such as net.ipv4.ip_forward, found {key!r}")
    return path


@dataclass(frozen=True, slots=True)
class SetSysctl(Operation):
    """``key`` below ``net`` in dotted form (see :func:`sysctl_path`), set to ``value``."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"ip netns exec {self.node} sysctl -w {self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a veth pair: its node, name and interface index."""

    node: str
    name: str
    index: int
    mac: str | None = None
    mtu: int | None = None


@dataclass(frozen=True, slots=True)
class AddLink(Operation):
    """A new interface of ``kind``; with ``master`` it joins that bridge or VRF, ``up`` or not.

    ``peer`` is for veth, whose other end is always created down.  ``attributes`` are those of
    the kind: for vxlan the names of :mod:`vxlab.vxlan`, for bridge and vrf those of `ip`.
    """

    name: str
    kind: Literal["veth", "bridge", "vxlan", "vrf"]
    index: int
    attributes: Attributes = ()
    master: str | None = None
    peer: Peer | None = None
    mac: str | None = None
    mtu: int | None = None
    up: bool = False

    def words(self) -> list[str]:
        """What follows ``ip -n NODE``, without ``master`` and ``up``."""
        line = ["link", "add", self.name]
        line += ["address", self.mac] if self.mac else []
        line += ["mtu", str(self.mtu)] if self.mtu else []
        line += ["type", self.kind]
        if self.peer:
            line += ["peer", "name", self.peer.name, "netns", self.peer.node]
        for name, value in self.attributes:
            line += vxlan.words(name, value) if self.kind == "vxlan" else [name, str(value)]
        return line

    def __str__(self) -> str:
        line = " ".join(["ip -n", self.node, *self.words()])
        if self.master or self.up:
            line += "; " + " ".join(_set_words(self.node, self.name, self.master, self.up or None))
        return line


def _set_words(node: str, name: str, master: str | None, up: bool | None) -> list[str]:
    line = ["ip", "-n", node, "link", "set", name]
    if master is not None:
        line += ["master", master] if master else ["nomaster"]
    if up is not None:
        line.append("up" if up else "down")
    return line


@dataclass(frozen=True, slots=True)
class SetLink(Operation):
    """Change an interface: up or down, its master ("" takes it out), MTU, MAC address."""

    name: str
    up: bool | None = None
    master: str | None = None
    mtu: int | None = None
    mac: str | None = None

    def __str__(self) -> str:
        line = _set_words(self.node, self.name, self.master, self.up)
        line += ["mtu", str(self.mtu)] if self.mtu else []
        line += ["address", self.mac] if self.mac else []
        return " ".join(line)


@dataclass(frozen=True, slots=True)
class SetVxlan(Operation):
    """Change attributes of an existing vxlan device; the kernel refuses some."""

    name: str
    attributes: Attributes

    def __str__(self) -> str:
        line = ["ip", "-n", self.node, "link", "set", self.name, "type", "vxlan"]
        for name, value in self.attributes:
            line += vxlan.words(name, value)
        return " ".join(line)


@dataclass(frozen=True, slots=True)
class DelLink(Operation):
    """Remove an interface (and the other end of a veth pair)."""

    name: str

    def __str__(self) -> str:
        return f"ip -n {self.node} link del {self.name}"


@dataclass(frozen=True, slots=True)
class AddAddress(Operation):
    """An address with its prefix length, ``192.0.2.1/24``."""

    interface: str
    address: str

    def __str__(self) -> str:
        return f"ip -n {self.node} address add {self.address} dev {self.interface}"


@dataclass(frozen=True, slots=True)
class AddRoute(Operation):
    """A route to ``destination`` (a network, or ``default``) by a gateway or a device."""

    destination: str
    via: str | None = None
    interface: str | None = None
    table: int = 254

    def __str__(self) -> str:
        line = ["ip", "-n", self.node, "route", "add", self.destination]
        line += ["via", self.via] if self.via else []
        line += ["dev", self.interface] if self.interface else []
        line += ["table", str(self.table)] if self.table != 254 else []
        return " ".join(line)


@dataclass(frozen=True, slots=True)
class AddFdb(Operation):
    """A forwarding entry of a vxlan device; ``append`` adds one more remote to the same MAC."""

    interface: str
    mac: str
    dst: str
    append: bool = False
    port: int | None = None
    vni: int | None = None

    def __str__(self) -> str:
        line = ["bridge", "-n", self.node, "fdb", "append" if self.append else "add"]
        line += [self.mac, "dev", self.interface, "dst", self.dst, "self", "permanent"]
        line += ["port", str(self.port)] if self.port else []
        line += ["vni", str(self.vni)] if self.vni is not None else []
        return " ".join(line)


@dataclass(frozen=True, slots=True)
class DelFdb(Operation):
    """Take a forwarding entry of a vxlan device away."""

    interface: str
    mac: str
    dst: str

    def __str__(self) -> str:
        return f"bridge -n {self.node} fdb del {self.mac} dev {self.interface} dst {self.dst} self"


@dataclass(frozen=True, slots=True)
class AddNeighbour(Operation):
    """A permanent neighbour entry."""

    interface: str
    address: str
    mac: str

    def __str__(self) -> str:
        return (
            f"ip -n {self.node} neigh add {self.address} lladdr {self.mac} "
            f"dev {self.interface} nud permanent"
        )


@dataclass(frozen=True, slots=True)
class AddRule(Operation):
    """A packet filter rule: ``words`` follow ``iptables`` (or ``ip6tables`` for family 6)."""

    words: tuple[str, ...]
    family: Literal[4, 6] = 4

    @property
    def program(self) -> str:
        """The program that sets the rule."""
        return "iptables" if self.family == 4 else "ip6tables"

    def __str__(self) -> str:
        return f"ip netns exec {self.node} {self.program} {' '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Members:
    """Where the members of a multicast group sit: the router's interfaces towards them."""

    group: str
    interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostOnLink:
    """A host on one of a router's links, as a daemon may need it to speak from there."""

    node: str
    address: str
    router_address: str


@dataclass(frozen=True, slots=True)
class StartDaemon(Operation):
    """Start a routing daemon, and wait until it is ready.

    ``program`` is its name (``smcroute``, ``pimd``); ``interfaces`` the router's;
    ``members`` the groups to be forwarded; ``hosts`` one host on each link.
    """

    program: str
    interfaces: tuple[str, ...]
    members: tuple[Members, ...] = ()
    hosts: tuple[HostOnLink, ...] = field(default=())

    def __str__(self) -> str:
        groups = ",".join(member.group for member in self.members) or "no groups"
        return (
            f"ip netns exec {self.node} {self.program}"
            f"  # on {' '.join(self.interfaces)} for {groups}"
        )


@dataclass(frozen=True, slots=True)
class StopDaemon(Operation):
    """Stop a daemon that was started before, and wait until it has ended."""

    program: str

    def __str__(self) -> str:
        return f"ip netns exec {self.node} kill $({self.program})"
