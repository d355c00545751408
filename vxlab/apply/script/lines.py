"""Operations as lines of a shell script."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby

from vxlab.errors import VxlabError
from vxlab.plan.operations import (
    AddNamespace,
    AddRule,
    Command,
    Operation,
    RunProgram,
    SetLink,
    SetSysctl,
    sysctl_path,
)

#: Columns a line of settings may take.
_WIDTH = 96


def quoted(words: Iterable[str]) -> str:
    """Words as the shell reads them."""
    return " ".join(shlex.quote(str(word)) for word in words)


def command_line(command: Command) -> str:
    """A command of iproute2; nodes are found by their names, below ``/run/netns``."""
    return quoted([command.program, "-n", command.node, *command.words])


def setting(operation: SetSysctl) -> str:
    """A setting as the script's ``set_sysctl`` takes it: ``net/ipv4/ip_forward=1``."""
    path = sysctl_path(operation.key).removeprefix("/proc/sys/")
    return quoted([f"{path}={operation.value}"])


def lines_of(operation: Operation) -> list[str]:
    """The lines that do an operation; VxlabError where a script cannot do it."""
    match operation:
        case AddNamespace():
            return [f"ip netns add {operation.node}", *lines_of(loopback(operation))]
        case SetSysctl():
            return [f"set_sysctl {operation.node} {setting(operation)}"]
        case AddRule():
            words = [operation.program, "-w", *operation.words]
            return [f"ip netns exec {operation.node} {quoted(words)}"]
        case RunProgram():
            line = f"ip netns exec {operation.node}"
            if operation.stdin:  # as an argument: lines are run as they are, with no pipe
                reading = f'printf "%s" "$1" | {quoted(operation.words)}'
                return [f"{line} {quoted(['sh', '-c', reading, 'sh', operation.stdin])}"]
            return [f"{line} {quoted(operation.words)}"]
    lines = [command_line(command) for command in operation.commands()]
    if not lines:
        raise VxlabError(f"wanted an operation that a script can do, found {operation!r}")
    return lines


def loopback(operation: AddNamespace) -> SetLink:
    """The operation that a new namespace needs before it can be used."""
    return SetLink(operation.node, "lo", up=True)


def settings_lines(operations: Sequence[SetSysctl]) -> list[str]:
    """Lines for many settings of several nodes: neighbours with the same ones share a block."""
    of_node = [
        (node, tuple(map(setting, group)))
        for node, group in groupby(operations, lambda operation: operation.node)
    ]
    lines: list[str] = []
    for settings, pairs in groupby(of_node, lambda pair: pair[1]):
        nodes = [node for node, _ in pairs]
        if len(nodes) == 1:
            lines += _block(f"set_sysctl {nodes[0]}", settings)
        else:
            body = _block('set_sysctl "$node"', settings)
            indented = [f"    {line}" for line in body]
            lines += [f"for node in {' '.join(nodes)}; do", *indented, "done"]
    return lines


def _block(start: str, words: Sequence[str]) -> list[str]:
    one_line = " ".join([start, *words])
    if len(one_line) <= _WIDTH:
        return [one_line]
    return [f"{start} \\", *(f"    {word} \\" for word in words[:-1]), f"    {words[-1]}"]
