"""The two endpoints of a ping: as the topology plans them, and as the kernel has them now."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vxlab.describe.elements import Host, Vtep
from vxlab.describe.interfaces import UnderlayInterface, underlay_interfaces
from vxlab.describe.vxlan import KERNEL_PORT
from vxlab.errors import VxlabError
from vxlab.observe import state
from vxlab.observe.state import FdbEntry, Link

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A node with addresses in a segment, as planned: a container, or a host itself.

    ``interface`` of ``node`` has the addresses; ``vtep`` of ``host`` encapsulates its frames.
    ``bridge_port`` is the host's end of a container's cable, None where the host is the endpoint.
    """

    segment: str
    node: str
    interface: str
    host: Host
    vtep: Vtep
    bridge_port: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """An endpoint as the kernel has it now.

    ``mac`` and ``addresses`` are those of its interface; ``vxlan_link`` is its vxlan device, None
    where that is gone, and ``fdb`` the device's entries; ``underlay_addresses`` are all addresses
    of its host; ``nic`` is the card that its encapsulated packets leave by.
    """

    endpoint: Endpoint
    mac: str
    addresses: frozenset[str]
    vxlan_link: Link | None
    fdb: tuple[FdbEntry, ...]
    underlay_addresses: frozenset[str]
    nic: UnderlayInterface

    @property
    def vxlan_device(self) -> str:
        """The vxlan device as sentences name it, ``vxlan0 on a``."""
        return f"{self.endpoint.vtep.device} on {self.endpoint.host.name}"

    @property
    def udp_port(self) -> int:
        """The UDP port that the vxlan device listens on and sends to."""
        return int(self.attribute("dstport") or KERNEL_PORT)

    @property
    def udp_ports(self) -> frozenset[int]:
        """All UDP ports it may send to: the device's, and those of single FDB entries."""
        return frozenset({self.udp_port} | {row.port for row in self.fdb if row.port})

    @property
    def vnis(self) -> frozenset[int]:
        """All VNIs it may send with, the device's and those of single entries; empty for any."""
        if self.attribute("external"):
            return frozenset()
        own = {int(self.attribute("id"))} if self.vxlan_link else set()
        return frozenset(own | {row.vni for row in self.fdb if row.vni is not None})

    def attribute(self, name: str) -> int | str:
        """An attribute of the vxlan device by its name in iproute2, 0 where it has none."""
        value = self.vxlan_link.attributes.get(name) if self.vxlan_link else None
        return value if isinstance(value, int | str) else 0


def read_endpoint(lab: Lab, endpoint: Endpoint) -> EndpointState:
    """Read back what an endpoint is now; what is gone is missing in it."""
    host = endpoint.host
    links = read_links(lab, host.name)
    own_links = read_links(lab, endpoint.node) if endpoint.bridge_port else links
    own_link = own_links.get(endpoint.interface)
    link = links.get(endpoint.vtep.device)
    underlay_device = link.attributes.get("dev") if link else None
    planned = lab.topology.nic(host, endpoint.vtep)
    assert planned  # a topology without it is refused
    known = underlay_interfaces(host)
    addresses = {row.address for row in state.addresses(lab[host.name].namespaces)}
    return EndpointState(
        endpoint=endpoint,
        mac=own_link.mac if own_link else "",
        addresses=current_addresses(lab, endpoint),
        vxlan_link=link if link and link.kind == "vxlan" else None,
        fdb=read_fdb(lab, endpoint),
        underlay_addresses=frozenset({planned.ip, *addresses}),
        nic=next((nic for nic in known if nic.device == underlay_device), planned),
    )


def read_links(lab: Lab, node: str) -> dict[str, Link]:
    """The links of a node by name."""
    return {link.name: link for link in state.links(lab[node].namespaces)}


def read_fdb(lab: Lab, endpoint: Endpoint) -> tuple[FdbEntry, ...]:
    """The entries of an endpoint's vxlan device; none where that is gone."""
    rows = state.fdb(lab[endpoint.host.name].namespaces)
    return tuple(row for row in rows if row.interface == endpoint.vtep.device)


def current_addresses(lab: Lab, endpoint: Endpoint) -> frozenset[str]:
    """The addresses that an endpoint's interface has now."""
    rows = state.addresses(lab[endpoint.node].namespaces)
    return frozenset(row.address for row in rows if row.interface == endpoint.interface)


def planned_addresses(topology: Topology, endpoint: Endpoint) -> set[str]:
    """The addresses that the topology gives an endpoint."""
    given: Iterable[str] = endpoint.vtep.addresses
    if endpoint.bridge_port is not None:
        given = next(each.addresses for each in topology.containers if each.name == endpoint.node)
    return {str(ipaddress.ip_interface(one).ip) for one in given}


def planned_endpoints(topology: Topology) -> Iterator[Endpoint]:
    """The endpoints of all segments: hosts whose VTEP has no bridge, and all containers."""
    for host in topology.hosts:
        for vtep in host.vteps:
            if not vtep.bridge:
                yield Endpoint(
                    segment=vtep.segment,
                    node=host.name,
                    interface=vtep.device,
                    host=host,
                    vtep=vtep,
                )
                continue
            for container in topology.containers:
                if (container.host, container.bridge) == (host.name, vtep.bridge):
                    yield Endpoint(
                        segment=vtep.segment,
                        node=container.name,
                        interface=container.device,
                        host=host,
                        vtep=vtep,
                        bridge_port=container.host_device,
                    )


def find_endpoints(
    lab: Lab, source: str, address: str
) -> tuple[EndpointState, EndpointState | None]:
    """The endpoint at the node ``source``, and the one that has ``address`` in its segment.

    The second is who has the address now, else who should have it by the topology, else None.
    VxlabError where the source is an endpoint of no segment.
    """
    endpoints = tuple(planned_endpoints(lab.topology))
    sources = [endpoint for endpoint in endpoints if endpoint.node == source]
    if not sources:
        nodes = ", ".join(dict.fromkeys(endpoint.node for endpoint in endpoints)) or "none"
        raise VxlabError(
            f"lab {lab.topology}: wanted {source!r} to ping {address}, found that it is an "
            f"endpoint of no segment: ping from one of {nodes}"
        )
    by_segment = {endpoint.segment: endpoint for endpoint in reversed(sources)}
    peers = [endpoint for endpoint in endpoints if endpoint.segment in by_segment]
    planned = [peer for peer in peers if address in planned_addresses(lab.topology, peer)]
    current = (peer for peer in (*planned, *peers) if address in current_addresses(lab, peer))
    target = next(current, planned[0] if planned else None)
    if target is None:
        return read_endpoint(lab, sources[0]), None
    return read_endpoint(lab, by_segment[target.segment]), read_endpoint(lab, target)
