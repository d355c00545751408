"""The table that ``vxlab doctor`` prints."""

from __future__ import annotations

import io

import pytest

from vxlab.commands.feature_table import feature_table, wants_colour
from vxlab.features import Feature

HERE = Feature(name="ip", title="a program", available=True, version="6.1", required=True)
GONE = Feature(
    name="vrf", title="a device", available=False, reason="no such thing", hint="go elsewhere"
)
NEEDED = Feature(
    name="veth", title="a cable", available=False, reason="refused", hint="buy one", required=True
)
UNKNOWN = Feature(
    name="vxlan", title="", available=False, reason="no memory", required=True, known=False
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_table_is_aligned() -> None:
    lines = feature_table([HERE, GONE]).splitlines()
    assert lines[:3] == [
        "FEATURE  HERE  VERSION, OR WHY NOT  WHAT TO DO",
        "ip       yes   6.1",
        "vrf      no    no such thing        go elsewhere",
    ]


def test_what_is_not_known_is_neither_here_nor_missing() -> None:
    assert feature_table([UNKNOWN]).splitlines()[1] == "vxlan    ?     no memory"


def test_a_long_reason_moves_only_its_own_row() -> None:
    long = Feature(name="userns", title="", available=False, reason="x" * 300, hint="y")
    lines = feature_table([GONE, long]).splitlines()
    assert lines[1].index("go elsewhere") < 120
    assert lines[2].endswith("x" * 300 + "  y")


@pytest.mark.parametrize(
    ("item", "colour"), [(HERE, "\x1b[32m"), (GONE, "\x1b[33m"), (NEEDED, "\x1b[31m")]
)
def test_colour_tells_what_matters(item: Feature, colour: str) -> None:
    painted = feature_table([item], colour=True)
    assert f"{colour}{'yes' if item.available else 'no'}" in painted
    plain = painted.replace(colour, "").replace("\x1b[0m", "")
    assert plain == feature_table([item])


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
                UNKNOWN,
            ],
            "No scenario can run without veth.",
        ),
        ([HERE, UNKNOWN], "No answer was found about vxlan: what needs one of these fails."),
    ],
)
def test_the_last_line_sums_up(listed: list[Feature], sentence: str) -> None:
    assert feature_table(listed).splitlines()[-1] == sentence


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
    assert wants_colour(stream) is wanted
