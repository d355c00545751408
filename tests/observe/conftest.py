"""Two nodes joined by a veth pair; and scapy's layers, loaded once a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from capture_tools import A_MAC, B_MAC, VethPair, ip

from vxlab.observe.packetsocket import settle
from vxlab.system.namespaces import Namespaces
from vxlab.system.waiting import wait_until


@pytest.fixture
def veth() -> Iterator[VethPair]:
    """Both ends up, without IPv6; nothing else talks on them."""
    with Namespaces("a") as a, Namespaces("b") as b:
        for node in (a, b):
            for which in ("all", "default"):
                node.write(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6", "1")
            ip(node, "link set lo up")
        peer = f"peer name eth0 address {B_MAC.hex(':')} netns {b.path()}"
        ip(a, f"link add eth0 address {A_MAC.hex(':')} type veth {peer}")
        for node, number in ((a, 1), (b, 2)):
            ip(node, f"addr add 10.0.0.{number}/24 dev eth0")
            ip(node, "link set eth0 up")
        for node in (a, b):  # up to then the kernel throws away what is sent (noop qdisc)
            wait_until(lambda node=node: "state UP" in ip(node, "link show dev eth0"), "eth0 up")
        yield VethPair(a, b)
    settle()


@pytest.fixture(scope="module")
def layers() -> Any:
    """scapy's layers, by name."""
    from scapy.layers import inet, inet6, l2, vxlan

    names: dict[str, Any] = {}
    for module in (inet, inet6, l2, vxlan):
        names |= vars(module)
    return type("Layers", (), names)
