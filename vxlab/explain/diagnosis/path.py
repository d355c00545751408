"""The path of a packet: the interfaces it must pass from one endpoint to the other, in order.

The topology says which interfaces these are; the card that a host sends by is read back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vxlab.explain.diagnosis.endpoints import Endpoint, EndpointState

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology

#: What an interface is on a path: an endpoint's own, the bridge's port to it, a vxlan device
#: (which is the endpoint's own where the host is the endpoint), a network card.
InterfaceRole = Literal["endpoint", "bridge-port", "vxlan", "nic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationPoint:
    """An interface on a path where the packet can be captured.

    ``outgoing`` is True where the packet leaves the node by it, False where it enters.
    """

    node: str
    interface: str
    role: InterfaceRole
    outgoing: bool

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"

    @property
    def text(self) -> str:
        """The point as sentences name it, ``router eth1``."""
        return f"{self.node} {self.interface}"


Path = tuple[ObservationPoint, ...]


def find_path(topology: Topology, source: EndpointState, target: EndpointState) -> Path:
    """The path from one endpoint to the other."""
    start, end = _to_vxlan_device(source.endpoint), _to_vxlan_device(target.endpoint)
    if source.endpoint.host.name == target.endpoint.host.name:
        if source.endpoint.vtep.bridge == target.endpoint.vtep.bridge:
            start, end = start[:2], end[:2]  # the bridge forwards, no vxlan device has part in it
        return (*start, *reverse(end))
    return (
        *start,
        _nic(source.endpoint.host.name, source.nic.device, outgoing=True),
        *_through_router(topology, source.nic.switch, target.nic.switch),
        _nic(target.endpoint.host.name, target.nic.device, outgoing=False),
        *reverse(end),
    )


def reverse(path: Iterable[ObservationPoint]) -> Path:
    """The path of what is sent back."""
    points = reversed(tuple(path))
    return tuple(dataclasses.replace(point, outgoing=not point.outgoing) for point in points)


def _nic(node: str, interface: str, *, outgoing: bool) -> ObservationPoint:
    return ObservationPoint(node=node, interface=interface, role="nic", outgoing=outgoing)


def _to_vxlan_device(endpoint: Endpoint) -> Path:
    """From an endpoint to its vxlan device."""
    host = endpoint.host.name
    vxlan = ObservationPoint(node=host, interface=endpoint.vtep.device, role="vxlan", outgoing=True)
    if endpoint.bridge_port is None:
        return (vxlan,)
    own = ObservationPoint(
        node=endpoint.node, interface=endpoint.interface, role="endpoint", outgoing=True
    )
    port = ObservationPoint(
        node=host, interface=endpoint.bridge_port, role="bridge-port", outgoing=False
    )
    return own, port, vxlan


def _through_router(topology: Topology, start: str, end: str) -> Path:
    """The cards of the first router that joins two switches; nothing where it is one switch."""
    if start == end:
        return ()
    for router in topology.routers:
        cards = {nic.switch: nic.device for nic in router.nics}
        if start in cards and end in cards:
            return (
                _nic(router.name, cards[start], outgoing=False),
                _nic(router.name, cards[end], outgoing=True),
            )
    return ()
