"""9.1 Tenants: equal MAC and IP addresses in two VNIs, on the same hosts.

    kim-a 172.18.1.1 VNI 10 ┐                                            ┌ VNI 10 172.18.1.2 kim-b
                            ├ a 192.168.57.50 ── lan ── 192.168.57.54 b ─┤
    lee-a 172.18.1.1 VNI 20 ┘                                            └ VNI 20 172.18.1.2 lee-b

All four are network namespaces with a vxlan device whose underlay is that of a or b.  Their MACs
are equal too: 02:00:00:00:00:01 on a, 02:00:00:00:00:02 on b.
"""

from __future__ import annotations

import functools

import pytest
from device_tools import PORTS, at, device, find_link, swap_at, tunnels
from tenants import (
    ADDRESS,
    BROADCAST_ADDRESS,
    MAC,
    VNIS,
    add_kim_and_lee,
    add_tenant,
    ports_swapped_at_b,
    tenant_hosts,
    unused_vnis_at_b,
    vnis_swapped_at_b,
)

from vxlab import wait_until
from vxlab.operations import AddAddress, AddLink, MoveLink, SetLink

RECEIVE = "drivers/net/vxlan/vxlan_core.c: vxlan_vs_find_vni(); RFC 7348, section 4"
GROUP = "239.1.1.1"
FAMILIES = {"family": [4, 6]}
OTHER_TENANT = {"kim": "lee", "lee": "kim"}
OTHER_HOST = {"a": "b", "b": "a"}

TENANTS = pytest.mark.parametrize("tenant", ["kim", "lee"])
HOSTS = pytest.mark.parametrize("host", ["a", "b"])
VNIS_SWAPPED = "on b, kim has lee's VNI and lee has kim's"
KIM_GOT_LEES = r"kim received \[b'lee'\], lee received \[b'kim'\]"


def is_received(captures, data):
    """Whether any capture has received a marked payload."""
    return any(data in capture.payloads() for capture in captures.values())


def assert_each_receives_its_own(lab, tenant, host, to=None):
    """Both tenants send from a host, this one first: each peer receives what its tenant sent.

    ``to`` is the address they send to, that of the other host's tenants if not given.
    """
    there = OTHER_HOST[host]
    places = {name: f"{name}-{there}:{name}-{there}" for name in VNIS}
    with lab.capture(*places.values(), ports=PORTS) as seen:
        for name in (tenant, OTHER_TENANT[tenant]):
            data = name.encode()
            lab[f"{name}-{host}"].send_marked(to or ADDRESS[there], data)
            received = functools.partial(is_received, seen, data)
            wait_until(received, f"a tenant to receive {data}", timeout=3)
    assert all(capture.was_live for capture in seen.values())
    kim, lee = seen[places["kim"]].payloads(), seen[places["lee"]].payloads()
    assert (kim, lee) == ([b"kim"], [b"lee"]), f"kim received {kim}, lee received {lee}"


def another_group_for_lee_at_a(operation):
    """A control: lee's device on a has another multicast group."""
    if isinstance(operation, AddLink) and operation.name == "lee-a":
        return swap_at("a", group="239.1.1.2")(operation)
    return operation


def vni_20_for_lee_at_b(operation):
    """A control: lee's device on b has VNI 20."""
    if isinstance(operation, AddLink) and operation.name == "lee-b":
        return swap_at("b", id=20)(operation)
    return operation


@pytest.mark.behaviour(
    "a tenant reaches its peer by ping although another tenant has the same MAC and IP addresses",
    source=RECEIVE,
)
@pytest.mark.control(
    "on b, both tenants have VNIs that no device on a has",
    change=unused_vnis_at_b,
    because="no answer from the tenant's peer",
)
@pytest.mark.topology(tenant_hosts, **FAMILIES)
@HOSTS
@TENANTS
def test_a_tenant_reaches_its_peer(lab, tenant, host):
    add_kim_and_lee(lab)
    answered = lab[f"{tenant}-{host}"].ping(ADDRESS[OTHER_HOST[host]], timeout=3)
    assert answered, "no answer from the tenant's peer"


