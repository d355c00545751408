"""What a script says of its use, of what is missing and of what failed."""

from __future__ import annotations

import pytest
from script_tools import ScriptFolder, kim_and_lee_script, short_script

from vxlab import catalog
from vxlab.apply.script import script_of


@pytest.mark.parametrize("words", [["nonsense"], ["shell", "x"], ["state", "state"], ["-x"]])
def test_a_wrong_command_line_ends_with_2(folder: ScriptFolder, words: list[str]) -> None:
    done = folder.run(short_script(), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "sh point-to-point.sh shell" in done.stderr


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_the_usage_in_its_head(folder: ScriptFolder, word: str) -> None:
    done = folder.run(short_script(), word)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage:\n  sh point-to-point.sh  ")
    assert len(done.stdout.splitlines()) < 8


@pytest.mark.parametrize("missing", ["ping", "iptables", "smcrouted"])
def test_it_names_the_program_that_is_missing(folder: ScriptFolder, missing: str) -> None:
    folder.remove(missing)
    text = kim_and_lee_script().replace(":/usr/sbin:/sbin", "")
    text = text.replace("/var/cache/vxlab", "/nonexistent")
    done = folder.run(text)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"needs {missing}: put it in PATH (Debian has it in the package " in done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("type vxlan id 20 group", "type vxlan id 20 grup"),
        ("address add 1.1.1.2/24", "address add 1.1.1.2/240"),
        ("netns add kim-srv2", "netns add kim/srv2"),
        ("net/ipv4/ip_forward=1", "net/ipv4/ip_forwards=1"),
        ("router smcrouted -N", "router smcrouted --nonsense -N"),
        ("iptables -w -t mangle", "iptables -w -t jungle"),
    ],
)
def test_a_line_that_fails_is_named_and_ends_it(
    folder: ScriptFolder, right: str, wrong: str
) -> None:
    text = kim_and_lee_script().replace(right, wrong, 1)
    (number,) = (at for at, line in enumerate(text.splitlines(), 1) if wrong in line)
    done = folder.run(text)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"it.sh: failed, line {number}: " in done.stderr.splitlines()[-1]


def test_a_ping_without_an_answer_ends_with_1_after_the_others(folder: ScriptFolder) -> None:
    topology = catalog.kim_and_lee().with_vtep("lxc2", "kim", id=11)
    done = folder.run(script_of(topology).replace("patience=10", "patience=1"))
    assert done.returncode == 1
    said = [line for line in done.stdout.splitlines() if " -> " in line]
    assert [line.partition(": ")[2] for line in said] == 2 * ["NO ANSWER in 1 s"] + 2 * ["answered"]
    assert "100% packet loss" in done.stdout


def test_a_shell_reaches_the_nodes_and_decides_the_exit_code(folder: ScriptFolder) -> None:
    given = "ip netns exec a ping -n -c 1 -W 5 172.18.1.3 && exit 42"
    done = folder.run(short_script(), "shell", given=given)
    assert (done.returncode, done.stderr) == (42, "")
    assert "1 received" in done.stdout
