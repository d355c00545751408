"""Where a plan is applied: the namespaces, interfaces and services that exist so far.

A :class:`Site` is shared by all backends.  It owns what has to be released, and does the
operations that every backend does in the same way: settings, packet filter rules, services.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from vxlab.apply.inherited import freshen
from vxlab.apply.readiness import settle_links, tentative_addresses
from vxlab.describe import checks
from vxlab.describe.elements import DAEMONS
from vxlab.errors import ApplyError, SandboxError, VxlabError
from vxlab.netlink.requests import NetlinkSocket
from vxlab.plan.operations import (
    AddLink,
    AddRule,
    Operation,
    RunProgram,
    SetSysctl,
    StartDaemon,
    StopDaemon,
    sysctl_path,
)
from vxlab.services import Helper, Pimd, RunningService, Smcroute, wait_all_ready
from vxlab.system.namespaces import Namespaces, write_file
from vxlab.system.processes import finish
from vxlab.system.waiting import wait_until

#: Seconds a packet filter program may take; it takes some milliseconds.
_RULE_DEADLINE = 30.0


class Backend(Protocol):
    """One way to apply operations; its ``name`` is the word that users type."""

    name: str

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order; ApplyError names the one that was refused."""


class Site:
    """The namespaces, interface indexes and services of a lab; release them with :meth:`close`."""

    def __init__(self) -> None:
        self.namespaces: dict[str, Namespaces] = {}
        self.services: dict[tuple[str, str], RunningService] = {}
        self._starting: list[RunningService] = []
        self._indexes: dict[tuple[str, str], int] = {}
        self._folder: Path | None = None
        self.netlink: dict[str, NetlinkSocket] = {}

    @property
    def folder(self) -> Path:
        """A private folder for the files of this lab's programs; removed with the site."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="vxlab-"))
        return self._folder

    def logs(self) -> list[Path]:
        """The files of that folder that have what programs wrote."""
        return [] if self._folder is None else list(self._folder.glob("*.log"))

    def node(self, name: str) -> Namespaces:
        """The namespaces of a node; VxlabError where the lab has no such node."""
        if name not in self.namespaces:
            known = ", ".join(self.namespaces) or "none: the lab is not open"
            raise VxlabError(f"wanted the node {name!r}, found {known}")
        return self.namespaces[name]

    def socket(self, node: str) -> NetlinkSocket:
        """The netlink socket of a node, opened at its first use; SandboxError where refused."""
        if node not in self.netlink:
            try:
                self.netlink[node] = NetlinkSocket(self.node(node))
            except OSError as error:
                raise SandboxError(
                    f"wanted a netlink socket in {node!r}, found {error.strerror}: raise the limit "
                    "(open files: `ulimit -n`)"
                ) from error
        return self.netlink[node]

    def add_node(self, name: str) -> Namespaces:
        """Make the namespaces of a new node; VxlabError where the lab has one of that name.

        TopologyError where it cannot be the name of a node.
        """
        checks.name("node", "name", name)
        if name in self.namespaces:
            raise VxlabError(f"wanted a new node, found {name!r} in use")
        self.namespaces[name] = made = Namespaces(name)
        try:
            freshen(made)
        except OSError as error:
            raise SandboxError(
                f"wanted the settings of {name!r}, found {error.strerror}: raise the limit (open "
                "files: `ulimit -n`)"
            ) from error
        return made

    def learn(self, link: AddLink) -> None:
        """Remember the interface indexes of a link that is about to be made."""
        for end in (link, link.peer) if link.peer else (link,):
            if end.index:  # 0: the kernel picks one
                self._indexes[end.node, end.name] = end.index

    def index(self, node: str, interface: str) -> int:
        """The interface index of ``interface`` of ``node``; VxlabError where it does not exist."""
        if interface == "lo":
            return 1
        key = node, interface
        if key not in self._indexes:
            namespaces = self.node(node)
            try:
                self._indexes[key] = namespaces.visit(lambda: socket.if_nametoindex(interface))
            except OSError as error:
                found = ", ".join(name for _, name in namespaces.visit(socket.if_nameindex))
                raise VxlabError(
                    f"{node}: wanted the interface {interface!r}, found {found}"
                ) from error
        return self._indexes[key]

    def forget(self, node: str, interface: str) -> None:
        """Forget the index of an interface that is removed."""
        self._indexes.pop((node, interface), None)

    def forget_all(self) -> None:
        """Forget all indexes: programs in the nodes may have changed them meanwhile."""
        self._indexes.clear()

    def set_sysctl(self, *operations: SetSysctl) -> None:
        """Write settings, all of one node, in order."""

        def write() -> None:
            for operation in operations:
                try:
                    write_file(sysctl_path(operation.key), str(operation.value))
                except OSError as error:
                    reason = str(error.strerror)
                    raise ApplyError(str(operation), reason, errno=error.errno) from error

        self.node(operations[0].node).visit(write)

    def add_rules(self, rules: Sequence[AddRule]) -> None:
        """Set packet filter rules: in order within a node, at the same time in different nodes."""
        waiting = list(rules)
        while waiting:
            started: dict[str, tuple[AddRule, subprocess.Popen[str]]] = {}
            with contextlib.ExitStack() as processes:  # awaited also where one refuses
                for rule in list(waiting):
                    if rule.node not in started:
                        waiting.remove(rule)
                        argv = [rule.program, "-w", *rule.words]
                        process = self.node(rule.node).quick(argv)
                        started[rule.node] = rule, processes.enter_context(process)
                for rule, process in started.values():
                    _finish(rule, process)

    def run_program(self, operation: RunProgram) -> None:
        """Run a program to its end; ApplyError where it does not end with 0, or not in time."""
        process = self.node(operation.node).quick(list(operation.words), stdin=operation.stdin)
        with process:
            _finish(operation, process)

    def start_service(self, operation: StartDaemon) -> None:
        """Launch a service; :meth:`wait_ready` waits for it."""
        members = {member.group: member.interfaces for member in operation.members}
        groups = tuple(members)
        helpers = [
            Helper(self.node(host.node), host.address, host.router_address)
            for host in operation.hosts
        ]
        if operation.program == "pimd":
            service: Pimd | Smcroute = Pimd(operation.interfaces, groups, members)
        elif operation.program == "smcroute":
            service = Smcroute(operation.interfaces, groups)
        else:
            wanted = f"wanted {' or '.join(DAEMONS)}"
            raise ApplyError(str(operation), f"{wanted}, found {operation.program!r}")
        key = operation.node, operation.program
        if key in self.services and self.services[key].alive:
            raise ApplyError(str(operation), "it runs already: stop it first")
        name = f"{operation.node}-{operation.program}"
        self.services[key] = service.start(
            self.node(operation.node), name, self.folder, helpers=helpers
        )
        self._starting.append(self.services[key])

    def stop_service(self, operation: StopDaemon) -> None:
        """Stop a service and wait for its end."""
        service = self.services.pop((operation.node, operation.program), None)
        if service is None:
            raise ApplyError(str(operation), "wanted a daemon that was started, found none")
        service.stop()

    def wait_for_links(self) -> None:
        """Wait until every link can send and every address answers."""
        waiting = list(self.namespaces)

        def settled() -> bool:
            waiting[:] = [node for node in waiting if self._unsettled(node)]
            return not waiting

        def found() -> str:
            return "; ".join(f"{node}: {self._unsettled(node)}" for node in waiting)

        wait_until(settled, "links with carrier and usable addresses", found=found)

    def _unsettled(self, node: str) -> str:
        """What a node still waits for, or ""."""
        netlink = self.socket(node)
        links, addresses = settle_links(netlink), tentative_addresses(netlink)
        if not links and not addresses:
            return ""
        return f"links that wait: {links}, interfaces with tentative addresses: {addresses}"

    def wait_ready(self) -> None:
        """Wait until all services that were started are ready."""
        starting, self._starting = self._starting, []
        wait_all_ready(starting)

    def close(self) -> None:
        """End everything and release it; safe to call twice."""
        for sock in self.netlink.values():
            sock.close()
        self.netlink.clear()
        self.services.clear()  # their processes end with their nodes
        self._starting.clear()
        # the last first: kernels that have K67 never end one whose devices live on in a later one
        for namespaces in reversed(self.namespaces.values()):
            namespaces.close()
        self.namespaces.clear()
        self._indexes.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _finish(rule: AddRule | RunProgram, process: subprocess.Popen[str]) -> None:
    """Wait for a program; ApplyError where it refused what it was to do."""
    try:
        complaint = finish(process, timeout=_RULE_DEADLINE).stderr.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        waited = f"waited {_RULE_DEADLINE:g} s for it to end; killed it"
        raise ApplyError(str(rule), waited) from error
    if process.returncode:
        raise ApplyError(str(rule), complaint.strip() or "refused")
