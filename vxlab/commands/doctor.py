"""``vxlab doctor``: what this machine and its kernel can do."""

from __future__ import annotations

import argparse
import sys

from vxlab.commands.subcommand import Subcommand


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", metavar="FEATURE", nargs="*", help="look at these only, and want all of them"
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects")


def _run(arguments: argparse.Namespace) -> int:
    """Show what can be done here; 0 where all that is wanted is there, 1 where something is not.

    Wanted are the features named, or by default those that every scenario needs.
    """
    import contextlib
    import dataclasses
    import json

    from vxlab import features, sandbox
    from vxlab.commands.feature_table import feature_table, wants_colour
    from vxlab.errors import SandboxError

    if not sandbox.inside():
        options = ["--json"] if arguments.json else []
        program = [sys.executable, "-m", "vxlab", "doctor", *options, "--", *arguments.names]
        with contextlib.suppress(SandboxError):  # shown below, as a feature that is missing
            return sandbox.run(program)
    found = features.survey(arguments.names) or features.all_features()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(feature) for feature in found], indent=2))
    else:
        print(feature_table(found, colour=wants_colour(sys.stdout)))
    wanted = found if arguments.names else [feature for feature in found if feature.required]
    return 0 if all(feature.available for feature in wanted) else 1


COMMAND = Subcommand(
    name="doctor",
    summary="show what this machine and its kernel can do",
    add_options=_add_options,
    run=_run,
)
