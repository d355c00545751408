"""Options that say which scenarios are run, as pytest has them."""

from __future__ import annotations

import argparse
from pathlib import Path

from vxlab.errors import VxlabError


def add_scenario_options(parser: argparse.ArgumentParser) -> None:
    """Define what says which scenarios."""
    parser.add_argument("-k", metavar="EXPRESSION", help="scenarios whose names match, as pytest")
    parser.add_argument("-m", metavar="MARKERS", help="scenarios with markers, as pytest")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="files of scenarios (default: scenarios); after -- also options of pytest",
    )


def pytest_arguments(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The arguments of pytest that these options mean; VxlabError where a file is not there."""
    words = tuple(arguments.paths) or ("scenarios",)
    for word in words:
        if word.startswith("-"):  # from here on they belong to pytest
            break
        if not Path(word.partition("::")[0]).exists():
            raise VxlabError(f"wanted files or folders of scenarios, found no {word}")
    for option in ("k", "m"):
        value = getattr(arguments, option)
        words += (f"-{option}", value) if value is not None else ()
    return words
