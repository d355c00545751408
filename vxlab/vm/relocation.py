"""Programs with their own libraries and their own loader, which run on a system of any age.

The programs of a suite want that suite's libc.  They are put into one folder with all that they
need, and patchelf tells each program where.  The paths are absolute, for $ORIGIN takes a /proc that
nodes need not have: the folder stays where it was made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.vm import cache, children
from vxlab.vm.notify import Notify
from vxlab.vm.packages import Suite, unpack

#: The suite that patchelf is taken from.
_PATCHELF = "bookworm"

_LOADER = "ld-linux-x86-64.so.2"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"  # Debian's libraries, in a tree
#: What glibc up to 2.33 loads by itself when a program asks for the name of a user or a service.
_LOADED_LATER = ("libnss_files.so.2",)


def unpacked(files: Iterable[Path], folder: Path) -> Path:
    """A tree of packages below ``folder``, none of whose links leads out of it.

    Debian's /sbin/ip would.
    """
    tree = folder / "tree"
    tree.mkdir()
    unpack(files, tree)
    for path in tree.rglob("*"):
        if path.is_symlink() and (target := os.readlink(path)).startswith("/"):
            path.unlink()
            path.symlink_to(os.path.relpath(tree / target.lstrip("/"), path.parent))
    return tree


def libraries_in(programs: Iterable[Path], tree: Path) -> dict[str, Path]:
    """The libraries of programs of an unpacked suite, loader included, by name."""
    place = tree / _LIBRARIES
    loader = place / _LOADER
    words = [str(loader), "--inhibit-cache", "--library-path", str(place), "--list"]
    found = {_LOADER: loader}
    for each in programs:
        for name, path in libraries_listed(words, each).items():
            if not path.is_relative_to(tree):  # one of this system's: it would not fit
                raise VxlabError(
                    f"wanted the library {name} of {each.name} among the packages of its suite, "
                    "found none there"
                )
            found[name] = path
    return found


def libraries_listed(words: Sequence[str], file: Path) -> dict[str, Path]:
    """The libraries that a loader finds for a program, by name."""
    done = run_program([*words, str(file)])
    found: dict[str, Path] = {}
    for line in done.stdout.splitlines():
        if line.endswith("not found"):
            raise VxlabError(
                f"wanted the library {line.split()[0]} of {file}, found none: install it"
            )
        name, arrow, path = line.rpartition(" (0x")[0].strip().partition(" => ")
        if arrow or name.startswith("/"):  # not the kernel's own, linux-vdso.so.1
            found[os.path.basename(name)] = Path(path or name)
    if done.returncode or not found:
        said = (done.stderr or done.stdout).strip() or "not a word"
        raise VxlabError(f"wanted the libraries of {file}, found: {said}")
    return found


def loader_of(patchelf: Sequence[str], file: Path) -> Path | None:
    """The loader that a program asks for; None where it is static and needs none."""
    done = run_program([*patchelf, "--print-interpreter", str(file)])
    if done.returncode and "statically linked" not in done.stderr:
        raise VxlabError(
            f"wanted {file} to be a program as compilers write them, found: {done.stderr.strip()}: "
            "give the folder of the programs themselves, not of scripts that run them"
        )
    return None if done.returncode else Path(done.stdout.strip())


def fill(
    folder: Path,
    place: Path,
    programs: Mapping[str, Path],
    libraries: Mapping[str, Path],
    notify: Notify,
) -> None:
    """Put programs and libraries into a folder, so that each finds what it needs there.

    ``folder`` is where they are written, ``place`` where that folder will be; ``programs`` and
    ``libraries`` are files by the names that they get there.  ``notify`` is told where patchelf has
    to be fetched first.  VxlabError where it fails.
    """
    (folder / "lib").mkdir()
    for name, path in {**_loaded_later(libraries), **libraries}.items():
        _copy(path, folder / "lib" / name)
    patchelf = patchelf_words(notify)
    loader = next((name for name in libraries if name.startswith("ld-")), "")
    # DT_RPATH goes before LD_LIBRARY_PATH, and holds for what libraries need as well, unless they
    # have paths of their own; DT_RUNPATH, which patchelf would set, does not
    words = ["--set-interpreter", str(place / "lib" / loader)]
    words += ["--force-rpath", "--set-rpath", str(place / "lib")]
    for name, path in programs.items():
        _copy(path, folder / name)
        if loader_of(patchelf, path) is not None:
            _run_patchelf(patchelf, *words, folder / name)
    for name in libraries:
        if name != loader and _run_patchelf(patchelf, "--print-rpath", folder / "lib" / name):
            _run_patchelf(patchelf, "--remove-rpath", folder / "lib" / name)


def _loaded_later(libraries: Mapping[str, Path]) -> dict[str, Path]:
    """Libraries beside a libc that it may load by itself."""
    if "libc.so.6" not in libraries:
        return {}
    place = libraries["libc.so.6"].parent
    return {name: place / name for name in _LOADED_LATER if (place / name).exists()}


def _copy(path: Path, to: Path) -> None:
    shutil.copy(path, to)
    to.chmod(0o755)


def patchelf_words(notify: Notify) -> list[str]:
    """The words that run patchelf, by a loader and libraries of its own."""

    def fetch() -> Path:
        files = Suite(_PATCHELF, notify).fetch_all(["patchelf"])

        def make(folder: Path) -> None:
            tree = unpacked(files, folder)
            found = tree / "usr/bin/patchelf"
            for name, path in {**libraries_in([found], tree), "patchelf": found}.items():
                _copy(path, folder / name)
            shutil.rmtree(tree)

        return cache.keep("iproute2", "patchelf-" + cache.key(*files), make)

    kept = cache.remember("iproute2", "patchelf", fetch)
    return [str(kept / _LOADER), "--library-path", str(kept), str(kept / "patchelf")]


def _run_patchelf(patchelf: Sequence[str], *words: str | Path) -> str:
    done = run_program([*patchelf, *map(str, words)])
    if done.returncode:
        raise VxlabError(
            f"`patchelf {words[0]}` of {words[-1]} ended with {done.returncode}: "
            f"{done.stderr.strip()}"
        )
    return done.stdout.strip()


def run_program(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program, in no language but English; VxlabError where it cannot be run at all."""
    try:
        return children.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:  # a program of another architecture, or none at all
        raise VxlabError(f"{words[0]} cannot be run: {error}") from error
