"""Which target a job runs on, and what of the project goes there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.matrix.cancellation import Cancellation
from vxlab.matrix.job import HERE, Job
from vxlab.matrix.target import Target
from vxlab.vm.notify import Notify


def target_of(job: Job, archive: Path | None, cancellation: Cancellation, notify: Notify) -> Target:
    """What ``job`` is to be run on.

    ``archive`` is of :func:`packed_project`; ``cancellation`` ends what runs, ``notify`` is told
    what takes time.  VxlabError where the kernel or an iproute2 is not to be had.
    """
    if job.kernel == HERE:
        from vxlab.matrix.local_target import LocalTarget

        return LocalTarget(job, cancellation, notify)
    if archive is None:
        raise VxlabError(f"matrix: wanted the project packed for the kernel {job.kernel}")
    from vxlab.matrix.guest_target import GuestTarget

    return GuestTarget(job, archive, cancellation, notify)


@contextlib.contextmanager
def packed_project(kernels: Sequence[str], project: Path, notify: Notify) -> Iterator[Path | None]:
    """The folder ``project`` and vxlab as a tar for guests; None where no kernel is a guest's.

    ``kernels`` are the names of all that jobs are to run on, ``notify`` is told that it is packed.
    VxlabError where the project is too large.
    """
    if all(kernel == HERE for kernel in kernels):
        yield None
        return
    from vxlab.matrix.guest_target import JOB
    from vxlab.vm import project as packing
    from vxlab.vm.scratch import Scratch

    with Scratch() as scratch:
        notify("packing the project")
        tar = scratch.file()
        packing.pack(project, tar, [f"exec {packing.PYTHON} -m vxlab.matrix.run_cells {JOB}"])
        yield tar
