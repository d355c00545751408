"""The part of the pytest plugin that says how labs are built, and by which iproute2."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vxlab import apply, sandbox
from vxlab.errors import MissingProgram
from vxlab.plugin import places
from vxlab.system import programs, replacing
from vxlab.system.waiting import DEADLINE

if TYPE_CHECKING:
    from vxlab.describe.topology import Topology
    from vxlab.live.lab import Lab

#: What of iproute2 belongs to features of the kernel, beside the attribute of the same name.
_OBJECTS = {"vxlan.vnifilter": ["bridge.vni"], "vxlan-mdb": ["bridge.mdb"]}

_VERSION = pytest.StashKey[str]()


def add_options(parser: pytest.Parser) -> None:
    """Define ``--vxlab-backend`` and ``--iproute2``."""
    group = parser.getgroup("vxlab")
    group.addoption(
        "--vxlab-backend",
        choices=apply.BACKENDS,
        default=apply.BACKENDS[0],
        help="build labs by netlink requests (default), by `ip` and `bridge`, or by a shell script",
    )
    group.addoption(
        "--iproute2",
        metavar="DIR",
        type=places.named,
        help="take ip, bridge and the other programs of iproute2 from DIR, wherever they are run",
    )


def configure(config: pytest.Config) -> None:
    """Use the iproute2 that was asked for; for the hook ``pytest_configure``.

    UsageError where its folder has none that can be run.  Workers of pytest-xdist are told the
    folder's absolute path.
    """
    given: Path | None = config.getoption("iproute2")
    if given is None:
        return
    folder = config.invocation_params.dir / given
    config.option.iproute2 = folder
    if folder.resolve().is_relative_to("/run"):
        raise pytest.UsageError(
            f"--iproute2: wanted a folder that nodes can see, found {folder}: every sandbox and "
            "every node has a /run of its own; copy the programs elsewhere"
        )
    try:
        programs.use_iproute2(str(folder))
    except MissingProgram as error:
        raise pytest.UsageError(
            f"--iproute2: wanted a folder with the programs ip and bridge, found none at "
            f"{error.program}: give the folder that they were built or unpacked in"
        ) from error
    config.add_cleanup(lambda: programs.use_iproute2(None))
    _put_in_place(config, str(folder))
    for name in ("bridge", "ip"):
        config.stash[_VERSION] = _version(str(folder / name))


def _put_in_place(config: pytest.Config, folder: str) -> None:
    """Let whatever this run starts get the iproute2 of ``folder``, until its end."""
    undo = contextlib.ExitStack()
    config.add_cleanup(undo.close)
    undo.enter_context(replacing.first_in_path(folder))
    if sandbox.inside():  # not in the machine's own mounts
        try:
            undo.enter_context(replacing.mounted(folder))
        except OSError as error:
            raise pytest.UsageError(
                f"--iproute2: wanted the programs of {folder} in the place of the system's, found "
                f"{error.strerror}: copy them to another file system"
            ) from error


def _version(program: str) -> str:
    """What a program says of its version: ``ip utility, iproute2-6.1.0``; UsageError if nothing."""
    try:
        done = subprocess.run(
            [program, "-V"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
            check=False,
        )
        said, code = " ".join((done.stdout + done.stderr).split()), done.returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        said, code = str(error), 1
    if code:
        raise pytest.UsageError(f"wanted {program} to tell its version by -V, found: {said}")
    return said


def header(config: pytest.Config) -> list[str]:
    """What the report's head says of it: nothing where nothing was asked for."""
    backend, folder = config.getoption("vxlab_backend"), config.getoption("iproute2")
    if backend == apply.BACKENDS[0] and folder is None:
        return []
    place = f"in {folder}" if folder else "in PATH"
    try:
        version = config.stash.get(_VERSION, "") or _version(programs.find_program("ip"))
    except MissingProgram:
        version = "no ip"
    return [f"vxlab: labs are built by {backend}; {version}, {place}"]


def also_needed(config: pytest.Config, names: Iterable[str]) -> list[str]:
    """The features ``names``, and what iproute2 must know of them where it is to build labs."""
    wanted = list(names)
    if config.getoption("vxlab_backend") == apply.BACKENDS[0]:
        return wanted
    for name in tuple(wanted):
        kind, _, attribute = name.partition(".")
        wanted += [f"ip.{attribute}"] if kind == "vxlan" and attribute else []
        wanted += _OBJECTS.get(name, ())
    return list(dict.fromkeys(wanted))


def new_lab(config: pytest.Config, topology: Topology) -> Lab:
    """A lab that is built as asked for; not open yet."""
    from vxlab.live.lab import Lab

    return Lab(topology, backend=config.getoption("vxlab_backend"), recorder=True)
