"""Which observation points of a path saw a message.

The message is a question for a MAC (ARP, neighbour discovery) or an echo request, there, and what
answers it, back; bare at endpoints, bridges and vxlan devices, encapsulated on network cards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from vxlab.describe.vxlan import is_multicast
from vxlab.explain.diagnosis.endpoints import EndpointState
from vxlab.explain.diagnosis.path import ObservationPoint, Path, reverse
from vxlab.observe.frames import Encapsulated, Frame, decapsulate
from vxlab.observe.protocols import (
    ECHO_REPLIES,
    ECHO_REQUESTS,
    RESOLUTION_REPLIES,
    RESOLUTION_REQUESTS,
    Message,
    MessageType,
    read_message,
)

Direction = Literal["there", "back"]


class Observation(NamedTuple):
    """A message as one observation point saw it: the frame, and what was in it.

    ``tunnel`` is the VXLAN packet that carried the message, None where it was bare.
    """

    frame: Frame
    tunnel: Encapsulated | None
    message: Message

    @property
    def inner(self) -> Frame:
        """The frame of the overlay."""
        return self.tunnel.inner if self.tunnel else self.frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One direction of a ping: its path, and what each point of it observed.

    ``observations`` are as many as the points of ``path``, None where nothing was seen.
    ``misdirected`` are the packets that left the sender's card for somebody else than the
    receiver.
    """

    direction: Direction
    sender: EndpointState
    receiver: EndpointState
    path: Path
    observations: tuple[Observation | None, ...]
    misdirected: tuple[Encapsulated, ...] = ()

    @property
    def broken_at(self) -> int:
        """The index of the first point behind all that saw it; the path's length where all did."""
        seen = [index for index, one in enumerate(self.observations) if one]
        return seen[-1] + 1 if seen else 0

    @property
    def complete(self) -> bool:
        """True where the message arrived."""
        return self.broken_at == len(self.path)


def trace_ping(
    frames: Mapping[str, Collection[Frame]],
    path: Path,
    source: EndpointState,
    target: EndpointState,
    address: str,
) -> tuple[Trace, Trace]:
    """The trace there and the trace back of the last thing that the source tried.

    Which is the echo request where one was sent, else the question for the MAC.  ``frames`` are
    those of each node by its name, ``address`` is the one that was pinged.
    """
    there = _Tracer("there", frames, path, source, target)
    back = _Tracer("back", frames, reverse(path), target, source)
    request = there.trace(ECHO_REQUESTS, lambda message: message.target == address)
    if not request.observations[0]:
        request = there.trace(RESOLUTION_REQUESTS, lambda message: message.target == address)
        return request, back.trace(RESOLUTION_REPLIES, lambda message: message.sender == address)
    reply = back.trace(ECHO_REPLIES, lambda message: message.sender == address)
    if not reply.observations[0]:  # the target may have to ask for the source's MAC first
        reply = back.trace(RESOLUTION_REQUESTS, lambda message: message.target in source.addresses)
    return request, reply


class _Tracer:
    """Finds messages of one direction in the frames of all nodes."""

    def __init__(
        self,
        direction: Direction,
        frames: Mapping[str, Collection[Frame]],
        path: Path,
        sender: EndpointState,
        receiver: EndpointState,
    ) -> None:
        self.direction, self.frames, self.path = direction, frames, path
        self.sender, self.receiver = sender, receiver

    def trace(self, types: Collection[MessageType], matches: Callable[[Message], bool]) -> Trace:
        """The trace of the first message that is of one of the ``types`` and ``matches``."""
        observations: list[Observation | None] = []
        misdirected: list[Encapsulated] = []
        for point in self.path:
            found = [
                seen
                for seen in self._observations(point)
                if seen.message.type in types and matches(seen.message)
            ]
            others = [seen.tunnel for seen in found if seen.tunnel and not self._is_right(seen)]
            observations.append(next(filter(self._is_right, found), None))
            if point.outgoing and point.node == self.sender.endpoint.host.name:
                misdirected += others
        return Trace(
            direction=self.direction,
            sender=self.sender,
            receiver=self.receiver,
            path=self.path,
            observations=tuple(observations),
            misdirected=tuple(misdirected),
        )

    def _observations(self, point: ObservationPoint) -> Iterator[Observation]:
        """All that the sender said at one point, whomever it goes to."""
        for frame in self.frames[point.node]:
            if (frame.interface, frame.outgoing) == (point.interface, point.outgoing):
                seen = _observation(frame, point, self.sender)
                if seen:
                    yield seen

    def _is_right(self, seen: Observation) -> bool:
        """True where a packet is bare, or goes to the receiver's host or to a group."""
        if seen.tunnel is None:
            return True
        remote = seen.tunnel.outer_dst
        return remote in self.receiver.underlay_addresses or is_multicast(remote)


def _observation(
    frame: Frame, point: ObservationPoint, sender: EndpointState
) -> Observation | None:
    """A frame as an observation of what the sender says; None for everybody else's."""
    tunnel = None
    if point.role == "nic":
        tunnel = decapsulate(frame, sender.udp_ports)
        if tunnel is None or tunnel.vni not in (sender.vnis or {tunnel.vni}):
            return None
    inner = tunnel.inner if tunnel else frame
    message = read_message(inner.data) if inner.src == sender.mac else None
    return Observation(frame, tunnel, message) if message else None
