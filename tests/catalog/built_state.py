"""The complete state of a live lab as rows of text, to be compared with one that is written down.

A row says all that an operation of a plan can change: links with every attribute of their kind and
of their bridge port, addresses, forwarding entries, neighbours, routes, multicast routing, groups,
VNIs, next hops, settings below net.ipv4 and net.ipv6, packet filter and routing rules, programs.

Left out is what changes by itself:

- counters, and timers of bridges;
- forwarding entries and neighbours that were learned, for a host that joins a group, or an IPv6
  card that comes up, sends frames unasked; permanent and static ones are all there;
- multicast packets that no daemon has routed yet (they go away after 10 s).

Left out is also what other rows say:

- a bridge's own entries for VLAN 1, with which kernels with CONFIG_BRIDGE_VLAN_FILTERING repeat
  those without a VLAN;
- the settings `mtu`, and `accept_redirects` of all interfaces, which the kernel switches with
  `ip_forward`.

Keys among the settings, which are random, are left out too.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from vxlab.live.lab import Lab
from vxlab.live.node import Node
from vxlab.observe.state import FdbEntry, Link, MulticastRoute, Neighbour, NodeState
from vxlab.system.namespaces import Namespaces

STATES = Path(__file__).parent / "states"

#: Heading of the rows that each node of a topology has.
EVERY_NODE = "every node"

#: Rows by node, each as often as it is there.
State = Mapping[str, Counter[str]]

#: What a device that was only given its peers and its place says of itself, by kind ("port": what
#: a bridge says of its port). Rows name what is otherwise, and what is not in here.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    # drivers/net/vxlan/vxlan_core.c: vxlan_setup(), vxlan_nl2conf()
    "vxlan": {
        "ttl": 0,
        "tos": 0,
        "learning": True,
        "ageing": 300,
        "maxaddress": 0,
        "srcport": (0, 0),
        "proxy": False,
        "rsc": False,
        "l2miss": False,
        "l3miss": False,
        "udpcsum": True,
        "udp6zerocsumtx": False,
        "udp6zerocsumrx": False,
        "remcsumtx": False,
        "remcsumrx": False,
        "gbp": False,
        "remcsum_nopartial": False,
        "external": False,
        "flowlabel": 0,
        "gpe": False,
        "ttl_inherit": False,
        "df": 0,
        "vnifilter": False,
        "localbypass": True,
        "label_policy": 0,
        "reserved_bits": 0xF7FFFFFF000000FF,
        "mcroute": False,
    },
    # net/bridge/br_device.c: br_dev_setup(), net/bridge/br_multicast.c: br_multicast_ctx_init()
    "bridge": {
        "forward_delay": 1500,
        "hello_time": 200,
        "max_age": 2000,
        "ageing_time": 30000,
        "stp_state": 0,
        "priority": 32768,
        "vlan_filtering": 0,
        "vlan_default_pvid": 1,
        "vlan_protocol": 0x8100,
        "vlan_stats_enabled": 0,
        "vlan_stats_per_port": 0,
        "group_fwd_mask": 0,
        "root_port": 0,
        "root_path_cost": 0,
        "topology_change": 0,
        "topology_change_detected": 0,
        "group_addr": "01:80:c2:00:00:00",
        "fdb_max_learned": 0,
        "mcast_router": 1,
        "mcast_snooping": 1,
        "mcast_query_use_ifaddr": 0,
        "mcast_querier": 0,
        "mcast_stats_enabled": 0,
        "mcast_hash_elasticity": 16,
        "mcast_hash_max": 4096,
        "mcast_last_member_cnt": 2,
        "mcast_startup_query_cnt": 2,
        "mcast_igmp_version": 2,
        "mcast_mld_version": 1,
        "mcast_last_member_intvl": 100,
        "mcast_membership_intvl": 26000,
        "mcast_querier_intvl": 25500,
        "mcast_query_intvl": 12500,
        "mcast_query_response_intvl": 1000,
        "mcast_startup_query_intvl": 3124,
        "mcast_last_member_count": 2,
        "mcast_startup_query_count": 2,
        "mcast_last_member_interval": 100,
        "mcast_membership_interval": 26000,
        "mcast_querier_interval": 25500,
        "mcast_query_interval": 12500,
        "mcast_query_response_interval": 1000,
        "mcast_startup_query_interval": 3124,
        "nf_call_iptables": 0,
        "nf_call_ip6tables": 0,
        "nf_call_arptables": 0,
    },
    # net/bridge/br_if.c: new_nbp(), net/bridge/br_multicast.c: br_multicast_port_ctx_init()
    "port": {
        "state": 3,
        "priority": 32,
        "cost": 2,
        "mode": 0,
        "guard": 0,
        "protect": 0,
        "fast_leave": 0,
        "mcast_to_ucast": 0,
        "learning": 1,
        "unicast_flood": 1,
        "mcast_flood": 1,
        "bcast_flood": 1,
        "proxyarp": 0,
        "proxyarp_wifi": 0,
        "designated_cost": 0,
        "vlan_tunnel": 0,
        "group_fwd_mask": 0,
        "neigh_suppress": 0,
        "mrp_ring_open": 0,
        "mrp_in_open": 0,
        "isolated": 0,
        "locked": 0,
        "mab": 0,
        "neigh_vlan_suppress": 0,
        "multicast_router": 1,
        "hairpin": 0,
        "root_block": 0,
        "fastleave": 0,
        "flood": 1,
        "proxy_arp": 0,
        "proxy_arp_wifi": 0,
        "mcast_router": 1,
        "mcast_to_unicast": 0,
        "mcast_eht_hosts_limit": 512,
        "mcast_max_groups": 0,
    },
}

#: Settings that are always shown: labs set them, since namespaces take them from the machine.
SHOWN = (
    "ipv4.ip_forward",
    "ipv4.conf.all.forwarding",
    "ipv4.conf.all.rp_filter",
    "ipv4.conf.all.arp_ignore",
    "ipv4.conf.all.arp_announce",
    "ipv4.conf.default.forwarding",
    "ipv4.conf.default.rp_filter",
    "ipv4.conf.lo.forwarding",
    "ipv6.conf.all.forwarding",
    "ipv6.conf.default.disable_ipv6",
    "ipv6.conf.default.accept_dad",
    "ipv6.conf.default.router_solicitations",
)

#: Settings that are left out: random keys, and what other rows say.
_LEFT_OUT = ("/tcp_fastopen_key", "/stable_secret", "/mtu", "ipv4/conf/all/accept_redirects")

#: Packet filter and routing rules of both families as lines.
_RULES = """
for family in iptables ip6tables; do echo "family $family"; "$family-save" 2>/dev/null; done
echo "family ip -4"; ip -4 rule
echo "family ip -6"; ip -6 rule
"""


def written(name: str, family: int) -> dict[str, Counter[str]]:
    """The state that is written down for a topology of the catalog, and for each of its nodes."""
    found: dict[str, Counter[str]] = {}
    shared = _sections((STATES / "every-node.txt").read_text())[EVERY_NODE]
    for node, rows in _sections((STATES / f"{name}-ipv{family}.txt").read_text()).items():
        found[node] = rows + shared
    return found


def _sections(text: str) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            rows = found.setdefault(line.strip("[]"), Counter())
        elif line.strip() and not line.startswith("#"):
            rows[" ".join(line.split())] += 1
    return found


def difference(wanted: State, found: State) -> list[str]:
    """What is missing (``-``) and what is too much (``+``), row by row; empty where nothing is."""
    lines = []
    for node in dict.fromkeys([*wanted, *found]):
        old, new = wanted.get(node, Counter()), found.get(node, Counter())
        if not new:
            lines.append(f"- {node}")
        lines += [f"- {node}: {row}" for row in sorted((old - new).elements())]
        lines += [f"+ {node}: {row}" for row in sorted((new - old).elements())]
    return lines


def built(lab: Lab) -> dict[str, Counter[str]]:
    """The state of each node of a live lab."""
    programs = _programs(lab)
    found = {}
    for name, node in lab.items():
        with node.namespaces.quick(["sh", "-c", _RULES]) as process:
            found[name] = Counter(_tables(node.state))
            found[name].update(_multicast_interfaces(node))
            found[name].update(_settings(node.namespaces))
            output, _ = process.communicate(timeout=60)
        found[name].update(_rules(output))
        found[name].update(f"program {program}" for program in programs[name])
    return found


def _programs(lab: Lab) -> dict[str, list[str]]:
    """What runs in the nodes, without the process that holds a node's PID namespace."""
    nodes = {os.fstat(node.namespaces.net).st_ino: name for name, node in lab.items()}
    found: dict[str, list[str]] = {name: [] for name in lab}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            node = nodes.get((process / "ns" / "net").stat().st_ino)
            own_numbers = (process / "status").read_text().partition("NSpid:")[2].splitlines()[0]
            name = (process / "comm").read_text().strip()
        except OSError:  # it has ended meanwhile
            continue
        if node is not None and own_numbers.split()[-1] != "1":
            found[node].append(name)
    return found


