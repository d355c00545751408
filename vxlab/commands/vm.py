"""``vxlab vm``: a command on another kernel, in a throw-away virtual machine."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from vxlab.commands.option_types import seconds
from vxlab.commands.subcommand import Subcommand
from vxlab.errors import VxlabError

_DEFAULTS = "default: %(default)s"
_DEFAULT = ("pytest", "scenarios/")
#: Less memory than this, in MB, and a guest does not come as far as its command.
_LEAST = 192
#: The exit code where a guest did not end by itself; 125 is what `git bisect run` skips.
NO_RESULT = 125


def _add_options(parser: argparse.ArgumentParser) -> None:
    below = parser.add_subparsers(required=True, metavar="run|shell|fetch|clean")
    run = below.add_parser(
        "run",
        help="run a command there, with this folder inside",
        description="Run a command on another kernel, with this folder inside. The exit code is "
        f"the command's, or {NO_RESULT} where the machine gave none.",
    )
    shell = below.add_parser("shell", help="a prompt there, with this folder inside")
    fetch = below.add_parser("fetch", help="make ready what a machine needs, and boot none")
    for each in (run, shell, fetch):
        _add_kernel(each)
    for each in (run, shell):
        _add_machine(each)
    _add_command(run)
    run.set_defaults(what=_run_command)
    shell.set_defaults(what=_run_shell)
    fetch.set_defaults(what=_fetch)
    clean = below.add_parser("clean", help="remove kernels, images and packages that were kept")
    clean.set_defaults(what=_clean)


def _add_kernel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kernel",
        required=True,
        metavar="VERSION|FILE",
        help="a version that the system's mirror offers (6.12), a .deb, or a bzImage",
    )
    parser.add_argument("--modules", type=Path, help="the modules of a bzImage (lib/modules/REL)")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", type=_memory, default=1024, metavar="MB", help=_DEFAULTS)
    parser.add_argument(
        "--no-snapshot",
        dest="snapshot",
        action="store_false",
        help="boot the kernel, also where a machine that has started was stored",
    )


def _add_command(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deadline", type=seconds, default=3600, metavar="SECONDS", help=_DEFAULTS)
    parser.add_argument(
        "--files", type=Path, metavar="DIR", help="put here what the command left in $VXLAB_OUTPUT"
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="-- COMMAND",
        help=f"default: {' '.join(_DEFAULT)}",
    )


def _memory(text: str) -> int:
    if not text.isdecimal() or int(text) < _LEAST:
        raise argparse.ArgumentTypeError(f"wanted {_LEAST} MB or more, found {text!r}")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    """Run a subcommand; what ends it from outside leaves nothing behind either."""
    from vxlab.commands.interruption import ended_by_signals

    with ended_by_signals("vxlab vm", by_number=True):
        try:
            code: int = arguments.what(arguments)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise VxlabError(f"virtual machine: {error}") from error
    return code


def notify(text: str) -> None:
    """Tell a person who waits what is being done."""
    print(f"vxlab vm: {text}", file=sys.stderr, flush=True)


def _run_command(arguments: argparse.Namespace) -> int:
    from vxlab.vm import bundles, machine, panic, run
    from vxlab.vm.guest import ExitKind

    given = arguments.arguments or list(_DEFAULT)
    words, iproute2 = bundles.in_command(given, Path.cwd(), notify)
    ended = run.run_command(
        [shlex.join(words)],
        kernel=arguments.kernel,
        modules=arguments.modules,
        deadline=arguments.deadline,
        memory=arguments.memory,
        snapshot=arguments.snapshot,
        files=arguments.files,
        terminal=sys.stdout.isatty(),
        iproute2=iproute2,
        output=machine.to_terminal,
        notify=notify,
    )
    if ended.kind is ExitKind.DONE and ended.code is not None:
        return ended.code
    sys.stdout.flush()
    excerpt = panic.excerpt(ended.log)
    print(f"vxlab vm: {ended.kind}: {ended.reason}", file=sys.stderr)
    if excerpt:
        print(f"from the kernel's log:\n{excerpt}", file=sys.stderr)
    return NO_RESULT


def _run_shell(arguments: argparse.Namespace) -> int:
    from vxlab.vm import run

    if not sys.stdin.isatty():
        raise VxlabError("vxlab vm shell: wanted a terminal, found none: use `vxlab vm run`")
    notify("the prompt ends with `exit`")
    return run.run_shell(
        kernel=arguments.kernel,
        modules=arguments.modules,
        memory=arguments.memory,
        snapshot=arguments.snapshot,
        notify=notify,
    )


def _fetch(arguments: argparse.Namespace) -> int:
    from vxlab.vm import run

    run.prepare_kernel(kernel=arguments.kernel, modules=arguments.modules, notify=notify)
    return 0


def _clean(_: argparse.Namespace) -> int:
    from vxlab.vm import cache

    size, left = cache.clean()
    print(f"removed {size >> 20} MB from {cache.folder()}")
    for place in left:
        notify(f"left {place}: vxlab did not make it; remove it yourself if nothing in it is yours")
    return 0


COMMAND = Subcommand(
    name="vm", summary="run a command on another kernel", add_options=_add_options, run=_run
)
