"""What a scenario says about itself: the markers ``behaviour`` and ``control``.

    @pytest.mark.behaviour("the outer TTL is 64 unless set", source="man 8 ip-link: ttl")
    @pytest.mark.control("a's device has ttl 9", vteps={"a": {"ttl": 9}})
    def test_unicast_leaves_with_ttl_64(lab): ...

A behaviour is one sentence, and the source that it follows from.  A control is a way to break the
lab so that the scenario must turn red: ``pytest --vxlab-controls`` runs each scenario on its broken
lab, and it passes there only by failing.  ``pytest --vxlab-behaviours FILE`` writes them all down.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from vxlab.errors import VxlabError

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab
    from vxlab.plan.operations import Operation


@dataclass(frozen=True)
class Behaviour:
    """What a scenario shows: one sentence, and the source that it follows from.

    ``sentence`` says it; ``source`` is a kernel file and function, a section of an RFC, or a man
    page.
    """

    sentence: str
    source: str

    def __post_init__(self) -> None:
        _text("behaviour", "sentence", self.sentence)
        _text("behaviour", "source", self.source)


@dataclass(frozen=True)
class Control:
    """How a lab is broken so that its scenario must turn red.

    ``what`` is the sentence that says what is broken.  Of the others at least one is given:
    ``vteps`` changes the first VTEP of hosts, each field or vxlan attribute by its name;
    ``topology`` changes the topology; ``lab`` is called with the live lab, before the test;
    ``change`` is given every operation, and returns what is applied in its place, or None;
    ``without`` are the types of operations that are left out once the lab is built;
    ``arguments`` replaces arguments of the test.  The failure's text, after the name of its
    exception, must match the regular expression ``because``.

    ``lab``, ``change`` and ``without`` concern the fixture ``lab``, not a lab of the test's own.
    """

    what: str
    _: dataclasses.KW_ONLY
    vteps: Mapping[str, Mapping[str, Any]] | None = None
    topology: Callable[[Topology], Topology] | None = None
    lab: Callable[[Lab], object] | None = None
    change: Callable[[Operation], Operation | None] | None = None
    without: type[Operation] | tuple[type[Operation], ...] | None = None
    arguments: Mapping[str, Any] | None = None
    because: str | None = None

    def __post_init__(self) -> None:
        _text("control", "what", self.what)
        _vteps(self.vteps)
        for field in ("topology", "lab", "change"):
            value = getattr(self, field)
            if value is not None and not callable(value):
                raise _wrong("control", field, "a function", value)
        if self.without is not None:
            _types(self.without)
        if self.arguments is not None:
            _mapping("arguments", self.arguments)
        _pattern(self.because)
        ways = (self.vteps, self.topology, self.lab, self.change, self.without, self.arguments)
        if not any(ways):
            wanted = "at least one of vteps, topology, lab, change, without, arguments"
            raise VxlabError(f"the marker control: wanted {wanted}, found none: it breaks nothing")

    def break_topology(self, topology: Topology) -> Topology:
        """The topology, broken; TopologyError where it cannot be."""
        for host, fields in (self.vteps or {}).items():
            first = topology.host(host).vteps[:1]
            if not first:
                raise VxlabError(f"the marker control: vteps: wanted a VTEP on {host}, found none")
            topology = topology.with_vtep(host, first[0].segment, **fields)
        return self.topology(topology) if self.topology else topology

    def alter(self, operation: Operation) -> Operation | None:
        """What is applied in place of an operation while the lab is built."""
        from vxlab.plan.operations import Operation

        found = self.change(operation) if self.change else operation
        if not isinstance(found, Operation | None):
            raise _wrong("control", "change", "an operation or None", found)
        return found

    def alter_later(self, operation: Operation) -> Operation | None:
        """What is applied in place of an operation once the lab is built."""
        if self.without and isinstance(operation, self.without):
            return None
        return self.alter(operation)


def behaviour_of(node: pytest.Item) -> Behaviour | None:
    """The behaviour of a test, from the nearest marker; None where it has none."""
    mark = node.get_closest_marker("behaviour")
    return None if mark is None else Behaviour(**_arguments(mark, Behaviour, "sentence"))


def control_of(node: pytest.Item) -> Control | None:
    """The control of a test, from the nearest marker; None where it has none."""
    mark = node.get_closest_marker("control")
    return None if mark is None else Control(**_arguments(mark, Control, "what"))


def check(node: pytest.Item) -> None:
    """VxlabError where a marker of a test is used wrongly."""
    behaviour_of(node)
    control_of(node)


def _arguments(mark: pytest.Mark, made: type, first: str) -> dict[str, Any]:
    """The marker's arguments by name."""
    known = [field.name for field in dataclasses.fields(made)]
    unknown = [name for name in mark.kwargs if name not in known]
    if unknown:
        raise _wrong(mark.name, unknown[0], f"one of {', '.join(known)}", unknown[0])
    if len(mark.args) > 1 or (mark.args and first in mark.kwargs):
        raise _wrong(mark.name, first, "one of it, and all else by name", mark.args)
    found = {first: mark.args[0], **mark.kwargs} if mark.args else dict(mark.kwargs)
    required = [field.name for field in dataclasses.fields(made) if _is_required(field)]
    return {**dict.fromkeys(required), **found}  # what is lacking is None, which is refused


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _wrong(marker: str, field: str, wanted: str, found: object) -> VxlabError:
    return VxlabError(f"the marker {marker}: {field}: wanted {wanted}, found {found!r}")


def _text(marker: str, field: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(marker, field, "some words", value)


def _mapping(field: str, value: object) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _wrong("control", field, "a mapping from names", value)


def _vteps(value: Mapping[str, object] | None) -> None:
    if value is None:
        return
    _mapping("vteps", value)
    for host, fields in value.items():
        _mapping(f"vteps of {host}", fields)


def _types(value: object) -> None:
    from vxlab.plan.operations import Operation

    for found in value if isinstance(value, tuple) else (value,):
        if not (isinstance(found, type) and issubclass(found, Operation)):
            raise _wrong("control", "without", "types of operations", found)


def _pattern(value: object) -> None:
    if value is None:
        return
    _text("control", "because", value)
    try:
        re.compile(str(value))
    except re.error as error:
        raise _wrong("control", "because", f"a regular expression ({error})", value) from error
