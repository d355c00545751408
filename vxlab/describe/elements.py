"""The elements of a topology: frozen, typed, and checked when they are made.

An element checks what it can see by itself; :class:`vxlab.describe.topology.Topology` checks how
the elements fit together.  Nothing here touches the kernel.  Every wrong value is a TopologyError
that names the element and the field.
"""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from vxlab.describe import checks, vxlan
from vxlab.describe.vxlan import Attributes
from vxlab.errors import TopologyError

#: How a segment reaches VTEPs it has not learned: a multicast group, every other VTEP by name,
#: or not at all (entries are set by a controller).
Flood = Literal["group", "remote", "none"]

DAEMONS = ("smcroute", "pimd")


@dataclass(frozen=True, slots=True)
class Switch:
    """An underlay segment: a bridge in a namespace of its own, or a mere cable.

    ``name`` is also the node's, at most 15 bytes; ``network`` the subnet on it, such as
    ``192.0.2.0/24``; ``snooping`` switches IGMP and MLD snooping on; ``mtu``, in bytes, holds for
    all its links.  With ``cable`` it is one veth pair between exactly two machines: no node, no
    bridge, and several times as quick to make and to take down.
    """

    name: str
    network: str
    _: KW_ONLY
    snooping: bool = False
    mtu: int = 1500
    cable: bool = False

    def __post_init__(self) -> None:
        checks.name("switch", "name", self.name)
        checks.boolean(str(self), "cable", self.cable)
        checks.network(str(self), "network", self.network)
        checks.boolean(str(self), "snooping", self.snooping)
        checks.mtu(str(self), "mtu", self.mtu)
        if ipaddress.ip_network(self.network).version == 6:
            checks.number(str(self), "mtu", self.mtu, checks.MTU_IPV6, 65535)
        if self.cable and self.snooping:
            raise TopologyError(str(self), "snooping", "wanted False on a cable, found True")

    def __str__(self) -> str:
        return f"{'cable' if self.cable else 'switch'} {self.name}"


@functools.lru_cache(maxsize=1 << 12)
def _parsed(address: str) -> checks.Interface:
    """Parsed once: checking a topology asks for the address of each interface again and again."""
    return ipaddress.ip_interface(address)


