"""Single netlink requests for probes: create one device, and read it back.

Formats are those of rtnetlink(7), numbers those of linux/if_link.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable

from vxlab.backends import wire
from vxlab.backends.rtnetlink import NetlinkSocket, attributes
from vxlab.errors import ApplyError
from vxlab.netns import Namespaces
from vxlab.state import dump

IFLA_LINK = 5
IFLA_INFO_SLAVE_DATA = 5

_HEADER_SIZE = 16  # struct nlmsghdr
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change


def request(namespaces: Namespaces, kind: int, flags: int, body: bytes, doing: str) -> None:
    """Send one request and wait until it is done.

    ApplyError, with the error number and the kernel's explanation, where the kernel refuses;
    ``doing`` says in it what was tried.
    """
    with contextlib.closing(NetlinkSocket(namespaces)) as sock:
        refused = sock.request([(kind, flags, body)])
    for code, extack in refused.values():
        raise ApplyError(doing, os.strerror(code), errno=code, extack=extack)


def add_link(
    namespaces: Namespaces,
    kind: str,
    data: Iterable[tuple[int, bytes]] = (),
    *,
    name: str = "probe",
    lower: int = 0,
    master: int = 0,
) -> int:
    """Create a device and return its index; ``data`` are the attributes of its kind.

    ``lower`` is the index of the device that it sits upon, ``master`` of the bridge that it is a
    port of.  ApplyError where refused.
    """
    info = wire.attribute(wire.IFLA_INFO_KIND, kind.encode())
    info += wire.attribute(wire.IFLA_INFO_DATA, b"".join(wire.attribute(*pair) for pair in data))
    body = _LINK.pack(0, 0, 0, 0, 0) + wire.attribute(wire.IFLA_IFNAME, name.encode() + b"\0")
    if lower:
        body += wire.attribute(IFLA_LINK, struct.pack("=I", lower))
    if master:
        body += wire.attribute(wire.IFLA_MASTER, struct.pack("=I", master))
    body += wire.attribute(wire.IFLA_LINKINFO, info)
    request(namespaces, wire.RTM_NEWLINK, wire.NLM_F_NEW, body, f"ip link add {name} type {kind}")
    with namespaces.entered():
        return socket.if_nametoindex(name)


def link(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """The attributes of a device, as the kernel has them: number to payload."""
    with dump.open_socket(namespaces) as sock:
        messages = dump.dump(sock, wire.RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))
    for message in messages:
        if _LINK.unpack_from(message, _HEADER_SIZE)[2] == index:
            return dict(attributes(message[_HEADER_SIZE + _LINK.size :]))
    return {}


def link_data(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """The attributes of a device's kind, likewise."""
    return _info(namespaces, index, wire.IFLA_INFO_DATA)


def port_data(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """What a bridge keeps about a device that is a port of it, likewise."""
    return _info(namespaces, index, IFLA_INFO_SLAVE_DATA)


def _info(namespaces: Namespaces, index: int, part: int) -> dict[int, bytes]:
    info = dict(attributes(link(namespaces, index).get(wire.IFLA_LINKINFO, b"")))
    return dict(attributes(info.get(part, b"")))
