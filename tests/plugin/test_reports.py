"""``--vxlab-reports``: a line for what each test did, and the marker known_difference."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from plugin_tools import HEAD, NO_SANDBOX, counts, run
from project_tools import Project

from vxlab.plugin.reports import LONGEST
from vxlab.results.model import EXPENDABLE

TESTS = """
@pytest.fixture
def broken():
    raise RuntimeError("no lab")

@pytest.fixture
def untidy():
    yield
    raise RuntimeError("not tidied up")

@pytest.mark.known_difference("K40", since="6.1")
@pytest.mark.known_difference("I3", until="6.7", of="iproute2")
def test_pass():
    pass

def test_fail():
    print("what it printed")
    wanted = 1
    assert wanted == 2, "the sum is wrong"

def test_setup_error(broken):
    pass

def test_teardown_error(untidy):
    pass

def test_failure_and_teardown_error(untidy):
    assert False, "first of all"

def test_skip():
    pytest.skip("needs vrf")

@pytest.mark.skip(reason="not today")
def test_skip_mark():
    pass

def test_skip_and_teardown_error(untidy):
    pytest.skip("needs vrf")

@pytest.mark.xfail(reason="to be done", strict=True)
def test_xfail():
    assert False

@pytest.mark.xfail
def test_xfail_without_reason():
    assert False

@pytest.mark.xfail(reason="to be done", strict=False)
def test_xpass():
    pass

@pytest.mark.xfail(reason="to be done", strict=True)
def test_xpass_strict():
    pass

def test_long():
    print("A" * 50_000 + "M" * 50_000 + "Z" * 50_000)
    assert False

@pytest.mark.known_difference("K40", sinse="6.1")
def test_wrong_keyword():
    pass

@pytest.mark.known_difference("K40", of="systemd")
def test_wrong_part():
    pass

@pytest.mark.known_difference()
def test_no_id():
    pass
"""

#: What becomes of each test: outcome, and the reason's first line.
WANTED = {
    "test_pass": ("passed", None),
    "test_fail": ("failed", "AssertionError: the sum is wrong"),
    "test_setup_error": ("error", "RuntimeError: no lab"),
    "test_teardown_error": ("error", "RuntimeError: not tidied up"),
    "test_failure_and_teardown_error": ("failed", "AssertionError: first of all"),
    "test_skip": ("skipped", "needs vrf"),
    "test_skip_mark": ("skipped", "not today"),
    "test_skip_and_teardown_error": ("error", "RuntimeError: not tidied up"),
    "test_xfail": ("xfailed", "to be done"),
    "test_xfail_without_reason": ("xfailed", None),
    "test_xpass": ("xpassed", "to be done"),
    "test_xpass_strict": ("failed", "[XPASS(strict)] to be done"),
    "test_long": ("failed", "assert False"),
    "test_wrong_keyword": ("error", "vxlab.errors.VxlabError: test_it.py::test_wrong_keyword: "),
    "test_wrong_part": ("error", "vxlab.errors.VxlabError: test_it.py::test_wrong_part: "),
    "test_no_id": ("error", "vxlab.errors.VxlabError: test_it.py::test_no_id: "),
}


def lines(project: Project) -> list[dict[str, Any]]:
    text = (project.folder / "lines").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def cases(told: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The cases by the name of their test; each has one."""
    found = {each["case"].partition("::")[2]: each for each in told if "case" in each}
    assert len(found) == sum("case" in each for each in told)
    return found


def first_lines(found: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str | None]]:
    """Outcome and beginning of the reason, as :data:`WANTED` has it."""
    return {
        name: (each["outcome"], each["reason"].partition("\n")[0] if "reason" in each else None)
        for name, each in found.items()
    }


def starts_as_wanted(found: dict[str, dict[str, Any]]) -> None:
    told = first_lines(found)
    assert told.keys() == WANTED.keys()
    for name, (outcome, reason) in WANTED.items():
        assert told[name][0] == outcome, name
        if reason and reason.startswith("vxlab."):
            assert (told[name][1] or "").startswith(reason)
        else:
            assert told[name][1] == reason


