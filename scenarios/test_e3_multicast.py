"""E3: as E2, flooding to a multicast group in place of remotes, with more than two hosts.

Some scenarios at the end have a multicast router between the hosts.

ns0 ── br0 ── vxlan0 ─ a ══╗
ns1 ── br0 ── vxlan0 ─ b ══╬══ lan      group 224.1.1.1 (IPv6: ff08::239:1:1:1)
ns2 ── br0 ── vxlan0 ─ c ══╝
"""

from __future__ import annotations

import pytest
from absence_tools import assert_not_decapsulated, assert_not_routed
from article_tools import addresses, mtus, underlay_of, unlike_defaults

from vxlab import catalog, decapsulate, diagnose, operations, steps, wait_until

#: The MAC of the FDB entry that says where to flood.
ZERO_MAC = "00:00:00:00:00:00"


def group_of(chosen):
    """The multicast group of a case: the article's, unless the case names one."""
    return chosen.get("group") or {4: "224.1.1.1", 6: "ff08::239:1:1:1"}[chosen.get("family", 4)]


def hosts_of(chosen):
    return list(underlay_of(chosen, hosts=3))


# How labs are broken for the controls.


def is_ipv6(topology):
    return topology.host("a").nics[0].interface.version == 6


def in_another_group(topology):
    """The topology with another multicast group at b's vxlan device."""
    return topology.with_vtep("b", "overlay", group="ff05::9" if is_ipv6(topology) else "239.9.9.9")


def flooding_to_a_group(topology):
    """The topology with a multicast group in place of unicast remotes."""
    family = 6 if is_ipv6(topology) else 4
    return catalog.multicast(family=family, hosts=len(topology.hosts))


def with_a_routable_group(topology):
    return catalog.routed(router=topology.router("router").daemon, group="239.1.1.1")


def add_a_static_entry(lab):
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddFdb("a", "vxlan0", "02:00:00:00:00:99", b))


def add_b_as_a_remote(lab):
    """Let a flood to b's address besides the group."""
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddFdb("a", "vxlan0", ZERO_MAC, b, append=True))


def take_down_a(lab):
    lab.apply(operations.SetLink("a", "vxlan0", up=False))


def stop_the_daemon(lab):
    lab.stop_daemon("router")


@pytest.mark.behaviour(
    "before any traffic the FDB of a vxlan device with a multicast group has one entry with a "
    "remote: a permanent one from the all-zero MAC to the group",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_dev_create()",
)
@pytest.mark.control(
    "a's FDB has a static entry for another MAC",
    lab=add_a_static_entry,
    because=r"a's FDB holds other entries than the group's: .*'02:00:00:00:00:99'",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6], vni=[1, 42, 16777215])
def test_before_traffic_the_fdb_holds_only_the_group(lab, chosen):
    for host in hosts_of(chosen):
        entries = [
            e for e in lab[host].bridge("fdb", "show") if e["ifname"] == "vxlan0" and "dst" in e
        ]
        found = [(e["mac"], e["dst"], e["state"]) for e in entries]
        wanted = [(ZERO_MAC, group_of(chosen), "permanent")]
        assert found == wanted, f"{host}'s FDB holds other entries than the group's: {found}"


@pytest.mark.behaviour(
    "vxlan devices with a group in place of a remote have no local address, and the kernel's "
    "defaults besides; card, device, bridge and containers have the MTU as with a remote",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_fill_info(), vxlan_config_apply()",
)
@pytest.mark.control(
    "a's vxlan device has an ageing time of 299 s",
    vteps={"a": {"ageing": 299}},
    because=r"a's vxlan device has .*'ageing': 299",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6])
def test_addresses_mtus_and_settings_are_those_of_the_article(lab, chosen):
    length, inner = (24, 1450) if chosen["family"] == 4 else (64, 1430)
    wanted = {"id": 42, "group": group_of(chosen), "dev": "eth0", "dstport": 4789}
    for host, container in (("a", "ns0"), ("b", "ns1"), ("c", "ns2")):
        found = unlike_defaults(lab, host, "vxlan0")
        assert found == wanted, f"{host}'s vxlan device has {found}"
        inside = (f"{container}:eth0", f"{host}:{container}-eth0", f"{host}:br0", f"{host}:vxlan0")
        assert mtus(lab, *inside) == dict.fromkeys(inside, inner)
        assert mtus(lab, f"{host}:eth0") == {f"{host}:eth0": 1500}
    underlay = underlay_of(chosen, hosts=3).items()
    assert addresses(lab) == {f"{host}:eth0": [f"{own}/{length}"] for host, own in underlay} | {
        "ns0:eth0": ["172.18.1.2/24"],
        "ns1:eth0": ["172.18.1.3/24"],
        "ns2:eth0": ["172.18.1.4/24"],
    }


