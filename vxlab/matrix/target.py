"""A kernel that cells run on: what each kind of them can do, and how its runs end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vxlab.matrix.job import Cells
from vxlab.matrix.reports import OnReport
from vxlab.results.model import CellState

#: What of a log is kept: its end, in characters.
LOG = 20_000

#: The exit code of vxlab.matrix.run_cells where a disk is full: the rest needs another machine.
FULL = 1

#: The node ids of scenarios that a cell does not run, by the cell's id.
Seen = Mapping[int, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """How a target's run, or a cell of it, ended: DONE also where cells are left for another run.

    ``reason`` says why, ``fingerprint`` is the same for the same way to die, ``log`` is the end of
    a log.
    """

    state: CellState
    reason: str = ""
    fingerprint: str = ""
    log: str = ""


class Target(Protocol):
    """A kernel to run cells on; a context manager.

    ``release`` is its ``uname -r``, ``config`` its configuration, '' where that is not known.
    """

    release: str
    config: str

    def __enter__(self) -> Target: ...

    def __exit__(self, *_: object) -> None: ...

    def run(self, cells: Cells, on_report: OnReport, seen: Seen) -> Termination:
        """Run ``cells``, one after another, and say how that ended.

        ``on_report`` gets each report as it comes; ``seen`` are scenarios that a cell does not run.
        A cell that takes too long ends the run.
        """
        ...


def last_line(text: str) -> str:
    """The last line of a text that has anything in it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
