"""An iproute2 of any version that runs anywhere: with its own libraries and its own loader.

The programs of a suite want that suite's libc.  A bundle holds them with all that they need, and
patchelf has told each program where, so that host and guest can be of any age.  The paths are
absolute, for $ORIGIN takes a /proc that nodes need not have: a bundle stays where it was made, and
a guest has it at the same path (:func:`image`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.results.versions import version_key
from vxlab.system.programs import IPROUTE2
from vxlab.vm import cache, images
from vxlab.vm.packages import SUITES, Say, Suite, silent, unpack

#: The suite that patchelf is taken from.
_PATCHELF = "bookworm"

_LOADER = "ld-linux-x86-64.so.2"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"  # Debian's libraries, in a tree
#: What glibc up to 2.33 loads by itself when a program asks for the name of a user or a service.
_LOADED_LATER = ("libnss_files.so.2",)

#: Where programs are in a tree: installed, or as iproute2's own build leaves them.
_PLACES = (".", "ip", "bridge", "tc", "misc", "sbin", "bin", "usr/sbin", "usr/bin")
_NEEDED = ("ip", "bridge")


@dataclass(frozen=True, slots=True)
class Bundle:
    """An iproute2 to run: ``name`` as it was asked for, ``folder`` what ``--iproute2`` takes.

    ``version`` is the package's (``6.15.0-1``), which knows better than its programs: Debian's
    5.10 says of itself that it were 5.9.0.  Of a build of one's own it is what ``ip -V`` says.
    """

    name: str
    version: str
    folder: Path


def find(wanted: str, say: Say = silent) -> Bundle:
    """The bundle for what a person wrote: a version, or the path of a folder with one's own build.

    VxlabError where there is none, naming those that there are.
    """
    if re.fullmatch(r"\d+\.\d+(\.\d+)?", wanted):
        note = cache.key(wanted, str(_home()))
        found = cache.remember("iproute2", note, lambda: _of_suite(*_lookup(wanted, say), say))
        return _read(found, wanted)
    if "/" in wanted or (wanted and Path(wanted).is_dir()):
        return _read(_own(Path(wanted).absolute(), say), wanted)
    raise VxlabError(
        "wanted an iproute2 like 6.15, or the path of a folder with ip and bridge, "
        f"found {wanted!r}"
    )


def offered(say: Say = silent) -> dict[str, str]:
    """Versions of iproute2 that the mirror has (``6.15.0``), oldest first: the suite of each."""
    return cache.noted("iproute2", lambda: _offered(say))


def image(bundles: Sequence[Bundle]) -> tuple[Path, Path]:
    """A read-only image that holds several bundles, and where a guest must mount it.

    VxlabError for none, or one that is not in the cache.
    """
    if not bundles:
        raise VxlabError("wanted bundles of iproute2 for an image, found none")
    folders = sorted({each.folder for each in bundles})
    home = _home()
    for folder in folders:
        if folder.parent != home or not folder.is_dir():
            raise VxlabError(f"wanted a bundle in {home}, found {folder}: ask vxlab for it again")

    def make(place: Path) -> None:
        tree = place / "tree"
        for folder in folders:
            shutil.copytree(folder, tree / folder.name, symlinks=True)
        images.ext4(tree, place / "tools.ext4", spare=1)
        shutil.rmtree(tree)

    name = "image-" + cache.key([folder.name for folder in folders])
    return cache.keep("iproute2", name, make) / "tools.ext4", home


def _home() -> Path:
    return cache.part("iproute2")


def _read(folder: Path, name: str) -> Bundle:
    return Bundle(name, (folder / "version").read_text().strip(), folder)


# --- from the mirror -------------------------------------------------------------------------


def _offered(say: Say) -> dict[str, str]:
    def look(name: str) -> tuple[str, str]:
        try:
            return name, Suite(name, say).fields("iproute2").get("Version", "")
        except VxlabError:  # this mirror has no such suite
            return name, ""

    found: dict[str, str] = {}
    with ThreadPoolExecutor(len(SUITES)) as pool:
        for suite, version in pool.map(look, SUITES):
            if version:
                found.setdefault(re.split(r"[-+~]", version)[0], suite)
    if not found:
        raise VxlabError("wanted versions of iproute2, found none in any suite of the mirror")
    return {version: found[version] for version in sorted(found, key=version_key)}


def _lookup(wanted: str, say: Say) -> tuple[str, str]:
    versions = offered(say)
    for version, suite in versions.items():
        if f"{version}.".startswith(f"{wanted}."):
            return wanted, suite
    known = ", ".join(versions)
    raise VxlabError(
        f"wanted iproute2 {wanted}, the mirror has {known}: "
        "give one of these, or the folder of a build of your own"
    )


def _of_suite(wanted: str, suite: str, say: Say) -> Path:
    """The bundle of a suite's iproute2; what backports lack is in the suite that they are for."""
    base = suite.removesuffix("-backports")
    files = Suite(base, say).fetch_all(["iproute2"])
    if base != suite:
        files = [file for file in files if not file.name.startswith("iproute2_")]
        files += Suite(suite, say).fetch("iproute2")
    (package,) = (file for file in files if file.name.startswith("iproute2_"))
    place = _home() / cache.key(*files, str(_home()))

    def make(folder: Path) -> None:
        say(f"making a bundle of iproute2 {wanted}")
        tree = _unpacked(files, folder)
        found = _programs(tree)
        _check(found, tree)
        _fill(folder, place, found, _of_tree(found.values(), tree), say)
        (folder / "version").write_text(package.name.split("_")[1].replace("%3a", ":") + "\n")
        shutil.rmtree(tree)

    return cache.keep("iproute2", place.name, make)


