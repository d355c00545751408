"""5.3 Reports: the IGMP and MLD messages that a device's joining and leaving sends.

    a eth0 192.168.10.2 ── vbr ── 192.168.10.3 eth0 b
      vxlan0 192.168.42.2                             group 239.1.1.1 (ff08::239:1:1:1)

The reports are sent out of the lower device, in the newest version of IGMP or MLD, unless a
setting forces an older one, or the querier on the link uses an older one.
"""

from __future__ import annotations

import pytest
from flood_tools import group_of, ip_bytes, membership_count, start_querier, with_snooping

from vxlab import catalog, frames
from vxlab.operations import AddLink, AddRule, DelLink, SetSysctl

#: The message of each version on joining and on leaving: its type, and destination (None: the
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
    """The setting that forces a to use a version of IGMP or MLD."""
    name, number = version.split("v")
    if name == "igmp":
        return SetSysctl("a", "net.ipv4.conf.all.force_igmp_version", number)
    return SetSysctl("a", "net.ipv6.conf.eth0.force_mld_version", number)


def second_device(version):
    """The operation that makes a second device on a, in a group that nobody has joined yet."""
    group = NEW[4 if version.startswith("igmp") else 6]
    attributes = (("id", 43), ("group", group), ("dev", "eth0"), ("dstport", 4789))
    return AddLink("a", "vxlan1", "vxlan", 0, attributes, up=True)


def message(frame, group):
    """Type, destination and hop limit of an IGMP or MLD message about a group, else None."""
    header = frames.ip_header(frame.data)
    if header is None or header.protocol not in (frames.IGMP, frames.ICMPV6):
        return None
    kind = frame.data[header.payload]
    if group not in frame.summary() or kind in (0x11, 130):  # queries
        return None
    return kind, frame.outer_dst, frame.ttl


def versions(*names):
    """Parametrise over versions of IGMP and MLD; the topology has the family of each."""
    return pytest.mark.parametrize("version", names or VERSIONS)


@pytest.fixture
def topology(request):
    """One switch, in the family that the version of IGMP or MLD belongs to; b has no device."""
    version = request.getfixturevalue("version")
    family = 4 if version.startswith("igmp") else 6
    return with_snooping(catalog.one_switch(family=family, port=4789).with_host("b", vteps=()))


def another_version(operation):
    """Force the newest version in place of an older one, and an old one in place of the newest."""
    if not isinstance(operation, SetSysctl) or "force_" not in operation.key:
        return operation
    newest = "3" if "igmp" in operation.key else "2"
    value = "1" if operation.value == newest else newest
    return SetSysctl(operation.node, operation.key, value)


@pytest.mark.behaviour(
    "a join is reported in the forced version of IGMP or MLD, to the address that this version "
    "prescribes, with TTL 1",
    source=REPORT,
)
@pytest.mark.control(
    "a is forced to another version of IGMP or MLD",
    change=another_version,
    because=r"the report is not that of (igmp|mld)v\d",
)
@versions()
def test_a_join_is_reported_to_the_address_of_its_version(lab, version):
    added = second_device(version)
    group = dict(added.attributes)["group"]
    (kind, to), _ = VERSIONS[version]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(added)
        frame = seen["b"].wait_for(lambda frame: bool(message(frame, group)), "a's report")
    wanted = (kind, to or group, 1)
    assert message(frame, group) == wanted, f"the report is not that of {version}"


@pytest.mark.behaviour(
    "a leave is reported in the forced version of IGMP or MLD, to the address that this version "
    "prescribes, with TTL 1",
    source="net/ipv4/igmp.c: igmp_leave_group(); net/ipv6/mcast.c: igmp6_leave_group()",
)
@pytest.mark.control(
    "a is forced to another version of IGMP or MLD",
    change=another_version,
    because=r"the leave is not that of (igmp|mld)v\d|waited .* for a's leave",  # v1 has none
)
@versions("igmpv2", "igmpv3", "mldv1", "mldv2")
def test_a_leave_is_reported_to_the_address_of_its_version(lab, version):
    group = dict(second_device(version).attributes)["group"]
    _, (kind, to) = VERSIONS[version]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(second_device(version))
        seen["b"].wait_for(lambda frame: bool(message(frame, group)), "a's report")
        lab.apply(DelLink("a", "vxlan1"))
        frame = seen["b"].wait_for(lambda frame: is_leave(frame, group), "a's leave", timeout=3)
    assert message(frame, group) == (kind, to, 1), f"the leave is not that of {version}"


