"""How a lab is broken on purpose, and where its ends are, for tests of the diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from vxlab.describe.topology import Topology
from vxlab.errors import MissingProgram
from vxlab.live.lab import Lab
from vxlab.operations import Operation
from vxlab.services import service_program

Change = Callable[[Lab], object]

#: Source and destination in each topology of the catalog.
ENDS = {
    "point-to-point": ("a", "172.18.1.3"),
    "bridged": ("ns0", "172.18.1.3"),
    "multicast": ("ns0", "172.18.1.3"),
    "one-switch": ("a", "192.168.42.3"),
    "kim-and-lee": ("kim-srv1", "1.1.1.2"),
    "routed": ("a", "192.168.42.3"),
}


@contextmanager
def open_lab(topology: Topology) -> Iterator[Lab]:
    """A lab; the test is skipped where its multicast daemon is not installed."""
    for daemon in {router.daemon for router in topology.routers} - {None}:
        try:
            service_program({"smcroute": "smcrouted"}.get(str(daemon), str(daemon)))
        except MissingProgram as missing:
            pytest.skip(str(missing))
    with Lab(topology) as lab:
        yield lab


def run(node: str, *commands: str) -> Change:
    """A change by commands in a node."""
    return lambda lab: [lab[node].run(*command.split()) for command in commands]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One way to break a topology, and what is to be said of it.

    ``change`` are operations, or a function of the lab; ``reason`` must be in the sentence.
    """

    code: str
    hop: str
    reason: str
    topology: Callable[[], Topology]
    change: tuple[Operation, ...] | Change = ()
    size: int | None = None
    ends: tuple[str, str] | None = None

    def make(self, lab: Lab) -> None:
        if callable(self.change):
            self.change(lab)
        else:
            lab.apply(*self.change)
