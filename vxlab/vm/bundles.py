"""An iproute2 of any version that runs anywhere: with its own libraries and its own loader.

A bundle holds the programs of a suite, or of a developer's build, with all that they need
(:mod:`~vxlab.vm.relocation`), so that host and guest can be of any age.  It stays where it was
made, and a guest has it at the same path (:func:`image`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.results.versions import version_key
from vxlab.system.programs import IPROUTE2
from vxlab.vm import cache, images, relocation
from vxlab.vm.notify import Notify, silent
from vxlab.vm.packages import SUITES, Suite

#: Where programs are in a tree: installed, or as iproute2's own build leaves them.
_PLACES = (".", "ip", "bridge", "tc", "misc", "sbin", "bin", "usr/sbin", "usr/bin")
_NEEDED = ("ip", "bridge")

#: Folders of programs that a guest has itself.
_OF_A_GUEST = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")


@dataclass(frozen=True, slots=True)
class Bundle:
    """An iproute2 to run: ``name`` as it was asked for, ``folder`` what ``--iproute2`` takes.

    ``version`` is the package's (``6.15.0-1``), which knows better than its programs: Debian's
    5.10 says of itself that it were 5.9.0.  Of a build of one's own it is what ``ip -V`` says.
    """

    name: str
    version: str
    folder: Path


def find(wanted: str, notify: Notify = silent) -> Bundle:
    """The bundle for what a person wrote: a version, or the path of a folder with one's own build.

    VxlabError where there is none, naming those that there are.
    """
    if re.fullmatch(r"\d+\.\d+(\.\d+)?", wanted):
        note = cache.key(wanted, str(_home()))
        found = cache.remember(
            "iproute2", note, lambda: _of_suite(*_lookup(wanted, notify), notify)
        )
        return _read(found, wanted)
    if "/" in wanted or (wanted and Path(wanted).is_dir()):
        return _read(_own(Path(wanted).absolute(), notify), wanted)
    raise VxlabError(
        "wanted an iproute2 like 6.15, or the path of a folder with ip and bridge, "
        f"found {wanted!r}"
    )


def in_command(
    words: Sequence[str], project: Path, notify: Notify = silent
) -> tuple[list[str], list[Bundle]]:
    """The bundles that a command names, and the command as it is to be run in a guest.

    Of its ``words`` those count that have the path of a bundle in them, and the values of
    ``--iproute2``: a folder of this machine, outside of ``project``, becomes a bundle.  ``notify``
    is told what takes time.  VxlabError for a folder that has no iproute2 in it.
    """
    found, changed = {}, list(words)
    for number, word in enumerate(words):
        option, _, value = word.rpartition("=")
        given = number and words[number - 1] == "--iproute2" and not option
        if (given or option == "--iproute2") and _is_elsewhere(value, project):
            bundle = _read(_own(Path(os.path.abspath(value)), notify), value)
            changed[number] = f"--iproute2={bundle.folder}" if option else str(bundle.folder)
            found[bundle.folder] = bundle
    home = cache.folder() / "iproute2"
    for path in re.findall(
        rf"{re.escape(str(home))}/([0-9a-f]{{16}})(?![\w.-])", "\n".join(changed)
    ):
        if (home / path / "version").is_file():
            found[home / path] = _read(home / path, path)
    return changed, list(found.values())


def _is_elsewhere(value: str, project: Path) -> bool:
    """Whether a word is a folder of this machine that a guest has not got."""
    path = Path(os.path.abspath(value))
    inside = not os.path.isabs(value) and path.is_relative_to(project.absolute())
    return path.is_dir() and not inside and str(path) not in _OF_A_GUEST


def offered(notify: Notify = silent) -> dict[str, str]:
    """Versions of iproute2 that the mirror has (``6.15.0``), oldest first: the suite of each."""
    return cache.noted("iproute2", lambda: _offered(notify))


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


def _offered(notify: Notify) -> dict[str, str]:
    def look(name: str) -> tuple[str, str]:
        try:
            return name, Suite(name, notify).fields("iproute2").get("Version", "")
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


def _lookup(wanted: str, notify: Notify) -> tuple[str, str]:
    versions = offered(notify)
    for version, suite in versions.items():
        if f"{version}.".startswith(f"{wanted}."):
            return wanted, suite
    known = ", ".join(versions)
    raise VxlabError(
        f"wanted iproute2 {wanted}, the mirror has {known}: "
        "give one of these, or the folder of a build of your own"
    )


def _of_suite(wanted: str, suite: str, notify: Notify) -> Path:
    """The bundle of a suite's iproute2; what backports lack is in the suite that they are for."""
    base = suite.removesuffix("-backports")
    files = Suite(base, notify).fetch_all(["iproute2"])
    if base != suite:
        files = [file for file in files if not file.name.startswith("iproute2_")]
        files += Suite(suite, notify).fetch("iproute2")
    (package,) = (file for file in files if file.name.startswith("iproute2_"))
    place = _home() / cache.key(*files, str(_home()))

    def make(folder: Path) -> None:
        notify(f"making a bundle of iproute2 {wanted}")
        tree = relocation.unpacked(files, folder)
        found = _programs(tree)
        _check(found, tree)
        relocation.fill(folder, place, found, relocation.libraries_in(found.values(), tree), notify)
        (folder / "version").write_text(package.name.split("_")[1].replace("%3a", ":") + "\n")
        shutil.rmtree(tree)

    return cache.keep("iproute2", place.name, make)


# --- one's own -------------------------------------------------------------------------------


def _own(given: Path, notify: Notify) -> Path:
    """The bundle of a developer's build, with the libraries that it has on this system."""
    if given.parent == _home() and (given / "version").is_file():
        return given  # it is one already
    if not given.is_dir():
        raise VxlabError(f"wanted a folder with ip and bridge, found no folder {given}")
    found = _programs(given)
    _check(found, given)
    version = _version(found["ip"])
    patchelf = relocation.patchelf_words(notify)
    libraries: dict[str, Path] = {}
    for each in found.values():
        loader = relocation.loader_of(patchelf, each)
        if loader is not None:
            libraries |= {
                **relocation.libraries_listed([str(loader), "--list"], each),
                loader.name: loader,
            }
    parts = [part for pair in sorted({**libraries, **found}.items()) for part in pair]
    place = _home() / cache.key(*parts, str(_home()))

    def make(folder: Path) -> None:
        notify(f"making a bundle of {given}")
        relocation.fill(folder, place, found, libraries, notify)
        (folder / "version").write_text(f"{version}\n")

    return cache.keep("iproute2", place.name, make)


def _version(ip: Path) -> str:
    done = relocation.run_program([str(ip), "-V"])
    said = " ".join((done.stdout + done.stderr).split())
    version = re.search(r"iproute2-([^\s,]+)", said)
    if done.returncode or not version:
        raise VxlabError(f"wanted {ip} to tell its version by -V, found: {said or 'not a word'}")
    return version.group(1)


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
