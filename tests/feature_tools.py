"""Direct attempts to compare probes with, and programs to find."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from vxlab.system.namespaces import Namespaces


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
