"""Topologies: what a person writes down.

:class:`Topology` is frozen and complete; making one checks everything that can be known before
a kernel is asked, and the error names the element and the field.  :class:`TopologyBuilder` is
the comfortable way to write one::

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
from dataclasses import dataclass
from typing import Any, TypeVar

from vxlab import checks, vxlan
from vxlab.elements import Container, Flood, Host, Nic, Router, Rule, Segment, Switch, Vtep
from vxlab.errors import TopologyError

E = TypeVar("E", Switch, Router, Host, Segment)


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole topology; raises TopologyError where it cannot be built as described."""

    name: str
    switches: tuple[Switch, ...] = ()
    routers: tuple[Router, ...] = ()
    hosts: tuple[Host, ...] = ()
    segments: tuple[Segment, ...] = ()
    containers: tuple[Container, ...] = ()
    _found: dict[str, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        from vxlab.consistency import check_topology

        check_topology(self)

    def __str__(self) -> str:
        return self.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of all nodes: switches, routers, hosts, containers, in this order."""
        switches = (switch for switch in self.switches if not switch.cable)
        groups = (switches, self.routers, self.hosts, self.containers)
        return tuple(element.name for group in groups for element in group)

    @property
    def machines(self) -> tuple[Router | Host, ...]:
        """All that has network cards: routers and hosts."""
        return (*self.routers, *self.hosts)

    def cards(self, switch: Switch) -> tuple[tuple[Router | Host, Nic], ...]:
        """All cards on a switch, each with its machine."""
        return tuple((m, nic) for m in self.machines for nic in m.nics if nic.switch == switch.name)

    def host(self, name: str) -> Host:
        """The host of that name; TopologyError where there is none."""
        return _find(self._names("hosts", self.hosts), name, "host", str(self))

    def router(self, name: str) -> Router:
        """The router of that name; TopologyError where there is none."""
        return _find(self._names("routers", self.routers), name, "router", str(self))

    def switch(self, name: str) -> Switch:
        """The switch or cable of that name; TopologyError where there is none."""
        return _find(self._names("switches", self.switches), name, "switch", str(self))

    def segment(self, name: str) -> Segment:
        """The segment of that name; TopologyError where there is none."""
        return _find(self._names("segments", self.segments), name, "segment", str(self))

    def vteps(self, segment: str) -> tuple[tuple[Host, Vtep], ...]:
        """All VTEPs of a segment, each with its host."""
        if "vteps" not in self._found:
            found: dict[str, list[tuple[Host, Vtep]]] = {}
            for host in self.hosts:
                for vtep in host.vteps:
                    found.setdefault(vtep.segment, []).append((host, vtep))
            self._found["vteps"] = found
        return tuple(self._found["vteps"].get(segment, ()))

    def _names(self, kind: str, elements: Iterable[E]) -> Mapping[str, E]:
        """Elements by name; kept, since a topology of thousands of segments asks all the time."""
        if kind not in self._found:
            self._found[kind] = {element.name: element for element in elements}
        names: Mapping[str, E] = self._found[kind]
        return names

    def vtep(self, host: str, segment: str) -> Vtep:
        """The VTEP of ``host`` in ``segment``; TopologyError where there is none."""
        for vtep in self.host(host).vteps:
            if vtep.segment == segment:
                return vtep
        raise TopologyError(f"host {host}", "vteps", f"wanted one in segment {segment!r}")

    def nic(self, host: Host, vtep: Vtep) -> Nic | None:
        """The card that a VTEP's packets leave by, or None where the host has none."""
        for nic in host.nics:
            if vtep.nic in (None, nic.device):
                return nic
        return None

    def mtu(self, host: Host, vtep: Vtep) -> int:
        """The MTU in bytes behind a VTEP: its card's, less what the encapsulation takes."""
        nic = self.nic(host, vtep)
        for switch in self.switches:
            if nic and nic.switch == switch.name:
                return switch.mtu - vxlan.OVERHEAD[nic.interface.version]
        raise TopologyError(f"{host} {vtep}", "nic", "wanted a card on a switch, found none")

    def gateway(self, host: Host) -> tuple[Router, Nic] | None:
        """A host's default gateway: the first router on its first card's switch, and its card."""
        for nic in host.nics[:1]:
            for router in self.routers:
                for there in router.nics:
                    if there.switch == nic.switch:
                        return router, there
        return None

    def remotes(self, host: Host, vtep: Vtep) -> tuple[str, ...]:
        """The addresses that a VTEP floods to: those given, or all other VTEPs of the segment."""
        if vtep.remotes is not None:
            return vtep.remotes
        if self.segment(vtep.segment).flood != "remote":
            return ()
        nics = [
            self.nic(other, far) for other, far in self.vteps(vtep.segment) if other is not host
        ]
        return tuple(nic.ip for nic in nics if nic)

    def attributes(self, host: Host, vtep: Vtep) -> dict[str, vxlan.Value]:
        """The vxlan attributes a VTEP's device is made with."""
        segment, nic = self.segment(vtep.segment), self.nic(host, vtep)
        found: dict[str, vxlan.Value] = {"id": segment.vni}
        remotes = self.remotes(host, vtep)
        if segment.group:
            found["group"] = segment.group
        elif remotes:
            found["remote"] = remotes[0]  # the others are added to the FDB
        local = vtep.local if vtep.local is not None else segment.flood != "group"
        if local and nic:
            found["local"] = nic.ip
        if vtep.dev and nic:
            found["dev"] = nic.device
        found["dstport"] = segment.port
        found.update(segment.attributes)
        found.update(vtep.attributes)
        return found

    def port(self, host: Host, vtep: Vtep) -> int:
        """The UDP port that a VTEP sends to and listens on."""
        attributes = self.attributes(host, vtep)
        default = vxlan.GPE_PORT if attributes.get("gpe") else vxlan.KERNEL_PORT
        return int(attributes["dstport"]) or default  # type: ignore[arg-type]

    @property
    def ports(self) -> frozenset[int]:
        """The UDP ports of all VTEPs."""
        return frozenset(self.port(host, vtep) for host in self.hosts for vtep in host.vteps)

    def with_host(self, name: str, **changes: Any) -> Topology:
        """The same topology with fields of one host changed."""
        host = dataclasses.replace(self.host(name), **changes)
        hosts = tuple(host if old.name == name else old for old in self.hosts)
        return dataclasses.replace(self, hosts=hosts)

    def with_vtep(self, host: str, segment: str, **changes: Any) -> Topology:
        """The same topology with fields of one VTEP changed.

        Names that are vxlan attributes and no field (``id``, ``dstport``, ``group``, ``ttl``…)
        become overriding attributes of the device.
        """
        fields = {field.name for field in dataclasses.fields(Vtep)}
        extra = {key: value for key, value in changes.items() if key not in fields}
        changes = {key: value for key, value in changes.items() if key in fields}
        old = self.vtep(host, segment)
        changes.setdefault("attributes", tuple({**dict(old.attributes), **extra}.items()))
        new = dataclasses.replace(old, **changes)
        vteps = tuple(new if vtep is old else vtep for vtep in self.host(host).vteps)
        return self.with_host(host, vteps=vteps)

    def with_switch(self, name: str, **changes: Any) -> Topology:
        """The same topology with fields of one switch changed (``cable=False`` makes it one)."""
        switch = dataclasses.replace(self.switch(name), **changes)
        switches = tuple(switch if old.name == name else old for old in self.switches)
        return dataclasses.replace(self, switches=switches)

    def with_router(self, name: str, **changes: Any) -> Topology:
        """The same topology with fields of one router changed."""
        router = dataclasses.replace(self.router(name), **changes)
        routers = tuple(router if old.name == name else old for old in self.routers)
        return dataclasses.replace(self, routers=routers)


def _find(elements: Mapping[str, E], name: str, kind: str, topology: str) -> E:
    if isinstance(name, str) and name in elements:
        return elements[name]
    raise TopologyError(
        f"topology {topology}",
        f"{kind}{'es' if kind == 'switch' else 's'}",
        f"wanted the {kind} {name!r}, found {', '.join(elements) or 'none at all'}",
    )


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
        self._switches.append(Switch(name, network, snooping, mtu))
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
        self._hosts[name] = Host(name, (), (), _tuple(rules))
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

        ``attributes`` are more vxlan attributes for all its devices (:mod:`vxlab.vxlan`).
        """
        flood = flood or ("group" if group else "remote")
        pairs = _pairs(f"segment {name}", attributes)
        segment = Segment(name, vni, flood, group, port, pairs, duplicates)
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

        ``fields`` are those of :class:`vxlab.elements.Vtep`.
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
        self._containers.append(Container(name, host, bridge, _tuple(addresses), **fields))
        return self

    def build(self) -> Topology:
        """The finished topology; TopologyError where it cannot be built as described."""
        return Topology(
            self.name,
            tuple(self._switches),
            tuple(self._routers.values()),
            tuple(self._hosts.values()),
            tuple(self._segments),
            tuple(self._containers),
        )

    def _new_node(self, name: str) -> None:
        checks.name("node", "name", name)
        if name in self._hosts or name in self._routers:
            raise TopologyError(f"node {name}", "name", "wanted a new name, found it in use")

    def _host(self, name: str) -> Host:
        return _find(self._hosts, name, "host", self.name)

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
