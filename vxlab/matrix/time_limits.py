"""How long a job's machine, its cells and its scenarios may take."""

from __future__ import annotations

import math
import time

from vxlab.matrix.job import Job
from vxlab.matrix.reports import (
    PytestEnded,
    PytestStarted,
    Report,
    ScenarioEnded,
    ScenarioStarted,
)
from vxlab.results.model import CellState


class TimeLimits:
    """How long to wait for a machine: for its first cell, then for each cell, and each scenario.

    ``state`` and ``reason`` say what it means where that was too long.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._cell = math.inf  # when the cell that runs must have ended
        self.state = CellState.DEADLINE
        self.reason = f"no cell had begun {job.boot:g} s after the start"

    def after(self, report: Report) -> float | None:
        """The seconds that are left from now on; None where a report changes nothing."""
        now = time.monotonic()
        match report:
            case PytestStarted() | PytestEnded():
                self._cell = now + self._job.deadline
            case ScenarioStarted() if now + self._job.scenario < self._cell:
                self.state = CellState.HUNG
                limit = self._job.scenario
                self.reason = f"the scenario had not ended {limit:g} s after it began"
                return limit
            case ScenarioStarted() | ScenarioEnded():
                pass
            case _:
                return None
        self.state = CellState.DEADLINE
        self.reason = f"it had not ended {self._job.deadline:g} s after it began"
        return self._cell - now