def _unpacked(files: Iterable[Path], folder: Path) -> Path:
    """A tree of packages, none of whose links leads out of it, as Debian's /sbin/ip would."""
    tree = folder / "tree"
    tree.mkdir()
    unpack(files, tree)
    for path in tree.rglob("*"):
        if path.is_symlink() and (target := os.readlink(path)).startswith("/"):
            path.unlink()
            path.symlink_to(os.path.relpath(tree / target.lstrip("/"), path.parent))
    return tree


def _of_tree(programs: Iterable[Path], tree: Path) -> dict[str, Path]:
    """The libraries of programs of an unpacked suite, loader included, by name."""
    place = tree / _LIBRARIES
    loader = place / _LOADER
    words = [str(loader), "--inhibit-cache", "--library-path", str(place), "--list"]
    found = {_LOADER: loader}
    for each in programs:
        for name, path in _listed(words, each).items():
            if not path.is_relative_to(tree):  # one of this system's: it would not fit
                raise VxlabError(
                    f"wanted the library {name} of {each.name} among the packages of its suite, "
                    "found none there"
                )
            found[name] = path
    return found


# --- one's own -------------------------------------------------------------------------------


def _own(given: Path, say: Say) -> Path:
    """The bundle of a developer's build, with the libraries that it has on this system."""
    if given.parent == _home() and (given / "version").is_file():
        return given  # it is one already
    if not given.is_dir():
        raise VxlabError(f"wanted a folder with ip and bridge, found no folder {given}")
    found = _programs(given)
    _check(found, given)
    version = _version(found["ip"])
    patchelf = _patchelf(say)
    libraries: dict[str, Path] = {}
    for each in found.values():
        loader = _loader(patchelf, each)
        if loader is not None:
            libraries |= {**_listed([str(loader), "--list"], each), loader.name: loader}
    parts = [part for pair in sorted({**libraries, **found}.items()) for part in pair]
    place = _home() / cache.key(*parts, str(_home()))

    def make(folder: Path) -> None:
        say(f"making a bundle of {given}")
        _fill(folder, place, found, libraries, say)
        (folder / "version").write_text(f"{version}\n")

    return cache.keep("iproute2", place.name, make)


def _loader(patchelf: Sequence[str], file: Path) -> Path | None:
    """The loader that a program asks for; None where it is static and needs none."""
    done = _run([*patchelf, "--print-interpreter", str(file)])
    if done.returncode and "statically linked" not in done.stderr:
        raise VxlabError(
            f"wanted {file} to be a program as compilers write them, found: {done.stderr.strip()}: "
            "give the folder of the programs themselves, not of scripts that run them"
        )
    return None if done.returncode else Path(done.stdout.strip())


