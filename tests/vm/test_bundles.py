"""Bundles of iproute2, made of trees that never were; the last test makes a real one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from vxlab import sandbox
from vxlab.errors import VxlabError
from vxlab.vm import bundles, cache, images, relocation
from vxlab.vm.bundles import Bundle

OFFERED = {"bookworm": "6.1.0-3", "sid": "7.3.0-1", "bullseye": "5.10.0-4"}
BACKPORTED = {**OFFERED, "bookworm-backports": "6.15.0-1~bpo12+1"}
MULTIARCH = "usr/lib/x86_64-linux-gnu"


def script(path: Path, text: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def loader(path: Path, *lines: str) -> Path:
    """A program that lists these libraries, whatever it is given."""
    listed = "\n".join(f"\t{line}" for line in lines)
    return script(path, f"cat <<'END'\n\tlinux-vdso.so.1 (0x00007ffe)\n{listed}\nEND")


class FakeSuite:
    """A suite of the mirror, whose packages are files with nothing in them."""

    versions = OFFERED

    def __init__(self, name: str, notify: object = None) -> None:
        self.name = name

    def fields(self, package: str) -> dict[str, str]:
        if self.name not in self.versions:
            raise VxlabError(f"no suite {self.name}")
        return {"Package": package, "Version": self.versions[self.name]}

    def fetch(self, *names: str) -> list[Path]:
        return [self._file(name) for name in names]

    def fetch_all(self, names: Iterable[str]) -> list[Path]:
        return [self._file("libmnl0"), *map(self._file, names)]

    def _file(self, name: str) -> Path:
        version = self.versions[self.name].replace(":", "%3a")
        path = cache.part("debs", self.name) / f"{name}_{version}_amd64.deb"
        path.write_text(str(path.name))
        return path


def unpack(files: Iterable[Path], tree: Path) -> None:
    """What Debian's packages unpack to, as far as it matters: /sbin/ip leads to /bin/ip."""
    place = tree / MULTIARCH
    loader(
        place / "ld-linux-x86-64.so.2",
        f"libmnl.so.0 => {place}/libmnl.so.0 (0x00007f01)",
        f"libc.so.6 => {place}/libc.so.6 (0x00007f02)",
        f"/lib64/ld-linux-x86-64.so.2 => {place}/ld-linux-x86-64.so.2 (0x00007f03)",
    )
    for name in ("libmnl.so.0.2", "libc.so.6", "libnss_files.so.2", "libunused.so.1"):
        (place / name).write_text(name)
    (place / "libmnl.so.0").symlink_to("libmnl.so.0.2")
    names = " ".join(file.name for file in files)
    script(tree / "usr/bin/ip", f"echo {names}")
    for name in ("usr/sbin/bridge", "usr/sbin/tc", "usr/bin/ss"):
        script(tree / name)
    (tree / "bin").symlink_to("usr/bin")
    (tree / "usr/sbin/ip").symlink_to("/bin/ip")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it; the folder that bundles will be in."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache/iproute2"


@pytest.fixture
def told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A patchelf that writes down what it is told.

    To it, all programs ask for a loader that lists one library, save `static` ones; scripts whose
    text says so are no programs, and the library has a path of its own.
    """
    log = tmp_path / "told"
    own = loader(tmp_path / "ld-own.so.2", f"libown.so.1 => {tmp_path}/libown.so.1 (0x1)")
    (tmp_path / "libown.so.1").write_text("own")
    patchelf = script(
        tmp_path / "patchelf",
        f"""echo "$*" >>{log}
case $1 in
--print-interpreter)
    grep -q static "$2" && {{ echo "cannot find section; statically linked" >&2; exit 1; }}
    grep -q wrapper "$2" && {{ echo "not an ELF executable" >&2; exit 1; }}
    echo {own} ;;
