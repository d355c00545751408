"""E3: as E2, flooding to a multicast group in place of remotes, with more than two hosts.

ns0 ── br0 ── vxlan0 ─ a ══╗
ns1 ── br0 ── vxlan0 ─ b ══╬══ lan      group 224.1.1.1 (IPv6: ff08::239:1:1:1)
ns2 ── br0 ── vxlan0 ─ c ══╝
"""

from __future__ import annotations

import pytest

from vxlab import catalog, decapsulate, diagnose, operations, steps, wait_until

ANY_MAC = "00:00:00:00:00:00"


def group_of(lab):
    """The multicast group of the one segment."""
    return lab.topology.segment("overlay").group


def hosts_of(lab):
    return [host.name for host in lab.topology.hosts]


# How labs are broken for the controls.


def is_ipv6(topology):
    return topology.host("a").nics[0].interface.version == 6


def in_another_group(topology):
    """b's device in a group of its own."""
    return topology.with_vtep("b", "overlay", group="ff05::9" if is_ipv6(topology) else "239.9.9.9")


def by_multicast(topology):
    family = 6 if is_ipv6(topology) else 4
    return catalog.multicast(family=family, hosts=len(topology.hosts))


def with_a_wider_group(topology):
    return catalog.routed(router=topology.router("router").daemon, group="239.1.1.1")


def know_a_mac(lab):
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddFdb("a", "vxlan0", "02:00:00:00:00:99", b))


def flood_to_b_as_well(lab):
    b = lab.topology.host("b").nics[0].ip
    lab.apply(operations.AddFdb("a", "vxlan0", ANY_MAC, b, append=True))


def take_down_a(lab):
    lab.apply(operations.SetLink("a", "vxlan0", up=False))


def stop_the_daemon(lab):
    lab.stop_daemon("router")


@pytest.mark.behaviour(
    "before traffic a device with a group has one permanent entry: the group",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_dev_create()",
)
@pytest.mark.control("a knows a MAC beforehand", lab=know_a_mac)
@pytest.mark.topology(catalog.multicast, family=[4, 6], vni=[1, 42, 16777215])
def test_before_traffic_the_fdb_knows_only_the_group(lab):
    for host in hosts_of(lab):
        entries = [
            e for e in lab[host].bridge("fdb", "show") if e["ifname"] == "vxlan0" and "dst" in e
        ]
        assert [(e["mac"], e["dst"], e["state"]) for e in entries] == [
            (ANY_MAC, group_of(lab), "permanent")
        ]


@pytest.mark.behaviour(
    "a vxlan device that is up makes its card a member of its group",
    source="drivers/net/vxlan/vxlan_multicast.c: vxlan_igmp_join()",
)
@pytest.mark.control("a's device is down", lab=take_down_a)
@pytest.mark.topology(catalog.multicast, family=[4, 6])
@pytest.mark.topology(catalog.multicast, group="239.1.1.1")
def test_each_vtep_is_a_member_of_the_group(lab):
    for host in hosts_of(lab):
        assert group_of(lab) in addresses_of(lab[host].ip("maddr", "show", "dev", "eth0"))


def addresses_of(rows):
    return [entry["address"] for row in rows for entry in row["maddr"] if "address" in entry]


@pytest.mark.behaviour(
    "a vxlan device joins its group when it goes up, and leaves it when it goes down",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_open(), vxlan_stop()",
)
@pytest.mark.control(
    "the device stays up all the time", without=operations.SetLink, because="leave"
)
@pytest.mark.topology(catalog.multicast, family=[4, 6])
def test_joining_and_leaving_are_seen_on_the_wire(lab):
    group, a = group_of(lab), lab["a"].ip("link", "show", "eth0")[0]["address"]

    def report(what, since=0):
        """A report of a's: the others join that group, too, and a has when its device was made."""
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
    assert frame.summary().startswith(
        "IGMP" if lab.topology.host("a").nics[0].interface.version == 4 else "ICMPv6 MLD"
    )


