"""11.5 An underlay card that moves into a VRF and back, below a vxlan device in use.

h1 vxlan0 10.0.0.1 ─ eth0 ──── lan ──── eth0 ─ vxlan0 10.0.0.2 h2       VRF `under` on each
"""

from __future__ import annotations

import pytest
from vlan_tools import NETWORK

from vxlab import TopologyBuilder, Vrf
from vxlab.operations import SetLink

SOURCE = (
    "drivers/net/vxlan/vxlan_core.c: __vxlan_sock_add(), l3mdev_index; "
    "selftest net/test_vxlan_under_vrf.sh: moved to the default VRF"
)


def unused_vrf(family=4):
    """Two hosts with an empty VRF each; IPv6 addresses stay on cards that go down."""
    t = TopologyBuilder("a VRF that nothing is in yet")
    t.cable("lan", NETWORK[family])
    t.segment("red", 42)
    for n in (1, 2):
        host = f"h{n}"
        t.host(host, "lan")
        t.setting(host, "net.ipv6.conf.eth0.keep_addr_on_down", 1)
        t.device(host, Vrf("under", table=100))
        t.vtep(host, "red", addresses=f"10.0.0.{n}/24")
    return t.build()


def vxlan_stays_up(operation):
    """A control: the vxlan devices do not go down, and keep their sockets."""
    if isinstance(operation, SetLink) and operation.name == "vxlan0":
        return None if operation.up is False else operation
    return operation


def move(lab, master):
    """The cards of both hosts become ports of a VRF, or of none, and the vxlan devices restart."""
    for host in ("h1", "h2"):
        lab.apply(
            SetLink(host, "eth0", master=master),
            SetLink(host, "vxlan0", up=False),
            SetLink(host, "vxlan0", up=True),
        )


@pytest.mark.behaviour(
    "a vxlan device whose lower device moves into a VRF, or out of it, works again once it was set"
    " down and up",
    source=SOURCE,
)
@pytest.mark.control(
    "the vxlan devices do not go down",
    change=vxlan_stays_up,
    because="no answer with the cards in the VRF",
)
@pytest.mark.requires("vrf")  # a kernel module, which a kernel with K67 can no longer load
@pytest.mark.known_difference("K67", until="6.1")
@pytest.mark.topology(unused_vrf, family=[4, 6])
def test_a_card_moves_into_a_vrf_and_back(lab):
    assert lab["h1"].ping("10.0.0.2")
    move(lab, "under")
    answered = lab["h1"].ping("10.0.0.2")
    assert answered, "no answer with the cards in the VRF"
    move(lab, "")
    assert lab["h1"].ping("10.0.0.2"), "no answer with the cards out of the VRF again"