@pytest.mark.behaviour(
    "a tenant's unicast or broadcast datagram reaches the peer with its VNI and not the other"
    " tenant with the same MAC and IP addresses",
    source=RECEIVE,
)
@pytest.mark.control(VNIS_SWAPPED, change=vnis_swapped_at_b, because=KIM_GOT_LEES)
@pytest.mark.topology(tenant_hosts, **FAMILIES)
@HOSTS
@TENANTS
@pytest.mark.parametrize("to", [None, BROADCAST_ADDRESS], ids=["unicast", "broadcast"])
def test_a_datagram_reaches_the_tenants_peer_alone(lab, tenant, host, to):
    add_kim_and_lee(lab)
    assert_each_receives_its_own(lab, tenant, host, to)


@pytest.mark.behaviour(
    "tenants whose VNIs flood to the same multicast group receive the broadcasts of their own VNI"
    " alone",
    source=RECEIVE,
)
@pytest.mark.control(VNIS_SWAPPED, change=vnis_swapped_at_b, because=KIM_GOT_LEES)
@pytest.mark.topology(tenant_hosts())
@HOSTS
@TENANTS
def test_a_shared_group_keeps_tenants_apart(lab, tenant, host):
    add_kim_and_lee(lab, group=GROUP, dev="eth0")
    assert_each_receives_its_own(lab, tenant, host, BROADCAST_ADDRESS)


@pytest.mark.behaviour(
    "a host that is a member of a multicast group receives the packets of all VNIs that flood to"
    " the group",
    source="RFC 7348, section 4.2",
)
@pytest.mark.control(
    "lee's device on a floods to another group, 239.1.1.2",
    change=another_group_for_lee_at_a,
    because=r"\(20, '239\.1\.1\.2'\)",
)
@pytest.mark.topology(tenant_hosts())
def test_a_shared_group_brings_all_vnis_to_the_host(lab):
    add_kim_and_lee(lab, group=GROUP, dev="eth0")
    with lab.capture("b:eth0", ports=PORTS) as seen:

        def both_arrived(_):
            return len(tunnels(seen["b:eth0"], b"flooded")) == 2

        for tenant in VNIS:
            lab[f"{tenant}-a"].send_marked(BROADCAST_ADDRESS, b"flooded")
        seen["b:eth0"].wait_for(both_arrived, "the packets of both VNIs")
    found = sorted((row.vni, row.outer_dst) for row in tunnels(seen["b:eth0"], b"flooded"))
    wanted = [(10, GROUP), (20, GROUP)]
    assert found == wanted, f"VNIs and outer destinations of the packets: {found}"


@pytest.mark.behaviour(
    "devices with the same VNI on different UDP ports are separate segments",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_find_sock()",
)
@pytest.mark.control(
    "on b, kim has lee's UDP port and lee has kim's",
    change=ports_swapped_at_b,
    because=KIM_GOT_LEES,
)
@pytest.mark.topology(tenant_hosts())
@HOSTS
@TENANTS
def test_one_vni_on_two_ports_is_two_segments(lab, tenant, host):
    add_tenant(lab, "kim", id=10, dstport=4789)
    add_tenant(lab, "lee", id=10, dstport=14789)
    assert_each_receives_its_own(lab, tenant, host)


@pytest.mark.behaviour(
    "a tenant receives the traffic of another tenant with the same VNI", source=RECEIVE
)
@pytest.mark.control(
    "kim has VNI 10 and lee has VNI 20",
    change=vni_20_for_lee_at_b,
    because="lee-b: waited .* for the marked payload b'from kim'",
)
@pytest.mark.topology(tenant_hosts())
@pytest.mark.parametrize("to", [ADDRESS["b"], BROADCAST_ADDRESS], ids=["unicast", "broadcast"])
def test_tenants_with_one_vni_receive_each_others_traffic(lab, to):
    for node, host in (("kim-a", "a"), ("lee-b", "b")):
        remote = at(lab, OTHER_HOST[host])
        created = device(host, name=node, up=False, id=10, remote=remote, mac=MAC[host])
        lab.apply(*created, MoveLink(host, node, node))
        lab.apply(SetLink(node, node, up=True), AddAddress(node, node, f"{ADDRESS[host]}/24"))
    with lab.capture("lee-b:lee-b") as seen:
        lab["kim-a"].send_marked(to, b"from kim")
        seen["lee-b:lee-b"].wait_for_payload(b"from kim", timeout=3)


