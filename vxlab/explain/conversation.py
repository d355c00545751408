"""Reads the conversation of two endpoints out of captured frames.

A :class:`Step` is one frame of it (a question for a MAC by ARP or neighbour discovery, its answer,
an echo request or reply) as it was captured on an underlay link: inside a tunnel, or bare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from vxlab.observe.frames import VXLAN_PORTS, Frame, decapsulate
from vxlab.observe.protocols import MessageType, read_message

StepKind = Literal["who-has", "is-at", "echo-request", "echo-reply"]

_STEP_KINDS: Mapping[MessageType, StepKind] = {
    "arp-request": "who-has",
    "arp-reply": "is-at",
    "neighbour-solicitation": "who-has",
    "neighbour-advertisement": "is-at",
    "echo-request": "echo-request",
    "echo-reply": "echo-reply",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One frame of a conversation, and how it travelled.

    ``vni``, ``outer_src``, ``outer_dst``, ``port`` and ``ttl`` are those of the tunnel, and None
    outside of one.  ``frame`` is the inner frame, ``outer`` what was captured.
    """

    kind: StepKind
    frame: Frame
    outer: Frame
    vni: int | None = None
    outer_src: str | None = None
    outer_dst: str | None = None
    port: int | None = None
    ttl: int | None = None

    def __str__(self) -> str:
        if self.vni is None:
            return f"{self.kind} (bare)"
        return f"{self.kind} (VNI {self.vni} {self.outer_src} > {self.outer_dst})"


def step_kind(frame: Frame) -> StepKind | None:
    """What a frame is in a conversation of two endpoints; None where it is something else."""
    message = read_message(frame.data)
    return _STEP_KINDS[message.type] if message else None


def steps(frames: Iterable[Frame], ports: Collection[int] = VXLAN_PORTS) -> list[Step]:
    """The conversation in ``frames``, in their order; frames that belong to none are left out.

    ``ports`` are the UDP destination ports on which a tunnel is looked for.
    """
    found = (_step(frame, ports) for frame in frames)
    return [step for step in found if step]


def _step(frame: Frame, ports: Collection[int]) -> Step | None:
    tunnel = decapsulate(frame, ports)
    kind = step_kind(tunnel.inner if tunnel else frame)
    if kind is None:
        return None
    if tunnel is None:
        return Step(kind=kind, frame=frame, outer=frame)
    return Step(
        kind=kind,
        frame=tunnel.inner,
        outer=frame,
        vni=tunnel.vni,
        outer_src=tunnel.outer_src,
        outer_dst=tunnel.outer_dst,
        port=tunnel.port,
        ttl=tunnel.ttl,
    )
