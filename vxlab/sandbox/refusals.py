"""Why this system refuses private namespaces, in one sentence, with what to do about it.

Sources: user_namespaces(7), namespaces(7), mount_namespaces(7), and the documentation of the
distributions that have a setting of their own (Debian, Ubuntu).
"""

from __future__ import annotations

import errno
import os

from vxlab.sandbox.mounts import hidden_parts

_KINDS = ("user", "mnt", "pid", "net", "uts", "ipc")


def explain(
    problem: OSError, uid: int, settings: str = "/proc/sys", process: int | None = None
) -> str:
    """One sentence on why the system refused: the setting that forbids it, and what to do.

    ``problem`` is the error of the system call, ``uid`` the user who asked, ``settings`` the
    folder that holds the kernel's settings, ``process`` a descriptor of the ``/proc/PID`` of the
    process that was refused (None: the calling one).
    """
    wanted = "wanted private namespaces for the labs of vxlab, found that "
    if problem.errno == errno.EBUSY:
        return (
            f"{wanted}the way is blocked ({problem.strerror}): a private tmpfs hides that folder, "
            "so work in, and write to, a folder of your own below it or anywhere else"
        )
    if process is None:
        process = os.open("/proc/self", os.O_RDONLY | os.O_CLOEXEC)
    found, advice = (
        _hidden_parts(problem, process)
        or _forbidding_setting(uid, settings)
        or _other_cause(problem, process)
    )
    return f"{wanted}{found} ({problem.strerror}): {advice}"


def _hidden_parts(problem: OSError, process: int) -> tuple[str, str] | None:
    if problem.errno != errno.EPERM or not str(problem.strerror).startswith("mount proc"):
        return None
    parts = hidden_parts(_read("mountinfo", process))
    if not parts:
        return None
    return (
        f"parts of /proc or /sys are hidden or read-only here, as in a container: "
        f"{', '.join(parts)}; so the kernel lets nobody but root mount a fresh /proc",
        "run the container with --privileged, or with `--security-opt systempaths=unconfined` "
        "(podman: `--security-opt unmask=ALL`), or as root with `--cap-add SYS_ADMIN`",
    )


def _read(name: str, process: int) -> str:
    """The text of a file of ``/proc/PID``."""
    with open(os.open(name, os.O_RDONLY, dir_fd=process), encoding="utf-8", errors="replace") as it:
        return it.read()


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


def _other_cause(problem: OSError, process: int) -> tuple[str, str]:
    try:
        os.stat("ns/user", dir_fd=process)
    except FileNotFoundError:
        return (
            "this kernel has no user namespaces",
            "run as root, or use a kernel with CONFIG_USER_NS",
        )
    if problem.errno == errno.ENOSPC:
        return (
            "there are too many namespaces, or too many inside one another (32 at most)",
            "raise the settings user.max_*_namespaces out there, or nest fewer containers",
        )
    status = dict(line.split(":\t", 1) for line in _read("status", process).splitlines())
    if problem.errno == errno.EINVAL and status["Threads"] != "1":
        return (
            f"this program has {status['Threads']} threads, and only one with a single thread can "
            "be moved into namespaces",
            "call `vxlab.sandbox.enter()` before the others start, or start a program of its own "
            "by `vxlab.sandbox.run()`",
        )
    if status.get("Seccomp") == "2" or str(problem.strerror).startswith("mount"):
        return (
            "they are refused, as a container does by its seccomp filter or its hidden parts of "
            "/proc and /sys",
            "run the container with --privileged, or with `--security-opt seccomp=unconfined "
            "--security-opt unmask=ALL --cap-add SYS_ADMIN`",
        )
    return "they are refused", "run as root, with all capabilities and outside a chroot"
