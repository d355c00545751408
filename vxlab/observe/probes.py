"""Probes: frames with a nonce, not forwarded by any device, that prove a capture live."""

from __future__ import annotations

from vxlab.observe.frames import Frame

_DESTINATION = bytes.fromhex("0180c2000001")  # IEEE 802.1D: the pause address, never forwarded
_ETHERTYPE = b"\x88\xb5"  # IEEE 802 local experimental 1
_MARK = _ETHERTYPE + b"vxlab probe "


def frame_of(source: bytes, nonce: bytes) -> bytes:
    """A probe: from the MAC ``source`` (6 bytes), with a ``nonce`` of any length."""
    return _DESTINATION + source + _MARK + nonce


def nonce_of(frame: Frame) -> bytes | None:
    """The nonce of a probe; None for all other frames."""
    return frame.data[26:] if frame.data[12:26] == _MARK else None
