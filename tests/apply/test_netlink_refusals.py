"""What netlink refuses: the error names the operation, and has the words of the kernel."""

from __future__ import annotations

import errno

import pytest
from refusal_cases import MAC, REFUSED

from vxlab.errors import ApplyError, VxlabError
from vxlab.live.lab import Lab
from vxlab.operations import (
    AddAddress,
    AddFdb,
    AddLink,
    AddMdb,
    AddNeighbour,
    AddRoute,
    DelLink,
    FlushFdb,
    Operation,
    Peer,
    SetLink,
    SetPort,
    SetVxlan,
)


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
    ("peer of another kind", AddLink("h1", "x", "ifb", 90, peer=Peer("h2", "y", 90))),
    ("attribute of another kind", AddLink("h1", "x", "ifb", 90, (("numifbs", 2),))),
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


UNKNOWN_NAMES: list[tuple[Operation, str]] = [
    (
        SetPort("h1", "vxlan0", (("lerning", True),)),
        "'lerning', which is no setting of a bridge's port (state, priority, cost, hairpin, ",
    ),
    (
        AddLink("h1", "x", "bridge", 90, (("stp", 1),)),
        "'stp', which is no setting of bridge (forward_delay, hello_time, max_age, ",
    ),
    (
        SetVxlan("h1", "vxlan0", (("tll", 1),)),
        "'tll', which is no vxlan attribute (id, group, remote, ",
    ),
    (
        AddFdb("h1", "vxlan0", MAC, "10.0.0.2", state="perm"),
        "'perm', which is no state of a forwarding entry (permanent, static, dynamic): did you ",
    ),
    (
        FlushFdb("h1", "vxlan0", states=("stale",)),
        "'stale', which is no state of a forwarding entry (permanent, nopermanent, static, ",
    ),
    (
        AddFdb("h1", "vxlan0", MAC, "10.0.0.2", flags=("selv",)),
        "'selv', which is no flag (use, self, master, ",
    ),
    (
        AddNeighbour("h1", "eth0", "10.0.0.9", MAC, state="failed"),
        "'failed', which is no state of a neighbour entry (permanent, noarp, reachable, stale)",
    ),
    (
        AddMdb("h1", "vxlan0", "239.1.1.1", "10.0.0.2", filter_mode="in"),
        "'in', which is no filter mode (exclude, include)",
    ),
    (SetLink("h1", "eth0", mac="0200"), "'0200', which is no MAC address such as 02:00:"),
]


@pytest.mark.parametrize(("operation", "words"), UNKNOWN_NAMES, ids=lambda it: type(it).__name__)
def test_an_unknown_name_is_refused_with_those_that_are_known(
    lab: Lab, operation: Operation, words: str
) -> None:
    with pytest.raises(ApplyError) as caught:
        lab.apply(operation)
    assert f"wanted values that fit into a netlink message, found {words}" in str(caught.value)


def test_a_device_of_another_kind_is_made_or_refused_by_the_kernel(lab: Lab) -> None:
    try:
        lab.apply(AddLink("h1", "other", "ifb", 0, mtu=1400, up=True))
    except ApplyError as error:
        assert error.errno == errno.EOPNOTSUPP  # noqa: PT017 - a kernel without that kind
        return
    link = lab["h1"].ip("-d", "link", "show", "other")[0]
    assert (link["linkinfo"]["info_kind"], link["mtu"]) == ("ifb", 1400)


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
