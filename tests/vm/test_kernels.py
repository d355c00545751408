"""Kernels by version, from a package, or of one's own; none of these boots."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from debian import NAME, bzimage, mirror, package

from vxlab.errors import VxlabError
from vxlab.vm import cache, kernels, packages

pytestmark = pytest.mark.skipif(
    not (shutil.which("dpkg-deb") and os.path.exists("/usr/sbin/depmod")),
    reason="needs dpkg and depmod",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "architecture", lambda: "amd64")
    return tmp_path / "cache"


def old_layout(tmp_path, release=NAME, **fields):
    """One package with all, as up to 6.1."""
    files = {
        f"boot/vmlinuz-{release}": bzimage(tmp_path / "bz", release).read_bytes(),
        f"boot/config-{release}": "CONFIG_VXLAN=m\n",
        f"lib/modules/{release}/kernel/vxlan.ko": b"\x7fELF",
    }
    return package(tmp_path / "old", f"linux-image-{release}", files, **fields)


def new_layout(tmp_path, release="7.2.1-cloud-amd64"):
    """Three packages, as from 7.2 on."""
    below = f"usr/lib/modules/{release}"
    image = bzimage(tmp_path / "bz", release).read_bytes()
    needs = {"Depends": f"linux-binary-{release} (= 7.2.1-1), linux-modules-{release}, kmod"}
    new = tmp_path / "new"
    return [
        package(new, f"linux-image-{release}", {}, Version="7.2.1-1", **needs),
        package(new, f"linux-binary-{release}", {f"{below}/vmlinuz": image}, Version="7.2.1-1"),
        package(new, f"linux-modules-{release}", {f"{below}/kernel/vxlan.ko.xz": b"x"}),
    ]


def meta(tmp_path, release, version, place):
    depends = f"linux-image-{release} (= {version})"
    return package(tmp_path / place, kernels._META, {}, Version=version, Depends=depends)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A mirror of two suites, one with a kernel of the old layout, one of the new."""
    old = [old_layout(tmp_path), meta(tmp_path, NAME, "6.1.9-1", "a")]
    new = [*new_layout(tmp_path), meta(tmp_path, "7.2.1-cloud-amd64", "7.2.1-1~bpo1", "b")]
    address = mirror(tmp_path / "mirror", bookworm=old, sid=new)
    monkeypatch.setattr(packages, "mirror", lambda: address)
    return tmp_path / "mirror"


@pytest.mark.parametrize("wanted", ["6.1", "6.1.9", "7.2"])
def test_a_version_is_looked_up_in_all_suites(wanted, archive):
    found = kernels.find(wanted)
    assert found.name == wanted
    assert found.release == (NAME if wanted[0] == "6" else "7.2.1-cloud-amd64")
    assert found.image.read_bytes()[0x202:0x206] == b"HdrS"
    assert found.config == ("CONFIG_VXLAN=m\n" if wanted[0] == "6" else "")
    assert [x.name for x in found.modules.rglob("vxlan.ko*")]
    assert (found.modules / "modules.dep").exists()
    assert sorted(x.name for x in found.image.parent.iterdir()) == sorted(
        ["vmlinuz", "modules", *(["config"] if found.config else [])]
    )


@pytest.mark.parametrize("wanted", ["9.9", "6.10", "6.1.90", "7.20"])
def test_a_version_that_is_not_there_is_told_with_those_that_are(wanted, archive):
    with pytest.raises(VxlabError, match=rf"kernel {wanted}, the mirror has 6\.1\.9, 7\.2\.1:"):
        kernels.find(wanted)


def test_a_version_that_is_newer_than_the_last_look_is_found(archive, folder):
    kernels.find("6.1")
    note = folder / "apt/kernels.json"
    known = json.loads(note.read_text())
    note.write_text(json.dumps({"6.1.9": known["6.1.9"], "7.20.1": ["sid", "none"]}))
    assert kernels.find("7.2").release == "7.2.1-cloud-amd64"
    assert json.loads(note.read_text()) == known


def test_what_was_looked_up_is_known_without_a_mirror(archive, folder):
    first = kernels.find("6.1")
    shutil.rmtree(archive)
    assert kernels.find("6.1") == first
    os.utime(folder / "kernels/found/6.1", (0, 0))
    os.utime(folder / "apt/bookworm/stamp", (0, 0))
    (folder / "apt/kernels.json").unlink()
    assert kernels.find("6.1") == first


