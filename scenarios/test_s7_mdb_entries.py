"""7.10 MDB entries: what they have unless it is given, what is refused, and what is read back.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0                        ├── .55 eth0 c
                                    └── .56 eth0 d

Groups are of IPv4 or IPv6, and so is the underlay, and with it the remotes.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest
from device_tools import at, device
from mdb_tools import (
    NONE_DELETED,
    RTPROT_BGP,
    RTPROT_STATIC,
    a_valid_entry,
    changed_entries,
    entry,
    get_remotes,
    has_entry,
    in_all_families,
    keep_entries,
    make_device,
    no_entry,
    no_replacement,
    overlay,
    rows,
)

from vxlab import ApplyError
from vxlab.operations import AddMdb, DelMdb

CONFIG = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_config_init()"
GET = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_get()"
A_VALID_ENTRY = {
    "change": a_valid_entry,
    "because": "DID NOT RAISE ApplyError",
}

pytestmark = [pytest.mark.requires("vxlan-mdb"), in_all_families]


def other_kind(operation):
    """A control: an entry for every source becomes one for one source, and the reverse."""
    if not isinstance(operation, AddMdb):
        return operation
    source = "172.18.1.2" if "." in operation.group else "fd00:172:18:1::2"
    return dataclasses.replace(operation, source=None if operation.source else source)


# A field, what it is unless it is given, and what it becomes.
FIELDS = {
    "protocol": (RTPROT_STATIC, RTPROT_BGP),
    "port": (None, 1234),
    "vni": (None, 1234),
    "via": (None, "eth0"),
}


def assert_field(lab, field, wanted):
    """Assert that the only entry of a's MDB has a field of this value."""
    (row,) = rows(lab)
    found = getattr(row, field)
    assert found == wanted, f"the entry has {field} {found}, not {wanted}"


@pytest.mark.behaviour(
    "an MDB entry has the protocol `static`, and no UDP port, VNI and interface of its own, unless "
    "they are given",
    source=CONFIG,
)
@pytest.mark.control(
    "the MDB entry is added with the field",
    change=changed_entries(protocol=RTPROT_BGP, port=1234, vni=1234, via="eth0"),
    because=r"the entry has \w+ (186|1234|eth0), not (4|None)",
)
@pytest.mark.parametrize("who", ["everyone", "source"])
@pytest.mark.parametrize("field", FIELDS)
def test_an_entry_has_defaults(lab, chosen, who, field):
    inner = overlay(chosen)
    default, _ = FIELDS[field]
    make_device(lab, entry(lab, inner.group, source=None if who == "everyone" else inner.source))
    assert_field(lab, field, default)


@pytest.mark.behaviour(
    "a replacement gives an MDB entry another protocol, UDP port, VNI or outgoing interface",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_replace()",
)
@pytest.mark.control(
    "the MDB entry is not replaced",
    change=no_replacement,
    because=r"the entry has \w+ (4|None), not (186|1234|eth0)",
)
@pytest.mark.parametrize("who", ["everyone", "source"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_is_replaced(lab, chosen, who, field):
    inner = overlay(chosen)
    _, value = FIELDS[field]
    source = None if who == "everyone" else inner.source
    make_device(lab, entry(lab, inner.group, source=source))
    lab.apply(entry(lab, inner.group, source=source, replace=True, **{field: value}))
    assert_field(lab, field, value)


@pytest.mark.behaviour(
    "the filter mode of an MDB entry is `exclude` if it is for every source, and `include` if it "
    "is for one",
    source=CONFIG,
)
@pytest.mark.control(
    "the MDB entry is the other kind",
    change=other_kind,
    because=r"the entry has filter_mode \w+, not \w+",
)
@pytest.mark.parametrize(("who", "mode"), [("everyone", "exclude"), ("source", "include")])
def test_the_filter_mode_has_a_default(lab, chosen, who, mode):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group, source=None if who == "everyone" else inner.source))
    assert_field(lab, "filter_mode", mode)


