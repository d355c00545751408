"""What a builder finds by itself where a person does not say it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from vxlab.describe.devices.base import as_tuple
from vxlab.describe.elements import Host, Router


def first_of(several: str | Iterable[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """The first of ``several``, None where there is none, and the others."""
    given = as_tuple(several)
    return (given[0] if given else None), given[1:]


def next_card(machine: Host | Router) -> str:
    """The next free name of a card of ``machine``: eth0, eth1, …"""
    taken = {nic.device for nic in machine.nics} | {each.name for each in machine.devices}
    names = (f"eth{number}" for number in itertools.count())
    return next(name for name in names if name not in taken)
