"""Running scripts as they stand alone: with few programs, no Python, nothing of this process."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vxlab import catalog
from vxlab.apply.script import pings_of, script_of
from vxlab.catalog import CATALOG
from vxlab.describe.builder import TopologyBuilder
from vxlab.describe.filters import Rule
from vxlab.describe.topology import Topology
from vxlab.errors import MissingProgram
from vxlab.live.json_output import read_json
from vxlab.live.lab import Lab
from vxlab.services import service_program
from vxlab.system.programs import find_program

#: All that a script may use beside the shell and the daemon of its topology.
PROGRAMS = (
    *("ip", "bridge", "ping", "iptables", "ip6tables"),
    *("unshare", "mount", "umount", "setpriv"),
    *("cat", "cut", "date", "grep", "id", "ln", "mkdir", "readlink", "sed", "sleep", "tr"),
)
SHELLS = ("sh", "dash", "bash", "busybox")
DAEMONS = ("smcrouted", "pimd")

#: What `state` asks, and the words that ask a node of a lab the same.
ASKED = (
    *("ip -d link", "ip -d address", "ip -d route show table all", "ip -d neigh"),
    *("bridge fdb", "bridge vni"),
)

#: Keys that differ from one reading to the next: times, and how namespaces are called.
_PASSING = {"link_netnsid", "link_netns", "gc_timer", "hello_timer", "tcn_timer", "hold_timer"}
_PASSING |= {"fdb_n_learned", "topology_change_timer", "forward_delay_timer", "message_age_timer"}


def shellcheck() -> str | None:
    """The program shellcheck, where there is one."""
    return shutil.which("shellcheck")


@dataclass
class ScriptFolder:
    """A folder for one test: scripts, the programs they may use, and a mark on their processes."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.programs = self.folder / "bin"
        self.temporary = self.folder / "tmp"
        self.programs.mkdir()
        self.temporary.mkdir()
        for name in (*PROGRAMS, *SHELLS, *DAEMONS):
            self.provide(name)

    def provide(self, name: str) -> None:
        """Put a program into PATH, where this machine has it."""
        try:
            found = service_program(name) if name in DAEMONS else find_program(name)
        except MissingProgram:
            return
        (self.programs / name).symlink_to(found)

    def remove(self, name: str) -> None:
        """Take a program out of PATH."""
        (self.programs / name).unlink()

    @property
    def env(self) -> dict[str, str]:
        """The whole environment of a script."""
        return {"PATH": str(self.programs), "TMPDIR": str(self.temporary), "MARK": self.mark}

    def file(self, text: str, name: str = "it.sh") -> str:
        """A script as a file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def run(
        self,
        text: str,
        *words: str,
        given: str = "",
        by: Iterable[str] = ("unshare", "-Urnm", "sh"),
    ) -> subprocess.CompletedProcess[str]:
        """Run a script with these arguments, by default as a person would by hand."""
        command = ["env", "-i", *(f"{key}={value}" for key, value in self.env.items())]
        return subprocess.run(
            [*command, *by, self.file(text), *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def left(self) -> list[str]:
        """Processes and files that a script has left behind."""
        return [*self.processes(), *map(str, self.temporary.iterdir())]

    def processes(self) -> Iterator[str]:
        """The marked processes that are alive, as their command lines."""
        for process in Path("/proc").iterdir():
            try:
                marked = self.mark.encode() in (process / "environ").read_bytes()
                line = (process / "cmdline").read_bytes()
            except OSError:  # no process, or it has ended
                continue
            if marked and line:
                yield line.decode(errors="replace").replace("\0", " ")


def state_of_lab(lab: Lab) -> dict[tuple[str, str], Any]:
    """What ip and bridge say of the nodes of a lab, by node and question."""
    found = {}
    for name, node in lab.items():
        for asked in ASKED:
            program, *words = asked.split()
            said = node.run(program, "-j", *words).stdout.strip()
            found[name, asked] = lasting(read_json(said or "[]"))
    return found


def state_of_script(output: str) -> dict[tuple[str, str], Any]:
    """What a script printed when it was asked for `state`."""
    rows = [read_json(line) for line in output.splitlines()]
    return {(row["node"], row["asked"]): lasting(row["said"]) for row in rows}


def lasting(said: Any) -> Any:
    """What is the same at each reading, in a fixed order."""
    if isinstance(said, dict):
        return {key: lasting(value) for key, value in said.items() if key not in _PASSING}
    if isinstance(said, list):
        return sorted(map(lasting, filter(_lasts, said)), key=lambda row: json.dumps(row))
    return said


def _lasts(row: Any) -> bool:
    """Not what was learned of a passing frame."""
    learned = isinstance(row, dict) and "mac" in row and row.get("state") not in ("permanent",)
    return not learned and row != {}


def differences(one: dict[Any, Any], other: dict[Any, Any]) -> dict[Any, Any]:
    """What two states do not have in common."""
    keys = {*one, *other}
    pairs = {key: (one.get(key), other.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


EVERY_TOPOLOGY = [
    pytest.param(name, family, id=f"{name}-ipv{family}") for name in CATALOG for family in (4, 6)
]
every_topology = pytest.mark.parametrize(("name", "family"), EVERY_TOPOLOGY)


def odd_topology() -> Topology:
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
def kim_and_lee_script() -> str:
    """The script with everything in it: bridges, a router with a daemon, rules."""
    return script_of(catalog.kim_and_lee())


@functools.cache
def short_script() -> str:
    """The shortest script."""
    return script_of(catalog.point_to_point())


def answers(topology: Topology) -> list[str]:
    """What a script says of its pings when all are answered."""
    return [f"{line.node} -> {line.address}: answered" for line in pings_of(topology)]
