"""``vxlab script``: a script that is printed or written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vxlab import catalog
from vxlab.apply.script import script_of
from vxlab.commands import main


def test_a_script_is_printed_or_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["script", "bridged", "--set", "hosts=3", "--set", "group=239.1.2.3"]
    assert main.main(argv) == 0
    shown = capsys.readouterr().out
    made_by = "vxlab script bridged --set hosts=3 --set group=239.1.2.3"
    summary = "bridged, flooding to a multicast group in place of remotes."
    topology = catalog.bridged(hosts=3, group="239.1.2.3")
    assert shown == script_of(topology, summary=summary, made_by=made_by)
    file = tmp_path / "it.sh"
    assert main.main([*argv, "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == shown
    assert os.access(file, os.X_OK)


def test_a_setting_cannot_become_a_line_of_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["script", "bridged", "--set", "hosts=2\n"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("vxlab: script: made_by: wanted a line of printable text, found")


def test_a_pipe_that_nobody_reads_is_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, found in ((str(tmp_path / "pipe"), "a pipe that nobody reads"), ("", "no name")):
        assert main.main(["script", "bridged", "-o", name]) == 1
        assert f"wanted to write {name}, found: {found}" in capsys.readouterr().err
