"""7.5 MDB: remotes by multicast group, so that a group's traffic goes where it is wanted.

    a eth0 192.168.57.50 ──── lan ──┬── .54 eth0 b
      vxlan0 172.18.1.2             ├── .55 eth0 c
                                    └── .56 eth0 d

Without an entry a floods every group to b, c and d.  The entries are on a's vxlan device.
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
ME, SOMEBODY = "172.18.1.2", "172.18.1.99"
ALL = [B, C, D]

pytestmark = [pytest.mark.requires("vxlan-mdb"), pytest.mark.topology(bare, hosts=4)]


def no_entry(operation):
    """A control: no group gets a remote."""
    return None if isinstance(operation, AddMdb) else operation


def keep_entries(operation):
    """A control: no entry is taken away."""
    return None if isinstance(operation, DelMdb) else operation


def for_this_group(operation):
    """A control: entries are for another group."""
    if not isinstance(operation, AddMdb):
        return operation
    return dataclasses.replace(operation, group=GROUP)


def any_source(operation):
    """A control: entries hold for every source."""
    if not isinstance(operation, AddMdb):
        return operation
    return dataclasses.replace(operation, source=None, filter_mode=None, source_list=())


def as_the_device(operation):
    """A control: entries have the device's own port and VNI."""
    if not isinstance(operation, AddMdb):
        return operation
    return dataclasses.replace(operation, port=None, vni=None)


def fine(operation):
    """A control: in place of an entry that must be refused, one that is fine."""
    return entry("239.9.9.9", replace=True) if isinstance(operation, AddMdb) else operation


def prepared(lab, *entries):
    """a's device, flooding to b, c and d, with entries."""
    lab.apply(*device("a", f"{ME}/24", id=42, remote=B))
    lab.apply(*(AddFdb("a", "vxlan0", ANY_MAC, dst, append=True) for dst in (C, D)))
    lab.apply(AddRoute("a", "224.0.0.0/4", interface="vxlan0"))
    lab.apply(*entries)


def entry(group=GROUP, dst=B, **fields):
    return AddMdb("a", "vxlan0", group, dst, **fields)


def sent(lab, group=GROUP):
    """Where a sends a datagram to a group, as (remote, VNI, port); then one to everybody."""
    with lab.capture("a:eth0", ports=PORTS) as seen:
        lab["a"].send_marked(group, b"to a group")
        lab["a"].send_marked("172.18.1.255", b"to all")
        seen["a:eth0"].wait_for(holds(b"to all"), "the broadcast, which comes later", timeout=3)
    found = tunnels(seen["a:eth0"], b"to a group")
    return sorted((tunnel.outer_dst, tunnel.vni, tunnel.port) for tunnel in found)


def remotes(lab, group=GROUP):
    return [remote for remote, _, _ in sent(lab, group)]


def no_more_remotes(operation):
    return None if isinstance(operation, AddFdb) else operation


def other_mode(operation):
    if not isinstance(operation, AddMdb):
        return operation
    other = {"include": "exclude", "exclude": "include"}[operation.filter_mode or "include"]
    return dataclasses.replace(operation, filter_mode=other)


def not_replaced(operation):
    return None if isinstance(operation, AddMdb) and operation.replace else operation


def there(operation):
    return DelMdb("a", "vxlan0", GROUP, B) if isinstance(operation, DelMdb) else operation


@pytest.mark.behaviour("a group without an entry is flooded", source=XMIT)
@pytest.mark.control("it has one", change=for_this_group, because="57.56")
def test_a_group_without_an_entry_is_flooded(lab):
    prepared(lab, entry(OTHER_GROUP))
    assert remotes(lab) == ALL


@pytest.mark.behaviour("a group goes to its remotes and to nobody else", source=XMIT)
@pytest.mark.control("no group has a remote", change=no_entry, because="57.56")
@pytest.mark.parametrize("dsts", [[B], [C], [B, D], [B, C, D]], ids=["b", "c", "b-and-d", "all"])
def test_a_group_goes_to_its_remotes_only(lab, dsts):
    prepared(lab, entry("239.7.7.7"), *(entry(dst=dst) for dst in reversed(dsts)))
    assert remotes(lab) == dsts
    assert remotes(lab, OTHER_GROUP) == ALL
    assert remotes(lab, "239.7.7.7") == [B]


