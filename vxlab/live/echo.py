"""Many echo requests at once, without a program for each: who reaches whom.

ICMP (RFC 792) and ICMPv6 (RFC 4443, section 4) through raw sockets of the nodes.
"""

from __future__ import annotations

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


def unanswered(asks: Iterable[tuple[Namespaces, str]], timeout: float = 5.0) -> list[int]:
    """Send an echo request for each pair of node and address; the numbers of those not answered.

    Each is sent one time, :data:`AT_ONCE` together, and has ``timeout`` seconds to be answered.
    A request that cannot be sent, for want of a route, say, is not answered.  An answer counts if
    it comes from the address that was asked.  VxlabError for what is no address.
    """
    wanted = [(namespaces, _address(text)) for namespaces, text in asks]
    waiting = deque(enumerate(wanted))
    identifier = int.from_bytes(os.urandom(2))
    sockets: dict[tuple[int, int], socket.socket] = {}
    asked: dict[int, tuple[str, float]] = {}  # by number: of whom, and until when
    failed: list[int] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or asked:
                while waiting and len(asked) < AT_ONCE:
                    number, (namespaces, address) = waiting.popleft()
                    key = id(namespaces), address.version
                    if key not in sockets:
                        family, protocol = _FAMILIES[address.version]
                        sockets[key] = namespaces.socket(family, socket.SOCK_RAW, protocol)
                        sockets[key].setblocking(False)
                        selector.register(sockets[key], selectors.EVENT_READ, address.version)
                    try:
                        request = _request(address.version, identifier, number)
                        sockets[key].sendto(request, (str(address), 0))
                        asked[number] = str(address), time.monotonic() + timeout
                    except OSError:  # no route: no answer will come
                        failed.append(number)
                if not asked:
                    continue
                patience = min(until for _, until in asked.values()) - time.monotonic()
                for ready, _ in selector.select(max(0.0, patience)):
                    _read(ready.fileobj, ready.data, identifier, asked)  # type: ignore[arg-type]
                now = time.monotonic()
                late = [number for number, (_, until) in asked.items() if until <= now]
                failed += late
                for number in late:
                    del asked[number]
        finally:
            for each in sockets.values():
                each.close()
    return sorted(failed)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
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
