"""10.5 Large packets: an underlay with jumbo frames, and TCP packets above 64 KB.

    a eth0 ──── lan ──── eth0 b       MTU 9000 or 1500, IPv4 or IPv6, inside and outside
      vxlan0             vxlan0

BIG TCP is TCP over IPv6 in packets above 64 KB.  The outer UDP header has no room for such a
length; the scenarios show that all data arrives, and not whether a packet passes unsegmented.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    ETHERNET,
    SIZE,
    TUNNEL_GSO,
    largest_frame,
    overlay_address,
    set_limit,
    set_offload,
    tcp_transfer,
    two_hosts,
)

from vxlab import CommandError

JUMBO = 9000 + ETHERNET
FAMILIES = {"inner": [4, 6], "outer": [4, 6]}
#: The largest frame before BIG TCP: GSO_LEGACY_MAX_SIZE, and Ethernet.
LEGACY = 65536 + ETHERNET

pytestmark = pytest.mark.requires("ethtool")


def with_mtu_1500(topology):
    """The same on an underlay without jumbo frames."""
    return topology.with_switch("lan", mtu=1500)


def over_ipv6(_topology):
    return two_hosts(inner=6)


def without_gro(lab):
    set_offload(lab, "b:vxlan0 gro off")


def without_tunnel_gso(lab):
    """Make the kernel segment tunnelled packets before the lower device."""
    set_offload(lab, f"a:eth0 {TUNNEL_GSO} off")


@pytest.mark.behaviour(
    "on an underlay with an MTU of 9000 the segments of TCP packets fill jumbo frames to "
    "the last byte",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_config_apply(); "
    "net/ipv4/tcp_output.c: tcp_mss_to_mtu()",
)
@pytest.mark.control(
    "the underlay has an MTU of 1500", topology=with_mtu_1500, because="assert 1514 == 9014"
)
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=9000)
def test_jumbo_frames_are_filled(lab):
    without_tunnel_gso(lab)
    with lab.capture("a:eth0", "b:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") == largest_frame(seen, "b:eth0") == JUMBO


@pytest.mark.behaviour(
    "on an underlay with an MTU of 9000 TCP packets longer than that MTU pass a lower "
    "device unsegmented if it can segment tunnelled packets",
    source="drivers/net/veth.c: VETH_FEATURES",
)
@pytest.mark.control(
    "the lower device of VTEP a cannot segment tunnelled packets",
    lab=without_tunnel_gso,
    because=r"the packets were segmented\nassert 9014 > 9014",
)
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=9000)
def test_packets_longer_than_jumbo_frames_pass_unsegmented(lab):
    with lab.capture("a:eth0", "b:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") > JUMBO, "the packets were segmented"
    assert largest_frame(seen, "b:eth0") == largest_frame(seen, "a:eth0")


@pytest.mark.behaviour(
    "GRO of the vxlan device merges packets from jumbo frames, too",
    source="net/core/gro_cells.c: gro_cells_receive(); net/core/gro.c: skb_gro_receive()",
)
@pytest.mark.control(
    "VTEP b has GRO off", lab=without_gro, because=r"no packets were merged\nassert \d+ > 9014"
)
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=9000)
def test_packets_from_jumbo_frames_are_merged(lab):
    lab.stop_recording()
    without_tunnel_gso(lab)
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:vxlan0") > JUMBO, "no packets were merged"


@pytest.mark.behaviour(
    "with the default `gso_max_size` of 65536 TCP over IPv6 gives the vxlan device no "
    "packet above 64 KB",
    source="include/linux/netdevice.h: GSO_LEGACY_MAX_SIZE; net/core/sock.c: sk_dst_gso_max_size()",
)
@pytest.mark.control(
    "`gso_max_size` is 131072",
    arguments={"most": 131072},
    because=r"TCP made a packet above 64 KB\nassert \d+ <= 65550",
)
@pytest.mark.topology(two_hosts, inner=6, outer=[4, 6], mtu=[1500, 9000])
@pytest.mark.parametrize("most", [65536], ids=["default"])
def test_tcp_packets_are_not_above_64_kilobytes_by_default(lab, most):
    allow_packets_of(lab, most)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab, size=4 * SIZE)
    assert arrived == sent, "not all data arrived"
    longest = largest_frame(seen, "a:vxlan0")
    assert longest > 30000, "TCP made no large packets"
    assert longest <= LEGACY, "TCP made a packet above 64 KB"


@pytest.mark.behaviour(
    "with a `gso_max_size` of 131072 TCP over IPv6 gives the vxlan device packets above 64 "
    "KB, and all data arrives",
    source="net/core/sock.c: sk_dst_gso_max_size(); man 8 ip-link: gso_max_size",
)
@pytest.mark.control(
    "`gso_max_size` is 65536, the default",
    arguments={"most": 65536},
    because=r"TCP made no packet above 64 KB\nassert \d+ > 65550",
)
@pytest.mark.topology(two_hosts, inner=6, outer=[4, 6], mtu=[1500, 9000])
@pytest.mark.parametrize("most", [131072], ids=["128K"])
def test_big_tcp_arrives(lab, most):
    allow_packets_of(lab, most)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab, size=4 * SIZE)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:vxlan0") > LEGACY, "TCP made no packet above 64 KB"


@pytest.mark.behaviour(
    "with a `gso_max_size` of 131072 TCP over IPv4 gives the vxlan device no packet above 64 KB",
    source="net/core/sock.c: sk_dst_gso_max_size(), gso_ipv4_max_size",
)
@pytest.mark.control(
    "the inner packets are IPv6",
    topology=over_ipv6,
    because=r"TCP made a packet above 64 KB\nassert \d+ <= 65550",
)
@pytest.mark.topology(two_hosts(inner=4))
def test_gso_max_size_does_not_make_ipv4_packets_larger(lab):
    allow_packets_of(lab, 131072)
    with lab.capture("a:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab, size=4 * SIZE)
    assert arrived == sent, "not all data arrived"
    longest = largest_frame(seen, "a:vxlan0")
    assert longest > 30000, "TCP made no large packets"
    assert longest <= LEGACY, "TCP made a packet above 64 KB"


def allow_packets_of(lab, most):
    """Let all devices accept packets of that size; skip where the kernel refuses the setting.

    TCP gets large windows from the start, however slowly the receiver reads.
    """
    for host, other in (("a", "b"), ("b", "a")):
        lab[host].sysctl("net.ipv4.tcp_rmem", "4096 4194304 4194304")
        lab[host].sysctl("net.ipv4.tcp_wmem", "4096 4194304 4194304")
        to, windows = overlay_address(lab, other), ("initcwnd", "300", "initrwnd", "300")
        lab[host].run("ip", "route", "add", to, "dev", "vxlan0", *windows)
    for place in ("a:vxlan0", "a:eth0", "b:vxlan0", "b:eth0"):
        try:
            set_limit(lab, place, "gso_max_size", most)
        except CommandError as error:
            pytest.skip(f"needs gso_max_size {most} (5.19 or later): {error}")
