"""7.1 External mode: VNI and remote come from each packet's metadata, not from the device.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c vxlan0 172.18.1.4
      external

How a's packets get their metadata is the subject of 7.6.
"""

from __future__ import annotations

import errno

import pytest
from device_tools import (
    PORTS,
    B,
    C,
    assert_refused,
    at,
    bare,
    details,
    device,
    encap_route,
    find_link,
    harmless,
    holds,
    swap,
    swap_at,
    udp_ports,
)

from vxlab import ApplyError
from vxlab.operations import AddFdb, AddNeighbour, DelFdb

XMIT = "drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), VXLAN_F_COLLECT_METADATA"
CONF = "drivers/net/vxlan/vxlan_core.c: vxlan_nl2conf()"
RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni()"

pytestmark = [pytest.mark.requires("vxlan.external"), pytest.mark.topology(bare())]

NOT_EXTERNAL = "a's device is not external: it has VNI 7"
not_external = swap_at("a", external=None, id=7)


def make_external_and_ordinary(lab, **more):
    """Make an external device on a, and on b one of VNI 42 with the remote a.

    A VNI beside `external` is set by netlink: `ip` refuses it, the kernel does not.
    """
    by = "netlink" if "id" in more else None
    lab.apply(*device("a", "172.18.1.2/24", external=True, **more), by=by)
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=at(lab, "a")))


def remotes_by_vni(lab):
    """The remotes in the FDB of a's device, by the VNI of their entry."""
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    return {row.get("src_vni"): row["dst"] for row in rows}


@pytest.mark.behaviour(
    "an external device drops a packet without tunnel metadata, and no counter of the device moves",
    source=XMIT,
)
@pytest.mark.control(
    "a's device is not external: it has VNI 42 and the remote b",
    change=swap_at("a", external=None, id=42, remote=B),
    because="a counter of a's device moved",
)
def test_a_packet_without_metadata_is_not_sent(lab):
    make_external_and_ordinary(lab)
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.9", "02:00:00:00:00:09"))
    before = find_link(lab, "a").counters
    with lab.capture("a:vxlan0", "a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.9", b"without")
        seen["a:vxlan0"].wait_for(holds(b"without"), "the datagram without metadata")
        assert find_link(lab, "a").counters == before, "a counter of a's device moved"
        encap_route(lab, "a", "172.18.1.3/32", 42, B)
        lab["a"].send_marked("172.18.1.3", b"with")
        seen["a:eth0"].wait_for(holds(b"with"), "the datagram with metadata")
    seen["a:eth0"].assert_silent(holds(b"without"), "datagram without metadata")


@pytest.mark.behaviour(
    "`ip -d link` shows an external device as `external`, with VNI 0",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fill_info()",
)
@pytest.mark.known_difference("I11", until="6.1", of="iproute2")
@pytest.mark.control(NOT_EXTERNAL, change=not_external, because=r"external is None, the VNI is 7\b")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_an_external_device_shows_vni_0(lab, by):
    lab.apply(*device("a", external=True), by=by)
    found = details(lab, "a")
    external, vni = found.get("external"), found["id"]
    assert (external, vni) == (True, 0), f"external is {external}, the VNI is {vni}"


@pytest.mark.behaviour("an external device has learning on by default", source=CONF)
@pytest.mark.control(
    "a's device has `nolearning`", change=swap(learning=False), because="learning is off"
)
def test_an_external_device_learns(lab):
    lab.apply(*device("a", external=True), by="netlink")
    assert find_link(lab, "a").attributes["learning"] is True, "learning is off"


@pytest.mark.behaviour(
    "`ip` creates an external device with learning off",
    source="ip/iplink_vxlan.c: vxlan_parse_opt()",
)
@pytest.mark.control(
    "`ip` is asked for `learning`", change=swap(learning=True), because="learning is on"
)
def test_an_external_device_that_ip_made_does_not_learn(lab):
    lab.apply(*device("a", external=True), by="iproute2")
    assert find_link(lab, "a").attributes["learning"] is False, "learning is on"


@pytest.mark.behaviour("an external device receives packets of every VNI", source=RECEIVE)
@pytest.mark.control(
    NOT_EXTERNAL, change=not_external, because="for the marked payload b'any VNI'; found no frame"
)
@pytest.mark.topology(bare, family=[4, 6])
@pytest.mark.parametrize("vni", [0, 1, 42, 16777215])
def test_every_vni_is_received(lab, vni):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(*device("b", "172.18.1.3/24", id=vni, remote=at(lab, "a")))
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.2", b"any VNI")
        seen["a:vxlan0"].wait_for_payload(b"any VNI", timeout=3)


