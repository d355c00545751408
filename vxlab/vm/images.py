"""What a virtual machine boots from: a first stage, a root file system, the kernel's modules.

The root file system is Debian's, unpacked and never installed: no program runs in it before a
guest does.  It is read-only in the guest, below a tmpfs; ext4 is the quickest of what was tried.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.resources import files as resources
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.vm import cache, children, compiled
from vxlab.vm.kernels import Kernel
from vxlab.vm.notify import Notify, silent
from vxlab.vm.packages import Suite, program, unpack

#: The suite of the root file system.  Its Python need not be this one.
SUITE = "bookworm"
_PYTHON = "3.11"

#: What scenarios need in a guest, beside what each of these depends on.
_PACKAGES = (
    *("bash", "coreutils", "dash", "findutils", "gawk", "grep", "mount", "sed", "tar"),
    *("ethtool", "iproute2", "iptables", "iputils-ping", "kmod", "procps", "python3"),
    *("util-linux", "hostname", "netbase", "libc-bin"),
)
_ROUTERS = ("smcroute", "pimd")  # unpacked aside: their packages conflict

#: What is installed for Python, in this environment's own versions.
_PYTHON_PACKAGES = ("pytest", "pytest-testinfra", "pytest-xdist", "pyroute2", "scapy")

#: Modules that the first stage needs to find its disks.
_EARLY = ("virtio_pci", "virtio_blk", "ext4", "overlay")

#: What runs in a guest before its command: the name there, and here.
_SCRIPTS = {
    "init": "stage1.sh",
    "stage2.sh": "stage2.sh",
    "forkserver.py": "forkserver.py",
}

#: Where the guest has the routers, and what Debian's maintainer scripts would have linked.
TOOLS = "/var/cache/vxlab/tools"
_FILTERS, _FILTERS_DO = ("iptables", "ip6tables"), ("", "-save", "-restore")
_LINKS = {
    **{f"usr/sbin/{name}{x}": "xtables-nft-multi" for name in _FILTERS for x in _FILTERS_DO},
    "usr/bin/awk": "gawk",
}

#: What the first stage uses of busybox.
_APPLETS = (
    *("cp", "hostname", "ifconfig", "insmod", "ln", "mkdir", "mount", "reboot", "sh", "stty"),
    *("switch_root", "tar", "usleep"),
)


def root(notify: Notify = silent) -> Path:
    """The image of the root file system, made the first time."""
    recipe = (SUITE, _PACKAGES, _ROUTERS, _LINKS, _python_packages(), same_python(), 2)

    def make(folder: Path) -> None:
        notify("making the root file system of virtual machines")
        suite = Suite(SUITE, notify)
        tree = folder / "tree"
        tree.mkdir()
        unpack(suite.fetch_all(_PACKAGES), tree)
        for router in _ROUTERS:
            place = tree / TOOLS.lstrip("/") / router
            place.mkdir(parents=True)
            unpack(suite.fetch(router), place)
        unpack(_libraries(suite), tree)
        _finish(tree)
        notify("installing Python packages into it")
        _install_python(tree)
        ext4(tree, folder / "root.ext4", spare=16)
        shutil.rmtree(tree)

    return cache.keep("roots", cache.key(*recipe), make) / "root.ext4"


def _libraries(suite: Suite) -> list[Path]:
    """What the routers need and nothing else brings."""
    return suite.fetch("libcap2")


def _finish(tree: Path) -> None:
    """What the maintainer scripts would have done, as far as it is needed."""
    for name, target in _LINKS.items():
        path = tree / name
        if not path.is_symlink() and not path.exists():
            path.symlink_to(target)
    for below in ("proc", "sys", "dev", "run", "tmp", "root", "etc", "work", "mnt", "var/lib"):
        (tree / below).mkdir(parents=True, exist_ok=True)
    (tree / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
    )
    (tree / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (tree / "etc/hostname").write_text("vxlab\n")
    # tables of iproute2 since 6.15; before, of 6.14 at the latest, they are in /etc
    shutil.copytree(tree / "etc/iproute2", tree / "usr/share/iproute2", dirs_exist_ok=True)
    for rest in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
        shutil.rmtree(tree / rest, ignore_errors=True)


def _python_packages() -> tuple[str, ...]:
    """Requirements in the versions of this environment, so that both run the same."""
    return tuple(f"{name}=={metadata.version(name)}" for name in _PYTHON_PACKAGES)


def _install_python(tree: Path) -> None:
    place = tree / "usr/lib/python3/dist-packages"
    words = ["install", "--quiet", "--no-input", "--disable-pip-version-check", "--target", place]
    words += ["--only-binary=:all:", "--python-version", _PYTHON, "--no-compile"]
    words += ["--platform", "manylinux2014_x86_64", *_python_packages()]
    temporary = tree.parent / "temporary"
    temporary.mkdir()
    done = children.run(
        [sys.executable, "-m", "pip", *map(str, words)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
    )
    shutil.rmtree(temporary)
    if done.returncode:
        raise VxlabError(f"pip for the guest's Python ended with {done.returncode}: {done.stderr}")
    if same_python():
        _compile_all(tree, [*place.rglob("*.py"), *(tree / "usr/lib/python3.11").rglob("*.py")])
        for plugin in ("xdist", "testinfra"):
            compiled.add(sorted((place / plugin).rglob("*.py")), rewritten=True)


def _compile_all(tree: Path, files: Sequence[Path]) -> None:
    """Compile files of a tree as the guest's Python wants them; some are broken on purpose.

    compileall's own workers would stay behind where it is killed: so there are several of it.
    """
    words = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    workers = len(os.sched_getaffinity(0))

    def compile_some(first: int) -> None:
        children.run(
            [*words, "-s", str(tree), "-i", "-"],
            input="\n".join(map(str, files[first::workers])).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        )

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(compile_some, range(workers)))


def same_python() -> bool:
    """True where what this Python compiles is good for the guest's."""
    return "{}.{}".format(*sys.version_info) == _PYTHON


