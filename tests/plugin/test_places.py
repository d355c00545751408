"""Files and folders that options name, and that are none: refused before any test is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vxlab.plugin.reports import SeenRecorder

WRITTEN = ("--vxlab-reports", "--vxlab-behaviours")
FOLDERS = ("--vxlab-pcap", "--vxlab-evidence")
PLACES = ("folder", "pipe", "nowhere/x")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a test, and with what is no file to write to, no folder, or no list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("no JSON")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def run(*options: str) -> tuple[int, str]:
    """The exit code of a run in this folder, and all that it says."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    words += ["-o", "vxlab_sandbox=never", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said
    return done.returncode, said


def check_refused(option: str, value: str) -> None:
    code, said = run(option, value)
    assert code == 4, said
    assert f"{option}: wanted a " in said or f"argument {option}: invalid" in said
    assert ": name another" in said or "invalid named value" in said
    assert "1 passed" not in said


@pytest.mark.parametrize("option", WRITTEN)
def test_what_cannot_be_written_is_refused(folder: Path, option: str) -> None:
    for place in PLACES:
        check_refused(option, place)
    check_refused(option, "")


@pytest.mark.parametrize("option", FOLDERS)
def test_what_can_be_no_folder_is_refused(folder: Path, option: str) -> None:
    for place in ("file", "/proc/x", ""):
        check_refused(option, place)


def test_a_full_disk_ends_a_run_that_is_to_report(folder: Path) -> None:
    code, said = run("--vxlab-reports", "/dev/full")
    assert code == 4
    assert "--vxlab-reports: wanted a file to write to, found /dev/full: No space left" in said


@pytest.mark.parametrize("name", ["folder", "pipe", "file", "/dev/zero", "nowhere"])
def test_what_is_no_file_of_tests_that_were_seen_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(
        pytest.UsageError, match=rf"--vxlab-seen: wanted .*, found {name}: .*: name"
    ):
        SeenRecorder(Path(name))


@pytest.mark.parametrize(
    "text", [b"5", b"{}", b'"x"', b"[{}]", b"[1]", b"nan", b"", b"[" * 100_000, b"\xff\xfe"]
)
def test_what_is_no_list_of_tests_that_were_seen_is_refused(folder: Path, text: bytes) -> None:
    (folder / "seen.json").write_bytes(text)
    with pytest.raises(pytest.UsageError, match="wanted a file with a list of node ids as JSON"):
        SeenRecorder(Path("seen.json"))


def test_a_list_of_numbers_ends_the_run(folder: Path) -> None:
    (folder / "seen.json").write_text("[1]")
    check_refused("--vxlab-seen", "seen.json")
    check_refused("--vxlab-seen", "")


def test_folders_are_made_and_links_followed(folder: Path) -> None:
    (folder / "link").symlink_to("reports.jsonl")
    code, said = run("--vxlab-pcap", "new/pcap", "--vxlab-reports", "link")
    assert code == 0, said
    assert (folder / "new/pcap").is_dir()
    assert '"case":"test_it.py::test_it"' in (folder / "reports.jsonl").read_text()