@pytest.mark.behaviour(
    "the kernel finds the MDB entry of a group, and of a source, that it is asked for, with all "
    "remotes, and does not find it once it is deleted",
    source=GET,
)
@pytest.mark.control(
    NONE_DELETED, change=keep_entries, because=r"the remotes are \['\S+', '\S+'\], not \['\S+'\]"
)
@pytest.mark.parametrize("who", ["everyone", "source"])
def test_one_entry_is_found(lab, chosen, who):
    inner = overlay(chosen)
    source = None if who == "everyone" else inner.source
    make_device(lab, *(entry(lab, inner.group, host, source=source) for host in "bc"))
    assert_remotes(lab, inner, source, "bc")
    lab.apply(no_entry(lab, inner.group, "b", source=source))
    assert_remotes(lab, inner, source, "c")
    lab.apply(no_entry(lab, inner.group, "c", source=source))
    assert not has_entry(lab, inner.group, source)


def assert_remotes(lab, inner, source, hosts):
    """Assert that the kernel answers with the remotes of the entry."""
    found, wanted = get_remotes(lab, inner.group, source), sorted(at(lab, one) for one in hosts)
    assert found == wanted, f"the remotes are {found}, not {wanted}"


@pytest.mark.behaviour(
    "the kernel does not find the (*,G) MDB entry for a source, nor that of another group",
    source=GET,
)
@pytest.mark.control(
    "the entry is of the source, not of every source",
    change=other_kind,
    because="the kernel found the entry of a source",
)
def test_another_entry_is_not_found(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group))
    assert not has_entry(lab, inner.group, inner.source), "the kernel found the entry of a source"
    assert not has_entry(lab, inner.other), "the kernel found the entry of another group"
    assert has_entry(lab, inner.group)


# The fields of an entry, and the words of the kernel's refusal; names stand for the case's groups.
REFUSED = {
    "a-group-that-is-none": ({"group": "source"}, "is not multicast"),
    "no-remote": ({"dst": None}, "Missing"),
    "include-of-nobody": ({"filter_mode": "include"}, "INCLUDE with an empty source list"),
    "a-mode-for-a-source": (
        {"source": "source", "filter_mode": "include"},
        "Filter mode can only be",
    ),
    "sources-of-a-source": (
        {"source": "source", "source_list": ("source",)},
        "Source list can only be",
    ),
    "sources-without-a-mode": ({"source_list": ("source",)}, "cannot be set without filter mode"),
    "a-group-as-source-in-a-list": (
        {"filter_mode": "exclude", "source_list": ("other",)},
        "multicast source address",
    ),
    "a-source-for-all-groups": (
        {"group": "every", "source": "source"},
        "Source cannot be specified",
    ),
    "a-mode-for-all-groups": (
        {"group": "every", "filter_mode": "exclude"},
        "Filter mode can only be",
    ),
    "a-source-that-is-a-group": ({"source": "other"}, "multicast source address"),
    "a-temporary-entry": ({"state": "temp"}, "must be permanent"),
    "the-port-of-another-device": ({"port_name": "eth0"}, "Port net device must be the VXLAN"),
    "a-vlan": ({"vlan": 10}, "VID must not be specified"),
    "a-mac": ({"group": "01:02:03:04:05:06"}, "Group address must be an IPv4|IPv6"),
}


@pytest.mark.behaviour(
    "an MDB entry with contradictory fields is refused, and the kernel's message says why",
    source=CONFIG,
)
@pytest.mark.control("a valid MDB entry is added instead", **A_VALID_ENTRY)
@pytest.mark.parametrize("case", REFUSED)
def test_a_contradictory_entry_is_refused(lab, chosen, case):
    named = vars(overlay(chosen))
    fields, words = REFUSED[case]
    fields = {name: spelled(value, named) for name, value in fields.items()}
    make_device(lab)
    asked = dataclasses.replace(entry(lab, named["group"]), **fields)
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(asked, by="netlink")
    assert refused.value.errno == errno.EINVAL


def spelled(value, named):
    """A field's value, with the case's addresses in place of their names."""
    if isinstance(value, tuple):
        return tuple(named[each] for each in value)
    return named.get(value, value)