def _tables(state: NodeState) -> Iterator[str]:
    yield from map(_link, state.links)
    for kind, rows in (
        ("address", state.addresses),
        (
            "fdb",
            (row for row in state.fdb if not _is_learned(row) and not _is_repeated(row, state)),
        ),
        ("neighbour", (row for row in state.neighbours if not _is_learned(row))),
        ("route", state.routes),
        ("mroute", (row for row in state.multicast_routes if not _is_learned(row))),
        ("group", state.memberships),
        ("vni", state.vnis),
        ("mdb", state.mdb),
        ("nexthop", state.nexthops),
    ):
        for row in rows:
            yield f"{kind} {row}"


def _is_learned(row: FdbEntry | Neighbour | MulticastRoute) -> bool:
    if isinstance(row, MulticastRoute):
        return row.unresolved
    if isinstance(row, FdbEntry):
        return row.state in ("reachable", "stale") and "extern_learn" not in row.flags
    return row.state not in ("PERMANENT", "") and "extern_learn" not in row.flags


def _is_repeated(row: FdbEntry, state: NodeState) -> bool:
    own = row.vlan == 1 and row.state == "permanent" and row.master is not None
    return own and dataclasses.replace(row, vlan=None) in state.fdb


def _link(row: Link) -> str:
    name = f"{row.name}@{row.link}" if row.link else row.name
    words = ["link", f"{row.index}:", name, row.kind, "mac", row.mac, "mtu", row.mtu]
    words += ["master", row.master] if row.master else []
    words += [",".join(row.flags), row.state]
    words += _unusual(row.kind, row.attributes)
    if row.port:
        words += ["port", *_unusual("port" if "no" in row.port else "slave", row.port)]
    return " ".join(str(word) for word in words if word != "")


