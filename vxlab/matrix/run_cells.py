"""What runs on a kernel: the scenarios once for each cell, all cells from one warm Python.

    python3 -m vxlab.matrix.run_cells JOB

JOB is a file with one object of JSON: ``arguments`` of pytest, the file ``reports``, and ``cells``,
each with a ``cell`` (its id), a ``backend``, the folder of its ``iproute2`` ('' for the one in
PATH), and the node ids of tests not to be run, since they were ``seen``.  To the reports of
:mod:`vxlab.plugin.reports` it adds one before and one after those of a cell
(:mod:`vxlab.matrix.reports`).

Under emulation most of the time goes into importing, and into collecting the tests.  So this
program does both once, and forks for each cell.
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from vxlab import sandbox
from vxlab.matrix.reports import PytestEnded, PytestStarted, encode
from vxlab.vm import forkserver

#: Bytes below which a file system counts as full.
_NOTHING = 1 << 16

#: So much of what pytest said is reported, in bytes.
_SAID = 4000

#: pytest is run by a program that has imported what it would have rewritten; scenarios it has not.
_QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "--color=no")

#: What scenarios import while they run.
_MODULES = (
    *forkserver.PACKAGES,
    "vxlab.observe.capture",
    "vxlab.live.lab",
    "vxlab.explain.failure_report",
    "vxlab.explain.diagnosis",
    "vxlab.observe.state",
    "vxlab.live.testinfra",
)


def main(path: str) -> int:
    """Run the cells of a job, in a sandbox; 1 where a disk is full, and cells are left."""
    if not sandbox.inside():
        sandbox.enter(keep=[os.getcwd()])
    job = json.loads(Path(path).read_text())
    with open(job["reports"], "a", encoding="utf-8") as reports:
        _warm_up(job["arguments"])
        if len(job["cells"]) > 1:  # a lone one finds out what it needs, and no more
            _probe()
        gc.collect()
        gc.freeze()  # what all cells share is not looked through again in each
        gc.set_threshold(50_000, 20, 20)  # and what they make is not looked through so often
        for cell in job["cells"]:
            if _run_cell(job, cell, reports).full:
                return 1
    return 0


def _run_cell(job: Mapping[str, Any], cell: Mapping[str, Any], reports: IO[str]) -> PytestEnded:
    _write(reports, PytestStarted(cell["cell"], _tools(cell["iproute2"])))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as seen:
        json.dump(cell["seen"], seen)
        seen.flush()
        options = _options(cell, job["reports"])
        arguments = [*job["arguments"], *options, f"--vxlab-seen={seen.name}"]
        code, said = _forked(arguments)
    ended = PytestEnded(cell=cell["cell"], code=code, full=_full(), said=said)
    _write(reports, ended)
    return ended


def _write(reports: IO[str], report: PytestStarted | PytestEnded) -> None:
    reports.write(json.dumps(encode(report)) + "\n")
    reports.flush()


def _options(cell: Mapping[str, Any], reports: str) -> list[str]:
    options = [f"--vxlab-backend={cell['backend']}", f"--vxlab-reports={reports}"]
    return options + ([f"--iproute2={cell['iproute2']}"] if cell["iproute2"] else [])


def _warm_up(arguments: Sequence[str]) -> None:
    """Import what scenarios will need, and the scenarios."""
    import importlib

    import pytest

    for name in _MODULES:
        importlib.import_module(name)
    pytest.main([*_QUIET, *arguments, "--collect-only", "-q", "-q"])


def _probe() -> None:
    """Find out what the kernel can do, once for all cells."""
    from vxlab import features
    from vxlab.features import attributes, kernel

    features.survey(check.name for check in (*kernel.CHECKS, *attributes.CHECKS))


def _forked(arguments: Sequence[str]) -> tuple[int, str]:
    """Run pytest in a process and namespaces of its own.

    Its exit code, 128 + N for a signal, and the end of what it said.
    """
    sys.stdout.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(read)
        os.close(write)
        _pytest(arguments)
    os.close(write)
    said = _heard(read, child)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return (code if code >= 0 else 128 - code), said.decode(errors="replace")


def _heard(pipe: int, child: int) -> bytes:
    """Hand on what comes until the child ends; others may hold the pipe open.  The end of it."""
    ended = os.pidfd_open(child)
    said = b""
    while pipe in select.select([pipe, ended], [], [])[0]:
        data = os.read(pipe, 1 << 16)
        if not data:  # it has closed its output
            break
        os.write(1, data)
        said = (said + data)[-_SAID:]
    os.close(ended)
    os.close(pipe)
    return said


def _pytest(arguments: Sequence[str]) -> NoReturn:
    """Be pytest, in namespaces of its own."""
    code = 70  # sysexits.h: an internal error
    try:
        import pytest

        sandbox.isolate_worker(keep=[os.getcwd()])
        code = int(pytest.main([*_QUIET, *arguments]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tools(iproute2: str) -> dict[str, str]:
    """What the programs of a cell say of their versions, and the Python that runs it."""
    from vxlab.system.programs import find_program

    found = {"python": sys.version.split()[0]}
    for name in ("ip", "bridge"):
        program = os.path.join(iproute2, name) if iproute2 else find_program(name)
        done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).strip()
        version = re.search(r"utility, (?:iproute2-)?([\w.+~-]+)", said)
        found[name] = version[1] if version else said
    return found


def _full() -> tuple[str, ...]:
    """The folders that nothing can be written to any more."""
    folders = dict.fromkeys(("/", "/tmp", os.environ.get("TMPDIR", "/tmp"), "/dev/shm"))
    full = []
    for folder in folders:
        found = os.statvfs(folder)
        if found.f_blocks and found.f_bavail * found.f_frsize < _NOTHING:
            full.append(folder)
    return tuple(full)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
