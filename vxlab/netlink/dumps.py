"""Asking the kernel for everything of one kind: dumps over a plain socket.

Every dump is checked: answers to another question are left out, what does not fit is an error, and
a dump during which the state changed is asked for again.
"""

from __future__ import annotations

import contextlib
import itertools
import socket

from vxlab.errors import VxlabError
from vxlab.netlink.messages import (
    NETLINK_GET_STRICT_CHK,
    NETLINK_ROUTE,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
    NetlinkMessage,
    message,
    receive,
    refusal,
)
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import DEADLINE

#: How often an interrupted dump is asked for again. Each try takes well below a millisecond, so
#: only a node whose state changes without end uses them up.
TRIES = 100

#: What ends a dump, and carries an error number where the kernel refused it.
_ENDS = (NLMSG_DONE, NLMSG_ERROR)

_sequence_numbers = itertools.count(1)


def open_socket(namespaces: Namespaces, protocol: int = NETLINK_ROUTE) -> socket.socket:
    """A netlink socket of a node, with strict checking where the kernel has it.

    ``protocol`` is one of NETLINK_*.  Strict checking (kernel 4.20) makes the filters in a request
    count.  An older kernel answers with everything, so what is read must be filtered again.
    """
    sock = namespaces.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    sock.settimeout(DEADLINE)
    with contextlib.suppress(OSError):
        sock.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    return sock


def dump(sock: socket.socket, message_type: int, payload: bytes) -> list[bytes]:
    """All messages that answer one dump request, each with its header.

    ``sock`` is a netlink socket (:func:`open_socket`), ``message_type`` one of RTM_GET*,
    ``payload`` its fixed header and attributes.  A dump during which the state changed
    (NLM_F_DUMP_INTR) is thrown away and asked for again.  Raises OSError with the kernel's error
    number, VxlabError where the state never holds still.
    """
    for _ in range(TRIES):
        number = next(_sequence_numbers) & 0xFFFFFFFF
        sock.send(message(message_type, NLM_F_REQUEST | NLM_F_DUMP, number, payload))
        answers = _collect(sock, number)
        if not any(answer.flags & NLM_F_DUMP_INTR for answer in answers):
            return [answer.data for answer in answers if answer.type not in _ENDS]
    raise VxlabError(
        f"wanted a consistent dump (message type {message_type}), found that the state changed "
        f"during each of {TRIES} tries: wait until what changes it has settled"
    )


def _collect(sock: socket.socket, number: int) -> list[NetlinkMessage]:
    """The messages of one dump, its end among them; OSError where the kernel refuses."""
    found: list[NetlinkMessage] = []
    while True:
        for answer in receive(sock):
            if answer.sequence != number:
                continue  # left over from a dump that was given up
            found.append(answer)
            if answer.type in _ENDS:
                if answer.error:
                    raise refusal(answer.error)
                return found
