"""E1: two hosts on one underlay, an address on each vxlan device, with and without a VRF.

    a eth0 192.168.57.50 ──── lan ──── 192.168.57.54 eth0 b
      vxlan0 172.18.1.2                172.18.1.3 vxlan0

a's device is bound to its card and address (`local`, `dev`), b's to nothing: both forms count.
More hosts (c, d, …) come after b; each floods to all others.
"""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest
from address_tools import acquaint

from vxlab import Lab, catalog, diagnose, drop_udp, operations, steps, vxlan

PLACES = {"family": [4, 6], "vrf": [False, True]}

ANY_MAC = "00:00:00:00:00:00"


def device_of(lab, host):
    """The vrf0 that traffic is bound to, where there is one."""
    return "vrf0" if lab.topology.host(host).vteps[0].vrf else None


# How labs are broken for the controls.


def is_vxlan(operation):
    return isinstance(operation, operations.AddLink) and operation.kind == "vxlan"


def with_attributes(operation, **changes):
    """A vxlan device made with other attributes."""
    attributes = {**dict(operation.attributes), **changes}
    return dataclasses.replace(operation, attributes=tuple(attributes.items()))


def in_vni_7(operation):
    return with_attributes(operation, id=7) if is_vxlan(operation) else operation


def from_elsewhere(operation):
    if not is_vxlan(operation) or operation.node != "a":
        return operation
    is_ipv6 = ":" in str(dict(operation.attributes)["remote"])
    return with_attributes(operation, local="fd00:192:168:57::99" if is_ipv6 else "192.168.57.99")


def without_master(operation):
    return dataclasses.replace(operation, master=None) if is_vxlan(operation) else operation


def with_prefix_32(operation):
    if operation == operations.AddAddress("a", "vxlan0", "172.18.1.2/24"):
        return dataclasses.replace(operation, address="172.18.1.2/32")
    return operation


def a_floods_to_b(operation):
    more = isinstance(operation, operations.AddFdb) and operation.node == "a"
    return None if more else operation


def know_a_mac(lab):
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddFdb("a", "vxlan0", "02:00:00:00:00:99", b))


@pytest.mark.behaviour(
    "a vxlan device reads back as it was made, and with the kernel's defaults for the rest",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fill_info()",
)
@pytest.mark.control(
    "a's device is made with another VNI than was asked for", change=in_vni_7, because="'id': 7"
)
@pytest.mark.topology(
    catalog.point_to_point, family=[4, 6], vni=[1, 42, 16777215], port=[8472, 4789, 14789]
)
def test_every_parameter_of_the_device_reads_back(lab):
    for host in lab.topology.hosts:
        (link,) = lab[host.name].ip("-d", "link", "show", "vxlan0")
        found = vxlan.from_json(link["linkinfo"]["info_data"])
        wanted = lab.topology.attributes(host, host.vteps[0])
        assert {name: found.get(name) for name in wanted} == wanted
        assert found["ageing"] == 300
        assert found["udpcsum"] is True
        assert found["udp6zerocsumtx"] is found["udp6zerocsumrx"] is False


@pytest.mark.behaviour(
    "a vxlan device in a VRF is its slave, and uses its table",
    source="drivers/net/vrf.c: vrf_add_slave(), vrf_fill_slave_info()",
)
@pytest.mark.control("the device is put into no VRF", change=without_master)
@pytest.mark.topology(catalog.point_to_point, vrf=True)
def test_the_device_is_a_slave_of_the_vrf(lab):
    (link,) = lab["a"].ip("-d", "link", "show", "vxlan0")
    assert link.get("master") == "vrf0"
    assert link["linkinfo"]["info_slave_kind"] == "vrf"
    assert link["linkinfo"]["info_slave_data"]["table"] == 10


@pytest.mark.behaviour(
    "the address on a vxlan device brings the overlay's route by that device",
    source="net/ipv4/fib_frontend.c: fib_add_ifaddr()",
)
@pytest.mark.control("a's address has no network around it", change=with_prefix_32)
@pytest.mark.topology(catalog.point_to_point, **PLACES)
def test_the_overlay_has_a_route_by_the_device(lab):
    where = ("vrf", "vrf0") if device_of(lab, "a") else ()
    routes = [
        route for route in lab["a"].ip("route", "show", *where) if route["dst"] == "172.18.1.0/24"
    ]
    assert [(r["dev"], r["protocol"], r["scope"], r["prefsrc"]) for r in routes] == [
        ("vxlan0", "kernel", "link", "172.18.1.2")
    ]


