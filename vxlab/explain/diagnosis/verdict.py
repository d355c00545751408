"""What became of a ping, in words: from traces and causes to a diagnosis."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from vxlab.explain.diagnosis.broken_hop import BrokenHop
from vxlab.explain.diagnosis.endpoints import (
    EndpointState,
    current_addresses,
    planned_endpoints,
    read_links,
)
from vxlab.explain.diagnosis.model import CODES, Cause, Diagnosis, Hop
from vxlab.explain.diagnosis.trace import Observation, Trace
from vxlab.observe.frames import Frame
from vxlab.observe.protocols import RESOLUTION_REQUESTS, MessageType, read_message

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

_MESSAGES: Mapping[MessageType, str] = {
    "arp-request": "the ARP request for {target}",
    "arp-reply": "the ARP reply of {sender}",
    "neighbour-solicitation": "the neighbour solicitation for {target}",
    "neighbour-advertisement": "the neighbour advertisement of {sender}",
    "echo-request": "the echo request to {target}",
    "echo-reply": "the echo reply of {sender}",
}


def hops_of(traces: tuple[Trace, Trace], ports: Collection[int]) -> tuple[Hop, ...]:
    """All hops of the trace there, and of the trace back where there can be one.

    ``ports`` are the UDP ports of the tunnels.
    """
    return tuple(
        Hop(
            place=str(point),
            direction=trace.direction,
            seen=observation is not None,
            summary=observation.frame.summary(ports) if observation else "",
        )
        for trace in (traces if traces[0].complete else traces[:1])
        for point, observation in zip(trace.path, trace.observations, strict=True)
    )


def without_path(
    lab: Lab, source: EndpointState, address: str, ping_error: str | None
) -> Diagnosis:
    """A ping to the source itself, or to an address that nobody in its segment has.

    ``ping_error`` is what the ping said, None where it was answered.
    """
    segment, own = source.endpoint.segment, address in source.addresses
    if ping_error is None:
        where = "its own address" if own else f"outside of segment {segment}"
        code, cause = "ok", f"reached, {where}"
    elif own:
        answer = ping_error or "no reply"
        code, cause = "unknown", f"{source.endpoint.node} does not answer itself: {answer}"
    else:
        code, known = "no-such-address", _addresses_in(lab, segment) or "none at all"
        cause = f"nobody in segment {segment} has {address}, there are {known}"
    return Diagnosis(
        source=source.endpoint.node,
        address=address,
        reached=ping_error is None,
        hop=None,
        cause=cause,
        advice=CODES[code],
        code=code,
    )


def _addresses_in(lab: Lab, segment: str) -> str:
    """All addresses of a segment, with whose they are."""
    return ", ".join(
        f"{address} ({endpoint.node})"
        for endpoint in planned_endpoints(lab.topology)
        if endpoint.segment == segment
        for address in sorted(current_addresses(lab, endpoint))
    )


def answered(
    lab: Lab, there: Trace, address: str, hops: tuple[Hop, ...], frames: Collection[Frame]
) -> Diagnosis:
    """The ping was answered, by the one who should or by another; ``frames`` of the source."""
    target = there.receiver.endpoint.node
    code, cause = "ok", f"reached, {target} answered"
    if not there.complete:
        others = " or ".join(_who_answered(lab, address, frames)) or "somebody unknown"
        code, cause = "other-node", f"answered, but not by {target}: by {others}"
    return Diagnosis(
        source=there.sender.endpoint.node,
        address=address,
        reached=True,
        hop=None,
        cause=cause,
        advice=CODES[code],
        code=code,
        steps=hops,
    )


def _who_answered(lab: Lab, address: str, frames: Collection[Frame]) -> list[str]:
    """The nodes whose echo replies from an address are in the ``frames`` of the source."""
    macs = set()
    for frame in frames:
        message = None if frame.outgoing else read_message(frame.data)
        if message and (message.type, message.sender) == ("echo-reply", address):
            macs.add(frame.src)
    return [
        endpoint.node
        for endpoint in planned_endpoints(lab.topology)
        if (link := read_links(lab, endpoint.node).get(endpoint.interface)) and link.mac in macs
    ]


def not_answered(
    broken_hop: BrokenHop,
    source: str,
    causes: Sequence[Cause],
    hops: tuple[Hop, ...],
    ping_error: str,
) -> Diagnosis:
    """The ping was not answered, with that ``ping_error``: the first cause is the verdict."""
    verdict = causes[0] if causes else Cause("unknown", unexplained(broken_hop, ping_error))
    advice = CODES[verdict.code]
    if verdict.code != "link-down":  # from which much else follows
        others = dict.fromkeys(one.reason for one in causes[1:] if one.code != verdict.code)
        advice += "".join(f"; besides, {reason}" for reason in others)
    return Diagnosis(
        source=source,
        address=broken_hop.address,
        reached=False,
        hop=verdict.hop or str(broken_hop.missing or broken_hop.last),
        cause=f"{what_happened(broken_hop)}: {verdict.reason}",
        advice=advice,
        code=verdict.code,
        steps=hops,
    )


def packet_text(observation: Observation) -> str:
    """A packet by the group or host it is sent to, a bare one by what it says."""
    if observation.tunnel:
        return f"the frame to {observation.tunnel.outer_dst}"
    message = observation.message
    return _MESSAGES[message.type].format(sender=message.sender, target=message.target)


def what_happened(broken_hop: BrokenHop) -> str:
    """Where the packet was seen last, and where it ended."""
    last, missing = broken_hop.last, broken_hop.missing
    observation, unanswered = broken_hop.observation, broken_hop.unanswered
    first = broken_hop.trace.path[0]
    if observation is None or last is None:
        if unanswered is None:
            return f"nothing leaves {first.text}"
        return f"{packet_text(unanswered)} arrives at {first.text} and is not answered"
    packet = packet_text(observation)
    if unanswered:
        does = "asks back" if observation.message.type in RESOLUTION_REQUESTS else "answers"
        packet = f"{broken_hop.trace.sender.endpoint.node} {does}, and {packet}"
    if missing is None:
        return f"{packet} arrives at {last.text} and is not taken"
    if last.outgoing:
        return f"{packet} leaves {last.text} and never gets to {missing.text}"
    routed = observation.tunnel if missing.role == "nic" else None
    ttl = f" with TTL {routed.ttl}" if routed and routed.ttl <= 1 else ""
    return f"{packet} reaches {last.text}{ttl} and dies there"


def unexplained(broken_hop: BrokenHop, ping_error: str) -> str:
    """What to say where no cause is proven: counters that rose, and what could not be read."""
    points = (broken_hop.last, broken_hop.missing)
    nodes = dict.fromkeys(point.node for point in points if point)
    risen = "".join(broken_hop.risen_text(node) for node in nodes)
    unread = [error for node in nodes if (error := broken_hop.after[node].error)]
    said = [f"ping says {ping_error!r}"] if ping_error else []
    return "; ".join([f"nothing that was read back explains it{risen}", *said, *unread])
