"""10.3 GRO: how received packets are merged, in the tunnel or after decapsulation.

    a eth0 192.168.57.1 ──── lan ──── 192.168.57.2 eth0 b
      vxlan0 172.18.1.2               172.18.1.3 vxlan0

The lower device of a cannot segment tunnelled packets, so that they arrive at b in frames of 1514
bytes at most.  With containers (`bridged`) the vxlan device of b is in a bridge, which forwards
what is decapsulated.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    ETHERNET,
    FULL_FRAME,
    TUNNEL_GSO,
    UNMERGED_PACKETS,
    device_statistics,
    growth,
    largest_frame,
    set_limit,
    set_offload,
    tcp_transfer,
    two_hosts,
    two_hosts_on_a_switch,
    udp_transfer,
)

from vxlab import catalog

FAMILIES = {"inner": [4, 6], "outer": [4, 6]}
GRO_CELLS = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), gro_cells_receive()"

#: The feature by which GRO merges datagrams that are forwarded, which not every kernel has.
FORWARDING = "rx-udp-gro-forwarding"
HAS_FORWARDING = pytest.mark.requires("udp-gro-forwarding")

pytestmark = pytest.mark.requires("ethtool")


@pytest.fixture(autouse=True)
def _segmented_at_a(lab):
    lab.stop_recording()
    set_offload(lab, f"a:eth0 {TUNNEL_GSO} off")


def without_gro(lab):
    set_offload(lab, "b:vxlan0 gro off")


def with_gro_list(lab):
    set_offload(lab, "b:vxlan0 rx-gro-list on")


@pytest.mark.behaviour(
    "GRO of the vxlan device merges TCP packets after decapsulation",
    source=GRO_CELLS,
)
@pytest.mark.control(
    "VTEP b has GRO off", lab=without_gro, because=r"no packets were merged\nassert \d+ > 1514"
)
@pytest.mark.topology(two_hosts, **FAMILIES)
def test_gro_of_the_device_merges_tcp_packets(lab):
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:eth0") <= FULL_FRAME, "packets were merged"
    assert largest_frame(seen, "b:vxlan0") > FULL_FRAME, "no packets were merged"


@pytest.mark.behaviour(
    "a vxlan device with GRO off passes on each decapsulated packet by itself, and all data "
    "arrives",
    source="net/core/gro_cells.c: gro_cells_receive(), netif_elide_gro()",
)
@pytest.mark.control(
    "VTEP b has GRO on",
    arguments={"state": "on"},
    because=r"packets were merged\nassert \d+ <= 1514",
)
@pytest.mark.topology(two_hosts, **FAMILIES)
@pytest.mark.parametrize("state", ["off"])
def test_without_gro_packets_are_not_merged(lab, state):
    set_offload(lab, f"b:vxlan0 gro {state}")
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:vxlan0") <= FULL_FRAME, "packets were merged"
    assert len(seen["b:vxlan0"].frames) > UNMERGED_PACKETS, "packets were merged"


@pytest.mark.behaviour(
    "the vxlan device counts decapsulated packets before GRO merges them",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), dev_sw_netstats_rx_add()",
)
@pytest.mark.control(
    "VTEP b has GRO off", lab=without_gro, because=r"no packets were merged\nassert \d+ < 180"
)
@pytest.mark.topology(two_hosts, outer=[4, 6])
def test_packets_are_counted_before_gro(lab):
    before = device_statistics(lab, "b")
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    counted = growth(lab, "b", before, "packets", "rx")
    assert counted > UNMERGED_PACKETS, "merged packets were counted"
    assert len(seen["b:vxlan0"].frames) < UNMERGED_PACKETS, "no packets were merged"


@pytest.mark.behaviour(
    "`gro_max_size` of the vxlan device limits the size of merged packets, Ethernet header "
    "not counted",
    source="net/core/gro.c: skb_gro_receive(), gro_max_size",
)
@pytest.mark.known_difference("I14", until="6.1", of="iproute2")
@pytest.mark.requires("gro-max-size")
@pytest.mark.control(
    "`gro_max_size` of VTEP b is 65536, the default",
    arguments={"most": 65536},
    because=r"GRO made a larger packet\nassert \d+ < 8000",
)
@pytest.mark.topology(two_hosts, inner=[4, 6])
@pytest.mark.parametrize("most", [4000, 8000])
def test_gro_max_size_limits_merged_packets(lab, most):
    set_limit(lab, "b:vxlan0", "gro_max_size", most)
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    longest = largest_frame(seen, "b:vxlan0") - ETHERNET
    assert longest > FULL_FRAME, "no packets were merged"
    assert longest < min(most, 8000), "GRO made a larger packet"


@pytest.mark.behaviour(
    "GRO of the underlay interface merges VXLAN packets of an inner TCP flow before decapsulation",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_gro_receive(); drivers/net/veth.c: "
    "veth_skb_is_eligible_for_gro()",
)
@pytest.mark.control(
    "the underlay interface of b has GRO off",
    arguments={"state": "off"},
    because=r"no packets were merged\nassert 1514 > 1514",
)
@pytest.mark.known_difference("K65", until="6.1")
@pytest.mark.topology(two_hosts_on_a_switch, **FAMILIES)
@pytest.mark.parametrize("state", ["on"])
def test_gro_of_the_underlay_interface_merges_tunnelled_packets(lab, state):
    set_offload(lab, "lan:b tso off", f"b:eth0 gro {state}", "b:vxlan0 gro off")
    with lab.capture("lan:b", "b:eth0", "b:vxlan0") as seen:
        sent, arrived = tcp_transfer(lab)
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "lan:b") <= FULL_FRAME, "packets were merged"
    assert largest_frame(seen, "b:eth0") > FULL_FRAME, "no packets were merged"
    assert largest_frame(seen, "b:vxlan0") > FULL_FRAME, (
        "the packets were segmented"
    )  # GRO of vxlan0 is off


@pytest.mark.behaviour(
    "GRO of the vxlan device merges datagrams for a socket with `UDP_GRO`, and one read "
    "returns several of them",
    source="net/ipv4/udp_offload.c: udp_gro_receive(); man 7 udp: UDP_GRO",
)
@pytest.mark.control(
    "VTEP b has GRO off",
    lab=without_gro,
    because=r"the socket read datagrams one by one\nassert 20 < 20",
)
@pytest.mark.topology(two_hosts, **FAMILIES)
def test_datagrams_for_a_socket_with_udp_gro_are_merged(lab):
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        sent, read = udp_transfer(lab, gro=True)
    assert b"".join(read) == b"".join(sent), "not all datagrams arrived"
    assert len(read) < len(sent), "the socket read datagrams one by one"
    assert largest_frame(seen, "b:eth0") <= FULL_FRAME, "packets were merged"
    assert largest_frame(seen, "b:vxlan0") > FULL_FRAME, "no packets were merged"


@pytest.mark.behaviour(
    "GRO of the vxlan device does not merge datagrams for a socket without `UDP_GRO`, even "
    "with `rx-udp-gro-forwarding`",
    source="net/ipv4/udp_offload.c: udp_gro_receive()",
)
@pytest.mark.control(
    "VTEP b has `rx-gro-list on`",
    lab=with_gro_list,
    because=r"packets were merged\nassert \d+ <= 1514",
)
@pytest.mark.topology(two_hosts, inner=[4, 6], outer=6)
@pytest.mark.topology(two_hosts, inner=4, outer=4)
@pytest.mark.parametrize(
    "feature",
    [
        pytest.param("gro", id="without"),
        pytest.param(FORWARDING, id="with_forwarding", marks=HAS_FORWARDING),
    ],
)
def test_datagrams_for_other_sockets_are_not_merged(lab, feature):
    set_offload(lab, f"b:vxlan0 {feature} on")
    with lab.capture("b:vxlan0") as seen:
        sent, read = udp_transfer(lab)
    assert read == sent, "not all datagrams arrived one by one"
    assert largest_frame(seen, "b:vxlan0") <= FULL_FRAME, "packets were merged"


@pytest.mark.behaviour(
    "with `rx-gro-list` GRO of the vxlan device merges datagrams also for a socket without "
    "`UDP_GRO`, which still reads them one by one",
    source="net/ipv4/udp_offload.c: udp_gro_receive(), NAPI_GRO_CB(skb)->is_flist; "
    "net/ipv4/udp.c: udp_queue_rcv_skb()",
)
@pytest.mark.control(
    "VTEP b has `rx-gro-list off`",
    arguments={"state": "off"},
    because=r"no packets were merged\nassert \d+ > 1514",
)
@pytest.mark.topology(two_hosts, **FAMILIES)
@pytest.mark.parametrize("state", ["on"])
def test_with_rx_gro_list_all_datagrams_are_merged(lab, state):
    set_offload(lab, f"b:vxlan0 rx-gro-list {state}")
    with lab.capture("b:vxlan0") as seen:
        sent, read = udp_transfer(lab)
    assert read == sent, "not all datagrams arrived one by one"
    assert largest_frame(seen, "b:vxlan0") > FULL_FRAME, "no packets were merged"


@pytest.mark.behaviour(
    "GRO of a vxlan device in a bridge merges datagrams that are forwarded to a container "
    "with `rx-udp-gro-forwarding`, and with `rx-gro-list`",
    source="net/ipv4/udp_offload.c: udp_gro_receive(), NETIF_F_GRO_UDP_FWD, NETIF_F_GRO_FRAGLIST",
)
@pytest.mark.control(
    "VTEP b has `rx-udp-gro-forwarding` and `rx-gro-list` off",
    arguments={"feature": "gro"},
    because=r"no packets were merged\nassert \d+ > 1514",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.known_difference("K64", until="6.1")
@pytest.mark.parametrize("feature", [pytest.param(FORWARDING, marks=HAS_FORWARDING), "rx-gro-list"])
def test_forwarded_datagrams_are_merged_with_either_feature(lab, feature):
    set_offload(lab, f"b:vxlan0 {feature} on")
    with lab.capture("b:vxlan0", "ns1") as seen:
        sent, read = udp_transfer(lab, "172.18.1.3", client="ns0", server="ns1")
    assert read == sent, "not all datagrams arrived one by one"
    assert largest_frame(seen, "b:vxlan0") > FULL_FRAME, "no packets were merged"
    assert largest_frame(seen, "ns1") == largest_frame(seen, "b:vxlan0"), (
        "the packets were segmented"
    )


@pytest.mark.behaviour(
    "without `rx-udp-gro-forwarding` and `rx-gro-list` GRO of a vxlan device in a bridge "
    "merges forwarded TCP packets, but not forwarded datagrams",
    source="net/ipv4/udp_offload.c: udp_gro_receive(); net/ipv4/tcp_offload.c: tcp_gro_receive()",
)
@pytest.mark.control(
    "VTEP b has `rx-gro-list on`",
    lab=with_gro_list,
    because=r"packets were merged\nassert \d+ <= 1514",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_forwarded_datagrams_are_not_merged_by_default(lab):
    with lab.capture("ns1") as datagrams:
        sent, read = udp_transfer(lab, "172.18.1.3", client="ns0", server="ns1")
    with lab.capture("ns1") as stream:
        whole, arrived = tcp_transfer(lab, "172.18.1.3", client="ns0", server="ns1")
    assert read == sent, "not all datagrams arrived one by one"
    assert largest_frame(datagrams, "ns1") <= FULL_FRAME, "packets were merged"
    assert arrived == whole, "not all data arrived"
    assert largest_frame(stream, "ns1") > FULL_FRAME, "no packets were merged"


@pytest.mark.behaviour(
    "TCP data of containers arrives complete and in merged packets with each kind of GRO at "
    "the vxlan device: plain, `rx-gro-list`, `rx-udp-gro-forwarding`",
    source="net/ipv4/tcp_offload.c: tcp_gro_receive(), tcp4_check_fraglist_gro()",
)
@pytest.mark.control(
    "VTEP b has GRO off",
    arguments={"setting": "gro off"},
    because=r"no packets were merged\nassert \d+ > 1514",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("gro on", id="plain"),
        pytest.param("rx-gro-list on", id="gro_list"),
        pytest.param(f"{FORWARDING} on", id="udp_forwarding", marks=HAS_FORWARDING),
    ],
)
def test_tcp_of_containers_arrives_with_every_kind_of_gro(lab, setting):
    set_offload(lab, f"b:vxlan0 {setting}")
    with lab.capture("b:eth0", "ns1") as seen:
        sent, arrived = tcp_transfer(lab, "172.18.1.3", client="ns0", server="ns1")
    assert arrived == sent, "not all data arrived"
    assert largest_frame(seen, "b:eth0") <= FULL_FRAME, "packets were merged"
    assert largest_frame(seen, "ns1") > FULL_FRAME, "no packets were merged"
