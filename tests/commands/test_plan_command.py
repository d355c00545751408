"""``vxlab plan``: the operations of a topology."""

from __future__ import annotations

import pytest

from vxlab.catalog import CATALOG
from vxlab.commands import main
from vxlab.plan.planner import make_plan


@pytest.mark.parametrize("name", CATALOG)
def test_a_plan_is_printed_line_by_line(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main.main(["plan", name, "--set", "family=6"]) == 0
    wanted = map(str, make_plan(CATALOG[name](family=6)))
    assert capsys.readouterr().out.splitlines() == list(wanted)
