"""Why this system refuses private namespaces, in one sentence, with what to do about it.

Sources: user_namespaces(7), namespaces(7), mount_namespaces(7), and the documentation of the
distributions that have a setting of their own (Debian, Ubuntu).
"""

from __future__ import annotations

import errno
import os

_KINDS = ("user", "mnt", "pid", "net", "uts", "ipc")


def explain(problem: OSError, uid: int, settings: str = "/proc/sys") -> str:
    """One sentence on why the system refused: the setting that forbids it, and what to do.

    ``problem`` is the error of the system call, ``uid`` the user who asked, ``settings`` the
    folder that holds the kernel's settings.
    """
    wanted = "wanted private namespaces for the labs of vxlab, found that "
    if problem.errno == errno.EBUSY:
        return (
            f"{wanted}the way is blocked ({problem.strerror}): a private tmpfs hides that folder, "
            "so work in, and write to, a folder of your own below it or anywhere else"
        )
    found, advice = _forbidding_setting(uid, settings) or _other_cause(problem)
    return f"{wanted}{found} ({problem.strerror}): {advice}"


def _forbidding_setting(uid: int, settings: str) -> tuple[str, str] | None:
    limits = [(f"user.max_{kind}_namespaces", "0", "15000") for kind in _KINDS]
    for_users = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ]
    for name, bad, good in limits + (for_users if uid else []):
        try:
            with open(f"{settings}/{name.replace('.', '/')}", encoding="ascii") as file:
                value = file.read().strip()
        except OSError:
            continue
        if value == bad:
            advice = f"allow it with `sudo sysctl -w {name}={good}`"
            if uid:
                advice += ", or run as root"
            return f"the setting {name} = {value} forbids them", advice
    return None


def _other_cause(problem: OSError) -> tuple[str, str]:
    if not os.path.exists("/proc/self/ns/user"):
        return (
            "this kernel has no user namespaces",
            "run as root, or use a kernel with CONFIG_USER_NS",
        )
    if problem.errno == errno.ENOSPC:
        return (
            "there are too many namespaces, or too many inside one another (32 at most)",
            "raise the settings user.max_*_namespaces out there, or nest fewer containers",
        )
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        filtered = "Seccomp:\t2" in file.read()
    if filtered or str(problem.strerror).startswith("mount"):
        return (
            "they are refused, as a container does by its seccomp filter or its hidden parts of "
            "/proc and /sys",
            "run the container with --privileged, or with `--security-opt seccomp=unconfined "
            "--security-opt unmask=ALL --cap-add SYS_ADMIN`",
        )
    return "they are refused", "run as root, with all capabilities and outside a chroot"
