"""What all operations have in common: a node, and the commands that do the same by hand."""

from __future__ import annotations

from dataclasses import dataclass


class NodeName(str):
    """A word of a command that names another node: ``… peer name eth0 netns h1``.

    Who runs the command puts a path to that node's network namespace in its place.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A program of iproute2 (``ip``, ``bridge``) with its arguments, run in a node."""

    node: str
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([self.program, "-n", self.node, *self.words])


def ip(node: str, *words: str) -> Command:
    """A command ``ip``."""
    return Command(node, "ip", words)


def bridge(node: str, *words: str) -> Command:
    """A command ``bridge``."""
    return Command(node, "bridge", words)


@dataclass(frozen=True, slots=True)
class Operation:
    """Base of all operations; ``node`` is the node it happens in."""

    node: str

    def commands(self) -> tuple[Command, ...]:
        """The same done by iproute2, in order; empty for what other programs do."""
        return ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.commands()))
