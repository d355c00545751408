"""Where the caller and its threads are, and programs that must succeed in a node."""

from __future__ import annotations

import os

from vxlab.system.namespaces import Namespaces

HOME = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "uts", "mnt", "pid")}


def run(node: Namespaces, *argv: str) -> str:
    """Run a program in a node, which must succeed; its output."""
    process = node.popen(argv)
    output, complaint = process.communicate(timeout=30)
    assert process.returncode == 0, complaint
    return str(output)


def here() -> dict[str, str]:
    """The namespaces of this thread now; ``HOME`` are those the tests started in."""
    return {kind: os.readlink(f"/proc/thread-self/ns/{kind}") for kind in HOME}
