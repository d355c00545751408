"""From a topology to a plan: the ordered tuple of operations that builds it.

Pure: the same topology always gives the same plan.  The order is: all namespaces; their
settings, so that new devices have them from the start; switches with the links to machines; routers
and hosts; containers; services, which get ready while the packet filter rules are set.
Operations of one node stand together as far as the order allows, because a backend sends such
a run as one batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

from vxlab.describe import checks
from vxlab.describe.containers import Container
from vxlab.describe.device_rules import ordered
from vxlab.describe.devices import Bridge, Device, Vrf
from vxlab.describe.elements import Host, Nic, Router, Switch, Vtep
from vxlab.describe.routing import underlay_of
from vxlab.describe.topology import Topology
from vxlab.plan.daemons import Daemons
from vxlab.plan.interfaces import add_route, enable, port_settings, port_vlans, rules
from vxlab.plan.operations import (
    AddFdb,
    AddLink,
    AddNamespace,
    Operation,
    Peer,
    RunProgram,
    SetLink,
    SetSysctl,
)
from vxlab.plan.operations.services import impair

#: What makes a device, and the names of those that it needs before.
Maker = tuple[tuple[str, ...], Callable[[], Iterator[Operation]]]

#: How the MAC addresses of a lab begin: locally administered, then "vx".
_MACS = "02:76:78"

#: What builds a topology: operations, in the order in which they are applied.
Plan = tuple[Operation, ...]

#: The bridge of a switch.
SWITCH_BRIDGE = "switch"

#: The number of the first table of a VRF that is not declared.
_FIRST_TABLE = 10

#: The FDB entry that stands for everything unknown, as `bridge fdb` shows it.
ANY_MAC = "00:00:00:00:00:00"

#: IPv4 settings that a new namespace copies from the machine's first one, with the values that
#: a freshly booted machine has, so that no lab depends on where it runs.
_PLAIN = {
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.arp_ignore": "0",
    "net.ipv4.conf.all.arp_announce": "0",
    "net.ipv4.ip_forward": "0",
}

# IPv6 sends messages of its own accord, so it is off unless an address needs it, and then it
# solicits no routers and does not look for duplicates of its addresses.
_QUIET_IPV6 = {
    "net.ipv6.conf.default.disable_ipv6": "1",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
}


def make_plan(topology: Topology) -> Plan:
    """The operations that build ``topology``, in order; the same each time."""
    return tuple(_Planner(topology).operations())


class _Planner:
    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.underlay = underlay_of(topology)
        #: The number of the routing table of each VRF of each machine.
        self.tables: dict[str, dict[str, int]] = defaultdict(dict)
        self._last_index: dict[str, int] = defaultdict(lambda: 1)  # 1 is lo
        self._last_mac = 0

    def operations(self) -> Iterator[Operation]:
        """All operations, in order."""
        topology = self.topology
        for node in topology.nodes:
            yield AddNamespace(node)
        forwarding = {router.name for router in topology.routers}
        forwarding |= {host.name for host in topology.hosts if host.forwarding}
        for node in topology.nodes:
            yield from _settings(node, node in forwarding)
        for switch in topology.switches:
            yield from [self._cable(switch)] if switch.cable else self._switch(switch)
        for machine in topology.machines:
            yield from self._machine(machine)
        for container in topology.containers:
            yield from self._container(container)
        yield from topology.changes  # type: ignore[misc]  # operations, as the checks saw to
        yield from self._daemons()
        for machine in topology.machines:
            yield from rules(machine)
        for container in topology.containers:
            yield from rules(container)

    def _daemons(self) -> Iterator[Operation]:
        routed = [(router, router.daemon) for router in self.topology.routers if router.daemon]
        if routed:
            daemons = Daemons(self.topology)
            yield from (daemons.start(router, program) for router, program in routed)

    def index(self, node: str, peer: int = 0) -> int:
        """The next free interface index of a node, and not that of a veth's other end.

        Where both ends have the same number, the kernel does not hurry to see that the link is
        up (linkwatch_urgent_event() in net/core/link_watch.c): it takes up to a second.
        """
        self._last_index[node] += 1
        if self._last_index[node] == peer:
            self._last_index[node] += 1
        return self._last_index[node]

    def mac(self, wanted: str | None = None) -> str:
        """The MAC address wanted, or the next one of the lab's own.

        Every device has one that is the same each time: captures can be compared, and read.
        """
        if wanted:
            return wanted
        self._last_mac += 1
        return f"{_MACS}:{self._last_mac.to_bytes(3).hex(':')}"

    def _switch(self, switch: Switch) -> Iterator[Operation]:
        yield AddLink(
            switch.name,
            SWITCH_BRIDGE,
            "bridge",
            index=self.index(switch.name),
            attributes=Bridge(SWITCH_BRIDGE, mcast_snooping=switch.snooping).settings(),
            mac=self.mac(),
            mtu=_mtu(switch.mtu),
            up=True,
        )
        taken = dict.fromkeys((SWITCH_BRIDGE, *checks.RESERVED), 2)
        for machine, nic in self.topology.cards(switch):
            yield self._port(switch, machine, nic, _port_name(machine.name, taken))

    def _cable(self, switch: Switch) -> AddLink:
        (machine, nic), (other, far) = self.topology.cards(switch)
        there = _mtu(far.mtu or switch.mtu)
        index = self.index(other.name)
        peer = Peer(other.name, far.device, index, mac=self.mac(far.mac), mtu=there)
        mtu = _mtu(nic.mtu or switch.mtu)
        index = self.index(machine.name, peer.index)
        mac = self.mac(nic.mac)
        return AddLink(machine.name, nic.device, "veth", index=index, peer=peer, mac=mac, mtu=mtu)

    def _port(self, switch: Switch, machine: Host | Router, nic: Nic, port: str) -> AddLink:
        there, mtu = _mtu(nic.mtu or switch.mtu), _mtu(switch.mtu)
        peer = Peer(
            machine.name, nic.device, self.index(machine.name), mac=self.mac(nic.mac), mtu=there
        )
        return AddLink(
            switch.name,
            port,
            "veth",
            index=self.index(switch.name, peer.index),
            master=SWITCH_BRIDGE,
            peer=peer,
            mac=self.mac(),
            mtu=mtu,
            up=True,
        )

    def _machine(self, machine: Host | Router) -> Iterator[Operation]:
        """A machine's cards, their routes, its devices and VTEPs, and then its own routes."""
        for nic in machine.nics:
            if nic.master is None:
                yield from enable(machine.name, nic.device, nic.addresses)
        early = not machine.devices  # then nothing of the underlay is still to be made
        if early:
            yield from self._computed(machine)
        yield from self._devices(machine)
        if not early:
            yield from self._computed(machine)
        for nic in machine.nics:
            if nic.impairment:
                yield impair(machine.name, nic.device, nic.impairment)
        yield from self._routes(machine)

    def _computed(self, machine: Host | Router) -> list[Operation]:
        """The routes of the underlay that follow from the topology."""
        tables = self.underlay.tables_of(machine)
        found = [route for table in tables for route in self.underlay.routes(table)]
        return [add_route(machine, self.tables[machine.name], route) for route in found]

    def _routes(self, machine: Host | Router | Container) -> Iterator[Operation]:
        """The settings of a machine, and the routes that were written down."""
        for key, value in machine.settings:
            yield SetSysctl(machine.name, key, value)
        for route in machine.routes:
            yield add_route(machine, self.tables.get(machine.name, {}), route)

    def _devices(self, machine: Host | Router) -> Iterator[Operation]:
        """All devices but plain cards, each after those that it needs."""
        makers = self._makers(machine)
        done: set[str] = set()

        def make(name: str) -> Iterator[Operation]:
            if name in makers and name not in done:
                done.add(name)
                needs, maker = makers[name]
                for need in needs:
                    yield from make(need)
                yield from maker()

        for name in makers:
            yield from make(name)

    def _makers(self, machine: Host | Router) -> dict[str, Maker]:
        """What makes each of a machine's devices, and what it needs before, by name."""
        makers: dict[str, Maker] = {}
        tables = self.tables.setdefault(machine.name, {})
        if isinstance(machine, Host):
            for vrf in self._implied_vrfs(machine):
                makers[vrf.name] = (), partial(self._device, machine.name, vrf)
                tables[vrf.name] = vrf.table
            for bridge in self._implied_bridges(machine):
                makers[bridge.name] = bridge.needs(), partial(self._device, machine.name, bridge)
        for device in machine.devices:
            if isinstance(device, Vrf):
                tables[device.name] = device.table
            makers[device.name] = device.needs(), partial(self._device, machine.name, device)
        for nic in machine.nics:
            if nic.master:
                makers[nic.device] = (nic.master,), partial(self._port_card, machine.name, nic)
        if isinstance(machine, Host):
            for container in self.topology.containers_of(machine.name):
                needs: tuple[str, ...] = (container.bridge,) if container.bridge else ()
                makers[container.host_device] = needs, partial(self._link, machine, container)
            for vtep in machine.vteps:
                lower = self.topology.attributes(machine, vtep).get("dev")
                needs = tuple(str(each) for each in (vtep.vrf, vtep.bridge, lower) if each)
                makers[vtep.device] = needs, partial(self._vtep, machine, vtep)
        return makers

    def _implied_vrfs(self, host: Host) -> Iterator[Vrf]:
        """The VRFs that VTEPs name and nobody declared."""
        declared = {each.name for each in host.devices}
        names = dict.fromkeys(v.vrf for v in host.vteps if v.vrf and v.vrf not in declared)
        for table, vrf in enumerate(names, start=_FIRST_TABLE):
            yield Vrf(vrf, table=table)

    def _implied_bridges(self, host: Host) -> Iterator[Bridge]:
        """The bridges that VTEPs name and nobody declared."""
        declared = {each.name for each in host.devices}
        for bridge, master in dict.fromkeys((v.bridge, v.vrf) for v in host.vteps if v.bridge):
            if bridge not in declared:
                yield Bridge(str(bridge), master=master)

    def _device(self, node: str, device: Device) -> Iterator[Operation]:
        """One device, with its place in a bridge and its addresses."""
        if device.made:
            yield AddLink(
                node,
                device.name,
                device.kind.name,
                index=self.index(node),
                attributes=device.settings(),
                master=device.master,
                mac=self.mac(device.mac),
                mtu=device.mtu,
                up=device.up and not device.addresses,
                link=device.below,
            )
        for words, stdin in device.commands():
            yield RunProgram(node, words, stdin)
        if device.holds_vlans:
            yield from port_settings(node, device.name, device.port, ())
            yield from port_vlans(node, device.name, device.vlans, itself=True)
        else:
            yield from port_settings(node, device.name, device.port, device.vlans)
        if device.addresses:
            yield from enable(node, device.name, device.addresses, up=device.up and device.made)

    def _port_card(self, node: str, nic: Nic) -> Iterator[Operation]:
        """A card that becomes a port, which a bond wants to be down."""
        yield SetLink(node, nic.device, master=nic.master)
        yield from port_settings(node, nic.device, nic.port, nic.vlans)
        yield from enable(node, nic.device, nic.addresses)

    def _link(self, host: Host, container: Container) -> Iterator[Operation]:
        """The link between a container and its host."""
        mtu = self.topology.container_mtu(container)
        index, mac = self.index(container.name), self.mac(container.mac)
        peer = Peer(container.name, container.device, index, mac=mac, mtu=mtu)
        yield AddLink(
            host.name,
            container.host_device,
            "veth",
            index=self.index(host.name, peer.index),
            master=container.bridge,
            peer=peer,
            mac=self.mac(),
            mtu=mtu,
            up=not container.host_addresses,
        )
        yield from port_settings(host.name, container.host_device, container.port, container.vlans)
        if container.host_addresses:
            yield from enable(host.name, container.host_device, container.host_addresses)

    def _vtep(self, host: Host, vtep: Vtep) -> Iterator[Operation]:
        attributes = self.topology.attributes(host, vtep)
        bound = attributes.get("dev") is not None
        nic = self.topology.nic(host, vtep)
        loose = not bound and nic is not None and not nic.switch
        yield AddLink(
            host.name,
            vtep.device,
            "vxlan",
            index=self.index(host.name),
            attributes=tuple(attributes.items()),
            master=vtep.bridge or vtep.vrf,
            mac=self.mac(vtep.mac),
            mtu=vtep.mtu or (self.topology.mtu(host, vtep) if loose else None),
            up=not vtep.addresses,
        )
        yield from port_settings(host.name, vtep.device, vtep.port, vtep.vlans)
        if vtep.addresses:
            yield from enable(host.name, vtep.device, vtep.addresses)
        remotes = self.topology.remotes(host, vtep)
        for remote in remotes[1:]:
            yield AddFdb(host.name, vtep.device, ANY_MAC, dst=remote, append=True)

    def _container(self, container: Container) -> Iterator[Operation]:
        yield from enable(container.name, container.device, container.addresses)
        for device in ordered(container):
            yield from self._device(container.name, device)
        yield from self._routes(container)


def _settings(node: str, forwards: bool) -> Iterator[Operation]:
    for key, value in _PLAIN.items():
        forward = key == "net.ipv4.ip_forward" and forwards
        yield SetSysctl(node, key, "1" if forward else value)
    for key, value in _QUIET_IPV6.items():
        yield SetSysctl(node, key, value)
    if forwards:
        yield SetSysctl(node, "net.ipv6.conf.all.forwarding", "1")


def _mtu(mtu: int) -> int | None:
    """An MTU to be set, or None where it is Ethernet's own 1500."""
    return None if mtu == 1500 else mtu


def _port_name(node: str, taken: dict[str, int]) -> str:
    """The name of a switch's port: the machine's own, with a number where it is taken.

    ``taken`` are the names in use, each with the number that is tried next where it is wanted.
    """
    name = node
    while name in taken:
        suffix = f"-{taken[node]}"
        name = node[: checks.NAME_BYTES - len(suffix)] + suffix
        taken[node] += 1
    taken[name] = 2
    return name
