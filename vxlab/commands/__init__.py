"""The subcommands of ``vxlab``, in modules by subject; :mod:`vxlab.commands.main` puts them together."""

from __future__ import annotations

import argparse
import contextlib
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


def seconds(text: str) -> float:
    """A time on a command line, for ``type=``."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"wanted seconds, more than 0, found {text!r}")
