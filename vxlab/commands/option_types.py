"""Values of options, for ``type=``: each is checked where the command line is read."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path


def seconds(text: str) -> float:
    """A time of more than 0 seconds."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"wanted seconds, more than 0, found {text!r}")


def whole_number(text: str) -> int:
    """A whole number of 1 or more."""
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"wanted a whole number, 1 or more, found {text!r}")


def file_name(text: str) -> Path:
    """The name of a file or folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"wanted the name of a file, found {text!r}")
    return Path(text)


def names(text: str) -> list[str]:
    """Names with commas between."""
    return [name.strip() for name in text.split(",")]
