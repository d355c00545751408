"""Operations as netlink messages, for the tests of their bytes."""

from __future__ import annotations

from typing import Any

from vxlab.apply import encoding
from vxlab.netlink import messages
from vxlab.operations import Operation

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
INDEXES = {("h", "eth0"): 7, ("h", "br0"): 9, ("h", "vx"): 11}
NEW = 0x1 | 0x400 | 0x200  # NLM_F_REQUEST, NLM_F_CREATE, NLM_F_EXCL (linux/netlink.h)


def encode(operation: Operation) -> tuple[int, int, bytes]:
    return encoding.encode(
        operation, lambda node, name: INDEXES[node, name], {"far": 33}.__getitem__
    )


def decode(operation: Operation) -> Any:
    """The message of an operation as pyroute2 sees it; the header must be right on the way."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    kind, flags, body = encode(operation)
    data = messages.message(kind, flags, 77, body)
    classes = {16: ifinfmsg, 17: ifinfmsg, 20: ifaddrmsg, 21: ifaddrmsg, 24: rtmsg}
    classes |= {28: ndmsg, 29: ndmsg}
    message = classes[kind](data)
    message.decode()
    assert message["header"]["length"] == len(data)
    assert len(data) % 4 == 0
    assert message["header"]["type"] == kind
    assert message["header"]["flags"] == flags
    assert message["header"]["sequence_number"] == 77
    return message


def attributes(message: Any) -> dict[str, Any]:
    """The attributes of a message or of a nested attribute; none may stand twice."""
    found = dict(message["attrs"])
    assert len(found) == len(message["attrs"])
    return found


def info(message: Any) -> tuple[str, dict[str, Any]]:
    """Kind and attributes of a link's own kind."""
    found = attributes(attributes(message)["IFLA_LINKINFO"])
    data = found.get("IFLA_INFO_DATA")
    return found["IFLA_INFO_KIND"], attributes(data) if data else {}
