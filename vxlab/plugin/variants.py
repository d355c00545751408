"""What the marker ``topology`` means: which topologies a test runs on.

    @pytest.mark.topology(catalog.kim_and_lee, router=["smcroute", "pimd"], family=4)

The first argument is a Topology, a builder, or a function that returns one; the rest are its
arguments, where a list stands for several: the test runs on every combination.  Several markers on
the same test (or the same class, or module) add up; a marker nearer to the test replaces those
further away.

pytest takes a marker that is given nothing but a function for a decorator of that function; not
this one (:func:`take_functions`), so that ``topology(catalog.bridged)`` needs no parentheses.

A variant is named by its listed arguments, ``[smcroute-ipv6]``.  Where these do not tell variants
apart it is named by its function as well, and a lone topology without lists is not named at all.
"""

from __future__ import annotations

import inspect
import ipaddress
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.devices import Vxlan
from vxlab.describe.filters import NftRules
from vxlab.describe.topology import Topology
from vxlab.errors import VxlabError
from vxlab.plan.operations import AddMdb


class _TopologyMarker:
    """The marker ``topology`` before it has any arguments: what it is called with are those."""

    def __init__(self, marker: pytest.MarkDecorator) -> None:
        self._marker = marker

    def __call__(self, *args: Any, **kwargs: Any) -> pytest.MarkDecorator:
        return self._marker.with_args(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._marker, name)


def take_functions() -> None:
    """Let ``pytest.mark.topology(function)`` be a marker with an argument, and decorate nothing.

    Without an argument the marker says nothing, so none is lost.
    """
    if not isinstance(pytest.mark.topology, _TopologyMarker):
        vars(pytest.mark)["topology"] = _TopologyMarker(pytest.mark.topology)


@dataclass(frozen=True)
class Variant:
    """One topology of a test.

    ``make`` is a topology, a builder, or a function that returns one, which is called with
    ``arguments``, pairs of name and value.  ``label`` is its part of the test's name; empty for a
    lone topology without lists.
    """

    make: Callable[..., Topology | TopologyBuilder] | Topology | TopologyBuilder
    arguments: tuple[tuple[str, Any], ...] = ()
    label: str = ""

    def build(self) -> Topology:
        """The topology; TopologyError where its description is wrong."""
        made = self.make
        if callable(made):
            made = made(**dict(self.arguments))
        if isinstance(made, TopologyBuilder):
            made = made.build()
        if not isinstance(made, Topology):
            raise VxlabError(
                f"wanted a Topology from {self.make!r}, found {made!r}: "
                "return one, or a TopologyBuilder"
            )
        return made

    @property
    def long_label(self) -> str:
        """What makes it, and all arguments, listed or not."""
        made = self.make
        name = str(getattr(made, "__name__", type(made).__name__))
        if isinstance(made, Topology | TopologyBuilder):
            name = made.name
        return "-".join([name, *(_word(*argument) for argument in self.arguments)])


def variants(node: pytest.Item | pytest.Collector) -> list[Variant]:
    """All variants of a test, from the markers that are nearest to it.

    VxlabError where a marker does not say one topology, or says no variant at all.
    """
    nearest: list[pytest.Mark] = []
    owner: object = None
    for where, mark in node.iter_markers_with_node("topology"):
        if owner is not None and where is not owner:
            break
        owner = where
        nearest.append(mark)
    return _told_apart([variant for mark in reversed(nearest) for variant in _expand(mark)])


def _told_apart(found: list[Variant]) -> list[Variant]:
    """The same variants; of several each has a label, and as far as possible one of its own."""
    if len(found) < 2:
        return found
    uses = Counter(variant.label for variant in found)
    return [
        replace(variant, label=variant.long_label)
        if not variant.label or uses[variant.label] > 1
        else variant
        for variant in found
    ]


def _expand(mark: pytest.Mark) -> Iterator[Variant]:
    if len(mark.args) != 1:
        raise VxlabError(
            "the marker topology: wanted one topology, or a function that returns one, found "
            f"{len(mark.args)} of them: give arguments by name"
        )
    _refuse_scope(mark)
    yield from _expanded(mark.args[0], mark.kwargs, "the marker topology")


def _refuse_scope(mark: pytest.Mark) -> None:
    """VxlabError where ``scope`` is not for the function, and so meant for the lab."""
    make = mark.args[0]
    if "scope" in mark.kwargs and not (
        callable(make) and "scope" in inspect.signature(make).parameters
    ):
        raise VxlabError(
            "the marker topology: scope: wanted a lab for each test, found "
            f"{mark.kwargs['scope']!r}: for a lab that tests share write "
            f"`lab = vxlab.lab_fixture(..., scope={mark.kwargs['scope']!r})` in place of the marker"
        )


