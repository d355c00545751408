"""One packet as a reference VTEP has received it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vxlab.observe.frames import Frame
from vxlab.reference.header import LENGTH, NEXT_IPV4, NEXT_IPV6, Header
from vxlab.reference.udp import Datagram

if TYPE_CHECKING:
    from scapy.packet import Packet

_ETHERTYPES = {NEXT_IPV4: 0x0800, NEXT_IPV6: 0x86DD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Header):
    """A UDP datagram taken apart as VXLAN, malformed or not.

    ``flags``, ``reserved1``, ``vni`` and ``reserved2`` are those of the :class:`Header`.
    ``outer_src``, ``source_port``, ``ttl`` (hop limit) and ``tos`` (traffic class: DSCP and ECN)
    are those of the outer packet; ``outer_dst`` is the VTEP's own address or its group.
    ``payload`` is the whole UDP payload, ``inner`` what follows the VXLAN header.  ``problem`` is
    empty, or says why the packet is refused; where it is cut short the missing fields are 0.
    """

    outer_src: str
    outer_dst: str
    source_port: int
    ttl: int
    tos: int
    payload: bytes
    inner: bytes
    problem: str

    @classmethod
    def of(cls, datagram: Datagram, outer_dst: str, problem: str) -> Received:
        """The row of a ``datagram`` that came to ``outer_dst``; ``problem`` is the row's."""
        return cls(
            **asdict(Header.parse(datagram.payload)),
            outer_src=datagram.source,
            outer_dst=outer_dst,
            source_port=datagram.source_port,
            ttl=datagram.ttl,
            tos=datagram.tos,
            payload=datagram.payload,
            inner=datagram.payload[LENGTH:],
            problem=problem,
        )

    @property
    def inner_src(self) -> str | None:
        """The MAC that the inner frame comes from; None where there is no Ethernet header."""
        bare = self.next_protocol in _ETHERTYPES or len(self.inner) < 14
        return None if bare else self.inner[6:12].hex(":")

    def packet(self) -> Packet:
        """What is inside as a scapy packet: an Ethernet frame, or GPE's IP packet without one."""
        from scapy.layers.inet import IP
        from scapy.layers.inet6 import IPv6
        from scapy.layers.l2 import Ether

        kinds = {NEXT_IPV4: IP, NEXT_IPV6: IPv6}
        return kinds.get(self.next_protocol or 0, Ether)(self.inner)

    def __str__(self) -> str:
        """The packet in one line, as ``vni 42 192.0.2.1 > 192.0.2.2 ttl 64 | ARP who-has …``."""
        inner, kind = self.inner, _ETHERTYPES.get(self.next_protocol or 0)
        if kind is not None:
            inner = bytes(12) + kind.to_bytes(2, "big") + inner
        odd = "" if self.flags == 0x08 else f" flags 0x{self.flags:02x}"
        refused = f" (refused: {self.problem})" if self.problem else ""
        frame = Frame(
            time_ns=0, data=inner, length=len(inner), outgoing=False, node="", interface=""
        )
        return (
            f"vni {self.vni}{odd} {self.outer_src} > {self.outer_dst} ttl {self.ttl} | "
            f"{frame.summary()}{refused}"
        )
