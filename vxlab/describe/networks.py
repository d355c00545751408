"""Questions about many networks at once, answered without comparing each with each."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from vxlab.describe.checks import Interface, Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NetworkSet:
    """Networks, of which it is quick to ask whether one of them has an address in it.

    ``networks`` are of either family, and may overlap.  A question takes as many steps as there
    are different prefix lengths, however many networks there are.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._starts: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            starts = self._starts.setdefault((network.version, network.prefixlen), set())
            starts.add(int(network.network_address))

    def __contains__(self, address: Address) -> bool:
        """Whether one of the networks has ``address``, parsed, in it."""
        return self._cover(address, address.max_prefixlen)

    def cover(self, network: Network) -> bool:
        """Whether one of the networks is ``network``, parsed, or has all of it in it."""
        return self._cover(network.network_address, network.prefixlen)

    def _cover(self, start: Address, length: int) -> bool:
        first, bits = int(start), start.max_prefixlen
        for (version, prefixlen), starts in self._starts.items():
            rest = bits - prefixlen
            if version == start.version and prefixlen <= length and first >> rest << rest in starts:
                return True
        return False


def first_overlap(rows: Sequence[tuple[str, Interface]]) -> tuple[int, int] | None:
    """Where networks overlap that belong to different devices, or None.

    ``rows`` are names of devices, each with an address.  The answer is two positions in ``rows``,
    the greater one first: it is the first that overlaps an earlier one, and that the first of
    those.
    """
    if not _overlap(rows):
        return None
    last = bisect_left(range(len(rows)), True, key=lambda end: _overlap(rows[: end + 1]))
    device, address = rows[last]
    first = next(
        place
        for place, (other, known) in enumerate(rows)
        if other != device
        and known.version == address.version
        and known.network.overlaps(address.network)
    )
    return last, first


def _overlap(rows: Sequence[tuple[str, Interface]]) -> bool:
    """Whether networks of different devices overlap: sorted, that is seen between neighbours.

    Two networks overlap only where one is inside the other, so a row that begins inside the
    widest one before it is all inside, as are all rows that overlap it in turn.
    """
    wide_version, wide_end, wide_device = 0, -1, ""
    for version, start, length, device in sorted(map(_sortable, rows)):
        if version == wide_version and start <= wide_end:
            if device != wide_device:
                return True
            continue
        bits = 32 if version == 4 else 128
        wide_version, wide_end, wide_device = version, start + (1 << bits - length) - 1, device
    return False


def _sortable(row: tuple[str, Interface]) -> tuple[int, int, int, str]:
    device, address = row
    return address.version, int(address.network.network_address), address.network.prefixlen, device
