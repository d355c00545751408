"""7.3 GPE: inner IP packets have no Ethernet header, and the VXLAN header names their protocol.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0
      external gpe, port 4790          external gpe

A route with `encap ip` leads to the other end.  The header (draft-ietf-nvo3-vxlan-gpe, section 3)
is 0x0c for the flags I and P, and the next protocol in the fourth byte: 1 IPv4, 2 IPv6.
"""

from __future__ import annotations

import errno

import pytest
from address_tools import wait_for_addresses
from device_tools import (
    PORTS,
    B,
    assert_refused,
    at,
    bare,
    device,
    encap_route,
    find_link,
    harmless,
    holds,
    swap,
    swap_at,
    udp_ports,
)

from vxlab import ApplyError, ReferenceVtep
from vxlab.operations import AddAddress, AddLink, AddNeighbour, SetSysctl

VALIDATE = "drivers/net/vxlan/vxlan_core.c: vxlan_config_validate(), VXLAN_F_ALLOWED_GPE"
BUILD = "drivers/net/vxlan/vxlan_core.c: vxlan_build_gpe_hdr()"
PARSE = "drivers/net/vxlan/vxlan_core.c: vxlan_parse_gpe_proto()"
REFUSED = "VXLAN GPE does not support this combination of attributes"
GPE = {"external": True, "gpe": True, "learning": False, "dstport": 4790}
#: The overlay addresses of a and b, by family.
OVERLAY = {
    "a": {4: "172.18.1.2", 6: "fd00:18::2"},
    "b": {4: "172.18.1.3", 6: "fd00:18::3"},
}
NEXT_PROTOCOL = {4: "01", 6: "02"}

pytestmark = [pytest.mark.requires("vxlan.gpe"), pytest.mark.topology(bare())]

NEITHER_HAS_GPE = "neither device has `gpe`"
without_gpe = swap(gpe=None)


def make_gpe_devices(lab, *nodes):
    """Make a gpe device on each node, with addresses and routes to the other end."""
    for node in nodes:
        other = "b" if node == "a" else "a"
        lab.apply(*device(node, f"{OVERLAY[node][4]}/24", **GPE))
        lab.apply(SetSysctl(node, "net.ipv6.conf.vxlan0.disable_ipv6", "0"))
        lab.apply(AddAddress(node, "vxlan0", f"{OVERLAY[node][6]}/64"))
        encap_route(lab, node, f"{OVERLAY[other][4]}/32", 42, at(lab, other), "csum")
        encap_route(lab, node, f"{OVERLAY[other][6]}/128", 42, at(lab, other), "csum")
    for node in nodes:
        wait_for_addresses(lab, node)


def ip_datagram(data):
    """A datagram with a marked payload to a's overlay address, as an IP packet."""
    from scapy.layers.inet import IP, UDP

    return IP(src="172.18.1.3", dst="172.18.1.2") / UDP(sport=1, dport=40404) / (b"vxlab:" + data)


def outer_vni_8_at_b(operation):
    """A control: b's outer device has VNI 8."""
    if isinstance(operation, AddLink) and operation.name == "outer":
        return swap_at("b", id=8)(operation)
    return operation


@pytest.mark.behaviour(
    "`gpe` is refused without `external`, and with `gbp`, `learning`, `proxy`, `rsc`, `l2miss`, "
    "`l3miss`, `remcsumtx`, `remcsumrx` or `ttl inherit`",
    source=VALIDATE,
)
@pytest.mark.control(
    "an ordinary device without `gpe` is created instead",
    change=harmless,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"external": None, "id": 42}, id="without-external"),
        pytest.param({"gbp": True}, id="with-gbp"),
        pytest.param({"learning": True}, id="with-learning"),
        pytest.param({"proxy": True}, id="with-proxy"),
        pytest.param({"rsc": True}, id="with-rsc"),
        pytest.param({"l2miss": True}, id="with-l2miss"),
        pytest.param({"l3miss": True}, id="with-l3miss"),
        pytest.param({"remcsumtx": True}, id="with-remcsumtx"),
        pytest.param({"remcsumrx": True}, id="with-remcsumrx"),
        pytest.param({"ttl_inherit": True}, id="with-ttl-inherit"),
    ],
)
def test_gpe_is_refused(lab, more, by):
    wanted = {name: value for name, value in {**GPE, **more}.items() if value is not None}
    with pytest.raises(ApplyError) as refused:
        lab.apply(AddLink("a", "bad", "vxlan", 0, tuple(wanted.items())), by=by)
    assert_refused(refused, by, errno.EINVAL, REFUSED)


