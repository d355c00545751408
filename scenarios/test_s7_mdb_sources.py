"""7.9 MDB and sources: entries of a source, and entries that include or exclude sources.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0                        ├── .55 eth0 c
                                    └── .56 eth0 d

An entry (S,G) is for what the source S sends to the group G, an entry (*,G) for all other sources.
For each source in the list of a (*,G) entry the kernel makes an (S,G) entry.
"""

from __future__ import annotations

import dataclasses

import pytest
from device_tools import at
from mdb_tools import (
    RTPROT_BGP,
    RTPROT_STATIC,
    assert_sent_to,
    changed_entries,
    entries_for_all_sources,
    entry,
    in_all_families,
    keep_entries,
    make_device,
    no_entry,
    no_replacement,
    overlay,
    rows,
    sent_to,
    sources,
)

from vxlab.operations import AddMdb

XMIT = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_entry_skb_get(), vxlan_mdb_xmit()"
FILTERS = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_srcs_add()"
REPLACE = "drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_srcs_replace()"

pytestmark = [pytest.mark.requires("vxlan-mdb"), in_all_families]


def entries_of_the_other_mode(operation):
    """A control: entries have EXCLUDE in place of INCLUDE, and INCLUDE in place of EXCLUDE."""
    if not isinstance(operation, AddMdb) or not operation.source_list:
        return operation
    mode = "exclude" if operation.filter_mode == "include" else "include"
    return dataclasses.replace(operation, filter_mode=mode)


@pytest.mark.behaviour(
    "an (S,G) MDB entry is for packets from its source only, the (*,G) entry for all other packets",
    source=XMIT,
)
@pytest.mark.control(
    "the MDB entries are for every source",
    change=entries_for_all_sources,
    because=f" is {sent_to('bd')}, not",
)
@pytest.mark.parametrize("who", ["the-source", "another"])
def test_an_entry_of_a_source_is_for_that_source(lab, chosen, who):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group), entry(lab, inner.group, "d", source=inner.source))
    if who == "the-source":
        assert_sent_to(lab, ["d"], inner.group, inner.source)
    else:
        assert_sent_to(lab, ["b"], inner.group, inner.other_source)


@pytest.mark.behaviour(
    "without a (*,G) entry, what other sources than that of an (S,G) entry send is flooded",
    source=XMIT,
)
@pytest.mark.control(
    "the MDB entry is for every source",
    change=entries_for_all_sources,
    because=f" is {sent_to('c')}, not {sent_to('bcd')}",
)
def test_other_sources_are_flooded(lab, chosen):
    inner = overlay(chosen)
    make_device(lab, entry(lab, inner.group, "c", source=inner.source))
    assert_sent_to(lab, ["c"], inner.group, inner.source)
    assert_sent_to(lab, ["b", "c", "d"], inner.group, inner.other_source)


# The filter mode, whether the source is in the list, and which hosts get its packets.
MODES = {
    "included": ("include", True, ["b", "c"]),
    "not-included": ("include", False, []),
    "excluded": ("exclude", True, []),
    "not-excluded": ("exclude", False, ["b", "c"]),
}


@pytest.mark.behaviour(
    "the filter mode and source list of an MDB entry decide which sources its remotes get packets "
    "from",
    source=FILTERS,
)
@pytest.mark.control(
    "the filter mode of the MDB entry is the opposite one",
    change=entries_of_the_other_mode,
    because=f"is {sent_to('bc')}, not {sent_to([])}|is {sent_to([])}, not {sent_to('bc')}",
)
@pytest.mark.parametrize("case", MODES)
def test_remotes_filter_sources(lab, chosen, case):
    inner = overlay(chosen)
    mode, listed, hosts = MODES[case]
    named = (inner.source if listed else inner.third_source, inner.other_source)
    fields = {"filter_mode": mode, "source_list": named}
    make_device(lab, *(entry(lab, inner.group, host, **fields) for host in "cb"))
    assert_sent_to(lab, hosts, inner.group, inner.source)


@pytest.mark.behaviour(
    "a remote that is a multicast group of the underlay gets packets of the sources that its MDB "
    "entry's filter mode and source list let pass",
    source=FILTERS,
)
@pytest.mark.control(
    "the filter mode of the MDB entry is the opposite one",
    change=entries_of_the_other_mode,
    because=rf"is {sent_to([])}, not sent to (239\.2\.2\.2|ff0e::22)",
)
@pytest.mark.parametrize("mode", ["include", "exclude"])
def test_a_group_of_the_underlay_filters_sources(lab, chosen, mode):
    inner = overlay(chosen)
    outer_group = "239.2.2.2" if "." in at(lab, "b") else "ff0e::22"
    fields = {"filter_mode": mode, "source_list": (inner.source,), "via": "eth0"}
    make_device(lab, entry(lab, inner.group, outer_group, **fields))
    passing, stopped = (inner.source, inner.other_source)
    if mode == "exclude":
        passing, stopped = stopped, passing
    assert_sent_to(lab, [outer_group], inner.group, passing)
    assert_sent_to(lab, [], inner.group, stopped)


@pytest.mark.behaviour(
    "packets of a source that one remote of a group excludes are not sent to the group's other "
    "remotes either",
    source=FILTERS + ": the (S,G) entry is found before the (*,G) one",
)
@pytest.mark.control(
    "no remote excludes the source",
    change=entries_for_all_sources,
    because=f"is {sent_to('bc')}, not {sent_to([])}",
)
def test_a_source_that_one_remote_excludes_is_lost_to_the_others(lab, chosen):
    inner = overlay(chosen)
    excluding = {"filter_mode": "exclude", "source_list": (inner.source,)}
    make_device(lab, entry(lab, inner.group, **excluding), entry(lab, inner.group, "c"))
    assert_sent_to(lab, [], inner.group, inner.source)


