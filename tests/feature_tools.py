"""Direct attempts to compare probes with, and programs to find."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from vxlab import features
from vxlab.describe.topology import Topology
from vxlab.plugin.variants import features_of
from vxlab.system.namespaces import Namespaces

#: What of iproute2 belongs to features of the kernel.
_OBJECTS = {"vxlan.vnifilter": "bridge.vni", "vxlan-mdb": "bridge.mdb"}


def skip_without_all(topology: Topology, *, by_ip: bool = False) -> None:
    """Skip a test where this machine cannot have a topology, or not by its iproute2 (``by_ip``)."""
    needed = features_of(topology)
    more = [_OBJECTS[name] for name in needed if by_ip and name in _OBJECTS]
    missing = features.missing([*needed, *more])
    if missing:
        pytest.skip("; ".join(feature.sentence() for feature in missing))


def run(node: Namespaces, *argv: str) -> tuple[int, str]:
    """Exit code and output of a program in a node."""
    with node.popen(argv, stderr=subprocess.STDOUT) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


def write_program(folder: Path, name: str, text: str) -> None:
    """An executable file with this text."""
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
