"""The comfortable way to write a topology down.

t = TopologyBuilder("two hosts")
t.switch("lan", "192.168.10.0/24")
t.segment("red", vni=42)
for n in (1, 2):
    t.host(f"h{n}", "lan")
    t.vtep(f"h{n}", "red", addresses=f"10.0.0.{n}/24")
topology = t.build()
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from vxlab.describe import checks, vxlan
from vxlab.describe.elements import Container, Flood, Host, Nic, Router, Rule, Segment, Switch, Vtep
from vxlab.describe.topology import Topology
from vxlab.describe.wiring import find
from vxlab.errors import TopologyError


def _tuple(value: Any) -> tuple[Any, ...]:
    """One thing, several, or none, as a tuple; the element that gets it checks what is in it."""
    if value is None:
        return ()
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return tuple(value) if several else (value,)


def _pairs(node: str, value: Mapping[str, vxlan.Value] | None) -> vxlan.Attributes:
    """Attributes as pairs of name and value."""
    if not isinstance(value, Mapping | None):
        raise TopologyError(node, "attributes", f"wanted a mapping, found {value!r}")
    return tuple((value or {}).items())


class TopologyBuilder:
    """Writes a topology down step by step; :meth:`build` checks it and freezes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._switches: list[Switch] = []
        self._routers: dict[str, Router] = {}
        self._hosts: dict[str, Host] = {}
        self._segments: list[Segment] = []
        self._containers: list[Container] = []

    def switch(
        self, name: str, network: str, *, snooping: bool = False, mtu: int = 1500
    ) -> TopologyBuilder:
        """An underlay segment with its subnet."""
        self._switches.append(Switch(name, network, snooping=snooping, mtu=mtu))
        return self

    def cable(self, name: str, network: str, *, mtu: int = 1500) -> TopologyBuilder:
        """An underlay segment of exactly two cards, without a switch between them."""
        self._switches.append(Switch(name, network, mtu=mtu, cable=True))
        return self

    def router(self, name: str, *switches: str, daemon: str | None = "smcroute") -> TopologyBuilder:
        """A router with a card on each switch (eth0, eth1, …), at the lowest free address."""
        self._new_node(name)
        self._routers[name] = Router(name, (), daemon)
        for number, switch in enumerate(switches):
            nic = Nic(f"eth{number}", switch, self._free_address(f"router {name}", switch))
            router = self._routers[name]
            self._routers[name] = dataclasses.replace(router, nics=(*router.nics, nic))
        return self

    def host(
        self,
        name: str,
        switch: str | None = None,
        address: str | None = None,
        *,
        device: str = "eth0",
        rules: Iterable[Rule] = (),
    ) -> TopologyBuilder:
        """A host, with a card on ``switch`` if one is named; the next free address by default."""
        self._new_node(name)
        self._hosts[name] = Host(name, rules=_tuple(rules))
        if switch is not None:
            self.nic(name, switch, address, device=device)
        return self

    def nic(
        self, host: str, switch: str, address: str | None = None, *, device: str = "eth0"
    ) -> TopologyBuilder:
        """One more card of a host."""
        old = self._host(host)
        nic = Nic(device, switch, address or self._free_address(f"host {host}", switch))
        self._hosts[host] = dataclasses.replace(old, nics=(*old.nics, nic))
        return self

    def segment(
        self,
        name: str,
        vni: int,
        *,
        flood: Flood | None = None,
        group: str | None = None,
        port: int = vxlan.KERNEL_PORT,
        attributes: Mapping[str, vxlan.Value] | None = None,
        duplicates: bool = False,
    ) -> TopologyBuilder:
        """An overlay segment; a ``group`` makes it multicast, else it floods to all remotes.

        ``attributes`` are more vxlan attributes for all its devices (:mod:`vxlab.describe.vxlan`).
        """
        flood = flood or ("group" if group else "remote")
        pairs = _pairs(f"segment {name}", attributes)
        segment = Segment(
            name, vni, flood=flood, group=group, port=port, attributes=pairs, duplicates=duplicates
        )
        self._segments.append(segment)
        return self

    def vtep(
        self,
        host: str,
        segment: str,
        *,
        device: str | None = None,
        addresses: str | Iterable[str] | None = None,
        attributes: Mapping[str, vxlan.Value] | None = None,
        **fields: Any,
    ) -> TopologyBuilder:
        """A vxlan device of ``host`` in ``segment``: vxlan0, vxlan1, … unless named.

        ``fields`` are those of :class:`vxlab.describe.elements.Vtep`.
        """
        old = self._host(host)
        device = device or f"vxlan{len(old.vteps)}"
        vtep = Vtep(
            segment=segment,
            device=device,
            addresses=_tuple(addresses),
            attributes=_pairs(f"host {host} vtep {device}", attributes),
            **fields,
        )
        self._hosts[host] = dataclasses.replace(old, vteps=(*old.vteps, vtep))
        return self

    def container(
        self,
        name: str,
        host: str,
        bridge: str,
        addresses: str | Iterable[str] | None = None,
        **fields: Any,
    ) -> TopologyBuilder:
        """An endpoint behind a bridge of a host; ``fields`` are those of ``Container``."""
        self._containers.append(
            Container(name, host, bridge, addresses=_tuple(addresses), **fields)
        )
        return self

    def build(self) -> Topology:
        """The finished topology; TopologyError where it cannot be built as described."""
        return Topology(
            self.name,
            switches=tuple(self._switches),
            routers=tuple(self._routers.values()),
            hosts=tuple(self._hosts.values()),
            segments=tuple(self._segments),
            containers=tuple(self._containers),
        )

    def _new_node(self, name: str) -> None:
        checks.name("node", "name", name)
        if name in self._hosts or name in self._routers:
            raise TopologyError(f"node {name}", "name", "wanted a new name, found it in use")

    def _host(self, name: str) -> Host:
        return find(self._hosts, name, "host", self.name)

    def _free_address(self, node: str, switch: str) -> str:
        networks = {known.name: known.network for known in self._switches}
        checks.text(node, "switch", switch)
        if switch not in networks:
            names = ", ".join(networks) or "none at all"
            raise TopologyError(node, "switch", f"wanted a known switch, found {switch!r}: {names}")
        network = ipaddress.ip_network(networks[switch])
        elements: list[Router | Host] = [*self._routers.values(), *self._hosts.values()]
        taken = {nic.ip for element in elements for nic in element.nics if nic.switch == switch}
        for address in network.hosts():
            if str(address) not in taken:
                return f"{address}/{network.prefixlen}"
        raise TopologyError(node, "address", f"wanted a free one on {switch}, found {network} full")
