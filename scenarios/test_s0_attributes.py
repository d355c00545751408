"""0.1 Attributes of a device: set by netlink, `ip` and a script, read back by netlink and `ip`.

    a eth0 192.0.2.1 ──┐
    b eth0 192.0.2.2 ──┼── lan        the same device on each: vx0
    c eth0 192.0.2.3 ──┘

Each attribute of vxlab's table (vxlab/vxlan.py) gets several values.  Whether the kernel and `ip`
know an attribute is probed; its cases are skipped where they do not.
"""

from __future__ import annotations

import dataclasses

import pytest

from vxlab import TopologyBuilder, vxlan
from vxlab.operations import AddLink, SetSysctl

#: The values that are tried of each attribute; of one that is not here, on and off.
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

#: Attributes that are set besides an IPv6 address, as they do not depend on the family.
OF_EITHER_FAMILY = ("id", "dev", "dstport")
#: Attributes that the kernel accepts and does not report: mcroute (finding K7).
NOT_REPORTED = {"mcroute"}
#: What `ip` switches off together with `external`, without being asked to (finding I1).
SWITCHED_OFF_BY_IP = {"learning"}


def hosts():
    """Three hosts on one switch, without any VXLAN."""
    t = TopologyBuilder("three hosts").switch("lan", "192.0.2.0/24")
    for name in "abc":
        t.host(name, "lan")
    return t


pytestmark = pytest.mark.topology(hosts())


#: What the kernel wants to see beside an attribute.
NEEDED_BESIDE = {
    "group": {"dev": "eth0"},
    "flowlabel": {"remote": "2001:db8::1"},
    "label_policy": {"remote": "2001:db8::1"},
    "mcroute": {"group": "233.252.0.1", "dev": "eth0"},
    "gpe": {"external": True, "learning": False},
    "vnifilter": {"external": True},
}


def cases(*prefixes):
    """Every attribute with each of its values, as parameters.

    A case needs the features PREFIX.ATTRIBUTE: `vxlan` for the kernel, `ip` for iproute2.
    """
    found = []
    for attribute in vxlan.ATTRIBUTES:
        both = (True, False) if attribute.kind == "bool" else (True,)
        for value in VALUES.get(attribute.name, both):
            needs = [f"{prefix}.{attribute.name}" for prefix in prefixes]
            label = f"{attribute.name}={value}".replace(" ", "")
            mark = pytest.mark.requires(*needs)
            found.append(pytest.param(attribute.name, value, id=label, marks=mark))
    return found


def device_with(name, value):
    """All attributes of a device that has the attribute ``name``: some need others."""
    wanted = {"id": 42, "dstport": 4789, **NEEDED_BESIDE.get(name, {}), name: value}
    if wanted.get("external"):
        del wanted["id"]  # such a device has no VNI of its own
    if ":" in str(value):
        wanted = {key: each for key, each in wanted.items() if key in (*OF_EITHER_FAMILY, name)}
    if name == "external" and not value:
        wanted["id"] = 42
    return tuple(wanted.items())


def created_device(lab, host, name, value, by):
    """The attributes of a device that a backend creates, as netlink reports them."""
    lab.apply(SetSysctl(host, "net.ipv6.conf.eth0.disable_ipv6", "0"))
    lab.apply(AddLink(host, "vx0", "vxlan", 9, device_with(name, value)), by=by)
    (link,) = [link for link in lab[host].state.links if link.name == "vx0"]
    return dict(link.attributes)


def device_shown_by_ip(lab, host):
    """The attributes of the device as `ip -j -d link` shows them."""
    (link,) = lab[host].ip("-d", "link", "show", "vx0")
    return vxlan.from_json(link["linkinfo"]["info_data"])


def values_of(names, found):
    """The values found of some attributes; an attribute that is not reported has its default."""
    return {name: found.get(name, vxlan.BY_NAME[name].default) for name in names}


# How labs are broken for the controls.


def is_tested_device(operation):
    return isinstance(operation, AddLink) and operation.name == "vx0"


