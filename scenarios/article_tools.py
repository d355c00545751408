"""What E1 to E5 read off a lab, to be compared with values that the scenarios write out.

Nothing that a scenario wants may come from the catalog or the planner: these are what it tests.
"""

from __future__ import annotations

#: The attributes of a vxlan device that was given none but its VNI, its port and its peers
#: (drivers/net/vxlan/vxlan_core.c: vxlan_setup(), vxlan_nl2conf(), vxlan_dev_configure()).
DEFAULTS = {
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
}

#: The underlay addresses of the hosts of E1 to E3: the articles' .50 and .54, more come after.
UNDERLAY = {
    4: {
        "a": "192.168.57.50",
        "b": "192.168.57.54",
        "c": "192.168.57.55",
        "d": "192.168.57.56",
        "e": "192.168.57.57",
        "f": "192.168.57.58",
        "g": "192.168.57.59",
        "h": "192.168.57.60",
    },
    6: {
        "a": "fd00:192:168:57::50",
        "b": "fd00:192:168:57::54",
        "c": "fd00:192:168:57::55",
        "d": "fd00:192:168:57::56",
        "e": "fd00:192:168:57::57",
        "f": "fd00:192:168:57::58",
        "g": "fd00:192:168:57::59",
        "h": "fd00:192:168:57::60",
    },
}


def underlay_of(chosen, hosts=2):
    """The underlay addresses by host in the case ``chosen``; ``hosts`` where it names no number."""
    found = UNDERLAY[chosen.get("family", 4)]
    return {host: found[host] for host in list(found)[: chosen.get("hosts", hosts)]}


def unlike_defaults(lab, node, device):
    """The attributes of a vxlan device that have another value than the kernel gives unasked."""
    (link,) = (link for link in lab[node].state.links if link.name == device)
    return {
        name: value
        for name, value in link.attributes.items()
        if name not in DEFAULTS or value != DEFAULTS[name]
    }


def mtus(lab, *places):
    """The MTU of each place, a place being ``node:interface``."""
    found = {}
    for place in places:
        node, _, interface = place.partition(":")
        (link,) = lab[node].ip("link", "show", interface)
        found[place] = link["mtu"]
    return found


def addresses(lab):
    """The addresses of each place that has some, but for loopback and IPv6 link-local ones."""
    found = {}
    for node in lab:
        for row in lab[node].state.addresses:
            if row.interface != "lo" and row.scope == "global":
                place = f"{node}:{row.interface}"
                found.setdefault(place, []).append(f"{row.address}/{row.prefix}")
    return found


def forwarding_nodes(lab, family):
    """The nodes that forward packets of a family."""
    key = "net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding"
    return [node for node in lab if lab[node].sysctl(key) == "1"]