@pytest.mark.behaviour(
    "a segment that floods to a group connects any number of hosts, by any port",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control("b's device is in another group", topology=in_another_group)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=[2, 3, 8])
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=2, port=[8472, 14789])
def test_containers_reach_each_other(lab):
    assert lab["ns0"].ping("172.18.1.3")
    others = range(1, len(lab.topology.hosts))
    assert lab.unreached(("ns0", f"172.18.1.{2 + number}") for number in others) == []


@pytest.mark.behaviour(
    "on one link any group serves, of any scope",
    source="RFC 7348, section 4.2; RFC 5771; RFC 4291, section 2.7",
)
@pytest.mark.control("b's device is in another group", topology=in_another_group)
@pytest.mark.topology(catalog.multicast, group=["224.1.1.1", "239.1.1.1", "224.0.0.100"])
@pytest.mark.topology(
    catalog.multicast, family=6, group=["ff02::100", "ff05::100", "ff08::239:1:1:1", "ff0e::100"]
)
def test_any_group_works_on_one_link(lab):
    assert lab["ns0"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "a bridge in a VRF floods to a group as any other does",
    source="Documentation/networking/vrf.rst",
)
@pytest.mark.control("b's device is in another group", topology=in_another_group)
@pytest.mark.topology(catalog.multicast, vrf=True, family=[4, 6])
def test_containers_reach_each_other_with_the_bridge_in_a_vrf(lab):
    assert lab["ns0"].ping("172.18.1.3")


@pytest.mark.behaviour(
    "a flooded ARP request reaches every VTEP of the group, and each learns the sender from it",
    source="RFC 7348, section 4.2; drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control("c's device does not learn", vteps={"c": {"learning": False}})
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=[3, 8])
def test_an_arp_request_reaches_all_hosts_and_the_others_learn_in_silence(lab):
    hosts = hosts_of(lab)
    others = hosts[2:]
    with lab.capture(*hosts) as seen:
        assert lab["ns0"].ping("172.18.1.3")
        for host in others:
            seen[host].wait_for(
                lambda frame: bool(decapsulate(frame, seen["a"].ports)), "the flood"
            )
    a = lab.topology.host("a").nics[0].ip
    mac = lab["ns0"].ip("link", "show", "eth0")[0]["address"]
    for host in others:
        heard = [step for step in steps(seen[host].frames, seen[host].ports) if step.vni]
        assert {(step.kind, step.outer_dst) for step in heard} == {("who-has", group_of(lab))}
        entries = [e for e in lab[host].bridge("fdb", "show") if e["mac"] == mac and "dst" in e]
        assert [entry["dst"] for entry in entries] == [a]
        seen[host].assert_silent(
            lambda frame: frame.outgoing and bool(decapsulate(frame, seen["a"].ports)),
            f"tunnelled answer from {host}",
        )


