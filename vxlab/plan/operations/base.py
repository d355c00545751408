"""What all operations have in common: a node, and the commands that do the same by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

#: Text of several lines.
Document = Annotated[str, "lines"]


class NodeName(str):
    """A word of a command that names another node: ``… peer name eth0 netns h1``.

    Before the command is run, a path to that node's network namespace replaces it.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command of iproute2.

    ``node`` is the name of the node it is run in, ``program`` is ``ip`` or ``bridge``, ``words``
    are its arguments.
    """

    node: str
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([self.program, "-n", self.node, *self.words])


def ip(node: str, *words: str) -> Command:
    """The command ``ip`` with its ``words``, run in ``node``."""
    return Command(node, "ip", words)


def bridge(node: str, *words: str) -> Command:
    """The command ``bridge`` with its ``words``, run in ``node``."""
    return Command(node, "bridge", words)


@dataclass(frozen=True, slots=True)
class Operation:
    """Base of all operations; ``node`` is the name of the node that it changes."""

    node: str

    def commands(self) -> tuple[Command, ...]:
        """The same done by iproute2, in order; empty for what other programs do."""
        return ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.commands()))