@pytest.mark.behaviour(
    "an external device sends an ARP reply to the VTEP and in the VNI that the request came from",
    source="net/ipv4/arp.c: arp_process(), iptunnel_metadata_reply()",
)
@pytest.mark.control(
    NOT_EXTERNAL,
    change=not_external,
    because="for b's datagram, which needs an ARP reply of a; found",
)
@pytest.mark.parametrize("vni", [1, 42, 16777215])
def test_an_arp_reply_goes_back_in_the_vni_of_the_request(lab, vni):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(*device("b", "172.18.1.3/24", id=vni, remote=at(lab, "a")))
    with lab.capture("b:eth0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.2", b"once resolved")
        what = "b's datagram, which needs an ARP reply of a"
        seen["b:eth0"].wait_for(holds(b"once resolved"), what, timeout=3)
    (reply,) = [x for x in seen["b:eth0"].encapsulated() if "reply" in x.inner.summary()]
    assert (reply.vni, reply.outer_dst) == (vni, at(lab, "b"))


@pytest.mark.behaviour(
    "an external device learns a MAC separately in each VNI",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop(), eth_vni_hash()",
)
@pytest.mark.control(
    "a's device has `nolearning`",
    change=swap_at("a", learning=False),
    because="a has not learned the MAC in both VNIs",
)
def test_one_mac_in_two_vnis_is_learned_twice(lab):
    lab.apply(*device("a", external=True), by="netlink")
    mac = "02:00:00:00:00:0b"
    for vni in (42, 43):
        lab.apply(
            *device(
                "b", f"172.18.{vni}.3/24", name=f"vxlan{vni}", mac=mac, id=vni, remote=at(lab, "a")
            ),
            by="netlink",
        )
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        for vni in (42, 43):
            lab["b"].send_marked(f"172.18.{vni}.255", b"vni %d" % vni)
            seen["a:vxlan0"].wait_for_payload(b"vni %d" % vni, timeout=3)
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    learned = {(row["mac"], row.get("src_vni"), row["dst"]) for row in rows}
    wanted = {(mac, 42, B), (mac, 43, B)}
    assert learned == wanted, "a has not learned the MAC in both VNIs"


@pytest.mark.behaviour(
    "an external device opens a UDP socket in IPv4 and one in IPv6",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_sock_add()",
)
@pytest.mark.control(
    NOT_EXTERNAL,
    change=not_external,
    because=r"open UDP ports by family: \{4: \[4789\], 6: \[\]\}",
)
def test_an_external_device_listens_in_both_families(lab):
    lab.apply(*device("a", external=True))
    found = udp_ports(lab, "a")
    assert found == {4: [4789], 6: [4789]}, f"open UDP ports by family: {found}"


@pytest.mark.behaviour(
    "a second external device on the same UDP port is refused",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vni_in_use()",
)
@pytest.mark.control(
    "the second device is not external, and is on another UDP port",
    change=harmless,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_second_external_device_on_the_port_is_refused(lab, by):
    lab.apply(*device("a", external=True))
    with pytest.raises(ApplyError) as refused:
        lab.apply(*device("a", name="bad", up=False, external=True), by=by)
    assert_refused(refused, by, errno.EEXIST, "the specified VNI already exists")
    lab.apply(*device("a", name="other", external=True, dstport=14789), by=by)


@pytest.mark.behaviour(
    "an external device that is given a VNI by netlink receives no packets, not even of that VNI",
    source=RECEIVE,
)
@pytest.mark.control(
    "a's external device has no VNI",
    change=swap_at("a", id=None),
    because="a/vxlan0: wanted no datagram of VNI 42, found",
)
def test_an_external_device_with_a_vni_receives_nothing(lab):
    make_external_and_ordinary(lab, id=42)
    with lab.capture("a:eth0", "a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.255", b"not received")
        seen["a:eth0"].wait_for(holds(b"not received"), "the packet on the lower device")
        assert lab["a"].ping("192.168.57.54")  # its reply comes after the packet
    seen["a:vxlan0"].assert_silent(holds(b"not received"), "datagram of VNI 42")
    assert find_link(lab, "a").attributes["id"] == 42, "a's device has no VNI"


@pytest.mark.behaviour(
    "in an external device's FDB, the same MAC may have a different remote in each VNI",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fdb_parse(), NDA_SRC_VNI",
)
@pytest.mark.control(
    NOT_EXTERNAL, change=not_external, because=rf"remotes by VNI: \{{None: '{B}'\}}"
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_mac_has_a_remote_in_each_vni(lab, by):
    lab.apply(*device("a", external=True))
    mac = "02:00:00:00:00:0b"
    for vni, dst in ((42, B), (43, C)):
        lab.apply(AddFdb("a", "vxlan0", mac, dst, src_vni=vni), by=by)
    found = remotes_by_vni(lab)
    assert found == {42: B, 43: C}, f"remotes by VNI: {found}"
    lab.apply(DelFdb("a", "vxlan0", mac, B, src_vni=42), by=by)
    assert remotes_by_vni(lab) == {43: C}
