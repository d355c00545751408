"""Files that may be pipes, devices or nothing: opened without waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vxlab.system import files


def test_a_file_is_written_anew_or_added_to(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for append, wanted in ((False, "a\udcffb"), (True, "c"), (False, "d")):
        with files.open_to_write(path, append=append) as file:
            file.write(wanted)
    assert files.read_text(path) == "d"
    with files.open_to_write(path, append=True) as file:
        file.write("\udcff")
    assert files.read_text(path) == "d\\udcff"


def test_a_pipe_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a pipe that nobody reads"):
        files.open_to_write(pipe)
    with pytest.raises(OSError, match="a pipe that nobody reads"):
        files.check_writable(pipe)
    with pytest.raises(OSError, match="a pipe or a device, not a file"):
        files.read_text(pipe)


def test_a_pipe_with_a_reader_is_written_to_and_waits_for_it() -> None:
    read, write = os.pipe()
    with files.open_to_write(f"/dev/fd/{write}") as file:
        assert os.get_blocking(file.fileno())
        file.write("x")
    os.close(write)
    assert os.read(read, 10) == b"x"
    os.close(read)


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    for use in (files.open_to_write, files.read_text):
        with pytest.raises(OSError, match="no name of a file"):
            use(name)


def test_what_could_be_written_is_not_made(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    for name in ("no/x", "", "/proc/x/y"):
        with pytest.raises(OSError):  # noqa: PT011 - of the system, or of no name
            files.check_writable(tmp_path / name if name else name)
    with pytest.raises(IsADirectoryError):
        files.check_writable(tmp_path)
