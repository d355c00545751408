"""The command line, by its output and exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from vxlab import catalog, features, sandbox
from vxlab.apply.script import script_of
from vxlab.catalog import CATALOG
from vxlab.commands import main
from vxlab.commands.topologies import topology_of
from vxlab.commands.values import describe, parse
from vxlab.features import NOT_TRIED, Feature
from vxlab.plan.planner import make_plan
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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    monkeypatch.setattr(features, "probe", by_name.__getitem__)
    return listed


# --- vxlab -----------------------------------------------------------------------------------


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
    assert all(f" {command.name} {command.summary}" in said for command in main.COMMANDS)


@pytest.mark.usefixtures("in_place")
def test_an_error_is_one_line_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["doctor", "vfr"]) == 1
    said = capsys.readouterr()
    assert said.err == "vxlab: wanted the name of a feature, found 'vfr': did you mean vrf?\n"
    assert not said.out


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = f"{sys.executable} -m vxlab script kim-and-lee"
    shell = f"{{ {program}; echo $? >&2; }} | {{ exec <&-; }}"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stderr == "1\n"


# --- vxlab doctor ----------------------------------------------------------------------------


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
    keys = ["name", "title", "available", "version", "reason", "hint", "required"]
    values = [
        ["ip", "a program", True, "6.1", "", "", True],
        ["vrf", "a device", False, "", "no such thing", "go elsewhere", False],
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
    names = ["userns", "veth", "vrf", "netem", "vxlan.ttl", "ip"]
    done = outside("doctor", "--json", *names)
    shown = {row["name"]: row["available"] for row in json.loads(done.stdout)}
    assert shown == {name: features.probe(name).available for name in names}
    assert done.returncode == (0 if all(shown.values()) else 1)


def test_without_namespaces_there_is_still_a_table() -> None:
    done = outside("doctor", before="echo 0 > /proc/sys/user/max_net_namespaces")
    shown = rows(done.stdout)
    assert done.returncode == 1
    assert set(features.names()) <= set(shown)
    assert shown["userns"] == shown["vxlan"] == shown["vxlan.ttl"] == "no"
    assert shown["ip"] == "yes"
    assert "user.max_net_namespaces = 0" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("No scenario can run without userns")
    assert "vxlan" not in last  # it was not tried, so nothing is known of it
    assert "Traceback" not in done.stderr


# --- the table -------------------------------------------------------------------------------


def test_the_table_is_aligned() -> None:
    lines = main.table([HERE, GONE]).splitlines()
    assert lines[:3] == [
        "FEATURE  HERE  VERSION, OR WHY NOT  WHAT TO DO",
        "ip       yes   6.1",
        "vrf      no    no such thing        go elsewhere",
    ]


def test_a_long_reason_moves_only_its_own_row() -> None:
    long = Feature(name="userns", title="", available=False, reason="x" * 300, hint="y")
    lines = main.table([GONE, long]).splitlines()
    assert lines[1].index("go elsewhere") < 120
    assert lines[2].endswith("x" * 300 + "  y")


@pytest.mark.parametrize(
    ("item", "colour"), [(HERE, "\x1b[32m"), (GONE, "\x1b[33m"), (NEEDED, "\x1b[31m")]
)
def test_colour_tells_what_matters(item: Feature, colour: str) -> None:
    painted = main.table([item], colour=True)
    assert f"{colour}{'yes' if item.available else 'no'}" in painted
    plain = painted.replace(colour, "").replace("\x1b[0m", "")
    assert plain == main.table([item])


@pytest.mark.parametrize(
    ("listed", "sentence"),
    [
        ([HERE], "All that was looked for is here."),
        (
            [HERE, GONE],
            "Scenarios run here; those that need one of these are skipped: vrf.",
        ),
        ([HERE, GONE, NEEDED], "No scenario can run without veth."),
        (
            [
                NEEDED,
                Feature(name="vxlan", title="", available=False, reason=NOT_TRIED, required=True),
            ],
            "No scenario can run without veth.",
        ),
    ],
)
def test_the_last_line_sums_up(listed: list[Feature], sentence: str) -> None:
    assert main.table(listed).splitlines()[-1] == sentence


@pytest.mark.parametrize(
    ("stream", "env", "wanted"),
    [
        (Terminal(), {}, True),
        (io.StringIO(), {}, False),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, env: dict[str, str], wanted: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert main.wants_colour(stream) is wanted


# --- vxlab list, plan, script ----------------------------------------------------------------


def test_the_list_has_a_line_for_each_topology_and_one_for_what_can_be_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(CATALOG)
    assert lines[0].split(maxsplit=1)[1].startswith("Hosts on one underlay, each with an address")
    assert lines[9].endswith(
        "--set family=4 router=smcroute ttl=rule port=0 vnis=10,20 group= leak=false"
    )
    assert not [line for line in lines if "`" in line or line.endswith("(E1).")]


@pytest.mark.parametrize("name", CATALOG)
def test_what_the_list_shows_can_be_set(capsys: pytest.CaptureFixture[str], name: str) -> None:
    main.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.split()[0] == name)
    settings = lines[at + 1].split()[1:]
    assert topology_of(name, settings) == CATALOG[name]()


@pytest.mark.parametrize("name", CATALOG)
def test_a_plan_is_printed_line_by_line(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main.main(["plan", name, "--set", "family=6"]) == 0
    wanted = map(str, make_plan(CATALOG[name](family=6)))
    assert capsys.readouterr().out.splitlines() == list(wanted)


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("point-to-point", ["bind=none", "vni=0x2a"], catalog.point_to_point(bind="none")),
        ("bridged", ["vrf=yes", "group=239.9.9.9"], catalog.bridged(vrf=True, group="239.9.9.9")),
        ("bridged", ["flood=none"], catalog.bridged(flood="none")),
        ("bridged", ["flood="], catalog.bridged()),
        ("kim-and-lee", ["ttl=none", "vnis=1,2"], catalog.kim_and_lee(ttl=None, vnis=(1, 2))),
        ("routed", ["router=none"], catalog.routed(router=None)),
    ],
)
def test_settings_have_the_types_of_the_arguments(
    name: str, settings: list[str], wanted: object
) -> None:
    assert topology_of(name, settings) == wanted


def test_a_script_is_printed_or_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    argv = ["script", "bridged", "--set", "hosts=3", "--set", "group=239.1.2.3"]
    assert main.main(argv) == 0
    shown = capsys.readouterr().out
    made_by = "vxlab script bridged --set hosts=3 --set group=239.1.2.3"
    assert shown == script_of(catalog.bridged(hosts=3, group="239.1.2.3"), made_by=made_by)
    file = tmp_path / "it.sh"
    assert main.main([*argv, "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == shown
    assert os.access(file, os.X_OK)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["plan", "multicst"], "found 'multicst': did you mean multicast?"),
        (["plan", "x"], "wanted a topology of the catalog (point-to-point, bridged, "),
        (["script", "routed", "--set", "x=1"], "a key of family, router, ttl, vni, port, hosts, "),
        (["plan", "routed", "--set", "family"], "routed: wanted KEY=VALUE with a key of family"),
        (["plan", "routed", "--set", "vni=x"], "routed: vni: wanted a whole number, found 'x'"),
        (["plan", "routed", "--set", "ttl=1"], "ttl: wanted rule, device or none, found '1'"),
        (["plan", "bridged", "--set", "vrf=2"], "vrf: wanted true or false, found '2'"),
        (["plan", "kim-and-lee", "--set", "vnis=1"], "with commas between, found '1'"),
        (["plan", "routed", "--set", "vni=1", "--set", "vni=1"], "found it set twice"),
        (["plan", "routed", "--set", "hosts=99"], "routed: hosts: wanted 1 to 26, found 99"),
        (["script", "routed", "-o", "/no/such"], "wanted to write /no/such, found: No such file"),
    ],
)
def test_a_mistake_is_named_with_what_there_is(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert main.main(argv) == 1
    said = capsys.readouterr()
    assert said.err.startswith("vxlab: ")
    assert message in said.err
    assert not said.out


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("a,b", tuple[str, ...], ("a", "b")),
        ("", tuple[int, ...], ()),
        ("No", bool, False),
        ("7", int | str, 7),
        ("x", int | str, "x"),
        ("none", str | None, None),
        ("none", Literal["none"] | None, "none"),
        ("2", Literal[1, 2], 2),
    ],
)
def test_values_are_read_by_their_type(text: str, hint: Any, value: object) -> None:
    assert parse(text, hint) == value
    assert type(parse(text, hint)) is type(value)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (tuple[str, ...], "text and more with commas between"),
        (int | None, "none or a whole number"),
        (float, "<class 'float'>"),
    ],
)
def test_types_are_described_in_words(hint: Any, words: str) -> None:
    assert describe(hint) == words
