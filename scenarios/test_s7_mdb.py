"""7.5 MDB: a multicast group inside the tunnel is sent to remotes of its own, not flooded.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0 172.18.1.2             ├── .55 eth0 c
                                    └── .56 eth0 d

Without an MDB entry a floods every multicast group to b, c and d.  The MDB is that of a's vxlan
device.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from device_tools import (
    ANY_MAC,
    PORTS,
    B,
    C,
    D,
    bare,
    device,
    holds,
    tunnels,
)

from vxlab import ApplyError
from vxlab.operations import AddFdb, AddMdb, AddRoute, DelMdb

XMIT = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_entry_skb_get(), vxlan_mdb_xmit()"
CONFIG = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_config_init()"
FILTERS = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_srcs_add()"
GROUP, OTHER_GROUP, LINK_LOCAL = "239.1.1.1", "239.1.1.2", "224.0.0.77"
CATCH_ALL = "0.0.0.0"
#: The overlay address from which a sends, and one from which nobody does.
SOURCE, OTHER_SOURCE = "172.18.1.2", "172.18.1.99"
ALL = [B, C, D]

pytestmark = [pytest.mark.requires("vxlan-mdb"), pytest.mark.topology(bare, hosts=4)]

NO_ENTRIES = "a's MDB has no entries"
NO_FLOODING_TO_C_AND_D = "a's device floods to b only"


def no_entries(operation):
    """A control: the MDB stays empty."""
    return None if isinstance(operation, AddMdb) else operation


def without_the_catch_all(operation):
    """A control: there is no entry for all groups."""
    if isinstance(operation, AddMdb) and operation.group == CATCH_ALL:
        return None
    return operation


def keep_entries(operation):
    """A control: no entry is deleted."""
    return None if isinstance(operation, DelMdb) else operation


def entries_of_the_group(operation):
    """A control: all entries are for the group that is sent to."""
    if not isinstance(operation, AddMdb):
        return operation
    return dataclasses.replace(operation, group=GROUP)


def entries_for_all_sources(operation):
    """A control: entries are for every source."""
    if not isinstance(operation, AddMdb):
        return operation
    return dataclasses.replace(operation, source=None, filter_mode=None, source_list=())


def entries_with_port_and_vni_of_the_device(operation):
    """A control: entries have no UDP port and VNI of their own."""
    if not isinstance(operation, AddMdb):
        return operation
    return dataclasses.replace(operation, port=None, vni=None)


def entries_of_the_other_mode(operation):
    """A control: entries have EXCLUDE in place of INCLUDE, and INCLUDE in place of EXCLUDE."""
    if not isinstance(operation, AddMdb):
        return operation
    mode = "exclude" if operation.filter_mode == "include" else "include"
    return dataclasses.replace(operation, filter_mode=mode)


def no_replacement(operation):
    """A control: no entry is replaced."""
    return None if isinstance(operation, AddMdb) and operation.replace else operation


def a_valid_entry(operation):
    """A control: in place of every entry, one that is accepted any number of times."""
    return entry("239.9.9.9", replace=True) if isinstance(operation, AddMdb) else operation


def an_existing_entry(operation):
    """A control: the entry that is deleted exists."""
    return DelMdb("a", "vxlan0", GROUP, B) if isinstance(operation, DelMdb) else operation


def flood_to_b_only(operation):
    """A control: no remotes are added to the flood entry."""
    return None if isinstance(operation, AddFdb) else operation


def make_device(lab, *entries):
    """Make a's device, which floods to b, c and d, and its MDB entries."""
    lab.apply(*device("a", f"{SOURCE}/24", id=42, remote=B))
    lab.apply(*(AddFdb("a", "vxlan0", ANY_MAC, dst, append=True) for dst in (C, D)))
    lab.apply(AddRoute("a", "224.0.0.0/4", interface="vxlan0"))
    lab.apply(*entries)


def entry(group=GROUP, dst=B, **fields):
    """The operation that adds an MDB entry with one remote."""
    return AddMdb("a", "vxlan0", group, dst, **fields)


