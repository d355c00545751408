"""Many echo requests at once, without a program for each: who reaches whom.

ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4) through raw sockets of the nodes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Iterable

from vxlab.errors import VxlabError
from vxlab.system.namespaces import Namespaces

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Requests on their way at one time.  Each may be flooded to all, and the kernel queues a thousand
#: packets a processor (net.core.netdev_max_backlog).
AT_ONCE = 16

#: Types of request and reply, by the version of the address.
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_FAMILIES = {
    4: (socket.AF_INET, socket.IPPROTO_ICMP),
    6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
}
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_PAYLOAD = b"vxlab asks for an echo, once   \n"


class _Requests:
    """Echo requests that wait for their answers, and the sockets that they were sent by."""

    def __init__(self, selector: selectors.BaseSelector, timeout: float) -> None:
        self._selector, self._timeout = selector, timeout
        self._identifier = int.from_bytes(os.urandom(2))
        self._sockets: dict[tuple[int, int], socket.socket] = {}
        self.waiting: dict[int, tuple[str, float]] = {}  # by number: address, deadline

    def send(self, number: int, namespaces: Namespaces, address: Address) -> bool:
        """Send a request; False where it cannot be sent."""
        sock = self._socket(namespaces, address.version)
        try:
            sock.sendto(_request(address.version, self._identifier, number), (str(address), 0))
        except OSError:  # no route: no answer will come
            return False
        self.waiting[number] = str(address), time.monotonic() + self._timeout
        return True

    def _socket(self, namespaces: Namespaces, version: int) -> socket.socket:
        key = id(namespaces), version
        if key not in self._sockets:
            family, protocol = _FAMILIES[version]
            self._sockets[key] = sock = namespaces.socket(family, socket.SOCK_RAW, protocol)
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, version)
        return self._sockets[key]

    def receive(self) -> None:
        """Wait for answers, until the first deadline at most."""
        left = min(until for _, until in self.waiting.values()) - time.monotonic()
        for ready, _ in self._selector.select(max(0.0, left)):
            _read(ready.fileobj, ready.data, self._identifier, self.waiting)  # type: ignore[arg-type]

    def take_late(self) -> list[int]:
        """The numbers of the requests whose deadline has passed; they wait no longer."""
        now = time.monotonic()
        late = [number for number, (_, until) in self.waiting.items() if until <= now]
        for number in late:
            del self.waiting[number]
        return late

    def close(self) -> None:
        """Close all sockets."""
        for sock in self._sockets.values():
            sock.close()


def unanswered(asks: Iterable[tuple[Namespaces, str]], timeout: float = 5.0) -> list[int]:
    """Send an echo request for each pair of node and address; the numbers of those not answered.

    ``asks`` are pairs of a node's namespaces and an IP address, numbered from 0.  Each is sent one
    time, :data:`AT_ONCE` together, and has ``timeout`` seconds to be answered.  A request that
    cannot be sent, for want of a route, say, is not answered.  An answer counts if it comes from
    the address that was asked.  VxlabError for what is no address.
    """
    left = deque(enumerate([(namespaces, _address(text)) for namespaces, text in asks]))
    failed: list[int] = []
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        requests = stack.enter_context(contextlib.closing(_Requests(selector, timeout)))
        while left or requests.waiting:
            while left and len(requests.waiting) < AT_ONCE:
                number, (namespaces, address) = left.popleft()
                if not requests.send(number, namespaces, address):
                    failed.append(number)
            if requests.waiting:
                requests.receive()
                failed += requests.take_late()
    return sorted(failed)


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise VxlabError(f"echo: wanted an IP address, found {text!r}") from error


def _request(version: int, identifier: int, number: int) -> bytes:
    parts = (_REQUEST[version], 0, 0, identifier, number & 0xFFFF)
    if version == 4:  # that of ICMPv6 is the kernel's to fill in
        parts = (*parts[:2], _checksum(_HEADER.pack(*parts) + _PAYLOAD), *parts[3:])
    return _HEADER.pack(*parts) + _PAYLOAD


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def _read(
    sock: socket.socket, version: int, identifier: int, asked: dict[int, tuple[str, float]]
) -> None:
    """Take the answers that have come from what was asked."""
    while True:
        try:
            data, (source, *_) = sock.recvfrom(2048)
        except BlockingIOError:
            return
        except OSError:  # an error that a request has met
            continue
        if version == 4:  # a raw socket of IPv4 has the IP header too (raw(7))
            data = data[(data[0] & 0xF) * 4 :]
        if len(data) < _HEADER.size:
            continue
        kind, _, _, whose, number = _HEADER.unpack_from(data)
        if (
            kind == _REPLY[version]
            and whose == identifier
            and asked.get(number, "")[:1] == (source,)
        ):
            del asked[number]
