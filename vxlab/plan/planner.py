"""From a topology to a plan: the ordered tuple of operations that builds it.

Pure: the same topology always gives the same plan.  The order is: all namespaces; their
settings, so that new devices have them from the start; switches with the links to machines; routers
and hosts; containers; services, which get ready while the packet filter rules are set.
Operations of one node stand together as far as the order allows, because a backend sends such
a run as one batch.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator

from vxlab.describe import checks
from vxlab.describe.elements import Container, Host, Nic, Router, Switch, Vtep
from vxlab.describe.topology import Topology
from vxlab.plan.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    AddRoute,
    AddRule,
    HostOnLink,
    Members,
    Operation,
    Peer,
    SetLink,
    SetSysctl,
    StartDaemon,
)

#: How the MAC addresses of a lab begin: locally administered, then "vx".
_MACS = "02:76:78"

#: What builds a topology: operations, in the order in which they are applied.
Plan = tuple[Operation, ...]

#: The bridge of a switch.
SWITCH_BRIDGE = "switch"

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

# No bridge of a lab runs STP or sends queries of its own: frames that a test did not cause
# would be learned from, and counted.
_QUIET_BRIDGE = (("stp_state", 0), ("forward_delay", 0), ("mcast_snooping", 0))


def make_plan(topology: Topology) -> Plan:
    """The operations that build ``topology``, in order; the same each time."""
    return tuple(_Planner(topology).operations())


class _Planner:
    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._last_index: dict[str, int] = defaultdict(lambda: 1)  # 1 is lo
        self._last_mac = 0

    def operations(self) -> Iterator[Operation]:
        """All operations, in order."""
        topology = self.topology
        for node in topology.nodes:
            yield AddNamespace(node)
        for node in topology.nodes:
            yield from self._settings(node)
        for switch in topology.switches:
            yield from [self._cable(switch)] if switch.cable else self._switch(switch)
        for router in topology.routers:
            yield from self._addresses(router)
        for host in topology.hosts:
            yield from self._host(host)
        for container in topology.containers:
            yield from self._container(container)
        for router in topology.routers:
            if router.daemon:
                yield self._daemon(router, router.daemon)
        for machine in topology.machines:
            for rule in machine.rules:
                yield AddRule(machine.name, rule.words, rule.family)

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

    def _settings(self, node: str) -> Iterator[Operation]:
        routers = {router.name for router in self.topology.routers}
        for key, value in _PLAIN.items():
            if key == "net.ipv4.ip_forward" and node in routers:
                value = "1"
            yield SetSysctl(node, key, value)
        for key, value in _QUIET_IPV6.items():
            yield SetSysctl(node, key, value)
        if node in routers:
            yield SetSysctl(node, "net.ipv6.conf.all.forwarding", "1")

    def _switch(self, switch: Switch) -> Iterator[Operation]:
        snooping = (("mcast_snooping", 1),) if switch.snooping else (("mcast_snooping", 0),)
        yield AddLink(
            switch.name,
            SWITCH_BRIDGE,
            "bridge",
            index=self.index(switch.name),
            attributes=(*_QUIET_BRIDGE[:2], *snooping),
            mac=self.mac(),
            mtu=_mtu(switch.mtu),
            up=True,
        )
        taken = {SWITCH_BRIDGE, *checks.RESERVED}
        for machine, nic in self.topology.cards(switch):
            yield self._port(switch, machine, nic, _port_name(machine.name, taken))

    def _cable(self, switch: Switch) -> AddLink:
        mtu = _mtu(switch.mtu)
        (machine, nic), (other, far) = self.topology.cards(switch)
        peer = Peer(other.name, far.device, self.index(other.name), mac=self.mac(far.mac), mtu=mtu)
        index = self.index(machine.name, peer.index)
        mac = self.mac(nic.mac)
        return AddLink(machine.name, nic.device, "veth", index=index, peer=peer, mac=mac, mtu=mtu)

    def _port(self, switch: Switch, machine: Host | Router, nic: Nic, port: str) -> AddLink:
        mtu = _mtu(switch.mtu)
        peer = Peer(
            machine.name, nic.device, self.index(machine.name), mac=self.mac(nic.mac), mtu=mtu
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

    def _addresses(self, machine: Host | Router) -> Iterator[Operation]:
        for nic in machine.nics:
            yield from _enable(machine.name, nic.device, (nic.address,))

    def _host(self, host: Host) -> Iterator[Operation]:
        yield from self._addresses(host)
        gateway = self.topology.gateway(host)
        if gateway:
            yield AddRoute(host.name, "default", via=gateway[1].ip)
        for table, vrf in enumerate(dict.fromkeys(v.vrf for v in host.vteps if v.vrf), start=10):
            index, attributes = self.index(host.name), (("table", table),)
            yield AddLink(
                host.name, vrf, "vrf", index=index, attributes=attributes, mac=self.mac(), up=True
            )
        for bridge, master in dict.fromkeys((v.bridge, v.vrf) for v in host.vteps if v.bridge):
            yield AddLink(
                host.name,
                str(bridge),
                "bridge",
                index=self.index(host.name),
                attributes=_QUIET_BRIDGE,
                master=master,
                mac=self.mac(),
                up=True,
            )
        for container in self.topology.containers:
            if container.host == host.name:
                yield self._container_link(host, container)
        for vtep in host.vteps:
            yield from self._vtep(host, vtep)

    def _container_link(self, host: Host, container: Container) -> AddLink:
        vtep = next(v for v in host.vteps if v.bridge == container.bridge)
        mtu = self.topology.mtu(host, vtep)
        index, mac = self.index(container.name), self.mac(container.mac)
        peer = Peer(container.name, container.device, index, mac=mac, mtu=mtu)
        return AddLink(
            host.name,
            container.host_device,
            "veth",
            index=self.index(host.name, peer.index),
            master=container.bridge,
            peer=peer,
            mac=self.mac(),
            mtu=mtu,
            up=True,
        )

    def _vtep(self, host: Host, vtep: Vtep) -> Iterator[Operation]:
        attributes = self.topology.attributes(host, vtep)
        yield AddLink(
            host.name,
            vtep.device,
            "vxlan",
            index=self.index(host.name),
            attributes=tuple(attributes.items()),
            master=vtep.bridge or vtep.vrf,
            mac=self.mac(vtep.mac),
            up=not vtep.addresses,
        )
        if vtep.addresses:
            yield from _enable(host.name, vtep.device, vtep.addresses)
        remotes = self.topology.remotes(host, vtep)
        for remote in remotes[1:]:
            yield AddFdb(host.name, vtep.device, ANY_MAC, dst=remote, append=True)

    def _container(self, container: Container) -> Iterator[Operation]:
        yield from _enable(container.name, container.device, container.addresses)

    def _daemon(self, router: Router, daemon: str) -> StartDaemon:
        switches = {nic.switch: nic for nic in router.nics}
        members: dict[str, dict[str, None]] = {}
        hosts: dict[str, HostOnLink] = {}
        for host in self.topology.hosts:
            for nic in host.nics:
                if nic.switch in switches:
                    link = HostOnLink(host.name, nic.ip, switches[nic.switch].ip)
                    hosts.setdefault(nic.switch, link)
            for vtep in host.vteps:
                group = self.topology.attributes(host, vtep).get("group")
                lower = self.topology.nic(host, vtep)
                if group and lower and lower.switch in switches:
                    members.setdefault(str(group), {})[switches[lower.switch].device] = None
        return StartDaemon(
            router.name,
            daemon,
            tuple(nic.device for nic in router.nics),
            members=tuple(Members(group, tuple(devices)) for group, devices in members.items()),
            hosts=tuple(hosts.values()),
        )


def _enable(node: str, device: str, addresses: tuple[str, ...]) -> Iterator[Operation]:
    """Bring an interface up with its addresses, IPv6 only where one of them needs it."""
    if any(ipaddress.ip_interface(address).version == 6 for address in addresses):
        key = f"net.ipv6.conf.{device.replace('.', '/')}.disable_ipv6"
        yield SetSysctl(node, key, "0")
    yield SetLink(node, device, up=True)
    for address in addresses:
        yield AddAddress(node, device, address)


def _mtu(mtu: int) -> int | None:
    """An MTU to be set, or None where it is Ethernet's own 1500."""
    return None if mtu == 1500 else mtu


def _port_name(node: str, taken: set[str]) -> str:
    """The name of a switch's port: the machine's own, with a number where it is taken."""
    name, number = node, 2
    while name in taken:
        suffix = f"-{number}"
        name, number = node[: checks.NAME_BYTES - len(suffix)] + suffix, number + 1
    taken.add(name)
    return name
