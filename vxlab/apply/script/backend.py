"""The backend that builds labs by the lines of the script."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterable, Iterator

from vxlab.apply import batch, iproute2
from vxlab.apply.application import Application
from vxlab.apply.script.lines import lines_of, quoted
from vxlab.apply.site import Site
from vxlab.errors import ApplyError, VxlabError
from vxlab.plan.operations import AddRule, NodeName, Operation, RunProgram, SetSysctl
from vxlab.system.processes import finish
from vxlab.system.programs import SYSTEM_PATH, find_program

#: Seconds that one script may take, and more for each of its operations: those take milliseconds.
_DEADLINE, _EACH = 30.0, 0.5

#: Error numbers by their words, with those of dash (its errmsg()) for a file that is not there.
_NUMBERS = iproute2.NUMBERS | {"Directory nonexistent": errno.ENOENT, "nonexistent": errno.ENOENT}

#: How the lines are run: each with a number; of the first that fails, number and code are printed.
_FRAME = r"""
run() {
    number=$1
    shift
    "$@" >/run/said 2>&1 && return
    echo "$number $?"
    cat /run/said
    exit 1
}
set_sysctl() {
    # an external printf: those of shells do not say why they could not write
    ip netns exec "$1" sh -c 'env printf "%s\n" "${1#*=}" >"/proc/sys/${1%%=*}"' sh "$2"
}
mount -t tmpfs tmpfs /run && mkdir /run/netns || exit
"""


class ScriptBackend:
    """Applies plans by shell scripts; see :class:`vxlab.apply.site.Backend`.

    The lines are those of :func:`~vxlab.apply.script.script_of`; namespaces and services are
    the lab's own.  As with ``iproute2``, an operation of two commands may be refused after its
    first, and errors have the ``errno`` and ``extack`` that the programs print.
    """

    name = "script"

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order, by one script, or several where services come between.

        ApplyError for the first one refused, MissingProgram where there is no ``ip``.
        """
        try:
            _ScriptApplication(site).apply(operations)
        finally:
            site.forget_all()  # the indexes of new interfaces are not known


class _ScriptApplication(Application):
    """One application of a plan."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.collected: list[tuple[Operation, list[str]]] = []

    def apply(self, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order; settings and rules are lines of the script as all else."""
        for operation in operations:
            own = isinstance(operation, SetSysctl | AddRule | RunProgram)
            if own or not self.apply_common(operation):
                self.collect(operation)
        self.send()
        self.site.wait_ready()

    def collect(self, operation: Operation) -> None:
        """Keep the lines of an operation; where it has none, what came before is done first."""
        try:
            self.collected.append((operation, self._lines(operation)))
        except VxlabError:
            self.send()
            raise

    def _lines(self, operation: Operation) -> list[str]:
        self.site.node(operation.node)
        try:
            lines = lines_of(operation)
            words = [word for command in operation.commands() for word in command.words]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"wanted values that fit into a command, found {error!r}"
            raise ApplyError(repr(operation), problem) from error
        for word in words:
            if not isinstance(word, str) or "\0" in word:
                problem = f"wanted words that fit into a command, found {word!r}"
                raise ApplyError(repr(operation), problem)
            if isinstance(word, NodeName):
                self.site.node(word)
        return lines

    def send(self) -> None:
        """Run the lines that were collected, as one script."""
        collected, self.collected = self.collected, []
        if not collected:
            return
        file = self.site.folder / "apply.sh"
        file.write_text("\n".join(self._text(collected)) + "\n", encoding="utf-8")
        code, output = _shell(str(file), _DEADLINE + _EACH * len(collected))
        if code == 0:
            return
        first, _, said = output.partition("\n")
        found = re.fullmatch(r"(\d+) (\d+)", first)
        if found is None:
            ended = "was killed, as it took too long" if code is None else f"ended with {code}"
            raise ApplyError(str(collected[0][0]), f"the script {ended}: {output.strip()}")
        operation, lines = collected[int(found[1])]
        raise _refusal(operation, lines, int(found[2]), said)

    def _text(self, collected: Iterable[tuple[Operation, list[str]]]) -> Iterator[str]:
        yield _FRAME
        for name, namespaces in self.site.namespaces.items():
            yield quoted(["ln", "-s", namespaces.path(), f"/run/netns/{name}"])
        for number, (_, lines) in enumerate(collected):
            yield from (f"run {number} {line}" for line in lines)


def _refusal(operation: Operation, lines: list[str], code: int, said: str) -> ApplyError:
    """Why one of the lines of an operation ended with ``code``."""
    complaint = "; ".join(line.strip() for line in said.splitlines() if line.strip())
    if isinstance(operation, SetSysctl):
        number = _NUMBERS.get(complaint.rpartition(": ")[2])
        reason = os.strerror(number) if number is not None else complaint
        return ApplyError(str(operation), reason, errno=number)
    if isinstance(operation, AddRule | RunProgram):
        return ApplyError(str(operation), complaint or "refused")
    outcome = batch.BatchResult(read=1, code=code, output=said)
    return iproute2.refusal(str(operation), lines[0].partition(" ")[0], outcome)


def _shell(file: str, timeout: float) -> tuple[int | None, str]:
    """Run a script with a mount namespace of its own: exit code (None: killed) and output."""
    own = os.environ.get("PATH", "")
    folders = [os.path.dirname(find_program("ip")), own, *SYSTEM_PATH]
    process = subprocess.Popen(
        [find_program("unshare"), "--mount", "sh", file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": os.pathsep.join(filter(None, folders)), "LC_ALL": "C"},
        start_new_session=True,
    )
    try:
        output = finish(process, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        return None, (error.output or b"").decode(errors="replace")
    return process.returncode, output.stdout.decode(errors="replace")
