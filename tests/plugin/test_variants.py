"""Which topologies the marker ``topology`` stands for, and what each needs of the machine."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from vxlab import catalog, features
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import DAEMONS
from vxlab.describe.filters import Rule, drop_udp, raise_ttl
from vxlab.describe.topology import Topology
from vxlab.errors import TopologyError, VxlabError
from vxlab.plugin.variants import Variant, features_of, variants, wanted

mark = pytest.mark.topology


class Node:
    """As much of a test, with the classes and modules around it, as markers are looked up in."""

    def __init__(self, *marks: pytest.MarkDecorator, parent: Node | None = None) -> None:
        self.marks, self.parent = [each.mark for each in marks], parent

    def iter_markers_with_node(self, name: str) -> Iterator[tuple[Node, pytest.Mark]]:
        """As pytest's own: from the test outwards; on each level from the def upwards."""
        for each in self.marks:
            if each.name == name:
                yield self, each
        if self.parent is not None:
            yield from self.parent.iter_markers_with_node(name)


def of(*marks: pytest.MarkDecorator, parent: Node | None = None) -> list[Variant]:
    """The variants of a test with these markers, the lowest first."""
    return variants(Node(*marks, parent=parent))  # type: ignore[arg-type]


def labels(*marks: pytest.MarkDecorator) -> list[str]:
    return [variant.label for variant in of(*marks)]


def builder(name: str = "built") -> TopologyBuilder:
    return TopologyBuilder(name).switch("lan", "10.0.0.0/24").segment("red", 42)


def described(**arguments: Any) -> TopologyBuilder:
    """A topology that says by its name what it was made with."""
    return builder(",".join(f"{name}={value}" for name, value in arguments.items()) or "nothing")


def names(found: list[Variant]) -> list[str]:
    return [variant.build().name for variant in found]


# --- what a marker says ----------------------------------------------------------------------


def test_no_marker_is_no_variant():
    assert of() == []
    assert of(pytest.mark.requires("vrf")) == []


@pytest.mark.parametrize(
    "what", [builder().build(), builder(), builder, functools.partial(builder, "built")]
)
def test_a_topology_a_builder_or_what_makes_one(what):
    (variant,) = of(mark.with_args(what))
    assert variant.label == ""
    assert isinstance(variant.build(), Topology)
    assert variant.build() == builder().build()


def test_each_build_of_a_function_is_a_new_one():
    (variant,) = of(mark.with_args(builder))
    assert variant.build() is not variant.build()


def test_arguments_go_to_the_function():
    (variant,) = of(mark(described, hosts=2, vrf=True))
    assert variant.build().name == "hosts=2,vrf=True"
    assert variant.label == ""


def test_lists_stand_for_every_combination():
    found = of(mark(described, router=["x", "y"], hosts=3, family=[4, 6]))
    assert names(found) == [
        "router=x,hosts=3,family=4",
        "router=x,hosts=3,family=6",
        "router=y,hosts=3,family=4",
        "router=y,hosts=3,family=6",
    ]
    assert [each.label for each in found] == ["x-ipv4", "x-ipv6", "y-ipv4", "y-ipv6"]


def test_a_tuple_is_one_value():
    (variant,) = of(mark(described, vnis=(10, 20)))
    assert variant.arguments == (("vnis", (10, 20)),)
    assert variant.label == ""


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("router", "pimd", "pimd"),
        ("router", None, "router=None"),
        ("family", 4, "ipv4"),
        ("family", 6, "ipv6"),
        ("hosts", 3, "hosts=3"),
        ("vrf", True, "vrf"),
        ("vrf", False, "no_vrf"),
        ("vnis", (1, 2), "vnis=(1, 2)"),
    ],
)
def test_listed_values_are_words_of_the_label(name, value, word):
    assert labels(mark(described, **{name: [value]})) == [word]


def test_markers_of_one_test_add_up_as_they_are_read():
    lower, upper = mark(described, hosts=[4]), mark(described, hosts=[2, 3])
    assert names(of(lower, upper)) == ["hosts=2", "hosts=3", "hosts=4"]


def test_nearer_markers_replace_those_further_away():
    module = Node(mark(described, hosts=1), mark(described, hosts=2))
    klass = Node(mark(described, hosts=3), parent=module)
    bare = Node(pytest.mark.requires("ping"), parent=klass)
    assert names(of(mark(described, hosts=4), parent=bare)) == ["hosts=4"]
    assert names(of(parent=bare)) == ["hosts=3"]
    assert names(of(parent=Node(parent=module))) == ["hosts=2", "hosts=1"]


@pytest.mark.parametrize("arguments", [(), (described, 2), (described, described)])
def test_a_marker_says_one_thing(arguments):
    with pytest.raises(VxlabError, match=f"wanted one topology, .*found {len(arguments)} of them"):
        of(mark(*arguments, hosts=2))


def test_an_empty_list_is_no_way_to_say_never():
    with pytest.raises(VxlabError, match=r"router: wanted at least one value .* empty list"):
        of(mark(described, family=4, router=[]))


# --- labels ----------------------------------------------------------------------------------


