"""The text of a script: its commands in order, its head, its patience."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from script_tools import every_topology, odd_topology, shellcheck

from vxlab import catalog
from vxlab.apply.script import file_name, script_of
from vxlab.catalog import CATALOG
from vxlab.errors import VxlabError
from vxlab.operations import NodeName, StartDaemon
from vxlab.plan.planner import make_plan


@pytest.mark.skipif(not shellcheck(), reason="wanted shellcheck, found none: make setup")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    topologies = {
        f"{name}-{family}": CATALOG[name](family=family) for name in CATALOG for family in (4, 6)
    }
    topologies["pimd"] = catalog.kim_and_lee(router="pimd")
    topologies["vrf"] = catalog.point_to_point(vrf=True)
    topologies["lone"] = catalog.bridged(hosts=1, containers=0)
    topologies["odd"] = odd_topology()
    for name, topology in topologies.items():
        (tmp_path / f"{name}.sh").write_text(script_of(topology), encoding="utf-8")
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        ["shellcheck", "--shell=sh", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@every_topology
def test_all_commands_of_the_plan_are_lines_in_order(name: str, family: int) -> None:
    topology = CATALOG[name](family=family)
    lines = [line.strip() for line in script_of(topology).splitlines()]
    at = 0
    for operation in make_plan(topology):
        for command in operation.commands():
            words = [word for word in command.words if not isinstance(word, NodeName)]
            start = f"{command.program} -n {command.node} {words[0]} "
            at = next(
                number
                for number in range(at, len(lines))
                if lines[number].startswith(start) and set(words) <= set(lines[number].split())
            )
            at += 1


def test_its_head_says_what_it_is_and_who_made_it() -> None:
    head = script_of(
        catalog.kim_and_lee(),
        summary="Two tenants",
        picture=["a ── b", "c ── d"],
        made_by="vxlab script kim-and-lee",
    ).partition("set -eu")[0]
    assert head.startswith("#!/bin/sh\n# kim-and-lee: Two tenants\n")
    assert "\n#     a ── b\n#     c ── d\n" in head
    assert "# Made by: vxlab script kim-and-lee\n" in head
    assert "ip, bridge, ping, unshare, mount, smcrouted, iptables." in head
    assert all(line.startswith("#") for line in head.splitlines())


def test_a_topology_of_ones_own_has_a_shorter_head() -> None:
    head = script_of(odd_topology()).partition("set -eu")[0]
    assert head.startswith(
        "#!/bin/sh\n# odd one; rm $HOME\n#\n# Usage:\n#   sh odd-one-rm-HOME.sh "
    )
    assert file_name(odd_topology()) == "odd-one-rm-HOME.sh"


@pytest.mark.parametrize(("router", "seconds"), [("pimd", 90), ("smcroute", 10), (None, 10)])
def test_patience_is_that_of_the_slowest(router: str | None, seconds: int) -> None:
    text = script_of(catalog.kim_and_lee(router=router))
    assert f"patience={seconds} " in text
    started = [
        it for it in make_plan(catalog.kim_and_lee(router=router)) if isinstance(it, StartDaemon)
    ]
    assert ("end_daemons" in text) == bool(started)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"summary": "two\nrm -r /"}, "summary"),
        ({"made_by": "vxlab script\nrm -r /"}, "made_by"),
        ({"picture": ["---", "a\x1b[31m"]}, "picture"),
    ],
)
def test_what_the_head_says_cannot_become_a_line_of_the_script(more: Any, what: str) -> None:
    with pytest.raises(VxlabError, match=rf"script: {what}: wanted a line of printable text"):
        script_of(catalog.bridged(), **more)
