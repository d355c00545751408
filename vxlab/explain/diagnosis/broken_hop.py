"""Between two places: what can be asked of a lab about a probe that passed the one only."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vxlab.describe.vxlan import is_multicast
from vxlab.explain.diagnosis.evidence import Look, Packet, could_drop, packet_of
from vxlab.explain.diagnosis.path import Place, read_fdb, read_links
from vxlab.explain.diagnosis.trace import Leg, Sight
from vxlab.observe import state
from vxlab.observe.frames import ICMPV6
from vxlab.observe.state import FdbEntry, Link
from vxlab.plan.planner import ANY_MAC, SWITCH_BRIDGE

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

#: States of a neighbour entry whose address nobody has answered for.
UNRESOLVED = ("INCOMPLETE", "FAILED")

#: Chains that a packet passes which a node takes for itself (iptables(8)).
ENTERING = ("PREROUTING", "INPUT")

#: How the names of counters end that count what was thrown away.
_TELLING = ("Discards", "Errors", "_errors", "_dropped", "NoPorts", "NoRoutes", "IgnoredMulti")


@dataclass(frozen=True, slots=True)
class Finding:
    """A proven cause: its code, the reason in words, and the place where that is another one."""

    code: str
    reason: str
    hop: str | None = None


@dataclass(frozen=True)
class Gap:
    """Between the last place that saw a probe and the first that should have and did not.

    ``before`` and ``after`` are looks at the nodes on the way; ``wanted`` is the address that was
    pinged; ``arrived`` is what the target saw last, where it is the target that keeps silent.
    """

    lab: Lab
    leg: Leg
    before: Mapping[str, Look]
    after: Mapping[str, Look]
    wanted: str
    arrived: Sight | None = None
    _links: dict[str, Mapping[str, Link]] = field(default_factory=dict)

    @property
    def last(self) -> Place | None:
        """The last place that saw it, None where nobody did."""
        return self.leg.places[self.leg.broken - 1] if self.leg.broken else None

    @property
    def missing(self) -> Place | None:
        """The first place that did not, None where all did."""
        return None if self.leg.complete else self.leg.places[self.leg.broken]

    @property
    def sight(self) -> Sight | None:
        """What the last place saw."""
        return self.leg.sights[self.leg.broken - 1] if self.leg.broken else None

    @property
    def size(self) -> int:
        """The length in bytes, without Ethernet header, of what the last place saw."""
        return self.sight.frame.length - 14 if self.sight else 0

    def links(self, node: str) -> Mapping[str, Link]:
        """The links of a node by name."""
        if node not in self._links:
            self._links[node] = read_links(self.lab, node)
        return self._links[node]

    def link(self, place: Place) -> Link | None:
        """The link at a place, None where it is gone."""
        return self.links(place.node).get(place.interface)

    def cable(self, place: Place) -> tuple[str, Link] | None:
        """The node and the link at the other end of the cable that is plugged in here."""
        link, node = self.link(place), self._other_node(place)
        if link is None or node is None or not link.link:
            return None
        index = link.link.removeprefix("if")  # it lives in another namespace
        for other in self.links(node).values():
            if str(other.index) == index:
                return node, other
        return None

    def _other_node(self, place: Place) -> str | None:
        for party in (self.leg.sender.party, self.leg.receiver.party):
            if place.part == "end" and place.node == party.node:
                return party.host.name
            if place.part == "port" and place.interface == party.port:
                return party.node
        topology = self.lab.topology
        for switch in topology.switches:
            cards = [(machine.name, nic.device) for machine, nic in topology.cards(switch)]
            if (place.node, place.interface) in cards:
                far = (node for node, _ in cards if node != place.node)
                return next(far, None) if switch.cable else switch.name
        return None

    def entries(self, mac: str) -> tuple[FdbEntry, ...]:
        """The forwarding entries of the sender's vxlan device that apply to a MAC, as of now."""
        rows = [row for row in read_fdb(self.lab, self.leg.sender.party) if row.dst or row.nhid]
        exact = tuple(row for row in rows if row.mac == mac)
        return exact or tuple(row for row in rows if row.mac == ANY_MAC)

    def risen(self, node: str) -> str:
        """The counters of what a node threw away that rose meanwhile, in brackets, or nothing."""
        before, after = self.before[node], self.after[node]
        found = [
            f"{name} +{count - before.counters.get(name, 0)}"
            for name, count in after.counters.items()
            if name.endswith(_TELLING) and count > before.counters.get(name, 0)
        ]
        return f" ({node}: {', '.join(found)})" if found else ""

    # -- causes that several ways from place to place share

    def down(self, place: Place) -> Iterator[Finding]:
        """The interface is down, or gone, or the other end of its cable is."""
        link, hop = self.link(place), str(place)
        if link is None:
            yield Finding("link-down", f"{place.node} has no interface {place.interface}", hop)
        elif not link.up:
            yield Finding("link-down", f"{place.words} is down", hop)
        elif "NO-CARRIER" in link.flags:
            far = self.cable(place)
            if far is None:
                yield Finding("link-down", f"{place.words} has no carrier", hop)
            elif not far[1].up:
                node, other = far
                reason = f"{node} {other.name}, the other end of its cable, is down"
                yield Finding("link-down", reason, f"{node}:{other.name}")

    def dropped(
        self, node: str, chains: Collection[str], packet: Packet | None = None
    ) -> Iterator[Finding]:
        """A packet filter rule that can have dropped it, and that counted something."""
        if packet is None and self.sight:
            packet = packet_of(self.sight.frame)
        for rule, count in self.after[node].rules.items():
            more = count - self.before[node].rules.get(rule, 0)
            if packet and more > 0 and could_drop(rule, packet, chains):
                packets = "1 packet" if more == 1 else f"{more} packets"
                yield Finding("firewall", f"`{rule}` on {node} dropped {packets} meanwhile")

    def no_route(self, node: str, target: str, vrf: str | None = None) -> Iterator[Finding]:
        """The node has no route."""
        route = self._route(node, target, vrf)
        if isinstance(route, str):
            yield Finding("no-route", f"{node} has no route to {target} ({route})")

    def _route(self, node: str, target: str, vrf: str | None = None) -> Any:
        """What ``ip route get`` says: a dict, or why there is none."""
        words = ("ip", "-j", "route", "get", target, *(("vrf", vrf) if vrf else ()))
        result = self.lab[node].ask(*words, check=False)
        return result.stderr.strip() if result.code else json.loads(result.stdout)[0]

    def no_neighbour(self, node: str, target: str) -> Iterator[Finding]:
        """Nobody answers for the next hop to an underlay address, perhaps because it is down."""
        route = self._route(node, target)
        if isinstance(route, str):
            return
        hop, device = route.get("gateway", target), route["dev"]
        rows = state.neighbours(self.lab[node].namespaces)
        if not any(
            (row.interface, row.address) == (device, hop) and row.state in UNRESOLVED
            for row in rows
        ):
            return
        reason = f"{node} asks for the MAC of {hop} on {device}, and nobody answers"
        for place in self.leg.places[self.leg.broken + 1 :][:1]:
            yield from self.down(place)
            yield from self.switch(self.leg.places[self.leg.broken])
            yield from self.switch(place)
            if ":" in hop:
                yield from self.dropped(place.node, ENTERING, Packet(6, ICMPV6))
            there = state.addresses(self.lab[place.node].namespaces)
            if hop not in {row.address for row in there}:
                reason += f": {place.words} has it not"
        yield Finding("no-neighbour", reason)

    def switch(self, place: Place) -> Iterator[Finding]:
        """What is wrong with the switch that a card is plugged into."""
        plugged = self.cable(place)
        machines = {machine.name for machine in self.lab.topology.machines}
        if plugged is None or plugged[0] in machines:
            return
        switch, port = plugged
        for link in (port, self.links(switch).get(SWITCH_BRIDGE)):
            if link and not link.up:
                reason = f"{link.name} of the switch {switch} is down"
                yield Finding("link-down", reason, f"{switch}:{link.name}")
        hop = f"{switch}:{port.name}"
        if not port.master:
            yield Finding("bridge", f"the port {port.name} of the switch {switch} is in none", hop)
        if self.size > port.mtu:
            reason = f"it has {self.size} bytes, and the switch {switch} takes {port.mtu}"
            yield Finding("mtu", f"{reason} on its port {port.name}", hop)

    def too_long(self, place: Place) -> Iterator[Finding]:
        """What was seen last is longer than the interface takes."""
        link = self.link(place)
        if link and self.size > link.mtu:
            yield Finding("mtu", f"it has {self.size} bytes, and {place.words} takes {link.mtu}")

    def no_member(self) -> Iterator[Finding]:
        """The receiver's host is no member of the group that the frame goes to."""
        tunnel, there = self.sight and self.sight.tunnel, self.leg.receiver
        if tunnel is None or not is_multicast(tunnel.outer_dst):
            return
        host = there.party.host.name
        rows = state.memberships(self.lab[host].namespaces)
        if any((row.interface, row.group) == (there.nic.device, tunnel.outer_dst) for row in rows):
            return
        own = there.attribute("group")
        has = f"has group {own}" if own else "has no group"
        reason = (
            f"{host} is no member of {tunnel.outer_dst} on {there.nic.device}, {there.device} {has}"
        )
        yield Finding("group-mismatch", reason)
