"""Containers: endpoints behind a host."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from vxlab.describe import checks
from vxlab.describe.devices import Device, PortVlan
from vxlab.describe.devices.base import as_pairs, as_tuple
from vxlab.describe.devices.ports import check_port, check_vlans
from vxlab.describe.filters import NftRules, Rule, check_rules
from vxlab.describe.machine import Settings, check_machine
from vxlab.describe.routes import StaticRoute
from vxlab.describe.vxlan import Attributes
from vxlab.errors import TopologyError


@dataclass(frozen=True, slots=True)
class Container:
    """An endpoint behind a host's bridge: a namespace joined to it by a veth pair.

    ``name`` is also the node's, ``host`` the name of the host, ``bridge`` that of a bridge of the
    host, or None where it is routed: the host's end then has ``host_addresses``.  ``addresses`` are
    IP addresses with prefix length, ``mac`` the MAC address (None: the lab gives it one).  Inside,
    the interface is ``device``; on the host it is ``host_device``, by default the container's name
    and ``-eth0``, shortened to fit.  ``port`` are the settings by name that the bridge has for it,
    ``vlans`` its VLANs there, as for :class:`vxlab.Device`; ``mtu`` is in bytes (None: what fits
    behind the VTEP).  ``devices``, ``rules``, ``routes`` and ``settings`` are as for :class:`Host`.
    """

    name: str
    host: str
    bridge: str | None
    _: KW_ONLY
    addresses: tuple[str, ...] = ()
    device: str = "eth0"
    host_device: str = ""
    mac: str | None = None
    mtu: int | None = None
    host_addresses: tuple[str, ...] = ()
    port: Attributes = ()
    vlans: tuple[PortVlan, ...] = ()
    rules: tuple[Rule | NftRules, ...] = ()
    devices: tuple[Device, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    settings: Settings = ()

    def __post_init__(self) -> None:
        checks.name("container", "name", self.name)
        checks.text(str(self), "host", self.host)
        if self.bridge is not None:
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
        self._check_link()
        check_machine(self)
        check_rules(str(self), self.rules)

    def _check_link(self) -> None:
        """Check the host's end of the link."""
        node = str(self)
        object.__setattr__(self, "host_addresses", as_tuple(self.host_addresses))
        for address in self.host_addresses:
            checks.interface(node, "host_addresses", address)
        if self.host_addresses and self.bridge is not None:
            wanted = "wanted none beside a bridge: give the bridge the addresses"
            raise TopologyError(node, "host_addresses", wanted)
        if self.mtu is not None:
            checks.mtu(node, "mtu", self.mtu)
        object.__setattr__(self, "port", as_pairs(node, "port", self.port))
        object.__setattr__(self, "vlans", check_vlans(node, as_tuple(self.vlans)))
        check_port(node, self.bridge, self.port, self.vlans)

    def __str__(self) -> str:
        return f"container {self.name}"
