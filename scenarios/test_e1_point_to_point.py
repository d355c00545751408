"""E1: two hosts on one underlay, an address on each vxlan device, with and without a VRF.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0

a's device is bound to its card and address (`dev`, `local`), b's device to neither, so that both
forms are tested. More hosts (c, d, …) come after b; each floods to all others.
"""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest
from address_tools import acquaint
from article_tools import addresses, mtus, underlay_of, unlike_defaults

from vxlab import Lab, catalog, operations, steps, vxlan

FAMILIES_AND_VRF = {"family": [4, 6], "vrf": [False, True]}

#: The MAC of the FDB entry that says where to flood.
ZERO_MAC = "00:00:00:00:00:00"


#: The addresses of the vxlan devices.
OVERLAY = {name: f"172.18.1.{number}" for number, name in enumerate("abcdefgh", 2)}


def vrf_of(chosen):
    """The VRF that traffic is bound to, None where a case has none."""
    return "vrf0" if chosen.get("vrf") else None


# How labs are broken for the controls.


def is_vxlan(operation):
    return isinstance(operation, operations.AddLink) and operation.kind == "vxlan"


def with_attributes(operation, **changes):
    """The operation that creates a vxlan device, with other attributes."""
    attributes = {**dict(operation.attributes), **changes}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


def in_vni_7(operation):
    return with_attributes(operation, id=7) if is_vxlan(operation) else operation


def with_a_foreign_local_address(operation):
    if not is_vxlan(operation) or operation.node != "a":
        return operation
    is_ipv6 = ":" in str(dict(operation.attributes)["remote"])
    return with_attributes(operation, local="fd00:192:168:57::99" if is_ipv6 else "192.168.57.99")


def without_dev_at_a(topology):
    return topology.with_vtep("a", "overlay", dev=False)


def without_master(operation):
    return dataclasses.replace(operation, master=None) if is_vxlan(operation) else operation


def with_prefix_32(operation):
    if operation == operations.AddAddress("a", "vxlan0", "172.18.1.2/24"):
        return dataclasses.replace(operation, address="172.18.1.2/32")
    return operation


def without_further_remotes_at_a(operation):
    """Leave out the remotes of a's device that come after the first, which is b."""
    is_further_remote = isinstance(operation, operations.AddFdb) and operation.node == "a"
    return None if is_further_remote else operation


def add_a_static_entry(lab):
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddFdb("a", "vxlan0", "02:00:00:00:00:99", b))


@pytest.mark.behaviour(
    "a vxlan device reads back the attributes it was created with, and the kernel's defaults for "
    "ageing and UDP checksums",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fill_info()",
)
@pytest.mark.control(
    "both vxlan devices are created with VNI 7 instead of the VNI asked for",
    change=in_vni_7,
    because=r"vxlan device reads back \{'id': 7, ",
)
@pytest.mark.topology(
    catalog.point_to_point, family=[4, 6], vni=[1, 42, 16777215], port=[8472, 4789, 14789]
)
def test_every_attribute_of_the_device_reads_back(lab, chosen):
    a, b = underlay_of(chosen).values()
    both = {"id": chosen["vni"], "dstport": chosen["port"]}
    for host, own in (
        ("a", {"remote": b, "local": a, "dev": "eth0"}),
        ("b", {"remote": a}),  # without `local` and `dev`
    ):
        found = unlike_defaults(lab, host, "vxlan0")
        assert found == both | own, f"{host}'s vxlan device reads back {found}"
        (link,) = lab[host].ip("-d", "link", "show", "vxlan0")
        shown = vxlan.from_json(link["linkinfo"]["info_data"])
        assert {name: shown.get(name) for name in found} == found
        assert shown["ageing"] == 300
        assert shown["udpcsum"] is True
        assert shown["udp6zerocsumtx"] is False
        assert shown["udp6zerocsumrx"] is False


