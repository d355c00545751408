"""A testinfra connection to a node.

``testinfra.get_host()`` caches hosts by name and would hand a later lab an earlier lab's host;
here a Host is built from its backend, one for each node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

if TYPE_CHECKING:
    from vxlab.live.node import Node


class NodeBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no type information
    """Runs testinfra's commands in a node, as the user that the lab runs as."""

    NAME = "vxlab"

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self._node = node

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a shell command in the node."""
        quoted = self.get_command(command, *args)
        process = self._node.popen("sh", "-c", quoted, text=False)
        stdout, stderr = process.communicate()
        return self.result(process.returncode, self.encode(quoted), stdout, stderr)


def host_of(node: Node) -> Host:
    """A testinfra host of ``node``."""
    return Host(NodeBackend(node))
