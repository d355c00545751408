"""Values of operations that are not of the types that their fields say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from lab_tools import with_containers

from vxlab import catalog
from vxlab.errors import ApplyError
from vxlab.operations import (
    AddFdb,
    AddLink,
    AddNexthop,
    AddRule,
    HostOnLink,
    Operation,
    Peer,
    SetSysctl,
    SetVxlan,
    StartDaemon,
)
from vxlab.plan.operations.checks import check, split
from vxlab.plan.planner import make_plan

WRONG: list[tuple[Operation, str]] = [
    (AddLink("h", "e\nx", "bridge", 0), r"name: wanted text of printable characters, found 'e\nx'"),
    (AddLink("h", "e\0", "bridge", 0), r"name: wanted text of printable characters, found 'e\x00'"),
    (AddLink("h", "\ud800", "bridge", 0), r"name: wanted text of .*, found '\ud800'"),
    (AddLink("h", "e", "bridge", True), "index: wanted a whole number, found True"),
    (AddLink("h", "e", "bridge", 1.0), "index: wanted a whole number, found 1.0"),  # type: ignore[arg-type]
    (AddLink("h", "e", "bridge", "1"), "index: wanted a whole number, found '1'"),  # type: ignore[arg-type]
    (AddLink("h", "e", "bridge", 0, up=1), "up: wanted True or False, found 1"),  # type: ignore[arg-type]
    (AddLink("h", 5, "bridge", 0), "name: wanted text of printable characters, found 5"),  # type: ignore[arg-type]
    (AddLink([], "e", "bridge", 0), "node: wanted text of printable characters, found []"),  # type: ignore[arg-type]
    (AddLink("h", "e", "veth", 0, peer="x"), "peer: wanted a sound Peer or None, found 'x'"),  # type: ignore[arg-type]
    (
        AddLink("h", "e", "veth", 0, peer=Peer("g", None, 0)),  # type: ignore[arg-type]
        "peer: wanted a sound Peer or None, found Peer(node='g', name=None,",
    ),
    (
        SetVxlan("h", "v", ("ttl", 5)),  # type: ignore[arg-type]
        "attributes: wanted a tuple of pairs of name and value, found ('ttl', 5)",
    ),
    (
        SetVxlan("h", "v", (("ttl", None),)),  # type: ignore[arg-type]
        "attributes: wanted a tuple of pairs of name and value, found (('ttl', None),)",
    ),
    (AddRule("h", ("-A", 5)), "words: wanted a tuple of text of printable characters, found"),  # type: ignore[arg-type]
    (AddRule("h", ("-A",), 5), "family: wanted 4 or 6, found 5"),  # type: ignore[arg-type]
    (AddFdb("h", "v", "m", "d", port="4789"), "port: wanted a whole number or None, found '4789'"),  # type: ignore[arg-type]
    (AddNexthop("h", 1, group=(1, (2,))), "group: wanted a tuple of a whole number or a tuple of"),  # type: ignore[arg-type]
    (SetSysctl("h", "net.x", None), "value: wanted text of printable characters or a whole number"),  # type: ignore[arg-type]
    (
        StartDaemon("r", "pimd", ("eth0",), hosts=(HostOnLink("h", "1.1.1.1", 5),)),  # type: ignore[arg-type]
        "hosts: wanted a tuple of a sound HostOnLink, found",
    ),
]


@pytest.mark.parametrize(("operation", "words"), WRONG, ids=lambda it: type(it).__name__)
def test_a_value_of_another_type_is_refused(operation: Operation, words: str) -> None:
    with pytest.raises(ApplyError) as caught:
        check(operation)
    first, _, last = words.partition(".*")
    assert str(caught.value).startswith(f"{operation!r}: {first}")
    assert last in str(caught.value)


def test_what_comes_before_a_wrong_one_is_sound() -> None:
    good = AddRule("h", ("-A",))
    sound, error = split([good, SetSysctl("h", "net.x", 1), WRONG[0][0], good])
    assert sound == [good, SetSysctl("h", "net.x", 1)]
    assert error is not None
    assert error.operation == repr(WRONG[0][0])


@pytest.mark.parametrize("topology", [catalog.kim_and_lee(), with_containers().build()], ids=str)
def test_every_plan_is_sound(topology: Any) -> None:
    assert split(make_plan(topology))[1] is None


def test_values_of_settings_may_have_tabs() -> None:
    check(SetSysctl("h", "net.ipv4.tcp_rmem", "4096\t131072\t6291456"))


def test_every_field_of_a_plan_refuses_what_is_no_value() -> None:
    kinds = {type(operation): operation for operation in make_plan(catalog.kim_and_lee())}
    assert len(kinds) >= 7
    for operation in kinds.values():
        for field in dataclasses.fields(operation):
            with pytest.raises(ApplyError, match=rf"{field.name}: wanted .*, found <object"):
                check(dataclasses.replace(operation, **{field.name: object()}))
