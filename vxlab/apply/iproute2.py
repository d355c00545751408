"""The backend that runs the real ``ip`` and ``bridge``, so that iproute2 itself is under test.

Which ones: those in PATH, or in the folder given to :func:`vxlab.system.programs.use_iproute2`.

How a refusal reads, in iproute2 4.15 to 7.1 (``rtnl_talk_error()`` in ``lib/libnetlink.c``): where
the kernel explains itself, only the explanation is printed, ``Error: Cannot change VNI.``, and its
error number is lost; where it does not, the number in words, ``RTNETLINK answers: File exists``.
What ``ip`` refuses by itself has neither: ``Error: argument "x" is wrong: …`` and the like.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator
from itertools import groupby

from vxlab.apply import batch
from vxlab.apply.application import Application
from vxlab.apply.site import Site
from vxlab.errors import ApplyError, VxlabError, in_words
from vxlab.plan.operations import Command, NodeName, Operation

#: Error numbers by the words that programs print for them.
NUMBERS = {os.strerror(code): code for code in errno.errorcode}

_ANSWER = re.compile(r"^RTNETLINK answers: (.+)$", re.MULTILINE)
_EXPLANATION = re.compile(r"^Error: (.+?)\.?$", re.MULTILINE)
#: Errors of ip and bridge themselves that look like the kernel's (on_off() in
#: ip/iplink.c, brlink_modify() in bridge/link.c).
_OWN = re.compile(r"argument of \"|device \S+ does not exist|invalid STP |invalid MSTI")
#: What is no part of a refusal: warnings, hints (vxlan_parse_opt()), and what follows `Usage:`.
_NOISE = re.compile(
    r"Command failed -:\d+|Warning: .*|vxlan: destination port not specified|"
    r"Will use Linux kernel default .*|Use 'dstport \d+' to get .*"
)
_KERNEL_REFUSED = 2  # exit code of ip(8) and bridge(8)


class Iproute2Backend:
    """Applies plans by ``ip`` and ``bridge``; see :class:`vxlab.apply.site.Backend`.

    An operation that takes two commands may be refused after its first: a link that cannot be
    set up is there nevertheless.
    """

    name = "iproute2"

    def apply(self, site: Site, operations: Iterable[Operation]) -> None:
        """Apply ``operations`` in order, runs of one node and one program as one process each.

        ApplyError for the first one refused; its ``errno`` is None, and its ``extack`` empty,
        where the program did not print it.  MissingProgram where there is no ``ip`` or ``bridge``.
        """
        try:
            _Iproute2Application(site).apply(operations)
        finally:
            site.forget_all()  # the indexes of new interfaces are not known


class _Iproute2Application(Application):
    """One application of a plan."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.batch: list[tuple[Operation, Command]] = []

    def collect(self, operation: Operation) -> None:
        """Keep the commands of an operation, with paths in place of the names of nodes."""
        try:
            self.batch += [(operation, self._found(each)) for each in _commands(operation)]
        except VxlabError:
            self.send()  # what came before is done all the same
            raise

    def _found(self, command: Command) -> Command:
        words = tuple(
            self.site.node(word).path() if isinstance(word, NodeName) else word
            for word in command.words
        )
        return Command(command.node, command.program, words)

    def send(self) -> None:
        """Run the commands that were collected."""
        collected, self.batch = self.batch, []
        for program, group in groupby(collected, lambda pair: pair[1].program):
            pairs = list(group)
            while pairs:
                del pairs[: self._run(program, pairs)]

    def _run(self, program: str, pairs: list[tuple[Operation, Command]]) -> int:
        """Run some of the commands, in order, and return how many."""
        namespaces = self.site.node(pairs[0][0].node)
        try:
            outcome = batch.run_commands(
                namespaces, program, [command.words for _, command in pairs]
            )
        except (OSError, ValueError) as error:
            raise ApplyError(str(pairs[0][0]), f"{program} cannot be run: {error}") from error
        if outcome.code != 0:
            raise refusal(str(pairs[max(outcome.read, 1) - 1][0]), program, outcome)
        if not outcome.read:
            complaint = _complaint(outcome.output) or "it printed nothing"
            problem = f"wanted {program} to read its command, found that it did not: {complaint}"
            raise ApplyError(str(pairs[0][0]), problem)
        return outcome.read


def _commands(operation: Operation) -> Iterator[Command]:
    """The commands of an operation; ApplyError where it has none, or words that are no text."""
    try:
        commands = operation.commands()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"wanted values that fit into a command, found {error!r}"
        raise ApplyError(repr(operation), problem) from error
    if not commands:
        raise ApplyError(repr(operation), "wanted a command of iproute2 that does it, found none")
    for command in commands:
        odd = [word for word in command.words if not isinstance(word, str) or "\0" in word]
        if odd:
            problem = f"wanted words that fit into a command, found {odd[0]!r}"
            raise ApplyError(repr(operation), problem)
        yield command


def refusal(operation: str, program: str, outcome: batch.BatchResult) -> ApplyError:
    """Why a command failed.

    ``operation`` is the operation as text, ``program`` the name of the program, ``outcome`` how it
    ended.
    """
    complaint = _complaint(outcome.output)
    if outcome.code is None:
        said = f", which said: {complaint}" if complaint else ""
        problem = f"waited {batch.DEADLINE:g} s for {program} to end{said}; killed it"
        return ApplyError(operation, problem)
    if outcome.code < 0:
        name = signal.strsignal(-outcome.code) or "an unknown signal"
        problem = f"{program} died of {_signal(-outcome.code)} ({name})"
        return ApplyError(operation, problem + (f": {complaint}" if complaint else ""))
    code = _error_number(outcome.output)
    extack = _explanation(outcome)
    if code is not None:
        return ApplyError(operation, in_words(code), errno=code, extack=extack)
    if extack:
        return ApplyError(operation, "the kernel refused it", extack=extack)
    return ApplyError(
        operation, complaint or f"{program} ended with {outcome.code}, and printed nothing"
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _error_number(output: str) -> int | None:
    """The kernel's error number in what was printed; None where it is not there, or unknown."""
    answers = _ANSWER.findall(output)
    return NUMBERS.get(answers[-1]) if answers else None


def _explanation(outcome: batch.BatchResult) -> str:
    """The kernel's own explanation, without the full stop that ip adds, or "".

    Other errors that look the same are ip's own; after those it does not name the command.
    """
    found = _EXPLANATION.findall(outcome.output)
    by_kernel = outcome.named or outcome.code == _KERNEL_REFUSED
    return found[-1] if found and by_kernel and not _OWN.match(found[-1]) else ""


def _complaint(output: str) -> str:
    """What a program printed about a refusal, as one line."""
    before, usage, _ = output.partition("Usage:")
    lines = [line.strip() for line in before.splitlines()]
    complaint = "; ".join(line for line in lines if line and not _NOISE.fullmatch(line))
    return complaint or ("it does not know these words: it printed its usage" if usage else "")
