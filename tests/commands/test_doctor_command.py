"""``vxlab doctor``: what it looks for, where, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from sandbox_tools import forbidding

from vxlab import features, sandbox
from vxlab.commands import main
from vxlab.features import Feature
from vxlab.sandbox.boot import VARIABLE

HERE = Feature(name="ip", title="a program", available=True, version="6.1", required=True)
GONE = Feature(
    name="vrf", title="a device", available=False, reason="no such thing", hint="go elsewhere"
)
NEEDED = Feature(
    name="veth", title="a cable", available=False, reason="refused", hint="buy one", required=True
)


def outside(*argv: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``vxlab`` as a program that was not started in a sandbox, in a user namespace of its own.

    ``before`` is a shell command that prepares that namespace.
    """
    env = {name: value for name, value in os.environ.items() if name != VARIABLE}
    shell = f'{before}\nexec "$@"'
    command = ["unshare", "-Ur", "sh", "-euc", shell, "sh", sys.executable, "-m", "vxlab"]
    return subprocess.run(
        [*command, *argv], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def rows(text: str) -> dict[str, str]:
    """First word of each line to the second."""
    return {words[0]: words[1] for line in text.splitlines() if len(words := line.split()) > 1}


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """``vxlab doctor`` looks around in this process, and starts no sandbox."""
    monkeypatch.setattr(sandbox, "inside", lambda: True)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, in_place: None) -> list[Feature]:
    """The features that ``vxlab doctor`` finds; fill it."""
    listed: list[Feature] = []
    by_name: dict[str, Feature] = {item.name: item for item in (HERE, GONE, NEEDED)}
    monkeypatch.setattr(features, "all_features", lambda: tuple(listed))
    monkeypatch.setattr(features, "survey", lambda names: tuple(map(by_name.get, names)))
    return listed


@pytest.mark.parametrize(
    ("listed", "code"),
    [([HERE], 0), ([HERE, GONE], 0), ([HERE, GONE, NEEDED], 1), ([NEEDED], 1)],
)
def test_only_what_every_scenario_needs_decides(
    found: list[Feature], listed: list[Feature], code: int
) -> None:
    found.extend(listed)
    assert main.main(["doctor"]) == code


@pytest.mark.parametrize(("names", "code"), [(["ip"], 0), (["vrf"], 1), (["ip", "vrf"], 1)])
def test_features_asked_for_by_name_are_all_wanted(
    found: list[Feature], capsys: pytest.CaptureFixture[str], names: list[str], code: int
) -> None:
    found.extend([NEEDED])
    assert main.main(["doctor", *names]) == code
    shown = rows(capsys.readouterr().out)
    assert [name for name in ("ip", "vrf", "veth") if name in shown] == names


def test_json_is_a_list_of_objects_with_fixed_keys(
    found: list[Feature], capsys: pytest.CaptureFixture[str]
) -> None:
    found.extend([HERE, GONE])
    assert main.main(["doctor", "--json"]) == 0
    keys = ["name", "title", "available", "version", "reason", "hint", "required", "known"]
    values = [
        ["ip", "a program", True, "6.1", "", "", True, True],
        ["vrf", "a device", False, "", "no such thing", "go elsewhere", False, True],
    ]
    expected = [dict(zip(keys, row, strict=True)) for row in values]
    shown = json.loads(capsys.readouterr().out)
    assert [list(row.items()) for row in shown] == [list(row.items()) for row in expected]


@pytest.mark.usefixtures("in_place")
def test_the_whole_table_can_be_made_here(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.main(["doctor"])
    shown = rows(capsys.readouterr().out)
    for feature in features.all_features():
        assert shown[feature.name] == ("yes" if feature.available else "no")
    lacking = [item for item in features.all_features() if item.required and not item.available]
    assert code == bool(lacking)


@pytest.mark.parametrize("argv", [["doctor"], ["doctor", "--json", "vrf", "ip"]])
def test_from_outside_it_hands_everything_to_itself_in_a_sandbox(
    monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    started: list[list[str]] = []

    def run(program: list[str]) -> int:
        started.append(program)
        return 42

    monkeypatch.setattr(sandbox, "inside", lambda: False)
    monkeypatch.setattr(sandbox, "run", run)
    assert main.main(argv) == 42
    assert started[0][:3] == [sys.executable, "-m", "vxlab"]
    again = main.parser().parse_args(started[0][3:])
    assert again == main.parser().parse_args(argv)


def test_from_outside_it_enters_a_sandbox_and_finds_the_same() -> None:
    names = ["namespaces", "userns", "veth", "vrf", "netem", "vxlan.ttl", "ip"]
    done = outside("doctor", "--json", *names)
    shown = {row["name"]: row["available"] for row in json.loads(done.stdout)}
    assert shown == {name: features.probe(name).available for name in names}
    assert done.returncode == (0 if all(shown.values()) else 1)


def test_without_namespaces_there_is_still_a_table() -> None:
    done = outside("doctor", before="echo 0 > /proc/sys/user/max_net_namespaces")
    shown = rows(done.stdout)
    assert done.returncode == 1
    assert set(features.names()) <= set(shown)
    assert shown["namespaces"] == "no"
    assert shown["vxlan"] == shown["vxlan.ttl"] == "?"
    assert shown["ip"] == "yes"
    assert "user.max_net_namespaces = 0" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("No scenario can run without namespaces")
    assert "vxlan" not in last  # it was not tried, so nothing is known of it
    assert "Traceback" not in done.stderr


def test_root_is_not_told_that_user_namespaces_are_wanted() -> None:
    argv = [sys.executable, "-m", "vxlab", "doctor"]
    done = subprocess.run(
        [*forbidding("max_user_namespaces", capable=True), *argv],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    shown = rows(done.stdout)
    assert (shown["namespaces"], shown["userns"], shown["vxlan"]) == ("yes", "no", "yes")
    last = done.stdout.splitlines()[-1]
    assert "userns" not in last.partition("Scenarios run here")[0]
