"""The way a probe takes through a lab: its two ends as they are now, and all places between them.

The topology says which interfaces lie on the way; addresses, MACs, VNIs and groups are live.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vxlab.describe.elements import Host, Nic, Vtep
from vxlab.describe.vxlan import KERNEL_PORT
from vxlab.errors import VxlabError
from vxlab.observe import state
from vxlab.observe.state import FdbEntry, Link

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab

#: What an interface is on the way: an endpoint's own, a bridge's port to it, a vxlan device (which
#: is the end itself where the host has the address), a network card.
Part = Literal["end", "port", "vxlan", "nic"]


@dataclass(frozen=True, slots=True)
class Place:
    """An interface on the way; the probe leaves the node by it (``out``) or enters."""

    node: str
    interface: str
    part: Part
    out: bool

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"

    @property
    def words(self) -> str:
        """The place in a sentence."""
        return f"{self.node} {self.interface}"


@dataclass(frozen=True, slots=True)
class Party:
    """One who speaks in a segment, where the topology has him: the host itself, or a container.

    ``port`` is the host's end of a container's cable, None where the host speaks itself.
    """

    segment: str
    node: str
    interface: str
    host: Host
    vtep: Vtep
    port: str | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """A party as the kernel has it now.

    ``mac`` and ``addresses`` are those of its interface; ``link`` its vxlan device, None where
    that is gone; ``fdb`` the device's entries; ``underlay`` all addresses of its host; ``nic`` the
    card that its packets leave by.
    """

    party: Party
    mac: str
    addresses: frozenset[str]
    link: Link | None
    fdb: tuple[FdbEntry, ...]
    underlay: frozenset[str]
    nic: Nic

    @property
    def device(self) -> str:
        """The vxlan device in a sentence."""
        return f"{self.party.vtep.device} on {self.party.host.name}"

    @property
    def port(self) -> int:
        """The UDP port that the vxlan device listens on and sends to."""
        return int(self.attribute("dstport") or KERNEL_PORT)

    @property
    def vnis(self) -> frozenset[int]:
        """All VNIs it may send with, the device's and those of single entries; empty for any."""
        if self.attribute("external"):
            return frozenset()
        own = {int(self.attribute("id"))} if self.link else set()
        return frozenset(own | {row.vni for row in self.fdb if row.vni is not None})

    @property
    def ports(self) -> frozenset[int]:
        """All UDP ports it may send to."""
        return frozenset({self.port} | {row.port for row in self.fdb if row.port})

    def attribute(self, name: str) -> int | str:
        """An attribute of the vxlan device, 0 where it has none."""
        value = self.link.attributes.get(name) if self.link else None
        return value if isinstance(value, int | str) else 0


def live(lab: Lab, party: Party) -> Live:
    """Read back what a party is now; what is gone is missing in it."""
    host = party.host.name
    links = read_links(lab, host)
    end = (read_links(lab, party.node) if party.port else links).get(party.interface)
    link = links.get(party.vtep.device)
    bound = link.attributes.get("dev") if link else None
    card = lab.topology.nic(party.host, party.vtep)
    assert card  # a topology without it is refused
    addresses = {row.address for row in state.addresses(lab[host].namespaces)}
    return Live(
        party=party,
        mac=end.mac if end else "",
        addresses=live_addresses(lab, party),
        link=link if link and link.kind == "vxlan" else None,
        fdb=read_fdb(lab, party),
        underlay=frozenset({card.ip, *addresses}),
        nic=next((nic for nic in party.host.nics if nic.device == bound), card),
    )


def read_links(lab: Lab, node: str) -> dict[str, Link]:
    """The links of a node by name."""
    return {link.name: link for link in state.links(lab[node].namespaces)}


def live_addresses(lab: Lab, party: Party) -> frozenset[str]:
    """The addresses that a party's interface has now."""
    rows = state.addresses(lab[party.node].namespaces)
    return frozenset(row.address for row in rows if row.interface == party.interface)


