"""Why a probe died between two places: from evidence to findings.

A finding is made only where something was read back that proves it.  Each way of getting from one
place to the next has its own list, in the order in which the kernel does its checks; the first
finding is the verdict, and where there is none the cause is unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from vxlab.describe.vxlan import is_multicast
from vxlab.explain.diagnosis.broken_hop import ENTERING, Finding, Gap
from vxlab.explain.diagnosis.evidence import Packet, packet_of
from vxlab.explain.diagnosis.path import Place
from vxlab.observe import state
from vxlab.observe.frames import ICMP, ICMPV6, UDP, Encapsulated
from vxlab.services.base import LOCAL_GROUPS

#: All codes of a diagnosis, and what to do about each.
CODES: Mapping[str, str] = {
    "ok": "nothing is to be done",
    "other-node": "give the address to one node only, and tenants VNIs of their own",
    "no-such-address": "ping an address of the segment, or add it (`ip address add`)",
    "link-down": "set it up (`ip link set DEVICE up`)",
    "firewall": "delete the rule, or accept the frame before it",
    "ttl": "give the vxlan device a ttl, or raise it: "
    "`iptables -t mangle -A OUTPUT -d GROUP -j TTL --ttl-inc 1` (`ip6tables`, `HL --hl-inc`)",
    "link-local-group": "choose a group that is routed, 239.1.1.1 or ff08::1 for example",
    "no-daemon": "start a multicast routing daemon (smcroute, pimd) on the router",
    "no-mroute": "let the daemon route the group to that interface, or let the host join it",
    "no-forwarding": "switch forwarding on (sysctl net.ipv4.ip_forward, ipv6.conf.all.forwarding)",
    "no-route": "add the route (`ip route add`)",
    "no-neighbour": "see whether the address is right, and whether its owner is up",
    "group-mismatch": "give all vxlan devices of the segment the same group",
    "port-mismatch": "give all vxlan devices of the segment the same dstport",
    "vni-mismatch": "give all vxlan devices of the segment the same id",
    "no-remote": "give the device a remote or a group, or add an entry (`bridge fdb append`)",
    "wrong-remote": "correct the entry (`bridge fdb replace`), or let the device learn",
    "static-mac": "delete the static entry (`bridge fdb del`), or correct it",
    "same-mac": "give each vxlan device and each endpoint a MAC of its own",
    "checksum": "set udp6zerocsumtx and udp6zerocsumrx alike on both devices",
    "bridge": "put both interfaces into the same bridge, and let their ports forward",
    "same-bridge-isolated": "end the isolation of one (`bridge link set dev PORT isolated off`)",
    "stale-neighbour": "delete the neighbour entry (`ip neigh del`), so that it asks again",
    "echo-ignored": "set the sysctl net.ipv4.icmp_echo_ignore_all (ipv6.icmp.echo_ignore_all) to 0",
    "mtu": "raise the MTU there, or lower that of the endpoints",
    "unknown": "look at what `nft list ruleset`, `tc filter show` and `ip -s link` say there",
}


_FORWARDING = 3  # BR_STATE_FORWARDING, linux/if_bridge.h
_LEAVING = ("OUTPUT", "POSTROUTING")
_IGNORE = {4: "net.ipv4.icmp_echo_ignore_all", 6: "net.ipv6.icmp.echo_ignore_all"}


class Causes(Gap):
    """The lists of causes, one for each way of getting from one place to the next."""

    def findings(self) -> Iterator[Finding]:
        """All proven causes, the one that strikes first before all others."""
        last, missing = self.last, self.missing
        if missing is None:
            yield from self.dropped(self.leg.receiver.party.node, ENTERING)
            return
        if last is None:
            yield from self._answering() if self.arrived else self._sending()
        elif last.node != missing.node:
            yield from self._wire(last, missing)
        elif last.part == missing.part == "nic":
            yield from self._routing(last, missing)
        elif missing.part == "nic":
            yield from self._encapsulating(missing)
        elif last.part == "nic":
            yield from self._decapsulating(last, missing)
        else:
            yield from self._bridging(last, missing)

    # -- one list of causes for each way to get from one place to the next

    def _sending(self) -> Iterator[Finding]:
        place = self.leg.places[0]
        version = ipaddress.ip_address(self.wanted).version
        echo = Packet(version, ICMP if version == 4 else ICMPV6, destination=self.wanted)
        yield from self.down(place)
        yield from self.dropped(place.node, _LEAVING, echo)
        yield from self.no_route(place.node, self.wanted, self.leg.sender.party.vtep.vrf)

    def _answering(self) -> Iterator[Finding]:
        assert self.arrived
        here, node = self.leg.sender, self.leg.sender.party.node
        yield from self.down(self.leg.places[0])
        if self.wanted not in here.addresses:
            have = ", ".join(sorted(here.addresses)) or "none"
            reason = f"{node} {here.party.interface} has no address {self.wanted}, it has {have}"
            yield Finding("no-such-address", reason)
        to = self.arrived.inner.dst or ""
        if not _to_many(to) and to != here.mac:
            reason = f"it is sent to the MAC {to}, and {node} has {here.mac}"
            yield Finding("stale-neighbour", reason)
        packet = packet_of(self.arrived.frame)
        if packet is None:
            return
        yield from self.dropped(node, ENTERING, packet)
        back = Packet(packet.version, packet.protocol, packet.destination, packet.source)
        yield from self.dropped(node, _LEAVING, back)
        key = _IGNORE[packet.version]
        if self.lab[node].sysctl(key) != "0":
            yield Finding("echo-ignored", f"{node} is told to answer none by {key}")
        yield from self.no_route(node, packet.source or "", here.party.vtep.vrf)

    def _wire(self, last: Place, missing: Place) -> Iterator[Finding]:
        yield from self.down(missing)
        if missing.part != "nic":
            return
        for place in (last, missing):
            yield from self.switch(place)
        yield from self.too_long(missing)
        if missing.node == self.leg.receiver.party.host.name:
            yield from self.no_member()

    def _bridging(self, last: Place, missing: Place) -> Iterator[Finding]:
        yield from self.down(missing)
        one, other = self.link(last), self.link(missing)
        if one is None or other is None:
            return
        if one.master != other.master:
            where = [f"{link.name} is in {link.master or 'no bridge'}" for link in (one, other)]
            yield Finding("bridge", " and ".join(where))
        bridge = self.links(last.node).get(one.master or "")
        if bridge and not bridge.up:
            reason = f"the bridge {bridge.name} on {last.node} is down"
            yield Finding("link-down", reason, f"{last.node}:{bridge.name}")
        if one.port.get("isolated") and other.port.get("isolated"):
            reason = f"{one.name} and {other.name} are isolated ports of one bridge, {one.master}"
            yield Finding("same-bridge-isolated", reason)
        for link in (one, other):
            if link.port.get("state", _FORWARDING) != _FORWARDING:
                reason = f"the port {link.name} of {link.master} does not forward"
                yield Finding("bridge", f"{reason}, its state is {link.port['state']}")
        to = self.sight.inner.dst if self.sight else None
        flag = "bcast_flood" if to == "ff:ff:ff:ff:ff:ff" else "mcast_flood"
        if _to_many(to) and other.port.get(flag) == 0:
            yield Finding("bridge", f"the port {other.name} of {other.master} has {flag} off")

    def _encapsulating(self, card: Place) -> Iterator[Finding]:
        assert self.sight
        here, far = self.leg.sender, self.leg.receiver
        entries = self.entries(self.sight.inner.dst or "")
        found = [row.dst for row in entries if row.dst]
        remotes = dict.fromkeys([*found, *(stray.outer_dst for stray in self.leg.strays)])
        right = [one for one in remotes if is_multicast(one) or one in far.underlay]
        if not entries and not here.attribute("external"):
            reason = f"{here.device} has no remote to send it to{self.risen(card.node)}"
            yield Finding("no-remote", reason)
        elif remotes and not right:
            where = f"{far.party.host.name} is {far.nic.ip}"
            reason = f"{here.device} sends it to {', '.join(remotes)}, and {where}"
            yield Finding("wrong-remote", reason)
        yield from self.down(card)
        remote = right[0] if right else None
        port = next((row.port for row in entries if row.port), here.port)
        outer = Packet(here.nic.interface.version, UDP, destination=remote, port=port)
        yield from self.dropped(card.node, _LEAVING, outer)
        if remote and not is_multicast(remote):
            yield from self.no_route(card.node, remote)
            yield from self.no_neighbour(card.node, remote)

    def _decapsulating(self, card: Place, missing: Place) -> Iterator[Finding]:
        assert self.sight
        assert self.sight.tunnel
        there, tunnel = self.leg.receiver, self.sight.tunnel
        yield from self.dropped(card.node, ENTERING)
        yield from self.down(missing)
        yield from self.no_member()
        if there.port != tunnel.port:
            reason = f"it goes to UDP port {tunnel.port}, and {there.device} listens on"
            yield Finding("port-mismatch", f"{reason} {there.port}{self.risen(card.node)}")
        if there.vnis and tunnel.vni != there.attribute("id"):
            reason = f"it has VNI {tunnel.vni}, and {there.device} has {there.attribute('id')}"
            yield Finding("vni-mismatch", reason)
        risen = self.risen(card.node)
        if "InCsumErrors" in risen:
            yield Finding("checksum", f"{card.node} refuses its UDP checksum{risen}")
        yield from self._refused_mac(tunnel)

    def _refused_mac(self, tunnel: Encapsulated) -> Iterator[Finding]:
        """What a learning device does not take (vxlan_set_mac, vxlan_snoop in vxlan_core.c)."""
        there, mac = self.leg.receiver, tunnel.inner.src
        if not there.attribute("learning"):
            return
        if there.link and there.link.mac == mac:
            yield Finding(
                "same-mac", f"{mac}, the MAC of its sender, is that of {there.device} too"
            )
        for row in there.fdb:
            fixed = row.mac == mac and row.state in ("permanent", "static")
            if fixed and row.dst not in (None, tunnel.outer_src):
                reason = f"it comes from {tunnel.outer_src}, and {there.device} is told that {mac}"
                yield Finding("static-mac", f"{reason} is behind {row.dst}")

    def _routing(self, enter: Place, leave: Place) -> Iterator[Finding]:
        assert self.sight
        assert self.sight.tunnel
        tunnel, node = self.sight.tunnel, enter.node
        yield from self.dropped(node, ("PREROUTING", "FORWARD", "POSTROUTING"))
        yield from self.down(leave)
        if any(ipaddress.ip_address(tunnel.outer_dst) in network for network in LOCAL_GROUPS):
            reason = f"{tunnel.outer_dst} is a group of link scope, which no router forwards"
            yield Finding("link-local-group", reason)
            return
        if tunnel.ttl <= 1:
            yield Finding("ttl", self._ttl(tunnel))
        if is_multicast(tunnel.outer_dst):
            yield from self._multicast(enter, leave, tunnel)
        else:
            yield from self._unicast(enter, tunnel)
        yield from self.too_long(leave)

    def _ttl(self, tunnel: Encapsulated) -> str:
        """Why the TTL is used up."""
        here = self.leg.sender
        if given := here.attribute("ttl"):
            return f"{here.device} has ttl {given}"
        if not is_multicast(tunnel.outer_dst):
            return f"it left {here.party.host.name} with no more"
        return (
            "multicast leaves with TTL 1 unless the vxlan device has a ttl "
            "or a packet filter rule raises it"
        )

    def _multicast(self, enter: Place, leave: Place, tunnel: Encapsulated) -> Iterator[Finding]:
        node, group = enter.node, tunnel.outer_dst
        if self.lab[node].sysctl(f"net.{_family(group)}.conf.all.mc_forwarding") == "0":
            daemon = self.lab.topology.router(node).daemon
            why = f"{daemon} is not at work" if daemon else "the topology gives it no daemon"
            yield Finding("no-daemon", f"no program routes multicast on {node}, {why}")
            return
        yield from self.no_member()
        rows = [
            row
            for row in state.multicast_routes(self.lab[node].namespaces)
            if row.group == group and row.source in (tunnel.outer_src, "0.0.0.0", "::")
        ]
        if not any(row.iif == enter.interface and leave.interface in row.oifs for row in rows):
            wanted = f"{node} has no route of {group} from {enter.interface} to {leave.interface}"
            found = "; ".join(map(str, rows)) or "none at all"
            yield Finding("no-mroute", f"{wanted} (found: {found})")

    def _unicast(self, enter: Place, tunnel: Encapsulated) -> Iterator[Finding]:
        node, target = enter.node, tunnel.outer_dst
        key = f"net.{_family(target)}.conf.{enter.interface}.forwarding"
        if self.lab[node].sysctl(key) == "0":
            yield Finding("no-forwarding", f"{node} is no router, {key} is 0")
        yield from self.no_route(node, target)
        yield from self.no_neighbour(node, target)


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


def _to_many(mac: str | None) -> bool:
    """True for a broadcast or multicast MAC (IEEE 802: the lowest bit of the first byte)."""
    return bool(mac and int(mac[:2], 16) & 1)
