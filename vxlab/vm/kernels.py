"""A kernel for a virtual machine: by its version, from a package, or a developer's own.

Debian's ``cloud`` flavour is taken: small, quick to boot, and all that vxlab needs are modules.
Layouts differ: up to 6.1 ``boot/vmlinuz-REL`` and ``lib/modules/REL``; later ``usr/lib/modules``
with ``.ko.xz``; from 7.2 on the image package is empty, and ``linux-binary-REL`` and
``linux-modules-REL``, which it depends on, hold it.
"""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.results.versions import version_key
from vxlab.vm import cache, children
from vxlab.vm.notify import Notify, silent
from vxlab.vm.packages import SUITES, Suite, architecture, program, unpack

_META = "linux-image-cloud-amd64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel, unpacked: ``name`` as it was asked for, ``release`` as ``uname -r`` says.

    ``modules`` is a folder with ``modules.dep``, None where there is none; ``config`` the text of
    its configuration, empty where it is not known.
    """

    name: str
    release: str
    image: Path
    modules: Path | None
    config: str = ""


def find(wanted: str, *, modules: Path | None = None, notify: Notify = silent) -> Kernel:
    """The kernel that is ``wanted``: a version, the path of a .deb or of a bzImage.

    ``modules`` is the folder with the modules of a bzImage (``lib/modules/REL``); ``notify`` is
    told what takes time. VxlabError where there is none, naming those that there are.
    """
    architecture()
    path = Path(wanted)
    if path.suffix == ".deb":
        return _read(_unpacked([_existing(path)], wanted, notify), wanted)
    if "/" in wanted or path.is_file():
        return _own(_existing(path), modules)
    if modules is not None:
        raise VxlabError(f"--modules goes with a bzImage of your own, found the kernel {wanted!r}")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", wanted):
        raise VxlabError(
            f"wanted a kernel like 6.12, a .deb, or the path of a bzImage, found {wanted!r}"
        )
    folder = cache.remember(
        "kernels",
        wanted,
        lambda: _unpacked(_files(*_lookup(wanted, notify), notify), wanted, notify),
    )
    return _read(folder, wanted)


def any_kept() -> Kernel | None:
    """Some kernel that is unpacked already."""
    for image in sorted(cache.part("kernels").glob("*/vmlinuz")):
        return _read(image.parent, "any")
    return None


def offered(notify: Notify = silent, *, now: bool = False) -> dict[str, tuple[str, str]]:
    """Kernel versions that the mirror has, with the suite and the package of each.

    What was found last is taken where it is fresh, unless ``now``.
    """
    found = cache.noted("kernels", lambda: _offered(notify), now=now)
    return {version: (suite, package) for version, (suite, package) in found.items()}


def _offered(notify: Notify) -> dict[str, tuple[str, str]]:
    refused: list[VxlabError] = []

    def look(name: str) -> tuple[Suite, dict[str, str]] | None:
        suite = Suite(name, notify)
        try:
            return suite, suite.fields(_META)
        except VxlabError as error:  # this mirror has no such suite, or there is no network
            refused.append(error)
            return None

    found: dict[str, tuple[str, str]] = {}
    with ThreadPoolExecutor(len(SUITES)) as pool:
        looked = list(pool.map(look, SUITES))
    for suite, fields in filter(None, looked):
        release = re.search(r"\blinux-image-(\d\S*)", fields.get("Depends", ""))
        if release:
            version = re.split(r"[-+~]", fields["Version"])[0]
            found.setdefault(version, (suite.name, release.group(0)))
    if not found:
        why = f": {refused[0]}" if refused else ""
        raise VxlabError(f"wanted kernels, found none in any suite of the mirror{why}")
    return found


def _lookup(wanted: str, notify: Notify) -> tuple[str, str]:
    kernels: dict[str, tuple[str, str]] = {}
    for now in (False, True):  # it may be newer than what was found last
        kernels = offered(notify, now=now)
        for version, place in kernels.items():
            if f"{version}.".startswith(f"{wanted}."):
                return place
    known = ", ".join(sorted(kernels, key=version_key))
    raise VxlabError(f"wanted the kernel {wanted}, the mirror has {known}: choose one of them")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise VxlabError(f"wanted a kernel, found no file {path}")
    return path.absolute()


def _files(name: str, package: str, notify: Notify) -> list[Path]:
    """A kernel's package, and those that hold the rest of it."""
    suite = Suite(name, notify)
    fields = suite.fields(package)
    release = package.removeprefix("linux-image-")
    more = rf"\blinux-(?:binary|modules|base)-{re.escape(release)}(?![\w.+-])"
    names = re.findall(more, fields.get("Depends", ""))
    return suite.fetch(package, *dict.fromkeys(names))


