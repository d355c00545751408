"""What a run is to do: which kernels, iproute2, backends and scenarios; kept with its results."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError
from vxlab.matrix.job import SYSTEM, Combination, Job, combinations
from vxlab.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to run, and how; this is what a run's ``selection`` in the results file holds.

    ``arguments`` are pytest's; ``deadline`` is each cell's, in seconds, and ``scenario`` each
    scenario's; ``memory`` is each machine's, in MB; ``modules`` belongs to a kernel of one's own.
    """

    kernels: Sequence[str]
    iproute2: Sequence[str] = (SYSTEM,)
    backends: Sequence[str] = ("iproute2",)
    arguments: Sequence[str] = ("scenarios",)
    deadline: float = 1800.0
    scenario: float = 300.0
    memory: int = 1024
    modules: str | None = None

    def combinations(self) -> list[Combination]:
        """Those of its cells; VxlabError where there is something wrong with it."""
        return combinations(self.kernels, self.iproute2, self.backends)

    def job(self, project: Path) -> Job:
        """What all its jobs have in common, without kernel and cells."""
        return Job(
            kernel="",
            cells=(),
            arguments=tuple(self.arguments),
            project=str(project),
            deadline=self.deadline,
            scenario=self.scenario,
            memory=self.memory,
            modules=self.modules,
        )


def begin_run(results: Results, selection: Selection) -> int:
    """Plan a run in the results file; its id."""
    host = {
        "system": platform.platform(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }
    run = results.begin_run(selection=_as_json(selection), host=host)
    for each in selection.combinations():
        results.add_cell(run, kernel=each.kernel, iproute2=each.iproute2, backend=each.backend)
    return run


def _as_json(selection: Selection) -> dict[str, Any]:
    values = {field.name: getattr(selection, field.name) for field in dataclasses.fields(selection)}
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in values.items()
    }


def resume_run(results: Results) -> tuple[int, Selection]:
    """The latest run of a file, if it has unfinished cells, and what it was to do."""
    run = results.latest_run()
    if not results.unfinished(run.id):
        raise VxlabError(
            f"{results.path}: wanted a run that was interrupted, found run {run.id} complete: "
            "leave out --resume to begin another"
        )
    try:
        selection = Selection(**run.selection)
    except TypeError as error:  # it is not ours: `vxlab merge` has its own
        raise VxlabError(
            f"{results.path}: wanted a run of `vxlab matrix`, found that run {run.id} says nothing "
            "of what it was to do: begin another"
        ) from error
    results.resume_run(run.id)
    return run.id, selection
