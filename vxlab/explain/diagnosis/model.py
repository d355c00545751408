"""What a diagnosis is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vxlab.explain.diagnosis.trace import Direction

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


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a packet was lost, proven by evidence: a key of :data:`CODES`, and the reason in words.

    ``hop`` is the broken hop where that is another than the one where the packet was lost, as
    ``node:interface``.
    """

    code: str
    reason: str
    hop: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop of a path, named by the observation point that it leads to.

    ``place`` is that point, ``node:interface``, passed on the way there or back; ``seen`` whether
    the packet was observed there, ``summary`` the frame in one line, empty where it was not.
    """

    place: str
    direction: Direction
    seen: bool
    summary: str

    def __str__(self) -> str:
        return f"{self.direction:5}  {self.place:20}  {self.summary if self.seen else 'not seen'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What became of one ping from the node ``source`` to ``address``.

    ``reached`` is whether it was answered; ``hop`` the first broken hop (``router:eth1``), None
    where there is none; ``cause`` says in words what happened there and why, ``advice`` what to
    do about it; ``code`` is the cause in one word, a key of :data:`CODES`; ``steps`` are the hops
    of the path, up to the broken one and beyond.
    """

    source: str
    address: str
    reached: bool
    hop: str | None
    cause: str
    advice: str
    code: str
    steps: tuple[Hop, ...] = ()

    @property
    def sentence(self) -> str:
        """The diagnosis in one line."""
        return f"{self.source} -> {self.address}: {self.cause}"

    def __str__(self) -> str:
        broken = f", broken at {self.hop}" if self.hop else ""
        lines = [f"{self.source} -> {self.address}: {self.code}{broken}"]
        lines += [f"  {step}" for step in self.steps]
        lines += [f"  cause: {self.cause}", f"  to do: {self.advice}"]
        return "\n".join(lines)
