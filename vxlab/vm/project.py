"""The project as a guest sees it: what is in its folder, and vxlab itself.

In the guest the project is /work/project and vxlab /work/lib, which is on Python's path.  Both
arrive compiled where this Python and the guest's are the same version.  They are packed as they are
read: nothing is written but the archive.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import vxlab
from vxlab.errors import VxlabError
from vxlab.results.model import EXPENDABLE
from vxlab.sandbox import boot
from vxlab.vm import children, compiled, forkserver
from vxlab.vm.images import TOOLS, same_python

#: Where the project is in a guest, and where it leaves files that are to come back.
INSIDE, OUTPUT = "/work/project", "/out"
_LIBRARY = "/work/lib"

#: A Python that has imported already what it can, where the guest has one.
PYTHON = "/vxlab/python"

#: Runs a program whose output is no terminal; -I -S: it needs nothing, and starts at once.
_PIPED = f"exec python3 -I -S {_LIBRARY}/vxlab/vm/piped.py"

#: What is no part of a project that no version control describes.
_LEFT_OUT = {"__pycache__", "build", "dist", "node_modules"}

#: The most that a project may hold, in bytes: all of it goes into the guest's memory.
LARGEST = 256 << 20


def files_of(project: Path) -> list[Path]:
    """The files of a project, relative to it: what git would keep, or all that is not hidden.

    What has no content (pipes, sockets, devices) is left out, and so is what git knows and is
    gone; links are there, also those that lead to nothing.
    """
    return sorted(name for name in _names(project) if _has_content(project / name))


def _names(project: Path) -> Iterable[Path]:
    words = ["git", "-C", str(project), "ls-files", "-z", "-co", "--exclude-standard"]
    with contextlib.suppress(OSError):
        done = children.run(words, capture_output=True)
        if done.returncode == 0:
            listed = done.stdout.decode(errors="surrogateescape").split("\0")
            return [Path(name) for name in listed if name]
    return _walk(project)


def _walk(project: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(project):
        below[:] = [x for x in below if not x.startswith(".") and x not in _LEFT_OUT]
        below[:] = [x for x in below if not Path(folder, x, "pyvenv.cfg").exists()]
        links = [x for x in below if Path(folder, x).is_symlink()]
        names = [name for name in files if name[0] != "."] + links
        yield from (Path(folder, name).relative_to(project) for name in names)


def _has_content(path: Path) -> bool:
    return path.is_file() or path.is_symlink()


class _Archive:
    """A tar as guests get it, in which everything is root's."""

    def __init__(self, packed: tarfile.TarFile) -> None:
        self._packed = packed

    def folder(self, name: str) -> None:
        """Add an empty folder."""
        self._packed.addfile(_described(name, tarfile.DIRTYPE, 0o755))

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        """Add a file with a text in it."""
        data = text.encode(errors="surrogateescape")
        info = _described(name, tarfile.REGTYPE, mode)
        info.size = len(data)
        self._packed.addfile(info, io.BytesIO(data))

    def file(self, path: Path, name: str) -> None:
        """Add a file; of a link that leads to one its content, any other as it is."""
        if path.is_symlink() and not path.is_file():
            info = _described(name, tarfile.SYMTYPE, 0o777)
            info.linkname = os.readlink(path)
            self._packed.addfile(info)
            return
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            info = _described(name, tarfile.REGTYPE, found.st_mode & 0o7777)
            info.size, info.mtime = found.st_size, int(found.st_mtime)
            self._packed.addfile(info, file)

    def files(self, below: Path, names: Iterable[Path], inside: str) -> None:
        """Add the files ``names`` of the folder ``below``, and what Python makes of them.

        In the guest they are below ``inside``.  VxlabError for one that cannot be read.
        """
        for name in names:
            try:
                self.file(below / name, f"{inside}/{name}")
            except OSError as error:  # not readable, or cut short while it was read
                raise VxlabError(
                    f"wanted to pack {below / name}, found: {error.strerror or error}"
                ) from error
        if same_python():
            sources = [below / name for name in names if name.suffix == ".py"]
            for source, called, made in compiled.kept(sources):
                place = source.parent.relative_to(below)
                self.file(made, f"{inside}/{place}/__pycache__/{called}")


def _described(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(os.path.normpath(name.lstrip("/")))
    info.type, info.mode = kind, mode
    info.uname = info.gname = "root"
    return info


def _add_project(archive: _Archive, project: Path) -> None:
    files = files_of(project)
    size = sum((project / file).stat().st_size for file in files if (project / file).is_file())
    if size > LARGEST:
        raise VxlabError(
            f"wanted a project of at most {LARGEST >> 20} MB, found {size >> 20} MB in {project}: "
            "run it in the project's own folder"
        )
    archive.folder(INSIDE)
    archive.files(project, files, INSIDE)


def _add_library(archive: _Archive) -> None:
    """vxlab itself, and what makes pytest find its plugin."""
    package = Path(vxlab.__file__).parent
    files = [x.relative_to(package) for x in sorted(package.rglob("*")) if x.is_file()]
    files = [name for name in files if "__pycache__" not in name.parts]
    archive.files(package, files, f"{_LIBRARY}/vxlab")
    version = metadata.version("vxlab")
    about = f"{_LIBRARY}/vxlab-{version}.dist-info"
    archive.text(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: vxlab\nVersion: {version}\n")
    archive.text(f"{about}/entry_points.txt", "[pytest11]\nvxlab = vxlab.plugin.hooks\n")


#: pytest enters its sandbox at once; to do so it would start anew, and that takes seconds.
_PYTEST = (
    "import os, runpy; from vxlab import sandbox; sandbox.enter(keep=[os.getcwd()]); "
    "runpy.run_module('pytest', run_name='__main__', alter_sys=True)"
)


def _add_programs(archive: _Archive) -> None:
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
        archive.text(name, f"#!/bin/sh\n{text}\n", 0o755)


def pack_command(tar: Path, command: Iterable[str]) -> None:
    """Write the file ``tar`` for a guest without a project: lines of shell, and its programs."""
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as packed:
        archive = _Archive(packed)
        archive.folder(INSIDE)
        _add_programs(archive)
        archive.text("vxlab/command", "\n".join([*command, ""]))


def pack(
    project: Path,
    tar: Path,
    command: Iterable[str],
    environment: Mapping[str, str] | None = None,
    *,
    terminal: bool = True,
    tools: Path | None = None,
) -> None:
    """Write the file ``tar`` that a guest gets: the folder ``project``, vxlab, and its command.

    ``command`` are lines of shell, ``environment`` are variables for them beside vxlab's own.
    Their output is a terminal or not, as ``terminal`` says; ``tools`` is where the guest mounts its
    image of tools, if it has one.
    VxlabError where the project is too large, or a file of it cannot be read.
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
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT) as packed:
        archive = _Archive(packed)
        _add_project(archive, project)
        _add_library(archive)
        _add_programs(archive)
        text = "\n".join([*lines, f"cd {INSIDE}", *command, ""])
        archive.text("vxlab/command" if terminal else "vxlab/piped", text)
        if not terminal:
            archive.text("vxlab/command", f"{_PIPED} bash /vxlab/piped\n")
        if tools is not None:
            archive.text("vxlab/tools", str(tools))
