"""Why a packet was lost at the broken hop: from evidence to proven causes.

A cause is given only where something was read back that proves it.  Each kind of hop has its own
list, in the order in which the kernel does its checks; the first cause is the verdict, and where
there is none the cause is unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from vxlab.describe.vxlan import is_multicast
from vxlab.explain.diagnosis.broken_hop import BrokenHop
from vxlab.explain.diagnosis.model import Cause
from vxlab.explain.diagnosis.packet_filter import (
    FORWARD_CHAINS,
    INPUT_CHAINS,
    OUTPUT_CHAINS,
    FilteredPacket,
    filtered_packet,
)
from vxlab.explain.diagnosis.path import ObservationPoint
from vxlab.observe import state
from vxlab.observe.frames import ICMP, ICMPV6, UDP, Encapsulated
from vxlab.observe.state import Link
from vxlab.services.base import LOCAL_GROUPS

_FORWARDING = 3  # BR_STATE_FORWARDING, linux/if_bridge.h
_IGNORE_ECHO = {4: "net.ipv4.icmp_echo_ignore_all", 6: "net.ipv6.icmp.echo_ignore_all"}


class Causes(BrokenHop):
    """The lists of causes, one for each kind of hop."""

    def proven(self) -> Iterator[Cause]:
        """All proven causes, the one that the packet meets first before all others."""
        last, missing = self.last, self.missing
        if missing is None:
            yield from self.filtered(self.trace.receiver.endpoint.node, INPUT_CHAINS)
        elif last is None:
            yield from self._answering() if self.unanswered else self._sending()
        elif last.node != missing.node:
            yield from self._crossing_cable(last, missing)
        elif last.role == missing.role == "nic":
            yield from self._routing(last, missing)
        elif missing.role == "nic":
            yield from self._encapsulating(missing)
        elif last.role == "nic":
            yield from self._decapsulating(last, missing)
        else:
            yield from self._bridging(last, missing)

    # -- the source sends nothing

    def _sending(self) -> Iterator[Cause]:
        point, address = self.trace.path[0], self.address
        version = ipaddress.ip_address(address).version
        protocol = ICMP if version == 4 else ICMPV6
        echo = FilteredPacket(version=version, protocol=protocol, destination=address)
        yield from self.link_down(point)
        yield from self.filtered(point.node, OUTPUT_CHAINS, echo)
        yield from self.no_route(point.node, address, self.trace.sender.endpoint.vtep.vrf)

    # -- the target does not answer

    def _answering(self) -> Iterator[Cause]:
        assert self.unanswered
        yield from self.link_down(self.trace.path[0])
        yield from self._wrong_address()
        yield from self._wrong_mac()
        packet = filtered_packet(self.unanswered.frame)
        if packet is None:
            return
        sender = self.trace.sender.endpoint
        yield from self.filtered(sender.node, INPUT_CHAINS, packet)
        answer = FilteredPacket(
            version=packet.version,
            protocol=packet.protocol,
            source=packet.destination,
            destination=packet.source,
        )
        yield from self.filtered(sender.node, OUTPUT_CHAINS, answer)
        setting = _IGNORE_ECHO[packet.version]
        if self.lab[sender.node].sysctl(setting) != "0":
            yield Cause("echo-ignored", f"{sender.node} is told to answer none by {setting}")
        yield from self.no_route(sender.node, packet.source or "", sender.vtep.vrf)

    def _wrong_address(self) -> Iterator[Cause]:
        """The target does not have the address that was pinged."""
        sender = self.trace.sender
        if self.address in sender.addresses:
            return
        found = ", ".join(sorted(sender.addresses)) or "none"
        where = f"{sender.endpoint.node} {sender.endpoint.interface}"
        reason = f"{where} has no address {self.address}, it has {found}"
        yield Cause("no-such-address", reason)

    def _wrong_mac(self) -> Iterator[Cause]:
        """The frame went to a MAC that the target does not have."""
        assert self.unanswered
        sender, mac = self.trace.sender, self.unanswered.inner.dst or ""
        if not _is_group_mac(mac) and mac != sender.mac:
            node = sender.endpoint.node
            reason = f"it is sent to the MAC {mac}, and {node} has {sender.mac}"
            yield Cause("stale-neighbour", reason)

    # -- from one node to the next

    def _crossing_cable(self, last: ObservationPoint, missing: ObservationPoint) -> Iterator[Cause]:
        yield from self.link_down(missing)
        if missing.role != "nic":
            return
        for point in (last, missing):
            yield from self.switch_faults(point)
        yield from self.exceeds_mtu(missing)
        if missing.node == self.trace.receiver.endpoint.host.name:
            yield from self.not_in_group()

    # -- from one port of a bridge to another

    def _bridging(self, last: ObservationPoint, missing: ObservationPoint) -> Iterator[Cause]:
        yield from self.link_down(missing)
        into, out_of = self.link(last), self.link(missing)
        if into is None or out_of is None:
            return
        if into.master != out_of.master:
            where = [f"{one.name} is in {one.master or 'no bridge'}" for one in (into, out_of)]
            yield Cause("bridge", " and ".join(where))
        bridge = self.links(last.node).get(into.master or "")
        if bridge and not bridge.up:
            reason = f"the bridge {bridge.name} on {last.node} is down"
            yield Cause("link-down", reason, f"{last.node}:{bridge.name}")
        yield from self._port_settings(into, out_of)

    def _port_settings(self, into: Link, out_of: Link) -> Iterator[Cause]:
        """What the ports of one bridge are told not to do."""
        bridge = into.master
        if into.port.get("isolated") and out_of.port.get("isolated"):
            reason = f"{into.name} and {out_of.name} are isolated ports of one bridge, {bridge}"
            yield Cause("same-bridge-isolated", reason)
        for link in (into, out_of):
            if link.port.get("state", _FORWARDING) != _FORWARDING:
                reason = f"the port {link.name} of {link.master} does not forward"
                yield Cause("bridge", f"{reason}, its state is {link.port['state']}")
        mac = self.observation.inner.dst if self.observation else None
        flag = "bcast_flood" if mac == "ff:ff:ff:ff:ff:ff" else "mcast_flood"
        if _is_group_mac(mac) and out_of.port.get(flag) == 0:
            yield Cause("bridge", f"the port {out_of.name} of {out_of.master} has {flag} off")

    # -- through the sender's vxlan device

    def _encapsulating(self, card: ObservationPoint) -> Iterator[Cause]:
        assert self.observation
        sender, receiver = self.trace.sender, self.trace.receiver
        entries = self.fdb_entries(self.observation.inner.dst or "")
        observed = [tunnel.outer_dst for tunnel in self.trace.misdirected]
        remotes = dict.fromkeys([*(row.dst for row in entries if row.dst), *observed])
        usable = [one for one in remotes if is_multicast(one) or one in receiver.underlay_addresses]
        if not entries and not sender.attribute("external"):
            reason = f"{sender.vxlan_device} has no remote to send it to"
            yield Cause("no-remote", reason + self.risen_text(card.node))
        elif remotes and not usable:
            where = f"{receiver.endpoint.host.name} is {receiver.nic.ip}"
            reason = f"{sender.vxlan_device} sends it to {', '.join(remotes)}, and {where}"
            yield Cause("wrong-remote", reason)
        yield from self.link_down(card)
        port = next((row.port for row in entries if row.port), sender.udp_port)
        yield from self._sending_to_remote(card.node, usable[0] if usable else None, port)

    def _sending_to_remote(self, node: str, remote: str | None, port: int) -> Iterator[Cause]:
        """What keeps the encapsulated packet from leaving; the remote is None where unknown."""
        version = self.trace.sender.nic.interface.version
        outer = FilteredPacket(version=version, protocol=UDP, destination=remote, port=port)
        yield from self.filtered(node, OUTPUT_CHAINS, outer)
        if remote and not is_multicast(remote):
            yield from self.no_route(node, remote)
            yield from self.no_neighbour(node, remote)

    # -- through the receiver's vxlan device

    def _decapsulating(self, card: ObservationPoint, missing: ObservationPoint) -> Iterator[Cause]:
        assert self.observation
        assert self.observation.tunnel
        receiver, tunnel = self.trace.receiver, self.observation.tunnel
        device, risen = receiver.vxlan_device, self.risen_text(card.node)
        yield from self.filtered(card.node, INPUT_CHAINS)
        yield from self.link_down(missing)
        yield from self.not_in_group()
        if receiver.udp_port != tunnel.port:
            reason = f"it goes to UDP port {tunnel.port}, and {device} listens on"
            yield Cause("port-mismatch", f"{reason} {receiver.udp_port}{risen}")
        if receiver.vnis and tunnel.vni != receiver.attribute("id"):
            reason = f"it has VNI {tunnel.vni}, and {device} has {receiver.attribute('id')}"
            yield Cause("vni-mismatch", reason)
        if any("InCsumErrors" in counter for counter in self.risen_counters(card.node)):
            yield Cause("checksum", f"{card.node} refuses its UDP checksum{risen}")
        yield from self._refused_mac(tunnel)

    def _refused_mac(self, tunnel: Encapsulated) -> Iterator[Cause]:
        """What a learning device does not take (vxlan_set_mac, vxlan_snoop in vxlan_core.c)."""
        receiver, mac = self.trace.receiver, tunnel.inner.src
        device, link = receiver.vxlan_device, receiver.vxlan_link
        if not receiver.attribute("learning"):
            return
        if link and link.mac == mac:
            yield Cause("same-mac", f"{mac}, the MAC of its sender, is that of {device} too")
        for row in receiver.fdb:
            is_static = row.mac == mac and row.state in ("permanent", "static")
            if is_static and row.dst not in (None, tunnel.outer_src):
                reason = f"it comes from {tunnel.outer_src}, and {device} is told that {mac}"
                yield Cause("static-mac", f"{reason} is behind {row.dst}")

    # -- through a router

    def _routing(self, enter: ObservationPoint, leave: ObservationPoint) -> Iterator[Cause]:
        assert self.observation
        assert self.observation.tunnel
        tunnel, node = self.observation.tunnel, enter.node
        yield from self.filtered(node, FORWARD_CHAINS)
        yield from self.link_down(leave)
        if any(ipaddress.ip_address(tunnel.outer_dst) in network for network in LOCAL_GROUPS):
            reason = f"{tunnel.outer_dst} is a group of link scope, which no router forwards"
            yield Cause("link-local-group", reason)
            return
        if tunnel.ttl <= 1:
            yield Cause("ttl", self._why_ttl_is_used_up(tunnel))
        if is_multicast(tunnel.outer_dst):
            yield from self._routing_multicast(enter, leave, tunnel)
        else:
            yield from self._routing_unicast(enter, tunnel)
        yield from self.exceeds_mtu(leave)

    def _why_ttl_is_used_up(self, tunnel: Encapsulated) -> str:
        sender = self.trace.sender
        if ttl := sender.attribute("ttl"):
            return f"{sender.vxlan_device} has ttl {ttl}"
        if not is_multicast(tunnel.outer_dst):
            return f"it left {sender.endpoint.host.name} with no more"
        return (
            "multicast leaves with TTL 1 unless the vxlan device has a ttl "
            "or a packet filter rule raises it"
        )

    def _routing_multicast(
        self, enter: ObservationPoint, leave: ObservationPoint, tunnel: Encapsulated
    ) -> Iterator[Cause]:
        node, group = enter.node, tunnel.outer_dst
        if self.lab[node].sysctl(f"net.{_family(group)}.conf.all.mc_forwarding") == "0":
            daemon = self.lab.topology.router(node).daemon
            why = f"{daemon} is not at work" if daemon else "the topology gives it no daemon"
            yield Cause("no-daemon", f"no program routes multicast on {node}, {why}")
            return
        yield from self.not_in_group()
        sources = (tunnel.outer_src, "0.0.0.0", "::")
        rows = state.multicast_routes(self.lab[node].namespaces)
        routes = [row for row in rows if row.group == group and row.source in sources]
        if any(row.iif == enter.interface and leave.interface in row.oifs for row in routes):
            return
        wanted = f"{node} has no route of {group} from {enter.interface} to {leave.interface}"
        found = "; ".join(map(str, routes)) or "none at all"
        yield Cause("no-mroute", f"{wanted} (found: {found})")

    def _routing_unicast(self, enter: ObservationPoint, tunnel: Encapsulated) -> Iterator[Cause]:
        node, remote = enter.node, tunnel.outer_dst
        setting = f"net.{_family(remote)}.conf.{enter.interface}.forwarding"
        if self.lab[node].sysctl(setting) == "0":
            yield Cause("no-forwarding", f"{node} is no router, {setting} is 0")
        yield from self.no_route(node, remote)
        yield from self.no_neighbour(node, remote)


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


def _is_group_mac(mac: str | None) -> bool:
    """True for a broadcast or multicast MAC (IEEE 802: the lowest bit of the first byte)."""
    return bool(mac and int(mac[:2], 16) & 1)