@pytest.mark.behaviour(
    "before traffic the FDB has one permanent entry for each remote, and no other",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_dev_create(); man 8 bridge: fdb append",
)
@pytest.mark.control("a knows a MAC beforehand", lab=know_a_mac)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[2, 3, 8])
def test_before_traffic_the_fdb_knows_only_where_to_flood(lab):
    for host in lab.topology.hosts:
        entries = lab[host.name].bridge("fdb", "show", "dev", "vxlan0")
        remotes = lab.topology.remotes(host, host.vteps[0])
        assert len(remotes) == len(lab.topology.hosts) - 1
        assert sorted((e["mac"], e["dst"], e["state"]) for e in entries) == sorted(
            (ANY_MAC, remote, "permanent") for remote in remotes
        )
        assert all("self" in entry["flags"] for entry in entries)


@pytest.mark.behaviour(
    "every VNI from 1 to 2^24 - 1 and every UDP port carries traffic both ways",
    source="RFC 7348, section 5",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}})
@pytest.mark.topology(
    catalog.point_to_point, family=[4, 6], vni=[1, 42, 16777215], port=[8472, 4789, 14789]
)
def test_a_ping_is_answered_whatever_vni_and_port(lab):
    assert lab["a"].ping("172.18.1.3")
    assert lab["b"].ping("172.18.1.2")


@pytest.mark.behaviour(
    "a program bound to a VRF reaches the overlay by the VRF's vxlan device",
    source="Documentation/networking/vrf.rst: Applications",
)
@pytest.mark.control("b's device has VNI 43", vteps={"b": {"id": 43}})
@pytest.mark.topology(catalog.point_to_point, vrf=True, family=[4, 6])
def test_a_ping_from_the_vrf_is_answered(lab):
    assert lab["a"].ping("172.18.1.3", interface="vrf0")


@pytest.mark.behaviour(
    "a vxlan device works bound to its card and address, and bound to neither",
    source="man 8 ip-link: vxlan, dev and local",
)
@pytest.mark.control("a's device sends from an address that a has not", change=from_elsewhere)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], bind=["a", "both", "none"])
def test_a_ping_is_answered_bound_to_the_card_or_not(lab):
    assert lab["a"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "a device with several remotes floods to all of them, so every host reaches every other",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), the loop over fdst->remotes",
)
@pytest.mark.control("a floods to b alone", change=a_floods_to_b)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], hosts=[3, 8])
def test_every_host_reaches_every_other(lab):
    addresses = {host.name: f"172.18.1.{2 + n}" for n, host in enumerate(lab.topology.hosts)}
    for name in addresses:  # one after another: who was asked knows the way back
        others = [address for other, address in addresses.items() if other != name]
        assert lab.unreached((name, other) for other in others) == []


@pytest.mark.behaviour(
    "one flooded ARP request teaches both VTEPs, and what follows is unicast without ARP",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop(); RFC 7348, section 4.1",
)
@pytest.mark.control(
    "a's device does not learn", vteps={"a": {"learning": False}}, because=r"\{'a': \{\}"
)
@pytest.mark.topology(catalog.point_to_point, **PLACES)
def test_the_packet_walk(lab):
    bound, (a, b) = device_of(lab, "a"), [host.nics[0].ip for host in lab.topology.hosts]
    acquaint(lab)
    with lab.capture("b") as seen:
        assert lab["a"].ping("172.18.1.3", interface=bound)
        learned = {host: learned_macs(lab, host) for host in "ab"}
        assert lab["a"].ping("172.18.1.3", count=2, interface=bound)
    inside = [step for step in steps(*taken(seen)) if step.vni is not None]
    walk = [(step.kind, step.vni, step.outer_src, step.outer_dst) for step in inside]
    assert walk == [
        ("who-has", 42, a, b),  # flooded to the one remote there is
        ("is-at", 42, b, a),  # b has learned a's MAC from the question
        ("echo-request", 42, a, b),
        ("echo-reply", 42, b, a),
        *[("echo-request", 42, a, b), ("echo-reply", 42, b, a)] * 2,  # and no ARP again
    ]
    assert inside[0].frame.is_broadcast
    assert learned == {"a": {mac_of(lab, "b"): b}, "b": {mac_of(lab, "a"): a}}
    where = ("vrf", "vrf0") if bound else ("dev", "vxlan0")
    neighbours = lab["a"].ip("neigh", "show", *where)
    assert [(row["dst"], row["lladdr"]) for row in neighbours] == [("172.18.1.3", mac_of(lab, "b"))]