def test_of_several_each_has_a_label():
    assert labels(
        mark(builder().build()),
        mark(builder("other")),
        mark(described, hosts=2),
        mark(described, hosts=[5]),
    ) == ["hosts=5", "described-hosts=2", "other", "built"]
    assert labels(mark(described, hosts=[5, 6]), mark(builder())) == ["built", "hosts=5", "hosts=6"]


def test_equal_labels_are_told_apart_by_function_and_all_arguments():
    assert labels(
        mark(builder, family=[4, 6]), mark(described, hosts=2, family=[6]), mark(described, vrf=[1])
    ) == ["vrf=1", "described-hosts=2-ipv6", "ipv4", "builder-ipv6"]


def test_what_has_no_name_goes_by_its_type():
    made = functools.partial(builder, "built")
    assert labels(mark(made, hosts=2), mark(made)) == ["partial", "partial-hosts=2"]


# --- making it -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["bridged", 42, None, lambda: "bridged", lambda: None])
def test_what_makes_no_topology_is_named(what):
    with pytest.raises(VxlabError, match=r"wanted a Topology from .*found .*TopologyBuilder"):
        Variant(what).build()


def test_a_wrong_topology_is_found_when_it_is_built():
    (variant,) = of(mark(catalog.bridged, hosts=27))
    with pytest.raises(TopologyError, match="hosts"):
        variant.build()


# --- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("router", "family", "left"),
    [
        (None, None, ["x-ipv4", "x-ipv6", "y-ipv4", "y-ipv6"]),
        ("y", None, ["y-ipv4", "y-ipv6"]),
        (None, 6, ["x-ipv6", "y-ipv6"]),
        ("x", 4, ["x-ipv4"]),
        ("z", None, []),
    ],
)
def test_options_leave_out_what_names_another(router, family, left):
    found = of(mark(described, router=["x", "y"], family=[4, 6]))
    assert [variant.label for variant in wanted(found, router, family)] == left


def test_options_leave_what_names_none():
    found = of(mark(described, hosts=2), mark(builder()))
    assert wanted(found, "pimd", 6) == found


def test_options_hold_for_arguments_that_are_no_lists_too():
    assert wanted(of(mark(described, family=4)), None, 6) == []


# --- what a topology needs -------------------------------------------------------------------

BASIC = ("vxlan", "veth", "bridge")


def test_a_plain_topology_needs_what_every_one_needs():
    assert features_of(catalog.point_to_point()) == BASIC


@pytest.mark.parametrize(
    ("topology", "more"),
    [
        (catalog.point_to_point(vrf=True), {"vrf"}),
        (catalog.point_to_point(family=6), {"ipv6"}),
        (catalog.routed(router=None, ttl=None), set()),
        (catalog.routed(router=None), {"vxlan.ttl"}),
        (catalog.routed(ttl=None), {"mroute", "smcrouted"}),
        (catalog.routed(ttl=None, family=6), {"ipv6", "mroute6", "smcrouted"}),
        (catalog.routed(ttl=None, router="pimd"), {"mroute", "pim", "pimd"}),
        (catalog.routed(router=None, ttl="rule"), {"iptables", "iptables-ttl"}),
        (
            catalog.routed(router=None, ttl="rule", family=6),
            {"ipv6", "ip6tables", "ip6tables-hl"},
        ),
    ],
)
def test_parts_that_need_more(topology, more):
    assert set(features_of(topology)) == {*BASIC, *more}


def test_a_firewall_needs_no_target_of_its_own():
    plain = catalog.point_to_point()
    walled = plain.with_host("b", rules=(drop_udp(4789), drop_udp(4789, 6)))
    assert features_of(walled) == (*BASIC, "iptables", "ip6tables")
    raised = plain.with_host("b", rules=(raise_ttl("239.1.1.1"), Rule(("-A", "INPUT"))))
    assert features_of(raised) == (*BASIC, "iptables", "iptables-ttl")


def test_attributes_asked_for_by_name_are_needed():
    changed = catalog.point_to_point().with_vtep("b", "overlay", localbypass=False, id=43)
    assert set(features_of(changed)) == {*BASIC, "vxlan.localbypass", "vxlan.id"}
    t = builder()
    t.segment("blue", 7, attributes={"df": 1})
    assert set(features_of(t.build())) == {*BASIC, "vxlan.df"}


def test_addresses_within_the_overlay_count_too():
    t = builder().host("a", "lan").vtep("a", "red", addresses=["10.1.0.1/24", "fd01::1/64"])
    assert features_of(t.build()) == (*BASIC, "ipv6")
    t = builder().host("a", "lan").vtep("a", "red", bridge="br0")
    t.container("c", "a", "br0", "fd01::2/64")
    assert features_of(t.build()) == (*BASIC, "ipv6")


def test_all_that_can_be_needed_can_be_probed():
    known = set(features.names())
    for family, router, ttl in itertools.product((4, 6), ("smcroute", None), ("rule", "device")):
        assert set(features_of(catalog.routed(family=family, router=router, ttl=ttl))) <= known
    for daemon in DAEMONS:
        assert set(features_of(catalog.routed(router=daemon))) <= known
    for make in catalog.CATALOG.values():
        assert set(features_of(make())) <= known


def test_nothing_is_named_twice():
    found = features_of(catalog.kim_and_lee())
    assert len(found) == len(set(found))