def is_leave(frame, group):
    """Whether a frame reports that a group is left, in any version of IGMP or MLD."""
    found = message(frame, group)
    if found is None:
        return False
    return found[0] in (0x17, 132) or f"leave {group}" in frame.summary()


def forcing_igmpv2(operation):
    """Force IGMPv2 in place of another version."""
    if not isinstance(operation, SetSysctl) or "force_" not in operation.key:
        return operation
    return SetSysctl(operation.node, operation.key, "2")


@pytest.mark.behaviour(
    "with IGMPv1, which has no leave message, a host leaves a group without reporting it",
    source="RFC 1112",
)
@pytest.mark.control(
    "a is forced to IGMPv2", change=forcing_igmpv2, because="b/eth0: wanted no leave of the group"
)
@versions("igmpv1")
def test_with_igmpv1_a_host_leaves_without_a_report(lab, version):
    group = dict(second_device(version).attributes)["group"]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(second_device(version))
        seen["b"].wait_for(lambda frame: bool(message(frame, group)), "a's report")
        lab.apply(DelLink("a", "vxlan1"))
        assert membership_count(lab, "a", group) == 0
        lab["a"].send_marked("192.168.10.3", b"later")
        seen["b"].wait_for_payload(b"later")
        seen["b"].assert_silent(lambda frame: is_leave(frame, group), "leave of the group")


def with_remote(operation):
    """The second device with a remote in place of a group."""
    if not isinstance(operation, AddLink) or operation.name != "vxlan1":
        return operation
    attributes = dict(operation.attributes)
    attributes["remote"] = "192.168.10.3" if "." in attributes.pop("group") else "fd00::3"
    return AddLink("a", "vxlan1", "vxlan", 0, tuple(attributes.items()), up=True)


@pytest.mark.behaviour(
    "IGMP and MLD reports carry the Router Alert option",
    source="RFC 2113; RFC 2711; RFC 3376 section 4; RFC 3810 section 5",
)
@pytest.mark.control(
    "a's second device has a remote in place of a group",
    change=with_remote,
    because="b/eth0: waited .* for a's report",
)
@versions()
def test_a_report_carries_the_router_alert_option(lab, version):
    group = dict(second_device(version).attributes)["group"]
    lab.apply(forcing(version))
    with lab.capture("b") as seen:
        lab.apply(second_device(version))
        frame = seen["b"].wait_for(lambda x: bool(message(x, group)), "a's report", timeout=3)
    if version.startswith("igmp"):
        option = frame.data[34:38].hex()  # behind 14 bytes of Ethernet and 20 of IPv4
        assert option == "94040000", f"the IPv4 option is {option}"
    else:
        header = frame.data[54:62].hex()  # behind 14 bytes of Ethernet and 40 of IPv6
        assert header == "3a00050200000100", f"the hop-by-hop header is {header}"


NO_QUERIES = (
    AddRule("a", ("-A", "INPUT", "-p", "igmp", "-j", "DROP")),
    AddRule("a", ("-A", "INPUT", "-p", "icmpv6", "--icmpv6-type", "130", "-j", "DROP"), 6),
)


def drop_queries(lab):
    """Let a drop all IGMP and MLD queries."""
    lab.apply(*NO_QUERIES)


@pytest.mark.behaviour(
    "a member of a group answers a query in the querier's version of IGMP or MLD",
    source="RFC 3376 section 7.2.1; RFC 3810 section 8.2.1; net/ipv4/igmp.c: igmp_heard_query()",
)
@pytest.mark.control(
    "a drops all IGMP and MLD queries", lab=drop_queries, because="vbr/a: waited .* for a's answer"
)
@versions("igmpv2", "igmpv3", "mldv1", "mldv2")
def test_a_member_answers_a_query_in_the_version_of_the_querier(lab, version):
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


def is_query(frame, family):
    """Whether a frame is a general query (IGMP type 0x11, MLD type 130)."""
    header = frames.ip_header(frame.data)
    wanted = (frames.IGMP, 0x11) if family == "igmp" else (frames.ICMPV6, 130)
    return header is not None and (header.protocol, frame.data[header.payload]) == wanted


def is_answer(frame, group):
    """Whether a frame reports that a group has a member, and not that it has a new one.

    Only IGMPv3 and MLDv2 distinguish the two: record type 2, MODE_IS_EXCLUDE, answers a query.
    """
    found = message(frame, group)
    if found is None or frame.outgoing:
        return False
    return found[0] not in (0x22, 143) or frame.data[frame.data.index(ip_bytes(group)) - 4] == 2
