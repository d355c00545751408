"""7.1 External: VNI and remote come with each packet, as metadata, and not from the device.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b vxlan0 172.18.1.3
      vxlan0 172.18.1.2             └── .55 eth0 c vxlan0 172.18.1.4
      external

What gives a's packets metadata is the matter of 7.6.
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
    harmless,
    holds,
    link_of,
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

not_external = swap_at("a", external=None, id=7)


def external(lab, **more):
    """a's external device, and b's ordinary one, which knows a.

    `ip` refuses a VNI beside `external`, the kernel does not.
    """
    by = "netlink" if "id" in more else None
    lab.apply(*device("a", "172.18.1.2/24", external=True, **more), by=by)
    lab.apply(*device("b", "172.18.1.3/24", id=42, remote=at(lab, "a")))


@pytest.mark.behaviour(
    "a packet without metadata does not leave, and no counter tells", source=XMIT
)
@pytest.mark.control(
    "the device is an ordinary one", change=swap_at("a", external=None, id=42, remote=B)
)
def test_without_metadata_nothing_leaves(lab):
    external(lab)
    lab.apply(AddNeighbour("a", "vxlan0", "172.18.1.9", "02:00:00:00:00:09"))
    before = link_of(lab, "a").counters
    with lab.capture("a:vxlan0", "a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked("172.18.1.9", b"without")
        seen["a:vxlan0"].wait_for(holds(b"without"), "the datagram")
        assert link_of(lab, "a").counters == before
        encap_route(lab, "a", "172.18.1.3/32", 42, B)
        lab["a"].send_marked("172.18.1.3", b"with")
        seen["a:eth0"].wait_for(holds(b"with"), "a datagram with metadata")
    seen["a:eth0"].assert_silent(holds(b"without"), "datagram without metadata")


@pytest.mark.behaviour(
    "an external device reads back as external, with VNI 0",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fill_info()",
)
@pytest.mark.known_difference("I11", until="6.1", of="iproute2")
@pytest.mark.control("the device is an ordinary one", change=not_external)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_an_external_device_shows_vni_0(lab, by):
    lab.apply(*device("a", external=True), by=by)
    found = details(lab, "a")
    assert (found.get("external"), found["id"]) == (True, 0)


@pytest.mark.behaviour("an external device learns, unless it is told not to", source=CONF)
@pytest.mark.control("it is told not to", change=swap(learning=False), because="learning")
def test_an_external_device_learns(lab):
    lab.apply(*device("a", external=True), by="netlink")
    assert link_of(lab, "a").attributes["learning"] is True, "learning"


@pytest.mark.behaviour(
    "ip tells an external device not to learn", source="ip/iplink_vxlan.c: vxlan_parse_opt()"
)
@pytest.mark.control("learning is asked for", change=swap(learning=True), because="learning")
def test_an_external_device_that_ip_made_does_not_learn(lab):
    lab.apply(*device("a", external=True), by="iproute2")
    assert link_of(lab, "a").attributes["learning"] is False, "learning"


@pytest.mark.behaviour("an external device receives every VNI", source=RECEIVE)
@pytest.mark.control("a's device is an ordinary one", change=not_external, because="marked payload")
@pytest.mark.topology(bare, family=[4, 6])
@pytest.mark.parametrize("vni", [0, 1, 42, 16777215])
def test_every_vni_is_received(lab, vni):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(*device("b", "172.18.1.3/24", id=vni, remote=at(lab, "a")))
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.2", b"any VNI")
        seen["a:vxlan0"].wait_for_payload(b"any VNI", timeout=3)


@pytest.mark.behaviour(
    "an ARP reply takes the way back that the question's metadata shows",
    source="net/ipv4/arp.c: arp_process(), iptunnel_metadata_reply()",
)
@pytest.mark.control("a's device is an ordinary one", change=not_external, because="ARP reply")
@pytest.mark.parametrize("vni", [1, 42, 16777215])
def test_an_arp_reply_goes_back_in_the_vni_of_the_question(lab, vni):
    lab.apply(*device("a", "172.18.1.2/24", external=True))
    lab.apply(*device("b", "172.18.1.3/24", id=vni, remote=at(lab, "a")))
    with lab.capture("b:eth0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.2", b"once resolved")
        seen["b:eth0"].wait_for(holds(b"once resolved"), "an ARP reply to go by", timeout=3)
    (reply,) = [x for x in seen["b:eth0"].encapsulated() if "reply" in x.inner.summary()]
    assert (reply.vni, reply.outer_dst) == (vni, at(lab, "b"))


@pytest.mark.behaviour(
    "what is learned is kept by VNI",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop(), eth_vni_hash()",
)
@pytest.mark.control("a does not learn", change=swap_at("a", learning=False), because="set")
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
    assert {(row["mac"], row.get("src_vni"), row["dst"]) for row in rows} == {
        (mac, 42, B),
        (mac, 43, B),
    }


@pytest.mark.behaviour(
    "an external device listens in both families",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_sock_add()",
)
@pytest.mark.control("the device is an ordinary one", change=not_external)
def test_an_external_device_listens_in_both_families(lab):
    lab.apply(*device("a", external=True))
    assert udp_ports(lab, "a") == {4: [4789], 6: [4789]}


@pytest.mark.behaviour(
    "a second external device on the same port is refused",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_vni_in_use()",
)
@pytest.mark.control("it is an ordinary one on another port", change=harmless, because="DID NOT")
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_second_external_device_on_the_port_is_refused(lab, by):
    lab.apply(*device("a", external=True))
    with pytest.raises(ApplyError) as refused:
        lab.apply(*device("a", name="bad", up=False, external=True), by=by)
    assert_refused(refused, by, errno.EEXIST, "the specified VNI already exists")
    lab.apply(*device("a", name="other", external=True, dstport=14789), by=by)


@pytest.mark.behaviour(
    "an external device that was given a VNI by the kernel receives nothing", source=RECEIVE
)
@pytest.mark.control("it is given none", change=swap_at("a", id=None), because="nothing")
def test_an_external_device_with_a_vni_is_deaf(lab):
    external(lab, id=42)
    assert link_of(lab, "a").attributes["id"] == 42, "nothing was asked for"
    with lab.capture("a:eth0", "a:vxlan0", ports=PORTS) as seen:
        lab["b"].send_marked("172.18.1.255", b"unheard")
        seen["a:eth0"].wait_for(holds(b"unheard"), "the packet at the card")
        assert lab["a"].ping("192.168.57.54")  # comes after what went before
    seen["a:vxlan0"].assert_silent(holds(b"unheard"), "nothing")


@pytest.mark.behaviour(
    "one MAC may have a remote in each VNI",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fdb_parse(), NDA_SRC_VNI",
)
@pytest.mark.control("the device is an ordinary one", change=not_external)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
def test_a_mac_has_a_remote_in_each_vni(lab, by):
    lab.apply(*device("a", external=True))
    mac = "02:00:00:00:00:0b"
    for vni, dst in ((42, B), (43, C)):
        lab.apply(AddFdb("a", "vxlan0", mac, dst, src_vni=vni), by=by)
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    assert {row.get("src_vni"): row["dst"] for row in rows} == {42: B, 43: C}
    lab.apply(DelFdb("a", "vxlan0", mac, B, src_vni=42), by=by)
    rows = lab["a"].bridge("fdb", "show", "dev", "vxlan0")
    assert [row.get("src_vni") for row in rows] == [43]
