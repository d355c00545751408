"""How the elements of a topology are joined: who is where, and what follows from it.

Addresses, MTUs, ports and vxlan attributes that are not written down are computed here, once, for
the checks, the planner and everything that explains a lab.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from vxlab.describe import checks, vxlan
from vxlab.describe.containers import Container
from vxlab.describe.devices import Device
from vxlab.describe.elements import Host, Nic, Router, Segment, Switch, Vtep
from vxlab.describe.interfaces import Cards, UnderlayInterface, underlay_interfaces
from vxlab.describe.peers import Peers
from vxlab.errors import TopologyError

E = TypeVar("E", Switch, Router, Host, Segment)
Index = TypeVar("Index")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Whether the routes of the underlay are computed, or only those are there that are written down.
Routing = Literal["computed", "written"]


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
        """All interfaces on ``switch``, each with its machine; those of routers first."""
        return self.cards_on(switch.name)

    def cards_on(self, switch: str) -> tuple[tuple[Router | Host, Nic], ...]:
        """The same, of the switch of that name; none where there is no such switch."""
        found = self.kept("cards", self._all_cards)
        return found.get(switch, ())

    def _all_cards(self) -> dict[str, tuple[tuple[Router | Host, Nic], ...]]:
        return _grouped((nic.switch, (m, nic)) for m in self.machines for nic in m.nics)

    @property
    def host_names(self) -> Mapping[str, Host]:
        """All hosts by their names."""
        return self.kept("hosts", lambda: _named(self.hosts))

    @property
    def segment_names(self) -> Mapping[str, Segment]:
        """All segments by their names."""
        return self.kept("segments", lambda: _named(self.segments))

    @property
    def _switch_names(self) -> Mapping[str, Switch]:
        return self.kept("switches", lambda: _named(self.switches))

    def host(self, name: str) -> Host:
        """The host of that name; TopologyError where there is none."""
        return find(self.host_names, name, "host", str(self))

    def router(self, name: str) -> Router:
        """The router of that name; TopologyError where there is none."""
        return find(self.kept("routers", lambda: _named(self.routers)), name, "router", str(self))

    def switch(self, name: str) -> Switch:
        """The switch or cable of that name; TopologyError where there is none."""
        return find(self._switch_names, name, "switch", str(self))

    def segment(self, name: str) -> Segment:
        """The segment of that name; TopologyError where there is none."""
        return find(self.segment_names, name, "segment", str(self))

    def vteps(self, segment: str) -> tuple[tuple[Host, Vtep], ...]:
        """All VTEPs of the segment of that name, each with its host."""
        found = self.kept("vteps", self._all_vteps)
        return found.get(segment, ())

    def _all_vteps(self) -> dict[str, tuple[tuple[Host, Vtep], ...]]:
        return _grouped((v.segment, (host, v)) for host in self.hosts for v in host.vteps)

    def peers(self, segment: str) -> Peers:
        """The addresses in the underlay of all VTEPs of the segment of that name."""
        found: dict[str, Peers] = self.kept("peers", dict)
        if segment not in found:
            ways = [(host, self.end(host, vtep)) for host, vtep in self.vteps(segment)]
            found[segment] = Peers((host, end) for host, end in ways if end)
        return found[segment]

    def end(self, host: Host, vtep: Vtep) -> checks.Interface | None:
        """The address that ``vtep`` of ``host`` is reached at, with its network; None without."""
        nic = self.nic(host, vtep)
        if isinstance(vtep.local, str):
            held = (checks.parsed(each) for each in self.held(host))
            own = next((each for each in held if str(each.ip) == vtep.local), None)
            return own or checks.parsed(vtep.local)
        return nic.interface if nic and nic.address else None

    def held(self, machine: Router | Host) -> tuple[str, ...]:
        """All addresses of the cards and devices of ``machine``, with prefix length."""
        of_cards = (address for nic in machine.nics for address in nic.addresses)
        of_devices = (address for device in machine.devices for address in device.addresses)
        return (*of_cards, *of_devices)

    @property
    def first_devices(self) -> Mapping[str, str]:
        """Of each machine and container the name of its first interface, by the node's name."""
        return self.kept("first_devices", self._first_devices)

    def _first_devices(self) -> dict[str, str]:
        machines = {each.name: each.nics[0].device for each in self.machines if each.nics}
        return machines | {container.name: container.device for container in self.containers}

    def addresses(self, machine: Router | Host) -> frozenset[str]:
        """The underlay addresses of ``machine``, one of this topology, without prefix length."""
        found: dict[str, frozenset[str]] = self.kept("addresses", dict)
        if machine.name not in found:
            held = self.held(machine)
            found[machine.name] = frozenset(each.partition("/")[0] for each in held)
        return found[machine.name]

    def containers_of(self, host: str) -> tuple[Container, ...]:
        """All containers of the host of that name."""
        found = self.kept(
            "containers", lambda: _grouped((each.host, each) for each in self.containers)
        )
        return found.get(host, ())

    def containers_behind(self, host: str, bridge: str) -> tuple[Container, ...]:
        """All containers at ``bridge`` of ``host``; both are names."""
        found = self.kept(
            "behind",
            lambda: _grouped(((each.host, each.bridge), each) for each in self.containers),
        )
        return found.get((host, bridge), ())

    def bridges(self, host: str) -> Mapping[str, Vtep]:
        """The bridges of the host of that name, each with the first VTEP in it."""
        found: dict[str, dict[str, Vtep]] = self.kept("bridges", dict)
        if host not in found:
            vteps = reversed(self.host(host).vteps)
            found[host] = {vtep.bridge: vtep for vtep in vteps if vtep.bridge}
        return found[host]

    def kept(self, what: str, make: Callable[[], Index]) -> Index:
        """What is asked for all the time in a topology of thousands: made at the first question."""
        if what not in self._found:
            self._found[what] = make()
        index: Index = self._found[what]
        return index

    def vtep(self, host: str, segment: str) -> Vtep:
        """The VTEP of ``host`` in ``segment``; TopologyError where there is none."""
        there = self.host(host)
        found = self.kept("vtep", self._each_vtep)
        if isinstance(segment, str) and (there.name, segment) in found:
            return found[there.name, segment]
        raise TopologyError(f"host {host}", "vteps", f"wanted one in segment {segment!r}")

    def _each_vtep(self) -> dict[tuple[str, str], Vtep]:
        ends = [(host, vtep) for host in self.hosts for vtep in host.vteps]
        return {(host.name, vtep.segment): vtep for host, vtep in reversed(ends)}

    def nic(self, host: Host, vtep: Vtep) -> UnderlayInterface | None:
        """The interface that packets of ``vtep`` leave ``host`` by; None where there is none."""
        found: dict[str, tuple[Host, dict[str | None, UnderlayInterface]]]
        found = self.kept("nics", dict)
        if host.name not in found or found[host.name][0] is not host:
            found[host.name] = host, _by_name(host)
        return found[host.name][1].get(vtep.nic)

    def underlay_mtu(self, machine: Router | Host, device: str) -> int | None:
        """The MTU in bytes of ``device`` of ``machine``, the least of it and of all cards below.

        For one with no card below, such as the loopback device, it is the least of all cards; None
        where there is none.
        """
        known: dict[str, tuple[Router | Host, Cards, dict[str, Device]]]
        known = self.kept("below", dict)
        if machine.name not in known or known[machine.name][0] is not machine:
            devices = {each.name: each for each in machine.devices}
            known[machine.name] = machine, Cards(machine), devices
        _, below, devices = known[machine.name]
        cards, switches = below.below(device) or machine.nics, self._switch_names
        found = [nic.mtu or switches[nic.switch].mtu for nic in cards if nic.switch in switches]
        own = devices[device].mtu if device in devices else None
        return min([*found, own] if own else found, default=None)

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

    def container_mtu(self, container: Container) -> int | None:
        """The MTU in bytes of a container's link: its own, or what fits behind its host's VTEP.

        The VTEP is the one in its bridge, or of a routed container the host's first; None where
        there is none.
        """
        host = self.host(container.host)
        vtep = self.bridges(host.name).get(container.bridge) if container.bridge else None
        if container.bridge is None and host.vteps:
            vtep = host.vteps[0]
        return container.mtu or (self.mtu(host, vtep) if vtep else None)

    def gateway(self, host: Host) -> tuple[Router, Nic] | None:
        """A host's default gateway, the first router on its first interface's switch.

        The router, and its interface there; None where there is no router.
        """
        for nic in host.nics[:1]:
            for machine, there in self.cards_on(nic.switch)[:1]:  # those of routers come first
                return (machine, there) if isinstance(machine, Router) else None
        return None

    def remotes(self, host: Host, vtep: Vtep) -> tuple[str, ...]:
        """The addresses that ``vtep`` of ``host`` floods to: those given, or all others'."""
        if vtep.remotes is not None:
            return vtep.remotes
        if self.segment(vtep.segment).flood != "remote":
            return ()
        own = self.end(host, vtep)
        others = dict.fromkeys(self.peers(vtep.segment).others(host))
        return tuple(each for each in others if own is None or each != str(own.ip))

    def _first_remote(self, host: Host, vtep: Vtep) -> str | None:
        """The first of :meth:`remotes`, without a list of all the others."""
        if vtep.remotes is not None:
            return next(iter(vtep.remotes), None)
        if self.segment(vtep.segment).flood != "remote":
            return None
        own = self.end(host, vtep)
        return self.peers(vtep.segment).first(host, str(own.ip) if own else "")

    def attributes(self, host: Host, vtep: Vtep) -> dict[str, vxlan.Value]:
        """The vxlan attributes, by name, that the device of ``vtep`` of ``host`` is made with."""
        found: dict[tuple[str, str], tuple[Host, Vtep, dict[str, vxlan.Value]]]
        found, key = self.kept("attributes", dict), (host.name, vtep.device)
        known = found.get(key)
        if known is None or known[0] is not host or known[1] is not vtep:
            known = found[key] = host, vtep, self._attributes(host, vtep)
        return dict(known[2])

    def _attributes(self, host: Host, vtep: Vtep) -> dict[str, vxlan.Value]:
        segment, nic = self.segment(vtep.segment), self.nic(host, vtep)
        given = dict((*segment.attributes, *vtep.attributes))
        # the VNI of an external device comes with each packet
        found: dict[str, vxlan.Value] = {} if given.get("external") else {"id": segment.vni}
        remote = None if segment.group else self._first_remote(host, vtep)
        if segment.group:
            found["group"] = segment.group
        elif remote:
            found["remote"] = remote  # the others are added to the FDB
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
        return _port(self.attributes(host, vtep))

    @property
    def ports(self) -> frozenset[int]:
        """The UDP ports of all vxlan devices: VTEPs, and those without a segment."""
        found = {self.port(host, vtep) for host in self.hosts for vtep in host.vteps}
        machines: tuple[Host | Router | Container, ...]
        machines = (*self.hosts, *self.routers, *self.containers)
        for machine in machines:
            without_segment = (each for each in machine.devices if each.kind.name == "vxlan")
            found.update(_port(dict(each.settings())) for each in without_segment)
        return frozenset(found)


def _port(attributes: Mapping[str, vxlan.Value]) -> int:
    """The UDP port of a vxlan device that has these attributes."""
    default = vxlan.GPE_PORT if attributes.get("gpe") else vxlan.KERNEL_PORT
    return int(attributes.get("dstport", 0)) or default  # type: ignore[arg-type]


def _by_name(host: Host) -> dict[str | None, UnderlayInterface]:
    """The underlay interfaces of ``host`` by name; the first that has an address is None's."""
    found: dict[str | None, UnderlayInterface] = {}
    for each in underlay_interfaces(host):
        found.setdefault(each.device, each)
        if each.address:
            found.setdefault(None, each)
    return found


def _named(elements: Iterable[E]) -> dict[str, E]:
    return {element.name: element for element in elements}


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    """The values of each key, in their order."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


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
