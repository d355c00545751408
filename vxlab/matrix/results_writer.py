"""What happens to the cells of a run, written down as it happens."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from vxlab.errors import VxlabError
from vxlab.matrix.events import CaseEnded, CaseStarted, CellBegun, CellEnded, Event
from vxlab.matrix.job import Combination
from vxlab.results import Results


class Watcher(Protocol):
    """Who is told what happens, from several threads, one at a time."""

    def notify(self, text: str) -> None:
        """Something is being prepared."""

    def cells(self, cells: Mapping[int, Combination]) -> None:
        """These are going to be run."""

    def event(self, event: Event) -> None:
        """Something has happened."""


class ResultsWriter:
    """Writes events into a results file, and a JUnit file for each cell that has ended."""

    def __init__(self, results: Results, watcher: Watcher, junit: Path | None) -> None:
        self._results, self._watcher, self._junit = results, watcher, junit
        self._lock = threading.Lock()

    def take(self, event: Event) -> None:
        """One event, from whatever thread."""
        with self._lock:
            self._write(event)
            self._watcher.event(event)

    def _write(self, event: Event) -> None:
        match event:
            case CellBegun():
                self._results.begin_cell(event.cell)
                self._results.describe_cell(
                    event.cell, release=event.release, config=event.config, tools=event.tools
                )
            case CaseStarted():
                self._results.begin_case(event.cell, event.nodeid)
            case CaseEnded():
                self._results.record(event.cell, event.case)
            case CellEnded():
                self._end(event)

    def _end(self, event: CellEnded) -> None:
        self._results.end_cell(
            event.cell,
            event.state,
            seconds=event.seconds,
            reason=event.reason,
            fingerprint=event.fingerprint,
            last=event.last,
            log=event.log,
        )
        if self._junit is not None:
            write_junit(self._results, event.cell, self._junit)


def write_junit(results: Results, cell: int, folder: Path) -> None:
    """Write the JUnit XML of one of ``results``' cells into ``folder``, named after the cell.

    ``cell`` is its id.  VxlabError where the file cannot be written.
    """
    from vxlab.results.junit import junit

    found = results.cell(cell)
    name = "-".join(each.replace("/", "_") for each in (found.kernel, found.iproute2))
    path = folder / f"{name}-{found.backend}.xml"
    try:
        path.write_text(junit(found, results.cases(cell)), encoding="utf-8")
    except OSError as error:
        raise VxlabError(f"wanted to write {path}, found: {error.strerror}") from error
