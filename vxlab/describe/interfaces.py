"""The interfaces of a machine in the underlay, and the cards below them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vxlab.describe import checks
from vxlab.describe.elements import Host, Nic, Router
from vxlab.errors import TopologyError


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderlayInterface:
    """An interface of a machine in the underlay: a card, or another device with an address.

    ``device`` is its name, ``switch`` that of the switch or cable below its first card ("" where no
    card is below it), ``addresses`` are its IP addresses with prefix length.
    """

    device: str
    switch: str
    addresses: tuple[str, ...]

    @property
    def address(self) -> str | None:
        """Its first address, None where it has none."""
        return self.addresses[0] if self.addresses else None

    @property
    def families(self) -> frozenset[int]:
        """The address families, 4 and 6, that it has addresses of."""
        return frozenset(checks.parsed(each).version for each in self.addresses)

    @property
    def interface(self) -> checks.Interface:
        """The address, parsed; TopologyError where there is none."""
        if self.address is None:
            raise TopologyError(f"interface {self.device}", "address", "wanted one, found none")
        return checks.parsed(self.address)

    @property
    def ip(self) -> str:
        """The address without its prefix length; "" where there is none."""
        return str(self.interface.ip) if self.address else ""

    @property
    def version(self) -> int:
        """4 or 6, its address family."""
        return self.interface.version if self.address else 4


def underlay_interfaces(machine: Router | Host) -> Iterator[UnderlayInterface]:
    """The cards of ``machine``, then its other devices that have an address."""
    for nic in machine.nics:
        yield UnderlayInterface(device=nic.device, switch=nic.switch, addresses=nic.addresses)
    cards = Cards(machine)
    for device in machine.devices:
        if device.addresses:
            below = next((card.switch for card in cards.below(device.name)), "")
            held = device.addresses
            yield UnderlayInterface(device=device.name, switch=below, addresses=held)


class Cards:
    """Which cards of ``machine`` the frames of its devices leave by."""

    def __init__(self, machine: Router | Host) -> None:
        self._nics = {nic.device: nic for nic in machine.nics}
        self._below: dict[str, list[str]] = {}
        vrfs = {device.name for device in machine.devices if device.kind.name == "vrf"}
        ports = [(nic.device, nic.master) for nic in machine.nics]
        ports += [(device.name, device.master) for device in machine.devices]
        for name, master in ports:
            if master is not None and master not in vrfs:
                self._below.setdefault(master, []).append(name)
        for device in machine.devices:
            if device.below:
                self._below.setdefault(device.name, []).append(device.below)

    def below(self, name: str) -> tuple[Nic, ...]:
        """The cards that frames of the device called ``name`` leave by.

        That is the card itself, those of the ports of a bond or bridge, and those of the device
        that a VLAN or macvlan sits upon.
        """
        found: dict[str, Nic] = {}
        waiting, seen = [name], set[str]()
        while waiting:
            each = waiting.pop(0)
            if each not in seen:
                seen.add(each)
                if each in self._nics:
                    found[each] = self._nics[each]
                waiting += self._below.get(each, ())
        return tuple(found.values())
