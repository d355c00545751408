"""Links, addresses, neighbours and routes are what `ip` shows, on the same kernel state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import pytest
from state_tools import agree, ip, ip_between, one_node, run, shown, two_nodes

from vxlab import state, vxlan
from vxlab.errors import VxlabError
from vxlab.observe.state.rows import TABLES
from vxlab.system.namespaces import Namespaces


@pytest.fixture
def node() -> Iterator[Namespaces]:
    with one_node() as node:
        yield node


@pytest.fixture
def pair() -> Iterator[tuple[Namespaces, Namespaces]]:
    with two_nodes() as nodes:
        yield nodes


# --- links -----------------------------------------------------------------------------------


def test_links_are_those_of_ip_link(node: Namespaces) -> None:
    with Namespaces("far") as far:
        ip_between(node, f"link add away type veth peer name x netns {far.path()}")
        ip(
            node,
            "link add br-10 type bridge ageing_time 1234 mcast_snooping 0",
            "link add vx4 type vxlan id 10 group 239.1.1.1 dev v0 dstport 4789",
            "link add vx6 type vxlan id 11 remote fd00::2 local fd00::1 dstport 4790",
            "link add meta type vxlan external dstport 4791",
            "link set vx4 master br-10 mtu 1300",
            "link set br-10 up",
        )
        agree(lambda: map(_link_fields, state.links(node)), lambda: _ip_links(node))
        read = {link.name: link for link in state.links(node)}
    assert [link.index for link in read.values()] == sorted(link.index for link in read.values())
    assert read["away"].link is not None
    assert read["away"].link.startswith("if")
    assert read["v0"].running
    assert not read["away"].running


def _link_fields(link: state.Link) -> list[Any]:
    names = [link.name, link.master, link.link, link.kind]
    return [link.index, link.mtu, link.mac, link.state, *names, *link.flags, link.up]


def _ip_links(node: Namespaces) -> Iterator[list[Any]]:
    for row in shown(node, "ip -d link show"):
        below = row.get("link") or (f"if{row['link_index']}" if "link_index" in row else None)
        kind = row.get("linkinfo", {}).get("info_kind", "")
        names = [row["ifname"], row.get("master"), below, kind]
        flags = [flag for flag in row["flags"] if flag != "M-DOWN"]
        first = [row["ifindex"], row["mtu"], row["address"], row["operstate"]]
        yield [*first, *names, *flags, "UP" in row["flags"]]


VXLAN_WORDS = [
    "id 1 dstport 4789",
    "id 2 group 239.1.1.1 dev v0 dstport 4789 ttl 5 tos 0x10",
    "id 3 remote 10.0.0.2 local 10.0.0.1 dstport 4789 ttl inherit tos inherit nolearning df set",
    "id 4 group ff05::4 dev v0 dstport 4789 flowlabel 0x12345 ageing 12 maxaddress 99",
    "id 5 remote fd00::2 local fd00::1 dstport 4789 udp6zerocsumtx udp6zerocsumrx srcport 100 200",
    "id 6 dstport 8472 proxy rsc l2miss l3miss noudpcsum gbp remcsumtx remcsumrx",
    "external dstport 4789 gpe",
    "external dstport 4789 vnifilter nolearning",
]


@pytest.mark.parametrize("words", VXLAN_WORDS)
def test_vxlan_attributes_are_those_of_ip_link(node: Namespaces, words: str) -> None:
    ip(node, f"link add vx type vxlan {words}")
    (link,) = (link for link in state.links(node) if link.kind == "vxlan")
    (row,) = shown(node, "ip -d link show vx")
    wanted = vxlan.from_json(row["linkinfo"]["info_data"])
    assert {name: link.attributes.get(name) for name in wanted} == wanted
    more = {name: value for name, value in link.attributes.items() if name not in wanted}
    more.pop("reserved_bits", None)  # known to newer versions of ip only
    for name, value in more.items():
        switched_on = name == "ttl_inherit" and "ttl inherit" in words
        assert value == (switched_on or vxlan.BY_NAME[name].default), name


def test_vxlan_attributes_have_plain_values(node: Namespaces) -> None:
    ip(node, "link add vx type vxlan id 4 group ff05::4 dev v0 dstport 4789 ttl 5 srcport 9 10 gbp")
    attributes = state.links(node)[-1].attributes
    wanted = {"id": 4, "group": "ff05::4", "dev": "v0", "dstport": 4789, "ttl": 5}
    wanted |= {"ttl_inherit": False, "srcport": (9, 10), "gbp": True, "learning": True, "df": 0}
    assert {name: attributes[name] for name in wanted} == wanted
    assert not {"remote", "local"} & set(attributes)


def test_a_device_below_in_another_namespace_is_not_mistaken_for_one_here(
    pair: tuple[Namespaces, Namespaces],
) -> None:
    a, b = pair
    index = next(link.index for link in state.links(a) if link.name == "eth0")
    ip(a, "link add vx9 index 9 type vxlan id 9 dev eth0 dstport 4790 group 239.0.0.9")
    ip_between(a, f"link set vx9 netns {b.path()}")
    (link,) = (link for link in state.links(b) if link.name == "vx9")
    assert any(link.index == index for link in state.links(b)), "b has that index too"
    assert link.attributes["dev"] == f"if{index}"
    (flood,) = state.fdb(b, "vx9")
    assert (flood.dst, flood.via) == ("239.0.0.9", f"if{index}")


def test_attributes_of_a_bridge_and_of_its_ports_are_read(node: Namespaces) -> None:
    ip(
        node,
        "link add br-10 type bridge ageing_time 1234 priority 7 forward_delay 300",
        "link set v1 master br-10",
        "link set v1 type bridge_slave neigh_suppress on learning off isolated on",
    )
    read = {link.name: link for link in state.links(node)}
    (row,) = shown(node, "ip -d link show br-10")
    info = row["linkinfo"]["info_data"]
    same = [name for name in info if name in read["br-10"].attributes and name != "group_fwd_mask"]
    assert {"ageing_time", "priority", "forward_delay", "mcast_snooping"} < set(same)
    assert {name: read["br-10"].attributes[name] for name in same} == {n: info[n] for n in same}
    assert not [name for name in read["br-10"].attributes if name.endswith("timer")]
    port = {name: read["v1"].port[name] for name in ("neigh_suppress", "learning", "isolated")}
    assert port == {"neigh_suppress": 1, "learning": 0, "isolated": 1}
    assert not read["v0"].port


def test_counters_of_links_count_packets(pair: tuple[Namespaces, Namespaces]) -> None:
    a, _ = pair
    before = {link.name: link.counters for link in state.links(a)}
    run(a, "ping", "-c3", "-i0.01", "-s100", "172.16.0.2")
    ip(a, "route add 239.0.0.9 dev vx")
    run(a, "bash", "-c", "echo unanswered > /dev/udp/239.0.0.9/9")  # now tx and rx differ
    after = {link.name: link.counters for link in state.links(a)}
    for name in ("eth0", "vx"):
        assert after[name].tx_packets >= before[name].tx_packets + 3
        assert after[name].rx_packets >= before[name].rx_packets + 3
        assert after[name].tx_bytes >= before[name].tx_bytes + 3 * 100
    kinds = ("packets", "bytes", "errors", "dropped")
    # What the other end says by itself, of IPv6, may come between the two reads.
    agree(
        lambda: [(link.name, *astuple(link.counters)) for link in state.links(a)],
        lambda: [
            (row["ifname"], *(row["stats64"][way][what] for way in ("rx", "tx") for what in kinds))
            for row in shown(a, "ip -s link show")
        ],
    )


# --- addresses, neighbours, routes -----------------------------------------------------------


def test_addresses_are_those_of_ip_addr(node: Namespaces) -> None:
    node.write("/proc/sys/net/ipv6/conf/v0/use_tempaddr", "2")
    ip(
        node,
        "addr add 10.0.0.7/24 dev v0 noprefixroute",
        "addr add 10.9.0.1 peer 10.9.0.2/32 dev v1",
        "addr add fd00::9/128 dev lo preferred_lft 0",
        "addr add 10.8.0.1/32 dev lo scope host",
        "addr add fd05::1/64 dev v0 mngtmpaddr",
    )
    agree(
        lambda: [
            (a.interface, a.address, a.prefix, a.family, a.scope, a.peer, sorted(a.flags))
            for a in state.addresses(node)
        ],
        lambda: [
            (row["ifname"], info["local"], info["prefixlen"], info["family"], info["scope"],
             info.get("address"), _address_flags(info))
            for row in shown(node, "ip addr show") for info in row["addr_info"]
        ],
    )  # fmt: skip
    assert any(a.peer == "10.9.0.2" for a in state.addresses(node))
    assert any("temporary" in a.flags for a in state.addresses(node))


def _address_flags(info: dict[str, Any]) -> list[str]:
    known = {"secondary", "noprefixroute", "nodad", "tentative", "deprecated", "temporary"}
    return sorted((known | {"mngtmpaddr", "dynamic"}) & set(info))


def test_neighbours_are_those_of_ip_neigh(node: Namespaces) -> None:
    ip(
        node,
        "neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 dev v0 nud permanent",
        "neigh add 10.0.0.51 lladdr 02:00:00:00:00:51 dev v0 nud stale extern_learn",
        "neigh add fd00::52 lladdr 02:00:00:00:00:52 dev v0 nud reachable router",
        "neigh add 10.0.0.53 dev v0 nud failed",
        "neigh add 10.0.0.54 lladdr 02:00:00:00:00:54 dev v0 nud noarp",
        "neigh add proxy 10.0.0.60 dev v0",
        "neigh add proxy fd00::60 dev v0",
    )
    agree(
        lambda: [
            (n.interface, n.address, n.mac, n.state, sorted(n.flags))
            for n in state.neighbours(node)
        ],
        lambda: [
            (row["dev"], row["dst"], row.get("lladdr", ""), *row.get("state", [""]), _flags(row))
            for row in shown(node, "ip neigh show") + shown(node, "ip neigh show proxy")
        ],
    )
    assert len(state.neighbours(node)) == 6
    lines = {str(row) for row in state.neighbours(node)}
    assert "fd00::52 dev v0 lladdr 02:00:00:00:00:52 router REACHABLE" in lines
    assert "10.0.0.60 dev v0 proxy" in lines


def _flags(row: dict[str, Any]) -> list[str]:
    return sorted({"router", "proxy", "extern_learn"} & set(row))


ROUTES = [
    "route add 10.1.0.0/16 via 10.0.0.2 metric 7 proto static",
    "route add 10.2.0.0/16 nexthop via 10.0.0.2 weight 3 nexthop via 10.0.0.3",
    "route add blackhole 10.3.0.0/16",
    "route add 10.4.0.1 via inet6 fd00::2 dev v0 table 1000",
    "route add default via 10.77.0.1 dev v0 onlink src 10.0.0.1",
    "route add fd01::/64 nexthop via fd00::2 weight 2 nexthop via fd00::3",
    "route add unreachable fd02::/64 proto bgp",
    "route add default via fd00::9 table 100 metric 5",
    "route add fd03::1 dev v1",
]


def _ip_routes(node: Namespaces) -> list[tuple[Any, ...]]:
    found = []
    numbers = {name: number for number, name in TABLES.items()}
    for option, family in (("-4", "inet"), ("-6", "inet6")):
        for row in shown(node, f"ip {option} -N route show table all"):
            table = row.get("table", "main")
            for hop in row.get("nexthops") or [row]:
                found.append(
                    (
                        row["dst"],
                        hop.get("gateway") or hop.get("via", {}).get("host"),
                        hop.get("dev"),
                        row.get("prefsrc"),
                        int(numbers.get(table, table)),
                        row.get("metric", 0),
                        family,
                        row.get("type", "1"),
                        sorted(hop["flags"]),
                        hop.get("weight", 1),
                    )
                )
    return found


def test_routes_are_those_of_ip_route(node: Namespaces) -> None:
    ip(node, *ROUTES)
    kinds = {"unicast": "1", "local": "2", "broadcast": "3", "anycast": "4", "multicast": "5"}
    kinds |= {"blackhole": "6", "unreachable": "7"}
    agree(
        lambda: [
            (r.destination, r.gateway, r.interface, r.source, r.table, r.metric, r.family,
             kinds[r.type], sorted(r.flags), r.weight)
            for r in state.routes(node)
        ],
        lambda: _ip_routes(node),
    )  # fmt: skip
    assert len(state.routes(node)) > len(ROUTES)


def test_routes_read_like_ip_route(node: Namespaces) -> None:
    ip(node, *ROUTES)
    lines = {str(row) for row in state.routes(node)}
    assert {
        "10.1.0.0/16 via 10.0.0.2 dev v0 table main proto static scope global metric 7",
        "10.2.0.0/16 via 10.0.0.2 dev v0 table main proto boot scope global weight 3",
        "blackhole 10.3.0.0/16 table main proto boot scope global",
        "default via 10.77.0.1 dev v0 table main proto boot scope global src 10.0.0.1 onlink",
        "10.0.0.0/24 dev v0 table main proto kernel scope link src 10.0.0.1",
    } < lines


def test_routes_of_one_table_are_read_alone(node: Namespaces) -> None:
    ip(node, *ROUTES)
    for table, number in (("main", 254), (255, 255), (100, 100), ("1000", 1000)):
        assert state.routes(node, table)
        agree(
            lambda table=table: state.routes(node, table),
            lambda number=number: [row for row in state.routes(node) if row.table == number],
        )
    assert state.routes(node, 4242) == ()
    with pytest.raises(VxlabError, match=r"found 'mian'.*main"):
        state.routes(node, "mian")