def taken(seen):
    """What `steps` wants to know of the capture at b."""
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
    "on the wire a frame is IP and UDP, a VXLAN header with only the I flag, and the inner frame",
    source="RFC 7348, section 5",
)
@pytest.mark.control("both devices have VNI 7", change=in_vni_7, because=r"\(7, 8\)")
@pytest.mark.topology(catalog.point_to_point, family=[4, 6], port=[4789, 8472, 14789])
def test_a_captured_frame_has_three_layers(lab):
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether
    from scapy.layers.vxlan import VXLAN

    (host, peer), overlay = lab.topology.hosts, lab.topology.segment("overlay")
    with lab.capture("b") as seen:
        assert lab["a"].ping("172.18.1.3")
    (request, _reply) = [packet for packet in seen["b"].packets() if ICMP in packet]
    outer = IP if host.nics[0].interface.version == 4 else IPv6
    assert isinstance(request, Ether)
    assert (request[outer].src, request[outer].dst) == (host.nics[0].ip, peer.nics[0].ip)
    assert request[UDP].dport == overlay.port
    assert (request[VXLAN].vni, int(request[VXLAN].flags)) == (overlay.vni, 0x08)
    inner = request[VXLAN].payload
    assert isinstance(inner, Ether)
    assert (inner[IP].src, inner[IP].dst) == ("172.18.1.2", "172.18.1.3")


@pytest.mark.behaviour(
    "a capture is a valid pcapng stream while it runs",
    source="draft-ietf-opsawg-pcapng, section 3",
)
@pytest.mark.control(
    "the captures are deaf", lab=Lab.deafen_captures, because="the viewer saw no ping"
)
@pytest.mark.topology(catalog.point_to_point, family=[4, 6])
def test_a_live_capture_can_be_piped_into_a_viewer(lab):
    from scapy.layers import inet6, vxlan  # noqa: F401 - so that scapy takes them apart
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


# Controls: the same assertions on a lab that is broken on purpose fail, for the right reason.


def broken(family=4, **changes):
    """The same topology, b's device made differently."""
    return catalog.point_to_point(family=family).with_vtep("b", "overlay", **changes)


def walled(family=4):
    """The same topology, a firewall on b."""
    rules = (drop_udp(4789, 4 if family == 4 else 6),)
    return catalog.point_to_point(family=family).with_host("b", rules=rules)


@pytest.mark.topology(broken, family=[4, 6], id=43)
def test_control_two_vnis_do_not_meet(lab):
    assert not lab["a"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "a", "172.18.1.3").code == "vni-mismatch"


@pytest.mark.topology(broken, family=[4, 6], dstport=4790)
def test_control_two_ports_do_not_meet(lab):
    assert not lab["a"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "a", "172.18.1.3").code == "port-mismatch"


@pytest.mark.topology(walled, family=[4, 6])
def test_control_a_firewall_on_udp_is_fatal(lab):
    assert not lab["a"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "a", "172.18.1.3").code == "firewall"


@pytest.mark.topology(broken, remotes=())
def test_control_a_device_that_knows_no_remote_learns_one_only_from_traffic(lab):
    assert not lab["b"].ping("172.18.1.2", timeout=0.3)
    assert diagnose(lab, "b", "172.18.1.2").code == "no-remote"
    assert lab["a"].ping("172.18.1.3")  # b has learned where a is
    assert lab["b"].ping("172.18.1.2")


@pytest.mark.topology(catalog.point_to_point())
def test_control_a_dead_capture_is_not_taken_for_silence(lab):
    with lab.capture("b") as seen:
        seen["b"].deafen()
        assert lab["a"].ping("172.18.1.3")
    assert not seen["b"].frames
    assert not seen["b"].was_live
