"""A topology as the text of a shell script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from vxlab.apply.script import frame
from vxlab.apply.script.pings import pings_of
from vxlab.apply.script.setup import AT_THE_EDGE, program_of, setup_lines
from vxlab.describe.topology import Topology
from vxlab.errors import VxlabError
from vxlab.plan.operations import AddRule, Operation, RunProgram, StartDaemon
from vxlab.plan.planner import make_plan
from vxlab.system.programs import PACKAGES

#: Seconds until a ping must have been answered, by the slowest daemon: by itself pimd takes 10 to
#: 36 s to the first flow, and a packet that came too early blocks its flow for 10 s more.
PATIENCE = {None: 10, "smcroute": 10, "pimd": 90}

#: What every script runs; the packages are in :data:`vxlab.system.programs.PACKAGES`.
_ALWAYS = ("ip", "bridge", "ping", "unshare", "mount")


def script_of(
    topology: Topology, *, summary: str = "", picture: Sequence[str] = (), made_by: str = ""
) -> str:
    """A POSIX shell script that builds ``topology``, pings through it and takes it away.

    For its head: ``summary`` says in a line what the topology is, ``picture`` are lines that draw
    it, ``made_by`` is the command line that made the script.  VxlabError where an operation of the
    topology's plan cannot be done by a script, or one of these is more than a line.
    """
    for what, line in (
        ("summary", summary),
        ("made_by", made_by),
        *(("picture", x) for x in picture),
    ):
        if not line.isprintable():
            raise VxlabError(f"script: {what}: wanted a line of printable text, found {line!r}")
    plan = make_plan(topology)
    daemons = [operation for operation in plan if isinstance(operation, StartDaemon)]
    programs = [daemon.program for daemon in daemons]
    patience = max([PATIENCE[None], *(PATIENCE.get(program, 0) for program in programs)])
    opening = frame.OPENING.format(patience=patience, nodes=" ".join(topology.nodes))
    if daemons:
        opening += "daemons=''\n"
    packages = _packages(plan)
    needs = "\n".join(_need(program, package, daemons) for program, package in packages.items())
    return "".join(
        [
            _head(topology, summary, picture, made_by, packages),
            opening,
            _function("setup", setup_lines(topology, plan)),
            _function("pings", _pings(topology, programs)),
            _function("teardown", _teardown(bool(daemons))),
            frame.FUNCTIONS,
            frame.DAEMONS if daemons else "",
            frame.CLOSING.format(needs=needs),
        ]
    )


def file_name(topology: Topology) -> str:
    """A name for the script's file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", topology.name).strip("-.") + ".sh"


def _head(
    topology: Topology,
    summary: str,
    picture: Sequence[str],
    made_by: str,
    packages: Mapping[str, str],
) -> str:
    name = file_name(topology)
    lines = [f"{topology.name}: {summary}" if summary else topology.name]
    lines += ["", *(f"    {line}" for line in picture)] if picture else []
    lines += ["", f"Made by: {made_by}"] if made_by else []
    lines += [
        "",
        "Usage:",
        f"  sh {name}        set up, ping, tear down; ends with 1 where a ping is not answered",
        f"  sh {name} shell  set up, give a shell (or run what is on stdin), tear down;",
        f"  {' ' * len(name)}           a command in a node: ip netns exec NODE COMMAND",
        f"  sh {name} state  set up, print the state of all nodes as lines of JSON, tear down",
        "",
        "It runs in namespaces of its own, as any user: it changes nothing of the machine, and",
        "leaves nothing behind. It needs Linux with user namespaces (or root), and",
        f"{', '.join(packages)}.",
    ]
    return "".join(["#!/bin/sh\n", *(f"# {line}".rstrip() + "\n" for line in lines)])


def _packages(plan: Iterable[Operation]) -> dict[str, str]:
    """The programs that the script runs, each with its package."""
    programs = list(_ALWAYS)
    for operation in plan:
        if isinstance(operation, AddRule):
            programs.append(operation.program)
        elif isinstance(operation, RunProgram):
            programs.append(operation.words[0])
        elif isinstance(operation, StartDaemon):
            programs.append(program_of(operation))
    return {program: PACKAGES.get(program, program) for program in programs}


def _need(program: str, package: str, daemons: Iterable[StartDaemon]) -> str:
    """The line that looks for a program; daemons are looked for in more places."""
    word = "need_daemon" if program in map(program_of, daemons) else "need"
    return f"{word} {program} {package}"


def _function(name: str, lines: Iterable[str]) -> str:
    body = "".join(_indented(line) for line in lines) or _indented(":")
    return f"\n{name}() {{\n{body}}}\n"


def _indented(line: str) -> str:
    if line.startswith(AT_THE_EDGE):
        return line.removeprefix(AT_THE_EDGE) + "\n"
    return f"    {line}\n" if line else "\n"


def _pings(topology: Topology, programs: list[str]) -> Iterator[str]:
    if "pimd" in programs:
        yield 'echo "pimd takes 10 to 60 s until it forwards the first packet: waiting"'
    for segment, group in groupby(pings_of(topology), lambda line: line.segment):
        yield f"# segment {segment}"
        for line in group:
            vrf = f" -I {line.vrf}" if line.vrf else ""
            yield f"reach {line.node} {line.address}{vrf}"


def _teardown(daemons: bool) -> Iterator[str]:
    yield from ["end_daemons"] if daemons else []
    yield "for node in $nodes; do"
    yield '    [ ! -e "/run/netns/$node" ] || command ip netns del "$node"'
    yield "done"
