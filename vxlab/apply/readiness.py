"""Whether the links of a node can send, and its addresses answer.

A link whose carrier came on can be used only once the kernel's link watch has handled it, which
otherwise happens when a work queue gets to it, up to a second later (net/core/link_watch.c).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from vxlab.netlink.messages import (
    HEADER,
    IF_OPER_UP,
    IFADDR,
    IFF_LOWER_UP,
    IFF_UP,
    IFINFO,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_OPERSTATE,
    RTM_GETADDR,
    RTM_GETLINK,
    attributes,
)
from vxlab.netlink.requests import NetlinkSocket

_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0xA  # linux/sockios.h, linux/ethtool.h
_IFA_F_TENTATIVE = 0x40  # linux/if_addr.h
_LO = 1  # the index of lo (LOOPBACK_IFINDEX, include/net/flow.h), which waits for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _RisingLink:
    """A link that is up; ``operstate`` as in RFC 2863, ``master`` is 0 where it has none."""

    index: int
    name: str
    kind: bytes
    flags: int
    operstate: int
    master: int


def settle_links(netlink: NetlinkSocket) -> list[str]:
    """Have the kernel act on changed carriers; the names of links that still wait for that.

    A link without a carrier, its peer down, waits for nothing.
    """
    late = _late(_links(netlink))
    if not late:
        return []
    for link in sorted(late, key=lambda link: link.kind == b"bridge"):  # after its ports
        _ask_carrier(netlink, link.name)
    # Before kernel 6.8 nothing speeds up a bridge, but as long as its state is unknown it works.
    return [
        link.name for link in _late(_links(netlink)) if link.kind != b"bridge" or link.operstate
    ]


def tentative_addresses(netlink: NetlinkSocket) -> list[int]:
    """Interface indexes of IPv6 addresses that the kernel does not answer for yet.

    Even without duplicate address detection a work queue of the kernel joins the address's
    multicast group before the address is good.  (With IFA_F_NODAD it looks good earlier.)
    """
    found = []
    for message in netlink.dump(RTM_GETADDR, IFADDR.pack(socket.AF_INET6, 0, 0, 0, 0)):
        _, _, flags, _, index = IFADDR.unpack_from(message, HEADER.size)
        if flags & _IFA_F_TENTATIVE:
            found.append(index)
    return found


def _links(netlink: NetlinkSocket) -> list[_RisingLink]:
    """All links that are up, but lo."""
    links = []
    for message in netlink.dump(RTM_GETLINK, IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, _, index, flags, _ = IFINFO.unpack_from(message, HEADER.size)
        if flags & IFF_UP and index != _LO:
            found = dict(attributes(message[HEADER.size + IFINFO.size :]))
            info = dict(attributes(found.get(IFLA_LINKINFO, b"")))
            links.append(
                _RisingLink(
                    index=index,
                    name=found[IFLA_IFNAME].rstrip(b"\0").decode(),
                    kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0"),
                    flags=flags,
                    operstate=found[IFLA_OPERSTATE][0],
                    master=int.from_bytes(found.get(IFLA_MASTER, b""), sys.byteorder),
                )
            )
    return links


def _ask_carrier(netlink: NetlinkSocket, name: str) -> None:
    """Ask for a link's carrier as ethtool(8) does: from 6.8 on the kernel first acts on it."""
    question = array.array("I", [_ETHTOOL_GLINK, 0])
    address, _ = question.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)  # struct ifreq
    with contextlib.suppress(OSError):  # removed meanwhile, or a device that cannot tell
        fcntl.ioctl(netlink, _SIOCETHTOOL, request)


def _late(links: Sequence[_RisingLink]) -> list[_RisingLink]:
    """Those links that will be up by themselves, but are not yet.

    That is a veth that has its carrier, a bridge or bond of which any port has it, and what sits
    upon such a one.  Other kinds have a carrier, and work, from the start.
    """
    carried = {link.index for link in links if link.flags & IFF_LOWER_UP}
    masters = {link.master for link in links if link.index in carried}
    rising = {
        b"veth": carried,
        b"bridge": masters,
        b"bond": masters,
        b"vlan": carried,
        b"macvlan": carried,
    }
    return [
        link
        for link in links
        if link.operstate != IF_OPER_UP and link.index in rising.get(link.kind, ())
    ]
