"""The file that :mod:`vxlab.matrix.run_cells` reads, and the iproute2 that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vxlab.matrix.job import SYSTEM, Cells, Job
from vxlab.matrix.target import Seen
from vxlab.vm.notify import Notify

if TYPE_CHECKING:
    from vxlab.vm.bundles import Bundle


def bundles_of(job: Job, notify: Notify) -> dict[str, Bundle]:
    """The iproute2 of a job's cells, by its name; the system's own is none of them.

    VxlabError where one is not to be had.
    """
    from vxlab.vm import bundles

    names = dict.fromkeys(each.iproute2 for _, each in job.cells if each.iproute2 != SYSTEM)
    return {name: bundles.find(name, notify) for name in names}


def job_text(
    job: Job, cells: Cells, *, seen: Seen, bundles: Mapping[str, Bundle], reports: str
) -> str:
    """The text of the file.

    ``job`` is what the ``cells`` are of, ``seen`` the scenarios that they do not run, ``bundles``
    the iproute2 of each name, ``reports`` the file that reports are written to.
    """
    listed = [
        {
            "cell": number,
            "backend": each.backend,
            "iproute2": str(bundles[each.iproute2].folder) if each.iproute2 != SYSTEM else "",
            "seen": list(seen.get(number, ())),
        }
        for number, each in cells
    ]
    arguments = [*job.arguments, "-p", "no:cacheprovider"]
    return json.dumps({"arguments": arguments, "reports": reports, "cells": listed})