@pytest.mark.behaviour(
    "a flooded frame leaves its host once, however many hosts the group has",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control("a floods to one remote besides the group", lab=flood_to_b_as_well)
@pytest.mark.topology(catalog.multicast, family=[4, 6], hosts=[3, 8])
def test_the_price_of_multicast_in_copies(lab, record_property):
    hosts = hosts_of(lab)
    assert lab["ns0"].ping("172.18.1.3")  # now both ends are known
    unicast = copies(lab, "172.18.1.3", receivers=["b"])
    flooded = copies(lab, "172.18.1.255", receivers=hosts[1:])
    record_property("copies of one unicast frame on the hosts' links", unicast)
    record_property("copies of one flooded frame on the hosts' links", flooded)
    assert unicast == {host: int(host in "ab") for host in hosts}
    assert flooded == dict.fromkeys(hosts, 1)


def copies(lab, address, receivers):
    """How many copies of one datagram from ns0 to ``address`` each host's link carries."""

    def carries(frame):
        tunnel = decapsulate(frame, lab.topology.ports)
        return tunnel is not None and tunnel.inner.mark == b"count me"

    with lab.capture(*hosts_of(lab)) as seen:
        lab["ns0"].send_marked(address, b"count me")
        for host in receivers:
            seen[host].wait_for(carries, "the datagram in its tunnel")
    return {host: sum(map(carries, capture.frames)) for host, capture in seen.items()}


@pytest.mark.behaviour(
    "without a group the sender floods one copy to each remote",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_xmit(), the loop over fdst->remotes",
)
@pytest.mark.control("the segment floods to a group", topology=by_multicast)
@pytest.mark.topology(catalog.bridged, family=[4, 6], hosts=[3, 8])
def test_without_multicast_the_sender_pays_for_every_copy(lab, record_property):
    hosts = hosts_of(lab)
    flooded = copies(lab, "172.18.1.255", receivers=hosts[1:])
    record_property("copies of one flooded frame on the hosts' links", flooded)
    assert flooded == {host: len(hosts) - 1 if host == "a" else 1 for host in hosts}


@pytest.mark.behaviour(
    "a multicast router carries the flood of a segment to other subnets",
    source="RFC 7348, section 4.2; net/ipv4/ipmr.c: ip_mr_forward()",
)
@pytest.mark.control("the router's daemon is stopped", lab=stop_the_daemon)
@pytest.mark.topology(catalog.routed, router="smcroute", group=["224.1.1.1", "239.1.1.1"])
@pytest.mark.topology(catalog.routed, router="smcroute", family=6, group=["ff05::100", "ff08::100"])
@pytest.mark.topology(catalog.routed, router="pimd", group=["224.1.1.1", "239.1.1.1"])
def test_groups_beyond_the_link_are_routed(lab):
    assert lab["a"].ping("192.168.42.3")
    assert lab["c"].ping("192.168.42.2")


@pytest.mark.behaviour(
    "no router passes on a group of 224.0.0.0/24, whatever the TTL",
    source="RFC 5771, section 4; net/ipv4/route.c: ip_route_input_mc()",
)
@pytest.mark.control("the group is 239.1.1.1", topology=with_a_wider_group)
@pytest.mark.topology(catalog.routed, router=["smcroute", "pimd"], group="224.0.0.100")
def test_groups_of_the_link_are_never_routed(lab):
    with lab.capture("router:eth0", "router:eth1") as seen:
        assert not lab["a"].ping("192.168.42.3", timeout=0.3)
        ports = seen["router:eth0"].ports
        heard = seen["router:eth0"].wait_for(
            lambda frame: bool(decapsulate(frame, ports)), "the flood to arrive at the router"
        )
    assert heard.outer_dst == "224.0.0.100"
    assert heard.ttl == 8  # so it is not the TTL that it dies of
    seen["router:eth1"].assert_silent(lambda frame: bool(decapsulate(frame, ports)), "tunnel frame")
    assert diagnose(lab, "a", "192.168.42.3").code == "link-local-group"


# Controls: broken on purpose, and red for the right reason.


def broken(**changes):
    """The same topology, b's device made differently."""
    return catalog.multicast().with_vtep("b", "overlay", **changes)


@pytest.mark.topology(broken, id=43)
def test_control_two_vnis_do_not_meet(lab):
    assert not lab["ns0"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "ns0", "172.18.1.3").code == "vni-mismatch"


@pytest.mark.topology(broken, dstport=4790)
def test_control_two_ports_do_not_meet(lab):
    assert not lab["ns0"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "ns0", "172.18.1.3").code == "port-mismatch"


@pytest.mark.topology(broken, group="239.1.1.2")
def test_control_two_groups_do_not_meet(lab):
    assert not lab["ns0"].ping("172.18.1.3", timeout=0.3)
    assert diagnose(lab, "ns0", "172.18.1.3").code == "group-mismatch"
    assert lab["ns0"].ping("172.18.1.4")  # c is in the right one


@pytest.mark.topology(catalog.routed, router=["smcroute", "pimd"])
def test_control_without_its_daemon_the_router_routes_no_group(lab):
    lab.stop_daemon("router")
    assert not lab["a"].ping("192.168.42.3", timeout=0.3)
    assert diagnose(lab, "a", "192.168.42.3").code == "no-daemon"
    lab.start_daemon("router")
    assert wait_until(lambda: lab["a"].ping("192.168.42.3"), "a ping after the router's return")
