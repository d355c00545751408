"""The netlink backend: what it makes is read back by ip(8), and what is refused is explained."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from lab_tools import describe, two_hosts, with_containers
from vxlan_samples import SAMPLES

from vxlab import catalog, features, state, vxlan
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.topology import Topology
from vxlab.errors import ApplyError, VxlabError
from vxlab.live.lab import Lab
from vxlab.netlink.requests import BATCH
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddNamespace,
    AddNeighbour,
    AddRoute,
    DelFdb,
    DelLink,
    Operation,
    Peer,
    SetLink,
    SetVxlan,
)
from vxlab.plan.planner import ANY_MAC

MAC = "02:00:00:00:00:77"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(two_hosts()) as lab:
        yield lab


def links(lab: Lab, node: str) -> dict[str, Any]:
    return {link["ifname"]: link for link in lab[node].ip("-d", "link", "show")}


def vxlan_of(lab: Lab, node: str, name: str) -> dict[str, Any]:
    return vxlan.from_json(links(lab, node)[name]["linkinfo"]["info_data"])


def fdb(lab: Lab, node: str, name: str) -> set[tuple[str, str, str]]:
    """(MAC, destination, state) of what a vxlan device itself knows."""
    rows = lab[node].bridge("fdb", "show", "dev", name)
    return {(row["mac"], row["dst"], row["state"]) for row in rows if "dst" in row}


LIVE = [
    pytest.param(function, {"family": family, **more}, id=f"{name}-ipv{family}-{number}")
    for name, function in catalog.CATALOG.items()
    for family, (number, more) in itertools.product((4, 6), enumerate([{}, {"port": 4789}]))
]


@pytest.mark.parametrize(("function", "arguments"), LIVE)
def test_every_link_is_read_back_as_it_was_asked_for(function: Any, arguments: Any) -> None:
    topology: Topology = function(**arguments)
    with Lab(topology) as lab:
        found = {node: links(lab, node) for node in lab}
        for operation in lab.plan:
            if isinstance(operation, AddLink):
                check_link(found, operation)
        wanted = sum(2 if each.peer else 1 for each in lab.plan if isinstance(each, AddLink))
        assert sum(map(len, found.values())) == wanted + len(lab)  # and a lo in every node


def check_link(found: dict[str, dict[str, Any]], asked: AddLink) -> None:
    link = found[asked.node][asked.name]
    assert link["ifindex"] == asked.index
    assert link["linkinfo"]["info_kind"] == asked.kind
    assert link.get("master") == asked.master
    assert "UP" in link["flags"]
    assert asked.mtu in (None, link["mtu"])
    assert asked.mac in (None, link["address"])
    if asked.peer:
        there = found[asked.peer.node][asked.peer.name]
        assert (there["ifindex"], there["link_index"]) == (asked.peer.index, asked.index)
        assert link["link_index"] == asked.peer.index
        assert asked.peer.mtu in (None, there["mtu"])
        assert asked.peer.mac in (None, there["address"])
    if asked.kind == "vxlan":
        wanted = dict(asked.attributes)
        wanted["dstport"] = wanted["dstport"] or vxlan.KERNEL_PORT
        read = vxlan.from_json(link["linkinfo"]["info_data"])
        if "group" not in wanted:  # ip tells groups from remotes by their address
            assert "group" not in read
        assert {name: read.get(name) for name in wanted} == wanted


@pytest.mark.parametrize(("function", "arguments"), LIVE)
def test_addresses_routes_and_fdb_are_read_back(function: Any, arguments: Any) -> None:
    with Lab(function(**arguments)) as lab:
        for operation in lab.plan:
            node = lab[operation.node]
            if isinstance(operation, AddAddress):
                (row,) = node.ip("address", "show", "dev", operation.interface)
                have = {f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"]}
                assert operation.address in have
            elif isinstance(operation, AddRoute):
                family = "-6" if ":" in str(operation.via) else "-4"
                (row,) = node.ip(family, "route", "show", "default")
                assert (row["dst"], row["gateway"]) == ("default", operation.via)
            elif isinstance(operation, AddFdb):
                assert (operation.mac, operation.dst, "permanent") in fdb(
                    lab, operation.node, operation.interface
                )


def test_flooding_to_many_is_one_entry_each() -> None:
    with Lab(catalog.point_to_point(hosts=4, bind="none")) as lab:
        others = [host.nics[0].ip for host in lab.topology.hosts[:3]]
        assert fdb(lab, "d", "vxlan0") == {(ANY_MAC, other, "permanent") for other in others}


@pytest.mark.parametrize("attributes", [{}, {"gpe": True, "external": True, "learning": False}])
def test_port_0_is_the_default_that_the_topology_tells(attributes: dict[str, Any]) -> None:
    topology = describe(segment={"port": 0, "attributes": attributes}).build()
    with Lab(topology) as lab:
        assert {vxlan_of(lab, "h1", "vxlan0")["dstport"]} == topology.ports


def test_equal_plans_make_equal_labs() -> None:
    def seen(lab: Lab) -> Any:
        return {
            node: [(n, x["ifindex"], x["mtu"]) for n, x in links(lab, node).items()] for node in lab
        }

    with Lab(with_containers().build()) as one, Lab(with_containers().build()) as two:
        assert seen(one) == seen(two)


# --- every attribute of the table --------------------------------------------------------------

#: What an attribute must have beside it.
BESIDE: dict[str, dict[str, Any]] = {
    "group": {"dev": "eth0"},
    "flowlabel": {"remote": "fd00::9"},
    "label_policy": {"remote": "fd00::9"},
    "gpe": {"external": True, "learning": False},
    "vnifilter": {"external": True},
}
#: Attributes that the kernel takes and does not show.
SILENT = {"mcroute"}
#: Attributes that ip may be too old to show, or the kernel too old to know.
NEWER = {
    "remcsum_nopartial",
    "vnifilter",
    "localbypass",
    "label_policy",
    "reserved_bits",
    "mcroute",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_an_attribute_is_read_back(lab: Lab, name: str) -> None:
    skip_without(name)
    value = SAMPLES[name][0]
    wanted = {"id": 77, "dstport": 4790, **BESIDE.get(name, {}), name: value}
    assert vxlan.check(wanted) is None
    lab.apply(AddLink("h1", "vx", "vxlan", 90, tuple(wanted.items())))
    (link,) = (each for each in state.links(lab["h1"].namespaces) if each.name == "vx")
    if name not in SILENT:
        assert dict(link.attributes)[name] == value
    read = vxlan_of(lab, "h1", "vx")
    if name in read:
        assert read[name] == value
    else:
        assert name in {"ttl_inherit", *NEWER}  # the former is the absence of a key


def skip_without(*names: str) -> None:
    missing = features.missing(f"vxlan.{name}" for name in names if name in vxlan.BY_NAME)
    if missing:
        pytest.skip(missing[0].sentence())


def change(lab: Lab, name: str) -> None:
    """Make a device, and change one attribute of it."""
    before = {"remote": "10.0.0.99", **BESIDE.get(name, {})}
    if name == "group":
        before = {"group": "239.9.9.9", "dev": "eth0"}
    base = {"id": 77, "dstport": 4790, **before}
    lab.apply(AddLink("h1", "vx", "vxlan", 90, tuple(base.items())))
    lab.apply(SetVxlan("h1", "vx", ((name, SAMPLES[name][0]),)))


@pytest.mark.parametrize(
    "changed", [each for each in vxlan.ATTRIBUTES if each.changeable], ids=lambda a: a.name
)
def test_what_the_table_calls_changeable_can_be_changed(lab: Lab, changed: Any) -> None:
    skip_without(changed.name)
    change(lab, changed.name)
    (link,) = (each for each in state.links(lab["h1"].namespaces) if each.name == "vx")
    if changed.name not in SILENT:
        assert dict(link.attributes)[changed.name] == SAMPLES[changed.name][0]


@pytest.mark.parametrize(
    "fixed", [each for each in vxlan.ATTRIBUTES if not each.changeable], ids=lambda a: a.name
)
def test_what_the_table_calls_unchangeable_is_refused(lab: Lab, fixed: Any) -> None:
    skip_without(fixed.name)
    with pytest.raises(ApplyError, match=r"link set dev vx type vxlan .*\(EOPNOTSUPP\)") as caught:
        change(lab, fixed.name)
    assert caught.value.errno == errno.EOPNOTSUPP


# --- what the topology's own checks promise --------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        {"flowlabel": 5},
        {"label_policy": 1},
        {"gpe": True, "external": True},
        {"gpe": True, "external": True, "learning": False, "proxy": True},
        {"gpe": True, "external": True, "learning": False, "ttl_inherit": True},
        {"gpe": True, "learning": False},
        {"vnifilter": True},
        {"reserved_bits": 0x100},
        {"reserved_bits": 1 << 63, "gbp": True},
        {"local": "10.0.0.1", "remote": "fd00::1"},
        {"local": "fe80::1", "remote": "fd00::1", "dev": "eth0"},
        {"local": "fe80::1", "group": "ff08::1", "dev": "eth0"},
        {"remote": "fe80::1", "dev": "eth0"},
        {"local": "fe80::1"},
        {"group": "239.1.1.1"},
    ],
)
def test_what_the_table_refuses_the_kernel_refuses(lab: Lab, attributes: dict[str, Any]) -> None:
    asked = {"id": 77, "dstport": 4790, **attributes}
    assert vxlan.check(asked) is not None
    skip_without(*asked)
    with pytest.raises(ApplyError, match="type vxlan id 77") as caught:
        lab.apply(AddLink("h1", "vx", "vxlan", 90, tuple(asked.items())))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("name", vxlan.RECEIVE_FLAGS)
def test_devices_that_disagree_cannot_share_a_port(lab: Lab, name: str) -> None:
    skip_without(name)
    beside = BESIDE.get(name, {})
    plain = {key: value for key, value in beside.items() if key != "learning"}
    if name == "vnifilter":
        one, two = {**beside, name: True}, plain
    else:
        one, two = {**beside, name: True}, {}
    shared = (("id", 77), ("dstport", 4790))
    lab.apply(AddLink("h1", "vx", "vxlan", 90, (*shared, *one.items()), up=True))
    other = (("id", 78), ("dstport", 4790), *two.items())
    with pytest.raises(ApplyError, match="ip -n h1 link add dev vy") as caught:
        lab.apply(AddLink("h1", "vy", "vxlan", 91, other, up=True))
    assert caught.value.errno == errno.EADDRINUSE


# --- refusals --------------------------------------------------------------------------------

VX = AddLink("h1", "vx", "vxlan", 90, (("id", 77), ("dev", "eth0"), ("dstport", 4790)))
ENTRY = AddFdb("h1", "vx", MAC, "10.0.0.7")

REFUSED: list[tuple[str, list[Operation], Operation, int, str]] = [
    ("MTU over the card's", [VX], SetLink("h1", "vx", mtu=1451), errno.EINVAL, ""),
    ("MTU too large", [], SetLink("h1", "eth0", mtu=70000), errno.EINVAL, "maximum"),
    ("MTU too small", [], SetLink("h1", "eth0", mtu=20), errno.EINVAL, "minimum"),
    (
        "VNI and port twice",
        [VX],
        AddLink("h1", "vy", "vxlan", 91, VX.attributes),
        errno.EEXIST,
        "VNI already exists",
    ),
    ("name twice", [VX], AddLink("h1", "vx", "bridge", 91), errno.EEXIST, ""),
    ("index twice", [VX], AddLink("h1", "vy", "bridge", 90), errno.EEXIST, ""),
    ("name too long", [], AddLink("h1", "sixteen-letters-", "bridge", 91), errno.ERANGE, ""),
    ("VNI changed", [VX], SetVxlan("h1", "vx", (("id", 78),)), errno.EOPNOTSUPP, "VNI"),
    ("multicast MAC", [], SetLink("h1", "eth0", mac="01:00:00:00:00:01"), errno.EADDRNOTAVAIL, ""),
    ("own master", [], SetLink("h1", "eth0", master="eth0"), errno.EOPNOTSUPP, ""),
    ("lo removed", [], DelLink("h1", "lo"), errno.EOPNOTSUPP, ""),
    ("address twice", [], AddAddress("h1", "eth0", "10.0.0.1/24"), errno.EEXIST, ""),
    ("gateway away", [], AddRoute("h1", "default", via="10.9.0.1"), errno.ENETUNREACH, ""),
    (
        "route twice",
        [AddRoute("h1", "10.8.0.0/16", via="10.0.0.2")],
        AddRoute("h1", "10.8.0.0/16", via="10.0.0.2"),
        errno.EEXIST,
        "",
    ),
    ("entry twice", [VX, ENTRY], ENTRY, errno.EEXIST, ""),
    ("entry of other family", [VX], AddFdb("h1", "vx", MAC, "fd00::1"), errno.EAFNOSUPPORT, ""),
    ("entry gone", [VX], DelFdb("h1", "vx", MAC, "10.0.0.7"), errno.ENOENT, ""),
    (
        "neighbour twice",
        [AddNeighbour("h1", "eth0", "10.0.0.9", MAC)],
        AddNeighbour("h1", "eth0", "10.0.0.9", MAC),
        errno.EEXIST,
        "",
    ),
]


@pytest.mark.parametrize(
    ("before", "operation", "code", "words"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED]
)
def test_a_refusal_names_operation_errno_and_the_kernel_s_words(
    lab: Lab, before: list[Operation], operation: Operation, code: int, words: str
) -> None:
    lab.apply(*before)
    with pytest.raises(ApplyError) as caught:
        lab.apply(operation)
    error = caught.value
    assert error.operation == str(operation)
    assert str(error).startswith(f"{operation}: ")
    assert error.errno == code
    assert words in error.extack
    assert error.extack in str(error)
    assert lab["h1"].ping("172.16.0.2", timeout=5)  # the lab has not suffered


BAD_VALUES: list[tuple[str, Operation]] = [
    ("attribute of a bridge", AddLink("h1", "x", "bridge", 90, (("colour", 1),))),
    ("attribute of a vxlan", AddLink("h1", "x", "vxlan", 90, (("vni", 1),))),
    ("value of a bridge", AddLink("h1", "x", "bridge", 90, (("stp_state", "on"),))),
    ("no table", AddLink("h1", "x", "vrf", 90)),
    ("no peer", AddLink("h1", "x", "veth", 90)),
    ("unknown kind", AddLink("h1", "x", "dummy", 90)),  # type: ignore[arg-type]
    ("ttl", SetVxlan("h1", "vxlan0", (("ttl", 256),))),
    ("address", AddAddress("h1", "eth0", "nonsense")),
    ("route", AddRoute("h1", "10.0.0.1/24", via="10.0.0.2")),
    ("gateway", AddRoute("h1", "default", via="router")),
    ("MAC", AddFdb("h1", "vxlan0", "zz", "10.0.0.2")),
    ("destination", AddFdb("h1", "vxlan0", MAC, "h2")),
    ("port", AddFdb("h1", "vxlan0", MAC, "10.0.0.2", port=70000)),
    ("VNI", AddFdb("h1", "vxlan0", MAC, "10.0.0.2", vni=-1)),
    ("neighbour", AddNeighbour("h1", "eth0", "10.0.0.256", MAC)),
    ("index", AddLink("h1", "x", "bridge", 1 << 40)),
    ("name", SetLink("h1", None)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("operation", [pytest.param(o, id=name) for name, o in BAD_VALUES])
def test_what_fits_into_no_message_is_refused_in_the_family(lab: Lab, operation: Operation) -> None:
    with pytest.raises(VxlabError, match=r"wanted .*, found ") as caught:
        lab.apply(operation)
    assert "h1" in str(caught.value)


@pytest.mark.parametrize(
    "operation",
    [
        SetLink("h1", "eth7", up=True),
        DelLink("h1", "eth7"),
        AddAddress("h1", "eth7", "10.0.0.9/24"),
        AddLink("h1", "x", "bridge", 90, master="eth7"),
        AddLink("h1", "x", "vxlan", 90, (("id", 5), ("dev", "eth7"))),
        AddFdb("h1", "eth7", MAC, "10.0.0.2"),
    ],
)
def test_an_unknown_interface_is_named_with_those_there_are(lab: Lab, operation: Operation) -> None:
    with pytest.raises(VxlabError, match="h1: wanted the interface 'eth7', found lo, eth0, vxlan0"):
        lab.apply(operation)


def test_an_unknown_node_is_named_with_those_there_are(lab: Lab) -> None:
    for operation in (SetLink("h9", "eth0", up=True), AddAddress("h9", "eth0", "10.0.0.9/24")):
        with pytest.raises(VxlabError, match="wanted the node 'h9', found lan, h1, h2"):
            lab.apply(operation)
    peer = Peer("h9", "eth0", 5)
    with pytest.raises(VxlabError, match="wanted the node 'h9', found lan, h1, h2"):
        lab.apply(AddLink("h1", "v", "veth", 90, peer=peer))


# --- batches ---------------------------------------------------------------------------------


def test_more_operations_than_one_batch_holds(lab: Lab) -> None:
    count = 3 * BATCH + 7
    macs = [f"02:00:00:00:{n // 256:02x}:{n % 256:02x}" for n in range(count)]
    lab.apply(*(AddFdb("h1", "vxlan0", mac, "10.0.0.2") for mac in macs))
    found = {mac for mac, dst, _ in fdb(lab, "h1", "vxlan0") if dst == "10.0.0.2"}
    assert found == {ANY_MAC, *macs}


@pytest.mark.parametrize("place", [0, 1, BATCH - 1, BATCH, 2 * BATCH + 3])
def test_the_first_refusal_of_many_is_the_one_that_is_named(lab: Lab, place: int) -> None:
    entries = [
        AddFdb("h1", "vxlan0", f"02:00:00:00:01:{n:02x}", "10.0.0.2") for n in range(2 * BATCH + 4)
    ]
    lab.apply(entries[place], *([entries[-1]] if place != len(entries) - 1 else []))
    with pytest.raises(ApplyError, match=entries[place].mac) as caught:
        lab.apply(*entries)
    assert caught.value.errno == errno.EEXIST


def test_operations_on_several_nodes_stay_in_order(lab: Lab) -> None:
    """A pair made from one node and used from both, back and forth."""
    lab.apply(
        AddLink("h1", "v", "veth", 90, peer=Peer("h2", "w", 91)),
        SetLink("h2", "w", up=True),
        SetLink("h1", "v", up=True),
        AddAddress("h2", "w", "10.5.0.2/24"),
        AddAddress("h1", "v", "10.5.0.1/24"),
        SetLink("h1", "v", mtu=1400),
        SetLink("h2", "w", mtu=1400),
    )
    assert lab["h1"].ping("10.5.0.2", timeout=5)


def test_a_name_means_what_it_means_at_its_place_in_the_order(lab: Lab) -> None:
    """Removed and made anew in one go, with another index."""
    lab.apply(
        DelLink("h1", "vxlan0"),
        AddLink("h1", "vxlan0", "bridge", 95, up=True),
        SetLink("h1", "vxlan0", mtu=1400),
    )
    link = links(lab, "h1")["vxlan0"]
    assert (link["ifindex"], link["mtu"]) == (95, 1400)
    assert link["linkinfo"]["info_kind"] == "bridge"


def test_an_index_may_be_left_to_the_kernel(lab: Lab) -> None:
    lab.apply(AddLink("h1", "br7", "bridge", 0), SetLink("h1", "br7", up=True))
    assert "UP" in links(lab, "h1")["br7"]["flags"]


def test_a_refused_link_does_not_change_what_its_name_means(lab: Lab) -> None:
    with pytest.raises(ApplyError, match="EEXIST"):
        lab.apply(AddLink("h1", "vxlan0", "bridge", 96))
    lab.apply(SetLink("h1", "vxlan0", mtu=1300))
    assert links(lab, "h1")["vxlan0"]["mtu"] == 1300


def test_what_programs_changed_is_noticed(lab: Lab) -> None:
    lab.apply(SetLink("h1", "vxlan0", mtu=1400))
    lab["h1"].run("ip", "link", "del", "vxlan0")
    lab["h1"].run("ip", "link", "add", "vxlan0", "index", "99", "type", "bridge")
    lab.apply(SetLink("h1", "vxlan0", mtu=1300))
    assert links(lab, "h1")["vxlan0"]["mtu"] == 1300
    lab["h1"].run("ip", "link", "del", "vxlan0")
    with pytest.raises(VxlabError, match="h1: wanted the interface 'vxlan0', found lo, eth0"):
        lab.apply(SetLink("h1", "vxlan0", mtu=1200))


def test_a_new_node_and_its_links_in_mid_lab(lab: Lab) -> None:
    lab.apply(
        AddNamespace("h3"),
        AddLink("lan", "h3", "veth", 90, master="switch", peer=Peer("h3", "eth0", 2), up=True),
        SetLink("h3", "eth0", up=True),
        AddAddress("h3", "eth0", "10.0.0.3/24"),
    )
    assert lab["h3"].ping("10.0.0.1", timeout=5)
    with pytest.raises(VxlabError, match="wanted a new node, found 'h3' in use"):
        lab.apply(AddNamespace("h3"))


def test_two_cards_of_a_host_on_two_switches() -> None:
    t = TopologyBuilder("t").switch("a", "10.0.1.0/24").switch("b", "10.0.2.0/24")
    t.host("h1", "a").nic("h1", "b", device="eth1").host("h2", "a").host("h3", "b")
    with Lab(t.build()) as lab:
        assert lab["h1"].ping("10.0.1.2", timeout=5)
        assert lab["h1"].ping("10.0.2.2", timeout=5)
