"""5.3 Reports: what a device's joining and leaving puts on the wire.

    a eth0 192.168.10.2 ── vbr ── 192.168.10.3 eth0 b
      vxlan0 192.168.42.2                             group 239.1.1.1 (ff08::239:1:1:1)

The reports are the card's, in the version that the host speaks: the newest, unless a setting
forces another, or the querier on the link speaks an older one.
"""

from __future__ import annotations

import pytest
from flood_tools import group_of, packed, snooping, start_querier, users_of

from vxlab import catalog
from vxlab.observe.frames import ICMPV6, IGMP, ip_header
from vxlab.operations import AddLink, AddRule, DelLink, SetSysctl

#: What each version says on joining and on leaving: message type, and destination (None: the
#: group itself); RFC 1112, RFC 2236 section 9, RFC 3376 section 4.2, RFC 2710, RFC 3810.
VERSIONS = {
    "igmpv1": ((0x12, None), None),
    "igmpv2": ((0x16, None), (0x17, "224.0.0.2")),
    "igmpv3": ((0x22, "224.0.0.22"), (0x22, "224.0.0.22")),
    "mldv1": ((131, None), (132, "ff02::2")),
    "mldv2": ((143, "ff02::16"), (143, "ff02::16")),
}
NEW = {4: "239.7.7.7", 6: "ff08::7:7:7"}
REPORT = "net/ipv4/igmp.c: igmp_send_report(); net/ipv6/mcast.c: igmp6_send()"


def forcing(version):
    """The settings that make a speak a version of IGMP or MLD."""
    name, number = version.split("v")
    keys = {"igmp": "net.ipv4.conf.all.force_igmp_version"}
    key = keys.get(name, "net.ipv6.conf.eth0.force_mld_version")
    return SetSysctl("a", key, number)


def device(lab, version):
    """One more vxlan device on a, in a group that nobody has joined yet."""
    group = NEW[4 if version.startswith("igmp") else 6]
    attributes = (("id", 43), ("group", group), ("dev", "eth0"), ("dstport", 4789))
    return AddLink("a", "vxlan1", "vxlan", 0, attributes, up=True)


def message(frame, group):
    """Type, destination and hop limit of an IGMP or MLD message about a group, else None."""
    header = ip_header(frame.data)
    if header is None or header.protocol not in (IGMP, ICMPV6):
        return None
    kind = frame.data[header.payload]
    if group not in frame.summary() or kind in (0x11, 130):  # queries
        return None
    return kind, frame.outer_dst, frame.ttl


def versions(*names):
    """The topology of each version of IGMP and MLD, and the version."""
    return pytest.mark.parametrize("version", names or VERSIONS)


@pytest.fixture
def topology(request):
    """One switch, in the family that the version of IGMP or MLD belongs to; b only listens."""
    version = request.getfixturevalue("version")
    family = 4 if version.startswith("igmp") else 6
    return snooping(catalog.one_switch(family=family, port=4789).with_host("b", vteps=()))


@pytest.mark.behaviour(
    "a join is reported in the forced version, to that version's address, with TTL 1", source=REPORT
)
@pytest.mark.control("no version is forced, or another", change=lambda op: another_version(op))
@versions()
def test_a_join_is_reported_to_the_address_of_its_version(lab, version):
    added = device(lab, version)
    group = dict(added.attributes)["group"]
    (kind, to), _ = VERSIONS[version]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(added)
        frame = seen["b"].wait_for(lambda frame: bool(message(frame, group)), "a's report")
    assert message(frame, group) == (kind, to or group, 1)


def another_version(operation):
    """Force the newest version in place of an older one, and an old one in place of it."""
    if not isinstance(operation, SetSysctl) or "force_" not in operation.key:
        return operation
    newest = "3" if "igmp" in operation.key else "2"
    value = "1" if operation.value == newest else newest
    return SetSysctl(operation.node, operation.key, value)


@pytest.mark.behaviour(
    "a leave is reported in the forced version, to that version's address, with TTL 1",
    source="net/ipv4/igmp.c: igmp_leave_group(); net/ipv6/mcast.c: igmp6_leave_group()",
)
@pytest.mark.control("no version is forced, or another", change=lambda op: another_version(op))
@versions("igmpv2", "igmpv3", "mldv1", "mldv2")
def test_a_leave_is_reported_to_the_address_of_its_version(lab, version):
    group = dict(device(lab, version).attributes)["group"]
    _, (kind, to) = VERSIONS[version]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(device(lab, version))
        seen["b"].wait_for(lambda frame: bool(message(frame, group)), "a's report")
        lab.apply(DelLink("a", "vxlan1"))
        frame = seen["b"].wait_for(lambda frame: is_leave(frame, group), "a's leave", timeout=3)
    assert message(frame, group) == (kind, to, 1)


