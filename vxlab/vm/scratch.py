"""Temporary files without a name: they go with the process that made them, however it ends."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


class Scratch(contextlib.ExitStack):
    """Makes such files; a context manager that lets go of them."""

    def file(self) -> Path:
        """A new one: a path by which this process and its children can open it."""
        made = tempfile.TemporaryFile()  # noqa: SIM115
        self.enter_context(made)
        return Path(f"/proc/{os.getpid()}/fd/{made.fileno()}")
