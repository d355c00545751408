"""What is to be run on one kernel: nothing but values, which travel to other machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vxlab import apply
from vxlab.errors import VxlabError

#: The kernel of the machine that vxlab runs on, and the iproute2 that is in PATH there.
HERE = "here"
SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Combination:
    """A kernel, an iproute2 and a backend, as a person names them: no two cells have the same."""

    kernel: str
    iproute2: str
    backend: str

    @property
    def name(self) -> str:
        """How it is shown: ``6.12 / 6.15 / netlink``."""
        return " / ".join((self.kernel, self.iproute2, self.backend))


#: Cells of a run: the id of each in the results file, and its combination.
Cells = Sequence[tuple[int, Combination]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Cells that share one kernel, each with an id; and how to run them.

    ``arguments`` are pytest's, ``project`` is the folder that they are about.  ``deadline`` is each
    cell's, in seconds from its beginning, ``scenario`` each scenario's; ``boot`` is that from a
    machine's start to its first cell.  ``memory`` is a machine's, in MB; ``modules`` belongs to a
    kernel of one's own.
    """

    kernel: str
    cells: tuple[tuple[int, Combination], ...]
    arguments: tuple[str, ...]
    project: str
    deadline: float = 1800.0
    boot: float = 240.0
    scenario: float = 300.0
    memory: int = 1024
    modules: str | None = None


def combinations(
    kernels: Sequence[str], iproute2: Sequence[str], backends: Sequence[str]
) -> list[Combination]:
    """Each of ``kernels`` with each of ``iproute2`` and ``backends``, kernel by kernel.

    VxlabError where a list is empty, or names something twice, or a backend that there is not.
    """
    for what, names in (("kernel", kernels), ("iproute2", iproute2), ("backend", backends)):
        if not all(names) or not names:
            raise VxlabError(
                f"matrix: {what}: wanted names with commas between, found an empty one"
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise VxlabError(f"matrix: {what}: wanted each once, found {twice[0]} twice")
    for name in backends:
        if name not in apply.BACKENDS:
            wanted = ", ".join(apply.BACKENDS)
            raise VxlabError(f"matrix: backend: wanted one of {wanted}, found {name!r}")
    return [
        Combination(kernel, tool, backend)
        for kernel in kernels
        for tool in iproute2
        for backend in backends
    ]


def jobs_of(cells: Cells, template: Job, *, at_most: int | None = None) -> list[Job]:
    """The jobs of ``cells``: one for each kernel, or several of ``at_most`` so many cells.

    ``template`` has all else that they have in common.
    """
    by_kernel: dict[str, list[tuple[int, Combination]]] = {}
    for number, combination in cells:
        by_kernel.setdefault(combination.kernel, []).append((number, combination))
    return [
        replace(template, kernel=kernel, cells=tuple(each[start : start + (at_most or len(each))]))
        for kernel, each in by_kernel.items()
        for start in range(0, len(each), at_most or len(each))
    ]