@pytest.mark.behaviour(
    "the source MAC of a tenant's frames is learned by the device with the tenant's VNI alone",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_snoop()",
)
@pytest.mark.control(
    VNIS_SWAPPED,
    change=vnis_swapped_at_b,
    because="the MAC was learned by the other tenant's device",
)
@pytest.mark.topology(tenant_hosts())
@TENANTS
def test_a_mac_is_learned_in_its_own_vni_alone(lab, tenant):
    add_kim_and_lee(lab)
    assert lab[f"{tenant}-a"].ping(ADDRESS["b"], timeout=3)

    def learned(name):
        rows = lab[f"{name}-b"].bridge("fdb", "show", "dev", f"{name}-b")
        return [row["mac"] for row in rows if row["mac"] == MAC["a"]]

    others = learned(OTHER_TENANT[tenant])
    assert others == [], "the MAC was learned by the other tenant's device"
    assert learned(tenant) == [MAC["a"]]


def tenants_on_lan(_):
    """A control: the tenants' namespaces have an interface on the underlay."""
    return tenant_hosts(tenants_on_lan=True)


@pytest.mark.behaviour(
    "a tenant's namespace has only its own vxlan device and lo, and no route to the underlay; the"
    " host does not see the device",
    source="drivers/net/vxlan/vxlan_core.c: vxlan->net",
)
@pytest.mark.control(
    "the tenants' namespaces have an interface on the underlay",
    topology=tenants_on_lan,
    because="the tenant has the interfaces eth0, (kim|lee)-a, lo",
)
@pytest.mark.topology(tenant_hosts())
@TENANTS
def test_a_tenant_has_its_own_device_alone(lab, tenant):
    add_kim_and_lee(lab)
    node = f"{tenant}-a"
    links = sorted(link.name for link in lab[node].state.links)
    assert links == [node, "lo"], f"the tenant has the interfaces {', '.join(links)}"
    assert find_link(lab, "a", node) is None
    ping = lab[node].run("ping", "-c", "1", "-W", "0.3", at(lab, "b"), check=False)
    assert "Network is unreachable" in ping.stderr


@pytest.mark.behaviour(
    "over an underlay in a VRF, devices with the same VNI on different UDP ports are separate"
    " segments",
    source="drivers/net/vxlan/vxlan_core.c: __vxlan_sock_add(), l3mdev_index",
)
@pytest.mark.control(
    "on b, kim has lee's UDP port and lee has kim's",
    change=ports_swapped_at_b,
    because=KIM_GOT_LEES,
)
@pytest.mark.requires("vrf")  # a kernel module, which a kernel with K67 can no longer load
@pytest.mark.known_difference("K67", until="6.1")
@pytest.mark.topology(tenant_hosts())
@TENANTS
def test_one_vni_on_two_ports_in_a_vrf_is_two_segments(lab, tenant):
    for host in ("a", "b"):
        lab[host].run("ip", "link", "add", "red", "type", "vrf", "table", "100")
        lab[host].run("ip", "link", "set", "red", "up")
        lab[host].run("ip", "link", "set", "eth0", "master", "red")
    add_tenant(lab, "kim", id=10, dev="eth0")
    add_tenant(lab, "lee", id=10, dev="eth0", dstport=14789)
    assert lab[f"{tenant}-a"].ping(ADDRESS["b"], timeout=3)
    assert_each_receives_its_own(lab, tenant, "a")
