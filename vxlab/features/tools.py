"""Probes of programs: whether they are installed, and which version they print."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
from collections.abc import Sequence

from vxlab.errors import CapabilityError, MissingProgram
from vxlab.features.model import Check
from vxlab.features.verdicts import SHORT, said_by, want_answer
from vxlab.services.base import service_program
from vxlab.system.programs import PACKAGES

#: 2.38.1, 9.2p1, v1.8.9; or a date, as iputils has it
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+~-]*|\d{8}")


def version_in(said: str) -> str:
    """The version in what a program says about itself; empty where there is none."""
    found = _VERSION.search(said)
    return found.group().rstrip(".") if found else ""


def _attempt(name: str, option: str) -> str:
    """The version of a program, or ``found`` where it does not tell it."""
    try:
        argv = [service_program(name), option]
    except MissingProgram:
        raise CapabilityError("not found in PATH") from None
    said, code = _answer(argv)
    if "error while loading shared libraries" in said:
        raise CapabilityError(f"{argv[0]} cannot be run: {said.strip()}")
    if code < 0:
        died = f"{signal.strsignal(-code) or 'a signal'} (signal {-code})"
        raise CapabilityError(f"{argv[0]} cannot be run: it died of {died}")
    # sshd before 9.4 knows no option for it, and ends with 1 after telling its version
    return version_in(said) or "found"


def _answer(argv: Sequence[str]) -> tuple[str, int]:
    """What a program prints, and its exit code; ProbeError where it was kept from answering."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},  # for want_answer()
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        if error.errno in SHORT:
            raise
        raise CapabilityError(f"{argv[0]} cannot be run: {error}") from error
    with process:
        said, code = said_by(process)
    want_answer(argv[0], said, code, rights=False)
    return said, code or 0


def installed(name: str, title: str, option: str) -> Check:
    """The probe of a program that ``vxlab setup`` provides.

    ``name`` is the program, ``title`` what it is for, ``option`` makes it print its version.
    """
    hint = f"run `vxlab setup`, or install the package {PACKAGES[name]}"
    if name in ("smcrouted", "pimd"):
        hint = f"run `vxlab setup`, which unpacks {PACKAGES[name]} (installing it starts it)"
    shown = "bridge(8)" if name == "bridge" else name  # `bridge` is a kind of device
    return Check(
        name=shown,
        title=title,
        attempt=functools.partial(_attempt, name, option),
        hint=hint,
        required=True,
    )


def optional(name: str, title: str, option: str, hint: str) -> Check:
    """The probe of a program that scenarios can do without.

    ``name`` is the program, ``title`` what it is for, ``option`` makes it print its version;
    ``hint`` says what to do where it is missing.
    """
    return Check(
        name=name, title=title, attempt=functools.partial(_attempt, name, option), hint=hint
    )


#: All programs.  What ``vxlab setup`` provides is required, the rest is not.
CHECKS: tuple[Check, ...] = (
    installed("ip", "makes and shows devices, addresses and routes", "-V"),
    installed("bridge", "shows forwarding tables", "-V"),
    installed("ss", "shows sockets", "-V"),
    installed("ping", "asks for echoes", "-V"),
    installed("iptables", "IPv4 packet filter", "-V"),
    installed("ip6tables", "IPv6 packet filter", "-V"),
    installed("ethtool", "switches a device's offloads", "--version"),
    installed("unshare", "gives a node processes and mounts of its own", "--version"),
    installed("smcrouted", "static multicast router", "-v"),
    installed("pimd", "PIM multicast router", "--version"),
    optional("tcpdump", "shows packets", "--version", "install the package tcpdump"),
    optional("tshark", "dissects packets", "--version", "install the package tshark"),
    optional(
        "sshd",
        "logins into a node",
        "-V",
        "put the sshd of the package openssh-server into PATH (installing it starts it)",
    ),
)
