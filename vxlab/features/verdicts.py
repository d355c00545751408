"""What an error says of a feature: that the kernel lacks it, or nothing.

Only an answer of :data:`LACKING` means that something is missing.  Any other error, one of memory
or of rights above all, came before the question was answered: who takes it for "missing" skips
tests that could run.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Mapping

from vxlab.errors import ProbeError
from vxlab.system.processes import finish
from vxlab.system.waiting import DEADLINE

#: What to do where namespaces, or the rights in them, are refused.
SEE_NAMESPACES = "see namespaces: `vxlab doctor namespaces`"

#: An error number of the kernel's own that leaks out of some drivers (include/linux/errno.h).
ENOTSUPP = 524

#: The answers that mean "missing", and what the kernel gives them for.
LACKING: Mapping[int, str] = {
    errno.EOPNOTSUPP: "a kind of device or an operation unknown (rtnl_newlink(), rtnetlink_rcv())",
    ENOTSUPP: "the same, from drivers that mix the two up",
    errno.ENOENT: "a qdisc, classifier, table or target unknown (qdisc_create(), nf_tables)",
    errno.EINVAL: "an attribute or a value unknown (nla_parse(), vxlan_validate())",
    errno.ERANGE: "a value or a length beyond an attribute's policy (nla_validate())",
    errno.ENODEV: "no driver for it (fib_rules, rtnl_link_get_net())",
    errno.ENOSYS: "a system call unknown",
    errno.ENOPROTOOPT: "a socket option unknown (ip_mroute_setsockopt() without CONFIG_IP_MROUTE)",
    errno.EPROTONOSUPPORT: "a protocol of sockets unknown (inet_create(), netlink_create())",
    errno.ESOCKTNOSUPPORT: "a type of sockets unknown (inet_create())",
    errno.EAFNOSUPPORT: "a family of addresses unknown (__sock_create(), ipv6.disable=1)",
    errno.EPFNOSUPPORT: "a family of protocols unknown (socket(2))",
    errno.EADDRNOTAVAIL: "::1 is not there: IPv6 is switched off (net.ipv6.conf.*.disable_ipv6)",
}

#: Errors of a machine that has too little just now, and what to do.
SHORT: Mapping[int, str] = {
    errno.ENOMEM: "free some memory, and run it again",
    errno.ENOBUFS: "free some memory, and run it again",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "raise the machine's limit of open files (sysctl fs.file-max)",
    errno.ENOSPC: "raise the limits of namespaces (sysctl user.max_*_namespaces), or free space",
    errno.EUSERS: "raise the limits of namespaces (sysctl user.max_*_namespaces)",
    errno.EDQUOT: "raise the account's quota",
    errno.EAGAIN: "raise the limit of processes (`ulimit -u`, pids.max), and run it again",
    errno.EBUSY: "run it again",
    errno.EINTR: "run it again",
}

#: Refusals of rights, which in a sandbox, whose root we are, say nothing of the kernel's parts.
REFUSED = (errno.EPERM, errno.EACCES)


def advice(code: int | None) -> str:
    """What to do about an error number that is no verdict."""
    return SEE_NAMESPACES if code in REFUSED else SHORT.get(code or 0, "run it again")


def kernel_said(code: int | None, extack: str = "") -> str:
    """An error number in words, with the kernel's own explanation; empty without a number."""
    if not code:
        return ""
    answer = f'the kernel answered "{os.strerror(code)}"'
    return f"{answer} ({extack})" if extack else answer


def said_by(process: subprocess.Popen[str]) -> tuple[str, int | None]:
    """What a program prints until it ends, and its exit code; None where it was killed for time."""
    try:
        said = finish(process, timeout=DEADLINE).stdout
    except subprocess.TimeoutExpired:
        return "", None
    return said.decode(errors="replace"), process.returncode


def want_answer(what: str, said: str, code: int | None, *, rights: bool = True) -> None:
    """ProbeError where a program ended as it does where the machine has too little just now.

    ``what`` is the program or its command, ``said`` what it printed, in English, ``code`` its exit
    code (below 0: the signal that ended it; None: it was killed, as it did not end).  Refusals of
    rights are no answer either, unless ``rights`` is False.
    """
    if code == 0:
        return
    if code is None:
        raise ProbeError(f"{what} did not end in time", "run it again, where less is going on")
    if code == -signal.SIGKILL:  # of the kernel, where memory has run out
        raise ProbeError(f"{what} was killed", SHORT[errno.ENOMEM])
    for number in (*SHORT, *(REFUSED if rights else ())):
        if os.strerror(number) in said:
            raise ProbeError(f'{what} answered "{" ".join(said.split())}"', advice(number))