def read_fdb(lab: Lab, party: Party) -> tuple[FdbEntry, ...]:
    """The entries of a party's vxlan device; none where that is gone."""
    rows = state.fdb(lab[party.host.name].namespaces)
    return tuple(row for row in rows if row.interface == party.vtep.device)


def parties(topology: Topology) -> Iterator[Party]:
    """All who speak in any segment."""
    for host in topology.hosts:
        for vtep in host.vteps:
            if not vtep.bridge:
                yield Party(vtep.segment, host.name, vtep.device, host, vtep)
                continue
            for each in topology.containers:
                if (each.host, each.bridge) == (host.name, vtep.bridge):
                    yield Party(vtep.segment, each.name, each.device, host, vtep, each.host_device)


def planned_addresses(topology: Topology, party: Party) -> set[str]:
    """The addresses that the topology gives a party."""
    given: Iterable[str] = party.vtep.addresses
    if party.port is not None:
        given = next(each.addresses for each in topology.containers if each.name == party.node)
    return {str(ipaddress.ip_interface(one).ip) for one in given}


def find_ends(lab: Lab, source: str, wanted: str) -> tuple[Live, Live | None]:
    """The source, and who has the address ``wanted`` in the same segment, or None.

    Who has it now goes before who should have it by the topology.  VxlabError where the source
    speaks in no segment.
    """
    everybody = tuple(parties(lab.topology))
    mine = [party for party in everybody if party.node == source]
    if not mine:
        able = ", ".join(dict.fromkeys(party.node for party in everybody)) or "nobody"
        raise VxlabError(
            f"lab {lab.topology}: wanted {source!r} to ping {wanted}, found that it speaks in no "
            f"segment: ping from one of {able}"
        )
    near = {party.segment: party for party in reversed(mine)}
    others = [party for party in everybody if party.segment in near]
    planned = [party for party in others if wanted in planned_addresses(lab.topology, party)]
    for party in (*planned, *others):
        if wanted in live_addresses(lab, party):
            return live(lab, near[party.segment]), live(lab, party)
    for party in planned:
        return live(lab, near[party.segment]), live(lab, party)
    return live(lab, mine[0]), None


def way(topology: Topology, source: Live, target: Live) -> tuple[Place, ...]:
    """All places from one end to the other, in order."""
    first, last = _half(source.party), _half(target.party)
    if source.party.host.name == target.party.host.name:
        if source.party.vtep.bridge == target.party.vtep.bridge:
            first, last = first[:2], last[:2]
        return (*first, *reverse(last))
    between = _router(topology, source.nic.switch, target.nic.switch)
    leave = Place(source.party.host.name, source.nic.device, "nic", True)
    enter = Place(target.party.host.name, target.nic.device, "nic", False)
    return (*first, leave, *between, enter, *reverse(last))


def reverse(places: Iterable[Place]) -> tuple[Place, ...]:
    """The same way back."""
    return tuple(dataclasses.replace(place, out=not place.out) for place in reversed(tuple(places)))


def _half(party: Party) -> tuple[Place, ...]:
    """From a party to its vxlan device, outwards."""
    vxlan = Place(party.host.name, party.vtep.device, "vxlan", True)
    if party.port is None:
        return (vxlan,)
    end = Place(party.node, party.interface, "end", True)
    return end, Place(party.host.name, party.port, "port", False), vxlan


def _router(topology: Topology, start: str, goal: str) -> tuple[Place, ...]:
    """The cards of the first router that joins two switches; nothing where it is one switch."""
    if start == goal:
        return ()
    for router in topology.routers:
        cards = {nic.switch: nic.device for nic in router.nics}
        if start in cards and goal in cards:
            return (
                Place(router.name, cards[start], "nic", False),
                Place(router.name, cards[goal], "nic", True),
            )
    return ()