def _unpacked(files: list[Path], name: str, notify: Notify) -> Path:
    def make(folder: Path) -> None:
        notify(f"unpacking the kernel {name}")
        tree = folder / "tree"
        tree.mkdir()
        unpack(files, tree)
        image = [*tree.glob("boot/vmlinuz-*"), *tree.glob("usr/lib/modules/*/vmlinuz")]
        if not image:
            found = ", ".join(file.name for file in files)
            raise VxlabError(f"wanted a kernel image, found none in {found}")
        release = release_of(image[0])
        shutil.copy(image[0], folder / "vmlinuz")
        modules = tree / "usr/lib/modules" / release
        if modules.is_dir():
            modules.rename(folder / "modules")
            _index(folder / "modules", release)
        for config in [*tree.glob("boot/config-*"), *(folder / "modules").glob("config")][:1]:
            shutil.copy(config, folder / "config")
        shutil.rmtree(tree)

    return cache.keep("kernels", cache.key(*files), make)


def _read(folder: Path, name: str) -> Kernel:
    config, modules = folder / "config", folder / "modules"
    return Kernel(
        name=name,
        release=release_of(folder / "vmlinuz"),
        image=folder / "vmlinuz",
        modules=modules if modules.is_dir() else None,
        config=config.read_text() if config.exists() else "",
    )


def _own(image: Path, modules: Path | None) -> Kernel:
    """A developer's kernel; its modules' folder may lack ``modules.dep``."""
    release = release_of(image)
    beside = [path for name in (".config", "config") if (path := image.with_name(name)).is_file()]
    text = beside[0].read_text() if beside else ""
    own = Kernel(name=str(image), release=release, image=image, modules=None, config=text)
    if modules is None:
        return own
    if not modules.is_dir() or not next(modules.rglob("*.ko*"), None):
        raise VxlabError(f"wanted a folder with modules of {release}, found {modules}")

    def make(folder: Path) -> None:
        shutil.copytree(modules, folder / "modules", symlinks=True, ignore=_build_links)
        _index(folder / "modules", release)

    stamps = sorted((str(x), x.stat().st_mtime_ns) for x in modules.rglob("*.ko*"))
    kept = cache.keep("kernels", cache.key(release, stamps), make)
    return replace(own, modules=kept / "modules")


def _build_links(_: str, names: Iterable[str]) -> set[str]:
    return {"build", "source"} & set(names)


def _index(modules: Path, release: str) -> None:
    """Write ``modules.dep``: no package has one, it is written where a kernel is installed."""
    base = modules.parent / "index"
    place = base / "lib/modules"
    place.mkdir(parents=True)
    (place / release).symlink_to(modules, target_is_directory=True)
    words = [program("depmod", "kmod"), "-b", str(base), release]
    done = children.run(words, capture_output=True, text=True)
    shutil.rmtree(base)
    if done.returncode or not (modules / "modules.dep").exists():
        raise VxlabError(f"depmod of {release} ended with {done.returncode}: {done.stderr.strip()}")


def release_of(image: Path) -> str:
    """What ``uname -r`` will say; from the header of a bzImage (Documentation/arch/x86/boot)."""
    with image.open("rb") as file:
        head = file.read(0x8000)
    if len(head) < 0x210 or head[0x202:0x206] != b"HdrS":
        raise VxlabError(f"wanted a bzImage of x86, found something else in {image}")
    (at,) = struct.unpack_from("<H", head, 0x20E)
    text = head[at + 0x200 :].partition(b"\0")[0].decode(errors="replace")
    if not at or not text:
        raise VxlabError(f"wanted a bzImage that names its release, found none in {image}")
    return text.split()[0]
