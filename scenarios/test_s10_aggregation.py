"""10.3 GRO: packets that arrive one by one, and are put together before anybody sees them.

    a eth0 192.168.57.1 ──── lan ──── 192.168.57.2 eth0 b
      vxlan0 172.18.1.2               172.18.1.3 vxlan0

a's card cannot cut tunnelled packets, so that they arrive at b in frames of 1514 bytes at most.
With containers (`bridged`) b's vxlan device is in a bridge, and what it takes out goes on.
"""

from __future__ import annotations

import pytest
from offload_tools import (
    CUTS,
    ETHERNET,
    FULL,
    UNMERGED,
    by_tcp,
    by_udp,
    counters,
    grown,
    largest,
    limit,
    offload,
    on_a_switch,
    two_hosts,
    unrecorded,
)

from vxlab import catalog

FAMILIES = {"inner": [4, 6], "outer": [4, 6]}
GRO_CELLS = "drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), gro_cells_receive()"

#: Plain GRO for datagrams that are passed on, which not every kernel has.
FORWARDING = "rx-udp-gro-forwarding"
HAS_FORWARDING = pytest.mark.requires("udp-gro-forwarding")

pytestmark = pytest.mark.requires("ethtool")


@pytest.fixture(autouse=True)
def _arriving_in_pieces(lab):
    unrecorded(lab)
    offload(lab, f"a:eth0 {CUTS} off")


def without_gro(lab):
    offload(lab, "b:vxlan0 gro off")


def with_fraglist(lab):
    offload(lab, "b:vxlan0 rx-gro-list on")


@pytest.mark.behaviour(
    "the vxlan device puts TCP's packets together again once they are out of the tunnel",
    source=GRO_CELLS,
)
@pytest.mark.control("b's device has GRO off", lab=without_gro, because=f"> {FULL}")
@pytest.mark.topology(two_hosts, **FAMILIES)
def test_the_device_puts_packets_together(lab):
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "b:eth0") <= FULL
    assert largest(seen, "b:vxlan0") > FULL


@pytest.mark.behaviour(
    "a vxlan device with GRO off hands up each packet as it came, and all arrives",
    source="net/core/gro_cells.c: gro_cells_receive(), netif_elide_gro()",
)
@pytest.mark.control("it has GRO on", arguments={"state": "on"}, because="<= 1514")
@pytest.mark.topology(two_hosts, **FAMILIES)
@pytest.mark.parametrize("state", ["off"])
def test_without_gro_packets_stay_as_they_came(lab, state):
    offload(lab, f"b:vxlan0 gro {state}")
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "b:vxlan0") <= FULL
    assert len(seen["b:vxlan0"].frames) > UNMERGED


@pytest.mark.behaviour(
    "the vxlan device counts the packets that it took out, before GRO puts them together",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_rcv(), dev_sw_netstats_rx_add()",
)
@pytest.mark.control("b's device has GRO off", lab=without_gro, because="< 180")
@pytest.mark.topology(two_hosts, outer=[4, 6])
def test_what_arrives_is_counted_before_gro(lab):
    before = counters(lab, "b")
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert grown(lab, "b", before, "packets", "rx") > UNMERGED
    assert len(seen["b:vxlan0"].frames) < UNMERGED


