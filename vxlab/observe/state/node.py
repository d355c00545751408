"""The state of a node as one value: as JSON, as text, and compared with another."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass, replace
from typing import Any

from vxlab.observe.state.base import words
from vxlab.observe.state.forwarding_rows import FdbEntry, MdbEntry, NextHop, VlanEntry, Vni
from vxlab.observe.state.rows import (
    TABLES,
    Address,
    Link,
    Membership,
    MulticastRoute,
    Neighbour,
    Route,
)

#: The kinds of row, in the order they are shown, and what one of them is called in a difference.
KINDS = {
    "links": "link",
    "addresses": "address",
    "fdb": "fdb",
    "vlans": "vlan",
    "neighbours": "neighbour",
    "routes": "route",
    "multicast_routes": "mroute",
    "memberships": "group",
    "vnis": "vni",
    "mdb": "mdb",
    "nexthops": "nexthop",
}

#: States that a learned entry moves through by itself.
MOVING = {"REACHABLE", "STALE", "DELAY", "PROBE"}
WIDTH = 100

#: How the states begin that a bond gives its ports by itself.
_OF_BONDS = ("slave_state", "slave_mii_status", "slave_link_failure", "slave_ad_")


@dataclass(frozen=True, slots=True)
class NodeState:
    """Everything that one node's network namespace held at one moment.

    ``name`` is the node's.  The others are tuples of rows, each kind of a class of its own:
    ``links``, ``addresses``, ``fdb`` (forwarding entries), ``vlans`` (of bridges that filter),
    ``neighbours``, ``routes``, ``multicast_routes``, ``memberships`` (multicast groups of
    interfaces), ``vnis`` (of devices with vnifilter), ``mdb`` (groups of bridges and vxlan
    devices), ``nexthops``.  ``counters`` are those of :func:`vxlab.observe.state.read_snmp` by
    name; like the counters of links they do not count when two states are compared.
    """

    name: str
    _: KW_ONLY
    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    fdb: tuple[FdbEntry, ...] = ()
    vlans: tuple[VlanEntry, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    routes: tuple[Route, ...] = ()
    multicast_routes: tuple[MulticastRoute, ...] = ()
    memberships: tuple[Membership, ...] = ()
    vnis: tuple[Vni, ...] = ()
    mdb: tuple[MdbEntry, ...] = ()
    nexthops: tuple[NextHop, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The state as dicts, lists, words and numbers, ready for ``json.dumps``."""
        plain = _plain(self)
        assert isinstance(plain, dict)
        return plain

    def text(self) -> str:
        """The state as tables, for a person who looks into a failure; empty tables are left out."""
        parts = [f"state of {self.name}", _links_text(self.links)]
        for kind in list(KINDS)[1:]:
            parts.append(_table(kind.replace("_", " "), getattr(self, kind)))
        counted = [f"{name}={value}" for name, value in self.counters.items() if value]
        if counted:
            shown = textwrap.wrap("  ".join(counted), WIDTH - 2, break_long_words=False)
            parts.append("\n".join(["counters that are not 0", *(f"  {line}" for line in shown)]))
        return "\n\n".join(filter(None, parts)) + "\n"


def difference(before: NodeState, after: NodeState) -> list[str]:
    """What changed from ``before`` to ``after``: lines ``- row`` and ``+ row``, empty if nothing.

    Left out is what changes by itself: counters; the states that learned neighbours and forwarding
    entries move through; neighbours that did not answer; unresolved multicast routes; the
    check of a new IPv6 address for duplicates; and what the kernel makes of a lost carrier, up to a
    second later, while the carrier itself (``LOWER_UP``) counts.  An IPv6 link-local address comes
    with the carrier, and its routes and groups with it: wait for it before the first snapshot.
    """
    lines: list[str] = []
    for kind, called in KINDS.items():
        old, new = (_lasting(getattr(state, kind)) for state in (before, after))
        lines += [f"- {called} {line}" for line in sorted((old - new).elements())]
        lines += [f"+ {called} {line}" for line in sorted((new - old).elements())]
    return lines


def _lasting(rows: tuple[Any, ...]) -> Counter[str]:
    """Rows as text, with all that changes by itself taken out, and how often each is there."""
    return Counter(str(row) for row in map(_settled, rows) if row is not None)


def _settled(row: Any) -> Any:
    match row:
        case FdbEntry(state="reachable" | "stale"):
            return replace(row, state="learned")
        case Neighbour(state="INCOMPLETE" | "FAILED") | MulticastRoute(unresolved=True):
            return None
        case Neighbour() if row.state in MOVING:
            return replace(row, state="learned")
        case Link():
            return _without_consequences(row)
        case Route():
            return replace(row, flags=_without(row.flags, "dead", "linkdown"))
        case Address():
            return replace(row, flags=_without(row.flags, "tentative", "optimistic"))
    return row


def _without(flags: tuple[str, ...], *names: str) -> tuple[str, ...]:
    return tuple(flag for flag in flags if flag not in names)


def _without_consequences(row: Link) -> Link:
    """A link without what follows from its carrier: its state, and its state as a port."""
    port = {
        name: value
        for name, value in row.port.items()
        if name != "state" and not name.startswith(_OF_BONDS)
    }
    return replace(row, state="", flags=_without(row.flags, "NO-CARRIER"), port=port)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _links_text(rows: tuple[Link, ...]) -> str:
    """Links need more words than fit a table: a paragraph each."""
    lines = [f"links ({len(rows)})"] if rows else []
    for row in rows:
        head = replace(row, attributes={}, port={})
        lines += _wrapped(str(head), 2)
        for kind, details in ((row.kind, row.attributes), ("port", row.port)):
            if shown := words(kind, details):
                lines += _wrapped(f"{kind} {shown}", 6)
        lines += _wrapped(str(row.counters), 6)
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(title: str, rows: tuple[Any, ...]) -> str:
    """Rows as aligned columns under their names; columns that say nothing are left out."""
    if not rows:
        return ""
    columns: list[list[str]] = []
    for item in fields(rows[0]):
        values = [getattr(row, item.name) for row in rows]
        if item.name == "table":
            values = [TABLES.get(value, value) for value in values]
        cells = [_cell(value) for value in values]
        if any(cells) and any(value != item.default for value in values):
            width = max(map(len, (item.name, *cells)))
            columns.append([cell.ljust(width) for cell in (item.name, *cells)])
    lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    return "\n".join([f"{title} ({len(rows)})", *(f"  {line}" for line in lines)])


def _cell(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={number}" for name, number in value.items() if number)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
