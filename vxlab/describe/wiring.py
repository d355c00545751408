"""How the elements of a topology are joined: who is where, and what follows from it.

Addresses, MTUs, ports and vxlan attributes that are not written down are computed here, once, for
the checks, the planner and everything that explains a lab.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from vxlab.describe import checks, vxlan
from vxlab.describe.containers import Container
from vxlab.describe.elements import Host, Nic, Router, Segment, Switch, Vtep, parsed
from vxlab.errors import TopologyError

E = TypeVar("E", Switch, Router, Host, Segment)

#: Whether the routes of the underlay are computed, or only those are there that are written down.
Routing = Literal["computed", "written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderlayInterface:
    """An interface of a machine in the underlay: a card, or another device with an address.

    ``device`` is its name, ``switch`` that of the switch or cable below its first card ("" where no
    card is below it), ``address`` its first IP address with prefix length (None: it has none).
    """

    device: str
    switch: str
    address: str | None

    @property
    def interface(self) -> checks.Interface:
        """The address, parsed; TopologyError where there is none."""
        if self.address is None:
            raise TopologyError(f"interface {self.device}", "address", "wanted one, found none")
        return parsed(self.address)

    @property
    def ip(self) -> str:
        """The address without its prefix length; "" where there is none."""
        return str(self.interface.ip) if self.address else ""

    @property
    def version(self) -> int:
        """4 or 6, its address family."""
        return self.interface.version if self.address else 4


def underlay_interfaces(machine: Router | Host) -> Iterator[UnderlayInterface]:
    """The cards of ``machine``, then its other devices that have an address."""
    for nic in machine.nics:
        yield UnderlayInterface(device=nic.device, switch=nic.switch, address=nic.address)
    for device in machine.devices:
        if device.addresses:
            below = next((card.switch for card in cards_below(machine, device.name)), "")
            first = device.addresses[0]
            yield UnderlayInterface(device=device.name, switch=below, address=first)


def cards_below(machine: Router | Host, name: str) -> tuple[Nic, ...]:
    """The cards of ``machine`` that frames of its device called ``name`` leave by.

    That is the card itself, those of the ports of a bond or bridge, and those of the device that a
    VLAN or macvlan sits upon.
    """
    cards = [nic for nic in machine.nics if name in (nic.device, nic.master)]
    below = [
        each.name for each in machine.devices if each.master == name and each.kind.name != "vrf"
    ]
    below += [each.below for each in machine.devices if each.name == name and each.below]
    for each in below:
        cards += cards_below(machine, each)
    return tuple(cards)


class NodeChange(Protocol):
    """An operation on the node called ``node`` (:mod:`vxlab.operations`)."""

    @property
    def node(self) -> str:
        """The name of the node that it changes."""
        ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """The elements of a topology, and what follows from how they are joined.

    ``name`` is the topology's; ``switches``, ``routers``, ``hosts``, ``segments`` and
    ``containers`` are its elements; ``changes`` are operations that follow once they are built.
    ``routing`` says whether the routes of the underlay are computed, or only those are there that
    are written down.  :class:`~vxlab.describe.topology.Topology` is one that has
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
    changes: tuple[NodeChange, ...] = ()
    routing: Routing = "computed"
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

    def nic(self, host: Host, vtep: Vtep) -> UnderlayInterface | None:
        """The interface that packets of ``vtep`` leave ``host`` by; None where there is none."""
        return next(
            (
                each
                for each in underlay_interfaces(host)
                if vtep.nic == each.device or (vtep.nic is None and each.address)
            ),
            None,
        )

    def underlay_mtu(self, machine: Router | Host, device: str) -> int | None:
        """The MTU in bytes of ``device`` of ``machine``, the least of it and of all cards below.

        For one with no card below, such as the loopback device, it is the least of all cards; None
        where there is none.
        """
        cards = cards_below(machine, device) or machine.nics
        switches = self._names("switches", self.switches)
        found = [nic.mtu or switches[nic.switch].mtu for nic in cards if nic.switch in switches]
        found += [each.mtu for each in machine.devices if each.name == device and each.mtu]
        return min(found, default=None)

    def mtu(self, host: Host, vtep: Vtep) -> int:
        """The MTU in bytes behind ``vtep`` of ``host``: the underlay's less the encapsulation.

        TopologyError where the VTEP has no interface on a switch.
        """
        nic = self.nic(host, vtep)
        below = self.underlay_mtu(host, nic.device) if nic else None
        if nic is None or below is None:
            raise TopologyError(
                f"{host} {vtep}", "nic", "wanted an interface on a switch, found none"
            )
        return vtep.mtu or below - vxlan.OVERHEAD[nic.version]

    def behind(self, host: str) -> tuple[Container, ...]:
        """The containers of the host of that name."""
        if "behind" not in self._found:
            found: dict[str, list[Container]] = {}
            for container in self.containers:
                found.setdefault(container.host, []).append(container)
            self._found["behind"] = found
        return tuple(self._found["behind"].get(host, ()))

    def container_mtu(self, container: Container) -> int | None:
        """The MTU in bytes of a container's link: its own, or what fits behind its host's VTEP.

        The VTEP is the one in its bridge, or of a routed container the host's first; None where
        there is none.
        """
        host = self.host(container.host)
        vteps = [v for v in host.vteps if container.bridge in (None, v.bridge)]
        if container.mtu or not vteps:
            return container.mtu
        return self.mtu(host, vteps[0])

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
        others = ((o, far) for o, far in self.vteps(vtep.segment) if o is not host)
        own = self.address(host, vtep)
        found = dict.fromkeys(self.address(other, far) for other, far in others)
        return tuple(each for each in found if each and each != own)

    def address(self, host: Host, vtep: Vtep) -> str:
        """The address that ``vtep`` of ``host`` is reached at; "" where it has none."""
        if isinstance(vtep.local, str):
            return vtep.local
        nic = self.nic(host, vtep)
        return nic.ip if nic else ""

    def attributes(self, host: Host, vtep: Vtep) -> dict[str, vxlan.Value]:
        """The vxlan attributes, by name, that the device of ``vtep`` of ``host`` is made with."""
        segment, nic = self.segment(vtep.segment), self.nic(host, vtep)
        given = dict((*segment.attributes, *vtep.attributes))
        # the VNI of an external device comes with each packet
        found: dict[str, vxlan.Value] = {} if given.get("external") else {"id": segment.vni}
        remotes = self.remotes(host, vtep)
        if segment.group:
            found["group"] = segment.group
        elif remotes:
            found["remote"] = remotes[0]  # the others are added to the FDB
        local = vtep.local if vtep.local is not None else segment.flood != "group"
        if isinstance(local, str):
            found["local"] = local
        elif local and nic and nic.address:
            found["local"] = nic.ip
        if vtep.dev and nic and nic.device != "lo":
            found["dev"] = nic.device
        found["dstport"] = segment.port
        found.update(given)
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
