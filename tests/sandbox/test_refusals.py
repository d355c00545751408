"""Where a system forbids sandboxes, the error names the setting."""

from __future__ import annotations

import json
import re
import sys
import threading

import pytest
from project_tools import FACTS, PYTEST
from sandbox_tools import forbidding, here

from vxlab.sandbox import refusals


@pytest.mark.parametrize("setting", ["max_user_namespaces", "max_net_namespaces"])
def test_a_system_that_forbids_it_is_named_with_its_setting(project, setting):
    project.write("test_facts.py", FACTS)
    done = project.call([*forbidding(setting), *PYTEST])
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"the setting user.{setting} = 0 forbids them" in done.stderr
    assert done.stderr.startswith("vxlab: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not (project.folder / "facts.json").exists()


def test_root_needs_no_user_namespace(project):
    project.write("test_facts.py", FACTS)
    done = project.call([*forbidding("max_user_namespaces", capable=True), *PYTEST])
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((project.folder / "facts.json").read_text())
    assert facts["inside"]
    assert facts["pids"] == [1, facts["pid"]]
    assert list(facts["links"]) == ["lo"]


@pytest.mark.parametrize("wish", ["no", "yes"])
def test_root_may_do_without_a_user_namespace(project, wish):
    facts = project.facts(VXLAB_USERNS=wish)
    assert (facts["ns"]["user"] == here("user")) == (wish == "no")
    assert facts["ns"]["net"] != here("net")
    assert facts["inside"]
    assert facts["pids"] == [1, facts["pid"]]
    assert list(facts["links"]) == ["lo"]


def test_why_not_says_the_same_sentence(project):
    ask = "from vxlab import sandbox; print(sandbox.why_not())"
    done = project.call([*forbidding("max_user_namespaces"), sys.executable, "-c", ask])
    assert "the setting user.max_user_namespaces = 0 forbids them" in done.stdout
    done = project.call([sys.executable, "-c", ask])
    assert done.stdout == "None\n"


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_mnt_namespaces", "0", "15000"),
    ],
)
def test_every_setting_that_may_forbid_it_is_known(tmp_path, name, value, good):
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(value + "\n")
    problem = PermissionError(1, "unshare: Operation not permitted")
    sentence = refusals.explain(problem, 1000, str(tmp_path))
    setting = name.replace("/", ".")
    assert f"the setting {setting} = {value} forbids them" in sentence
    assert f"`sudo sysctl -w {setting}={good}`" in sentence
    path.write_text(good + "\n")
    assert setting not in refusals.explain(problem, 1000, str(tmp_path))


def test_what_no_setting_explains_is_told_by_the_error(tmp_path):
    none = str(tmp_path)
    full = refusals.explain(OSError(28, "unshare: No space left on device"), 0, none)
    assert "too many namespaces" in full
    hidden = refusals.explain(PermissionError(1, "mount proc on /proc: not permitted"), 0, none)
    assert "run the container with --privileged" in hidden


def test_a_program_with_threads_is_told_so(tmp_path):
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    sentence = refusals.explain(OSError(22, "unshare: Invalid argument"), 1000, str(tmp_path))
    end.set()
    thread.join()
    assert re.search(r"this program has \d+ threads", sentence)
    assert "outside a chroot" not in sentence
