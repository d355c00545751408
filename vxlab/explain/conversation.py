"""From captured frames to the conversation that VXLAN learns from.

A :class:`Step` is one frame of the talk between two endpoints (an ARP or ND question or answer,
an echo request or reply) as it stood on an underlay link: inside a tunnel, or bare.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from vxlab.observe.frames import (
    ARP,
    ICMP,
    ICMPV6,
    VXLAN_PORTS,
    Frame,
    decapsulate,
    ip_header,
    layer3,
)

Kind = Literal["who-has", "is-at", "echo-request", "echo-reply"]

_ARP: dict[int, Kind] = {1: "who-has", 2: "is-at"}  # RFC 826
_ICMP: dict[int, Kind] = {8: "echo-request", 0: "echo-reply"}  # RFC 792
_ICMPV6: dict[int, Kind] = {  # RFC 4443, RFC 4861
    135: "who-has",
    136: "is-at",
    128: "echo-request",
    129: "echo-reply",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a talk, and how it travelled.

    ``vni``, ``outer_src``, ``outer_dst``, ``port`` and ``ttl`` are those of the tunnel, and None
    outside of one.  ``frame`` is the inner frame, ``outer`` what was captured.
    """

    kind: Kind
    frame: Frame
    outer: Frame
    vni: int | None = None
    outer_src: str | None = None
    outer_dst: str | None = None
    port: int | None = None
    ttl: int | None = None

    def __str__(self) -> str:
        way = "bare" if self.vni is None else f"VNI {self.vni} {self.outer_src} > {self.outer_dst}"
        return f"{self.kind} ({way})"


def kind_of(frame: Frame) -> Kind | None:
    """What a frame is in a talk of two endpoints, or None where it is something else."""
    where = layer3(frame.data)
    if where is None:
        return None
    if where[0] == ARP:
        operation = frame.data[where[1] + 6 : where[1] + 8]
        return _ARP.get(struct.unpack("!H", operation)[0]) if len(operation) == 2 else None
    header = ip_header(frame.data)
    if header is None or header.later or min(header.end, len(frame.data)) <= header.payload:
        return None
    names = {ICMP: _ICMP, ICMPV6: _ICMPV6}.get(header.protocol, {})
    return names.get(frame.data[header.payload])


def steps(frames: Iterable[Frame], ports: Collection[int] = VXLAN_PORTS) -> list[Step]:
    """The talk in ``frames``, in their order; frames that belong to none are left out.

    ``ports`` are the UDP destination ports on which a tunnel is looked for.
    """
    found = []
    for frame in frames:
        tunnel = decapsulate(frame, ports)
        inner = tunnel.inner if tunnel else frame
        kind = kind_of(inner)
        if kind is None:
            continue
        if tunnel is None:
            found.append(Step(kind, inner, frame))
        else:
            found.append(
                Step(
                    kind,
                    inner,
                    frame,
                    tunnel.vni,
                    tunnel.outer_src,
                    tunnel.outer_dst,
                    tunnel.port,
                    tunnel.ttl,
                )
            )
    return found