@pytest.mark.behaviour(
    "a vxlan device that is bound to a lower device has its MTU less 50 (over IPv6 70), one that "
    "is not has 1500; both take the addresses they are given",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_dev_configure(), vxlan_config_apply()",
)
@pytest.mark.control(
    "a's vxlan device is not bound to its card",
    topology=without_dev_at_a,
    because=r"the MTUs are \{'a:eth0': 1500, 'a:vxlan0': 1500, ",
)
@pytest.mark.topology(catalog.point_to_point, **FAMILIES_AND_VRF)
def test_addresses_and_mtus_are_those_of_the_article(lab, chosen):
    a, b = underlay_of(chosen).values()
    length = 24 if chosen["family"] == 4 else 64
    assert addresses(lab) == {
        "a:eth0": [f"{a}/{length}"],
        "a:vxlan0": ["172.18.1.2/24"],
        "b:eth0": [f"{b}/{length}"],
        "b:vxlan0": ["172.18.1.3/24"],
    }
    found = mtus(lab, "a:eth0", "a:vxlan0", "b:eth0", "b:vxlan0")
    bound = 1450 if chosen["family"] == 4 else 1430
    wanted = {"a:eth0": 1500, "a:vxlan0": bound, "b:eth0": 1500, "b:vxlan0": 1500}
    assert found == wanted, f"the MTUs are {found}"


@pytest.mark.behaviour(
    "a vxlan device in a VRF is a slave of the VRF device, and the kernel shows the VRF's routing "
    "table for it",
    source="drivers/net/vrf.c: vrf_add_slave(), vrf_fill_slave_info()",
)
@pytest.mark.control(
    "the vxlan devices are not put into the VRF",
    change=without_master,
    because="vxlan0 is a slave of None",
)
@pytest.mark.topology(catalog.point_to_point, vrf=True)
def test_the_device_is_a_slave_of_the_vrf(lab):
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan0")
    assert link.get("master") == "vrf0", f"vxlan0 is a slave of {link.get('master')}"
    assert link["linkinfo"]["info_slave_kind"] == "vrf"
    assert link["linkinfo"]["info_slave_data"]["table"] == 10


@pytest.mark.behaviour(
    "an address on a vxlan device creates the connected route to the overlay's network over that "
    "device",
    source="net/ipv4/fib_frontend.c: fib_add_ifaddr()",
)
@pytest.mark.control(
    "a's overlay address has the prefix length 32, and so no connected network",
    change=with_prefix_32,
    because=r"the routes to the overlay's network are \[\]",
)
@pytest.mark.topology(catalog.point_to_point, **FAMILIES_AND_VRF)
def test_the_overlay_has_a_connected_route_over_the_device(lab, chosen):
    where = ("vrf", "vrf0") if vrf_of(chosen) else ()
    routes = [
        route for route in lab["a"].ip("route", "show", *where) if route["dst"] == "172.18.1.0/24"
    ]
    found = [(r["dev"], r["protocol"], r["scope"], r["prefsrc"]) for r in routes]
    wanted = [("vxlan0", "kernel", "link", "172.18.1.2")]
    assert found == wanted, f"the routes to the overlay's network are {found}"


@pytest.mark.behaviour(
    "before any traffic a vxlan device's FDB holds one permanent entry of the all-zero MAC for "
    "each remote, and no other entry",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_dev_create(); man 8 bridge: fdb append",
)
@pytest.mark.control(
    "a's FDB has a static entry for another MAC",
    lab=add_a_static_entry,
    because=r"a's FDB holds other entries than those of its remotes: .*'02:00:00:00:00:99'",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[2, 3, 8])
def test_before_traffic_the_fdb_holds_only_the_remotes_to_flood_to(lab, chosen):
    underlay = underlay_of(chosen)
    for host, own in underlay.items():
        entries = lab[host].bridge("fdb", "show", "dev", "vxlan0")
        found = sorted((e["mac"], e["dst"], e["state"]) for e in entries)
        others = [address for address in underlay.values() if address != own]
        wanted = sorted((ZERO_MAC, remote, "permanent") for remote in others)
        more = f"{host}'s FDB holds other entries than those of its remotes: {found}"
        assert found == wanted, more
        assert all("self" in entry["flags"] for entry in entries)