@pytest.mark.behaviour(
    "when a remote in an MDB entry is replaced, the new source list takes the old one's place",
    source=REPLACE,
)
@pytest.mark.control(
    "the remote is not replaced",
    change=no_replacement,
    because=f"is {sent_to([])}, not {sent_to('b')}",
)
def test_a_replaced_source_list_counts(lab, chosen):
    inner = overlay(chosen)
    mode = {"filter_mode": "include"}
    make_device(lab, entry(lab, inner.group, source_list=(inner.other_source,), **mode))
    assert_sent_to(lab, [], inner.group, inner.source)
    lab.apply(entry(lab, inner.group, source_list=(inner.source,), replace=True, **mode))
    assert_sent_to(lab, ["b"], inner.group, inner.source)


def assert_sources(lab, group, wanted):
    """Assert that the group has (S,G) entries of these sources, `blocked` or not, and no others."""
    found = sources(lab, group)
    shown, asked = (", ".join(each) or "no source" for each in (found, wanted))
    assert found == wanted, f"{group} has entries of {shown}, not of {asked}"


@pytest.mark.behaviour(
    "with the sources in the list of a (*,G) MDB entry their (S,G) entries come and go",
    source=REPLACE,
)
@pytest.mark.control(
    "the MDB entry is not replaced",
    change=no_replacement,
    because="has entries of no source, not of ",
)
def test_entries_of_sources_come_and_go(lab, chosen):
    inner = overlay(chosen)
    one, two, three = inner.source, inner.other_source, inner.third_source
    make_device(lab, entry(lab, inner.group))
    assert sources(lab, inner.group) == []
    mode = {"filter_mode": "include", "replace": True}
    lab.apply(entry(lab, inner.group, source_list=(one, two, three), **mode))
    assert_sources(lab, inner.group, [one, two, three])
    lab.apply(entry(lab, inner.group, source_list=(one, three), **mode))
    assert_sources(lab, inner.group, [one, three])
    lab.apply(entry(lab, inner.group, replace=True))
    assert_sources(lab, inner.group, [])


@pytest.mark.behaviour(
    "the (S,G) MDB entries of a (*,G) entry are deleted with it",
    source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_remote_srcs_del()",
)
@pytest.mark.control(
    "the (*,G) entry is not deleted",
    change=keep_entries,
    because=r"has entries of (172\.18\.1\.2|fd00:172:18:1::2), not of no source",
)
def test_entries_of_sources_are_deleted_with_the_group(lab, chosen):
    inner = overlay(chosen)
    fields = {"filter_mode": "include", "source_list": (inner.source,)}
    make_device(lab, entry(lab, inner.group, **fields))
    assert sources(lab, inner.group) == [inner.source]
    lab.apply(no_entry(lab, inner.group))
    assert_sources(lab, inner.group, [])


@pytest.mark.behaviour(
    "the (S,G) MDB entry of a source is marked `blocked` if the (*,G) entry excludes the source, "
    "and not if it includes it",
    source=FILTERS + ": VXLAN_MDB_REMOTE_F_BLOCKED",
)
@pytest.mark.control(
    "the MDB entry is not replaced",
    change=no_replacement,
    because=r"has entries of (\S+), not of \1 blocked",
)
def test_entries_of_excluded_sources_are_blocked(lab, chosen):
    inner = overlay(chosen)
    named = {"source_list": (inner.source,)}
    make_device(lab, entry(lab, inner.group, filter_mode="include", **named))
    assert sources(lab, inner.group) == [inner.source]
    lab.apply(entry(lab, inner.group, filter_mode="exclude", replace=True, **named))
    assert_sources(lab, inner.group, [f"{inner.source} blocked"])


# A field, what it is unless asked for, and what it becomes.
FIELDS = {
    "protocol": (RTPROT_STATIC, RTPROT_BGP),
    "port": (None, 1234),
    "vni": (None, 1234),
    "via": (None, "eth0"),
}


@pytest.mark.behaviour(
    "the (S,G) MDB entries of a (*,G) entry have its protocol, port, VNI and interface, also after "
    "a replacement",
    source=REPLACE,
)
@pytest.mark.control(
    "the MDB entry is replaced without the field",
    change=changed_entries(protocol=None, port=None, vni=None, via=None),
    because=r"of the \(\*,G\) and the \(S,G\) entry are (None and None|4 and 4), not twice (1|e)",
)
@pytest.mark.parametrize("field", FIELDS)
def test_entries_of_sources_have_the_fields_of_the_group(lab, chosen, field):
    inner = overlay(chosen)
    default, value = FIELDS[field]
    mode = {"filter_mode": "exclude", "source_list": (inner.source,)}
    make_device(lab, entry(lab, inner.group, **mode))
    assert_both(lab, inner, field, default)
    lab.apply(entry(lab, inner.group, replace=True, **mode, **{field: value}))
    assert_both(lab, inner, field, value)


def assert_both(lab, inner, field, value):
    """Assert that the (*,G) and the (S,G) entry have a field of this value."""
    found = {row.source: getattr(row, field) for row in rows(lab)}
    one, other = found[None], found[inner.source]
    text = f"{field} of the (*,G) and the (S,G) entry are {one} and {other}, not twice {value}"
    assert [one, other] == [value, value], text
