"""A machine for set-up to work on: few programs, an apt that notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vxlab.commands import setup
from vxlab.system.programs import PACKAGES

PROJECT = Path(__file__).parents[1]

#: What the scripts may use on any system, beside what they look for.
ESSENTIAL = (
    *("sh", "cat", "cp", "mv", "rm", "mkdir", "mktemp", "ln", "ls", "chmod", "env", "true", "test"),
    *("dirname", "head", "tail", "sed", "grep", "tr", "sort", "comm", "paste", "tee", "sha256sum"),
)
#: What set-up finds or installs: programs of labs, and of virtual machines.
FOUND = (
    *(name for name, package in PACKAGES.items() if package not in ("smcroute", "pimd")),
    *("flock", "umount", "shellcheck", "qemu-system-x86_64", "depmod", "mkfs.ext4"),
)
ROUTERS = {"smcroute": ("smcrouted", "smcroutectl"), "pimd": ("pimd",)}

_APT_GET = """
while [ "$#" -gt 0 ]; do
    case $1 in
        -q | -y) shift ;;
        -o) shift 2 ;;
        *) break ;;
    esac
done
echo "$*" >>{log}
case $1 in download) [ -e {debs}/"$2"_1.0_all.deb ] && cp {debs}/"$2"_1.0_all.deb . ;; esac
"""
_DPKG_DEB = """
case $1 in
    -x) mkdir -p "$3" && cp -R "$2"/. "$3" ;;
    -f) echo "libc6" ;;
esac
"""


@dataclass
class Machine:
    """A folder that stands for a machine; ``uid`` is that of its user."""

    folder: Path
    uid: int = 0

    def __post_init__(self) -> None:
        self.bin, self.home = self.folder / "bin", self.folder / "home"
        for each in (self.bin, self.home, self.folder / "var"):
            each.mkdir()
        for name in ESSENTIAL:
            found = shutil.which(name)
            if found is not None:
                (self.bin / name).symlink_to(found)
        for name in FOUND:
            self.program(name, "exit 0")
        self.program("id", f"echo {self.uid}")
        self.log, debs = self.folder / "apt.log", self.folder / "debs"
        self.program("apt-get", _APT_GET.format(log=self.log, debs=debs))
        self.program("apt-cache", "exit 0")
        self.program("dpkg", "echo amd64")
        self.program("dpkg-deb", _DPKG_DEB)
        self.program("ldd", "exit 0")
        for package, programs in ROUTERS.items():
            for name in programs:  # a folder stands for the package
                path = debs / f"{package}_1.0_all.deb/usr/sbin/{name}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("#!/bin/sh\n")
                path.chmod(0o755)
        self.program("cp", f'exec {shutil.which("cp")} -R "$@"')

    def program(self, name: str, text: str) -> None:
        """Put a shell script into PATH."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def remove(self, *names: str) -> None:
        """Take programs out of PATH."""
        for name in names:
            (self.bin / name).unlink()

    @property
    def tools(self) -> Path:
        """Where routers are unpacked."""
        return self.folder / "var/tools" if self.uid == 0 else self.home / ".cache/vxlab/tools"

    def asked(self) -> list[str]:
        """What apt-get was asked for, a line each."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def installed(self) -> set[str]:
        """The packages that apt-get was asked to install."""
        lines = [line.split() for line in self.asked() if line.startswith("install ")]
        return {word for words in lines for word in words[1:] if not word.startswith("-")}

    def vxlab_setup(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``vxlab setup`` here."""
        script = self._copy(setup.SCRIPT, self.folder / "setup.sh")
        program = (
            "import pathlib, sys; from vxlab.commands import main, setup; "
            f"setup.SCRIPT = pathlib.Path({str(script)!r}); sys.exit(main.main(sys.argv[1:]))"
        )
        return self._run(sys.executable, "-c", program, "setup", *words)

    def make_setup(self) -> subprocess.CompletedProcess[str]:
        """Run the set-up of the project here, on a copy of the project's folder."""
        for name in ("tools/setup.sh", "vxlab/commands/setup.sh", "pyproject.toml"):
            self._copy(PROJECT / name, self.folder / "project" / name)
        return self._run("sh", str(self.folder / "project/tools/setup.sh"))

    def _copy(self, source: Path, target: Path) -> Path:
        """A script that looks at this machine only."""
        text = source.read_text().replace("/usr/bin/python3 ", "")
        text = text.replace(":/usr/local/sbin:/usr/sbin:/sbin", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("/var/cache/vxlab", str(self.folder / "var")))
        return target

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        keep = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        env = {**keep, "PATH": str(self.bin), "HOME": str(self.home), "TMPDIR": str(self.folder)}
        program = shutil.which(words[0])
        assert program is not None
        return subprocess.run(
            [program, *words[1:]], env=env, capture_output=True, text=True, timeout=60, check=False
        )