@pytest.mark.behaviour(
    "a vxlan device that is up makes its lower device a member of its multicast group",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_igmp_join()",
)
@pytest.mark.control(
    "a's vxlan device is down",
    lab=take_down_a,
    because=r"a's eth0 is not a member of (224\.1\.1\.1|239\.1\.1\.1|ff08::239:1:1:1)",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6])
@pytest.mark.topology(catalog.multicast, group="239.1.1.1")
def test_each_vtep_is_a_member_of_the_group(lab, chosen):
    group = group_of(chosen)
    for host in hosts_of(chosen):
        joined = groups_in(lab[host].ip("maddr", "show", "dev", "eth0"))
        assert group in joined, f"{host}'s eth0 is not a member of {group}"


def groups_in(rows):
    """The groups in the answer of `ip maddr`."""
    return [entry["address"] for row in rows for entry in row["maddr"] if "address" in entry]


@pytest.mark.behaviour(
    "a vxlan device that is set down sends a report that it leaves its multicast group, and one "
    "that is set up sends a report that it joins the group",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_open(), vxlan_stop()",
)
@pytest.mark.control(
    "a's vxlan device stays up all the time",
    without=operations.SetLink,
    because=r"waited .* for a to leave (224\.1\.1\.1|ff08::239:1:1:1)",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6])
def test_joining_and_leaving_are_reported_on_the_wire(lab, chosen):
    group, a = group_of(chosen), lab["a"].ip("link", "show", "eth0")[0]["address"]

    def report(what, since=0):
        """A report from a: other hosts join the group too, and a did when its device was made."""
        return seen["b"].wait_for(
            lambda frame: (
                frame.src == a and frame.time_ns > since and f"{what} {group}" in frame.summary()
            ),
            f"a to {what} {group}",
        )

    with lab.capture("b") as seen:
        lab.apply(operations.SetLink("a", "vxlan0", up=False))
        left = report("leave")
        lab.apply(operations.SetLink("a", "vxlan0", up=True))
        frame = report("join", since=left.time_ns)
    assert frame.summary().startswith("IGMP" if chosen["family"] == 4 else "ICMPv6 MLD")


