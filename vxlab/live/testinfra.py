"""A testinfra connection to a node.

``testinfra.get_host()`` caches hosts by name and would hand a later lab an earlier lab's host;
here a Host is built from its backend, one for each node.
"""

from __future__ import annotations

from typing import Any, Protocol

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from vxlab.system.processes import Output


class RunsPrograms(Protocol):
    """What a connection needs of a node."""

    name: str

    def run_shell(self, line: str) -> tuple[int, Output]:
        """Run a line of sh(1) to its end."""


class NodeBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no type information
    """Runs testinfra's commands in a node, as the user that the lab runs as."""

    NAME = "vxlab"

    def __init__(self, node: RunsPrograms) -> None:
        super().__init__(node.name)
        self._node = node

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a shell command in the node.

        ``command`` may have ``%s`` in it, which ``args`` replace, quoted for the shell; ``kwargs``
        are testinfra's, and mean nothing here.
        """
        quoted = self.get_command(command, *args)
        code, output = self._node.run_shell(quoted)
        return self.result(code, self.encode(quoted), output.stdout, output.stderr)


def host_of(node: RunsPrograms) -> Host:
    """A testinfra host of ``node``."""
    return Host(NodeBackend(node))