@pytest.mark.behaviour("a broadcast is flooded whatever the entries are", source=XMIT)
@pytest.mark.control("a knows b alone", change=no_more_remotes)
def test_a_broadcast_is_flooded_all_the_same(lab):
    prepared(lab, entry(), entry("0.0.0.0"))
    assert remotes(lab, "172.18.1.255") == ALL


@pytest.mark.behaviour("deleting its last remote has a group flooded again", source=XMIT)
@pytest.mark.control("none is deleted", change=keep_entries, because="57.54")
def test_without_its_remotes_a_group_is_flooded_again(lab):
    prepared(lab, entry(dst=B), entry(dst=C))
    lab.apply(DelMdb("a", "vxlan0", GROUP, B))
    assert remotes(lab) == [C]
    lab.apply(DelMdb("a", "vxlan0", GROUP, C))
    assert remotes(lab) == ALL


@pytest.mark.behaviour("a remote of a group may have its own port and VNI", source=XMIT)
@pytest.mark.control("it has the device's", change=as_the_device)
@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"port": 14789}, (C, 42, 14789), id="port"),
        pytest.param({"vni": 77}, (C, 77, 4789), id="vni"),
        pytest.param({"port": 14789, "vni": 16777215}, (C, 16777215, 14789), id="both"),
    ],
)
def test_a_remote_has_its_own(lab, fields, found):
    prepared(lab, entry(dst=B), entry(dst=C, **fields))
    assert sent(lab) == [(B, 42, 4789), found]


@pytest.mark.behaviour("a remote of a group may be a group of the underlay", source=XMIT)
@pytest.mark.control("no group has a remote", change=no_entry, because="57.54")
def test_a_remote_may_be_a_group_of_the_underlay(lab):
    prepared(lab, entry(dst="239.2.2.2", via="eth0"))
    assert remotes(lab) == ["239.2.2.2"]


@pytest.mark.behaviour("a remote may be replaced: port and VNI change", source=CONFIG)
@pytest.mark.control("it stays", change=as_the_device, because="4789")
def test_a_replaced_remote_has_another_port(lab):
    prepared(lab, entry())
    lab.apply(entry(port=14789, vni=77, replace=True))
    assert sent(lab) == [(B, 77, 14789)]


@pytest.mark.behaviour("an entry for a source holds for that source alone", source=XMIT)
@pytest.mark.control("it holds for all", change=any_source)
@pytest.mark.parametrize(("source", "found"), [(ME, [D]), (SOMEBODY, [B])], ids=["mine", "another"])
def test_an_entry_of_a_source_is_for(lab, source, found):
    prepared(lab, entry(dst=B), entry(dst=D, source=source))
    assert remotes(lab) == found


SOURCES = {
    "include-me": ("include", ME, [B]),
    "include-another": ("include", SOMEBODY, []),
    "exclude-me": ("exclude", ME, []),
    "exclude-another": ("exclude", SOMEBODY, [B]),
}


@pytest.mark.behaviour(
    "a filter of sources lets a remote have or not have a source", source=FILTERS
)
@pytest.mark.control("the filter is the other way", change=other_mode)
@pytest.mark.parametrize("case", SOURCES)
def test_a_remote_filters_sources_by(lab, case):
    mode, source, found = SOURCES[case]
    prepared(lab, entry(filter_mode=mode, source_list=(source,)))
    assert remotes(lab) == found


@pytest.mark.behaviour(
    "a source that one remote excludes reaches none of the group's other remotes either",
    source=FILTERS + ": the (S,G) entry is found before the (*,G) one",
)
@pytest.mark.control("nobody excludes it", change=any_source, because="57.55")
def test_a_source_that_one_remote_excludes_is_lost_to_the_others(lab):
    prepared(lab, entry(dst=B, filter_mode="exclude", source_list=(ME,)), entry(dst=C))
    assert remotes(lab) == []


@pytest.mark.behaviour("a replaced filter of sources takes the old one's place", source=FILTERS)
@pytest.mark.control("it is not replaced", change=not_replaced)
def test_a_replaced_filter_counts(lab):
    prepared(lab, entry(filter_mode="include", source_list=(SOMEBODY,)))
    assert remotes(lab) == []
    lab.apply(entry(filter_mode="include", source_list=(ME,), replace=True))
    assert remotes(lab) == [B]


