"""One application of a plan: what every backend does in the same way, and in which order.

Settings, packet filter rules and services are done by the site (:mod:`vxlab.apply.site`), all
other operations by the backend, which collects those of one node and does them together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from vxlab.apply.site import Site
from vxlab.plan.operations import (
    AddNamespace,
    AddRule,
    Operation,
    RunProgram,
    SetSysctl,
    StartDaemon,
    StopDaemon,
)
from vxlab.system.workers import check_cancelled


class Application(ABC):
    """One application of a plan; a backend says how operations are collected and done."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.node = ""  # of what is collected: a backend's own operations or settings, never both
        self.settings: list[SetSysctl] = []
        self.settled = False
        self.rules: list[AddRule] = []

    @abstractmethod
    def collect(self, operation: Operation) -> None:
        """Keep an operation of the node until :meth:`send` does it; ApplyError if it is bad."""

    @abstractmethod
    def send(self) -> None:
        """Do what was collected, in order; ApplyError for the first that is refused."""

    def apply(self, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order, runs of one node together."""
        for operation in operations:
            check_cancelled()
            if self.node != operation.node:
                self.flush()
                self.node = operation.node
            if isinstance(operation, AddRule):
                self.flush()
                self.rules.append(operation)
                continue
            if self.rules:
                self.set_rules()
            if not self.apply_common(operation):
                self._collect(operation)
        self.flush()
        self.set_rules()
        self.site.wait_ready()

    def apply_common(self, operation: Operation) -> bool:
        """Do what is the same for all backends; False where the backend has to do it."""
        match operation:
            case AddNamespace():
                self.site.add_node(operation.node)
            case SetSysctl():
                self.send()
                self.settings.append(operation)
            case StartDaemon():
                self.flush()
                if not self.settled:  # pimd looks at its interfaces once, when it starts
                    self.site.wait_for_links()
                    self.settled = True
                self.site.start_service(operation)
            case StopDaemon():
                self.flush()
                self.site.stop_service(operation)
            case RunProgram():
                self.flush()
                self.site.run_program(operation)
            case _:
                return False
        return True

    def _collect(self, operation: Operation) -> None:
        if self.settings:
            self.flush()
        self.collect(operation)

    def flush(self) -> None:
        """Do all that was collected for the node."""
        if self.settings:
            settings, self.settings = self.settings, []
            self.site.set_sysctl(*settings)
        self.send()

    def set_rules(self) -> None:
        """Set the packet filter rules that were collected."""
        rules, self.rules = self.rules, []
        self.site.add_rules(rules)
