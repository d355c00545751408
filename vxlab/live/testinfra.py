"""A testinfra connection to a node.

``testinfra.get_host()`` caches hosts by name and would hand a later lab an earlier lab's host;
here a Host is built from its backend, one for each node.
"""

from __future__ import annotations

import subprocess
from typing import Any, Protocol

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host


class RunsPrograms(Protocol):
    """What a connection needs of a node."""

    name: str

    def popen(self, *argv: str, text: bool = True) -> subprocess.Popen[Any]:
        """Start a program."""


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
        process = self._node.popen("sh", "-c", quoted, text=False)
        stdout, stderr = process.communicate()
        return self.result(process.returncode, self.encode(quoted), stdout, stderr)


def host_of(node: RunsPrograms) -> Host:
    """A testinfra host of ``node``."""
    return Host(NodeBackend(node))
