"""Runs, cells and cases: the rows of a results file.

A run is a table of cells, one for each kernel, iproute2 and backend; a cell holds a case for each
scenario that ran there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from vxlab.errors import VxlabError
from vxlab.results.versions import is_version, older

#: What a known difference is of: which of the two its versions are.
Component = Literal["kernel", "iproute2"]

#: How a reason begins that a probe gives (:meth:`vxlab.features.model.Feature.sentence`).
_PROBED = re.compile(r"needs [\w.-]+: ")

#: Set to ``yes`` in the environment where nothing is lost if the kernel ends.
EXPENDABLE = "VXLAB_EXPENDABLE"


class CellState(StrEnum):
    """How far a cell has come, or how it ended."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    CRASHED = "kernel crashed"
    HUNG = "hung"  # a scenario did not end
    BOOT_FAILED = "boot failed"
    DEADLINE = "deadline"
    DISK_FULL = "disk full"
    MACHINE_LOST = "machine lost"  # QEMU was killed
    ABORTED = "pytest aborted"
    INTERRUPTED = "interrupted"

    @property
    def is_unfinished(self) -> bool:
        """Whether it is still to be run, or to be run again."""
        return self in (CellState.PLANNED, CellState.RUNNING, CellState.INTERRUPTED)

    @property
    def is_dead(self) -> bool:
        """Whether it ended before all its scenarios had run, by a failure of its machine."""
        return self is not CellState.DONE and not self.is_unfinished


class Outcome(StrEnum):
    """What became of a scenario; ``not run`` is what a dead cell did not get to."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    NOT_RUN = "not run"

    @property
    def is_bad(self) -> bool:
        """Whether a person has to look at it."""
        return self in (Outcome.FAILED, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """A finding (``docs/findings.md``) that makes a scenario fail, or differ, on some versions.

    It holds from the version ``since`` on and before ``until``; an empty text is no bound. ``of``
    is whose versions these are.  A ``deadly`` one ends the kernel, not the scenario alone.
    """

    id: str
    _: KW_ONLY
    since: str = ""
    until: str = ""
    of: Component = "kernel"
    deadly: bool = False

    def __post_init__(self) -> None:
        if not self.id:
            raise VxlabError("known difference: id: wanted one such as K40, found ''")
        if self.of not in get_args(Component):
            wanted = " or ".join(get_args(Component))
            raise VxlabError(f"known difference {self.id}: of: wanted {wanted}, found {self.of!r}")
        for name, bound in (("since", self.since), ("until", self.until)):
            if bound and not is_version(bound):
                wanted = "wanted a version such as 6.12"
                raise VxlabError(f"known difference {self.id}: {name}: {wanted}, found {bound!r}")

    def covers(self, version: str) -> bool:
        """Whether it holds with this version."""
        begun = not self.since or not older(version, self.since)
        return begun and (not self.until or older(version, self.until))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One start of the matrix.

    ``started`` and ``ended`` are ISO 8601 in UTC, '' where not yet; ``selection`` is what was to be
    run, ``version`` vxlab's, ``host`` facts about the machine.
    """

    id: int
    started: str
    ended: str = ""
    selection: Any = None
    version: str = ""
    host: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One machine's part of a run: a kernel, an iproute2 and a backend.

    ``release`` is its ``uname -r``, ``tools`` are the versions of its programs, ``config`` is its
    kernel's ``.config``; ``started`` is ISO 8601 in UTC, ``seconds`` how long it took.  Of a cell
    that died, ``reason`` says why, ``fingerprint`` is the same for the same way to die, ``last`` is
    the node id of the scenario that was running, and ``log`` the end of the console's log.
    """

    id: int
    run: int
    kernel: str
    iproute2: str
    backend: str
    state: CellState = CellState.PLANNED
    started: str = ""
    seconds: float = 0.0
    release: str = ""
    tools: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    reason: str = ""
    fingerprint: str = ""
    last: str = ""
    log: str = ""

    @property
    def name(self) -> str:
        """Its place in the table: ``6.12 / 6.15 / netlink``."""
        return " / ".join((self.kernel, self.iproute2, self.backend))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one scenario did in one cell.

    ``seconds`` is how long it took, ``reason`` a line or a few, ``evidence`` all that it said;
    ``behaviour`` is the sentence that it shows, ``known`` the findings that it is marked with.
    """

    nodeid: str
    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""
    evidence: str = ""
    behaviour: str = ""
    known: tuple[KnownDifference, ...] = ()

    @property
    def lacks_feature(self) -> bool:
        """Whether it was skipped since a probe found that something is missing there."""
        return self.outcome is Outcome.SKIPPED and _PROBED.match(self.reason) is not None