def sent_packets(lab, group):
    """A datagram to a group as a sends it: (remote, VNI, UDP port) of each packet.

    A broadcast is sent after it, so that all its packets have been seen.
    """
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked(group, b"to a group")
        lab["a"].send_marked("172.18.1.255", b"to all")
        seen["a:eth0"].wait_for(holds(b"to all"), "the broadcast, which comes later", timeout=3)
    found = tunnels(seen["a:eth0"], b"to a group")
    return sorted((tunnel.outer_dst, tunnel.vni, tunnel.port) for tunnel in found)


def assert_sent_to(lab, wanted, group=GROUP):
    """Assert that a sends a datagram to a group to these remotes and no others."""
    found = [remote for remote, _, _ in sent_packets(lab, group)]
    assert found == wanted, f"{group} is {sent_to(found)}, not {sent_to(wanted)}"


def sent_to(remotes):
    """These remotes in the words of `assert_sent_to`."""
    return f"sent to {', '.join(remotes) or 'nobody'}"


def assert_sent_as(lab, wanted):
    """Assert that a datagram to the group leaves as these packets: (remote, VNI, UDP port)."""
    found = sent_packets(lab, GROUP)
    assert found == wanted, f"{GROUP} is sent to (remote, VNI, UDP port) {found}"


@pytest.mark.behaviour("a multicast group without an MDB entry is flooded", source=XMIT)
@pytest.mark.control(
    "the group has an MDB entry with the remote b",
    change=entries_of_the_group,
    because=f"{GROUP} is {sent_to([B])}, not {sent_to(ALL)}",
)
def test_a_group_without_an_entry_is_flooded(lab):
    make_device(lab, entry(OTHER_GROUP))
    assert_sent_to(lab, ALL)


@pytest.mark.behaviour(
    "a multicast group with an MDB entry is sent to the remotes of the entry only", source=XMIT
)
@pytest.mark.control(
    NO_ENTRIES, change=no_entries, because=rf"239\.(1\.1\.1|7\.7\.7) is {sent_to(ALL)}, not"
)
@pytest.mark.parametrize("dsts", [[B], [C], [B, D], [B, C, D]], ids=["b", "c", "b-and-d", "all"])
def test_a_group_goes_to_its_remotes_only(lab, dsts):
    make_device(lab, entry("239.7.7.7"), *(entry(dst=dst) for dst in reversed(dsts)))
    assert_sent_to(lab, dsts)
    assert_sent_to(lab, ALL, OTHER_GROUP)
    assert_sent_to(lab, [B], "239.7.7.7")


@pytest.mark.behaviour(
    "a broadcast is flooded, even with an MDB entry for all groups (0.0.0.0)", source=XMIT
)
@pytest.mark.control(
    NO_FLOODING_TO_C_AND_D,
    change=flood_to_b_only,
    because=f"172.18.1.255 is {sent_to([B])}, not {sent_to(ALL)}",
)
def test_a_broadcast_is_flooded(lab):
    make_device(lab, entry(), entry(CATCH_ALL))
    assert_sent_to(lab, ALL, "172.18.1.255")


@pytest.mark.behaviour(
    "a multicast group is flooded again once the last remote of its MDB entry is deleted",
    source=XMIT,
)
@pytest.mark.control(
    "no remote is deleted",
    change=keep_entries,
    because=f"{GROUP} is {sent_to([B, C])}, not {sent_to([C])}",
)
def test_without_its_remotes_a_group_is_flooded_again(lab):
    make_device(lab, entry(dst=B), entry(dst=C))
    lab.apply(DelMdb("a", "vxlan0", GROUP, B))
    assert_sent_to(lab, [C])
    lab.apply(DelMdb("a", "vxlan0", GROUP, C))
    assert_sent_to(lab, ALL)


@pytest.mark.behaviour(
    "a remote in an MDB entry may have a UDP port and a VNI of its own", source=XMIT
)
@pytest.mark.control(
    "the remotes in the MDB entries have the UDP port and VNI of the device",
    change=entries_with_port_and_vni_of_the_device,
    because=rf"\(remote, VNI, UDP port\) .*\('{C}', 42, 4789\)",
)
@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"port": 14789}, (C, 42, 14789), id="port"),
        pytest.param({"vni": 77}, (C, 77, 4789), id="vni"),
        pytest.param({"port": 14789, "vni": 16777215}, (C, 16777215, 14789), id="both"),
    ],
)
def test_a_remote_has_its_own_port_and_vni(lab, fields, found):
    make_device(lab, entry(dst=B), entry(dst=C, **fields))
    assert_sent_as(lab, [(B, 42, 4789), found])


