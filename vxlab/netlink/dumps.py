"""Asking the kernel for everything of one kind: netlink dumps over a plain socket.

The formats are those of netlink(7) and rtnetlink(7), the numbers those of linux/netlink.h.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator

from vxlab.errors import VxlabError
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import DEADLINE

NETLINK_ROUTE = 0
SOL_NETLINK = 270
NETLINK_GET_STRICT_CHK = 12
NLM_F_REQUEST = 0x01
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3

#: Longer than any part of a dump: the kernel makes parts of at most 32 KiB, unless one device
#: alone needs more (rtnetlink.c, rtnl_calcit).
BUFFER = 256 * 1024

#: How often an interrupted dump is asked for again. Each try takes well below a millisecond, so
#: only a node whose state changes without end uses them up.
TRIES = 100

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_numbers = itertools.count(1)


def open_socket(namespaces: Namespaces) -> socket.socket:
    """A route netlink socket of a node, with strict checking where the kernel has it.

    Strict checking (kernel 4.20) makes the filters in a request count.  An older kernel answers
    with everything, so what is read must be filtered again.
    """
    sock = namespaces.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
    sock.settimeout(DEADLINE)
    with contextlib.suppress(OSError):
        sock.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    return sock


def dump(sock: socket.socket, message_type: int, payload: bytes) -> list[bytes]:
    """All messages that answer one dump request, each with its header.

    ``message_type`` is one of RTM_GET*, ``payload`` its fixed header and attributes.  A dump during
    which the state changed (NLM_F_DUMP_INTR) is thrown away and asked for again.  Raises OSError
    with the kernel's error number, VxlabError where the state never holds still.
    """
    for _ in range(TRIES):
        number = next(_numbers) & 0xFFFFFFFF
        flags = NLM_F_REQUEST | NLM_F_DUMP
        size = _HEADER.size + len(payload)
        sock.send(_HEADER.pack(size, message_type, flags, number, 0) + payload)
        messages, interrupted = _collect(sock, number)
        if not interrupted:
            return messages
    raise VxlabError(
        f"wanted a consistent dump (message type {message_type}), found that the state changed "
        f"during each of {TRIES} tries: wait until what changes it has settled"
    )


def _collect(sock: socket.socket, number: int) -> tuple[list[bytes], bool]:
    """The messages of one dump, and whether it was interrupted by a change."""
    messages: list[bytes] = []
    interrupted = False
    buffer = bytearray(BUFFER)
    while True:
        size, _, how, _ = sock.recvmsg_into([buffer])
        if how & socket.MSG_TRUNC:
            raise VxlabError(f"wanted a netlink message, found one longer than {BUFFER} bytes")
        for kind, flags, sequence, message in _split(bytes(buffer[:size])):
            if sequence != number:
                continue  # left over from a dump that was given up
            interrupted |= bool(flags & NLM_F_DUMP_INTR)
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                _raise_error(message)
                return messages, interrupted
            messages.append(message)


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and all bytes of each message in a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            raise VxlabError(f"wanted a netlink message, found one of {length} bytes")
        yield kind, flags, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


def _raise_error(message: bytes) -> None:
    """Raise what NLMSG_ERROR, or the end of a dump that failed midway, carries."""
    (code,) = struct.unpack_from("=i", message.ljust(_HEADER.size + 4, b"\0"), _HEADER.size)
    if code < 0:
        raise OSError(-code, os.strerror(-code))
