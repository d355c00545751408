"""Programs beside a test: their output blocks nobody, can be read, and is kept as evidence."""

from __future__ import annotations

import gc
import subprocess
import warnings
from pathlib import Path

import pytest
from lab_tools import two_hosts
from resource_tools import nothing_left

from vxlab.errors import VxlabError
from vxlab.explain import failure_report
from vxlab.live.lab import Lab
from vxlab.live.node import Node
from vxlab.system.waiting import wait_until

TALK = "i=0; while [ $i -lt 3000 ]; do echo line-$i-with-words-behind-it >&2; i=$((i+1)); done"


def test_a_program_that_writes_much_is_not_blocked(h1: Node) -> None:
    process = h1.popen("sh", "-c", f"{TALK}; echo end; exec sleep 1234")
    wait_until(lambda: process.output().endswith("end\n"), "all lines to be written")
    assert len(process.output()) > 1 << 16
    assert process.poll() is None
    assert process.output().startswith("line-0-with-words-behind-it\n")


def test_output_goes_where_it_is_told_to_go(h1: Node) -> None:
    pipe = subprocess.PIPE
    both = h1.popen("sh", "-c", "echo a; echo b >&2", stdout=pipe, stderr=pipe)
    assert both.communicate() == ("a\n", "b\n")
    with pytest.raises(VxlabError, match=r"wanted what `sh -c .*` has written, found that its"):
        both.output()
    half = h1.popen("sh", "-c", "echo a; echo b >&2", stdout=pipe)
    assert half.communicate() == ("a\n", None)
    assert half.output() == "b\n"


def test_each_program_has_a_log_of_its_own(lab: Lab) -> None:
    for name in ("h1", "h2", "h1"):
        assert lab[name].popen("echo", name).wait() == 0
    assert {name: path.read_text() for name, path in lab.logs.items()} == {
        "h1-1-echo.log": "h1\n",
        "h1-3-echo.log": "h1\n",
        "h2-2-echo.log": "h2\n",
    }


def test_logs_are_in_the_evidence(lab: Lab, tmp_path: Path) -> None:
    lab["h1"].popen("sh", "-c", TALK).wait()
    lab["h2"].popen("echo", "said").wait()
    lab["h2"].popen("true").wait()
    own = failure_report.write_evidence(lab, tmp_path, "test", "")
    found = {path.name: path.read_text() for path in (own / "logs").iterdir()}
    assert found["h1-1-sh.log"].count("\n") == 3000
    assert found["h2-2-echo.log"] == "said\n"
    text = failure_report.logs_text(lab)
    assert text.startswith("--- h1-1-sh.log\n(the last 20 of 3000 lines)\nline-2980-with-")
    assert text.endswith("\n--- h2-2-echo.log\nsaid")


def test_a_program_that_nobody_ended_ends_quietly(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with warnings.catch_warnings(record=True) as told, nothing_left(tmp_path / "temp"):
        warnings.simplefilter("always")
        with Lab(two_hosts()) as lab:
            lab["h1"].popen("sleep", "1234")
            lab["h1"].popen("sleep", "1234", stdin=pipe, stdout=pipe, stderr=pipe)
            kept = lab["h2"].popen("sleep", "1234", stdout=pipe)
        assert kept.stdout.closed
        assert kept.returncode == -9
        del kept
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_a_closed_lab_has_no_output_any_more(tmp_path: Path) -> None:
    with nothing_left(tmp_path / "temp"):
        with Lab(two_hosts()) as lab:
            node, process = lab["h1"], lab["h1"].popen("echo", "said")
        with pytest.raises(VxlabError, match="found its lab already closed"):
            process.output()
        with pytest.raises(VxlabError, match=r"h1: .*found its lab already closed"):
            node.popen("true")
