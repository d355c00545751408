"""Writing a topology down step by step.

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
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from vxlab.describe import checks, vxlan
from vxlab.describe.containers import Container
from vxlab.describe.devices import Device, PortVlan
from vxlab.describe.devices.base import as_pairs, as_tuple
from vxlab.describe.elements import Flood, Host, Nic, Router, Segment, Switch, Vtep
from vxlab.describe.filters import NftRules, Rule
from vxlab.describe.free import AddressPools, first_of, next_card
from vxlab.describe.impairment import Netem
from vxlab.describe.machine import checked_settings
from vxlab.describe.routes import StaticRoute
from vxlab.describe.topology import Topology
from vxlab.describe.wiring import NodeChange, Routing, find
from vxlab.errors import TopologyError

M = TypeVar("M", bound=Host | Router | Container)


class TopologyBuilder:
    """Writes a topology down step by step; :meth:`build` checks it as a whole.

    ``name`` is the topology's; ``routing`` says whether the routes of the underlay are "computed",
    or only those are there that are "written" down.  Elements name one another, so a switch comes
    before what is connected to it, and a host before its VTEPs.  All methods but :meth:`build`
    return the builder itself, and raise TopologyError, naming the element and the field, for a
    value that cannot be.
    """

    def __init__(self, name: str, *, routing: Routing = "computed") -> None:
        self.name = name
        self.routing = routing
        self._changes: list[NodeChange] = []
        self._switches: list[Switch] = []
        self._pools: dict[str, AddressPools] = {}
        self._routers: dict[str, Router] = {}
        self._hosts: dict[str, Host] = {}
        self._segments: list[Segment] = []
        self._containers: dict[str, Container] = {}
        #: What machines have beside what they were added with, by their names and fields.
        self._parts: dict[str, dict[str, list[Any]]] = {}

    def switch(
        self,
        name: str,
        network: str | Iterable[str] | None,
        *,
        snooping: bool = False,
        mtu: int = 1500,
    ) -> TopologyBuilder:
        """Add a switch: an underlay segment, a bridge in a node of its own.

        ``name`` is the switch's and its node's, ``network`` its subnet (``192.168.10.0/24``), or
        several, or None for none; ``snooping`` switches IGMP and MLD snooping on; ``mtu``, in
        bytes, holds for all its links.
        """
        first, more = first_of(network)
        return self._add_switch(Switch(name, first, snooping=snooping, mtu=mtu, more=more))

    def cable(
        self, name: str, network: str | Iterable[str] | None, *, mtu: int = 1500
    ) -> TopologyBuilder:
        """Add a cable: an underlay segment of exactly two machines, without a switch between them.

        ``name`` is the cable's, ``network`` its subnet, or several, or None for none; ``mtu`` its
        MTU in bytes.
        """
        first, more = first_of(network)
        return self._add_switch(Switch(name, first, mtu=mtu, cable=True, more=more))

    def router(
        self,
        name: str,
        *switches: str,
        daemon: str | None = "smcroute",
        rules: Iterable[Rule | NftRules] = (),
    ) -> TopologyBuilder:
        """Add a router with an interface (eth0, eth1, …) on each of the ``switches`` named.

        ``name`` is the router's and its node's.  Each interface gets the lowest free address of its
        switch's subnets; :meth:`nic` adds further ones, with addresses of their own.  ``daemon``
        routes multicast: ``smcroute``, ``pimd``, or None for none; ``rules`` are packet filter
        rules (:class:`vxlab.Rule`, :class:`vxlab.NftRules`).
        """
        self._new_node(name)
        self._routers[name] = Router(name, (), daemon, rules=as_tuple(rules))
        for switch in switches:
            self.nic(name, switch)
        return self

    def host(
        self,
        name: str,
        switch: str | None = None,
        address: str | None = None,
        *,
        device: str | None = None,
        rules: Iterable[Rule | NftRules] = (),
        forwarding: bool = False,
    ) -> TopologyBuilder:
        """Add a host, with an underlay interface if a switch is named.

        ``name`` is the host's and its node's; ``switch`` the name of a switch or cable; ``address``
        the interface's IP address with prefix length (None: the lowest free one); ``device`` the
        interface's name (None: eth0); ``rules`` are packet filter rules (:class:`vxlab.Rule`,
        :class:`vxlab.NftRules`).  With ``forwarding`` the host is a router as well.
        """
        self._new_node(name)
        self._hosts[name] = Host(name, rules=as_tuple(rules), forwarding=forwarding)
        if switch is not None:
            self.nic(name, switch, address, device=device)
        return self

    def nic(
        self,
        host: str,
        switch: str,
        address: str | Iterable[str] | None = None,
        *,
        device: str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        master: str | None = None,
        port: Mapping[str, vxlan.Value] | None = None,
        vlans: Iterable[int | PortVlan] = (),
        impairment: Netem | None = None,
    ) -> TopologyBuilder:
        """Add one more underlay interface to a host or router.

        ``host``, which may be a router, and ``switch`` are names; ``address`` is the interface's IP
        address with prefix length, or several, or () for none (None: the lowest free one of each
        subnet, none for the port of a bond or bridge); ``device`` its name (None: the next free
        ``ethN``), ``mac`` its MAC address (None: the lab gives it one), ``mtu`` its MTU in bytes
        (None: the switch's).  ``master`` is the bond, bridge or VRF that it is a port of, ``port``
        are its settings there by name, ``vlans`` its VLANs (:class:`vxlab.Device`).  ``impairment``
        makes what leaves by it late, or loses it.
        """
        old = self._machine(host)
        if isinstance(old, Container):
            wanted = "wanted a host or router, found a container: it has the card to its host"
            raise TopologyError(str(old), "nics", wanted)
        given = as_tuple(address)
        devices = self._of(host, "devices")
        vrf = master in [each.name for each in devices if each.kind.name == "vrf"]
        if address is None and (master is None or vrf):
            given = self._free_addresses(str(old), switch)
        nic = Nic(
            next_card(self._of(host, "nics"), devices) if device is None else device,
            switch,
            given[0] if given else None,
            mac=mac,
            more=given[1:],
            mtu=mtu,
            master=master,
            port=as_pairs(str(old), "port", port),
            vlans=as_tuple(vlans),
            impairment=impairment,
        )
        if switch in self._pools:
            self._pools[switch].take(nic.addresses)
        return self._add(host, "nics", nic)

    def device(self, machine: str, *devices: Device) -> TopologyBuilder:
        """Add devices to a host, router or container, whatever order they are in.

        ``machine`` is its name; ``devices`` are of any kind: :class:`vxlab.Bridge`,
        :class:`vxlab.Vlan`, :class:`vxlab.Bond`, :class:`vxlab.Loopback` or one of your own.
        """
        return self._add(machine, "devices", *devices)

    def route(
        self, machine: str, destination: str, via: str | None = None, **more: Any
    ) -> TopologyBuilder:
        """Add a route to a host, router or container.

        ``machine`` is its name, ``destination`` a network or ``default``, ``via`` the gateway's IP
        address; ``more`` are the other fields of :class:`vxlab.StaticRoute` (``interface`` …).
        """
        return self._add(machine, "routes", StaticRoute(destination, via, **more))

    def setting(self, machine: str, name: str, value: str | int | bool) -> TopologyBuilder:
        """Set a kernel setting of a host, router or container.

        ``machine`` is its name, ``name`` the setting's below ``net`` in dotted form
        (``net.ipv4.fib_multipath_hash_policy``), ``value`` what is written to it.  A setting of one
        interface is set once that is there.
        """
        node = str(self._machine(machine))
        return self._add(machine, "settings", *checked_settings(node, ((name, value),)))

    def rule(self, machine: str, *rules: Rule | NftRules) -> TopologyBuilder:
        """Add packet filter ``rules`` to the host, router or container called ``machine``."""
        return self._add(machine, "rules", *rules)

    def then(self, *changes: NodeChange) -> TopologyBuilder:
        """Add operations that follow once everything is built: entries, VNIs, next hops.

        ``changes`` are of :mod:`vxlab.operations`; they are part of the plan and of the script.
        """
        self._changes += changes
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
        """Add an overlay segment.

        ``name`` is what VTEPs call it, ``vni`` 0 to 16777215.  ``flood`` says where frames for
        unknown MAC addresses go: ``remote`` (to each VTEP), ``group`` (to the multicast address
        ``group``) or ``none``; unless given it is ``group`` where there is a group, else
        ``remote``.  ``port`` is the UDP destination port, 0 for the kernel's default 8472.
        ``attributes`` are more vxlan attributes for all its devices by name (:mod:`vxlab.vxlan`).
        ``duplicates`` lets several endpoints have one address, as after a mistake.
        """
        if flood is None:
            flood = "remote" if group is None else "group"
        pairs = as_pairs(f"segment {name}", "attributes", attributes)
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
        bridge: str | None = None,
        vrf: str | None = None,
        dev: bool = True,
        local: bool | str | None = None,
        nic: str | None = None,
        remotes: tuple[str, ...] | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        attributes: Mapping[str, vxlan.Value] | None = None,
        port: Mapping[str, vxlan.Value] | None = None,
        vlans: Iterable[int | PortVlan] = (),
    ) -> TopologyBuilder:
        """Add a vxlan device of the host named ``host`` to the segment named ``segment``.

        ``device`` is its name (vxlan0, vxlan1, … unless given).  It has ``addresses``, one or
        several IP addresses with prefix length, or is a port of ``bridge``, which is created with
        it unless it is declared as a device.  ``vrf`` is the VRF that the device, or its bridge,
        belongs to.  ``port`` are the settings by name that the bridge has for it, ``vlans`` its
        VLANs (:class:`vxlab.Device`).

        ``nic`` is the name of the underlay interface: a card, or a device with an address, such as
        ``lo`` or a bond (None: the host's first).  ``dev`` binds the device to that interface,
        ``local`` to its address (None: unless flooding to a group), or to the one given.
        ``remotes`` are the underlay addresses to flood to (None: those of all other VTEPs).
        ``mac`` is the device's MAC address (None: the lab gives it one), ``mtu`` its MTU in bytes
        (None: the kernel's choice).  ``attributes`` are vxlan attributes by name
        (:mod:`vxlab.vxlan`), which override the segment's.
        """
        known = self._of(self._host(host).name, "vteps")
        device = f"vxlan{len(known)}" if device is None else device
        vtep = Vtep(
            segment=segment,
            device=device,
            addresses=as_tuple(addresses),
            bridge=bridge,
            vrf=vrf,
            dev=dev,
            local=local,
            nic=nic,
            remotes=remotes,
            mac=mac,
            mtu=mtu,
            attributes=as_pairs(f"host {host} vtep {device}", "attributes", attributes),
            port=as_pairs(f"host {host} vtep {device}", "port", port),
            vlans=as_tuple(vlans),
        )
        return self._add(host, "vteps", vtep)

    def container(
        self,
        name: str,
        host: str,
        bridge: str | None,
        addresses: str | Iterable[str] | None = None,
        *,
        device: str = "eth0",
        host_device: str = "",
        mac: str | None = None,
        mtu: int | None = None,
        host_addresses: str | Iterable[str] | None = None,
        port: Mapping[str, vxlan.Value] | None = None,
        vlans: Iterable[int | PortVlan] = (),
        rules: Iterable[Rule | NftRules] = (),
    ) -> TopologyBuilder:
        """Add an endpoint behind a bridge of a host: a node joined to it by a veth pair.

        ``name`` is the endpoint's and its node's, ``host`` the name of the host, ``bridge`` that of
        a bridge of the host; None for an endpoint that is routed, and ``host_addresses`` are those
        of the host's end then.  ``addresses`` are one or several IP addresses with prefix length,
        ``mac`` is the MAC address (None: the lab gives it one), ``mtu`` the MTU in bytes (None:
        what fits behind the VTEP).  ``device`` is the name of the interface inside, ``host_device``
        that on the host ("": made of ``name``).  ``port`` are the settings by name that the bridge
        has for it, ``vlans`` its VLANs there (:class:`vxlab.Device`); ``rules`` are packet filter
        rules.
        """
        self._new_node(name)
        self._containers[name] = Container(
            name,
            host,
            bridge,
            addresses=as_tuple(addresses),
            device=device,
            host_device=host_device,
            mac=mac,
            mtu=mtu,
            host_addresses=as_tuple(host_addresses),
            port=as_pairs(f"container {name}", "port", port),
            vlans=as_tuple(vlans),
            rules=as_tuple(rules),
        )
        return self

    def build(self) -> Topology:
        """The topology as written down so far; TopologyError where it cannot be built like that."""
        return Topology(
            self.name,
            switches=tuple(self._switches),
            routers=tuple(map(self._whole, self._routers.values())),
            hosts=tuple(map(self._whole, self._hosts.values())),
            segments=tuple(self._segments),
            containers=tuple(map(self._whole, self._containers.values())),
            changes=tuple(self._changes),
            routing=self.routing,
        )

    def _new_node(self, name: str) -> None:
        checks.name("node", "name", name)
        if name in self._hosts or name in self._routers or name in self._containers:
            raise TopologyError(f"node {name}", "name", "wanted a new name, found it in use")

    def _host(self, name: str) -> Host:
        return find(self._hosts, name, "host", self.name)

    def _machine(self, name: str) -> Host | Router | Container:
        known: dict[str, Any] = {**self._hosts, **self._routers, **self._containers}
        found: Host | Router | Container = find(known, name, "machine", self.name)
        return found

    def _of(self, machine: str, field: str) -> list[Any]:
        """What was added to a ``field`` of the machine of that name."""
        return self._parts.setdefault(machine, {}).setdefault(field, [])

    def _add(self, machine: str, field: str, *more: Any) -> TopologyBuilder:
        self._of(self._machine(machine).name, field).extend(more)
        return self

    def _whole(self, machine: M) -> M:
        """A machine with all that was added to it."""
        more: dict[str, Any] = {}
        for field, added in self._parts.get(machine.name, {}).items():
            more[field] = (*getattr(machine, field), *added)
        return dataclasses.replace(machine, **more)

    def _add_switch(self, switch: Switch) -> TopologyBuilder:
        self._switches.append(switch)
        self._pools[switch.name] = AddressPools(switch)
        return self

    def _free_addresses(self, node: str, switch: str) -> tuple[str, ...]:
        """The lowest free address of each subnet of a switch."""
        checks.text(node, "switch", switch)
        if switch not in self._pools:
            names = ", ".join(self._pools) or "none at all"
            raise TopologyError(node, "switch", f"wanted a known switch, found {switch!r}: {names}")
        return self._pools[switch].free(node)
