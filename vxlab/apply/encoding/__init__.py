"""Netlink messages as bytes: what each operation looks like to the kernel.

All functions are pure.  Encoding by hand instead of by a library is what makes building a lab take
hardly longer than the kernel needs for it; see ``bench/``.
"""

from __future__ import annotations

from vxlab.apply.encoding import entries, links
from vxlab.netlink.messages import (
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_VRF_TABLE,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_NEW,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    RTM_DELLINK,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    IndexOf,
    NamespaceOf,
    Request,
    attribute,
    family,
    message,
    u32,
)
from vxlab.plan.operations import Operation

__all__ = [
    "IFLA_ADDRESS",
    "IFLA_IFNAME",
    "IFLA_INFO_DATA",
    "IFLA_INFO_KIND",
    "IFLA_LINKINFO",
    "IFLA_MASTER",
    "IFLA_MTU",
    "IFLA_VRF_TABLE",
    "NLM_F_ACK",
    "NLM_F_APPEND",
    "NLM_F_CREATE",
    "NLM_F_DUMP",
    "NLM_F_EXCL",
    "NLM_F_NEW",
    "NLM_F_REPLACE",
    "NLM_F_REQUEST",
    "RTM_DELLINK",
    "RTM_GETADDR",
    "RTM_GETLINK",
    "RTM_NEWADDR",
    "RTM_NEWLINK",
    "RTM_NEWROUTE",
    "IndexOf",
    "NamespaceOf",
    "Request",
    "attribute",
    "encode",
    "family",
    "message",
    "u32",
]


def encode(operation: Operation, index_of: IndexOf, namespace_of: NamespaceOf) -> Request:
    """Message type, flags and body of an operation that is one netlink request.

    TypeError for one that is not; ValueError, KeyError or struct.error where a value does not fit.
    """
    found = links.encode(operation, index_of, namespace_of) or entries.encode(operation, index_of)
    if found is None:
        raise TypeError(f"no netlink message for {operation!r}")
    return found
