"""The command line as a whole: its exit codes, its help, and how errors are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from vxlab import sandbox
from vxlab.commands import main


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["doctor", "--no-such-option"]])
def test_a_wrong_command_line_ends_with_2(
    argv: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(argv)
    assert ended.value.code == 2
    assert "usage: vxlab" in capsys.readouterr().err


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())  # a long name has its summary below it
    assert all(f" {command.name} {command.summary}" in said for command in main.SUBCOMMANDS)


def test_an_error_is_one_line_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sandbox, "inside", lambda: True)  # it looks around in this process
    assert main.main(["doctor", "vfr"]) == 1
    said = capsys.readouterr()
    assert said.err == "vxlab: wanted the name of a feature, found 'vfr': did you mean vrf?\n"
    assert not said.out


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = f"{sys.executable} -m vxlab script kim-and-lee"
    shell = f"{{ {program}; echo $? >&2; }} | {{ exec <&-; }}"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stderr == "1\n"


def test_each_subcommand_is_a_module_of_its_name() -> None:
    for each in main.SUBCOMMANDS:
        module = sys.modules[f"vxlab.commands.{each.name.replace('-', '_')}"]
        assert module.COMMAND is each