@pytest.mark.behaviour(
    "`gpe` is accepted alone, and with `vnifilter`, `noudpcsum`, or `udp6zerocsumtx` and "
    "`udp6zerocsumrx`",
    source=VALIDATE,
)
@pytest.mark.control("the device also has `gbp`", change=swap(gbp=True), because=REFUSED)
@pytest.mark.parametrize("by", ["netlink", "iproute2"])
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="nothing-else"),
        pytest.param({"udp6zerocsumrx": True, "udp6zerocsumtx": True}, id="zero-checksums"),
        pytest.param({"udpcsum": False}, id="noudpcsum"),
        pytest.param({"vnifilter": True}, id="vnifilter"),
    ],
)
def test_gpe_is_accepted(lab, more, by):
    lab.apply(*device("a", **{**GPE, **more}), by=by)
    assert find_link(lab, "a").attributes["gpe"] is True


@pytest.mark.behaviour(
    "a `gpe` device has no MAC address, does no ARP, and by default uses UDP port 4790",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_raw_setup()",
)
@pytest.mark.control(
    "the device has no `gpe`",
    change=without_gpe,
    because="the device has not both of the flags POINTOPOINT and NOARP",
)
def test_a_gpe_device_has_no_mac(lab):
    lab.apply(*device("a", **{**GPE, "dstport": 0}))
    found = find_link(lab, "a")
    wanted = {"POINTOPOINT", "NOARP"}
    assert wanted <= set(found.flags), "the device has not both of the flags POINTOPOINT and NOARP"
    assert found.mac == ""
    assert udp_ports(lab, "a")[4] == [4790]


@pytest.mark.behaviour(
    "a `gpe` device sends IP packets without an Ethernet header, with IPv4 or IPv6 as the next "
    "protocol in the VXLAN header",
    source=BUILD,
)
@pytest.mark.control(
    NEITHER_HAS_GPE, change=without_gpe, because="the VXLAN header is 0800000000002a00"
)
@pytest.mark.topology(bare, family=[4, 6])
@pytest.mark.parametrize("inner", [4, 6], ids=["ipv4", "ipv6"])
def test_the_header_names_the_inner_protocol(lab, inner):
    make_gpe_devices(lab, "a", "b")
    # A gpe device needs no MAC; those of the control send without waiting for one.
    lab.apply(AddNeighbour("a", "vxlan0", OVERLAY["b"][inner], "02:00:00:00:00:03"))
    with lab.capture("b:eth0", ports=PORTS) as seen:
        lab["a"].send_marked(OVERLAY["b"][inner], b"bare ip")
        frame = seen["b:eth0"].wait_for(holds(b"bare ip"), "the datagram", timeout=3)
    start = 42 if ":" not in at(lab, "a") else 62
    header = frame.data[start : start + 8].hex()
    assert header == f"0c0000{NEXT_PROTOCOL[inner]}00002a00", f"the VXLAN header is {header}"
    assert frame.data[start + 8] >> 4 == inner


@pytest.mark.behaviour("two `gpe` devices reach each other with IPv4 and with IPv6", source=PARSE)
@pytest.mark.control(
    "b's device has no `gpe`", change=swap_at("b", gpe=None), because="b did not answer a's ping"
)
@pytest.mark.topology(bare, family=[4, 6])
@pytest.mark.parametrize("inner", [4, 6], ids=["ipv4", "ipv6"])
def test_two_gpe_devices_reach_each_other(lab, inner):
    make_gpe_devices(lab, "a", "b")
    assert lab["a"].ping(OVERLAY["b"][inner], timeout=3), "b did not answer a's ping"
    assert lab["b"].ping(OVERLAY["a"][inner], timeout=3), "a did not answer b's ping"


