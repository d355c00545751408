"""The subcommands of ``vxlab``, in modules by subject; :mod:`vxlab.cli` puts them together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A subcommand: its name, one line of help, its options, and what it does.

    ``run`` returns the exit code.
    """

    name: str
    summary: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
