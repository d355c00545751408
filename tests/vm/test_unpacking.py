"""What a guest gives back, whatever that is: nothing gets out, nothing is lost without a word."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from vxlab.vm import unpacking


def archive(path: Path, *members: tuple[str, dict, bytes]) -> Path:
    """A tar with a file ``first``, these members, and a file ``last``."""
    with tarfile.open(path, "w") as packed:
        for name, fields, data in (("first", {}, b"1"), *members, ("last", {}, b"2")):
            info = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(info, field, value)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


LINK, HARD = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}

#: What is left out, and what is said of it.
LEFT_OUT = {
    "pipe": (("p", {"type": tarfile.FIFOTYPE}, b""), "'p': no file with a content"),
    "device": (("d", {"type": tarfile.CHRTYPE}, b""), "'d': no file with a content"),
    "absolute link": (("l", {**LINK, "linkname": "/etc/passwd"}, b""), "out, to '/etc/passwd'"),
    "link out": (("a/l", {**LINK, "linkname": "../../.."}, b""), "that leads out, to '../../..'"),
    "hard link out": (("h", {**HARD, "linkname": "../x"}, b""), "'h': "),
    "hard link to nothing": (("h", {**HARD, "linkname": "none"}, b""), "'h': "),
    "out": (("../evil", {}, b"x"), "'../evil': it would lie outside"),
    "over a folder": (("folder", {}, b"x"), "'folder': Is a directory"),
    "through a link": (("there/x", {}, b"x"), "'there/x': it would lie outside"),
    "long": (("n" * 300, {}, b"x"), "File name too long"),
    "date": (("x", {"pax_headers": {"mtime": "1e400"}}, b"y"), ""),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_cannot_be_kept_is_named_and_the_rest_comes(name: str, tmp_path: Path) -> None:
    member, said = LEFT_OUT[name]
    folder = tmp_path / "folder"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (folder / "there").symlink_to(tmp_path / "elsewhere")
    left_out = unpacking.unpack(archive(tmp_path / "tar", member), folder)
    assert (folder / "first").read_text() == "1"
    assert (folder / "last").read_text() == "2"
    if said:
        (line,) = left_out
        assert said in line
    assert os.listdir(tmp_path / "elsewhere") == []
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "folder", "tar"]


def test_names_are_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    (line,) = unpacking.unpack(
        archive(tmp_path / "tar", ("../a\n\x1b[31m", {}, b"")), tmp_path / "f"
    )
    assert line.isprintable()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(4096), []),
        (b"", []),
        (b"no archive" * 1000, ["damaged"]),
        (b"\xff" * 511, ["damaged"]),
    ],
)
def test_what_is_no_archive(data: bytes, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(data)
    found = unpacking.unpack(tmp_path / "tar", tmp_path / "folder")
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


@pytest.mark.parametrize("size", [100, 511, 600, 1600, 2048, 4000])
def test_an_archive_that_is_cut_off_gives_what_is_whole(size: int, tmp_path: Path) -> None:
    whole = archive(tmp_path / "tar", ("large", {}, b"x" * 3000)).read_bytes()
    (tmp_path / "tar").write_bytes(whole[:size])
    assert unpacking.unpack(tmp_path / "tar", tmp_path / "folder")
    found = os.listdir(tmp_path / "folder") if (tmp_path / "folder").exists() else []
    assert ("first" in found) is (size > 512)
    assert "last" not in found