def with_maxaddress_4242_on(node):
    """A change that creates the device on a node with another `maxaddress`."""

    def change(operation):
        if is_tested_device(operation) and operation.node == node:
            attributes = {**dict(operation.attributes), "maxaddress": 4242}
            return dataclasses.replace(operation, attributes=tuple(attributes.items()))
        return operation

    return change


def as_bridge(operation):
    if is_tested_device(operation):
        return dataclasses.replace(operation, kind="bridge", attributes=())
    return operation


@pytest.mark.behaviour(
    "a vxlan attribute that is set through netlink reads back with the same value through netlink "
    "and through `ip`",
    source="drivers/net/vxlan/vxlan_core.c: vxlan_nl2conf(), vxlan_fill_info()",
)
@pytest.mark.known_difference("I11", until="6.1", of="iproute2")
@pytest.mark.control(
    "the device is created with `maxaddress` 4242 instead of the value asked for",
    change=with_maxaddress_4242_on("a"),
    because=r"netlink reports the values \{'maxaddress': 4242, ",
)
@pytest.mark.parametrize(("name", "value"), cases("vxlan"))
def test_an_attribute_set_through_netlink_reads_back(lab, name, value):
    found = created_device(lab, "a", name, value, "netlink")
    wanted = {"maxaddress": 0, **dict(device_with(name, value))}
    wanted = {key: each for key, each in wanted.items() if key not in NOT_REPORTED or key in found}
    reported = values_of(wanted, found)
    assert reported == wanted, f"netlink reports the values {reported}"
    shown = device_shown_by_ip(lab, "a")
    assert shown == values_of(shown, found)
    assert shown["dstport"] == wanted["dstport"]
    assert shown.get("maxaddress", 0) == wanted["maxaddress"]


@pytest.mark.behaviour(
    "netlink, `ip` and the script backend create the same vxlan device from the same attributes, "
    "but for `learning`, which `ip` switches off with `external`",
    source="iproute2 ip/iplink_vxlan.c: vxlan_parse_opt()",
)
@pytest.mark.control(
    "the script creates its device with `maxaddress` 4242 instead of the value asked for",
    change=with_maxaddress_4242_on("c"),
    because=r"the devices of `ip` and the script differ in \{'maxaddress'\}",
)
@pytest.mark.parametrize(("name", "value"), cases("vxlan", "ip"))
def test_netlink_and_ip_and_a_script_create_the_same_device(lab, name, value):
    by_netlink = created_device(lab, "a", name, value, "netlink")
    by_ip = created_device(lab, "b", name, value, "iproute2")
    by_script = created_device(lab, "c", name, value, "script")
    found = differing(by_ip, by_script)
    assert not found, f"the devices of `ip` and the script differ in {found}"
    allowed = SWITCHED_OFF_BY_IP if by_netlink["external"] else set()
    found = differing(by_netlink, by_ip)
    assert found <= allowed, f"the devices of netlink and `ip` differ in {found}"
    assert by_ip.keys() == by_netlink.keys()


def differing(one, other):
    """The attributes that have different values, or that only one of two devices has."""
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


@pytest.mark.behaviour(
    "of a vxlan device the kernel reports no attribute that vxlab's table of attributes lacks",
    source="include/uapi/linux/if_link.h: IFLA_VXLAN_*",
)
@pytest.mark.known_difference("I15", until="6.1", of="iproute2")
@pytest.mark.control(
    "a bridge is created in place of the vxlan device",
    change=as_bridge,
    because=r"attributes that vxlab's table lacks: \{.*4[0-9]",
)
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
def test_the_kernel_reports_no_attribute_that_vxlab_does_not_know(lab, attributes):
    lab.apply(SetSysctl("a", "net.ipv6.conf.eth0.disable_ipv6", "0"))
    lab.apply(AddLink("a", "vx0", "vxlan", 9, tuple(attributes.items())))
    found = set(lab["a"].raw_link("vx0"))
    known = {number for each in vxlan.ATTRIBUTES for number in (each.number, each.number6)}
    assert found <= known, (
        f"the kernel reports attributes that vxlab's table lacks: {found - known}"
    )
    assert {vxlan.BY_NAME[name].number for name in ("id", "ttl", "dstport", "ageing")} <= found