@pytest.mark.behaviour(
    "two vxlan devices carry traffic both ways with the VNIs 1, 42 and 16777215 and the UDP ports "
    "4789, 8472 and 14789",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "b's vxlan device has VNI 43, a's has another",
    vteps={"b": {"id": 43}},
    because=r"a got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(
    catalog.point_to_point, family=[4, 6], vni=[1, 42, 16777215], port=[8472, 4789, 14789]
)
def test_a_ping_is_answered_whatever_the_vni_and_port(lab):
    assert lab["a"].ping("172.18.1.3"), "a got no echo reply from 172.18.1.3"
    assert lab["b"].ping("172.18.1.2"), "b got no echo reply from 172.18.1.2"


@pytest.mark.behaviour(
    "a program bound to a VRF reaches the overlay through the VRF's vxlan device",
    source="Documentation/networking/vrf.rst: Applications",
)
@pytest.mark.control(
    "b's vxlan device has VNI 43, a's has another",
    vteps={"b": {"id": 43}},
    because=r"a got no echo reply from 172\.18\.1\.3 over vrf0",
)
@pytest.mark.topology(catalog.point_to_point, vrf=True, family=[4, 6])
def test_a_ping_from_the_vrf_is_answered(lab):
    answered = lab["a"].ping("172.18.1.3", interface="vrf0")
    assert answered, "a got no echo reply from 172.18.1.3 over vrf0"


@pytest.mark.behaviour(
    "a vxlan device carries traffic both with `dev` and `local` set and without them",
    source="man 8 ip-link: vxlan, dev and local",
)
@pytest.mark.control(
    "the `local` address of a's vxlan device is not an address of a",
    change=with_a_foreign_local_address,
    because=r"a got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind=["a", "both", "none"])
def test_a_ping_is_answered_with_and_without_dev_and_local(lab):
    assert lab["a"].ping("172.18.1.3"), "a got no echo reply from 172.18.1.3"


@pytest.mark.behaviour(
    "a vxlan device with several remotes floods to all of them, so every host reaches every other",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), the loop over fdst->remotes",
)
@pytest.mark.control(
    "a's vxlan device has b as its only remote",
    change=without_further_remotes_at_a,
    because=r"no echo reply for \[\('a', '172\.18\.1\.4'\)",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[3, 8])
def test_every_host_reaches_every_other(lab, chosen):
    names = list(underlay_of(chosen))
    for name in names:  # one after another: a host that was pinged has learned the way back
        others = [OVERLAY[other] for other in names if other != name]
        unreached = lab.unreached((name, other) for other in others)
        assert unreached == [], f"no echo reply for {unreached}"


@pytest.mark.behaviour(
    "one flooded ARP request and its reply make both VTEPs learn the peer's MAC; the frames after "
    "it are unicast and need no further ARP",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop(); RFC 7348, section 4.1",
)
@pytest.mark.control(
    "a's vxlan device has `nolearning`",
    vteps={"a": {"learning": False}},
    because=r"the VTEPs have learned \{'a': \{\}, 'b': \{'",
)
@pytest.mark.topology(catalog.point_to_point, **FAMILIES_AND_VRF)
def test_one_arp_exchange_makes_both_vteps_learn_the_peer(lab, chosen):
    bound, (a, b) = vrf_of(chosen), underlay_of(chosen).values()
    acquaint(lab)
    with lab.capture("b") as seen:
        assert lab["a"].ping("172.18.1.3", interface=bound)
        learned = {host: learned_macs(lab, host) for host in "ab"}
        assert lab["a"].ping("172.18.1.3", count=2, interface=bound)
    inside = [step for step in steps(*complete_capture(seen)) if step.vni is not None]
    walk = [(step.kind, step.vni, step.outer_src, step.outer_dst) for step in inside]
    assert walk == [
        ("who-has", 42, a, b),  # flooded to a's only remote
        ("is-at", 42, b, a),  # b has learned a's MAC from the request
        ("echo-request", 42, a, b),
        ("echo-reply", 42, b, a),
        *[("echo-request", 42, a, b), ("echo-reply", 42, b, a)] * 2,  # without further ARP
    ]
    assert [step.frame.is_broadcast for step in inside] == [True] + [False] * (len(inside) - 1)
    wanted = {"a": {mac_of(lab, "b"): b}, "b": {mac_of(lab, "a"): a}}
    assert learned == wanted, f"the VTEPs have learned {learned}"
    where = ("vrf", "vrf0") if bound else ("dev", "vxlan0")
    neighbours = lab["a"].ip("neigh", "show", *where)
    assert [(row["dst"], row["lladdr"]) for row in neighbours] == [("172.18.1.3", mac_of(lab, "b"))]


