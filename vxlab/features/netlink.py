"""Single netlink requests for probes: create one device, and read it back.

Formats are those of rtnetlink(7), numbers those of linux/if_link.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable

from vxlab.apply import encoding
from vxlab.errors import ApplyError
from vxlab.netlink import dumps
from vxlab.netlink.requests import NetlinkSocket, attributes
from vxlab.system.namespaces import Namespaces

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
    info = encoding.attribute(encoding.IFLA_INFO_KIND, kind.encode())
    info += encoding.attribute(
        encoding.IFLA_INFO_DATA, b"".join(encoding.attribute(*pair) for pair in data)
    )
    body = _LINK.pack(0, 0, 0, 0, 0) + encoding.attribute(
        encoding.IFLA_IFNAME, name.encode() + b"\0"
    )
    if lower:
        body += encoding.attribute(IFLA_LINK, struct.pack("=I", lower))
    if master:
        body += encoding.attribute(encoding.IFLA_MASTER, struct.pack("=I", master))
    body += encoding.attribute(encoding.IFLA_LINKINFO, info)
    request(
        namespaces,
        encoding.RTM_NEWLINK,
        encoding.NLM_F_NEW,
        body,
        f"ip link add {name} type {kind}",
    )
    with namespaces.entered():
        return socket.if_nametoindex(name)


def link(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """The attributes of a device, as the kernel has them: number to payload."""
    with dumps.open_socket(namespaces) as sock:
        messages = dumps.dump(sock, encoding.RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0))
    for message in messages:
        if _LINK.unpack_from(message, _HEADER_SIZE)[2] == index:
            return dict(attributes(message[_HEADER_SIZE + _LINK.size :]))
    return {}


def link_data(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """The attributes of a device's kind, likewise."""
    return _info(namespaces, index, encoding.IFLA_INFO_DATA)


def port_data(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """What a bridge keeps about a device that is a port of it, likewise."""
    return _info(namespaces, index, IFLA_INFO_SLAVE_DATA)


def _info(namespaces: Namespaces, index: int, part: int) -> dict[int, bytes]:
    info = dict(attributes(link(namespaces, index).get(encoding.IFLA_LINKINFO, b"")))
    return dict(attributes(info.get(part, b"")))
