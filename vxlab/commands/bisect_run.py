"""``vxlab bisect-run``: of one kernel, what ``git bisect run`` asks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from vxlab import apply
from vxlab.commands.option_types import seconds, whole_number
from vxlab.commands.scenario_options import add_scenario_options, pytest_arguments
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

#: `git bisect run` ends at a code from 128 on; one below would be an answer (git-bisect(1)).
_WRONG_COMMAND_LINE = 129


def _add_options(parser: argparse.ArgumentParser) -> None:
    def error(message: str) -> NoReturn:
        parser.print_usage(sys.stderr)
        parser.exit(_WRONG_COMMAND_LINE, f"{parser.prog}: error: {message}\n")

    vars(parser)["error"] = error
    parser.add_argument(
        "--kernel", required=True, metavar="FILE|VERSION", help="a bzImage, a .deb, or a version"
    )
    parser.add_argument("--modules", type=Path, metavar="DIR", help="its modules (lib/modules/REL)")
    parser.add_argument(
        "--iproute2", default="system", metavar="VERSION|DIR", help="default: the guest's own"
    )
    parser.add_argument("--backend", default="netlink", choices=apply.BACKENDS)
    parser.add_argument(
        "--deadline", type=seconds, default=600.0, metavar="SECONDS", help="default: 600"
    )
    parser.add_argument(
        "--memory", type=whole_number, default=1024, metavar="MB", help="default: 1024"
    )
    add_scenario_options(parser)


def notify(text: str) -> None:
    """Tell a person who waits what is being done."""
    print(f"vxlab bisect-run: {text}", file=sys.stderr, flush=True)


def _run(arguments: argparse.Namespace) -> int:
    """Say of one kernel: 0 good, 1 bad, 125 cannot be told."""
    import traceback

    from vxlab.commands.interruption import ended_by_signals
    from vxlab.matrix.bisect import Verdict, ask

    try:
        with ended_by_signals("vxlab bisect-run"):
            answer = ask(
                arguments.kernel,
                pytest_arguments(arguments),
                modules=arguments.modules,
                iproute2=arguments.iproute2,
                backend=arguments.backend,
                deadline=arguments.deadline,
                memory=arguments.memory,
                notify=notify,
            )
    except Exception as error:  # 1 would say that the kernel is bad
        if not isinstance(error, VxlabError):
            traceback.print_exc()
        print(f"vxlab bisect-run: {error}", file=sys.stderr)
        return Verdict.UNKNOWN
    for text in filter(None, answer.evidence):
        print(text)
    print(f"{answer.verdict.name.lower()}: {answer.why}")
    return answer.verdict


COMMAND = Subcommand(
    name="bisect-run",
    summary="say of a kernel what `git bisect run` asks",
    add_options=_add_options,
    run=_run,
)
