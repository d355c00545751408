"""7.3 GPE: IP travels without an Ethernet header, and the header says which protocol it is.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0
      external gpe, port 4790          external gpe

A route with a lightweight tunnel leads to the other end.  The header (draft-ietf-nvo3-vxlan-gpe,
section 3) is 0x0c for the flags I and P, and the next protocol in the fourth byte: 1 IPv4, 2 IPv6.
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
    harmless,
    holds,
    link_of,
    swap,
    swap_at,
    udp_ports,
)

from vxlab import ApplyError
from vxlab.operations import AddAddress, AddLink, SetSysctl
from vxlab.reference import ReferenceVtep

VALIDATE = "drivers/net/vxlan/vxlan_core.c: vxlan_config_validate(), VXLAN_F_ALLOWED_GPE"
BUILD = "drivers/net/vxlan/vxlan_core.c: vxlan_build_gpe_hdr()"
PARSE = "drivers/net/vxlan/vxlan_core.c: vxlan_parse_gpe_proto()"
REFUSED = "VXLAN GPE does not support this combination of attributes"
GPE = {"external": True, "gpe": True, "learning": False, "dstport": 4790}
HERE = {4: "172.18.1.2", 6: "fd00:18::2"}
THERE = {4: "172.18.1.3", 6: "fd00:18::3"}

pytestmark = [pytest.mark.requires("vxlan.gpe"), pytest.mark.topology(bare())]

ethernet = swap(gpe=None)


def ends(lab, *nodes, **more):
    """A gpe device on each node, with addresses and routes to the other end."""
    for node in nodes:
        here, there, far = (HERE, THERE, "b") if node == "a" else (THERE, HERE, "a")
        lab.apply(*device(node, f"{here[4]}/24", **{**GPE, **more}))
        lab.apply(SetSysctl(node, "net.ipv6.conf.vxlan0.disable_ipv6", "0"))
        lab.apply(AddAddress(node, "vxlan0", f"{here[6]}/64"))
        encap_route(lab, node, f"{there[4]}/32", 42, at(lab, far), "csum")
        encap_route(lab, node, f"{there[6]}/128", 42, at(lab, far), "csum")
    for node in nodes:
        wait_for_addresses(lab, node)


def bare_ip(data):
    """A marked datagram to a's overlay address, as an IP packet."""
    from scapy.layers.inet import IP, UDP

    return IP(src="172.18.1.3", dst="172.18.1.2") / UDP(sport=1, dport=40404) / (b"vxlab:" + data)


def outer_8(operation):
    outer = isinstance(operation, AddLink) and operation.name == "outer"
    return swap_at("b", id=8)(operation) if outer else operation


@pytest.mark.behaviour("gpe is refused with what it does not go with", source=VALIDATE)
@pytest.mark.control("a good device is asked for", change=harmless, because="DID NOT RAISE")
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


@pytest.mark.behaviour("gpe goes with vnifilter, checksums and localbypass", source=VALIDATE)
@pytest.mark.control("gbp is asked for too", change=swap(gbp=True), because=REFUSED)
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
def test_gpe_is_accepted_with(lab, more, by):
    lab.apply(*device("a", **{**GPE, **more}), by=by)
    assert link_of(lab, "a").attributes["gpe"] is True


@pytest.mark.behaviour(
    "a gpe device has no MAC, asks for no neighbours, and listens on port 4790",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_raw_setup()",
)
@pytest.mark.control("the device has no gpe", change=ethernet)
def test_a_gpe_device_has_no_ethernet(lab):
    lab.apply(*device("a", **{**GPE, "dstport": 0}))
    found = link_of(lab, "a")
    assert {"POINTOPOINT", "NOARP"} <= set(found.flags)
    assert found.mac == ""
    assert udp_ports(lab, "a")[4] == [4790]


@pytest.mark.behaviour("IP leaves without Ethernet, under its next protocol", source=BUILD)
@pytest.mark.control("the devices have no gpe", change=ethernet, because="0800|waited|ping")
@pytest.mark.topology(bare, family=[4, 6])
@pytest.mark.parametrize("inner", [4, 6], ids=["ipv4", "ipv6"])
def test_the_header_names_the_protocol_of(lab, inner):
    ends(lab, "a", "b")
    with lab.capture("b:eth0", ports=PORTS) as seen:
        lab["a"].send_marked(THERE[inner], b"bare ip")
        frame = seen["b:eth0"].wait_for(holds(b"bare ip"), "the datagram", timeout=3)
    start = 42 if ":" not in at(lab, "a") else 62
    assert frame.data[start : start + 8].hex() == f"0c00000{1 if inner == 4 else 2}00002a00"
    assert frame.data[start + 8] >> 4 == inner