@pytest.mark.behaviour(
    "a remote in an MDB entry may be a multicast group of the underlay", source=XMIT
)
@pytest.mark.control(
    NO_ENTRIES, change=no_entries, because=f"is {sent_to(ALL)}, not {sent_to(['239.2.2.2'])}"
)
def test_a_remote_may_be_a_group_of_the_underlay(lab):
    make_device(lab, entry(dst="239.2.2.2", via="eth0"))
    assert_sent_to(lab, ["239.2.2.2"])


@pytest.mark.behaviour(
    "a remote in an MDB entry may be replaced, with another UDP port and VNI", source=CONFIG
)
@pytest.mark.control(
    "the replacement has the UDP port and VNI of the device",
    change=entries_with_port_and_vni_of_the_device,
    because=rf"\(remote, VNI, UDP port\) \[\('{B}', 42, 4789\)\]",
)
def test_a_replaced_remote_has_another_port(lab):
    make_device(lab, entry())
    lab.apply(entry(port=14789, vni=77, replace=True))
    assert_sent_as(lab, [(B, 77, 14789)])


@pytest.mark.behaviour(
    "an (S,G) MDB entry is for packets from its source only, the (*,G) entry for all other packets",
    source=XMIT,
)
@pytest.mark.control(
    "the MDB entries are for every source",
    change=entries_for_all_sources,
    because=f"is {sent_to([B, D])}, not",
)
@pytest.mark.parametrize(
    ("source", "found"), [(SOURCE, [D]), (OTHER_SOURCE, [B])], ids=["mine", "another"]
)
def test_an_entry_of_a_source_is_for_that_source(lab, source, found):
    make_device(lab, entry(dst=B), entry(dst=D, source=source))
    assert_sent_to(lab, found)


SOURCES = {
    "include-me": ("include", SOURCE, [B]),
    "include-another": ("include", OTHER_SOURCE, []),
    "exclude-me": ("exclude", SOURCE, []),
    "exclude-another": ("exclude", OTHER_SOURCE, [B]),
}


@pytest.mark.behaviour(
    "the filter mode and source list of an MDB entry decide which sources its remote gets packets "
    "from",
    source=FILTERS,
)
@pytest.mark.control(
    "the filter mode of the MDB entry is the opposite one",
    change=entries_of_the_other_mode,
    because=f"is {sent_to([B])}, not {sent_to([])}|is {sent_to([])}, not {sent_to([B])}",
)
@pytest.mark.parametrize("case", SOURCES)
def test_a_remote_filters_sources(lab, case):
    mode, source, found = SOURCES[case]
    make_device(lab, entry(filter_mode=mode, source_list=(source,)))
    assert_sent_to(lab, found)


@pytest.mark.behaviour(
    "packets of a source that one remote of a group excludes are not sent to the group's other "
    "remotes either",
    source=FILTERS + ": the (S,G) entry is found before the (*,G) one",
)
@pytest.mark.control(
    "no remote excludes the source",
    change=entries_for_all_sources,
    because=f"is {sent_to([B, C])}, not {sent_to([])}",
)
def test_a_source_that_one_remote_excludes_is_lost_to_the_others(lab):
    excluding = entry(dst=B, filter_mode="exclude", source_list=(SOURCE,))
    make_device(lab, excluding, entry(dst=C))
    assert_sent_to(lab, [])


@pytest.mark.behaviour(
    "when a remote in an MDB entry is replaced, the new source list takes the old one's place",
    source=FILTERS,
)
@pytest.mark.control(
    "the remote is not replaced",
    change=no_replacement,
    because=f"is {sent_to([])}, not {sent_to([B])}",
)
def test_a_replaced_source_list_counts(lab):
    make_device(lab, entry(filter_mode="include", source_list=(OTHER_SOURCE,)))
    assert_sent_to(lab, [])
    lab.apply(entry(filter_mode="include", source_list=(SOURCE,), replace=True))
    assert_sent_to(lab, [B])


