"""The project as a guest sees it: what is in its folder, and vxlab itself.

In the guest the project is /work/project and vxlab /work/lib, which is on Python's path.  Both
arrive compiled where this Python and the guest's are the same version.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import vxlab
from vxlab.errors import VxlabError
from vxlab.results.model import EXPENDABLE
from vxlab.sandbox import boot
from vxlab.vm import compiled, forkserver
from vxlab.vm.images import TOOLS, same_python

#: Where the project is in a guest, and where it leaves files that are to come back.
INSIDE, OUTPUT = "/work/project", "/out"
_LIBRARY = "/work/lib"

#: A Python that has imported already what it can, where the guest has one.
PYTHON = "/vxlab/python"

#: What is no part of a project that no version control describes.
_LEFT_OUT = {"__pycache__", "build", "dist", "node_modules"}

#: The most that a project may hold, in bytes: all of it goes into the guest's memory.
LARGEST = 256 << 20


def files_of(project: Path) -> list[Path]:
    """The files of a project, relative to it: what git would keep, or all that is not hidden."""
    words = ["git", "-C", str(project), "ls-files", "-z", "-co", "--exclude-standard"]
    with contextlib.suppress(OSError):
        done = subprocess.run(words, capture_output=True, check=False)
        if done.returncode == 0:
            names = filter(None, done.stdout.decode(errors="surrogateescape").split("\0"))
            return sorted(Path(name) for name in names if (project / name).is_file())
    return sorted(_walk(project))


def _walk(project: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(project):
        below[:] = [x for x in below if not x.startswith(".") and x not in _LEFT_OUT]
        below[:] = [x for x in below if not Path(folder, x, "pyvenv.cfg").exists()]
        yield from (Path(folder, name).relative_to(project) for name in files if name[0] != ".")


def stage(project: Path, folder: Path) -> None:
    """Put the project and vxlab into ``folder``, as they will be in the guest below /."""
    files = files_of(project)
    size = sum((project / file).stat().st_size for file in files)
    if size > LARGEST:
        raise VxlabError(
            f"wanted a project of at most {LARGEST >> 20} MB, found {size >> 20} MB in {project}: "
            "run it in the project's own folder"
        )
    inside = folder / INSIDE.lstrip("/")
    inside.mkdir(parents=True)
    for file in files:
        (inside / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project / file, inside / file)
    library = folder / _LIBRARY.lstrip("/")
    shutil.copytree(
        Path(vxlab.__file__).parent,
        library / "vxlab",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    _describe(library)
    _programs(folder)
    if same_python():
        compiled.add(sorted(folder.rglob("*.py")))


def _describe(library: Path) -> None:
    """What makes pytest find vxlab's plugin."""
    version = metadata.version("vxlab")
    about = library / f"vxlab-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vxlab\nVersion: {version}\n")
    (about / "entry_points.txt").write_text("[pytest11]\nvxlab = vxlab.plugin.hooks\n")


#: pytest enters its sandbox at once; to do so it would start anew, and that takes seconds.
_PYTEST = (
    "import os, runpy; from vxlab import sandbox; sandbox.enter(keep=[os.getcwd()]); "
    "runpy.run_module('pytest', run_name='__main__', alter_sys=True)"
)


def _programs(folder: Path) -> None:
    """What would have been installed.  -P: nothing in the project hides what is installed."""
    plain = f'exec {PYTHON} -m pytest "$@"'
    scripts = {
        PYTHON: f'[ -S {forkserver.PLACE} ] && exec python3 -I -S /vxlab/forkserver.py run "$@"\n'
        'exec python3 -P "$@"',
        "/usr/local/bin/pytest": f'case " $* " in *" --no-sandbox "*) {plain} ;; esac\n'
        f'exec {PYTHON} -c {shlex.quote(_PYTEST)} "$@"',
        "/usr/local/bin/vxlab": f'exec {PYTHON} -m vxlab "$@"',
    }
    for name, text in scripts.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


def pack(
    project: Path, tar: Path, command: Iterable[str], environment: Mapping[str, str] | None = None
) -> None:
    """Write the file ``tar`` that a guest gets: the folder ``project``, vxlab, and its command.

    ``command`` are lines of shell, ``environment`` are variables for them beside vxlab's own.
    VxlabError where the project is too large.
    """
    exports = {
        "PYTHONPATH": _LIBRARY,
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOGNAME": "root",
        "USER": "root",
        "VXLAB_TOOLS": TOOLS,
        "VXLAB_OUTPUT": OUTPUT,
        "VXLAB_REPORTS": forkserver.REPORTS,
        boot.USERNS: "no",
        EXPENDABLE: "yes",
        **(environment or {}),
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    with tempfile.TemporaryDirectory(prefix="vxlab-pack-") as temporary:
        folder = Path(temporary)
        stage(project, folder)
        (folder / "vxlab/command").write_text("\n".join([*lines, f"cd {INSIDE}", *command, ""]))
        with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as packed:
            for name in sorted(os.listdir(folder)):
                packed.add(folder / name, name, filter=_as_root)


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info