def test_without_any_suite_the_reason_is_told(archive):
    shutil.rmtree(archive)
    with pytest.raises(VxlabError, match=r"none in any suite of the mirror: `apt-get .*update"):
        kernels.find("6.1")


@pytest.mark.parametrize("wanted", ["6", "six", "6.1-rc1", "", "6.1.2.3"])
def test_what_names_no_kernel_is_refused(wanted):
    with pytest.raises(VxlabError, match=r"wanted a kernel like 6\.12, a \.deb, or the path"):
        kernels.find(wanted)


@pytest.mark.parametrize("wanted", ["/nonexistent", "./none", "none.deb"])
def test_a_file_that_is_not_there_is_named(wanted):
    with pytest.raises(VxlabError, match=f"wanted a kernel, found no file .*{wanted.strip('./')}"):
        kernels.find(wanted)


def test_a_package_of_ones_own(tmp_path):
    path = old_layout(tmp_path)
    found = kernels.find(str(path))
    assert (found.name, found.release) == (str(path), NAME)
    assert (found.modules / "kernel/vxlan.ko").exists()
    path.unlink()
    assert found.image.exists()


def test_a_package_without_a_kernel_is_named(tmp_path, folder):
    path = package(tmp_path, "vim", {"usr/bin/vim": "x"})
    with pytest.raises(VxlabError, match=r"wanted a kernel image, found none in vim_1\.0_amd64"):
        kernels.find(str(path))
    assert os.listdir(folder / "kernels") == ["CACHEDIR.TAG"]


def own(tmp_path, release="6.99.0-mine"):
    """A kernel as its build leaves it: the image, its .config, modules installed elsewhere."""
    image = bzimage(tmp_path / "arch/bzImage", release)
    (tmp_path / "arch/.config").write_text("CONFIG_MINE=y\n")
    modules = tmp_path / "installed/lib/modules" / release
    (modules / "kernel").mkdir(parents=True)
    (modules / "kernel/mine.ko").write_bytes(b"\x7fELF")
    (modules / "build").symlink_to("/nonexistent")
    return image, modules


def test_a_kernel_of_ones_own_with_its_modules(tmp_path):
    image, modules = own(tmp_path)
    found = kernels.find(str(image), modules=modules)
    assert (found.release, found.image, found.config) == ("6.99.0-mine", image, "CONFIG_MINE=y\n")
    assert sorted(x.name for x in found.modules.rglob("*.ko")) == ["mine.ko"]
    assert (found.modules / "modules.dep").exists()
    assert not (found.modules / "build").is_symlink()
    assert not (modules / "modules.dep").exists(), "written into the developer's own folder"


def test_modules_that_were_built_again_are_taken_again(tmp_path):
    image, modules = own(tmp_path)
    first = kernels.find(str(image), modules=modules).modules
    assert kernels.find(str(image), modules=modules).modules == first
    (modules / "kernel/mine.ko").write_bytes(b"\x7fELF2")
    os.utime(modules / "kernel/mine.ko", ns=(1, 1))
    again = kernels.find(str(image), modules=modules).modules
    assert again != first
    assert (again / "kernel/mine.ko").read_bytes() == b"\x7fELF2"


def test_a_kernel_of_ones_own_without_modules(tmp_path):
    image, _ = own(tmp_path)
    assert kernels.find(str(image)).modules is None


def test_a_folder_without_modules_is_named(tmp_path):
    image, _ = own(tmp_path)
    for place in (tmp_path / "none", tmp_path / "arch"):
        with pytest.raises(VxlabError, match=rf"modules of 6\.99\.0-mine, found {place}"):
            kernels.find(str(image), modules=place)


def test_modules_go_with_an_image_only(tmp_path):
    with pytest.raises(VxlabError, match=r"--modules goes with a bzImage of your own.*'6.1'"):
        kernels.find("6.1", modules=tmp_path)


def test_the_release_is_read_from_the_image(tmp_path):
    assert kernels.release_of(bzimage(tmp_path / "a", "7.2.13+deb14-x")) == "7.2.13+deb14-x"


def test_what_is_no_image_is_named(tmp_path):
    for name, data in {"short": b"x", "elf": b"\x7fELF" + bytes(0x400)}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VxlabError, match=f"wanted a bzImage of x86, .*{name}"):
            kernels.release_of(tmp_path / name)
    nameless = bzimage(tmp_path / "nameless")
    data = bytearray(nameless.read_bytes())
    data[0x20E:0x210] = b"\0\0"
    nameless.write_bytes(data)
    with pytest.raises(VxlabError, match=r"names its release, found none in .*nameless"):
        kernels.find(str(nameless))
