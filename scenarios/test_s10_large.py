"""10.5 Large packets: an underlay of jumbo frames, and TCP beyond 64 KB.

    a eth0 ──── lan ──── eth0 b       MTU 9000 or 1500, IPv4 or IPv6, inside and outside
      vxlan0             vxlan0

BIG TCP is TCP over IPv6 in packets above 64 KB.  The outer UDP header has no room for such a
length; whether they go through in one piece is left open here, that all arrives is not.
"""

from __future__ import annotations

import dataclasses

import pytest
from offload_tools import (
    CUTS,
    ETHERNET,
    SIZE,
    address_of,
    by_tcp,
    largest,
    limit,
    offload,
    two_hosts,
    unrecorded,
)

from vxlab.errors import CommandError

JUMBO = 9000 + ETHERNET
FAMILIES = {"inner": [4, 6], "outer": [4, 6]}
#: The largest frame before BIG TCP: GSO_LEGACY_MAX_SIZE, and Ethernet.
LEGACY = 65536 + ETHERNET

pytestmark = pytest.mark.requires("ethtool")


def with_mtu_1500(topology):
    """The same on an underlay that has no jumbo frames."""
    (switch,) = topology.switches
    return dataclasses.replace(topology, switches=(dataclasses.replace(switch, mtu=1500),))


def without_gro(lab):
    offload(lab, "b:vxlan0 gro off")


def cut(lab):
    offload(lab, f"a:eth0 {CUTS} off")


@pytest.mark.behaviour(
    "on an underlay of jumbo frames what is cut fills them to the last byte",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply(); "
    "net/ipv4/tcp_output.c: tcp_mss_to_mtu()",
)
@pytest.mark.control("the MTU of the underlay is 1500", topology=with_mtu_1500, because="== 9014")
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=9000)
def test_jumbo_frames_are_filled(lab):
    cut(lab)
    with lab.capture("a:eth0", "b:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:eth0") == largest(seen, "b:eth0") == JUMBO


@pytest.mark.behaviour(
    "packets larger than a jumbo frame pass a card that can cut them",
    source="drivers/net/veth.c: VETH_FEATURES",
)
@pytest.mark.control("a's card cannot cut tunnelled packets", lab=cut, because="> 9014")
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=9000)
def test_packets_larger_than_jumbo_frames_pass(lab):
    with lab.capture("a:eth0", "b:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:eth0") > JUMBO
    assert largest(seen, "b:eth0") == largest(seen, "a:eth0")


@pytest.mark.behaviour(
    "GRO puts jumbo frames together too",
    source="net/core/gro_cells.c: gro_cells_receive(); net/core/gro.c: skb_gro_receive()",
)
@pytest.mark.control("b's device has GRO off", lab=without_gro, because="> 9014")
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=9000)
def test_jumbo_frames_are_put_together(lab):
    unrecorded(lab)
    cut(lab)
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "b:vxlan0") > JUMBO


@pytest.mark.behaviour(
    "TCP gives the vxlan device no packet above 64 KB unless it is told that it may",
    source="include/linux/netdevice.h: GSO_LEGACY_MAX_SIZE; net/core/sock.c: sk_dst_gso_max_size()",
)
@pytest.mark.control("it is told so", arguments={"most": 131072}, because=f"<= {LEGACY}")
@pytest.mark.topology(two_hosts, inner=6, outer=[4, 6], mtu=[1500, 9000])
@pytest.mark.parametrize("most", [65536], ids=["default"])
def test_tcp_stays_below_64_kilobytes(lab, most):
    allow(lab, most)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = by_tcp(lab, size=4 * SIZE)
    assert arrived == sent
    assert 30000 < largest(seen, "a:vxlan0") <= LEGACY


@pytest.mark.behaviour(
    "BIG TCP gives it packets above 64 KB, and in spite of their length all arrives",
    source="net/core/sock.c: sk_dst_gso_max_size(); man 8 ip-link: gso_max_size",
)
@pytest.mark.control("gso_max_size is 65536", arguments={"most": 65536}, because=f"> {LEGACY}")
@pytest.mark.topology(two_hosts, inner=6, outer=[4, 6], mtu=[1500, 9000])
@pytest.mark.parametrize("most", [131072], ids=["128K"])
def test_big_tcp_arrives(lab, most):
    allow(lab, most)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = by_tcp(lab, size=4 * SIZE)
    assert arrived == sent
    assert largest(seen, "a:vxlan0") > LEGACY


@pytest.mark.behaviour(
    "the limit for IPv6 is not the one for IPv4",
    source="net/core/sock.c: sk_dst_gso_max_size(), gso_ipv4_max_size",
)
@pytest.mark.control(
    "TCP goes over IPv6", topology=lambda _: two_hosts(inner=6), because=f"<= {LEGACY}"
)
@pytest.mark.topology(two_hosts(inner=4))
def test_gso_max_size_does_not_make_ipv4_big(lab):
    allow(lab, 131072)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = by_tcp(lab, size=4 * SIZE)
    assert arrived == sent
    assert 30000 < largest(seen, "a:vxlan0") <= LEGACY


def allow(lab, most):
    """Let cards and devices take packets of that size; skip where the kernel takes no such size.

    Both windows are large from the start, however slowly the other end reads.
    """
    for host, other in ("ab", "ba"):
        lab[host].sysctl("net.ipv4.tcp_rmem", "4096 4194304 4194304")
        lab[host].sysctl("net.ipv4.tcp_wmem", "4096 4194304 4194304")
        to, windows = address_of(lab, other), ("initcwnd", "300", "initrwnd", "300")
        lab[host].run("ip", "route", "add", to, "dev", "vxlan0", *windows)
    for place in ("a:vxlan0", "a:eth0", "b:vxlan0", "b:eth0"):
        try:
            limit(lab, place, "gso_max_size", most)
        except CommandError as error:
            pytest.skip(f"needs gso_max_size {most} (5.19 or later): {error}")
