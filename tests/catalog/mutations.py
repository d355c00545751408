"""Ways to make mistakes in planner and catalog, by monkeypatching what they are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from vxlab.catalog import addresses_on_devices
from vxlab.catalog.underlay import address_of, network_of
from vxlab.describe import filters
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Host, Vtep
from vxlab.describe.filters import Rule
from vxlab.describe.vxlan import OVERHEAD, Value
from vxlab.describe.wiring import Wiring
from vxlab.live import lab as live_lab
from vxlab.operations import AddAddress, AddLink, Operation, SetSysctl

#: Makes a mistake, until the test that it is given the monkeypatch of has ended.
Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A mistake.

    ``topology`` and ``family`` say where it is looked for; ``row`` is a regular expression for a
    row of the difference, None where the written states do not have the case; ``scenario`` names
    a module and a function of `scenarios/`, None where no article speaks of it; ``arguments`` are
    those of the topology besides.
    """

    name: str
    topology: str
    family: int = 4
    patch: Patch
    row: str | None
    scenario: tuple[str, str] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def attributes(*without: str, at: tuple[str, ...] | None = None, **changes: Value) -> Patch:
    """Vxlan devices (of the hosts ``at``) planned without some attributes, with others."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = Wiring.attributes

        def wrong(self: Wiring, host: Host, vtep: Vtep) -> dict[str, Value]:
            found = right(self, host, vtep)
            if at is not None and host.name not in at:
                return found
            return {k: v for k, v in found.items() if k not in without} | changes

        monkeypatch.setattr(Wiring, "attributes", wrong)

    return patch


def swapped_vnis(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Wiring.attributes

    def wrong(self: Wiring, host: Host, vtep: Vtep) -> dict[str, Value]:
        found = right(self, host, vtep)
        return found | {"id": 30 - int(str(found["id"]))}

    monkeypatch.setattr(Wiring, "attributes", wrong)


def mtu(less: Callable[[int], int]) -> Patch:
    """An MTU behind a VTEP that is 1500 less what ``less`` makes of the right overhead."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        def wrong(self: Wiring, host: Host, vtep: Vtep) -> int:
            return 1500 - less(OVERHEAD[host.nics[0].interface.version])

        monkeypatch.setattr(Wiring, "mtu", wrong)

    return patch


def remotes(change: Callable[[Host, tuple[str, ...]], tuple[str, ...]]) -> Patch:
    """Other addresses to flood to."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = Wiring.remotes

        def wrong(self: Wiring, host: Host, vtep: Vtep) -> tuple[str, ...]:
            return change(host, right(self, host, vtep))

        monkeypatch.setattr(Wiring, "remotes", wrong)
        monkeypatch.setattr(Wiring, "_first_remote", lambda *given: next(iter(wrong(*given)), None))

    return patch


def plan(change: Callable[[Operation], Iterable[Operation]]) -> Patch:
    """A plan with other operations in place of each."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = live_lab.make_plan
        monkeypatch.setattr(
            live_lab,
            "make_plan",
            lambda topology: tuple(o for p in right(topology) for o in change(p)),
        )

    return patch


def more(*added: Operation) -> Patch:
    """A plan with more operations at its end."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = live_lab.make_plan
        monkeypatch.setattr(live_lab, "make_plan", lambda topology: (*right(topology), *added))

    return patch


def without(kind: type[Operation]) -> Patch:
    """A plan without one kind of operation."""
    return plan(lambda operation: () if isinstance(operation, kind) else (operation,))


def setting(key: str, value: str) -> Patch:
    """One value of a setting for every node, whatever it is."""

    def change(operation: Operation) -> Iterable[Operation]:
        if isinstance(operation, SetSysctl) and operation.key == key:
            yield dataclasses.replace(operation, value=value)
        else:
            yield operation

    return plan(change)


def bridge_attributes(**changes: int) -> Patch:
    """Bridges with other attributes."""

    def change(operation: Operation) -> Iterable[Operation]:
        if isinstance(operation, AddLink) and operation.kind == "bridge":
            attributes = {**dict(operation.attributes), **changes}
            operation = dataclasses.replace(operation, attributes=tuple(attributes.items()))
        yield operation

    return plan(change)


def replaced(module: Any, name: str, value: object) -> Patch:
    """Something that a file of the catalog uses, replaced."""
    return lambda monkeypatch: monkeypatch.setattr(module, name, value)


def links(kind: str, **changes: Any) -> Patch:
    """Links of a kind with other fields."""

    def change(operation: Operation) -> Iterable[Operation]:
        if isinstance(operation, AddLink) and operation.kind == kind:
            yield dataclasses.replace(operation, **changes)
        else:
            yield operation

    return plan(change)


def for_all_traffic(group: str) -> Rule:
    """The rule that raises the TTL, of whatever leaves."""
    rule = filters.raise_ttl(group)
    return Rule(tuple(word for word in rule.words if word not in ("-d", group)), rule.family)


def other_addresses(old: str, new: str) -> Callable[[int, str], str]:
    """The catalog's function for addresses, with a part of what it gives replaced."""
    return replacing(address_of, old, new)


def replacing(right: Callable[[int, str], str], old: str, new: str) -> Callable[[int, str], str]:
    """A function for addresses, with a part of what it gives replaced."""
    return lambda family, address: right(family, address).replace(old, new)


def prefix_length_25(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks and addresses of half the size."""
    for name, right in (("network_of", network_of), ("address_of", address_of)):
        changed = replacing(right, "/24", "/25")
        monkeypatch.setattr(addresses_on_devices, name, changed)


def segment_attributes(**added: Value) -> Patch:
    """Segments that the catalog describes with more attributes."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = TopologyBuilder.segment

        def wrong(self: TopologyBuilder, name: str, *rest: Any, **fields: Any) -> TopologyBuilder:
            fields["attributes"] = {**dict(fields.get("attributes", {})), **added}
            return right(self, name, *rest, **fields)

        monkeypatch.setattr(TopologyBuilder, "segment", wrong)

    return patch


def without_addresses_of(node: str) -> Patch:
    """A plan in which a node gets no address."""
    return plan(
        lambda operation: (
            () if isinstance(operation, AddAddress) and operation.node == node else (operation,)
        )
    )
