"""10.1 TCP through the tunnel: who cuts its packets, and that all of it arrives.

    a eth0 ──── lan ──── eth0 b
      vxlan0             vxlan0       IPv4 or IPv6, inside and outside

TCP hands over up to 64 KB at once.  The vxlan device puts its headers before that, and the card
is to cut it (GSO): a veth says that it can, and passes it on in one piece.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    CUTS,
    FULL,
    UNMERGED,
    address_of,
    by_tcp,
    counters,
    grown,
    largest,
    offload,
    two_hosts,
)

from vxlab import catalog, wait_until
from vxlab.observe.frames import ip_header
from vxlab.operations import SetLink

FAMILIES = {"inner": [4, 6], "outer": [4, 6]}
#: On a's card or device: what takes away the ability to cut, and by that makes the kernel do it.
CUTTING = {
    "card_without_tso": "a:eth0 tso off",
    "card_without_checksums": "a:eth0 tx off",
    "card_without_scatter": "a:eth0 sg off",
    "card_without_tunnels": f"a:eth0 {CUTS} off",
    "device_without_tso": "a:vxlan0 tso off",
    "device_without_checksums": "a:vxlan0 tx off",
    "device_without_scatter": "a:vxlan0 sg off",
}

pytestmark = pytest.mark.requires("ethtool")


def cut(lab):
    """The card does not cut, so the kernel does."""
    offload(lab, f"a:eth0 {CUTS} off")


def cut_before(lab):
    """The vxlan device does not cut either, so TCP's packets are cut before it."""
    offload(lab, "a:vxlan0 tso off")


def shorter(lab):
    lab.apply(SetLink("a", "vxlan0", mtu=1290))


@pytest.mark.behaviour(
    "TCP's packets pass the tunnel uncut, each in one outer packet longer than the MTU",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_build_skb(), iptunnel_handle_offloads(); "
    "drivers/net/veth.c: VETH_FEATURES",
)
@pytest.mark.control("a's card cannot cut tunnelled packets", lab=cut, because=r"1514 > 1514")
@pytest.mark.topology(two_hosts, **FAMILIES)
def test_tcp_leaves_in_packets_larger_than_the_mtu(lab):
    offload(lab, "b:vxlan0 gro off")  # it would put packets together, further
    with lab.capture("a:eth0", "b:eth0", "b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    overhead = 50 if lab.topology.host("a").nics[0].interface.version == 4 else 70
    assert largest(seen, "a:eth0") > FULL
    assert largest(seen, "b:eth0") == largest(seen, "a:eth0")
    assert largest(seen, "b:vxlan0") == largest(seen, "a:eth0") - overhead


@pytest.mark.behaviour(
    "where card or vxlan device lack an ability that is needed, the kernel cuts, and all arrives",
    source="net/core/dev.c: validate_xmit_skb(), netdev_fix_features(); "
    "Documentation/networking/segmentation-offloads.rst",
)
@pytest.mark.control(
    "card and device keep all abilities", arguments={"setting": "a:eth0 gso on"}, because="<= 1514"
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("setting", CUTTING.values(), ids=CUTTING)
def test_without_offload_no_frame_is_larger_than_the_mtu(lab, setting):
    offload(lab, setting)
    with lab.capture("a:eth0", "b:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:eth0") <= FULL
    assert largest(seen, "b:eth0") <= FULL


@pytest.mark.behaviour(
    "generic-segmentation-offload alone changes nothing: abilities to cut have names of their own",
    source="net/core/dev.c: netif_needs_gso(), net_gso_ok(); net/core/sock.c: sk_setup_caps()",
)
@pytest.mark.control("a's card cannot cut tunnelled packets", lab=cut, because=r"1514 > 1514")
@pytest.mark.topology(two_hosts, outer=[4, 6])
@pytest.mark.parametrize("place", ["a:eth0", "a:vxlan0"], ids=["of_the_card", "of_the_device"])
def test_gso_off_alone_changes_nothing(lab, place):
    offload(lab, f"{place} gso off")
    with lab.capture("a:eth0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "a:eth0") > FULL


@pytest.mark.behaviour(
    "the MSS that TCP offers is the vxlan device's MTU less the inner headers",
    source="net/ipv4/tcp_output.c: tcp_connect_init(); RFC 9293, section 3.7.1",
)
@pytest.mark.control("a's device has an MTU of 1290", lab=shorter)
@pytest.mark.topology(two_hosts, **FAMILIES, mtu=[1500, 9000])
def test_the_mss_leaves_room_for_all_headers(lab):
    host = lab.topology.host("a")
    inner = 6 if ":" in address_of(lab, "a") else 4
    room = lab.topology.mtu(host, host.vteps[0]) - (20 if inner == 4 else 40) - 20
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = by_tcp(lab, size=1000)
        first = seen["b:vxlan0"].wait_for(is_syn, "a's SYN")
    assert arrived == sent
    at = ip_header(first.data).payload + 20
    assert first.data[at : at + 4] == b"\x02\x04" + room.to_bytes(2, "big")


def is_syn(frame):
    ip = ip_header(frame.data)
    return ip is not None and ip.protocol == 6 and frame.data[ip.payload + 13] == 0x02


@pytest.mark.behaviour(
    "packets of containers pass bridge and tunnel uncut too",
    source="net/bridge/br_device.c: br_dev_setup(); drivers/net/vxlan/vxlan_core.c: vxlan_xmit()",
)
@pytest.mark.control("a's card cannot cut tunnelled packets", lab=cut, because=r"1514 > 1514")
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_tcp_of_containers_crosses_uncut(lab):
    offload(lab, "b:vxlan0 gro off")  # it would put packets together, further
    with lab.capture("ns0", "a:eth0", "ns1") as seen:
        sent, arrived = by_tcp(lab, "172.18.1.3", client="ns0", server="ns1")
    assert arrived == sent
    assert largest(seen, "a:eth0") > FULL
    assert largest(seen, "ns1") == largest(seen, "ns0")


@pytest.mark.behaviour(
    "one packet sent uncut is one packet to the vxlan device's counters",
    source="include/net/ip_tunnels.h: iptunnel_xmit_stats()",
)
@pytest.mark.control("the vxlan device is given packets that are cut", lab=cut_before)
@pytest.mark.topology(two_hosts, outer=[4, 6])
def test_an_uncut_packet_is_counted_once(lab):
    before = counters(lab, "a")
    sent, arrived = by_tcp(lab)
    assert arrived == sent
    wait_until(lambda: grown(lab, "a", before, "bytes", "tx") > sent[0], "all bytes to be counted")
    assert grown(lab, "a", before, "packets", "tx") < UNMERGED
