"""A routing netlink socket for batches of requests."""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vxlab.errors import VxlabError
from vxlab.netlink import messages
from vxlab.system.namespaces import Namespaces

SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11  # linux/netlink.h
NLMSG_ERROR, NLMSG_DONE, NLM_F_ACK_TLVS, NLMSGERR_ATTR_MSG = 2, 3, 0x200, 1

IFLA_IFNAME, IFLA_MASTER, IFLA_OPERSTATE, IFLA_LINKINFO = 3, 10, 16, 18  # linux/if_link.h
IFLA_INFO_KIND = 1
IFF_UP, IFF_LOWER_UP, IF_OPER_UP = 0x1, 0x10000, 6  # linux/if.h
SIOCETHTOOL, ETHTOOL_GLINK = 0x8946, 0xA  # linux/sockios.h, linux/ethtool.h
IFA_F_TENTATIVE = 0x40  # linux/if_addr.h

#: Requests sent at once.  Only the last is acknowledged, but each may answer with an error, and
#: all answers must fit into the socket's receive buffer.
BATCH = 64


@dataclass(frozen=True, slots=True)
class _Link:
    """A link that is up; ``operstate`` as in RFC 2863, ``master`` is 0 where it has none."""

    index: int
    name: str
    kind: bytes
    flags: int
    operstate: int
    master: int


class NetlinkSocket:
    """A routing netlink socket of one node, for batches of requests."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._socket = namespaces.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()

    def request(self, requests: Sequence[tuple[int, int, bytes]]) -> dict[int, tuple[int, str]]:
        """Send requests (type, flags, body) in order and wait until all are done.

        Returns, by position, the error number and the kernel's explanation of those it refused.
        """
        failures: dict[int, tuple[int, str]] = {}
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            first = self._sequence + 1
            self._sequence += len(batch)
            parts = []
            for offset, (kind, flags, body) in enumerate(batch):
                ack = messages.NLM_F_ACK if offset == len(batch) - 1 else 0
                parts.append(messages.message(kind, flags | ack, first + offset, body))
            self._socket.send(b"".join(parts))
            for sequence, error in self._answers(self._sequence):
                failures[start + sequence - first] = error
        return failures

    def _answers(self, last: int) -> Iterable[tuple[int, tuple[int, str]]]:
        """Errors by sequence number, up to the answer to request ``last``."""
        while True:
            data = self._socket.recv(1 << 18)
            at = 0
            while at < len(data):
                length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, at)
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, at + 16)[0]
                    if code:
                        yield sequence, (code, _explanation(data[at : at + length], flags))
                    if sequence == last:
                        return
                at += (length + 3) & ~3

    def settle_links(self) -> list[str]:
        """Have the kernel act on changed carriers; the names of links that still wait for that.

        A link whose carrier came on is of use only when the kernel's link watch has seen to it,
        which otherwise happens when a work queue gets to it, up to a second later
        (net/core/link_watch.c).  A link without a carrier, its peer down, waits for nothing.
        """
        late = _late(self._links())
        if not late:
            return []
        for link in sorted(late, key=lambda link: link.kind == b"bridge"):  # after its ports
            self._ask_carrier(link.name)
        # Before kernel 6.8 nothing hurries a bridge, but as long as its state is unknown it works.
        return [
            link.name for link in _late(self._links()) if link.kind != b"bridge" or link.operstate
        ]

    def _links(self) -> list[_Link]:
        """All links that are up."""
        links = []
        for index, flags, rest in self._dump_links():
            if flags & IFF_UP:
                found = dict(attributes(rest))
                info = dict(attributes(found.get(IFLA_LINKINFO, b"")))
                kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0")
                name = found[IFLA_IFNAME].rstrip(b"\0").decode()
                master = int.from_bytes(found.get(IFLA_MASTER, b""), sys.byteorder)
                state = found[IFLA_OPERSTATE][0]
                links.append(_Link(index, name, kind, flags, state, master))
        return links

    def _ask_carrier(self, name: str) -> None:
        """Ask for a link's carrier as ethtool(8) does: from 6.8 on the kernel first acts on it."""
        question = array.array("I", [ETHTOOL_GLINK, 0])
        address, _ = question.buffer_info()
        request = struct.pack("16sP16x", name.encode(), address)  # struct ifreq
        with contextlib.suppress(OSError):  # removed meanwhile, or a device that cannot tell
            fcntl.ioctl(self._socket, SIOCETHTOOL, request)

    def tentative_addresses(self) -> list[int]:
        """Interface indexes of IPv6 addresses that the kernel does not answer for yet.

        Even without duplicate address detection a work queue of the kernel joins the address's
        multicast group before the address is good.  (With IFA_F_NODAD it looks good earlier.)
        """
        body = struct.pack("=BBBBi", socket.AF_INET6, 0, 0, 0, 0)  # struct ifaddrmsg
        return [
            struct.unpack_from("=I", message, 4)[0]
            for message in self._dump(messages.RTM_GETADDR, body)
            if message[2] & IFA_F_TENTATIVE
        ]

    def _dump_links(self) -> Iterable[tuple[int, int, bytes]]:
        """Interface index, flags and attributes of every link."""
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)  # struct ifinfomsg
        for message in self._dump(messages.RTM_GETLINK, body):
            index, flags = struct.unpack_from("=iI", message, 4)
            yield index, flags, message[16:]

    def _dump(self, kind: int, body: bytes) -> Iterable[bytes]:
        """The bodies of all messages that answer a dump request."""
        self._sequence += 1
        flags = messages.NLM_F_REQUEST | messages.NLM_F_DUMP
        self._socket.send(messages.message(kind, flags, self._sequence, body))
        while True:
            data = self._socket.recv(1 << 18)
            at = 0
            while at < len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise VxlabError("the kernel refused to list links or addresses of a node")
                yield data[at + 16 : at + length]
                at += (length + 3) & ~3


def _late(links: Sequence[_Link]) -> list[_Link]:
    """Those links that will be up by themselves, but are not yet.

    That is a veth that has its carrier, and a bridge of which any port has it.  Other kinds are
    born with a carrier, and work from the start.
    """
    carried = {link.index for link in links if link.flags & IFF_LOWER_UP}
    bridges = {link.master for link in links if link.index in carried}
    rising = {b"veth": carried, b"bridge": bridges}
    return [
        link
        for link in links
        if link.operstate != IF_OPER_UP and link.index in rising.get(link.kind, ())
    ]


def attributes(data: bytes) -> Iterable[tuple[int, bytes]]:
    """The attributes in ``data``, each as its kind and its payload."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3 or 4


def _explanation(answer: bytes, flags: int) -> str:
    """The text of the extended acknowledgement, or ""; with CAP_ACK it begins at byte 36."""
    if flags & NLM_F_ACK_TLVS:
        for kind, payload in attributes(answer[36:]):
            if kind == NLMSGERR_ATTR_MSG:
                return payload.rstrip(b"\0").decode(errors="replace")
    return ""
