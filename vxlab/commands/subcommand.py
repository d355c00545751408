"""What a subcommand of ``vxlab`` is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


def no_options(parser: argparse.ArgumentParser) -> None:
    """Define no options."""
    del parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """A subcommand: its name, one line of help, its options, and what it does.

    ``add_options`` defines options in a parser; ``run`` gets what was parsed, and returns the exit
    code.
    """

    name: str
    summary: str
    add_options: Callable[[argparse.ArgumentParser], None] = no_options
    run: Callable[[argparse.Namespace], int]