@pytest.mark.behaviour(
    "containers reach each other through a multicast group on two, three and eight hosts, and with "
    "the UDP ports 4789, 8472 and 14789",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control(
    "b's vxlan device has another multicast group than the others",
    topology=in_another_group,
    because=r"ns0 got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=[2, 3, 8])
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=2, port=[8472, 14789])
def test_containers_reach_each_other(lab, chosen):
    assert lab["ns0"].ping("172.18.1.3"), "ns0 got no echo reply from 172.18.1.3"
    others = range(1, chosen["hosts"])
    assert lab.unreached(("ns0", f"172.18.1.{2 + number}") for number in others) == []


@pytest.mark.behaviour(
    "on one link VXLAN floods to multicast groups of every scope, from link-local to global",
    source="RFC 7348, section 4.2; RFC 5771; RFC 4291, section 2.7",
)
@pytest.mark.control(
    "b's vxlan device has another multicast group than the others",
    topology=in_another_group,
    because=r"ns0 got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(catalog.multicast, group=["224.1.1.1", "239.1.1.1", "224.0.0.100"])
@pytest.mark.topology(
    catalog.multicast, family=6, group=["ff02::100", "ff05::100", "ff08::239:1:1:1", "ff0e::100"]
)
def test_groups_of_any_scope_work_on_one_link(lab):
    assert lab["ns0"].ping("172.18.1.3"), "ns0 got no echo reply from 172.18.1.3"


@pytest.mark.behaviour(
    "containers reach each other through a multicast group also where the bridges are in a VRF",
    source="Documentation/networking/vrf.rst",
)
@pytest.mark.control(
    "b's vxlan device has another multicast group than the others",
    topology=in_another_group,
    because=r"ns0 got no echo reply from 172\.18\.1\.3",
)
@pytest.mark.topology(catalog.multicast, vrf=True, family=[4, 6])
def test_containers_reach_each_other_with_the_bridge_in_a_vrf(lab):
    assert lab["ns0"].ping("172.18.1.3"), "ns0 got no echo reply from 172.18.1.3"


@pytest.mark.behaviour(
    "an ARP request flooded to a multicast group reaches every VTEP of the group, and VTEPs that "
    "have no reply to send learn the sender's MAC from it as well",
    source="RFC 7348, section 4.2; drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control(
    "c's vxlan device has `nolearning`",
    vteps={"c": {"learning": False}},
    because=r"c's FDB has the sender's MAC behind \[\]",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=[3, 8])
def test_every_vtep_of_the_group_learns_from_a_flooded_arp_request(lab, chosen):
    hosts = hosts_of(chosen)
    others = hosts[2:]
    with lab.capture(*hosts) as seen:
        assert lab["ns0"].ping("172.18.1.3")
        for host in others:
            seen[host].wait_for(
                lambda frame: bool(decapsulate(frame, seen["a"].ports)), "the flooded ARP request"
            )
    a = underlay_of(chosen)["a"]
    mac = lab["ns0"].ip("link", "show", "eth0")[0]["address"]
    for host in others:
        tunnelled = [step for step in steps(seen[host].frames, seen[host].ports) if step.vni]
        assert {(step.kind, step.outer_dst) for step in tunnelled} == {
            ("who-has", group_of(chosen))
        }
        entries = [e for e in lab[host].bridge("fdb", "show") if e["mac"] == mac and "dst" in e]
        learned = [entry["dst"] for entry in entries]
        assert learned == [a], f"{host}'s FDB has the sender's MAC behind {learned}"
        seen[host].assert_silent(
            lambda frame: frame.outgoing and bool(decapsulate(frame, seen["a"].ports)),
            f"encapsulated frame from {host}",
        )


@pytest.mark.behaviour(
    "with a multicast group the sender sends one copy of a flooded frame, however many hosts are "
    "in the group, and a unicast frame goes to its destination's host alone",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control(
    "a's vxlan device has b as a remote besides the group",
    lab=add_b_as_a_remote,
    because=r"copies of the flooded frame on the hosts' links: \{'a': 2, ",
)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=[3, 8])
def test_with_multicast_the_sender_sends_one_copy_of_a_flooded_frame(lab, chosen, record_property):
    hosts = hosts_of(chosen)
    assert lab["ns0"].ping("172.18.1.3")  # both ends are learned from it
    unicast = copies_on_links(lab, hosts, "172.18.1.3", receivers=["b"])
    flooded = copies_on_links(lab, hosts, "172.18.1.255", receivers=hosts[1:])
    record_property("copies of one unicast frame on the hosts' links", unicast)
    record_property("copies of one flooded frame on the hosts' links", flooded)
    assert unicast == {host: int(host in ("a", "b")) for host in hosts}
    once = dict.fromkeys(hosts, 1)
    assert flooded == once, f"copies of the flooded frame on the hosts' links: {flooded}"


def copies_on_links(lab, hosts, address, receivers):
    """How many copies of one datagram from ns0 to ``address`` each host's link carries."""

    def carries(frame):
        tunnel = decapsulate(frame, {4789})
        return tunnel is not None and tunnel.inner.mark == b"count me"

    with lab.capture(*hosts) as seen:
        lab["ns0"].send_marked(address, b"count me")
        for host in receivers:
            seen[host].wait_for(carries, "the encapsulated datagram")
    return {host: sum(map(carries, capture.frames)) for host, capture in seen.items()}


@pytest.mark.behaviour(
    "with unicast remotes in place of a multicast group the sender sends one copy of a flooded "
    "frame to each remote",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), the loop over fdst->remotes",
)
@pytest.mark.control(
    "the segment has a multicast group in place of unicast remotes",
    topology=flooding_to_a_group,
    because=r"copies of the flooded frame on the hosts' links: \{'a': 1, ",
)
@pytest.mark.topology(catalog.bridged, family=[4, 6], hosts=[3, 8])
def test_without_multicast_the_sender_sends_one_copy_to_each_remote(lab, chosen, record_property):
    hosts = hosts_of(chosen)
    flooded = copies_on_links(lab, hosts, "172.18.1.255", receivers=hosts[1:])
    record_property("copies of one flooded frame on the hosts' links", flooded)
    wanted = {**dict.fromkeys(hosts, 1), "a": len(hosts) - 1}
    assert flooded == wanted, f"copies of the flooded frame on the hosts' links: {flooded}"


@pytest.mark.behaviour(
    "a multicast router forwards a segment's flooded packets to VTEPs in other subnets",
    source="RFC 7348, section 4.2; net/ipv4/ipmr.c: ip_mr_forward()",
)
@pytest.mark.control(
    "the router's multicast daemon is stopped",
    lab=stop_the_daemon,
    because=r"a got no echo reply from 192\.168\.42\.3",
)
@pytest.mark.topology(catalog.routed, router="smcroute", group=["224.1.1.1", "239.1.1.1"])
@pytest.mark.topology(catalog.routed, router="smcroute", family=6, group=["ff05::100", "ff08::100"])
@pytest.mark.topology(catalog.routed, router="pimd", group=["224.1.1.1", "239.1.1.1"])
def test_a_multicast_router_forwards_flooded_packets(lab):
    assert lab["a"].ping("192.168.42.3"), "a got no echo reply from 192.168.42.3"
    assert lab["c"].ping("192.168.42.2"), "c got no echo reply from 192.168.42.2"


@pytest.mark.behaviour(
    "a multicast router does not forward packets to a link-local group (224.0.0.0/24), even with "
    "TTL 8",
    source="RFC 5771, section 4; net/ipv4/route.c: ip_route_input_mc()",
)
@pytest.mark.control(
    "the segment's group is 239.1.1.1, which routers forward",
    topology=with_a_routable_group,
    because="router/eth1: wanted no packet that a flooded",
)
@pytest.mark.topology(catalog.routed, router=["smcroute", "pimd"], group="224.0.0.100")
def test_a_multicast_router_does_not_forward_link_local_groups(lab):
    arrived = assert_not_routed(lab, "a", "192.168.42.255")
    assert arrived.outer_dst == "224.0.0.100"
    assert arrived.ttl == 8  # so the TTL is not the reason of the drop
    assert diagnose(lab, "a", "192.168.42.3").code == "link-local-group"


# Controls of their own: labs that are broken on purpose, and what vxlab's diagnosis says of them.


def changed_at_b(**changes):
    """The same topology, with changes to b's vxlan device."""
    return catalog.multicast().with_vtep("b", "overlay", **changes)


@pytest.mark.control(
    "b's vxlan device has a's VNI",
    vteps={"b": {"id": 42}},
    because="b/vxlan0: wanted no frame of ns0",
)
@pytest.mark.topology(changed_at_b, id=43)
def test_control_hosts_with_different_vnis_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "ns0", "172.18.1.255")
    assert diagnose(lab, "ns0", "172.18.1.3").code == "vni-mismatch"


