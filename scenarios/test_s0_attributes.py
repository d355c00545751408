"""0.1 Attributes: set by netlink, by `ip` and by a script, read by netlink and by `ip`.

    a eth0 192.0.2.1 ──┐
    b eth0 192.0.2.2 ──┼── lan        the same device on each: vx0
    c eth0 192.0.2.3 ──┘

Each attribute of the table (vxlab/describe/vxlan.py) gets several values.  A kernel or an `ip` that does not
know one is found by a probe, and the case is skipped.
"""

from __future__ import annotations

import dataclasses

import pytest
from vxlab.features.netlink import link_data

from vxlab import TopologyBuilder, vxlan
from vxlab.features import attributes as probes
from vxlab.operations import AddLink, SetSysctl

#: Values beside the one that its probe uses; both values of everything that is on or off.
VALUES = {
    "id": (0, 1, vxlan.MAX_VNI),
    "group": ("233.252.0.1", "ff0e::db8:1"),
    "remote": ("192.0.2.9", "2001:db8::9"),
    "local": ("192.0.2.1", "2001:db8::1"),
    "dev": ("eth0",),
    "ttl": (1, 64, 255),
    "tos": (1, 0x10, 0xFC),
    "ageing": (1, 77, 0xFFFFFFF),  # 0 stands for the default of 300
    "maxaddress": (1, 0xFFFFFFFF),
    "srcport": ((0, 0), (1, 2), (10000, 65535)),
    "dstport": (1, 4789, 65535),
    "flowlabel": (1, 0xFFFFF),
    "df": (1, 2),
    "label_policy": (1,),
    "reserved_bits": (0xFF, 0x00000080_000000FF),
}

#: Attributes that go with either family.
PLAIN = ("id", "dev", "dstport")
#: Attributes that this kernel accepts and does not send back: mcroute (finding K1).
UNSHOWN = {"mcroute"}
#: What `ip` switches off beside `external`, unasked (finding I1).
BESIDE = {"learning"}


def hosts():
    """Three hosts on one switch, without any VXLAN."""
    t = TopologyBuilder("three hosts").switch("lan", "192.0.2.0/24")
    for name in "abc":
        t.host(name, "lan")
    return t


pytestmark = pytest.mark.topology(hosts())


def cases(*ways):
    """Every attribute with each of its values, as parameters; skipped where a probe says so."""
    found = []
    for attribute in vxlan.ATTRIBUTES:
        both = (True, False) if attribute.kind == "bool" else (True,)
        for value in VALUES.get(attribute.name, both):
            needs = [f"{way}.{attribute.name}" for way in ways]
            label = f"{attribute.name}={value}".replace(" ", "")
            mark = pytest.mark.requires(*needs)
            found.append(pytest.param(attribute.name, value, id=label, marks=mark))
    return found


def device_with(name, value):
    """All attributes of a device that has this one."""
    wanted = {**probes.probe_attributes(vxlan.BY_NAME[name]), name: value}
    wanted = {key: "eth0" if key == "dev" else each for key, each in wanted.items()}
    if ":" in str(value):
        wanted = {key: each for key, each in wanted.items() if key in (*PLAIN, name)}
    if name == "external" and not value:
        wanted["id"] = 42
    return tuple(wanted.items())


def made(lab, host, name, value, by):
    """The attributes of a device that a backend has made, as netlink shows them."""
    lab.apply(SetSysctl(host, "net.ipv6.conf.eth0.disable_ipv6", "0"))
    lab.apply(AddLink(host, "vx0", "vxlan", 9, device_with(name, value)), by=by)
    (link,) = [link for link in lab[host].state.links if link.name == "vx0"]
    return dict(link.attributes)


def shown(lab, host):
    """The attributes of the device as `ip -j -d link` shows it."""
    (link,) = lab[host].ip("-d", "link", "show", "vx0")
    return vxlan.from_json(link["linkinfo"]["info_data"])


