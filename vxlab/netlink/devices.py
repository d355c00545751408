"""Single devices by single requests: create one as it is told, and read it back as it is.

For probes and for tests of what the kernel refuses: attributes are given and found as bytes, so
that nothing of vxlab's own understanding comes between.  Numbers are those of linux/if_link.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable

from vxlab.errors import ApplyError
from vxlab.netlink.dumps import dump, open_socket
from vxlab.netlink.messages import (
    HEADER,
    IFINFO,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    NLM_F_NEW,
    RTM_GETLINK,
    RTM_NEWLINK,
    Request,
    attribute,
    attributes,
    u32,
)
from vxlab.netlink.requests import NetlinkSocket
from vxlab.system.namespaces import Namespaces


def request_once(namespaces: Namespaces, request: Request, doing: str) -> None:
    """Send one request over a socket of its own and wait until it is done.

    ``namespaces`` are those of the node, ``request`` is what is asked; ``doing`` says in errors
    what was tried.  ApplyError, with the error number and the kernel's explanation, where the
    kernel refuses.
    """
    with contextlib.closing(NetlinkSocket(namespaces)) as sock:
        refused = sock.request([request])
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
    """Create a device called ``name`` in ``namespaces`` and return its interface index.

    ``kind`` is as ``ip link add type`` has it; ``data`` are the attributes of that kind, each as
    number and payload; ``lower`` is the index of the device that it sits upon, ``master`` that of
    the bridge that it is a port of, 0 for none.  ApplyError where the kernel refuses.
    """
    info = attribute(IFLA_INFO_KIND, kind.encode())
    info += attribute(IFLA_INFO_DATA, b"".join(attribute(*pair) for pair in data))
    body = IFINFO.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    body += u32(IFLA_LINK, lower) if lower else b""
    body += u32(IFLA_MASTER, master) if master else b""
    body += attribute(IFLA_LINKINFO, info)
    request = Request(RTM_NEWLINK, NLM_F_NEW, body)
    request_once(namespaces, request, f"ip link add {name} type {kind}")
    return index_of(namespaces, name)


def index_of(namespaces: Namespaces, name: str) -> int:
    """The interface index of a device; OSError where there is none of that name."""
    return namespaces.visit(lambda: socket.if_nametoindex(name))


def link_attributes(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """The attributes (IFLA_*) of a device, number to payload; empty where there is none."""
    with open_socket(namespaces) as sock:
        messages = dump(sock, RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0))
    for message in messages:
        if IFINFO.unpack_from(message, HEADER.size)[2] == index:
            return dict(attributes(message[HEADER.size + IFINFO.size :]))
    return {}


def kind_attributes(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """The attributes of a device's kind (IFLA_VXLAN_* …), likewise."""
    return _info(namespaces, index, IFLA_INFO_DATA)


def port_attributes(namespaces: Namespaces, index: int) -> dict[int, bytes]:
    """What a bridge keeps about a device that is a port of it (IFLA_BRPORT_*), likewise."""
    return _info(namespaces, index, IFLA_INFO_SLAVE_DATA)


def _info(namespaces: Namespaces, index: int, part: int) -> dict[int, bytes]:
    info = dict(attributes(link_attributes(namespaces, index).get(IFLA_LINKINFO, b"")))
    return dict(attributes(info.get(part, b"")))
