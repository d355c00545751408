"""Every error that vxlab raises on purpose, in one family.

    VxlabError
    ├── TopologyError        the description is wrong: names the node and the field
    ├── CapabilityError      this machine cannot do it
    │   ├── SandboxError     namespaces are not available, or not entered
    │   ├── ProbeError       it did not say whether it can: a probe was not answered
    │   └── MissingProgram   a program is not installed
    ├── ApplyError           the kernel or a program refused one operation of a plan
    │   └── DaemonError      a service did not start, ended, or never became ready
    ├── CommandError         a command inside a node failed
    ├── WaitTimeout          a condition did not come true within its deadline
    └── CaptureError         a capture could not be started, or is not trustworthy

A message says what was wanted, what was found, and what to do.
"""

from __future__ import annotations

import errno
import os

# C has two names for one of the numbers; the kernel's sources have this one.
_NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP"}


def in_words(code: int) -> str:
    """An error number as a person reads it: ``File exists (EEXIST)``."""
    return f"{os.strerror(code)} ({_NAMES.get(code, code)})"


def escaped(text: str) -> str:
    """A text with escapes in place of what is no printable character: a line of its own."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class VxlabError(Exception):
    """Base of all errors that vxlab raises on purpose."""


class TopologyError(VxlabError, ValueError):
    """A topology cannot be built as described.

    ``node`` is the element that is wrong (``host a``), ``field`` its attribute, ``problem`` the
    sentence that says what was wanted and found.  All three are attributes of the error; what they
    quote of a person's text is printable.
    """

    def __init__(self, node: str, field: str, problem: str) -> None:
        node, field, problem = map(escaped, (node, field, problem))
        super().__init__(f"{node}: {field}: {problem}")
        self.node = node
        self.field = field
        self.problem = problem


class CapabilityError(VxlabError):
    """This machine lacks something that was asked for."""


class SandboxError(CapabilityError):
    """The private namespaces could not be entered, or were not."""


class ProbeError(CapabilityError):
    """Whether this machine has something could not be found out: nothing is known of it.

    ``reason`` says what was found in place of an answer, ``hint`` what to do about it.  ``feature``
    is the name of what was looked for, "" where the error has not yet come to who knows it.  All
    are attributes of the error.
    """

    def __init__(self, reason: str, hint: str, feature: str = "") -> None:
        wanted = f"wanted to know whether {feature} is here" if feature else "wanted an answer"
        super().__init__(f"{wanted}, found none: {reason}; {hint}")
        self.reason = reason
        self.hint = hint
        self.feature = feature


class MissingProgram(CapabilityError):
    """A program that the lab needs is not installed.

    ``program`` is its name, ``package`` the Debian package that holds it, None where that is not
    known.  Both are attributes of the error.
    """

    def __init__(self, program: str, package: str | None = None) -> None:
        hint = f"install the package {package}" if package else "install it, or extend PATH"
        words = program.split()
        if len(words) > 1:
            hint = f"give each of its words by itself: {', '.join(map(repr, words))}"
        super().__init__(
            f"wanted the program {program!r}, found none in PATH: {hint} "
            "(`vxlab setup` installs all that vxlab needs, `vxlab doctor` lists it)"
        )
        self.program = program
        self.package = package


class ApplyError(VxlabError):
    """The kernel, or a program, refused one operation of a plan.

    ``operation`` is the operation as text and ``reason`` why it was refused, in words;
    ``errno`` is the kernel's error number, or None where a program refused; ``extack`` the
    kernel's own explanation, or "".  All but ``reason`` are attributes of the error.
    """

    def __init__(
        self, operation: str, reason: str, *, errno: int | None = None, extack: str = ""
    ) -> None:
        super().__init__(f"{operation}: {reason}" + (f" ({extack})" if extack else ""))
        self.operation = operation
        self.errno = errno
        self.extack = extack


class DaemonError(ApplyError):
    """A service, such as a routing daemon, did not start, ended, or was not ready in time."""


class CommandError(VxlabError):
    """A command inside a node ended with an exit code other than 0.

    ``node`` is the node's name, ``argv`` the command with its arguments, ``code`` its exit code
    (below 0: the signal that ended it), ``output`` what it printed.  All are attributes of the
    error.
    """

    def __init__(self, node: str, argv: tuple[str, ...], code: int, output: str) -> None:
        shown = output.strip() or "no output"
        super().__init__(f"{node}: `{' '.join(argv)}` ended with {code}: {shown}")
        self.node = node
        self.argv = argv
        self.code = code
        self.output = output


class WaitTimeout(VxlabError, TimeoutError):
    """A condition did not come true in time; the message says what was there instead."""


class CaptureError(VxlabError):
    """A capture could not be started, or cannot be trusted."""
