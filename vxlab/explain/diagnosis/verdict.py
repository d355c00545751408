"""What became of a probe, in words: from legs and findings to a diagnosis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from vxlab.explain.diagnosis.broken_hop import Finding, Gap
from vxlab.explain.diagnosis.causes import CODES
from vxlab.explain.diagnosis.model import Diagnosis, Step
from vxlab.explain.diagnosis.path import Live, live_addresses, parties, read_links
from vxlab.explain.diagnosis.trace import Leg, Sight, talk
from vxlab.observe.frames import Frame

if TYPE_CHECKING:
    from vxlab.live.lab import Lab

_NAMES = {
    "ask": "the {resolution} request for {target}",
    "answer": "the {resolution} reply of {sender}",
    "request": "the echo request to {target}",
    "reply": "the echo reply of {sender}",
}


def steps_of(legs: tuple[Leg, Leg], ports: Collection[int]) -> tuple[Step, ...]:
    """All places of the leg there, and of the leg back where there can be one."""
    return tuple(
        Step(str(place), leg.direction, bool(sight), sight.frame.summary(ports) if sight else "")
        for leg in (legs if legs[0].complete else legs[:1])
        for place, sight in zip(leg.places, leg.sights, strict=True)
    )


def without_way(lab: Lab, near: Live, wanted: str, complaint: str | None) -> Diagnosis:
    """A ping to the source itself, or to an address that nobody in its segment has.

    ``complaint`` is what the ping said, None where it was answered.
    """
    answered = complaint is None
    source, segment = near.party.node, near.party.segment
    own = wanted in near.addresses
    code = "ok" if answered else "unknown" if own else "no-such-address"
    have = ", ".join(
        f"{address} ({party.node})"
        for party in parties(lab.topology)
        if party.segment == segment
        for address in sorted(live_addresses(lab, party))
    )
    cause = f"nobody in segment {segment} has {wanted}, there are {have or 'none at all'}"
    if answered:
        cause = f"reached, {'its own address' if own else f'outside of segment {segment}'}"
    elif own:
        cause = f"{source} does not answer itself: {complaint or 'no reply'}"
    return Diagnosis(source, wanted, answered, None, cause, CODES[code], code)


def reached(
    lab: Lab, there: Leg, wanted: str, steps: tuple[Step, ...], frames: Collection[Frame]
) -> Diagnosis:
    """The ping was answered, by the one who should or by another; ``frames`` of the source."""
    source, far = there.sender.party.node, there.receiver.party.node
    code, cause = "ok", f"reached, {far} answered"
    if not there.complete:
        macs = {
            frame.src
            for frame in frames
            if not frame.outgoing and (said := talk(frame)) and said[:2] == ("reply", wanted)
        }
        names = [
            party.node
            for party in parties(lab.topology)
            if (link := read_links(lab, party.node).get(party.interface)) and link.mac in macs
        ]
        code = "other-node"
        cause = f"answered, but not by {far}: by {' or '.join(names) or 'somebody unknown'}"
    return Diagnosis(source, wanted, True, None, cause, CODES[code], code, steps)


def broken(
    gap: Gap,
    source: str,
    findings: Sequence[Finding],
    steps: tuple[Step, ...],
    complaint: str,
) -> Diagnosis:
    """The ping was not answered, with that ``complaint``: the first finding is the verdict."""
    verdict = findings[0] if findings else Finding("unknown", nothing_found(gap, complaint))
    advice = CODES[verdict.code]
    if verdict.code != "link-down":  # from which much else follows
        others = dict.fromkeys(one.reason for one in findings[1:] if one.code != verdict.code)
        advice += "".join(f"; besides, {reason}" for reason in others)
    return Diagnosis(
        source=source,
        address=gap.wanted,
        reached=False,
        hop=verdict.hop or str(gap.missing or gap.last),
        cause=f"{story(gap)}: {verdict.reason}",
        advice=advice,
        code=verdict.code,
        steps=steps,
    )


def named(sight: Sight) -> str:
    """A frame by the group or host it is sent to, a bare one by what it says."""
    if sight.tunnel:
        return f"the frame to {sight.tunnel.outer_dst}"
    kind, sender, target = sight.talk
    resolution = "ND" if ":" in target else "ARP"
    return _NAMES[kind].format(resolution=resolution, sender=sender, target=target)


def story(gap: Gap) -> str:
    """Where the probe was seen last, and where it ended."""
    last, missing, sight, leg = gap.last, gap.missing, gap.sight, gap.leg
    first = leg.places[0]
    if sight is None or last is None:
        if gap.arrived is None:
            return f"nothing leaves {first.words}"
        return f"{named(gap.arrived)} arrives at {first.words} and is not answered"
    does = "asks back" if sight.talk.kind == "ask" else "answers"
    answered = f"{leg.sender.party.node} {does}, and " if gap.arrived else ""
    if missing is None:
        return f"{answered}{named(sight)} arrives at {last.words} and is not taken"
    if last.out:
        return f"{answered}{named(sight)} leaves {last.words} and never gets to {missing.words}"
    routed = sight.tunnel if missing.part == "nic" else None
    ttl = f" with TTL {routed.ttl}" if routed and routed.ttl <= 1 else ""
    return f"{answered}{named(sight)} reaches {last.words}{ttl} and dies there"


def nothing_found(gap: Gap, complaint: str) -> str:
    """What to say where there is no finding: counters that moved, and what could not be read."""
    nodes = dict.fromkeys(place.node for place in (gap.last, gap.missing) if place)
    risen = "".join(gap.risen(node) for node in nodes)
    unread = [gap.after[node].complaint for node in nodes if gap.after[node].complaint]
    said = [f"ping says {complaint!r}"] if complaint else []
    return "; ".join([f"nothing that was read back explains it{risen}", *said, *unread])
