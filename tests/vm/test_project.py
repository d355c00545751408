"""What of a project goes into a guest, and how."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from vxlab.errors import VxlabError
from vxlab.vm import cache, project


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with one test, a hidden file, and folders that are no part of it."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    root = tmp_path / "project"
    for name in (
        *("test_one.py", "tools.py", "data/ä b.txt", ".hidden", ".venv/x.py"),
        *("env/pyvenv.cfg", "env/lib/x.py", "__pycache__/test_one.x.pyc", "ignored.log"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("assert 1 + 1 == 2\n")
    (root / ".gitignore").write_text("*.log\n__pycache__\nenv\n.venv\n")
    return root


def names(root):
    return [str(x) for x in project.files_of(root)]


def git(root, *words):
    if shutil.which("git") is None:
        pytest.skip("wanted git, found none: install it to run this test")
    subprocess.run(["git", "-C", root, *words], check=True, capture_output=True)


def unpacked(root, tmp_path):
    """What a guest has of a project, as the folder ``tree``."""
    project.pack(root, tmp_path / "tar", [])
    subprocess.run(["mkdir", tmp_path / "tree"], check=True)
    subprocess.run(["tar", "-xf", tmp_path / "tar", "-C", tmp_path / "tree"], check=True)
    return tmp_path / "tree/work/project"


def test_without_git_all_that_is_not_hidden(folder):
    assert names(folder) == ["data/ä b.txt", "ignored.log", "test_one.py", "tools.py"]


def test_with_git_what_git_would_keep(folder):
    git(folder, "init")
    git(folder, "add", "test_one.py", "tools.py")
    (folder / "tools.py").unlink()
    assert names(folder) == [".gitignore", ".hidden", "data/ä b.txt", "test_one.py"]


def test_where_git_is_not_installed(folder, monkeypatch, tmp_path):
    (folder / ".git").mkdir()  # as of a project that git made, before or on another machine
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ignored.log" in names(folder)


def test_a_project_that_is_too_large_is_named(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(project, "LARGEST", 1 << 20)
    with (folder / "large").open("wb") as file:
        file.truncate((2 << 20) + 1)
    with pytest.raises(VxlabError, match=rf"at most 1 MB, found 2 MB in {folder}: run it in"):
        project.pack(folder, tmp_path / "tar", [])


def test_the_project_and_vxlab_are_put_where_the_guest_has_them(folder, tmp_path):
    unpacked(folder, tmp_path)
    inside, library = tmp_path / "tree/work/project", tmp_path / "tree/work/lib"
    assert (inside / "data/ä b.txt").exists()
    assert not (inside / ".venv").exists()
    assert (library / "vxlab/vm/project.py").read_bytes() == Path(project.__file__).read_bytes()
    found = subprocess.run(
        [sys.executable, "-S", "-c", "import importlib.metadata as m; "
         "print(*m.entry_points(group='pytest11'))"],
        env={"PYTHONPATH": str(library)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "value='vxlab.plugin.hooks'" in found.stdout


@pytest.mark.parametrize("known", [False, True], ids=["", "git"])
def test_links_and_pipes_are_no_obstacle(known, folder, tmp_path):
    """A link to a file is its content, any other what it is; what has no content is left out."""
    (folder / "file").symlink_to("tools.py")
    (folder / "nowhere").symlink_to("/no/such/file")
    (folder / "itself").symlink_to("itself")
    (folder / "below").symlink_to("data")
    (folder / "device").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    if known:
        git(folder, "init")
        git(folder, "add", "--all")
    inside = unpacked(folder, tmp_path)
    assert (inside / "file").read_text() == (folder / "tools.py").read_text()
    assert not (inside / "file").is_symlink()
    links = {x.name: os.readlink(x) for x in inside.iterdir() if x.is_symlink()}
    assert links == {
        "nowhere": "/no/such/file", "itself": "itself", "below": "data", "device": "/dev/null"
    }  # fmt: skip
    assert not {"pipe", "socket"} & {x.name for x in inside.iterdir()}


def test_modes_and_odd_names_are_kept(folder, tmp_path):
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    odd = os.fsdecode(b"\xff \n") + "n" * 200
    (folder / odd).write_text("x")
    inside = unpacked(folder, tmp_path)
    assert (inside / "run").stat().st_mode & 0o777 == 0o755
    assert (inside / odd).read_text() == "x"


def test_a_file_that_cannot_be_read_is_named(folder, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(project._Archive, "file", refuse)
    with pytest.raises(VxlabError, match=r"wanted to pack .*ä b.txt, found: Permission denied"):
        project.pack(folder, tmp_path / "tar", [])


def test_packing_writes_nothing_but_the_archive(folder, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    seen = []

    class Watched(project._Archive):
        def file(self, path, name):
            seen.append(os.listdir(tmp_path / "tmp"))
            super().file(path, name)

    monkeypatch.setattr(project, "_Archive", Watched)
    project.pack(folder, tmp_path / "tar", [])
    assert len(seen) > 100
    assert not any(seen)


def test_an_empty_folder_is_a_project_too(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    unpacked(tmp_path / "empty", tmp_path)
    assert list((tmp_path / "tree/work/project").iterdir()) == []


def test_the_tar_has_the_command_and_belongs_to_root(folder, tmp_path):
    tar = tmp_path / "files.tar"
    project.pack(
        folder, tar, ["echo $A $VXLAB_USERNS $VXLAB_EXPENDABLE", "exit 3"], {"A": "it's $HOME"}
    )
    with tarfile.open(tar) as packed:
        assert {(x.uid, x.gid, x.uname) for x in packed} == {(0, 0, "root")}
        assert packed.getmember("usr/local/bin/pytest").mode & 0o111
        command = packed.extractfile("vxlab/command").read().decode()
    where = command.replace(project.INSIDE, str(folder))
    done = subprocess.run(["bash", "-c", where], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("it's $HOME no yes\n", 3)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_output_of_a_command_is_a_terminal_or_not(terminal, folder, tmp_path):
    """A terminal stands for the port of a guest."""
    project.pack(folder, tmp_path / "tar", ["test -t 1", "exit $?"], terminal=terminal)
    (tmp_path / "tree").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "tar", "-C", tmp_path / "tree"], check=True)
    for file in (tmp_path / "tree/vxlab").glob("*"):
        text = file.read_text().replace("/work/", f"{tmp_path}/tree/work/")
        file.write_text(text.replace(" /vxlab/", f" {tmp_path}/tree/vxlab/"))
    ours, port = pty.openpty()
    words = ["bash", tmp_path / "tree/vxlab/command"]
    done = subprocess.run(words, stdout=port, stderr=subprocess.PIPE, text=True, check=False)
    os.close(port)
    os.close(ours)
    assert done.stderr == ""
    assert done.returncode == (0 if terminal else 1)


def test_a_guest_is_told_where_its_tools_are(folder, tmp_path):
    for tools in (None, Path("/var/cache/vxlab/iproute2")):
        project.pack(folder, tmp_path / "tar", [], tools=tools)
        with tarfile.open(tmp_path / "tar") as packed:
            names = packed.getnames()
            assert ("vxlab/tools" in names) is (tools is not None)
    with tarfile.open(tmp_path / "tar") as packed:
        assert packed.extractfile("vxlab/tools").read() == b"/var/cache/vxlab/iproute2"


def test_a_project_cannot_hide_what_is_installed(folder, tmp_path):
    """A folder vxlab in the project, as in vxlab's own, is not what pytest's plugin comes from."""
    unpacked(folder, tmp_path)
    programs = {
        name: (tmp_path / "tree" / name).read_text()
        for name in ("usr/local/bin/vxlab", "usr/local/bin/pytest", "vxlab/python")
    }
    assert 'exec /vxlab/python -m vxlab "$@"' in programs["usr/local/bin/vxlab"]
    assert programs["usr/local/bin/pytest"].count("exec /vxlab/python -") == 2
    assert 'exec python3 -P "$@"' in programs["vxlab/python"]
    assert str(Path(project.__file__).parents[2]) not in str(programs)