@pytest.mark.behaviour("a `gpe` device sends no ARP request before an IP packet", source=BUILD)
@pytest.mark.control(NEITHER_HAS_GPE, change=without_gpe, because="passed a's device: ARP, ARP")
def test_a_gpe_device_sends_no_arp(lab):
    make_gpe_devices(lab, "a", "b")
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        assert lab["a"].ping("172.18.1.3", timeout=3), "b did not answer a's ping"
    passed = [frame.summary().split()[0] for frame in seen["a:vxlan0"].frames]
    assert passed == ["ICMP", "ICMP"], f"passed a's device: {', '.join(passed)}"


@pytest.mark.behaviour(
    "a `gpe` device and the reference VTEP (in Python) answer each other's pings", source=PARSE
)
@pytest.mark.control(
    "a's device has no `gpe`",
    change=without_gpe,
    because="the reference did not answer the kernel's ping",
)
def test_the_kernel_and_the_reference_reach_each_other(lab):
    make_gpe_devices(lab, "a")
    with ReferenceVtep(lab["b"], gpe=True, port=4790) as reference:
        answered = lab["a"].ping("172.18.1.3", timeout=3)
        assert answered, "the reference did not answer the kernel's ping"
        answered = reference.ping("172.18.1.2", timeout=3)
        assert answered, "the kernel did not answer the reference's ping"
        assert [row.problem for row in reference.received] == [""] * len(reference.received)


HEADERS = {
    "an-oam-packet": {"flags": 0x0D},
    "version-1": {"flags": 0x1C},
    "next-protocol-0": {"reserved1": 0},
    "next-protocol-200": {"reserved1": 200},
    "a-reserved-bit": {"reserved1": 0x010001},
    "a-next-protocol-without-p": {"flags": 0x08},
    "the-b-flag": {"flags": 0x0E},
}


@pytest.mark.behaviour(
    "a `gpe` device drops a packet with the flag O (OAM) or B, without P, with another version, "
    "an unknown next protocol or a reserved bit",
    source=PARSE,
)
@pytest.mark.control(
    "the packet has an ordinary GPE header",
    arguments={"header": {}},
    because="a/vxlan0: wanted no packet with an unusual header, found",
)
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_an_unusual_gpe_header_is_dropped(lab, header):
    make_gpe_devices(lab, "a")
    with (
        ReferenceVtep(lab["b"], gpe=True, port=4790) as reference,
        lab.capture("a:vxlan0", ports=PORTS) as seen,
    ):
        reference.send(ip_datagram(b"unusual"), **header)
        reference.send(ip_datagram(b"ordinary"))
        seen["a:vxlan0"].wait_for(holds(b"ordinary"), "the packet with an ordinary header")
    seen["a:vxlan0"].assert_silent(holds(b"unusual"), "packet with an unusual header")


@pytest.mark.behaviour("a `gpe` tunnel works inside another VXLAN tunnel", source=BUILD)
@pytest.mark.control(
    "b's outer device has VNI 8",
    change=outer_vni_8_at_b,
    because="b did not answer a's ping through both tunnels",
)
def test_gpe_works_inside_vxlan(lab):
    for node, here, far in (("a", 1, B), ("b", 2, at(lab, "a"))):
        lab.apply(*device(node, f"10.7.0.{here}/24", name="outer", id=7, remote=far))
        lab.apply(*device(node, f"172.18.1.{here + 1}/24", **GPE))
        encap_route(lab, node, f"172.18.1.{4 - here}/32", 42, f"10.7.0.{3 - here}")
    with lab.capture("a:eth0", "a:outer", ports=PORTS) as seen:
        answered = lab["a"].ping("172.18.1.3", timeout=2)
    assert answered, "b did not answer a's ping through both tunnels"
    carried = [row for row in seen["a:eth0"].encapsulated() if row.inner.udp_ports]
    assert {(row.vni, row.port, row.inner.udp_ports[1]) for row in carried} == {(7, 4789, 4790)}
    assert {row.vni for row in seen["a:outer"].encapsulated()} == {42}