def is_leave(frame, group):
    """Whether a frame says that a group is left, in any version."""
    found = message(frame, group)
    if found is None:
        return False
    return found[0] in (0x17, 132) or f"leave {group}" in frame.summary()


@pytest.mark.behaviour("IGMPv1 knows no leave: the host goes in silence", source="RFC 1112")
@pytest.mark.control("the host speaks IGMPv2", change=lambda op: speaking_v2(op))
@versions("igmpv1")
def test_in_igmpv1_a_host_leaves_in_silence(lab, version):
    group = dict(device(lab, version).attributes)["group"]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(device(lab, version))
        seen["b"].wait_for(lambda frame: bool(message(frame, group)), "a's report")
        lab.apply(DelLink("a", "vxlan1"))
        assert users_of(lab, "a", group) == 0
        lab["a"].send_marked("192.168.10.3", b"later")
        seen["b"].wait_for_payload(b"later")
        seen["b"].assert_silent(lambda frame: is_leave(frame, group), "leave")


def speaking_v2(operation):
    if not isinstance(operation, SetSysctl) or "force_" not in operation.key:
        return operation
    return SetSysctl(operation.node, operation.key, "2")


@pytest.mark.behaviour(
    "reports carry the router alert, so that routers look at what is not for them",
    source="RFC 2113; RFC 2711; RFC 3376 section 4; RFC 3810 section 5",
)
@pytest.mark.control("the device joins no group", change=lambda op: unicast_only(op))
@versions()
def test_a_report_carries_the_router_alert(lab, version):
    group = dict(device(lab, version).attributes)["group"]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(device(lab, version))
        frame = seen["b"].wait_for(lambda x: bool(message(x, group)), "a's report", timeout=3)
    alert = {0x46: (34, "94040000"), 0x60: (54, "3a00050200000100")}  # option; hop-by-hop header
    at, wanted = alert[frame.data[14]]
    assert frame.data[at : at + len(wanted) // 2].hex() == wanted


def unicast_only(operation):
    """The device with a remote in place of a group."""
    if not isinstance(operation, AddLink) or operation.name != "vxlan1":
        return operation
    attributes = dict(operation.attributes)
    attributes["remote"] = "192.168.10.3" if "." in attributes.pop("group") else "fd00::3"
    return AddLink("a", "vxlan1", "vxlan", 0, tuple(attributes.items()), up=True)


@pytest.mark.behaviour(
    "a member answers a query in the version of the querier",
    source="RFC 3376 section 7.2.1; RFC 3810 section 8.2.1; net/ipv4/igmp.c: igmp_heard_query()",
)
@pytest.mark.control("a hears no query", lab=lambda lab: lab.apply(*NO_QUERIES))
@versions("igmpv2", "igmpv3", "mldv1", "mldv2")
def test_a_member_answers_in_the_version_of_the_querier(lab, version):
    (kind, to), _ = VERSIONS[version]
    family, number = version.split("v")
    group = group_of(lab)
    with lab.capture("vbr:a") as seen:
        start_querier(lab, **{f"mcast_{family}_version": number})
        query = seen["vbr:a"].wait_for(lambda x: is_query(x, family), "a query")
        answer = seen["vbr:a"].wait_for(
            lambda x: x.time_ns > query.time_ns and is_answer(x, group), "a's answer", timeout=3
        )
    assert message(answer, group) == (kind, to or group, 1)


NO_QUERIES = (
    AddRule("a", ("-A", "INPUT", "-p", "igmp", "-j", "DROP")),
    AddRule("a", ("-A", "INPUT", "-p", "icmpv6", "--icmpv6-type", "130", "-j", "DROP"), 6),
)


def is_query(frame, family):
    """Whether a frame is a general query (IGMP type 0x11, MLD type 130)."""
    header = ip_header(frame.data)
    wanted = (IGMP, 0x11) if family == "igmp" else (ICMPV6, 130)
    return header is not None and (header.protocol, frame.data[header.payload]) == wanted


def is_answer(frame, group):
    """Whether a frame says that a group has a member, and not that it has a new one.

    Only IGMPv3 and MLDv2 tell the two from each other: record type 2, MODE_IS_EXCLUDE.
    """
    found = message(frame, group)
    if found is None or frame.outgoing:
        return False
    return found[0] not in (0x22, 143) or frame.data[frame.data.index(packed(group)) - 4] == 2
