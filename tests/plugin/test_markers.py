"""What the markers behaviour and control may say, and what a control breaks."""

from __future__ import annotations

import re

import pytest

from vxlab import catalog, operations
from vxlab.errors import TopologyError, VxlabError
from vxlab.plugin.markers import Behaviour, Control


def same(thing: object) -> object:
    return thing


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"what": None}, "the marker control: what: wanted some words, found None"),
        ({"what": " "}, "what: wanted some words, found ' '"),
        ({}, "wanted at least one of vteps, topology, lab, change, without, arguments, found none"),
        ({"because": "x"}, "found none: it breaks nothing"),
        ({"vteps": {}}, "found none: it breaks nothing"),
        ({"vteps": "a"}, "vteps: wanted a mapping from names, found 'a'"),
        ({"vteps": {"a": 9}}, "vteps of a: wanted a mapping from names, found 9"),
        ({"topology": 9}, "topology: wanted a function, found 9"),
        ({"lab": 9}, "lab: wanted a function, found 9"),
        ({"change": 9}, "change: wanted a function, found 9"),
        ({"without": 9}, "without: wanted types of operations, found 9"),
        (
            {"without": (operations.AddFdb, int)},
            "without: wanted types of operations, found <class",
        ),
        ({"arguments": {9: 9}}, "arguments: wanted a mapping from names, found {9: 9}"),
        ({"lab": same, "because": ""}, "because: wanted some words, found ''"),
        ({"lab": same, "because": "("}, "because: wanted a regular expression (missing )"),
    ],
)
def test_a_control_that_says_nothing_sensible_is_refused(fields, sentence):
    with pytest.raises(VxlabError, match=re.escape(sentence)):
        Control(**{"what": "it is broken", **fields})


@pytest.mark.parametrize("fields", [("", "RFC 7348"), ("it works", ""), (None, "x"), ("x", 7348)])
def test_a_behaviour_is_words_and_has_a_source(fields):
    with pytest.raises(VxlabError, match=r"the marker behaviour: \w+: wanted some words, found"):
        Behaviour(*fields)


def test_a_control_breaks_a_topology():
    control = Control(
        "two mistakes",
        vteps={"a": {"ttl": 9, "local": False}, "b": {"id": 43}},
        topology=lambda topology: topology.with_vtep("a", "overlay", dev=False),
    )
    topology = control.break_topology(catalog.point_to_point())
    a, b = (topology.attributes(host, host.vteps[0]) for host in topology.hosts)
    assert a["ttl"] == 9
    assert not {"local", "dev"} & set(a)
    assert b["id"] == 43


def test_a_control_cannot_break_what_is_not_there():
    with pytest.raises(TopologyError, match="wanted the host 'z'"):
        Control("x", vteps={"z": {"ttl": 9}}).break_topology(catalog.point_to_point())
    topology = catalog.point_to_point().with_host("a", vteps=())
    with pytest.raises(VxlabError, match="vteps: wanted a VTEP on a, found none"):
        Control("x", vteps={"a": {"ttl": 9}}).break_topology(topology)


def test_a_control_changes_operations_and_leaves_them_out():
    up, down = (operations.SetLink("a", "eth0", up=up) for up in (True, False))
    fdb = operations.AddFdb("a", "vxlan0", "02:00:00:00:00:01", "192.0.2.1")
    control = Control("x", change=lambda one: down if one == up else one, without=operations.AddFdb)
    assert [control.alter(one) for one in (up, fdb)] == [down, fdb]
    assert [control.alter_later(one) for one in (up, fdb)] == [down, None]
    assert Control("x", change=lambda _: None).alter(up) is None
    with pytest.raises(VxlabError, match="change: wanted an operation or None, found 'down'"):
        Control("x", change=lambda _: "down").alter(up)
