"""The programs that labs run, where to find them, and which package holds them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from vxlab.errors import MissingProgram

#: Where programs are looked for, after PATH; daemons often live outside a user's PATH.
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

#: The Debian package that holds a program, for error messages and ``vxlab doctor``.
PACKAGES = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "ss": "iproute2",
    "tc": "iproute2",
    "ping": "iputils-ping",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "ethtool": "ethtool",
    "smcrouted": "smcroute",
    "pimd": "pimd",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "sysctl": "procps",
    "ps": "procps",
}


#: The programs of iproute2, which may come from a folder of their own (:func:`use_iproute2`).
IPROUTE2 = ("ip", "bridge", "ss", "tc", "nstat", "rtmon")

_iproute2: str | None = None


def use_iproute2(folder: str | None) -> None:
    """Take the programs of iproute2 from ``folder`` from now on, where it has them; None: PATH.

    MissingProgram where the folder has no ``ip`` or no ``bridge``.
    """
    global _iproute2
    if folder is not None:
        for name in ("ip", "bridge"):
            if not os.access(os.path.join(folder, name), os.X_OK):
                raise MissingProgram(os.path.join(folder, name))
        folder = os.path.abspath(folder)
    _iproute2 = folder


def chosen_iproute2() -> str | None:
    """The folder given to :func:`use_iproute2`; None where that is not in force."""
    return _iproute2


def find_program(name: str, extra: Sequence[str] = ()) -> str:
    """The absolute path of a program; MissingProgram, naming its package, where there is none."""
    if _iproute2 is not None and name in IPROUTE2:
        extra = (_iproute2, *extra)
    own = os.environ.get("PATH", "").split(os.pathsep)
    folders = filter(None, (*extra, *own, *SYSTEM_PATH))  # an empty one is the working directory
    path = os.pathsep.join(folders)
    found = shutil.which(name, path=path)
    if found is None:
        raise MissingProgram(name, PACKAGES.get(os.path.basename(name)))
    return found
