"""The broken hop: what a lab tells of a packet that one observation point saw, and the next not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vxlab.describe.vxlan import is_multicast
from vxlab.explain.diagnosis.endpoints import read_fdb, read_links
from vxlab.explain.diagnosis.evidence import NodeEvidence
from vxlab.explain.diagnosis.model import Cause
from vxlab.explain.diagnosis.packet_filter import (
    INPUT_CHAINS,
    FilteredPacket,
    could_drop,
    filtered_packet,
)
from vxlab.explain.diagnosis.path import ObservationPoint
from vxlab.explain.diagnosis.trace import Observation, Trace
from vxlab.live.json_output import read_json
from vxlab.observe import state
from vxlab.observe.frames import ICMPV6
from vxlab.observe.state import FdbEntry, Link
from vxlab.plan.planner import ANY_MAC, SWITCH_BRIDGE

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

#: States of a neighbour entry whose address nobody has answered for.
UNRESOLVED = ("INCOMPLETE", "FAILED")

#: How the names of counters end that count what was dropped.
_DROP_COUNTERS = (
    "Discards",
    "Errors",
    "_errors",
    "_dropped",
    "NoPorts",
    "NoRoutes",
    "IgnoredMulti",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenHop:
    """From the last observation point that saw a packet to the first that should have.

    ``traces`` are those there and back; ``before`` and ``after`` are the evidence of each node of
    the path, read before the ping and after it; ``address`` is the one that was pinged.
    """

    lab: Lab
    traces: tuple[Trace, Trace]
    before: Mapping[str, NodeEvidence]
    after: Mapping[str, NodeEvidence]
    address: str
    _links: dict[str, Mapping[str, Link]] = field(default_factory=dict)

    @property
    def trace(self) -> Trace:
        """The trace that has the broken hop: the one back where the one there is complete."""
        there, back = self.traces
        return back if there.complete else there

    @property
    def unanswered(self) -> Observation | None:
        """What arrived at the target, None where nothing did."""
        there, _ = self.traces
        return there.observations[-1] if there.complete else None

    @property
    def last(self) -> ObservationPoint | None:
        """The last point that saw the packet, None where none did."""
        return self.trace.path[self.trace.broken_at - 1] if self.trace.broken_at else None

    @property
    def missing(self) -> ObservationPoint | None:
        """The first point that did not see the packet, None where all did."""
        return None if self.trace.complete else self.trace.path[self.trace.broken_at]

    @property
    def observation(self) -> Observation | None:
        """What the last point saw."""
        at = self.trace.broken_at
        return self.trace.observations[at - 1] if at else None

    @property
    def size(self) -> int:
        """The length in bytes, without Ethernet header, of what the last point saw."""
        return self.observation.frame.length - 14 if self.observation else 0

    # -- what is read back

    def links(self, node: str) -> Mapping[str, Link]:
        """The links of a node by name."""
        if node not in self._links:
            self._links[node] = read_links(self.lab, node)
        return self._links[node]

    def link(self, point: ObservationPoint) -> Link | None:
        """The link at an observation point, None where it is gone."""
        return self.links(point.node).get(point.interface)

    def cable_peer(self, point: ObservationPoint) -> tuple[str, Link] | None:
        """The node and the link at the other end of the cable that is plugged in here."""
        link, node = self.link(point), self._peer_node(point)
        if link is None or node is None or not link.link:
            return None
        index = link.link.removeprefix("if")  # it lives in another namespace
        for other in self.links(node).values():
            if str(other.index) == index:
                return node, other
        return None

    def _peer_node(self, point: ObservationPoint) -> str | None:
        for end in (self.trace.sender.endpoint, self.trace.receiver.endpoint):
            if point.role == "endpoint" and point.node == end.node:
                return end.host.name
            if point.role == "bridge-port" and point.interface == end.bridge_port:
                return end.node
        topology = self.lab.topology
        for switch in topology.switches:
            cards = [(machine.name, nic.device) for machine, nic in topology.cards(switch)]
            if (point.node, point.interface) in cards:
                others = (node for node, _ in cards if node != point.node)
                return next(others, None) if switch.cable else switch.name
        return None

    def fdb_entries(self, mac: str) -> tuple[FdbEntry, ...]:
        """The entries of the sender's vxlan device that apply to a MAC, as of now."""
        rows = read_fdb(self.lab, self.trace.sender.endpoint)
        remotes = [row for row in rows if row.dst or row.nhid]
        exact = tuple(row for row in remotes if row.mac == mac)
        return exact or tuple(row for row in remotes if row.mac == ANY_MAC)

    def risen_counters(self, node: str) -> dict[str, int]:
        """By how much those counters of a node rose that count what it dropped."""
        before, after = self.before[node].counters, self.after[node].counters
        return {
            name: count - before.get(name, 0)
            for name, count in after.items()
            if name.endswith(_DROP_COUNTERS) and count > before.get(name, 0)
        }

    def risen_text(self, node: str) -> str:
        """The risen counters of a node in brackets, '' where there are none."""
        risen = [f"{name} +{count}" for name, count in self.risen_counters(node).items()]
        return f" ({node}: {', '.join(risen)})" if risen else ""

    def _route(self, node: str, target: str, vrf: str | None = None) -> Any:
        """What ``ip route get`` says: a dict, or why there is none."""
        words = ("ip", "-j", "route", "get", target, *(("vrf", vrf) if vrf else ()))
        result = self.lab[node].ask(*words, check=False)
        return result.stderr.strip() if result.code else read_json(result.stdout)[0]

    # -- causes that several kinds of hop share

    def link_down(self, point: ObservationPoint) -> Iterator[Cause]:
        """The interface is down, or gone, or the other end of its cable is."""
        link, hop = self.link(point), str(point)
        if link is None:
            yield Cause("link-down", f"{point.node} has no interface {point.interface}", hop)
        elif not link.up:
            yield Cause("link-down", f"{point.text} is down", hop)
        elif "NO-CARRIER" in link.flags:
            peer = self.cable_peer(point)
            if peer is None:
                yield Cause("link-down", f"{point.text} has no carrier", hop)
            elif not peer[1].up:
                node, other = peer
                reason = f"{node} {other.name}, the other end of its cable, is down"
                yield Cause("link-down", reason, f"{node}:{other.name}")

    def filtered(
        self, node: str, chains: Collection[str], packet: FilteredPacket | None = None
    ) -> Iterator[Cause]:
        """A packet filter rule that can have dropped the packet, and whose counter rose."""
        if packet is None and self.observation:
            packet = filtered_packet(self.observation.frame)
        for rule, count in self.after[node].rules.items():
            more = count - self.before[node].rules.get(rule, 0)
            if packet and more > 0 and could_drop(rule, packet, chains):
                packets = "1 packet" if more == 1 else f"{more} packets"
                yield Cause("firewall", f"`{rule}` on {node} dropped {packets} meanwhile")

    def no_route(self, node: str, target: str, vrf: str | None = None) -> Iterator[Cause]:
        """The node has no route to the target."""
        route = self._route(node, target, vrf)
        if isinstance(route, str):
            yield Cause("no-route", f"{node} has no route to {target} ({route})")

    def no_neighbour(self, node: str, target: str) -> Iterator[Cause]:
        """Nobody answers for the next hop to an underlay address, perhaps because it is down."""
        route = self._route(node, target)
        if isinstance(route, str):
            return
        gateway, device = route.get("gateway", target), route["dev"]
        rows = state.neighbours(self.lab[node].namespaces)
        unresolved = {(row.interface, row.address) for row in rows if row.state in UNRESOLVED}
        if (device, gateway) not in unresolved:
            return
        reason = f"{node} asks for the MAC of {gateway} on {device}, and nobody answers"
        at = self.trace.broken_at
        for point in self.trace.path[at + 1 : at + 2]:
            yield from self.link_down(point)
            yield from self.switch_faults(self.trace.path[at])
            yield from self.switch_faults(point)
            if ":" in gateway:
                solicitation = FilteredPacket(version=6, protocol=ICMPV6)
                yield from self.filtered(point.node, INPUT_CHAINS, solicitation)
            if gateway not in self._addresses(point.node):
                reason += f": {point.text} does not have it"
        yield Cause("no-neighbour", reason)

    def _addresses(self, node: str) -> set[str]:
        return {row.address for row in state.addresses(self.lab[node].namespaces)}

    def switch_faults(self, point: ObservationPoint) -> Iterator[Cause]:
        """What is wrong with the switch that a card is plugged into."""
        peer = self.cable_peer(point)
        machines = {machine.name for machine in self.lab.topology.machines}
        if peer is None or peer[0] in machines:
            return
        switch, port = peer
        for link in (port, self.links(switch).get(SWITCH_BRIDGE)):
            if link and not link.up:
                reason = f"{link.name} of the switch {switch} is down"
                yield Cause("link-down", reason, f"{switch}:{link.name}")
        hop = f"{switch}:{port.name}"
        if not port.master:
            reason = f"the port {port.name} of the switch {switch} is in no bridge"
            yield Cause("bridge", reason, hop)
        if self.size > port.mtu:
            reason = f"it has {self.size} bytes, and the switch {switch} takes {port.mtu}"
            yield Cause("mtu", f"{reason} on its port {port.name}", hop)

    def exceeds_mtu(self, point: ObservationPoint) -> Iterator[Cause]:
        """What was seen last is longer than the interface takes."""
        link = self.link(point)
        if link and self.size > link.mtu:
            yield Cause("mtu", f"it has {self.size} bytes, and {point.text} takes {link.mtu}")

    def not_in_group(self) -> Iterator[Cause]:
        """The receiver's host is no member of the group that the packet goes to."""
        tunnel, receiver = self.observation and self.observation.tunnel, self.trace.receiver
        if tunnel is None or not is_multicast(tunnel.outer_dst):
            return
        host, device, group = receiver.endpoint.host.name, receiver.nic.device, tunnel.outer_dst
        rows = state.memberships(self.lab[host].namespaces)
        if any((row.interface, row.group) == (device, group) for row in rows):
            return
        own = receiver.attribute("group")
        reason = f"{host} is no member of {group} on {device}, {receiver.vxlan_device} has "
        yield Cause("group-mismatch", reason + (f"group {own}" if own else "no group"))