def _version(ip: Path) -> str:
    done = _run([str(ip), "-V"])
    said = " ".join((done.stdout + done.stderr).split())
    told = re.search(r"iproute2-([^\s,]+)", said)
    if done.returncode or not told:
        raise VxlabError(f"wanted {ip} to tell its version by -V, found: {said or 'not a word'}")
    return told.group(1)


# --- what both have in common ----------------------------------------------------------------


def _programs(tree: Path) -> dict[str, Path]:
    """The programs of iproute2 that a tree has, by name."""
    found = {}
    for name in IPROUTE2:
        for place in _PLACES:
            path = tree / place / name
            if path.is_file() and os.access(path, os.X_OK):
                found[name] = path
                break
    return found


def _check(found: Mapping[str, Path], tree: Path) -> None:
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise VxlabError(
            f"wanted {' and '.join(_NEEDED)} in {tree} or below (ip/, bridge/, sbin/, usr/sbin/), "
            f"found no {' and no '.join(missing)} that can be run: build iproute2 first"
        )


def _listed(words: Sequence[str], file: Path) -> dict[str, Path]:
    """The libraries that a loader finds for a program, by name."""
    done = _run([*words, str(file)])
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


def _fill(
    folder: Path,
    place: Path,
    programs: Mapping[str, Path],
    libraries: Mapping[str, Path],
    say: Say,
) -> None:
    """Put programs and libraries into ``folder``, which will be at ``place``."""
    (folder / "lib").mkdir()
    for name, path in {**_loaded_later(libraries), **libraries}.items():
        _copy(path, folder / "lib" / name)
    patchelf = _patchelf(say)
    loader = next((name for name in libraries if name.startswith("ld-")), "")
    # DT_RPATH goes before LD_LIBRARY_PATH, and holds for what libraries need as well, unless they
    # have paths of their own; DT_RUNPATH, which patchelf would set, does not
    words = ["--set-interpreter", str(place / "lib" / loader)]
    words += ["--force-rpath", "--set-rpath", str(place / "lib")]
    for name, path in programs.items():
        _copy(path, folder / name)
        if _loader(patchelf, path) is not None:
            _tell(patchelf, *words, folder / name)
    for name in libraries:
        if name != loader and _tell(patchelf, "--print-rpath", folder / "lib" / name):
            _tell(patchelf, "--remove-rpath", folder / "lib" / name)


def _loaded_later(libraries: Mapping[str, Path]) -> dict[str, Path]:
    """Libraries beside a libc that it may load by itself."""
    if "libc.so.6" not in libraries:
        return {}
    place = libraries["libc.so.6"].parent
    return {name: place / name for name in _LOADED_LATER if (place / name).exists()}


def _copy(path: Path, to: Path) -> None:
    shutil.copy(path, to)
    to.chmod(0o755)


def _patchelf(say: Say) -> list[str]:
    """The words that run patchelf, by a loader and libraries of its own."""

    def fetch() -> Path:
        files = Suite(_PATCHELF, say).fetch_all(["patchelf"])

        def make(folder: Path) -> None:
            tree = _unpacked(files, folder)
            found = tree / "usr/bin/patchelf"
            for name, path in {**_of_tree([found], tree), "patchelf": found}.items():
                _copy(path, folder / name)
            shutil.rmtree(tree)

        return cache.keep("iproute2", "patchelf-" + cache.key(*files), make)

    kept = cache.remember("iproute2", "patchelf", fetch)
    return [str(kept / _LOADER), "--library-path", str(kept), str(kept / "patchelf")]


def _tell(patchelf: Sequence[str], *words: str | Path) -> str:
    done = _run([*patchelf, *map(str, words)])
    if done.returncode:
        raise VxlabError(
            f"`patchelf {words[0]}` of {words[-1]} ended with {done.returncode}: "
            f"{done.stderr.strip()}"
        )
    return done.stdout.strip()


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except OSError as error:  # a program of another architecture, or none at all
        raise VxlabError(f"{words[0]} cannot be run: {error}") from error