@functools.lru_cache(maxsize=1 << 12)
def _without_prefix(address: str) -> str:
    return str(_parsed(address).ip)


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface of a host or router in the underlay, with one address.

    ``device`` is its name (``eth0``), ``switch`` the name of the switch or cable that it is
    connected to, ``address`` its IP address with prefix length, ``mac`` its MAC address (None: the
    lab gives it one).
    """

    device: str
    switch: str
    address: str
    _: KW_ONLY
    mac: str | None = None

    def __post_init__(self) -> None:
        checks.device("nic", "device", self.device)
        checks.text(str(self), "switch", self.switch)
        checks.interface(str(self), "address", self.address)
        if self.mac is not None:
            checks.mac(str(self), "mac", self.mac)

    def __str__(self) -> str:
        return f"nic {self.device}"

    @property
    def interface(self) -> checks.Interface:
        """The address, parsed."""
        return _parsed(self.address)

    @property
    def ip(self) -> str:
        """The address without its prefix length."""
        return _without_prefix(self.address)


@dataclass(frozen=True, slots=True)
class Rule:
    """A packet filter rule of a host or router.

    ``words`` follow the program's name: ``("-A", "INPUT", …)``; ``family`` is 4 for ``iptables``
    and 6 for ``ip6tables``.
    """

    words: tuple[str, ...]
    family: Literal[4, 6] = 4

    def __post_init__(self) -> None:
        checks.members("rule", "words", self.words, str)
        if not self.words:
            raise TopologyError("rule", "words", "wanted the words of a rule, found none")
        for word in self.words:
            checks.printable("rule", "words", word)
        if self.family not in (4, 6):
            raise TopologyError("rule", "family", f"wanted 4 or 6, found {self.family!r}")


def _check_rules(node: str, rules: object) -> None:
    """TopologyError unless ``rules`` is a tuple of rules; their words are none yet."""
    if isinstance(rules, tuple) and any(isinstance(rule, str | tuple | list) for rule in rules):
        wanted = 'wanted a tuple of Rule, such as Rule(("-A", "INPUT", "-j", "DROP"))'
        raise TopologyError(node, "rules", f"{wanted}, found words: {rules!r}")
    checks.members(node, "rules", rules, Rule)


def raise_ttl(group: str, by: int = 1) -> Rule:
    """The rule that lets multicast to ``group`` pass routers: it leaves with its TTL raised.

    ``group`` is an IPv4 or IPv6 multicast address, ``by`` the number of routers to pass (1 to
    254).  TopologyError where they are not.
    """
    checks.group("rule", "group", group)
    checks.number("rule", "by", by, 1, 254)
    destination = ("-t", "mangle", "-A", "OUTPUT", "-d", group)
    if ipaddress.ip_address(group).version == 4:
        return Rule((*destination, "-j", "TTL", "--ttl-inc", str(by)), 4)
    return Rule((*destination, "-j", "HL", "--hl-inc", str(by)), 6)


def drop_udp(port: int, family: Literal[4, 6] = 4) -> Rule:
    """The rule that drops what arrives on UDP ``port`` (1 to 65535), in one address ``family``.

    TopologyError where the port or the family (4 or 6) is none.
    """
    checks.number("rule", "port", port, 1, 65535)
    return Rule(("-A", "INPUT", "-p", "udp", "--dport", str(port), "-j", "DROP"), family)


@dataclass(frozen=True, slots=True)
class Segment:
    """An overlay segment: one VNI, and how unknown destinations are flooded in it.

    ``name`` is what VTEPs call it, ``vni`` 1 to 16777215.  ``flood`` says where frames for unknown
    MAC addresses go: ``remote`` (to each VTEP), ``group`` (to the multicast ``group``, which is
    needed then and refused otherwise) or ``none``.  ``port`` is the UDP destination port, where 0
    stands for the kernel's default 8472; ``attributes`` are more vxlan attributes
    (:mod:`vxlab.describe.vxlan`) for every VTEP of the segment, as pairs of name and value;
    ``duplicates`` lets an address have several owners in it, as after a mistake.
    """

    name: str
    vni: int
    _: KW_ONLY
    flood: Flood = "remote"
    group: str | None = None
    port: int = vxlan.KERNEL_PORT
    attributes: Attributes = ()
    duplicates: bool = False

    def __post_init__(self) -> None:
        checks.name("segment", "name", self.name)
        checks.boolean(str(self), "duplicates", self.duplicates)
        checks.number(str(self), "vni", self.vni, 1, vxlan.MAX_VNI)
        checks.number(str(self), "port", self.port, 0, 65535)
        if self.flood not in ("group", "remote", "none"):
            raise TopologyError(
                str(self), "flood", f"wanted group, remote or none, found {self.flood!r}"
            )
        if self.flood == "group":
            checks.group(str(self), "group", self.group)
        elif self.group is not None:
            raise TopologyError(
                str(self), "group", f"wanted none with flood {self.flood!r}, found {self.group}"
            )
        _check_attributes(str(self), self.attributes)

    def __str__(self) -> str:
        return f"segment {self.name}"


def _check_attributes(node: str, attributes: object) -> None:
    checks.members(node, "attributes", attributes, tuple)
    try:
        mapping = dict(attributes)  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:
        raise TopologyError(
            node, "attributes", f"wanted pairs of name and value, found {attributes!r}"
        ) from error
    for name, value in mapping.items():
        problem = vxlan.check_one(name, value)
        if problem:
            raise TopologyError(node, str(name), problem)


@dataclass(frozen=True, slots=True)
class Vtep:
    """A vxlan device of a host: the host's end of a segment.

    ``segment`` is the segment's name, ``device`` the device's.  Either it has ``addresses`` (IP
    addresses with prefix length) itself, or it is a port of ``bridge``, or both are absent.  With
    ``vrf`` the device (or its bridge) belongs to the VRF of that name.  ``nic`` is the name of the
    underlay interface (None: the host's first); ``dev`` and ``local`` say whether the device is
    bound to it and to its address; ``local`` left None follows the flood mode (bound unless
    flooding to a group).  ``remotes`` are the IP addresses flooded to (None: those of all other
    VTEPs of the segment); ``mac`` is the device's MAC address (None: the lab gives it one);
    ``attributes``, pairs of name and value, override the segment's.
    """

    segment: str
    device: str = "vxlan0"
    _: KW_ONLY
    addresses: tuple[str, ...] = ()
    bridge: str | None = None
    vrf: str | None = None
    dev: bool = True
    local: bool | None = None
    nic: str | None = None
    remotes: tuple[str, ...] | None = None
    mac: str | None = None
    attributes: Attributes = ()

    def __post_init__(self) -> None:
        checks.text("vtep", "segment", self.segment)
        checks.device(str(self), "device", self.device)
        checks.members(str(self), "addresses", self.addresses, str)
        for address in self.addresses:
            checks.interface(str(self), "addresses", address)
        for field in ("bridge", "vrf", "nic"):
            if getattr(self, field) is not None:
                checks.device(str(self), field, getattr(self, field))
        checks.boolean(str(self), "dev", self.dev)
        if self.local is not None:
            checks.boolean(str(self), "local", self.local)
        if self.remotes is not None:
            checks.members(str(self), "remotes", self.remotes, str)
            for remote in self.remotes:
                checks.host_address(str(self), "remotes", remote)
            parsed = (str(ipaddress.ip_address(remote)) for remote in self.remotes)
            checks.unique(str(self), "remotes", parsed, "remote")
        if self.mac is not None:
            checks.mac(str(self), "mac", self.mac)
        if self.bridge and self.addresses:
            raise TopologyError(
                str(self), "addresses", "wanted none on a device that sits in a bridge"
            )
        _check_attributes(str(self), self.attributes)

    def __str__(self) -> str:
        return f"vtep {self.device}"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with VTEPs.

    ``name`` is also the node's, at most 15 bytes; ``nics`` are its underlay interfaces, ``vteps``
    its vxlan devices, ``rules`` its packet filter rules.
    """

    name: str
    nics: tuple[Nic, ...] = ()
    vteps: tuple[Vtep, ...] = ()
    _: KW_ONLY
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        checks.name("host", "name", self.name)
        checks.members(str(self), "nics", self.nics, Nic)
        checks.members(str(self), "vteps", self.vteps, Vtep)
        _check_rules(str(self), self.rules)

    def __str__(self) -> str:
        return f"host {self.name}"


@dataclass(frozen=True, slots=True)
class Router:
    """A router between switches.

    ``name`` is also the node's, ``nics`` are its interfaces; ``daemon`` is the program that routes
    multicast: ``smcroute``, ``pimd``, or None for none; ``rules`` are its packet filter rules.
    """

    name: str
    nics: tuple[Nic, ...] = ()
    daemon: str | None = "smcroute"
    _: KW_ONLY
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        checks.name("router", "name", self.name)
        checks.members(str(self), "nics", self.nics, Nic)
        _check_rules(str(self), self.rules)
        if self.daemon is not None and self.daemon not in DAEMONS:
            raise TopologyError(
                str(self), "daemon", f"wanted {', '.join(DAEMONS)} or None, found {self.daemon!r}"
            )

    def __str__(self) -> str:
        return f"router {self.name}"


@dataclass(frozen=True, slots=True)
class Container:
    """An endpoint behind a host's bridge: a namespace joined to it by a veth pair.

    ``name`` is also the node's, ``host`` the name of the host, ``bridge`` that of a bridge of the
    host in which a VTEP is.  ``addresses`` are IP addresses with prefix length, ``mac`` the MAC
    address (None: the lab gives it one).  Inside, the interface is ``device``; on the host it is
    ``host_device``, by default the container's name and ``-eth0``, shortened to fit.
    """

    name: str
    host: str
    bridge: str
    _: KW_ONLY
    addresses: tuple[str, ...] = ()
    device: str = "eth0"
    host_device: str = ""
    mac: str | None = None

    def __post_init__(self) -> None:
        checks.name("container", "name", self.name)
        checks.text(str(self), "host", self.host)
        checks.device(str(self), "bridge", self.bridge)
        checks.device(str(self), "device", self.device)
        checks.members(str(self), "addresses", self.addresses, str)
        for address in self.addresses:
            checks.interface(str(self), "addresses", address)
        if self.mac is not None:
            checks.mac(str(self), "mac", self.mac)
        if self.host_device == "":
            short = self.name[: checks.NAME_BYTES - len("-eth0")]
            object.__setattr__(self, "host_device", f"{short}-eth0")
        checks.device(str(self), "host_device", self.host_device)

    def __str__(self) -> str:
        return f"container {self.name}"
