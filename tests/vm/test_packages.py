"""Packages of other suites, by the real apt from a small mirror in a folder."""

from __future__ import annotations

import os
import shutil

import pytest
from debian import mirror, package

from vxlab.errors import MissingProgram, VxlabError
from vxlab.vm import cache, packages
from vxlab.vm.packages import Suite, unpack

pytestmark = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="needs apt and dpkg"
)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Two packages in the suite one; needs is what two depends on, of a version with an epoch."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    needed = package(tmp_path, "needed", {"usr/lib/needed": "n"}, Version="2:1.5")
    asking = package(
        tmp_path, "asking", {"bin/asking": "a", "usr/share/doc/x": "d"}, Depends="needed (>= 2:1)"
    )
    address = mirror(tmp_path / "mirror", one=[needed, asking])
    monkeypatch.setattr(packages, "mirror", lambda: address)
    return tmp_path / "mirror"


def test_the_fields_of_a_package(archive):
    fields = Suite("one").fields("asking")
    assert (fields["Version"], fields["Depends"]) == ("1.0", "needed (>= 2:1)")
    assert Suite("one").fields("unknown") == {}


def test_packages_alone_and_with_all_they_need(archive):
    alone = Suite("one").fetch("asking")
    assert [x.name for x in alone] == ["asking_1.0_amd64.deb"]
    both = Suite("one").fetch_all(["asking"])
    assert sorted(x.name for x in both) == ["asking_1.0_amd64.deb", "needed_2%3a1.5_amd64.deb"]
    assert all(x.is_file() for x in both)


def test_the_list_is_fetched_when_it_is_old_and_only_then(archive):
    said = []
    suite = Suite("one", said.append)
    suite.refresh()
    suite.refresh()
    assert said == ["fetching the list of packages of one"]
    os.utime(cache.folder() / "apt/one/stamp", (0, 0))
    suite.refresh()
    assert len(said) == 2


def test_a_list_that_cannot_be_fetched_is_no_fresh_one(archive, tmp_path):
    shutil.move(archive, tmp_path / "away")
    for _ in "12":
        with pytest.raises(VxlabError, match=r"`apt-get .*update.* ended with"):
            Suite("one").refresh()
    shutil.move(tmp_path / "away", archive)
    assert Suite("one").fields("asking")


def test_an_old_list_that_cannot_be_fetched_again_stays_old(archive):
    suite = Suite("one")
    suite.refresh()
    stamp = cache.folder() / "apt/one/stamp"
    os.utime(stamp, (0, 0))
    shutil.rmtree(archive)
    with pytest.raises(VxlabError, match="update"):
        suite.refresh()
    assert stamp.stat().st_mtime == 0


def test_a_mirror_that_has_newer_ones_is_asked_again(archive, tmp_path):
    suite = Suite("one")
    suite.refresh()
    shutil.rmtree(archive)
    newer = package(tmp_path / "newer", "asking", {"bin/asking": "a"}, Version="3.0")
    mirror(archive, one=[newer])
    assert [x.name for x in suite.fetch("asking")] == ["asking_3.0_amd64.deb"]


def test_a_package_that_is_nowhere_is_an_error(archive):
    with pytest.raises(VxlabError, match=r"unknown.* ended with 100: .*Unable to locate"):
        Suite("one").fetch("unknown")


def test_folders_are_merged_as_on_a_system_of_today(archive, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    unpack(Suite("one").fetch_all(["asking"]), tree)
    assert (tree / "bin").is_symlink()
    assert (tree / "usr/bin/asking").read_text() == "a"
    assert (tree / "usr/lib/needed").read_text() == "n"


def test_what_is_no_package_is_named(tmp_path):
    broken = tmp_path / "broken.deb"
    broken.write_text("nothing")
    with pytest.raises(VxlabError, match=r"wanted to unpack .*broken\.deb"):
        unpack([broken], tmp_path)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("https://one.example/debian-security/\nhttps://two.example/debian/", "two"),
        ("http://one.example/debian\n", "one"),
        ("https://one.example/ubuntu/", None),
        ("", None),
    ],
)
def test_the_mirror_is_the_systems_own(answer, found, monkeypatch):
    monkeypatch.setattr(packages, "_output", lambda *_, **__: answer)
    if found:
        assert packages.mirror().startswith((f"http://{found}.", f"https://{found}."))
    else:
        what = "ubuntu" if answer else "none at all"
        with pytest.raises(VxlabError, match=f"Debian's archive in apt's sources.*{what}"):
            packages.mirror()


UBUNTU = "http://archive.ubuntu.example/ubuntu\n"


@pytest.fixture
def ubuntu(monkeypatch, tmp_path):
    """A system whose own archive is not Debian's; the file that would hold Debian's keys."""
    monkeypatch.setattr(packages, "_output", lambda *_, **__: UBUNTU)
    monkeypatch.setattr(packages, "KEYRING", tmp_path / "debian.gpg")
    return tmp_path / "debian.gpg"


def test_another_distribution_is_told_what_it_takes(ubuntu):
    ubuntu.touch()
    with pytest.raises(VxlabError, match=r"ubuntu.*debian-archive-keyring, and set VXLAB_DEBIAN"):
        packages.mirror()


def test_another_distribution_takes_debians_packages_by_debians_keys(ubuntu, monkeypatch):
    monkeypatch.setenv("VXLAB_DEBIAN", "http://one.example/debian")
    with pytest.raises(VxlabError, match=f"wanted Debian's keys in {ubuntu}.*found none: install"):
        packages.mirror()
    ubuntu.touch()
    assert packages.mirror() == f"[signed-by={ubuntu}] http://one.example/debian"


@pytest.mark.parametrize("address", ["one.example", "/debian", "[x=y] http://one/debian", "a:/b c"])
def test_what_is_no_address_of_a_mirror(ubuntu, monkeypatch, address):
    monkeypatch.setenv("VXLAB_DEBIAN", address)
    ubuntu.touch()
    with pytest.raises(VxlabError, match=r"wanted an address like .* in VXLAB_DEBIAN, found"):
        packages.mirror()


def test_apt_insists_on_those_keys(ubuntu, archive, monkeypatch):
    """The keys of another archive will not do, though this system's apt trusts them."""
    monkeypatch.undo()
    monkeypatch.setenv("VXLAB_DEBIAN", f"file:{archive}")
    monkeypatch.setenv(cache.VARIABLE, str(archive.parent / "cache"))
    monkeypatch.setattr(packages, "KEYRING", ubuntu)
    ubuntu.touch()
    with pytest.raises(VxlabError, match=r"update.* ended with 100: .*not signed"):
        Suite("one").refresh()


@pytest.mark.parametrize(
    ("name", "package"), [("apt-get", "apt"), ("apt-cache", "apt"), ("dpkg-deb", "dpkg")]
)
def test_where_there_is_no_apt_at_all(monkeypatch, name, package):
    monkeypatch.setattr(packages.shutil, "which", lambda *_, **__: None)
    with pytest.raises(VxlabError, match=f"wanted {name} .*need Debian or one of its kind"):
        packages.program(name, package)


def test_programs_outside_of_path_are_found_and_missing_ones_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert packages.program("ldconfig", "libc-bin").endswith("sbin/ldconfig")
    with pytest.raises(MissingProgram, match=r"'no-such'.*install the package none-such"):
        packages.program("no-such", "none-such")
    (tmp_path / "dpkg").write_text("#!/bin/sh\necho arm64\n")
    (tmp_path / "dpkg").chmod(0o755)
    with pytest.raises(VxlabError, match="wanted the architecture amd64, found arm64"):
        packages.architecture()