def modules(kernel: Kernel) -> Path | None:
    """The image of a kernel's modules, to be mounted on /usr/lib/modules/REL."""
    if kernel.modules is None:
        return None
    source = kernel.modules

    def make(folder: Path) -> None:
        ext4(source, folder / "modules.ext4", spare=1)

    name = cache.key(kernel.release, str(source))
    return cache.keep("modules", name, make) / "modules.ext4"


def start(kernel: Kernel) -> Path:
    """The first stage: busybox, and the modules that are needed to find the disks."""
    box = _busybox()

    def make(folder: Path) -> None:
        tree = folder / "tree"
        for below in ("bin", "dev", "proc", "sys", "low", "mem", "new", "modules"):
            (tree / below).mkdir(parents=True)
        shutil.copy(box, tree / "bin/busybox")
        for applet in _APPLETS:
            (tree / "bin" / applet).symlink_to("busybox")
        names = []
        for number, module in enumerate(early_modules(kernel)):
            names.append(f"{number:02}-{module.name.partition('.')[0]}.ko")
            (tree / "modules" / names[-1]).write_bytes(_plain(module))
        for name, script in _SCRIPTS.items():
            (tree / name).write_text(_scripts(script))
            (tree / name).chmod(0o755)
        _pack(tree, folder / "start.cpio", box)
        shutil.rmtree(tree)

    scripts = [_scripts(name) for name in _SCRIPTS.values()]
    name = cache.key(kernel.release, str(kernel.modules), box, _APPLETS, _EARLY, scripts)
    return cache.keep("starts", name, make) / "start.cpio"


def _pack(tree: Path, archive: Path, busybox: Path) -> None:
    """Write a folder as the kernel wants an initial file system."""
    listed = "\n".join(str(x.relative_to(tree)) for x in sorted(tree.rglob("*")))
    with archive.open("wb") as file:
        done = children.run(
            [busybox, "cpio", "-o", "-H", "newc"],
            input=listed.encode(),
            stdout=file,
            stderr=subprocess.PIPE,
            cwd=tree,
        )
    if done.returncode:
        raise VxlabError(f"cpio ended with {done.returncode}: {done.stderr.decode()}")


def _busybox() -> Path:
    """A static busybox."""

    def make(folder: Path) -> None:
        unpack(Suite(SUITE).fetch("busybox-static"), folder / "tree")
        shutil.copy(folder / "tree/bin/busybox", folder / "busybox")
        shutil.rmtree(folder / "tree")

    return cache.keep("busybox", SUITE, make) / "busybox"


def early_modules(kernel: Kernel) -> Iterator[Path]:
    """The files of the first modules, each after those that it needs (depmod(8))."""
    if kernel.modules is None:
        return
    lines = (kernel.modules / "modules.dep").read_text().splitlines()
    needs = {file: more.split() for file, _, more in (line.partition(":") for line in lines)}
    by_name = {Path(file).name.partition(".")[0].replace("-", "_"): file for file in needs}
    soft = _soft(kernel.modules)
    done: dict[str, None] = {}

    def add(file: str) -> None:
        for other in reversed(needs.get(file, [])):
            done.setdefault(other)
        done.setdefault(file)

    for name in _EARLY:
        for each in (*soft.get(name, ()), name):  # what is built in has no file
            if each in by_name:
                add(by_name[each])
    yield from (kernel.modules / file for file in done)


def _soft(modules: Path) -> dict[str, Sequence[str]]:
    """What modules ask for without saying so in their symbols (modprobe.d(5))."""
    path = modules / "modules.softdep"
    text = path.read_text() if path.exists() else ""
    found = re.findall(r"^softdep (\S+) pre: (.*?)(?: post:.*)?$", text, re.MULTILINE)
    return {name.replace("-", "_"): more.replace("-", "_").split() for name, more in found}


def _plain(module: Path) -> bytes:
    """A module as insmod wants it."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def ext4(tree: Path, image: Path, *, spare: int) -> None:
    """Write the folder ``tree``, all its files root's, to the file ``image`` as ext4.

    ``spare`` MB of it are left free.  VxlabError where mkfs.ext4 fails.
    """
    size = sum(x.lstat().st_size // 4096 + 1 for x in tree.rglob("*")) * 4096
    megabytes = int(size / (1 << 20) * 1.1) + 8 + spare
    words = [program("mkfs.ext4", "e2fsprogs"), "-q", "-F", "-O", "^has_journal,^metadata_csum"]
    words += ["-m", "0", "-d", str(tree), str(image), f"{megabytes}M"]
    if os.geteuid():
        words = [program("unshare", "util-linux"), "--map-root-user", *words]
    done = children.run(words, capture_output=True, text=True)
    if done.returncode:
        raise VxlabError(f"mkfs.ext4 of {tree} ended with {done.returncode}: {done.stderr.strip()}")


def _scripts(name: str) -> str:
    return resources("vxlab.vm").joinpath(name).read_text()