def choices(make: Any, arguments: Mapping[str, Any], said: str) -> list[Variant]:
    """All variants of one function, or topology: of several each has a label.

    ``make`` and ``arguments`` are those of the marker ``topology``; ``said`` names what they were
    given to.  VxlabError where a list is empty.
    """
    return _told_apart(list(_expanded(make, arguments, said)))


def _expanded(make: Any, given: Mapping[str, Any], said: str) -> Iterator[Variant]:
    names = list(given)
    listed = [name for name in names if isinstance(given[name], list)]
    for name in listed:
        if not given[name]:
            raise VxlabError(
                f"{said}: {name}: wanted at least one value to run on, found an "
                "empty list: leave the argument out, or the marker"
            )
    values_of = [given[name] if name in listed else [given[name]] for name in names]
    for values in itertools.product(*values_of):
        arguments = tuple(zip(names, values, strict=True))
        label = "-".join(_word(name, value) for name, value in arguments if name in listed)
        yield Variant(make, arguments, label)


def _word(name: str, value: Any) -> str:
    """One argument in a test's name: a word stands alone, a number has its name before it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    if name == "family":
        return f"ipv{value}"
    return f"{name}={value}"


def wanted(found: Iterable[Variant], router: str | None, family: int | None) -> list[Variant]:
    """Those of the variants ``found`` that fit the options ``router`` and ``family``; None: any.

    An argument that a variant does not have always fits.
    """
    options = {"router": router, "family": family}
    return [
        variant
        for variant in found
        if all(
            value is None or dict(variant.arguments).get(name, value) == value
            for name, value in options.items()
        )
    ]


#: The features that targets of packet filter rules need, and those that routing daemons need.
_TARGETS = {"TTL": "iptables-ttl", "HL": "ip6tables-hl"}
_DAEMONS = {"smcroute": ("smcrouted",), "pimd": ("pimd", "pim")}


def features_of(topology: Topology) -> tuple[str, ...]:
    """The features (:mod:`vxlab.features`) without which a topology cannot exist.

    Those include every vxlan attribute that is asked for by name: a kernel that does not know
    one would ignore it silently.
    """
    needed = ["vxlan", "veth", "bridge"]
    vteps = [vtep for host in topology.hosts for vtep in host.vteps]
    cards = [nic for machine in topology.machines for nic in machine.nics]
    addresses = [address for nic in cards for address in nic.addresses]
    addresses += [address for vtep in vteps for address in vtep.addresses]
    addresses += [address for each in topology.containers for address in each.addresses]
    if any(":" in address for address in addresses):
        needed.append("ipv6")
    if any(vtep.vrf for vtep in vteps):
        needed.append("vrf")
    attributes = [pair for segment in topology.segments for pair in segment.attributes]
    attributes += [pair for vtep in vteps for pair in vtep.attributes]
    needed += [f"vxlan.{name}" for name, _ in attributes]
    needed += _needed_by_machines(topology)
    needed += ["vxlan-mdb" for change in topology.changes if isinstance(change, AddMdb)]
    for router in topology.routers:
        if router.daemon:
            held = [address for nic in router.nics for address in nic.addresses]
            versions = {ipaddress.ip_interface(address).version for address in held}
            needed += ["mroute"] if 4 in versions else []
            needed += ["mroute6"] if 6 in versions else []
            needed += _DAEMONS[router.daemon]
    return tuple(dict.fromkeys(needed))


def _needed_by_machines(topology: Topology) -> Iterator[str]:
    """What the devices, links and rules of all machines need."""
    from vxlab.features.kinds import feature_of  # probes are loaded where there is a lab

    for machine in (*topology.machines, *topology.containers):
        for device in machine.devices:
            if device.made and device.kind.name not in ("bridge", "vxlan"):
                yield feature_of(device.kind.name)
            if dict(device.settings()).get("vlan_filtering"):
                yield "bridge-vlan"
            if isinstance(device, Vxlan):
                yield from (f"vxlan.{name}" for name, _ in device.settings())
        for rule in machine.rules:
            if isinstance(rule, NftRules):
                yield "nft"
                continue
            yield "iptables" if rule.family == 4 else "ip6tables"
            yield from (_TARGETS[word] for word in rule.words if word in _TARGETS)
    for machine in topology.machines:
        for nic in machine.nics:
            if nic.impairment:
                yield nic.impairment.words()[0]
