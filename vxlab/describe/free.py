"""What a builder finds by itself where a person does not say it."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable

from vxlab.describe.devices import Device
from vxlab.describe.devices.base import as_tuple
from vxlab.describe.elements import Nic, Switch
from vxlab.errors import TopologyError


def first_of(several: str | Iterable[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """The first of ``several``, None where there is none, and the others."""
    given = as_tuple(several)
    return (given[0] if given else None), given[1:]


def next_card(nics: Iterable[Nic], devices: Iterable[Device]) -> str:
    """The next free name of a card (eth0, eth1, …) of a machine that has these."""
    taken = {nic.device for nic in nics} | {device.name for device in devices}
    names = (f"eth{number}" for number in itertools.count())
    return next(name for name in names if name not in taken)


class AddressPools:
    """The free addresses of all subnets of ``switch``."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch.name
        self._pools = [_AddressPool(network) for network in switch.networks]
        self._taken: set[str] = set()

    def take(self, addresses: Iterable[str]) -> None:
        """Keep ``addresses``, with their prefix length, from being given to another."""
        self._taken.update(address.partition("/")[0] for address in addresses)

    def free(self, node: str) -> tuple[str, ...]:
        """The lowest free one of each subnet; TopologyError of ``node`` where one is full."""
        found = []
        for pool in self._pools:
            address = pool.lowest(self._taken)
            if address is None:
                wanted = f"wanted a free one on {self._switch}, found {pool.network} full"
                raise TopologyError(node, "address", wanted)
            found.append(address)
        return tuple(found)


class _AddressPool:
    """The addresses of a subnet, from the lowest on; none becomes free again once it is taken."""

    def __init__(self, network: str) -> None:
        self.network = ipaddress.ip_network(network)
        all_are_hosts = self.network.prefixlen >= self.network.max_prefixlen - 1  # RFC 3021
        self._number = 0 if all_are_hosts else 1  # else 0 is the network itself
        last = self.network.num_addresses - 1
        self._last = last - 1 if self.network.version == 4 and not all_are_hosts else last

    def lowest(self, taken: set[str]) -> str | None:
        """The lowest one that is not ``taken``, with its prefix length; None where all are."""
        while self._number <= self._last:
            address = str(self.network[self._number])
            if address not in taken:
                return f"{address}/{self.network.prefixlen}"
            self._number += 1
        return None
