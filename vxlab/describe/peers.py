"""The VTEPs of a segment by their addresses in the underlay, found without asking each of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable

from vxlab.describe.checks import Interface, Network
from vxlab.describe.elements import Host
from vxlab.describe.networks import Address, NetworkSet

#: Some VTEPs of one underlay network: their places in the segment, with their addresses.
OfNetwork = tuple[Network, list[tuple[int, Address]]]


class Peers:
    """The addresses in the underlay of all VTEPs of a segment, in their order.

    ``members`` are hosts, each with the address that its VTEP is reached at.
    """

    def __init__(self, members: Iterable[tuple[Host, Interface]]) -> None:
        self._members = tuple((host, str(end.ip), end) for host, end in members)
        self._of_family: dict[int, list[int]] = {4: [], 6: []}
        self._of_address: dict[str, list[int]] = {}
        networks: dict[Network, list[tuple[int, Address]]] = {}
        for place, (_, ip, end) in enumerate(self._members):
            self._of_family[end.version].append(place)
            self._of_address.setdefault(ip, []).append(place)
            networks.setdefault(end.network, []).append((place, end.ip))
        self._groups: list[OfNetwork] = list(networks.items())
        self._left: dict[Hashable, list[OfNetwork]] = {}

    def others(self, host: Host) -> tuple[str, ...]:
        """The addresses of all VTEPs but those of ``host``."""
        return tuple(ip for other, ip, _ in self._members if other is not host)

    def first(self, host: Host, own: str = "") -> str | None:
        """The first address of a VTEP that is none of ``host``, nor ``own``; None without one."""
        found = (ip for other, ip, _ in self._members if other is not host and ip != own)
        return next(found, None)

    def first_of_family(self, host: Host, version: int) -> str | None:
        """The same of those in an underlay of IP ``version``, 4 or 6."""
        places = self._of_family[version]
        return next((ip for place in places if (ip := self._other(host, place))), None)

    def first_of_addresses(self, host: Host, addresses: Collection[str]) -> str | None:
        """The same of those that have one of ``addresses`` (without prefix length)."""
        if len(addresses) > len(self._members):
            addresses = {ip for _, ip, _ in self._members if ip in addresses}
        places = (place for ip in addresses for place in self._of_address.get(ip, ()))
        found = [place for place in places if self._other(host, place)]
        return self._members[min(found)][1] if found else None

    def _other(self, host: Host, place: int) -> str | None:
        other, ip, _ = self._members[place]
        return None if other is host else ip

    def left_by(self, key: Hashable, reached: Callable[[Address], bool]) -> list[OfNetwork]:
        """Those whose addresses are not ``reached``, by networks; asked once for each ``key``."""
        if key not in self._left:
            left = [
                (network, [row for row in rows if not reached(row[1])])
                for network, rows in self._groups
            ]
            self._left[key] = [group for group in left if group[1]]
        return self._left[key]


def first_outside(groups: Iterable[OfNetwork], networks: NetworkSet) -> str | None:
    """The first address in ``groups`` that is in none of ``networks``; None where all are."""
    first: tuple[int, Address] | None = None
    for network, rows in groups:
        if networks.cover(network):
            continue
        row = next((row for row in rows if row[1] not in networks), None)
        if row and (first is None or row[0] < first[0]):
            first = row
    return str(first[1]) if first else None