def only(wanted, found):
    """What was found, as far as it was wanted; what is not reported has its default."""
    return {name: found.get(name, vxlan.BY_NAME[name].default) for name in wanted}


def another_limit(*nodes):
    """The control: on these nodes the device is made with a maxaddress of its own."""

    def change(operation):
        if isinstance(operation, AddLink) and operation.name == "vx0" and operation.node in nodes:
            attributes = {**dict(operation.attributes), "maxaddress": 4242}
            return dataclasses.replace(operation, attributes=tuple(attributes.items()))
        return operation

    return change


@pytest.mark.behaviour(
    "an attribute set through netlink reads back, through netlink and through ip",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_nl2conf(), vxlan_fill_info()",
)
@pytest.mark.known_difference("I11", until="6.1", of="iproute2")
@pytest.mark.control("the device gets another limit", change=another_limit("a"))
@pytest.mark.parametrize(("name", "value"), cases("vxlan"))
def test_an_attribute_set_through_netlink_reads_back(lab, name, value):
    found = made(lab, "a", name, value, "netlink")
    wanted = {"maxaddress": 0, **dict(device_with(name, value))}
    wanted = {key: each for key, each in wanted.items() if key not in UNSHOWN or key in found}
    assert only(wanted, found) == wanted
    seen = shown(lab, "a")
    assert seen == only(seen, found)
    assert seen["dstport"] == wanted["dstport"]
    assert seen.get("maxaddress", 0) == wanted["maxaddress"]


@pytest.mark.behaviour(
    "netlink, ip and a script make the same device",
    source="iproute2 ip/iplink_vxlan.c: vxlan_parse_opt()",
)
@pytest.mark.control("the script's device gets another limit", change=another_limit("c"))
@pytest.mark.parametrize(("name", "value"), cases("vxlan", "ip"))
def test_netlink_and_ip_and_a_script_make_the_same_device(lab, name, value):
    by_netlink = made(lab, "a", name, value, "netlink")
    by_ip = made(lab, "b", name, value, "iproute2")
    by_script = made(lab, "c", name, value, "script")
    assert by_ip == by_script
    differences = {key for key in by_netlink if by_netlink[key] != by_ip.get(key)}
    allowed = BESIDE if by_netlink["external"] else set()
    assert differences <= allowed
    assert by_ip.keys() == by_netlink.keys()


@pytest.mark.behaviour(
    "the kernel reports no attribute that the table does not know",
    source="include/uapi/linux/if_link.h: IFLA_VXLAN_*",
)
@pytest.mark.known_difference("I15", until="6.1", of="iproute2")
@pytest.mark.control("the device is of another kind", change=lambda operation: as_bridge(operation))
@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"id": 42, "remote": "192.0.2.9", "local": "192.0.2.1"}, id="ipv4"),
        pytest.param({"id": 42, "group": "ff0e::db8:1", "dev": "eth0"}, id="ipv6"),
        pytest.param({"id": 42, "gbp": True, "ttl_inherit": True, "remcsumrx": True}, id="flags"),
        pytest.param({"external": True, "vnifilter": True}, id="external"),
        pytest.param({"external": True, "gpe": True, "learning": False}, id="gpe"),
    ],
)
def test_the_kernel_reports_no_attribute_that_the_table_does_not_know(lab, attributes):
    lab.apply(SetSysctl("a", "net.ipv6.conf.eth0.disable_ipv6", "0"))
    lab.apply(AddLink("a", "vx0", "vxlan", 9, tuple(attributes.items())))
    found = set(link_data(lab["a"].namespaces, 9))
    known = {number for each in vxlan.ATTRIBUTES for number in (each.number, each.number6)}
    assert {vxlan.BY_NAME[name].number for name in ("id", "ttl", "dstport", "ageing")} <= found
    assert found <= known


def as_bridge(operation):
    """The control: a bridge in place of a vxlan device; its attributes are others."""
    if isinstance(operation, AddLink) and operation.name == "vx0":
        return dataclasses.replace(operation, kind="bridge", attributes=())
    return operation
