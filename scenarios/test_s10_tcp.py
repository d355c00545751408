"""10.1 TCP through the tunnel: what segments its packets, and that all data arrives.

    a eth0 ──── lan ──── eth0 b
      vxlan0             vxlan0       IPv4 or IPv6, inside and outside

TCP gives packets of up to 64 KB to the vxlan device, which encapsulates each in one outer packet.
The lower device has to segment it (GSO); a veth claims that it can, and passes it on unsegmented.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    FULL_FRAME,
    TUNNEL_GSO,
    UNMERGED_PACKETS,
    device_statistics,
    growth,
    largest_frame,
    overlay_address,
    set_offload,
    tcp_transfer,
    two_hosts,
)

from vxlab import catalog, frames, vxlan, wait_until
from vxlab.operations import SetLink

FAMILIES = {"inner": [4, 6], "outer": [4, 6]}
#: Settings at a that take away a feature which segmentation needs: the kernel segments then.
WITHOUT_A_FEATURE = {
    "lower_device_without_tso": "a:eth0 tso off",
    "lower_device_without_checksums": "a:eth0 tx off",
    "lower_device_without_scatter": "a:eth0 sg off",
    "lower_device_without_tunnels": f"a:eth0 {TUNNEL_GSO} off",
    "vxlan_device_without_tso": "a:vxlan0 tso off",
    "vxlan_device_without_checksums": "a:vxlan0 tx off",
    "vxlan_device_without_scatter": "a:vxlan0 sg off",
}

pytestmark = pytest.mark.requires("ethtool")


def without_tunnel_gso(lab):
    """Make the kernel segment tunnelled packets before the lower device."""
    set_offload(lab, f"a:eth0 {TUNNEL_GSO} off")


def without_tso(lab):
    """Make the kernel segment TCP packets before the vxlan device."""
    set_offload(lab, "a:vxlan0 tso off")


def with_mtu_1290(lab):
    lab.apply(SetLink("a", "vxlan0", mtu=1290))


@pytest.mark.behaviour(
    "TCP packets longer than the MTU pass the tunnel unsegmented, each in one outer packet",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_build_skb(), iptunnel_handle_offloads(); "
    "drivers/net/veth.c: VETH_FEATURES",
)
@pytest.mark.control(
    "the lower device of VTEP a cannot segment tunnelled packets",
    lab=without_tunnel_gso,
    because=r"the packets were segmented\nassert 1514 > 1514",
)
@pytest.mark.topology(two_hosts, **FAMILIES)
def test_tcp_packets_longer_than_the_mtu_pass_unsegmented(lab):
    set_offload(lab, "b:vxlan0 gro off")  # it would merge packets further
    with lab.capture("a:eth0", "b:eth0", "b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    overhead = vxlan.OVERHEAD[lab.topology.host("a").nics[0].interface.version]
    assert largest_frame(seen, "a:eth0") > FULL_FRAME, "the packets were segmented"
    assert largest_frame(seen, "b:eth0") == largest_frame(seen, "a:eth0")
    assert largest_frame(seen, "b:vxlan0") == largest_frame(seen, "a:eth0") - overhead


@pytest.mark.behaviour(
    "where the lower device or the vxlan device lacks a feature that segmentation needs, "
    "the kernel segments TCP packets before it, and all data arrives",
    source="net/core/dev.c: validate_xmit_skb(), netdev_fix_features(); "
    "Documentation/networking/segmentation-offloads.rst",
)
@pytest.mark.control(
    "the devices of VTEP a keep all features",
    arguments={"setting": "a:eth0 gso on"},
    because=r"the packets were not segmented\nassert \d+ <= 1514",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("setting", WITHOUT_A_FEATURE.values(), ids=WITHOUT_A_FEATURE)
def test_without_a_needed_feature_the_kernel_segments(lab, setting):
    set_offload(lab, setting)
    with lab.capture("a:eth0", "b:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") <= FULL_FRAME, "the packets were not segmented"
    assert largest_frame(seen, "b:eth0") <= FULL_FRAME, "the packets were not segmented"


@pytest.mark.behaviour(
    "`generic-segmentation-offload off` alone, at the lower device or at the vxlan device, "
    "does not make the kernel segment TCP packets",
    source="net/core/dev.c: netif_needs_gso(), net_gso_ok(); net/core/sock.c: sk_setup_caps()",
)
@pytest.mark.control(
    "the lower device of VTEP a cannot segment tunnelled packets",
    lab=without_tunnel_gso,
    because=r"the packets were segmented\nassert 1514 > 1514",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("place", ["a:eth0", "a:vxlan0"], ids=["lower_device", "vxlan_device"])
def test_gso_off_alone_changes_nothing(lab, place):
    set_offload(lab, f"{place} gso off")
    with lab.capture("a:eth0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") > FULL_FRAME, "the packets were segmented"


@pytest.mark.behaviour(
    "the MSS that TCP offers over the tunnel is the MTU of the vxlan device less the inner "
    "IP and TCP headers",
    source="net/ipv4/tcp_output.c: tcp_connect_init(); RFC 9293, section 3.7.1",
)
@pytest.mark.control(
    "the MTU of VTEP a is 1290",
    lab=with_mtu_1290,
    because=r"a offers another MSS\nassert b'\\x02\\x04\\x04",
)
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=[1500, 9000])
def test_the_mss_leaves_room_for_all_headers(lab):
    host = lab.topology.host("a")
    inner_header = 40 if ":" in overlay_address(lab, "a") else 20
    room = lab.topology.mtu(host, host.vteps[0]) - inner_header - 20
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab, size=1000)
        first = seen["b:vxlan0"].wait_for(is_syn, "a's SYN")
    assert arrived == sent, "not all data arrived"
    at = frames.ip_header(first.data).payload + 20
    wanted = b"\x02\x04" + room.to_bytes(2, "big")
    assert first.data[at : at + 4] == wanted, "a offers another MSS"


def is_syn(frame):
    """Whether a frame is the first of a TCP connection."""
    ip = frames.ip_header(frame.data)
    return ip is not None and ip.protocol == 6 and frame.data[ip.payload + 13] == 0x02


@pytest.mark.behaviour(
    "TCP packets of containers that are longer than the MTU pass bridge and tunnel unsegmented",
    source="net/bridge/br_device.c: br_dev_setup(); drivers/net/vxlan/vxlan_core.c: vxlan_xmit()",
)
@pytest.mark.control(
    "the lower device of VTEP a cannot segment tunnelled packets",
    lab=without_tunnel_gso,
    because=r"the packets were segmented\nassert 1514 > 1514",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_tcp_packets_of_containers_pass_unsegmented(lab):
    set_offload(lab, "b:vxlan0 gro off")  # it would merge packets further
    with lab.capture("ns0", "a:eth0", "ns1") as seen:
        sent, arrived = tcp_transfer(lab, "172.18.1.3", client="ns0", server="ns1")
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "a:eth0") > FULL_FRAME, "the packets were segmented"
    assert largest_frame(seen, "ns1") == largest_frame(seen, "ns0")


@pytest.mark.behaviour(
    "a TCP packet that passes the tunnel unsegmented is one packet in the counters of the "
    "vxlan device",
    source="include/net/ip_tunnels.h: iptunnel_xmit_stats()",
)
@pytest.mark.control(
    "VTEP a has `tcp-segmentation-offload off`, so TCP packets are segmented before it",
    lab=without_tso,
    because=r"more packets were counted than TCP made\nassert \d+ < 180",
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
def test_an_unsegmented_packet_is_counted_once(lab):
    before = device_statistics(lab, "a")
    sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    wait_until(lambda: growth(lab, "a", before, "bytes", "tx") > sent[0], "all bytes to be counted")
    counted = growth(lab, "a", before, "packets", "tx")
    assert counted < UNMERGED_PACKETS, "more packets were counted than TCP made"
