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
from vxlab.describe.devices import Device, PortVlan
from vxlab.describe.devices.base import as_pairs, as_tuple
from vxlab.describe.devices.ports import check_port, check_vlans
from vxlab.describe.filters import NftRules, Rule, check_rules
from vxlab.describe.impairment import Netem
from vxlab.describe.machine import Settings, check_machine
from vxlab.describe.routes import StaticRoute
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
    ``192.0.2.0/24``, or None for a link whose cards have no addresses of a subnet; ``more`` are
    further subnets of it, of the other address family for instance.  ``snooping`` switches IGMP
    and MLD snooping on; ``mtu``, in bytes, holds for all its links.  With ``cable`` it is one veth
    pair between exactly two machines: no node, no bridge, and several times as quick to make and to
    take down.
    """

    name: str
    network: str | None
    _: KW_ONLY
    snooping: bool = False
    mtu: int = 1500
    cable: bool = False
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.name("switch", "name", self.name)
        checks.boolean(str(self), "cable", self.cable)
        object.__setattr__(self, "more", as_tuple(self.more))
        for network in self.networks:
            checks.network(str(self), "network", network)
        checks.boolean(str(self), "snooping", self.snooping)
        checks.mtu(str(self), "mtu", self.mtu)
        if any(ipaddress.ip_network(network).version == 6 for network in self.networks):
            checks.number(str(self), "mtu", self.mtu, checks.MTU_IPV6, 65535)
        if self.cable and self.snooping:
            raise TopologyError(str(self), "snooping", "wanted False on a cable, found True")

    def __str__(self) -> str:
        return f"{'cable' if self.cable else 'switch'} {self.name}"

    @property
    def networks(self) -> tuple[str, ...]:
        """All its subnets."""
        return (*(() if self.network is None else (self.network,)), *self.more)


@functools.lru_cache(maxsize=1 << 16)
def _without_prefix(address: str) -> str:
    return str(checks.parsed(address).ip)


@dataclass(frozen=True, slots=True)
class Nic:
    """A card: an interface of a host or router in the underlay.

    ``device`` is its name (``eth0``), ``switch`` the name of the switch or cable that it is
    connected to, ``address`` its IP address with prefix length (None: it has none), ``more`` are
    further ones; ``mac`` is its MAC address (None: the lab gives it one), ``mtu`` its MTU in bytes
    (None: the switch's).  ``master`` is the bond, bridge or VRF that it is a port of; ``port`` are
    its settings there by name, ``vlans`` its VLANs, as for :class:`vxlab.Device`.  ``impairment``
    is what happens to the frames that leave by it.
    """

    device: str
    switch: str
    address: str | None
    _: KW_ONLY
    mac: str | None = None
    more: tuple[str, ...] = ()
    mtu: int | None = None
    master: str | None = None
    port: Attributes = ()
    vlans: tuple[PortVlan, ...] = ()
    impairment: Netem | None = None

    def __post_init__(self) -> None:
        checks.device("nic", "device", self.device)
        node = str(self)
        checks.text(node, "switch", self.switch)
        object.__setattr__(self, "more", as_tuple(self.more))
        for address in self.addresses:
            checks.interface(node, "address", address)
        if self.mac is not None:
            checks.mac(node, "mac", self.mac)
        if self.mtu is not None:
            checks.mtu(node, "mtu", self.mtu)
        if self.master is not None:
            checks.device(node, "master", self.master)
        object.__setattr__(self, "port", as_pairs(node, "port", self.port))
        object.__setattr__(self, "vlans", check_vlans(node, as_tuple(self.vlans)))
        check_port(node, self.master, self.port, self.vlans)
        if not isinstance(self.impairment, Netem | None):
            found = f"wanted a Netem or None, found {self.impairment!r}"
            raise TopologyError(node, "impairment", found)

    def __str__(self) -> str:
        return f"nic {self.device}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All its addresses, with prefix length."""
        return (*(() if self.address is None else (self.address,)), *self.more)

    @property
    def interface(self) -> checks.Interface:
        """The first address, parsed; TopologyError where there is none."""
        if self.address is None:
            raise TopologyError(str(self), "address", "wanted one, found none")
        return checks.parsed(self.address)

    @property
    def ip(self) -> str:
        """The first address without its prefix length; "" where there is none."""
        return _without_prefix(self.address) if self.address else ""


@dataclass(frozen=True, slots=True)
class Segment:
    """An overlay segment: one VNI, and how unknown destinations are flooded in it.

    ``name`` is what VTEPs call it, ``vni`` 0 to 16777215.  ``flood`` says where frames for unknown
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
        checks.number(str(self), "vni", self.vni, 0, vxlan.MAX_VNI)
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
        object.__setattr__(self, "attributes", vxlan.normal(self.attributes))

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
    for name, value in vxlan.normal(tuple(mapping.items())):
        problem = vxlan.check_one(name, value)
        if problem:
            raise TopologyError(node, str(name), problem)


@dataclass(frozen=True, slots=True)
class Vtep:
    """A vxlan device of a host: the host's end of a segment.

    ``segment`` is the segment's name, ``device`` the device's.  Either it has ``addresses`` (IP
    addresses with prefix length) itself, or it is a port of ``bridge``, or both are absent.  With
    ``vrf`` the device (or its bridge) belongs to the VRF of that name.  ``nic`` is the name of the
    underlay interface (None: the host's first that has an address): a card, or any device with an
    address.  ``dev`` and ``local`` say whether the device is bound to it and to its address;
    ``local`` left None follows the flood mode (bound unless flooding to a group), and may be an
    address of the host.  ``remotes`` are the IP addresses flooded to (None: those of all other
    VTEPs of the segment); ``mac`` is the device's MAC address (None: the lab gives it one);
    ``attributes``, pairs of name and value, override the segment's; ``mtu`` is in bytes (None: the
    kernel's choice).  As a port of its bridge, ``port`` are its settings by name, ``vlans`` its
    VLANs, as for :class:`vxlab.Device`.
    """

    segment: str
    device: str = "vxlan0"
    _: KW_ONLY
    addresses: tuple[str, ...] = ()
    bridge: str | None = None
    vrf: str | None = None
    dev: bool = True
    local: bool | str | None = None
    nic: str | None = None
    remotes: tuple[str, ...] | None = None
    mac: str | None = None
    attributes: Attributes = ()
    mtu: int | None = None
    port: Attributes = ()
    vlans: tuple[PortVlan, ...] = ()

    def __post_init__(self) -> None:
        checks.text("vtep", "segment", self.segment)
        checks.device(str(self), "device", self.device)
        checks.members(str(self), "addresses", self.addresses, str)
        for address in self.addresses:
            checks.interface(str(self), "addresses", address)
        for field in ("bridge", "vrf"):
            if getattr(self, field) is not None:
                checks.device(str(self), field, getattr(self, field))
        if self.nic not in (None, "lo"):
            checks.device(str(self), "nic", self.nic)
        checks.boolean(str(self), "dev", self.dev)
        if isinstance(self.local, str):
            checks.host_address(str(self), "local", self.local)
        elif self.local is not None:
            checks.boolean(str(self), "local", self.local)
        self._check_port()
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
        object.__setattr__(self, "attributes", vxlan.normal(self.attributes))

    def __str__(self) -> str:
        return f"vtep {self.device}"

    def _check_port(self) -> None:
        node = str(self)
        object.__setattr__(self, "port", as_pairs(node, "port", self.port))
        object.__setattr__(self, "vlans", check_vlans(node, as_tuple(self.vlans)))
        check_port(node, self.bridge, self.port, self.vlans)
        if self.mtu is not None:
            checks.mtu(node, "mtu", self.mtu)


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with VTEPs.

    ``name`` is also the node's, at most 15 bytes; ``nics`` are its cards, ``vteps`` its vxlan
    devices in segments, ``devices`` all others (:class:`vxlab.Device`).  ``rules`` are its packet
    filter rules, ``routes`` those beside the computed ones, ``settings`` kernel settings below
    ``net`` by name.  With ``forwarding`` it is a router as well.
    """

    name: str
    nics: tuple[Nic, ...] = ()
    vteps: tuple[Vtep, ...] = ()
    _: KW_ONLY
    rules: tuple[Rule | NftRules, ...] = ()
    devices: tuple[Device, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    settings: Settings = ()
    forwarding: bool = False

    def __post_init__(self) -> None:
        checks.name("host", "name", self.name)
        checks.members(str(self), "nics", self.nics, Nic)
        checks.members(str(self), "vteps", self.vteps, Vtep)
        checks.boolean(str(self), "forwarding", self.forwarding)
        check_machine(self)
        check_rules(str(self), self.rules)

    def __str__(self) -> str:
        return f"host {self.name}"


@dataclass(frozen=True, slots=True)
class Router:
    """A router between switches.

    ``name`` is also the node's, ``nics`` are its cards; ``daemon`` is the program that routes
    multicast: ``smcroute``, ``pimd``, or None for none.  ``devices``, ``rules``, ``routes`` and
    ``settings`` are as for :class:`Host`.
    """

    name: str
    nics: tuple[Nic, ...] = ()
    daemon: str | None = "smcroute"
    _: KW_ONLY
    rules: tuple[Rule | NftRules, ...] = ()
    devices: tuple[Device, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    settings: Settings = ()

    def __post_init__(self) -> None:
        checks.name("router", "name", self.name)
        checks.members(str(self), "nics", self.nics, Nic)
        check_machine(self)
        check_rules(str(self), self.rules)
        if self.daemon is not None and self.daemon not in DAEMONS:
            raise TopologyError(
                str(self), "daemon", f"wanted {', '.join(DAEMONS)} or None, found {self.daemon!r}"
            )

    def __str__(self) -> str:
        return f"router {self.name}"
