"""A matrix as a workflow of GitHub Actions: a job for each kernel, and one that puts them together.

The jobs run in containers of Debian, whose mirror has the kernels and the iproute2; these are
privileged, because scenarios make namespaces and virtual machines want ``/dev/kvm``.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from vxlab.errors import VxlabError
from vxlab.matrix.selection import Selection

#: GitHub's limits: jobs of one matrix, and minutes of a job on its own machines
#: (docs.github.com, "Usage limits" of Actions).
_JOBS, _MINUTES = 256, 360

#: Minutes of a job that are no cell's: set-up before, reports after.
_AROUND = 30

#: What Debian's image lacks for the set-up, and what the set-up of this project adds by itself.
_BEFORE = ("git", "make", "python3", "python3-venv")
_PROGRAMS = (
    "qemu-system-x86 kmod e2fsprogs iproute2 iputils-ping iptables ethtool procps util-linux"
)


def workflow(selection: Selection, *, deadline: float | None = None, project: Path = Path()) -> str:
    """The file that runs ``selection`` as a workflow, as YAML.

    ``deadline`` is each job's, in seconds (default: the most that GitHub gives).  A ``project``
    that is vxlab itself is set up with ``make setup``, any other with pip.  VxlabError where GitHub
    does not do it.
    """
    selection.combinations()  # says what is wrong with it
    seconds = _checked_seconds(selection, deadline)
    setup = _block(
        "apt-get update",
        f"apt-get install -y --no-install-recommends ca-certificates {' '.join(_BEFORE)}",
    )
    install = _block('git config --global --add safe.directory "$PWD"', *_installing(project))
    entries = "".join(
        f"          - {{name: {_text(f'{number}-{_safe(kernel)}')}, kernel: {_text(kernel)}}}\n"
        for number, kernel in enumerate(selection.kernels, start=1)
    )
    return _WORKFLOW.format(
        entries=entries.rstrip("\n"),
        minutes=math.ceil(seconds / 60) + _AROUND,
        setup=setup,
        install=install,
        run=_block(_command(selection, seconds)),
        merge=_block(
            ".venv/bin/vxlab merge results.sqlite found/*/results.sqlite",
            ".venv/bin/vxlab compare results.sqlite --html compare.html",
        ),
    )


def _checked_seconds(selection: Selection, deadline: float | None) -> float:
    """The seconds that each job has; VxlabError where that, or the number of jobs, is too much."""
    if len(selection.kernels) > _JOBS:
        found = len(selection.kernels)
        raise VxlabError(f"--workflow: wanted at most {_JOBS} kernels, found {found}: make two")
    longest = 60 * (_MINUTES - _AROUND)
    seconds = longest if deadline is None else deadline
    if seconds > longest:
        raise VxlabError(
            f"--deadline: wanted at most {longest} s for a job of GitHub's, found {seconds:g}"
        )
    return seconds


def _installing(project: Path) -> Sequence[str]:
    if (project / "tools" / "setup.sh").exists() and (project / "vxlab").is_dir():
        return ("make setup",)
    return (
        f"apt-get install -y --no-install-recommends {_PROGRAMS}",
        "python3 -m venv .venv",
        ".venv/bin/pip install vxlab",
        "if [ -e pyproject.toml ]; then .venv/bin/pip install -e .; fi",
    )


def _command(selection: Selection, seconds: float) -> str:
    """The command line that runs the part of one kernel; ``$KERNEL`` says which."""
    options = [
        f"--iproute2={','.join(selection.iproute2)}",
        f"--backends={','.join(selection.backends)}",
        f"--cell-deadline={selection.deadline:g}",
        f"--scenario-deadline={selection.scenario:g}",
        f"--deadline={seconds:g}",
        f"--memory={selection.memory}",
        *([f"--modules={selection.modules}"] if selection.modules else []),
        "--results=results.sqlite",
        "--junit=junit",
    ]
    words = shlex.join([*options, "--", *selection.arguments])
    return f'.venv/bin/vxlab matrix --kernels="$KERNEL" {words}'


def _block(*lines: str) -> str:
    """Commands of a step, as the lines of a literal block."""
    # what GitHub would take for an expression is made one that gives the same text
    text = "\n".join(lines).replace("${{", "${{ '${{' }}")
    return "|\n" + "\n".join(f"          {line}" for line in text.split("\n"))


def _text(text: str) -> str:
    """A string of JSON, which is one of YAML too, and no expression."""
    return json.dumps(text.replace("${{", "${{ '${{' }}"))


def _safe(text: str) -> str:
    """A part of the name of an artifact, which has no `/` in it, among others."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in text)


_WORKFLOW = """\
# Made by `vxlab matrix --workflow`.
name: vxlab matrix
on:
  push:
  workflow_dispatch:
permissions:
  contents: read
jobs:
  matrix:
    name: kernel ${{{{ matrix.kernel }}}}
    runs-on: ubuntu-24.04
    container:
      image: debian:12
      options: --privileged
    timeout-minutes: {minutes}
    strategy:
      fail-fast: false
      matrix:
        include:
{entries}
    steps:
      - name: What the set-up needs
        run: {setup}
      - uses: actions/checkout@v4
      - name: Install vxlab
        run: {install}
      - name: Run the scenarios
        env:
          KERNEL: ${{{{ matrix.kernel }}}}
        run: {run}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: results-${{{{ matrix.name }}}}
          path: |
            results.sqlite
            junit
  compare:
    needs: matrix
    if: always()
    runs-on: ubuntu-24.04
    container:
      image: debian:12
      options: --privileged
    timeout-minutes: 30
    steps:
      - name: What the set-up needs
        run: {setup}
      - uses: actions/checkout@v4
      - name: Install vxlab
        run: {install}
      - uses: actions/download-artifact@v4
        with:
          pattern: results-*
          path: found
      - name: Put the results together
        run: {merge}
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: compared
          path: |
            results.sqlite
            compare.html
"""