@pytest.mark.control(
    "b's vxlan device has a's UDP port",
    vteps={"b": {"dstport": 4789}},
    because="b/vxlan0: wanted no frame of ns0",
)
@pytest.mark.topology(changed_at_b, dstport=4790)
def test_control_hosts_with_different_udp_ports_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "ns0", "172.18.1.255")
    assert diagnose(lab, "ns0", "172.18.1.3").code == "port-mismatch"


@pytest.mark.control(
    "b's vxlan device has a's group",
    vteps={"b": {"group": "224.1.1.1"}},
    because="b/vxlan0: wanted no frame of ns0",
)
@pytest.mark.topology(changed_at_b, group="239.1.1.2")
def test_control_hosts_with_different_groups_do_not_reach_each_other(lab):
    assert_not_decapsulated(lab, "ns0", "172.18.1.255")
    assert diagnose(lab, "ns0", "172.18.1.3").code == "group-mismatch"
    assert lab["ns0"].ping("172.18.1.4")  # behind c, which has the same group as a


@pytest.mark.control(
    "the router's multicast daemon is not stopped",
    without=operations.StopDaemon,
    because="router/eth1: wanted no packet that a flooded",
)
@pytest.mark.topology(catalog.routed, router=["smcroute", "pimd"])
def test_control_a_router_forwards_no_multicast_while_its_daemon_is_stopped(lab):
    lab.stop_daemon("router")
    assert_not_routed(lab, "a", "192.168.42.255")
    assert diagnose(lab, "a", "192.168.42.3").code == "no-daemon"
    lab.start_daemon("router")
    assert wait_until(
        lambda: lab["a"].ping("192.168.42.3"), "a ping to be answered after the daemon's restart"
    )
