"""Programs that run in a node beside the test, and where their output goes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from vxlab.errors import VxlabError

#: As ``stdout`` or ``stderr`` of a program: a file of the lab, which never blocks the program.
LOG = -10  # beside PIPE, STDOUT and DEVNULL of subprocess


class Program(subprocess.Popen[Any]):
    """A program that was started in a node: a :class:`subprocess.Popen`, and what it wrote.

    ``log`` is the file of the lab that its output goes to, None where that goes elsewhere.
    """

    log: Path | None = None

    def output(self) -> str:
        """All that the program has written to its log so far, to stdout and stderr, as text.

        VxlabError where its output went elsewhere, or its lab is closed.
        """
        wanted = f"wanted what `{' '.join(map(str, self.args))}` has written"  # type: ignore[arg-type]
        if self.log is None:
            raise VxlabError(
                f"{wanted}, found that its output goes elsewhere: leave stdout or stderr out"
            )
        try:
            return self.log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError as error:
            raise VxlabError(f"{wanted}, found its lab already closed") from error