@pytest.mark.behaviour("the entry 0.0.0.0 is for all groups without one of their own", source=XMIT)
@pytest.mark.control("there is none", change=no_entry, because="57.56")
def test_the_catch_all_takes_every_other_group(lab):
    prepared(lab, entry("0.0.0.0", C), entry(GROUP, B))
    assert remotes(lab) == [B]
    assert remotes(lab, OTHER_GROUP) == [C]


@pytest.mark.behaviour("groups of link-local scope are flooded, catch-all or not", source=XMIT)
@pytest.mark.control("a knows b alone", change=no_more_remotes)
def test_link_local_groups_are_flooded(lab):
    prepared(lab, entry("0.0.0.0", C))
    assert remotes(lab, OTHER_GROUP) == [C]
    assert remotes(lab, LINK_LOCAL) == ALL


REFUSED = {
    "a-group-that-is-none": ({"group": "172.18.1.9"}, "is not multicast or 0.0.0.0"),
    "a-link-local-group": ({"group": "224.0.0.5"}, "group address is local multicast"),
    "no-remote": ({"dst": None}, "Missing"),
    "include-of-nobody": ({"filter_mode": "include"}, "INCLUDE with an empty source list"),
    "a-mode-for-a-source": ({"source": ME, "filter_mode": "include"}, "Filter mode can only be"),
    "sources-without-a-mode": ({"source_list": (ME,)}, "cannot be set without filter mode"),
    "a-source-for-all-groups": ({"group": "0.0.0.0", "source": ME}, "Source cannot be specified"),
    "a-source-that-is-a-group": ({"source": "239.3.3.3"}, "multicast source address"),
    "a-temporary-entry": ({"state": "temp"}, "must be permanent"),
}


@pytest.mark.behaviour("a contradictory entry is refused, and says why", source=CONFIG)
@pytest.mark.control("it is a good one", change=fine, because="DID NOT RAISE")
@pytest.mark.parametrize("case", REFUSED)
def test_an_entry_is_refused_for(lab, case):
    fields, words = REFUSED[case]
    prepared(lab, entry("239.8.8.8"))
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(entry(**fields), by="netlink")
    assert refused.value.errno == errno.EINVAL


@pytest.mark.behaviour("a VNI of 2^24 is refused", source=CONFIG)
@pytest.mark.control("it is a good one", change=fine, because="DID NOT RAISE")
@pytest.mark.parametrize("field", ["vni", "src_vni"])
def test_a_vni_too_large_is_refused_as(lab, field):
    prepared(lab, entry("239.8.8.8"))
    with pytest.raises(ApplyError, match="integer out of range") as refused:
        lab.apply(entry(**{field: 1 << 24}), by="netlink")
    assert refused.value.errno == errno.ERANGE


@pytest.mark.behaviour(
    "a remote that is there already is refused unless it is to be replaced", source=CONFIG
)
@pytest.mark.control("it is another one", change=fine, because="DID NOT RAISE")
def test_a_remote_is_refused_a_second_time(lab):
    prepared(lab, entry("239.8.8.8"))
    with pytest.raises(ApplyError, match="MDB remote entry already exists") as refused:
        lab.apply(entry("239.8.8.8"), entry("239.8.8.8"), by="netlink")
    assert refused.value.errno == errno.EEXIST


@pytest.mark.behaviour(
    "what is not there cannot be deleted", source="drivers/net/vxlan/vxlan_mdb.c: vxlan_mdb_del()"
)
@pytest.mark.control("it is there", change=there, because="DID NOT RAISE")
@pytest.mark.parametrize(
    ("group", "dst", "words"),
    [
        pytest.param("239.7.7.7", B, "Did not find MDB entry", id="group"),
        pytest.param(GROUP, C, "Did not find MDB remote entry", id="remote"),
    ],
)
def test_nobody_can_delete_an_unknown(lab, group, dst, words):
    prepared(lab, entry())
    with pytest.raises(ApplyError, match=words) as refused:
        lab.apply(DelMdb("a", "vxlan0", group, dst), by="netlink")
    assert refused.value.errno == errno.ENOENT