@pytest.mark.behaviour(
    "an MDB entry for a link-local IPv4 group is refused",
    source="net/core/rtnetlink.c: rtnl_validate_mdb_entry()",
)
@pytest.mark.control("a valid MDB entry is added instead", **A_VALID_ENTRY)
def test_a_link_local_group_is_refused(lab):
    make_device(lab)
    with pytest.raises(ApplyError, match="group address is local multicast") as refused:
        lab.apply(entry(lab, "224.0.0.5"), by="netlink")
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour(
    "an MDB entry with a VNI or source VNI of 2^24, or with a protocol of the kernel's own, is "
    "refused",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdbe_attrs_pol",
)
@pytest.mark.control("a valid MDB entry is added instead", **A_VALID_ENTRY)
@pytest.mark.parametrize(
    ("field", "value"), [("vni", 1 << 24), ("src_vni", 1 << 24), ("protocol", 3)]
)
def test_a_number_out_of_range_is_refused(lab, chosen, field, value):
    make_device(lab)
    with pytest.raises(ApplyError, match="integer out of range") as refused:
        lab.apply(entry(lab, overlay(chosen).group, **{field: value}), by="netlink")
    assert refused.value.errno == errno.ERANGE


@pytest.mark.behaviour(
    "adding a remote that an MDB entry already has is refused unless it replaces the old one",
    source=CONFIG,
)
@pytest.mark.control("the remote is added with `replace`", **A_VALID_ENTRY)
def test_a_remote_is_refused_a_second_time(lab, chosen):
    again = entry(lab, overlay(chosen).spare)
    make_device(lab, again)
    with pytest.raises(ApplyError, match="MDB remote entry already exists") as refused:
        lab.apply(again, by="netlink")
    assert refused.value.errno == errno.EEXIST


def an_existing_entry(operation):
    """A control: the entry that is deleted exists."""
    if not isinstance(operation, DelMdb):
        return operation
    group = "239.1.1.1" if "." in operation.group else "ff0e::1"
    dst = operation.dst.replace("55", "54")
    return dataclasses.replace(operation, group=group, dst=dst)


@pytest.mark.behaviour(
    "deleting an MDB entry or a remote that does not exist is refused",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_del()",
)
@pytest.mark.control(
    "the MDB entry and its remote exist",
    change=an_existing_entry,
    because="DID NOT RAISE ApplyError",
)
@pytest.mark.parametrize("missing", ["group", "remote"])
def test_an_unknown_entry_cannot_be_deleted(lab, chosen, missing):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group))
    operation, words = {
        "group": (no_entry(lab, inner.spare), "Did not find MDB entry"),
        "remote": (no_entry(lab, inner.group, "c"), "Did not find MDB remote entry"),
    }[missing]
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(operation, by="netlink")
    assert refused.value.errno == errno.ENOENT


#: Of the entries of each device in a large dump; a part of a dump has room for about 400 of them.
GROUP_COUNT, REMOTE_COUNT = 64, 32


def without_the_last(operation):
    """A control: the last MDB entry of the second device is not added."""
    if not isinstance(operation, AddMdb) or operation.interface != "vxlan1":
        return operation
    last = "239.1.1.64", "ff0e::40"
    return (
        None
        if operation.group in last and operation.dst.endswith(("99.32", "99::20"))
        else operation
    )


@pytest.mark.behaviour(
    "the kernel shows each of thousands of MDB entries of two devices, and none of them twice",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_dump()",
)
@pytest.mark.control(
    "one of the MDB entries is not added",
    change=without_the_last,
    because="vxlan1 has 2047 entries, not 2048",
)
def test_a_large_mdb_is_shown_whole(lab, chosen):
    v4_groups, v4_remotes = (family == "4" for family in chosen["families"].split("-in-"))
    group = "239.1.1.{}" if v4_groups else "ff0e::{:x}"
    remote = "192.168.99.{}" if v4_remotes else "fd00:99::{:x}"
    wanted = {
        (group.format(one), remote.format(other))
        for one in range(1, GROUP_COUNT + 1)
        for other in range(1, REMOTE_COUNT + 1)
    }
    for number, name in enumerate(("vxlan0", "vxlan1")):
        lab.apply(*device("a", name=name, id=42 + number))
        lab.apply(*(AddMdb("a", name, *each) for each in wanted), by="netlink")
    for name in ("vxlan0", "vxlan1"):
        found = [(row.group, row.dst) for row in rows(lab, name)]
        assert len(found) == len(wanted), f"{name} has {len(found)} entries, not {len(wanted)}"
        assert set(found) == wanted
