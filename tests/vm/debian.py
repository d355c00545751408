"""Packages and a mirror for tests: small, local, and read by the real apt."""

from __future__ import annotations

import gzip
import hashlib
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

NAME = "6.1.0-9-cloud-amd64"


def bzimage(path: Path, release: str = NAME) -> Path:
    """A file with the header of a bzImage (Documentation/arch/x86/boot), and nothing to boot."""
    head = bytearray(0x400)
    head[0x200:0x206] = b"\xebfHdrS"
    struct.pack_into("<H", head, 0x20E, 0x100)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(head[:0x300]) + f"{release} (someone@there) #1 SMP\0".encode())
    return path


def package(folder: Path, name: str, files: Mapping[str, bytes | str], **fields: str) -> Path:
    """Build a package with these files; further ``fields`` as in deb-control(5)."""
    tree = folder / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = {
        "Package": name,
        "Version": "1.0",
        "Architecture": "amd64",
        "Maintainer": "someone",
        "Description": "for a test",
        **{key.replace("_", "-"): value for key, value in fields.items()},
    }
    lines = "".join(f"{key}: {value}\n" for key, value in control.items())
    (tree / "DEBIAN/control").write_text(lines)
    for path, data in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data if isinstance(data, bytes) else data.encode())
    made = folder / f"{name}_{control['Version'].replace(':', '%3a')}_amd64.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, made],
        check=True,
        capture_output=True,
    )
    return made


def mirror(folder: Path, **suites: list[Path]) -> str:
    """An archive of these packages; its address, as in sources.list(5)."""
    for suite, packages in suites.items():
        below = folder / "dists" / suite / "main/binary-amd64"
        below.mkdir(parents=True)
        text = ""
        for path in packages:
            shown = ["dpkg-deb", "-f", path]
            fields = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
            place = folder / "pool" / suite / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
            text += f"{fields}Filename: {place.relative_to(folder)}\nSize: {place.stat().st_size}\n"
            text += f"SHA256: {hashlib.sha256(place.read_bytes()).hexdigest()}\n\n"
        (below / "Packages.gz").write_bytes(gzip.compress(text.encode()))
        data = (below / "Packages.gz").read_bytes()
        plain = hashlib.sha256(text.encode()).hexdigest()
        release = f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
        release += "Date: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n"
        release += f" {plain} {len(text)} main/binary-amd64/Packages\n"
        release += (
            f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/Packages.gz\n"
        )
        (below.parents[1] / "Release").write_text(release)
    return f"[trusted=yes] file:{folder}"
