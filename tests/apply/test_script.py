"""Scripts that stand alone, by running them without Python, and by their text."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from script_tools import (
    SHELLS,
    ScriptFolder,
    differences,
    shellcheck,
    state_of_lab,
    state_of_script,
)

from vxlab import Lab, catalog, wait_until
from vxlab.apply.script import PingLine, file_name, pings_of, script_of
from vxlab.catalog import CATALOG
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.elements import Rule
from vxlab.describe.topology import Topology
from vxlab.operations import NodeName, StartDaemon
from vxlab.plan.planner import make_plan

EVERY = [
    pytest.param(name, family, id=f"{name}-ipv{family}") for name in CATALOG for family in (4, 6)
]
every_topology = pytest.mark.parametrize(("name", "family"), EVERY)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ScriptFolder]:
    """Where a script is run; nothing of it may be left at the end."""
    folder = ScriptFolder(tmp_path)
    yield folder
    wait_until(lambda: not folder.left(), "nothing left", found=lambda: str(folder.left()))


def odd() -> Topology:
    """A topology whose names and rules are meant to confuse a shell."""
    t = TopologyBuilder("odd one; rm $HOME")
    t.switch("type", "10.0.0.0/24")
    t.segment("red", 1)
    for name in ("up", "a.b-c"):
        t.host(
            name,
            "type",
            rules=[Rule(("-A", "OUTPUT", "-m", "comment", "--comment", "it's $1 `x`"))],
        )
        t.vtep(name, "red", bridge="m")
        t.container(f"{name}.c", name, "m", "fd00::1/64" if name == "up" else "fd00::2/64")
    return t.build()


@functools.cache
def kim() -> str:
    """The script with everything in it: bridges, a router with a daemon, rules."""
    return script_of(catalog.kim_and_lee())


@functools.cache
def quick() -> str:
    """The shortest script."""
    return script_of(catalog.point_to_point())


def answers(topology: Topology) -> list[str]:
    return [f"{line.node} -> {line.address}: answered" for line in pings_of(topology)]


# --- on its own ------------------------------------------------------------------------------


def test_there_is_no_python_where_scripts_are_tried(folder: ScriptFolder) -> None:
    path = os.pathsep.join([str(folder.programs), "/usr/sbin", "/sbin"])  # as in the script
    assert shutil.which("ip", path=path)
    assert not [name for name in ("python3", "python", "env") if shutil.which(name, path=path)]


@every_topology
def test_every_topology_stands_alone_and_answers(
    folder: ScriptFolder, name: str, family: int
) -> None:
    topology = CATALOG[name](family=family)
    done = folder.run(script_of(topology))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == answers(topology)


@pytest.mark.slow
def test_pimd_needs_no_help_but_time(folder: ScriptFolder) -> None:
    topology = catalog.kim_and_lee(router="pimd")
    done = folder.run(script_of(topology))
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("pimd takes 10 to 60 s")
    assert rest == answers(topology)


@pytest.mark.parametrize("shell", SHELLS[1:])
def test_any_posix_shell_will_do(folder: ScriptFolder, shell: str) -> None:
    if not (folder.programs / shell).exists():
        pytest.skip(f"wanted the shell {shell}, found none: install the package {shell}")
    words = [shell, "sh"] if shell == "busybox" else [shell]
    done = folder.run(kim(), by=["unshare", "-Urnm", *words])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == answers(catalog.kim_and_lee())


def test_strange_names_and_words_are_quoted(folder: ScriptFolder) -> None:
    done = folder.run(script_of(odd()))
    assert (done.returncode, done.stderr) == (0, "")
    given = "ip netns exec up iptables -S OUTPUT"
    shown = folder.run(script_of(odd()), "shell", given=given).stdout
    assert shown.splitlines()[-1].endswith('$1 `x`"')


# --- its own namespaces ----------------------------------------------------------------------


@pytest.mark.parametrize("by", [["sh"], ["unshare", "-Ur", "sh"], ["unshare", "-nm", "sh"]])
def test_it_enters_namespaces_of_its_own(folder: ScriptFolder, by: list[str]) -> None:
    with Lab(catalog.point_to_point()) as lab:
        before = state_of_lab(lab)
        env = [f"{key}={value}" for key, value in folder.env.items()]
        done = lab["a"].run("env", "-i", *env, *by, folder.file(quick()), check=False, timeout=60)
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.splitlines() == answers(catalog.point_to_point())
        assert not differences(before, state_of_lab(lab))


def test_it_refuses_a_place_that_is_not_its_own(folder: ScriptFolder) -> None:
    with Lab(catalog.point_to_point()) as lab:
        before = state_of_lab(lab)
        done = lab["a"].run("sh", folder.file(quick()), "--inside", check=False)
        assert done.code == 1
        assert "wanted namespaces of its own, found others" in done.stderr
        assert not differences(before, state_of_lab(lab))


@pytest.mark.parametrize(("limit", "code"), [("user", 0), ("net", 1)])
def test_it_does_without_user_namespaces_but_not_without_others(
    folder: ScriptFolder, limit: str, code: int
) -> None:
    prepare = f'echo 0 >/proc/sys/user/max_{limit}_namespaces && exec sh "$@"'
    done = folder.run(quick(), by=["unshare", "-Ur", "sh", "-c", prepare, "sh"])
    assert done.returncode == code
    assert ("needs user namespaces or root: see sysctl user.max_" in done.stderr) == bool(code)


def test_a_sandbox_is_left_as_it_was(folder: ScriptFolder) -> None:
    look = "cat /proc/self/mountinfo; echo"
    twice = f'{look}; sh "$1"; {look}; sh "$1"; ip -o link; ip netns'
    done = folder.run(quick(), by=["unshare", "-Urnm", "sh", "-c", twice, "sh"])
    assert done.stderr == ""
    before, _, rest = done.stdout.partition("\n\n")
    first, _, rest = rest.partition("\n\n")
    answered = answers(catalog.point_to_point())
    assert first.splitlines() == answered + before.splitlines()
    *second, link = rest.splitlines()
    assert second == answered
    assert ": lo: " in link


# --- what it says ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["nonsense"], ["shell", "x"], ["state", "state"], ["-x"]])
def test_a_wrong_command_line_ends_with_2(folder: ScriptFolder, words: list[str]) -> None:
    done = folder.run(quick(), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "sh point-to-point.sh shell" in done.stderr


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_the_usage_in_its_head(folder: ScriptFolder, word: str) -> None:
    done = folder.run(quick(), word)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage:\n  sh point-to-point.sh  ")
    assert len(done.stdout.splitlines()) < 8


@pytest.mark.parametrize("missing", ["ping", "iptables", "smcrouted"])
def test_it_names_the_program_that_is_missing(folder: ScriptFolder, missing: str) -> None:
    folder.remove(missing)
    text = kim().replace(":/usr/sbin:/sbin", "")
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
    text = kim().replace(right, wrong, 1)
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
    done = folder.run(quick(), "shell", given=given)
    assert (done.returncode, done.stderr) == (42, "")
    assert "1 received" in done.stdout


# --- what it leaves --------------------------------------------------------------------------


@contextlib.contextmanager
def waiting(folder: ScriptFolder) -> Iterator[subprocess.Popen[Any]]:
    """A script that has set all up, and waits for what stdin says."""
    with subprocess.Popen(
        ["unshare", "-Urnm", "sh", folder.file(kim()), "shell"],
        env=folder.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("echo here\n")
        process.stdin.flush()
        assert process.stdout.readline() == "here\n"
        assert any("smcrouted" in line for line in folder.processes())
        yield process


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_a_signal_tears_it_down(folder: ScriptFolder, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    with waiting(folder) as process:
        process.send_signal(number)
        _, said = process.communicate("exit\n", timeout=30)  # a shell first waits for its child
        assert (process.returncode, said) == (128 + number, "")
        assert not folder.left()


def test_even_killed_it_leaves_no_daemon(folder: ScriptFolder) -> None:
    with waiting(folder) as process:
        process.kill()
        process.communicate(timeout=30)
        wait_until(
            lambda: not folder.left(), "its processes gone", found=lambda: str(folder.left())
        )


# --- what it builds --------------------------------------------------------------------------


@every_topology
def test_it_builds_what_netlink_builds(folder: ScriptFolder, name: str, family: int) -> None:
    topology = CATALOG[name](family=family)
    done = folder.run(script_of(topology), "state")
    assert (done.returncode, done.stderr) == (0, "")
    with Lab(topology) as lab:
        assert not differences(state_of_script(done.stdout), state_of_lab(lab))


def test_the_states_compared_show_a_difference(folder: ScriptFolder) -> None:
    topology = catalog.point_to_point()
    done = folder.run(script_of(topology.with_vtep("b", "overlay", ttl=9)), "state")
    with Lab(topology) as lab:
        found = differences(state_of_script(done.stdout), state_of_lab(lab))
    assert set(found) == {("b", "ip -d link"), ("b", "ip -d address")}


# --- its text --------------------------------------------------------------------------------


@pytest.mark.skipif(not shellcheck(), reason="wanted shellcheck, found none: make setup")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    topologies = {
        f"{name}-{family}": CATALOG[name](family=family) for name in CATALOG for family in (4, 6)
    }
    topologies["pimd"] = catalog.kim_and_lee(router="pimd")
    topologies["vrf"] = catalog.point_to_point(vrf=True)
    topologies["lone"] = catalog.bridged(hosts=1, containers=0)
    topologies["odd"] = odd()
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
    head = script_of(odd()).partition("set -eu")[0]
    assert head.startswith(
        "#!/bin/sh\n# odd one; rm $HOME\n#\n# Usage:\n#   sh odd-one-rm-HOME.sh "
    )
    assert file_name(odd()) == "odd-one-rm-HOME.sh"


@pytest.mark.parametrize(("router", "seconds"), [("pimd", 90), ("smcroute", 10), (None, 10)])
def test_patience_is_that_of_the_slowest(router: str | None, seconds: int) -> None:
    text = script_of(catalog.kim_and_lee(router=router))
    assert f"patience={seconds} " in text
    started = [
        it for it in make_plan(catalog.kim_and_lee(router=router)) if isinstance(it, StartDaemon)
    ]
    assert ("end_daemons" in text) == bool(started)


# --- which pings -----------------------------------------------------------------------------


def test_pings_go_round_each_segment_once() -> None:
    shown = [(line.node, line.address) for line in pings_of(catalog.multicast(containers=2))]
    assert shown == [("ns0", "172.18.1.4"), ("ns2", "172.18.1.6"), ("ns4", "172.18.1.2")]


def test_both_tenants_are_pinged() -> None:
    shown = [(line.segment, line.node, line.address) for line in pings_of(catalog.kim_and_lee())]
    assert shown == [
        ("kim", "kim-srv1", "1.1.1.2"),
        ("kim", "kim-srv2", "1.1.1.1"),
        ("lee", "lee-srv1", "1.1.1.2"),
        ("lee", "lee-srv2", "1.1.1.1"),
    ]


def test_a_ping_leaves_from_its_vrf() -> None:
    lines = pings_of(catalog.point_to_point(vrf=True))
    assert lines[0] == PingLine("overlay", "a", "172.18.1.3", "vrf0")
    assert "    reach a 172.18.1.3 -I vrf0\n" in script_of(catalog.point_to_point(vrf=True))
    assert pings_of(catalog.bridged(vrf=True))[0].vrf is None  # a container knows of no VRF


def test_pings_need_two_endpoints_of_one_family() -> None:
    assert not pings_of(catalog.bridged(hosts=1))
    assert not pings_of(catalog.bridged(containers=0))
    mixed = catalog.point_to_point().with_vtep("b", "overlay", addresses=("fd00::1/64",))
    assert not pings_of(mixed)
    both = mixed.with_vtep("a", "overlay", addresses=("172.18.1.2/24", "fd00::2/64"))
    assert [line.address for line in pings_of(both)] == ["fd00::1", "fd00::2"]
