"""What a person sees of a running matrix: a line for each cell that has ended, bars meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from vxlab.matrix.events import (
    Booting,
    CaseEnded,
    CaseStarted,
    CellBegun,
    CellCollected,
    CellEnded,
    Event,
)
from vxlab.matrix.job import Combination
from vxlab.results.model import Case, CellState

#: Seconds after which something is said where no bars are seen.
_SILENCE = 60.0


@dataclass(kw_only=True)
class _CellProgress:
    combination: Combination
    counts: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    state: CellState | None = None
    running: str = ""
    task: TaskID | None = None

    @property
    def done(self) -> int:
        return self.counts.total()

    def counts_text(self) -> str:
        bad = self.counts["failed"] + self.counts["error"]
        parts = [f"{self.counts['passed']:4} passed", f"{bad:3} failed"]
        return ", ".join([*parts, f"{self.counts['skipped']:3} skipped"])


class ProgressDisplay:
    """Shows events on a console (:class:`~vxlab.matrix.results_writer.Watcher`); a context manager.

    Where the console is no terminal it gets plain lines, and no bars: at least one a minute, as
    services for CI end what is silent for long.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._cells: dict[int, _CellProgress] = {}
        self._began = self._said = time.monotonic()
        self._width = 0
        self._bars = Progress(
            TextColumn("  {task.description}", markup=False),  # node ids have brackets
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[status]}", style="dim", markup=False),
            console=self._console,
            transient=True,
        )
        self._whole = self._bars.add_task("all", total=1, status="", visible=False)

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bars.stop()

    def notify(self, text: str) -> None:
        """Something is being prepared."""
        self._print(f"matrix: {text}", "dim")

    def cells(self, cells: Mapping[int, Combination]) -> None:
        """These are going to be run."""
        self._cells = {number: _CellProgress(combination=each) for number, each in cells.items()}
        self._width = max((len(each.name) for each in cells.values()), default=0)
        self._print(f"matrix: {_count(len(cells), 'cell')}")

    def event(self, event: Event) -> None:
        """Something has happened."""
        if isinstance(event, Booting):
            kernel = self._cells[event.cells[0]].combination.kernel
            self._print(f"matrix: starting {kernel} for {_count(len(event.cells), 'cell')}")
            return
        cell = self._cells[event.cell]
        match event:
            case CellBegun():
                name = f"{cell.combination.name:{self._width}}"
                self._forget(cell)  # of an attempt that was lost
                cell.task = self._bars.add_task(name, total=self._guess(), status="")
            case CellCollected():
                cell.expected = event.count
            case CaseStarted():
                cell.running = event.nodeid.partition("::")[2]
            case CaseEnded():
                self._count_case(cell, event.case)
            case CellEnded():
                self._end(cell, event)
        self._show(cell)
        if not self._live and time.monotonic() - self._said >= _SILENCE:
            self._print(f"  {self._done()} of {_count(self._all(), 'scenario')}, {self._left()}")

    def _count_case(self, cell: _CellProgress, case: Case) -> None:
        cell.counts[case.outcome] += 1
        if case.outcome.is_bad and not self._live:
            self._print(f"  {cell.combination.name}: {case.nodeid} {case.outcome}")

    def _end(self, cell: _CellProgress, event: CellEnded) -> None:
        self._remove_bar(cell)
        cell.state = event.state
        bad = event.state is not CellState.DONE
        name = f"{cell.combination.name:{self._width}}"
        line = f"  {name}  {cell.counts_text()}  {clock(event.seconds)}"
        if bad:
            line += f"  {event.state}: {event.reason}"
            line += f" (while {event.last} ran)" if event.last else ""
        red = bad or cell.counts["failed"] or cell.counts["error"]
        self._print(line, "red" if red else "green")
        if not self._live:
            self._print(f"  {self._left()}")

    def _forget(self, cell: _CellProgress) -> None:
        self._remove_bar(cell)
        cell.counts.clear()
        cell.state = None

    def _remove_bar(self, cell: _CellProgress) -> None:
        if cell.task is not None:
            self._bars.remove_task(cell.task)
            cell.task = None

    def _show(self, cell: _CellProgress) -> None:
        if cell.task is not None:
            bad = cell.counts["failed"] + cell.counts["error"]
            status = f"{bad} failed  " * bool(bad) + cell.running
            total = cell.expected or self._guess()
            self._bars.update(cell.task, completed=cell.done, total=total, status=status)
        self._bars.update(
            self._whole,
            description=f"{'all':{self._width}}",
            visible=True,
            completed=self._done(),
            total=max(1, self._all()),
            status=self._left(),
        )

    def _guess(self) -> int:
        """How many scenarios a cell has that has not said so."""
        return max((cell.expected for cell in self._cells.values()), default=0)

    def _all(self) -> int:
        guess = self._guess()
        return sum(
            cell.done if cell.state else cell.expected or guess for cell in self._cells.values()
        )

    def _done(self) -> int:
        return sum(cell.done for cell in self._cells.values())

    def _left(self) -> str:
        ended = sum(bool(cell.state) for cell in self._cells.values())
        passed = time.monotonic() - self._began
        text = f"{ended} of {_count(len(self._cells), 'cell')}, {clock(passed)}"
        done = self._done()
        if done and ended < len(self._cells):
            text += f", about {clock((self._all() - done) * passed / done)} left"
        return text

    def _print(self, text: str, style: str = "") -> None:
        self._said = time.monotonic()
        self._console.print(text, style=style, markup=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """A time for a person: ``42 s``, ``12 min 5 s``."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
