"""A routing netlink socket for batches of requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from vxlab.netlink.dumps import dump
from vxlab.netlink.messages import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NETLINK_ROUTE,
    NLM_F_ACK,
    NLM_F_ACK_TLVS,
    NLMSG_ERROR,
    SOL_NETLINK,
    NetlinkMessage,
    Request,
    attributes,
    message,
    receive,
)
from vxlab.system.namespaces import Namespaces

_NLMSGERR_ATTR_MSG = 1  # netlink.h
#: Where the attributes of an acknowledgement begin: behind its header, the error number, and the
#: header of what was asked (NETLINK_CAP_ACK leaves out the rest of that).
_ATTRIBUTES_AT = 36

#: Requests sent at once.  Only the last is acknowledged, but each may answer with an error, and
#: all answers must fit into the socket's receive buffer.
BATCH = 64

#: An error number, and the kernel's own explanation or "".
Failure = tuple[int, str]


class NetlinkSocket:
    """A routing netlink socket of one node, for batches of requests and for dumps."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._socket = namespaces.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's file descriptor, as ioctl(2) wants one of the node's."""
        return self._socket.fileno()

    def request(self, requests: Sequence[Request]) -> dict[int, Failure]:
        """Send requests in order and wait until all are done.

        Returns, by position, the error number and the kernel's explanation of those it refused.
        """
        failures: dict[int, Failure] = {}
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            first = self._sequence + 1
            self._sequence += len(batch)
            parts = []
            for offset, (kind, flags, body) in enumerate(batch):
                ack = NLM_F_ACK if offset == len(batch) - 1 else 0
                parts.append(message(kind, flags | ack, first + offset, body))
            self._socket.send(b"".join(parts))
            for sequence, failure in self._failures(first, self._sequence):
                failures[start + sequence - first] = failure
        return failures

    def dump(self, message_type: int, payload: bytes) -> list[bytes]:
        """All messages that answer a dump request; see :func:`vxlab.netlink.dumps.dump`."""
        return dump(self._socket, message_type, payload)

    def _failures(self, first: int, last: int) -> Iterator[tuple[int, Failure]]:
        """Failures by sequence number, up to the answer to request ``last``."""
        while True:
            for answer in receive(self._socket):
                if answer.type != NLMSG_ERROR or not first <= answer.sequence <= last:
                    continue  # left over from a dump that was given up
                if answer.error:
                    yield answer.sequence, (answer.error, _explanation(answer))
                if answer.sequence == last:
                    return


def _explanation(answer: NetlinkMessage) -> str:
    """The text of the extended acknowledgement, or ""."""
    if answer.flags & NLM_F_ACK_TLVS:
        for number, payload in attributes(answer.data[_ATTRIBUTES_AT:]):
            if number == _NLMSGERR_ATTR_MSG:
                return payload.rstrip(b"\0").decode(errors="replace")
    return ""
