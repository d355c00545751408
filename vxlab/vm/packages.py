"""Debian packages of any suite that the system's mirror offers: fetched, unpacked, not installed.

apt does the work, with lists, status and archives of its own in the cache, so that the system's are
neither read nor changed and no root is needed.  See apt-get(8), apt.conf(5), sources.list(5).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from vxlab.errors import MissingProgram, VxlabError
from vxlab.vm import cache, children
from vxlab.vm.notify import Notify, silent

#: Suites in which packages are looked for, those that change least first.
SUITES = ("bookworm", "bullseye", "trixie", "sid", "bookworm-backports", "trixie-backports")

#: Names a mirror of Debian, for systems of another distribution.
VARIABLE = "VXLAB_DEBIAN"
#: The keys that Debian's archive is signed with; other distributions have them as a package.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def program(name: str, package: str) -> str:
    """The path of a program that only virtual machines need; MissingProgram with its package.

    VxlabError for one of apt and dpkg, which are not to be had on any system.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    if found is None and package in ("apt", "dpkg"):
        raise VxlabError(
            f"wanted {name} to fetch packages of Debian with, found none: kernels and tools of "
            "other versions need Debian or one of its kind, such as Ubuntu"
        )
    if found is None:
        raise MissingProgram(name, package)
    return found


def architecture() -> str:
    """Debian's name of this machine's architecture; VxlabError unless it is amd64."""
    found = _output([program("dpkg", "dpkg"), "--print-architecture"]).strip()
    if found != "amd64":
        raise VxlabError(f"virtual machines: wanted the architecture amd64, found {found}")
    return found


class Suite:
    """One suite of the mirror, ``bookworm`` or ``sid``."""

    def __init__(self, name: str, notify: Notify = silent) -> None:
        self.name, self._notify = name, notify
        self._folder = cache.part("apt", name)
        for below in ("lists/partial", "archives/partial"):
            (self._folder / below).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()  # nothing is installed
        # packages of a mirror in a folder would be used where they are, unless copied
        address = mirror().replace("file:", "copy:", 1)
        cache.write(self._folder / "sources.list", f"deb {address} {name} main\n")

    def refresh(self, *, now: bool = False) -> None:
        """Fetch the list of packages where it is old, or ``now``."""
        stamp = self._folder / "stamp"
        with cache.lock(f"apt-{self.name}"):
            old = not stamp.exists() or time.time() - stamp.stat().st_mtime > cache.FRESH
            if now or old:
                self._notify(f"fetching the list of packages of {self.name}")
                # else what cannot be fetched is a warning, and the exit code 0
                self._apt("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
                stamp.touch()

    def fields(self, package: str) -> dict[str, str]:
        """The control fields of a package's newest version; empty where the suite has none."""
        self.refresh()
        said = self._apt("apt-cache", "show", "--no-all-versions", package, check=False)
        pairs = re.findall(r"^([\w-]+): (.*)$", said.split("\n\n")[0], re.MULTILINE)
        return dict(pairs)

    def fetch(self, *names: str) -> list[Path]:
        """These packages alone, as files."""
        self._get("download", *names)
        # asked where none of them is yet, it names them all
        listed = self._apt("apt-get", "download", *names, "--print-uris", cwd=self._folder)
        files = re.findall(r"^'[^']+' (\S+\.deb) ", listed, re.MULTILINE)
        return [self._archives / file for file in files]

    def fetch_all(self, names: Iterable[str]) -> list[Path]:
        """These packages, and all that they depend on, as files."""
        words = ["install", "-y", "--no-install-recommends", *names]
        self._get(*words, "--download-only")
        planned = self._apt("apt-get", *words, "--simulate")
        found = re.findall(r"^Inst (\S+) \((\S+) .*\[(\w+)\]\)", planned, re.MULTILINE)
        return [
            self._archives / f"{name}_{version.replace(':', '%3a')}_{kind}.deb"
            for name, version, kind in found
        ]

    @property
    def _archives(self) -> Path:
        return self._folder / "archives"

    def _get(self, *words: str) -> str:
        self.refresh()
        with cache.lock(f"apt-{self.name}-get"):
            try:
                return self._apt("apt-get", *words, cwd=self._archives)
            except VxlabError:  # the mirror has newer ones than the list, or has lost these
                self.refresh(now=True)
                return self._apt("apt-get", *words, cwd=self._archives)

    def _apt(self, name: str, *words: str, check: bool = True, cwd: Path | None = None) -> str:
        options = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": self._folder,
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder,
            "Dir::Cache::archives": self._archives,
            "Acquire::Check-Valid-Until": "false",  # a mirror may be a snapshot
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
            "Debug::NoLocking": "1",
        }
        pairs = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        command = [program(name, "apt"), "-q", *pairs, *words]
        with cache.workplace("apt") as place:
            return _output(command, check=check, cwd=cwd, temporary=str(place))


def mirror() -> str:
    """Debian's archive as sources.list(5) has it: that of ``$VXLAB_DEBIAN``, else the system's own.

    With ``$VXLAB_DEBIAN`` all is checked by Debian's keys in :data:`KEYRING`.  VxlabError where
    there is no archive, or no such file.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return _chosen(chosen)
    words = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = _output([program("apt-get", "apt"), *words]).split()
    for uri in found:
        if re.search(r"/debian/?$", uri):
            return uri
    raise VxlabError(
        "wanted the address of Debian's archive in apt's sources, found "
        f"{', '.join(found) or 'none at all'}: kernels and tools of other versions come from "
        "there; on another distribution install the package debian-archive-keyring, and set "
        f"{VARIABLE} to the address of a mirror of Debian"
    )


def _chosen(address: str) -> str:
    if not re.fullmatch(r"[a-z+]+:/[^\s\[\]]+", address):
        raise VxlabError(
            f"wanted an address like http://HOST/debian in {VARIABLE}, found {address}"
        )
    if not KEYRING.is_file():
        raise VxlabError(
            f"wanted Debian's keys in {KEYRING}, to check what comes from {address}, found none: "
            "install the package debian-archive-keyring"
        )
    return f"[signed-by={KEYRING}] {address}"


def unpack(files: Iterable[Path], folder: Path) -> None:
    """Unpack packages over one another into a folder, where /bin, /lib and /sbin are in /usr."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"usr/{name}")
    into = ["tar", "-x", "-C", str(folder), "--keep-directory-symlink", "--no-same-owner"]
    for file in files:
        with children.start(
            [program("dpkg-deb", "dpkg"), "--fsys-tarfile", str(file)], stdout=subprocess.PIPE
        ) as packed:
            done = children.run(into, stdin=packed.stdout, capture_output=True, text=True)
        if packed.returncode or done.returncode:
            raise VxlabError(f"wanted to unpack {file}, found: {done.stderr.strip()}")


def _output(
    words: Sequence[str], *, check: bool = True, cwd: Path | None = None, temporary: str = ""
) -> str:
    """What a program prints; its temporary files go to the folder ``temporary``, if that is given.

    VxlabError where its exit code is not 0, unless that is not to be checked.
    """
    done = children.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C"} | ({"TMPDIR": temporary} if temporary else {}),
    )
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        command = " ".join([os.path.basename(words[0]), *words[-3:]])
        raise VxlabError(f"`{command}` ended with {done.returncode}: {' '.join(said[-3:])}")
    return str(done.stdout)