def _unusual(kind: str, attributes: Mapping[str, object]) -> Iterator[object]:
    usual = DEFAULTS.get(kind, {})
    for name, value in attributes.items():
        if name not in usual or value != usual[name]:
            yield from (name, value)


def _multicast_interfaces(node: Node) -> Iterator[str]:
    """The interfaces that a routing daemon has given to the kernel."""
    for family, name in (("inet", "ip_mr_vif"), ("inet6", "ip6_mr_vif")):
        try:
            lines = node.namespaces.read(f"/proc/thread-self/net/{name}").splitlines()[1:]
        except FileNotFoundError:  # a kernel without multicast routing
            continue
        for line in lines:
            yield f"vif {family} {line.split()[1]}"


def _rules(output: str) -> Iterator[str]:
    """Rules that were added, chains that do not accept, and all routing rules."""
    program = table = ""
    for line in output.splitlines():
        if line.startswith("family "):
            program = line.removeprefix("family ")
        elif program.startswith("ip -"):
            yield f"rule {program} " + " ".join(line.split())
        elif line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A") or (line.startswith(":") and line.split()[1] != "ACCEPT"):
            yield f"rule {program} -t {table} {line}"


def _settings(namespaces: Namespaces) -> Iterator[str]:
    """Settings that are otherwise than in a new namespace, and those of SHOWN.

    Those of a device that a new namespace does not have are compared with what the node has for
    new devices (``conf/default``) and what a new namespace has for lo (``neigh/lo``).
    """
    usual, found = _settings_of_a_new_namespace(), _read_settings(namespaces)
    for key, value in found.items():
        words = key.split("/")
        if key in usual:
            normal = usual[key]
        elif words[1] == "conf":
            normal = found.get("/".join([*words[:2], "default", *words[3:]]), "")
        else:
            normal = usual.get("/".join([*words[:2], "lo", *words[3:]]), "")
        shown = ".".join(words)
        if value != normal or shown in SHOWN:
            yield f"setting {shown} {value}"


@functools.cache
def _settings_of_a_new_namespace() -> Mapping[str, str]:
    namespaces = Namespaces("new")
    try:
        return _read_settings(namespaces)
    finally:
        namespaces.close()


def _read_settings(namespaces: Namespaces) -> dict[str, str]:
    with namespaces.entered():
        return dict([*_walk("ipv4"), *_walk("ipv6")])


def _walk(key: str) -> Iterator[tuple[str, str]]:
    """The settings below ``key`` that can be read, as quickly as thousands of files want it."""
    with os.scandir(f"/proc/sys/net/{key}") as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(f"{key}/{entry.name}")
            elif not entry.path.endswith(_LEFT_OUT):
                try:
                    file = os.open(entry.path, os.O_RDONLY)
                except PermissionError:  # one that is for writing alone, such as a flush
                    continue
                try:
                    yield f"{key}/{entry.name}", " ".join(os.read(file, 1 << 16).decode().split())
                finally:
                    os.close(file)
