"""Where on its way a probe was seen.

A probe is an ARP request (or ND's neighbour solicitation) or an echo request, there, and what
answers it, back; bare at the ends and on bridges, encapsulated on network cards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vxlab.describe.vxlan import is_multicast
from vxlab.explain.diagnosis.path import Live, Place, reverse
from vxlab.observe.frames import (
    ARP,
    ICMP,
    ICMPV6,
    Encapsulated,
    Frame,
    address,
    decapsulate,
    ip_header,
    layer3,
)

Direction = Literal["there", "back"]
#: A question for a MAC and its answer (ARP, ND); an echo request and its reply.
Kind = Literal["ask", "answer", "request", "reply"]

# ICMP and ICMPv6 types (RFC 792, RFC 4443, RFC 4861)
_KINDS: Mapping[tuple[int, int], Kind] = {
    (ICMP, 8): "request",
    (ICMP, 0): "reply",
    (ICMPV6, 128): "request",
    (ICMPV6, 129): "reply",
    (ICMPV6, 135): "ask",
    (ICMPV6, 136): "answer",
}


class Talk(NamedTuple):
    """What a frame says: a question about ``target`` by ``sender``, or what answers it."""

    kind: Kind
    sender: str
    target: str


def talk(frame: Frame) -> Talk | None:
    """What a bare frame says, or None where it is no probe and no answer to one."""
    data = frame.data
    kind, at = layer3(data) or (0, 0)
    if kind == ARP and len(data) >= at + 28:
        sender, target = address(data[at + 14 : at + 18]), address(data[at + 24 : at + 28])
        said: Kind | None = {1: "ask", 2: "answer"}.get(data[at + 7])  # type: ignore[assignment]
        return Talk(said, sender, target) if said else None
    ip = ip_header(data)
    if ip is None or ip.later or len(data) <= ip.payload:
        return None
    said = _KINDS.get((ip.protocol, data[ip.payload]))
    sender, target = address(ip.source), address(ip.destination)
    asked = data[ip.payload + 8 : ip.payload + 24]
    if said in ("ask", "answer"):
        if len(asked) < 16:
            return None
        sender, target = (sender, address(asked)) if said == "ask" else (address(asked), target)
    return Talk(said, sender, target) if said else None


class Sight(NamedTuple):
    """A probe as one place saw it, taken out of its tunnel where it was in one."""

    frame: Frame
    tunnel: Encapsulated | None
    talk: Talk

    @property
    def inner(self) -> Frame:
        """The frame of the overlay."""
        return self.tunnel.inner if self.tunnel else self.frame


@dataclass(frozen=True, slots=True)
class Leg:
    """One direction: who sends, who shall receive, all places, and what each of them saw.

    ``strays`` left the sender's card for somebody else than the receiver.
    """

    direction: Direction
    sender: Live
    receiver: Live
    places: tuple[Place, ...]
    sights: tuple[Sight | None, ...]
    strays: tuple[Encapsulated, ...] = ()

    @property
    def broken(self) -> int:
        """The number of the first place behind all that saw it; that of places where all did."""
        seen = [number for number, sight in enumerate(self.sights) if sight]
        return seen[-1] + 1 if seen else 0

    @property
    def complete(self) -> bool:
        """True where it arrived."""
        return self.broken == len(self.places)


def follow(
    frames: Mapping[str, Collection[Frame]],
    places: tuple[Place, ...],
    source: Live,
    target: Live,
    wanted: str,
) -> tuple[Leg, Leg]:
    """The leg there and the leg back of the last thing that the source tried.

    Which is the echo request where one was sent, else the question for the MAC.  ``frames`` are
    those of each node.
    """

    def asked(said: Talk) -> bool:
        return said.target == wanted

    def answered(said: Talk) -> bool:
        return said.sender == wanted

    def asked_back(said: Talk) -> bool:
        return said.target in source.addresses

    there = _leg(frames, places, "there", source, target, "request", asked)
    pinged = bool(there.sights[0])
    if not pinged:
        there = _leg(frames, places, "there", source, target, "ask", asked)
    homewards = reverse(places)
    kind: Kind = "reply" if pinged else "answer"
    back = _leg(frames, homewards, "back", target, source, kind, answered)
    if pinged and not back.sights[0]:  # the target may have to ask for the source's MAC first
        back = _leg(frames, homewards, "back", target, source, "ask", asked_back)
    return there, back


def _leg(
    frames: Mapping[str, Collection[Frame]],
    places: tuple[Place, ...],
    direction: Direction,
    sender: Live,
    receiver: Live,
    kind: Kind,
    meant: Callable[[Talk], bool],
) -> Leg:
    sights: list[Sight | None] = []
    strays: list[Encapsulated] = []
    for place in places:
        found: list[Sight] = []
        for frame in frames[place.node]:
            if (frame.interface, frame.outgoing) != (place.interface, place.out):
                continue
            sight = _sight(frame, place, sender)
            if sight is None or sight.talk.kind != kind or not meant(sight.talk):
                continue
            if not sight.tunnel or _right(sight.tunnel, receiver):
                found.append(sight)
            elif place.out and place.node == sender.party.host.name:
                strays.append(sight.tunnel)
        sights.append(found[0] if found else None)
    return Leg(direction, sender, receiver, places, tuple(sights), tuple(strays))


def _sight(frame: Frame, place: Place, sender: Live) -> Sight | None:
    """What a frame is of the sender's; None for everybody else's."""
    tunnel = decapsulate(frame, sender.ports) if place.part == "nic" else None
    if place.part == "nic" and (tunnel is None or tunnel.vni not in (sender.vnis or {tunnel.vni})):
        return None
    inner = tunnel.inner if tunnel else frame
    said = talk(inner) if inner.src == sender.mac else None
    return Sight(frame, tunnel, said) if said else None


def _right(tunnel: Encapsulated, receiver: Live) -> bool:
    """True where a packet goes to the receiver's host, or to a group."""
    return tunnel.outer_dst in receiver.underlay or is_multicast(tunnel.outer_dst)
