"""The VXLAN header and its two extensions, bit by bit: what a sender may write, and why not.

All numbers are big-endian; the header follows UDP, and the inner frame follows the header.

VXLAN, RFC 7348 section 5: ``I`` (0x08) says that the VNI is valid and must be set; all that is
``R`` or Reserved is sent as zero::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-----------------------------------------------+
    |R|R|R|R|I|R|R|R|                  Reserved (1)                 |
    +---------------+-------------------------------+---------------+
    |         VXLAN Network Identifier (VNI)        |  Reserved (2) |
    +-----------------------------------------------+---------------+

Group-based policy (GBP), draft-smith-vxlan-group-policy-05 section 2.1: ``G`` (0x80) says that
there is a policy id; ``D`` (0x400000 of the 24 bits) asks not to learn from the frame, ``A``
(0x080000) says that the policy has been applied; without ``G`` all of them are zero::

    |G|R|R|R|I|R|R|R|R|D|R|R|A|R|R|R|        Group Policy ID        |

Generic protocol extension (GPE), draft-ietf-nvo3-vxlan-gpe-12 section 3: ``Ver`` (0x30) is 0,
``P`` (0x04) says that there is a next protocol (1 IPv4, 2 IPv6, 3 Ethernet), ``B`` (0x02) marks
flooded traffic, ``O`` (0x01) an OAM packet, which is not for forwarding::

    |R|R|Ver|I|P|B|O|           Reserved            | Next Protocol |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vxlab.describe import checks

#: Bits of the first byte: RFC 7348, then GBP's, then GPE's.
FLAG_VNI, FLAG_POLICY = 0x08, 0x80
FLAG_VERSION, FLAG_NEXT_PROTOCOL, FLAG_FLOODED, FLAG_OAM = 0x30, 0x04, 0x02, 0x01
#: Bits of the 24 behind it, with GBP: do not learn, policy applied.
DONT_LEARN, APPLIED = 0x400000, 0x080000
#: Values of GPE's next protocol.
NEXT_IPV4, NEXT_IPV6, NEXT_ETHERNET = 1, 2, 3

LENGTH = 8
_24_BITS = 0xFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The 8 bytes of a VXLAN header, good or malformed.

    ``flags`` is the first byte, ``reserved1`` the 24 bits behind it, ``vni`` 24 bits,
    ``reserved2`` the last byte.  TopologyError for a number that does not fit.
    """

    flags: int = FLAG_VNI
    reserved1: int = 0
    vni: int
    reserved2: int = 0

    def __post_init__(self) -> None:
        for field, most in (
            ("flags", 0xFF),
            ("reserved1", _24_BITS),
            ("vni", _24_BITS),
            ("reserved2", 0xFF),
        ):
            checks.number("VXLAN header", field, getattr(self, field), 0, most)

    @staticmethod
    def parse(payload: bytes) -> Header:
        """The header at the start of a UDP payload; bytes that are missing read as zero."""
        first, second = struct.unpack("!II", payload[:LENGTH].ljust(LENGTH, b"\0"))
        return Header(
            flags=first >> 24, reserved1=first & _24_BITS, vni=second >> 8, reserved2=second & 0xFF
        )

    def __bytes__(self) -> bytes:
        first, second = self.flags << 24 | self.reserved1, self.vni << 8 | self.reserved2
        return struct.pack("!II", first, second)

    @property
    def policy(self) -> int | None:
        """The group policy id, where the header has the G bit."""
        return self.reserved1 & 0xFFFF if self.flags & FLAG_POLICY else None

    @property
    def next_protocol(self) -> int | None:
        """GPE's next protocol, where the header has the P bit."""
        return self.reserved1 & 0xFF if self.flags & FLAG_NEXT_PROTOCOL else None


def problem(payload: bytes, vni: int, *, gbp: bool = False, gpe: bool = False) -> str:
    """Why a VTEP refuses a UDP payload, in words; empty where it accepts it.

    ``payload`` are the bytes behind the UDP header, ``vni`` is the VTEP's own; ``gbp`` or ``gpe``
    say which extension of the header it understands.
    RFC 7348 has a receiver ignore the reserved bits that a sender must clear; here, as in the
    kernel (drivers/net/vxlan/vxlan_core.c, vxlan_rcv()), a sender that sets them is refused.
    """
    if len(payload) < LENGTH:
        return f"wanted a header of {LENGTH} bytes, found {len(payload)}"
    header = Header.parse(payload)
    found = [*_header_problems(header, vni, gbp, gpe)]
    if gpe:
        found += _gpe_problems(header)
    found += _inner_problems(header, payload[LENGTH:], gpe)
    return "; ".join(found)


def _header_problems(header: Header, vni: int, gbp: bool, gpe: bool) -> Iterator[str]:
    if not header.flags & FLAG_VNI:
        yield f"wanted the I flag (0x08), found flags 0x{header.flags:02x}"
    flags, reserved1 = FLAG_VNI, 0
    if gbp:
        flags |= FLAG_POLICY
        reserved1 = DONT_LEARN | APPLIED | 0xFFFF if header.policy is not None else 0
    if gpe:
        flags |= FLAG_VERSION | FLAG_NEXT_PROTOCOL | FLAG_FLOODED | FLAG_OAM
        reserved1 = 0xFF if header.next_protocol is not None else 0
    if odd := header.flags & ~flags:
        yield f"wanted no other flags, found 0x{odd:02x}"
    if odd := header.reserved1 & ~reserved1:
        yield f"wanted the first reserved field zero, found 0x{odd:06x}"
    if header.vni != vni:
        yield f"wanted the VNI {vni}, found {header.vni}"
    if header.reserved2:
        yield f"wanted the last reserved byte zero, found 0x{header.reserved2:02x}"


def _gpe_problems(header: Header) -> Iterator[str]:
    if header.flags & FLAG_VERSION:
        yield f"wanted the GPE version 0, found {(header.flags & FLAG_VERSION) >> 4}"
    if header.flags & FLAG_OAM:
        yield "wanted a packet to forward, found an OAM packet"
    if header.next_protocol not in (None, NEXT_IPV4, NEXT_IPV6, NEXT_ETHERNET):
        yield f"wanted a next protocol of 1, 2 or 3, found {header.next_protocol}"


def _inner_problems(header: Header, inner: bytes, gpe: bool) -> Iterator[str]:
    kind = header.next_protocol if gpe else None
    if kind in (NEXT_IPV4, NEXT_IPV6):
        version, least = (4, 20) if kind == NEXT_IPV4 else (6, 40)
        if len(inner) < least or inner[0] >> 4 != version:
            found = f"{len(inner)} bytes that begin with 0x{inner[:1].hex()}"
            yield f"wanted an IPv{version} packet inside, found {found}"
    elif kind in (None, NEXT_ETHERNET):
        source = inner[6:12]
        if len(inner) < 14:
            yield f"wanted an Ethernet frame inside, found {len(inner)} bytes"
        elif source[0] & 1 or not any(source):
            yield f"wanted a unicast source MAC inside, found {source.hex(':')}"