@pytest.mark.behaviour("two gpe devices reach each other in IPv4 and IPv6", source=PARSE)
@pytest.mark.control("b's device has no gpe", change=swap_at("b", gpe=None), because="ping")
@pytest.mark.topology(bare, family=[4, 6])
@pytest.mark.parametrize("inner", [4, 6], ids=["ipv4", "ipv6"])
def test_two_gpe_devices_reach_each_other_in(lab, inner):
    ends(lab, "a", "b")
    assert lab["a"].ping(THERE[inner], timeout=3)
    assert lab["b"].ping(HERE[inner], timeout=3)


@pytest.mark.behaviour("nobody asks for a MAC", source=BUILD)
@pytest.mark.control("the devices have no gpe", change=ethernet, because="ARP")
def test_nobody_asks_for_a_mac(lab):
    ends(lab, "a", "b")
    with lab.capture("a:vxlan0", ports=PORTS) as seen:
        assert lab["a"].ping("172.18.1.3", timeout=3)
    passed = [frame.summary() for frame in seen["a:vxlan0"].frames]
    assert [line.split()[0] for line in passed] == ["ICMP", "ICMP"]


@pytest.mark.behaviour("kernel and reference reach each other in GPE", source=PARSE)
@pytest.mark.control("a's device has no gpe", change=ethernet, because="ping")
def test_the_kernel_and_the_reference_reach_each_other(lab):
    ends(lab, "a")
    with ReferenceVtep(lab["b"], gpe=True, port=4790) as far:
        assert lab["a"].ping("172.18.1.3", timeout=3)
        assert far.ping("172.18.1.2", timeout=3)
        assert [row.problem for row in far.received] == [""] * len(far.received)


HEADERS = {
    "an-oam-packet": {"flags": 0x0D},
    "version-1": {"flags": 0x1C},
    "next-protocol-0": {"reserved1": 0},
    "next-protocol-200": {"reserved1": 200},
    "a-reserved-bit": {"reserved1": 0x010001},
    "a-next-protocol-without-p": {"flags": 0x08},
    "the-b-flag": {"flags": 0x0E},
}


@pytest.mark.behaviour("what is no plain GPE header is dropped", source=PARSE)
@pytest.mark.control("it is a plain one", arguments={"header": {}}, because="wanted no")
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_gpe_drops(lab, header):
    ends(lab, "a")
    with (
        ReferenceVtep(lab["b"], gpe=True, port=4790) as far,
        lab.capture("a:vxlan0", ports=PORTS) as seen,
    ):
        far.send(bare_ip(b"odd"), **header)
        far.send(bare_ip(b"plain"))
        seen["a:vxlan0"].wait_for(holds(b"plain"), "the plain one")
    seen["a:vxlan0"].assert_silent(holds(b"odd"), "packet with that header")


@pytest.mark.behaviour("a gpe tunnel runs inside of another VXLAN", source=BUILD)
@pytest.mark.control("the outer device of b has VNI 8", change=outer_8, because="ping")
def test_gpe_runs_inside_of_vxlan(lab):
    for node, here, far in (("a", 1, B), ("b", 2, at(lab, "a"))):
        lab.apply(*device(node, f"10.7.0.{here}/24", name="outer", id=7, remote=far))
        lab.apply(*device(node, f"172.18.1.{here + 1}/24", **GPE))
        encap_route(lab, node, f"172.18.1.{4 - here}/32", 42, f"10.7.0.{3 - here}")
    with lab.capture("a:eth0", "a:outer", ports=PORTS) as seen:
        assert lab["a"].ping("172.18.1.3", timeout=2)
    carried = [row for row in seen["a:eth0"].encapsulated() if row.inner.udp_ports]
    assert {(row.vni, row.port, row.inner.udp_ports[1]) for row in carried} == {(7, 4789, 4790)}
    assert {row.vni for row in seen["a:outer"].encapsulated()} == {42}