def test_each_test_has_a_line_when_it_starts_and_one_when_it_has_ended(project: Project) -> None:
    run(project, TESTS, *NO_SANDBOX, "--vxlab-reports", "lines", "-q")
    told = lines(project)
    names = list(WANTED)
    assert told[0] == {"collected": len(names)}
    assert [each.get("start", each.get("case")) for each in told[1:]] == [
        f"test_it.py::{name}" for name in names for _ in range(2)
    ]
    found = cases(told)
    starts_as_wanted(found)

    assert found["test_pass"]["known"] == [
        {"id": "I3", "since": "", "until": "6.7", "of": "iproute2"},
        {"id": "K40", "since": "6.1", "until": "", "of": "kernel"},
    ]
    assert "known" not in found["test_fail"]
    marked = [each for each in told if "start" in each and "known" in each]
    assert [(each["start"], each["known"]) for each in marked] == [
        ("test_it.py::test_pass", found["test_pass"]["known"])
    ]
    bad = {name for name, (how, _) in WANTED.items() if how in ("failed", "error")}
    assert {name for name, each in found.items() if "evidence" in each} == bad
    assert "what it printed" in found["test_fail"]["evidence"]
    assert "test_it.py:" in found["test_fail"]["evidence"]
    both = found["test_failure_and_teardown_error"]["evidence"]
    assert both.index("first of all") < both.index("not tidied up")
    assert "sinse" in found["test_wrong_keyword"]["reason"]
    assert "wanted kernel or iproute2, found 'systemd'" in found["test_wrong_part"]["reason"]

    long = found["test_long"]["evidence"]
    said = re.search(r"\n\n\[… (\d+) characters are left out here …\]\n\n", long)
    assert said is not None
    assert len(long) == LONGEST + len(said[0])
    assert "AAAA" in long
    assert "MMMM" not in long
    assert long.endswith("ZZZZ\n")
    assert int(said[1]) > 150_000 - LONGEST


def test_workers_tell_the_same_and_one_that_dies_fails_its_test(project: Project) -> None:
    deadly = """
def test_deadly():
    os.kill(os.getpid(), 9)
"""
    xdist = ("-p", "xdist.plugin", "-n2")
    run(project, TESTS + deadly, *xdist, "--vxlab-reports=lines", "-q")
    told = lines(project)
    assert told.count({"collected": len(WANTED) + 1}) == 1
    found = cases(told)
    dead = found.pop("test_deadly")
    assert dead["outcome"] == "failed"
    said = r"worker '\w+' crashed while running 'test_it.py::test_deadly'"
    assert re.search(said, dead["reason"])
    starts_as_wanted(found)
    assert [each["id"] for each in found["test_pass"]["known"]] == ["I3", "K40"]


def test_a_module_that_cannot_be_collected_is_a_case(project: Project) -> None:
    done = run(project, "1 / 0\n", *NO_SANDBOX, "--vxlab-reports=lines")
    assert done.returncode == 2
    (case,) = [each for each in lines(project) if "case" in each]
    assert (case["case"], case["outcome"]) == ("test_it.py", "error")
    assert "ZeroDivisionError" in case["reason"]
    assert "1 / 0" in case["evidence"]


def test_lines_are_added_and_the_behaviour_told(project: Project) -> None:
    marked = """
@pytest.mark.behaviour("A ping is answered.", source="ping(8)")
@pytest.mark.control("Nobody is there.", lab=print)
def test_it():
    pass
"""
    (project.folder / "lines").write_text('{"before": 1}\n')
    run(project, marked, *NO_SANDBOX, "--vxlab-reports=lines")
    told = lines(project)
    assert told[0] == {"before": 1}
    assert cases(told)["test_it"]["behaviour"] == "A ping is answered."
    (start,) = [each for each in told if "start" in each]
    assert start["behaviour"] == "A ping is answered."


DEADLY = """
@pytest.mark.known_difference("K50", until="999", deadly=True)
def test_this_kernel(request):
    pass

@pytest.mark.known_difference("K51", since="999", deadly=True)
@pytest.mark.known_difference("K52", until="999")
def test_another_kernel(request):
    pass
"""


def test_what_would_end_this_kernel_is_skipped(project: Project) -> None:
    done = run(project, DEADLY, *NO_SANDBOX, "-rs")
    assert counts(done) == {"passed": 1, "skipped": 1}
    assert f"K50 ends kernels such as this one, {os.uname().release}: run it in" in done.stdout


def test_what_would_end_this_kernel_runs_where_nothing_is_lost(project: Project) -> None:
    (project.folder / "test_it.py").write_text(HEAD + DEADLY)
    expendable = {EXPENDABLE: "yes"}
    assert counts(project.pytest(*NO_SANDBOX, **expendable)) == {"passed": 2}
    assert counts(project.pytest(*NO_SANDBOX, **{EXPENDABLE: "no"})) == {"passed": 1, "skipped": 1}


def test_a_file_that_cannot_be_written_is_a_wrong_command_line(project: Project) -> None:
    done = run(project, TESTS, *NO_SANDBOX, "--vxlab-reports=nowhere/lines")
    assert done.returncode == 4
    wanted = "--vxlab-reports: wanted a file to write to, found nowhere/lines: No such file"
    assert wanted in done.stderr
    assert not (project.folder / "nowhere").exists()


def test_a_wrong_marker_is_an_error_without_reports_too(project: Project) -> None:
    wrong = """
@pytest.mark.known_difference("K40", until="soon")
def test_wrong():
    pass

def test_right():
    pass
"""
    done = run(project, wrong, *NO_SANDBOX)
    assert counts(done) == {"passed": 1, "error": 1}
    assert "until: wanted a version such as 6.12, found 'soon'" in done.stdout