@pytest.mark.behaviour(
    "gro_max_size of the vxlan device limits what is made, its Ethernet header not counted",
    source="net/core/gro.c: skb_gro_receive(), gro_max_size",
)
@pytest.mark.known_difference("I14", until="6.1", of="iproute2")
@pytest.mark.requires("gro-max-size")
@pytest.mark.control("it is the kernel's 65536", arguments={"most": 65536}, because="< 8000")
@pytest.mark.topology(two_hosts, inner=[4, 6])
@pytest.mark.parametrize("most", [4000, 8000])
def test_gro_max_size_limits_what_is_made(lab, most):
    limit(lab, "b:vxlan0", "gro_max_size", most)
    with lab.capture("b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert FULL < largest(seen, "b:vxlan0") - ETHERNET < min(most, 8000)


@pytest.mark.behaviour(
    "a card with GRO puts packets together while they are in the tunnel still",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_gro_receive(); drivers/net/veth.c: "
    "veth_skb_is_eligible_for_gro()",
)
@pytest.mark.control(
    "b's card has GRO off", arguments={"state": "off"}, because=rf"{FULL} > {FULL}"
)
@pytest.mark.known_difference("K65", until="6.1")
@pytest.mark.topology(on_a_switch, **FAMILIES)
@pytest.mark.parametrize("state", ["on"])
def test_a_card_puts_tunnelled_packets_together(lab, state):
    offload(lab, "lan:b tso off", f"b:eth0 gro {state}", "b:vxlan0 gro off")
    with lab.capture("lan:b", "b:eth0", "b:vxlan0") as seen:
        sent, arrived = by_tcp(lab)
    assert arrived == sent
    assert largest(seen, "lan:b") <= FULL
    assert largest(seen, "b:eth0") > FULL
    assert largest(seen, "b:vxlan0") > FULL  # its own GRO is off


@pytest.mark.behaviour(
    "datagrams for a socket with UDP_GRO are put together, and read at once",
    source="net/ipv4/udp_offload.c: udp_gro_receive(); man 7 udp: UDP_GRO",
)
@pytest.mark.control("b's device has GRO off", lab=without_gro)
@pytest.mark.topology(two_hosts, **FAMILIES)
def test_datagrams_for_a_socket_that_asks_are_put_together(lab):
    with lab.capture("b:eth0", "b:vxlan0") as seen:
        sent, read = by_udp(lab, gro=True)
    assert b"".join(read) == b"".join(sent)
    assert len(read) < len(sent)
    assert largest(seen, "b:eth0") <= FULL
    assert largest(seen, "b:vxlan0") > FULL


@pytest.mark.behaviour(
    "datagrams for any other socket are not, even with rx-udp-gro-forwarding",
    source="net/ipv4/udp_offload.c: udp_gro_receive()",
)
@pytest.mark.control("b's device has rx-gro-list on", lab=with_fraglist, because="<= 1514")
# IPv6 in IPv4 is left out: the kernel looks for an IPv6 socket only while there is one of a tunnel
# anywhere on the machine (udpv6_encap_needed_key), and without it takes all for forwarded.
@pytest.mark.topology(two_hosts, inner=[4, 6], outer=6)
@pytest.mark.topology(two_hosts, inner=4, outer=4)
@pytest.mark.parametrize(
    "feature",
    [
        pytest.param("gro", id="without"),
        pytest.param(FORWARDING, id="with_forwarding", marks=HAS_FORWARDING),
    ],
)
def test_datagrams_for_other_sockets_are_left_alone(lab, feature):
    offload(lab, f"b:vxlan0 {feature} on")
    with lab.capture("b:vxlan0") as seen:
        sent, read = by_udp(lab)
    assert read == sent
    assert largest(seen, "b:vxlan0") <= FULL


@pytest.mark.behaviour(
    "with rx-gro-list they are put together all the same, and read one by one",
    source="net/ipv4/udp_offload.c: udp_gro_receive(), NAPI_GRO_CB(skb)->is_flist; "
    "net/ipv4/udp.c: udp_queue_rcv_skb()",
)
@pytest.mark.control("it is off", arguments={"state": "off"}, because=rf"> {FULL}")
@pytest.mark.topology(two_hosts, **FAMILIES)
@pytest.mark.parametrize("state", ["on"])
def test_with_fraglist_all_datagrams_are_put_together(lab, state):
    offload(lab, f"b:vxlan0 rx-gro-list {state}")
    with lab.capture("b:vxlan0") as seen:
        sent, read = by_udp(lab)
    assert read == sent
    assert largest(seen, "b:vxlan0") > FULL


@pytest.mark.behaviour(
    "datagrams that go on are put together with rx-udp-gro-forwarding, and with rx-gro-list",
    source="net/ipv4/udp_offload.c: udp_gro_receive(), NETIF_F_GRO_UDP_FWD, NETIF_F_GRO_FRAGLIST",
)
@pytest.mark.control("both are off", arguments={"feature": "gro"}, because=f"> {FULL}")
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.known_difference("K64", until="6.1")
@pytest.mark.parametrize("feature", [pytest.param(FORWARDING, marks=HAS_FORWARDING), "rx-gro-list"])
def test_forwarded_datagrams_are_put_together_on_demand(lab, feature):
    offload(lab, f"b:vxlan0 {feature} on")
    with lab.capture("b:vxlan0", "ns1") as seen:
        sent, read = by_udp(lab, "172.18.1.3", client="ns0", server="ns1")
    assert read == sent
    assert largest(seen, "b:vxlan0") > FULL
    assert largest(seen, "ns1") == largest(seen, "b:vxlan0")


@pytest.mark.behaviour(
    "without them datagrams go on one by one, where TCP is put together",
    source="net/ipv4/udp_offload.c: udp_gro_receive(); net/ipv4/tcp_offload.c: tcp_gro_receive()",
)
@pytest.mark.control("b's device has rx-gro-list on", lab=with_fraglist, because="<= 1514")
@pytest.mark.topology(catalog.bridged, family=[4, 6])
def test_forwarded_datagrams_go_on_one_by_one(lab):
    with lab.capture("ns1") as datagrams:
        sent, read = by_udp(lab, "172.18.1.3", client="ns0", server="ns1")
    with lab.capture("ns1") as stream:
        whole, arrived = by_tcp(lab, "172.18.1.3", client="ns0", server="ns1")
    assert read == sent
    assert largest(datagrams, "ns1") <= FULL
    assert arrived == whole
    assert largest(stream, "ns1") > FULL


@pytest.mark.behaviour(
    "TCP of containers arrives whole with every kind of GRO at the vxlan device",
    source="net/ipv4/tcp_offload.c: tcp_gro_receive(), tcp4_check_fraglist_gro()",
)
@pytest.mark.control("b's device has GRO off", arguments={"setting": "gro off"}, because="> 1514")
@pytest.mark.topology(catalog.bridged, family=[4, 6])
@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("gro on", id="plain"),
        pytest.param("rx-gro-list on", id="fraglist"),
        pytest.param(f"{FORWARDING} on", id="udp_forwarding", marks=HAS_FORWARDING),
    ],
)
def test_tcp_of_containers_arrives_with_every_kind_of_gro(lab, setting):
    offload(lab, f"b:vxlan0 {setting}")
    with lab.capture("b:eth0", "ns1") as seen:
        sent, arrived = by_tcp(lab, "172.18.1.3", client="ns0", server="ns1")
    assert arrived == sent
    assert largest(seen, "b:eth0") <= FULL
    assert largest(seen, "ns1") > FULL
