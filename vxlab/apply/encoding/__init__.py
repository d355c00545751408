"""Netlink messages as bytes: what each operation looks like to the kernel.

All functions are pure.  Encoding by hand instead of by a library is what makes building a lab take
hardly longer than the kernel needs for it; see ``bench/``.
"""

from __future__ import annotations

from vxlab.apply.encoding import entries, links, routes, vlans
from vxlab.netlink.messages import IndexOf, NamespaceOf, Request
from vxlab.plan.operations import Operation


def encode(operation: Operation, index_of: IndexOf, namespace_of: NamespaceOf) -> Request:
    """Message type, flags and body of an ``operation`` that is one netlink request.

    ``index_of`` gives the interface index of a node and an interface name, ``namespace_of`` the
    descriptor of a node's network namespace.  TypeError for an operation that is no such request;
    ValueError, KeyError or struct.error where a value does not fit.
    """
    found = (
        links.encode(operation, index_of, namespace_of)
        or entries.encode(operation, index_of)
        or routes.encode(operation, index_of)
        or vlans.encode(operation, index_of)
    )
    if found is None:
        raise TypeError(f"no netlink message for {operation!r}")
    return found