def complete_capture(seen):
    """The frames and ports of the capture at b, which was live and dropped nothing."""
    assert seen["b"].was_live
    assert not seen["b"].dropped
    return seen["b"].frames, seen["b"].ports


def learned_macs(lab, host):
    """The MACs that a vxlan device has learned, with the VTEP each is behind."""
    entries = lab[host].bridge("fdb", "show", "dev", "vxlan0")
    return {entry["mac"]: entry["dst"] for entry in entries if entry["state"] != "permanent"}


def mac_of(lab, host):
    (link,) = lab[host].ip("link", "show", "vxlan0")
    return link["address"]


@pytest.mark.behaviour(
    "a packet on the underlay consists of an outer IP and UDP header, a VXLAN header with only "
    "the I flag set, and the inner Ethernet frame",
    source="RFC 7348, section 5",
)
@pytest.mark.control(
    "both vxlan devices have VNI 7 instead of 42",
    change=in_vni_7,
    because=r"the VXLAN header's VNI and flags are \(7, 8\)",
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], port=[4789, 8472, 14789])
def test_a_packet_has_outer_headers_a_vxlan_header_and_the_inner_frame(lab, chosen):
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether
    from scapy.layers.vxlan import VXLAN

    a, b = underlay_of(chosen).values()
    with lab.capture("b") as seen:
        assert lab["a"].ping("172.18.1.3")
    (request, _reply) = [packet for packet in seen["b"].packets() if ICMP in packet]
    outer = IP if chosen["family"] == 4 else IPv6
    assert isinstance(request, Ether)
    assert (request[outer].src, request[outer].dst) == (a, b)
    assert request[UDP].dport == chosen["port"]
    header = (request[VXLAN].vni, int(request[VXLAN].flags))
    assert header == (42, 0x08), f"the VXLAN header's VNI and flags are {header}"
    inner = request[VXLAN].payload
    assert isinstance(inner, Ether)
    assert (inner[IP].src, inner[IP].dst) == ("172.18.1.2", "172.18.1.3")


@pytest.mark.behaviour(
    "a capture can be read as a pcapng stream while it is running",
    source="draft-ietf-opsawg-pcapng, section 3",
)
@pytest.mark.control(
    "the captures record no frame", lab=Lab.deafen_captures, because="the viewer saw no ping"
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6])
def test_a_live_capture_can_be_piped_into_a_viewer(lab):
    from scapy.layers import inet6, vxlan  # noqa: F401 - so that scapy dissects them
    from scapy.layers.inet import ICMP
    from scapy.utils import PcapNgReader

    shown, enough = [], threading.Event()

    def viewer(pipe):
        with PcapNgReader(pipe) as reader:
            for packet in reader:
                shown.append(packet)
                if ICMP in packet:
                    enough.set()

    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb") as target:
        looking = threading.Thread(target=viewer, args=(source,))
        with lab.capture("b") as seen:
            seen["b"].pipe_to(target)
            looking.start()
            assert lab["a"].ping("172.18.1.3")
            assert enough.wait(10), "the viewer saw no ping while the capture was running"
        target.close()
        looking.join(10)
    assert not looking.is_alive()
    assert len(shown) == len(seen["b"].frames)
