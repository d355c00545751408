"""The lines of the script that set a topology up, section by section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from vxlab.apply.script.lines import lines_of, quoted, settings_lines
from vxlab.describe.topology import Topology
from vxlab.plan.operations import AddNamespace, AddRule, Operation, SetSysctl, StartDaemon
from vxlab.services import Pimd, Smcroute

#: Begins a line that must not be indented: one of a here-document.
AT_THE_EDGE = "\0"

#: The heading of the first lines.
NAMESPACES = "namespaces"


def setup_lines(topology: Topology, plan: Iterable[Operation]) -> Iterator[str]:
    """The lines that do a plan, with a heading before each group of them.

    VxlabError where an operation cannot be done by a script.
    """
    for number, (heading, group) in enumerate(groupby(_headed(topology, plan), lambda it: it[0])):
        yield from [""] if number else []
        yield f"# {heading}"
        yield from _section([operation for _, operation in group])
        if heading == NAMESPACES:
            yield "plain_bridges"


def program_of(operation: StartDaemon) -> str:
    """The name of the program that an operation starts."""
    return "smcrouted" if operation.program == "smcroute" else operation.program


def _headed(topology: Topology, plan: Iterable[Operation]) -> Iterator[tuple[str, Operation]]:
    """Operations, each with the heading it stands below."""
    groups = (topology.switches, topology.routers, topology.hosts, topology.containers)
    elements = {element.name: str(element) for group in groups for element in group}
    early = True  # settings before all links, for all nodes, stand together
    for operation in plan:
        early = early and isinstance(operation, AddNamespace | SetSysctl)
        match operation:
            case AddNamespace():
                yield NAMESPACES, operation
            case SetSysctl() if early:
                yield "settings", operation
            case StartDaemon():
                yield f"{operation.program} on {operation.node}", operation
            case AddRule():
                yield "packet filter rules", operation
            case _:
                yield elements[operation.node], operation


def _section(operations: Iterable[Operation]) -> Iterator[str]:
    for is_setting, group in groupby(operations, lambda each: isinstance(each, SetSysctl)):
        if is_setting:
            yield from settings_lines([each for each in group if isinstance(each, SetSysctl)])
            continue
        for operation in group:
            if isinstance(operation, StartDaemon):
                yield from _daemon(operation)
            else:
                yield from lines_of(operation)


def _daemon(operation: StartDaemon) -> Iterator[str]:
    """A daemon's configuration, and its start; its files are named after it and its node."""
    name = f"{operation.node}-{operation.program}"
    groups = tuple(member.group for member in operation.members)
    yield f"cat >/run/{name}.conf <<'EOF'"
    if operation.program == "pimd":
        config = Pimd(operation.interfaces, groups).config()
        # the router itself is the rendezvous point of all groups
        config += f"rp-address {operation.hosts[0].router_address} 224.0.0.0/4\n"
        words = [f"/run/{name}", "-f", "-N", "-c", f"/run/{name}.conf"]
    else:
        config = Smcroute(operation.interfaces, groups).config()
        files = ["-P", f"/run/{name}.pid", "-f", f"/run/{name}.conf"]
        words = ["smcrouted", "-N", "-n", "-l", "info", "-i", name, *files]
    yield from (AT_THE_EDGE + line for line in [*config.splitlines(), "EOF"])
    if operation.program == "pimd":
        yield f'ln -s "$(daemon_program pimd)" /run/{name} # its pid file is called as it is itself'
    yield "settle # it looks at its interfaces once"
    yield f"daemon /run/{name}.pid {operation.node} {quoted(words)}"
