"""How the elements of a topology are joined: who is where, and what follows from it.

Addresses, MTUs, ports and vxlan attributes that are not written down are computed here, once, for
the checks, the planner and everything that explains a lab.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vxlab.describe import vxlan
from vxlab.describe.elements import Container, Host, Nic, Router, Segment, Switch, Vtep
from vxlab.errors import TopologyError

E = TypeVar("E", Switch, Router, Host, Segment)


@dataclass(frozen=True, slots=True)
class Wiring:
    """The elements of a topology, and what follows from how they are joined.

    ``name`` is the topology's; ``switches``, ``routers``, ``hosts``, ``segments`` and
    ``containers`` are its elements.  :class:`~vxlab.describe.topology.Topology` is one that has
    been checked; until then an element may name another that does not exist, and a question about
    that is a TopologyError.
    """

    name: str
    _: dataclasses.KW_ONLY
    switches: tuple[Switch, ...] = ()
    routers: tuple[Router, ...] = ()
    hosts: tuple[Host, ...] = ()
    segments: tuple[Segment, ...] = ()
    containers: tuple[Container, ...] = ()
    _found: dict[str, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        """All machines with interfaces in the underlay: routers, then hosts."""
        return (*self.routers, *self.hosts)

    def cards(self, switch: Switch) -> tuple[tuple[Router | Host, Nic], ...]:
        """All interfaces on ``switch``, each with its machine."""
        return tuple((m, nic) for m in self.machines for nic in m.nics if nic.switch == switch.name)

    def host(self, name: str) -> Host:
        """The host of that name; TopologyError where there is none."""
        return find(self._names("hosts", self.hosts), name, "host", str(self))

    def router(self, name: str) -> Router:
        """The router of that name; TopologyError where there is none."""
        return find(self._names("routers", self.routers), name, "router", str(self))

    def switch(self, name: str) -> Switch:
        """The switch or cable of that name; TopologyError where there is none."""
        return find(self._names("switches", self.switches), name, "switch", str(self))

    def segment(self, name: str) -> Segment:
        """The segment of that name; TopologyError where there is none."""
        return find(self._names("segments", self.segments), name, "segment", str(self))

    def vteps(self, segment: str) -> tuple[tuple[Host, Vtep], ...]:
        """All VTEPs of the segment of that name, each with its host."""
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
        """The interface that packets of ``vtep`` leave ``host`` by; None where there is none."""
        for nic in host.nics:
            if vtep.nic in (None, nic.device):
                return nic
        return None

    def mtu(self, host: Host, vtep: Vtep) -> int:
        """The MTU in bytes behind ``vtep`` of ``host``: the underlay's less the encapsulation.

        TopologyError where the VTEP has no interface on a switch.
        """
        nic = self.nic(host, vtep)
        for switch in self.switches:
            if nic and nic.switch == switch.name:
                return switch.mtu - vxlan.OVERHEAD[nic.interface.version]
        raise TopologyError(f"{host} {vtep}", "nic", "wanted an interface on a switch, found none")

    def gateway(self, host: Host) -> tuple[Router, Nic] | None:
        """A host's default gateway, the first router on its first interface's switch.

        The router, and its interface there; None where there is no router.
        """
        for nic in host.nics[:1]:
            for router in self.routers:
                for there in router.nics:
                    if there.switch == nic.switch:
                        return router, there
        return None

    def remotes(self, host: Host, vtep: Vtep) -> tuple[str, ...]:
        """The addresses that ``vtep`` of ``host`` floods to: those given, or all others'."""
        if vtep.remotes is not None:
            return vtep.remotes
        if self.segment(vtep.segment).flood != "remote":
            return ()
        nics = [
            self.nic(other, far) for other, far in self.vteps(vtep.segment) if other is not host
        ]
        return tuple(nic.ip for nic in nics if nic)

    def attributes(self, host: Host, vtep: Vtep) -> dict[str, vxlan.Value]:
        """The vxlan attributes, by name, that the device of ``vtep`` of ``host`` is made with."""
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
        """The UDP port that ``vtep`` of ``host`` sends to and listens on."""
        attributes = self.attributes(host, vtep)
        default = vxlan.GPE_PORT if attributes.get("gpe") else vxlan.KERNEL_PORT
        return int(attributes["dstport"]) or default  # type: ignore[arg-type]

    @property
    def ports(self) -> frozenset[int]:
        """The UDP ports of all VTEPs."""
        return frozenset(self.port(host, vtep) for host in self.hosts for vtep in host.vteps)


def find(elements: Mapping[str, E], name: str, kind: str, topology: str) -> E:
    """The one of ``elements`` that has ``name``.

    ``kind`` (``host``) and ``topology``, the topology's name, are for the TopologyError where there
    is none.
    """
    if isinstance(name, str) and name in elements:
        return elements[name]
    raise TopologyError(
        f"topology {topology}",
        f"{kind}{'es' if kind == 'switch' else 's'}",
        f"wanted the {kind} {name!r}, found {', '.join(elements) or 'none at all'}",
    )
