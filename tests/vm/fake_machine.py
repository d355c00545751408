"""Stands in for QEMU: a shell script that writes what a guest would have written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vxlab.vm.guest import Guest

#: Names the files of a machine's ports as $log, $out and $reports, its output disk as $disk.
_PORTS = """#!/bin/sh
ports=0
for word; do
    case $word in
    -serial) ports=$((ports + 1)) ;;
    file:*)
        case $ports in
        1) log=${word#file:} ;;
        2) out=${word#file:} ;;
        3) reports=${word#file:} ;;
        esac
        ;;
    file=*,cache=unsafe) disk=${word#file=} disk=${disk%%,*} ;;
    esac
done
say() { printf '%s\\n' "$1" >>"$reports"; }
up() { say '{"guest": "up", "value": "1.5"}'; }
ends() { say "{\\"guest\\": \\"exit\\", \\"value\\": \\"$1\\"}"; }
"""


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Guest:
    """Make ``body`` what QEMU does from now on; a guest for it.

    Temporary files go to the folder ``tmp`` of ``tmp_path``.
    """
    programs, temporary = tmp_path / "bin", tmp_path / "tmp"
    programs.mkdir()
    temporary.mkdir()
    qemu = programs / "qemu-system-x86_64"
    qemu.write_text(_PORTS + body)
    qemu.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    images = {name: tmp_path / name for name in ("kernel", "start", "root", "modules", "files")}
    for image in images.values():
        image.touch()
    return Guest(**images)
