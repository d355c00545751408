"""Which pings show that a topology works: in each segment, from each VTEP to the next."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from vxlab.describe.elements import Host, Vtep
from vxlab.describe.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class PingLine:
    """A ping from ``node`` to ``address``; ``vrf`` is the VRF it leaves from, if any.

    ``segment`` is the name of the segment that it shows to work.
    """

    segment: str
    node: str
    address: str
    vrf: str | None = None


@dataclass(frozen=True, slots=True)
class _PingEnd:
    node: str
    addresses: tuple[str, ...]
    vrf: str | None = None


def pings_of(topology: Topology) -> tuple[PingLine, ...]:
    """For each segment, pings from the first endpoint of each VTEP to that of the next, in a ring.

    A segment with fewer than two endpoints that have addresses of one family has none.
    """
    return tuple(line for segment in topology.segments for line in _ring(topology, segment.name))


def _ring(topology: Topology, segment: str) -> Iterator[PingLine]:
    ends = [_first(topology, host, vtep) for host, vtep in topology.vteps(segment)]
    there = [end for end in ends if end is not None]
    if len(there) < 2:
        return
    for number, end in enumerate(there):
        address = _common(end, there[(number + 1) % len(there)])
        if address:
            yield PingLine(segment=segment, node=end.node, address=address, vrf=end.vrf)


def _first(topology: Topology, host: Host, vtep: Vtep) -> _PingEnd | None:
    """The first endpoint behind a VTEP: the host itself, or a container at the same bridge."""
    if vtep.addresses:
        return _PingEnd(host.name, vtep.addresses, vtep.vrf)
    for container in topology.containers_behind(host.name, vtep.bridge or ""):
        if container.addresses:
            return _PingEnd(container.name, container.addresses)
    return None


def _common(source: _PingEnd, target: _PingEnd) -> str | None:
    """The first address of the target that is of a family which the source has too."""
    families = {ipaddress.ip_interface(address).version for address in source.addresses}
    for address in map(ipaddress.ip_interface, target.addresses):
        if address.version in families:
            return str(address.ip)
    return None