--print-rpath) case $2 in *libown*) echo /opt/own ;; esac ;;
esac""",
    )
    monkeypatch.setattr(relocation, "patchelf_words", lambda _: [str(patchelf)])
    return log


@pytest.fixture
def mirror(told: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeSuite]:
    """A mirror with three suites."""
    monkeypatch.setattr(bundles, "Suite", FakeSuite)
    monkeypatch.setattr(relocation, "unpack", unpack)
    monkeypatch.setattr(FakeSuite, "versions", OFFERED)
    return FakeSuite


def build(folder: Path, *, what: str = "") -> Path:
    """A developer's build, where iproute2's makefiles leave it."""
    said = f'echo "ip utility, iproute2-6.19.0-rc1, libbpf 1.1.2" # {what}'
    script(folder / "ip/ip", said)
    script(folder / "bridge/bridge", said)
    script(folder / "misc/ss", said)
    return folder


def test_versions_are_listed_oldest_first(mirror: type[FakeSuite]) -> None:
    assert list(bundles.offered().items()) == [
        ("5.10.0", "bullseye"),
        ("6.1.0", "bookworm"),
        ("7.3.0", "sid"),
    ]


def test_what_is_offered_is_kept(mirror: type[FakeSuite], monkeypatch: pytest.MonkeyPatch) -> None:
    before = bundles.offered()
    monkeypatch.setattr(FakeSuite, "versions", {})
    assert bundles.offered() == before


def test_a_list_that_cannot_be_read_is_made_anew(mirror: type[FakeSuite]) -> None:
    (cache.part("apt") / "iproute2.json").write_text("[")
    assert "6.1.0" in bundles.offered()


def test_a_mirror_without_iproute2_is_an_error(
    mirror: type[FakeSuite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSuite, "versions", {})
    with pytest.raises(VxlabError, match="found none in any suite"):
        bundles.offered()


def test_a_bundle_has_the_programs_and_what_they_need(mirror: type[FakeSuite], home: Path) -> None:
    said: list[str] = []
    found = bundles.find("6.1", said.append)
    assert (found.name, found.version, found.folder.parent) == ("6.1", "6.1.0-3", home)
    names = {str(x.relative_to(found.folder)) for x in found.folder.rglob("*") if x.is_file()}
    libraries = ("ld-linux-x86-64.so.2", "libc.so.6", "libmnl.so.0", "libnss_files.so.2")
    assert names == {"ip", "bridge", "tc", "ss", "version", *(f"lib/{x}" for x in libraries)}
    assert said == ["making a bundle of iproute2 6.1"]


def test_links_of_a_package_do_not_lead_to_this_systems_programs(
    mirror: type[FakeSuite],
) -> None:
    assert "iproute2_6.1.0-3_amd64.deb" in (bundles.find("6.1").folder / "ip").read_text()


def test_programs_are_told_where_their_loader_will_be(mirror: type[FakeSuite], told: Path) -> None:
    place = bundles.find("6.1").folder
    lines = [x for x in told.read_text().splitlines() if x.startswith("--set-interpreter")]
    assert len(lines) == 4
    wanted = f"--set-interpreter {place}/lib/ld-linux-x86-64.so.2 --force-rpath --set-rpath {place}"
    assert all(line.startswith(f"{wanted}/lib ") for line in lines)


def test_a_version_is_found_by_its_first_numbers_alone(mirror: type[FakeSuite]) -> None:
    assert bundles.find("7.3.0").folder == bundles.find("7.3").folder
    with pytest.raises(VxlabError, match=r"wanted iproute2 5\.1, .* 5\.10\.0, 6\.1\.0, 7\.3\.0"):
        bundles.find("5.1")


def test_a_second_time_nothing_is_made(mirror: type[FakeSuite], told: Path) -> None:
    first = bundles.find("6.1")
    told.unlink()
    assert bundles.find("6.1") == first
    assert not told.exists()


def test_another_cache_has_bundles_of_its_own(
    mirror: type[FakeSuite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundles.find("6.1").folder
    first.parents[1].rename(tmp_path / "moved")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "moved"))
    assert bundles.find("6.1").folder.name != first.name


def test_a_backport_runs_with_the_libraries_of_its_suite(
    mirror: type[FakeSuite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeSuite, "versions", BACKPORTED)
    found = bundles.find("6.15")
    assert found.version == "6.15.0-1~bpo12+1"
    text = (found.folder / "ip").read_text()
    assert "libmnl0_6.1.0-3" in text
    assert "iproute2_6.1.0" not in text


def test_a_library_that_is_not_the_suites_own_is_refused(
    mirror: type[FakeSuite], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(files: Iterable[Path], tree: Path) -> None:
        unpack(files, tree)
        loader(
            tree / MULTIARCH / "ld-linux-x86-64.so.2",
            "libbpf.so.1 => /lib/x86_64-linux-gnu/libbpf.so.1 (0x7f)",
        )

    monkeypatch.setattr(relocation, "unpack", lacking)
    with pytest.raises(VxlabError, match=r"library libbpf\.so\.1 of ip among the packages"):
        bundles.find("6.1")
    assert sorted(x.name for x in home.iterdir()) == ["CACHEDIR.TAG", "found"]


@pytest.mark.parametrize("wanted", ["latest", "6", "v6.1", "6.1-rc1", ""])
def test_what_is_neither_version_nor_folder_is_refused(home: Path, wanted: str) -> None:
    with pytest.raises(VxlabError, match=f"wanted an iproute2 like 6.15, .* found '{wanted}'"):
        bundles.find(wanted)


def test_a_build_of_ones_own_is_bundled(told: Path, tmp_path: Path, home: Path) -> None:
    found = bundles.find(str(build(tmp_path / "iproute2")))
    assert found.version == "6.19.0-rc1"
    assert found.folder.parent == home
    names = sorted(x.name for x in found.folder.rglob("*") if x.is_file())
    assert names == ["bridge", "ip", "ld-own.so.2", "libown.so.1", "ss", "version"]
    log = told.read_text()
    assert f"--set-interpreter {found.folder}/lib/ld-own.so.2 " in log
    assert "--remove-rpath" in log  # of the library, which has one of its own


def test_a_build_that_changed_is_another_bundle(told: Path, tmp_path: Path) -> None:
    first = bundles.find(str(build(tmp_path / "iproute2")))
    assert bundles.find(str(tmp_path / "iproute2")) == first
    build(tmp_path / "iproute2", what="changed")
    assert bundles.find(str(tmp_path / "iproute2")).folder != first.folder


def test_the_folder_of_a_bundle_is_the_bundle(told: Path, tmp_path: Path) -> None:
    first = bundles.find(str(build(tmp_path / "iproute2")))
    assert bundles.find(str(first.folder)).folder == first.folder


@pytest.mark.parametrize(
    "words",
    [
        ["pytest", "--iproute2={}", "-k", "x"],
        ["pytest", "--iproute2", "{}"],
        ["sh", "-c", "PATH={}:$PATH; pytest --iproute2={}"],
        ["{}/ip", "-V"],
    ],
)
def test_a_bundle_that_a_command_names_goes_into_the_guest(
    words: list[str], told: Path, tmp_path: Path
) -> None:
    bundle = bundles.find(str(build(tmp_path / "iproute2")))
    named = [word.replace("{}", str(bundle.folder)) for word in words]
    changed, found = bundles.in_command(named, tmp_path / "project")
    assert changed == named
    assert [each.folder for each in found] == [bundle.folder]


@pytest.mark.parametrize("words", [["--iproute2={}", "-x"], ["--iproute2", "{}", "-x"]])
def test_a_build_that_a_command_names_goes_there_as_a_bundle(
    words: list[str], told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "iproute2")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    for name in ("../iproute2", str(tmp_path / "iproute2")):
        named = [word.replace("{}", name) for word in words]
        changed, (found,) = bundles.in_command(named, tmp_path / "project")
        assert changed == [word.replace("{}", str(found.folder)) for word in words]
        assert found.version == "6.19.0-rc1"


@pytest.mark.parametrize(
    "words",
    [
        ["pytest", "--iproute2=build", "--iproute2", "build"],
        ["pytest", "--iproute2=/usr/sbin", "--iproute2=/no/such", "--iproute2="],
        ["pytest", "--iproute2"],
        ["--other=..", "--iproute2=x=y"],
        [],
    ],
)
def test_what_the_guest_has_anyway_stays_as_it_is(
    words: list[str], told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "project/build")
    monkeypatch.chdir(tmp_path / "project")
    assert bundles.in_command(words, tmp_path / "project") == (words, [])


def test_a_folder_without_iproute2_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VxlabError, match="found no ip and no bridge that can be run"):
        bundles.in_command([f"--iproute2={tmp_path / 'empty'}"], tmp_path / "project")


def test_static_programs_need_no_loader(told: Path, tmp_path: Path) -> None:
    found = bundles.find(str(build(tmp_path / "iproute2", what="static")))
    assert not list((found.folder / "lib").iterdir())
    assert "--set-interpreter" not in told.read_text()


def test_scripts_are_no_programs(told: Path, tmp_path: Path) -> None:
    with pytest.raises(VxlabError, match="not an ELF executable: give the folder of the programs"):
        bundles.find(str(build(tmp_path / "iproute2", what="wrapper")))


def test_a_folder_that_is_not_there_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(VxlabError, match="wanted a folder with ip and bridge, found no folder"):
        bundles.find(str(tmp_path / "nowhere"))


def test_a_build_that_is_not_finished_is_refused(home: Path, tmp_path: Path) -> None:
    script(tmp_path / "iproute2/ip/ip")
    (tmp_path / "iproute2/bridge").mkdir()
    (tmp_path / "iproute2/bridge/bridge.c").write_text("int main;")
    with pytest.raises(VxlabError, match="found no bridge that can be run: build iproute2 first"):
        bundles.find(str(tmp_path / "iproute2"))


def test_an_ip_that_does_not_tell_its_version_is_refused(told: Path, tmp_path: Path) -> None:
    build(tmp_path / "iproute2")
    script(tmp_path / "iproute2/ip/ip", "echo broken >&2; exit 1")
    with pytest.raises(VxlabError, match=r"tell its version by -V, found: broken"):
        bundles.find(str(tmp_path / "iproute2"))
    script(tmp_path / "iproute2/ip/ip").write_text("no program\0")
    with pytest.raises(VxlabError, match="cannot be run"):
        bundles.find(str(tmp_path / "iproute2"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("libbpf.so.9 => not found", "wanted the library libbpf.so.9 of .*ip, found none"),
        ("", "wanted the libraries of .*, found: linux-vdso"),
    ],
)
def test_a_library_that_this_system_lacks_is_named(
    told: Path, tmp_path: Path, line: str, problem: str
) -> None:
    loader(tmp_path / "ld-own.so.2", line)
    with pytest.raises(VxlabError, match=problem):
        bundles.find(str(build(tmp_path / "iproute2")))


def test_a_patchelf_that_fails_is_an_error(
    mirror: type[FakeSuite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = 'case $1 in --set*) echo "out of space" >&2; exit 3 ;; esac'
    patchelf = script(tmp_path / "failing", lines)
    monkeypatch.setattr(relocation, "patchelf_words", lambda _: [str(patchelf)])
    with pytest.raises(VxlabError, match=r"`patchelf --set-interpreter` of .* ended with 3: out"):
        bundles.find("6.1")


def test_patchelf_is_kept_with_its_own_loader(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack_patchelf(files: Iterable[Path], tree: Path) -> None:
        unpack(files, tree)
        script(tree / "usr/bin/patchelf")

    monkeypatch.setattr(relocation, "Suite", FakeSuite)
    monkeypatch.setattr(relocation, "unpack", unpack_patchelf)
    words = relocation.patchelf_words(lambda _: None)
    assert words[1:3] == ["--library-path", str(Path(words[0]).parent)]
    assert Path(words[0]).name == "ld-linux-x86-64.so.2"
    assert Path(words[3]).parent.parent == home


# --- images ----------------------------------------------------------------------------------


def test_an_image_holds_the_bundles_that_were_chosen(
    mirror: type[FakeSuite], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def pretend(tree: Path, image: Path, *, spare: int) -> None:
        made.append(sorted(x.name for x in tree.iterdir()))
        image.touch()

    monkeypatch.setattr(images, "ext4", pretend)
    old, new = bundles.find("5.10"), bundles.find("7.3")
    bundles.find("6.1")
    path, mount = bundles.image([new, old])
    assert mount == home == old.folder.parent
    assert made == [sorted([old.folder.name, new.folder.name])]
    assert bundles.image([old, new, old])[0] == path
    assert len(made) == 1


def test_an_image_takes_bundles_of_the_cache_alone(home: Path, tmp_path: Path) -> None:
    with pytest.raises(VxlabError, match="wanted a bundle in"):
        bundles.image([Bundle("6.1", "6.1.0", tmp_path)])
    with pytest.raises(VxlabError, match="found none"):
        bundles.image([])


# --- a real one ------------------------------------------------------------------------------


def test_real_bundles_of_all_versions_run_here() -> None:
    if sandbox.inside() and not (cache.part("apt") / "iproute2.json").exists():
        pytest.skip("needs `vxlab iproute2` to have been run: the sandbox has no network")
    try:
        found = [bundles.find(".".join(x.split(".")[:2])) for x in bundles.offered()]
    except VxlabError as error:
        if not any(word in str(error) for word in ("apt", "dpkg", "mirror", "wanted the folder")):
            raise
        pytest.skip(f"needs a mirror with packages of Debian: {error}")
    for bundle in found:
        for name in ("ip", "bridge", "tc", "ss"):
            subprocess.run([bundle.folder / name, "-V"], check=True, capture_output=True)
        words = [bundle.folder / "ip", "-j", "-d", "link", "show", "lo"]
        environment = {**os.environ, "LD_LIBRARY_PATH": "/nowhere"}
        done = subprocess.run(words, check=True, capture_output=True, env=environment)
        assert json.loads(done.stdout)[0]["ifname"] == "lo"