@pytest.mark.behaviour(
    "the MDB entry 0.0.0.0 is for all groups without an entry of their own", source=XMIT
)
@pytest.mark.control(
    "the MDB has no entry 0.0.0.0",
    change=without_the_catch_all,
    because=f"{OTHER_GROUP} is {sent_to(ALL)}, not {sent_to([C])}",
)
def test_the_catch_all_takes_every_other_group(lab):
    make_device(lab, entry(CATCH_ALL, C), entry(GROUP, B))
    assert_sent_to(lab, [B])
    assert_sent_to(lab, [C], OTHER_GROUP)


@pytest.mark.behaviour(
    "a link-local multicast group (224.0.0.x) is flooded, even with an MDB entry for all groups "
    "(0.0.0.0)",
    source=XMIT,
)
@pytest.mark.control(
    NO_FLOODING_TO_C_AND_D,
    change=flood_to_b_only,
    because=f"{LINK_LOCAL} is {sent_to([B])}, not {sent_to(ALL)}",
)
def test_link_local_groups_are_flooded(lab):
    make_device(lab, entry(CATCH_ALL, C))
    assert_sent_to(lab, [C], OTHER_GROUP)
    assert_sent_to(lab, ALL, LINK_LOCAL)


REFUSED = {
    "a-group-that-is-none": ({"group": "172.18.1.9"}, "is not multicast or 0.0.0.0"),
    "a-link-local-group": ({"group": "224.0.0.5"}, "group address is local multicast"),
    "no-remote": ({"dst": None}, "Missing"),
    "include-of-nobody": ({"filter_mode": "include"}, "INCLUDE with an empty source list"),
    "a-mode-for-a-source": (
        {"source": SOURCE, "filter_mode": "include"},
        "Filter mode can only be",
    ),
    "sources-without-a-mode": ({"source_list": (SOURCE,)}, "cannot be set without filter mode"),
    "a-source-for-all-groups": (
        {"group": CATCH_ALL, "source": SOURCE},
        "Source cannot be specified",
    ),
    "a-source-that-is-a-group": ({"source": "239.3.3.3"}, "multicast source address"),
    "a-temporary-entry": ({"state": "temp"}, "must be permanent"),
}


@pytest.mark.behaviour(
    "an MDB entry with contradictory fields is refused, and the kernel's message says why",
    source=CONFIG,
)
@pytest.mark.control(
    "a valid MDB entry is added instead",
    change=a_valid_entry,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.parametrize("case", REFUSED)
def test_a_contradictory_entry_is_refused(lab, case):
    fields, words = REFUSED[case]
    make_device(lab, entry("239.8.8.8"))
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(entry(**fields), by="netlink")
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour("an MDB entry with a VNI or source VNI of 2^24 is refused", source=CONFIG)
@pytest.mark.control(
    "a valid MDB entry is added instead",
    change=a_valid_entry,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.parametrize("field", ["vni", "src_vni"])
def test_a_vni_too_large_is_refused(lab, field):
    make_device(lab, entry("239.8.8.8"))
    with pytest.raises(ApplyError, match="integer out of range") as refused:
        lab.apply(entry(**{field: 1 << 24}), by="netlink")
    assert refused.value.errno == errno.ERANGE


@pytest.mark.behaviour(
    "adding a remote that an MDB entry already has is refused unless it replaces the old one",
    source=CONFIG,
)
@pytest.mark.control(
    "the remote is added with `replace`",
    change=a_valid_entry,
    because="DID NOT RAISE ApplyError",
)
def test_a_remote_is_refused_a_second_time(lab):
    make_device(lab, entry("239.8.8.8"))
    with pytest.raises(ApplyError, match="MDB remote entry already exists") as refused:
        lab.apply(entry("239.8.8.8"), entry("239.8.8.8"), by="netlink")
    assert refused.value.errno == errno.EEXIST


@pytest.mark.behaviour(
    "deleting an MDB entry or a remote that does not exist is refused",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_del()",
)
@pytest.mark.control(
    "the MDB entry and its remote exist",
    change=an_existing_entry,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.parametrize(
    ("group", "dst", "words"),
    [
        pytest.param("239.7.7.7", B, "Did not find MDB entry", id="group"),
        pytest.param(GROUP, C, "Did not find MDB remote entry", id="remote"),
    ],
)
def test_an_unknown_entry_cannot_be_deleted(lab, group, dst, words):
    make_device(lab, entry())
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(DelMdb("a", "vxlan0", group, dst), by="netlink")
    assert refused.value.errno == errno.ENOENT
