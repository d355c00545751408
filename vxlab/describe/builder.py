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
    """Writes a topology down step by step; :meth:`build` checks it as a whole.

    ``name`` is the topology's.  Elements name one another, so a switch comes before what is
    connected to it, and a host before its VTEPs.  All methods but :meth:`build` return the builder
    itself, and raise TopologyError, naming the element and the field, for a value that cannot be.
    """

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
        """Add a switch: an underlay segment, a bridge in a node of its own.

        ``name`` is the switch's and its node's, ``network`` its subnet (``192.168.10.0/24``);
        ``snooping`` switches IGMP and MLD snooping on; ``mtu``, in bytes, holds for all its links.
        """
        self._switches.append(Switch(name, network, snooping=snooping, mtu=mtu))
        return self

    def cable(self, name: str, network: str, *, mtu: int = 1500) -> TopologyBuilder:
        """Add a cable: an underlay segment of exactly two machines, without a switch between them.

        ``name`` is the cable's, ``network`` its subnet, ``mtu`` its MTU in bytes.
        """
        self._switches.append(Switch(name, network, mtu=mtu, cable=True))
        return self

    def router(
        self,
        name: str,
        *switches: str,
        daemon: str | None = "smcroute",
        rules: Iterable[Rule] = (),
    ) -> TopologyBuilder:
        """Add a router with an interface (eth0, eth1, …) on each of the ``switches`` named.

        ``name`` is the router's and its node's.  Each interface gets the lowest free address of its
        switch's subnet.  ``daemon`` routes multicast: ``smcroute``, ``pimd``, or None for none.
        ``rules`` are packet filter rules (:class:`vxlab.Rule`).
        """
        self._new_node(name)
        self._routers[name] = Router(name, (), daemon, rules=_tuple(rules))
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
        """Add a host, with an underlay interface if a switch is named.

        ``name`` is the host's and its node's; ``switch`` the name of a switch or cable; ``address``
        the interface's IP address with prefix length (None: the lowest free one); ``device`` the
        interface's name; ``rules`` are packet filter rules (:class:`vxlab.Rule`).
        """
        self._new_node(name)
        self._hosts[name] = Host(name, rules=_tuple(rules))
        if switch is not None:
            self.nic(name, switch, address, device=device)
        return self

    def nic(
        self, host: str, switch: str, address: str | None = None, *, device: str = "eth0"
    ) -> TopologyBuilder:
        """Add one more underlay interface to a host.

        ``host`` and ``switch`` are names; ``address`` is the interface's IP address with prefix
        length (None: the lowest free one), ``device`` its name.
        """
        old = self._host(host)
        if address is None:
            address = self._free_address(f"host {host}", switch)
        nic = Nic(device, switch, address)
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
        """Add an overlay segment.

        ``name`` is what VTEPs call it, ``vni`` 1 to 16777215.  ``flood`` says where frames for
        unknown MAC addresses go: ``remote`` (to each VTEP), ``group`` (to the multicast address
        ``group``) or ``none``; unless given it is ``group`` where there is a group, else
        ``remote``.  ``port`` is the UDP destination port, 0 for the kernel's default 8472.
        ``attributes`` are more vxlan attributes for all its devices by name (:mod:`vxlab.vxlan`).
        ``duplicates`` lets several endpoints have one address, as after a mistake.
        """
        if flood is None:
            flood = "remote" if group is None else "group"
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
        bridge: str | None = None,
        vrf: str | None = None,
        dev: bool = True,
        local: bool | None = None,
        nic: str | None = None,
        remotes: tuple[str, ...] | None = None,
        mac: str | None = None,
        attributes: Mapping[str, vxlan.Value] | None = None,
    ) -> TopologyBuilder:
        """Add a vxlan device of the host named ``host`` to the segment named ``segment``.

        ``device`` is its name (vxlan0, vxlan1, … unless given).  It has ``addresses``, one or
        several IP addresses with prefix length, or is a port of ``bridge``, which is created with
        it.  ``vrf`` is the VRF that the device, or its bridge, belongs to.

        ``nic`` is the name of the underlay interface (None: the host's first).  ``dev`` binds the
        device to that interface, ``local`` to its address (None: unless flooding to a group).
        ``remotes`` are the underlay addresses to flood to (None: those of all other VTEPs).
        ``mac`` is the device's MAC address (None: the lab gives it one).  ``attributes`` are vxlan
        attributes by name (:mod:`vxlab.vxlan`), which override the segment's.
        """
        old = self._host(host)
        device = f"vxlan{len(old.vteps)}" if device is None else device
        vtep = Vtep(
            segment=segment,
            device=device,
            addresses=_tuple(addresses),
            bridge=bridge,
            vrf=vrf,
            dev=dev,
            local=local,
            nic=nic,
            remotes=remotes,
            mac=mac,
            attributes=_pairs(f"host {host} vtep {device}", attributes),
        )
        self._hosts[host] = dataclasses.replace(old, vteps=(*old.vteps, vtep))
        return self

    def container(
        self,
        name: str,
        host: str,
        bridge: str,
        addresses: str | Iterable[str] | None = None,
        *,
        device: str = "eth0",
        host_device: str = "",
        mac: str | None = None,
    ) -> TopologyBuilder:
        """Add an endpoint behind a bridge of a host: a node joined to it by a veth pair.

        ``name`` is the endpoint's and its node's, ``host`` the name of the host, ``bridge`` that of
        a bridge in which the host has a VTEP.  ``addresses`` are one or several IP addresses with
        prefix length, ``mac`` is the MAC address (None: the lab gives it one).  ``device`` is the
        name of the interface inside, ``host_device`` that on the host ("": made of ``name``).
        """
        self._containers.append(
            Container(
                name,
                host,
                bridge,
                addresses=_tuple(addresses),
                device=device,
                host_device=host_device,
                mac=mac,
            )
        )
        return self

    def build(self) -> Topology:
        """The topology as written down so far; TopologyError where it cannot be built like that."""
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
