"""What a probe finds: a :class:`Feature`; and how it is looked for: a :class:`Check`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from vxlab.errors import ApplyError, CapabilityError, MissingProgram, SandboxError

#: The reason where a probe needs namespaces of its own, and the system refuses them.
NOT_TRIED = "not tried: no private namespaces here"
SEE_NAMESPACES = "see namespaces: `vxlab doctor namespaces`"

#: How to come by a kernel that has all, in words that follow "run on …"; the second one for what is
#: newer than the first.
IN_A_MACHINE = "`vxlab vm run --kernel 6.12 -- COMMAND` boots one in seconds"
NEWER_IN_A_MACHINE = IN_A_MACHINE.replace("6.12", "7.2")

#: What to do where a kernel option is missing; ``{}`` is the option.
ANOTHER_KERNEL = f"run on a kernel with {{}}: {IN_A_MACHINE}, `vagrant up` a whole machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One thing that a kernel or a machine may offer, and whether this one does.

    ``name`` is the word that users type, ``title`` says what it is; ``available`` is True where it
    is there.  ``version`` is what a program prints, and never decides anything; ``reason`` says why
    it is not available, ``hint`` what to do about it; both are empty where it is.  Without a
    ``required`` feature no scenario runs; without another, those that need it are skipped.
    """

    name: str
    title: str
    available: bool
    version: str = ""
    reason: str = ""
    hint: str = ""
    required: bool = False

    def sentence(self) -> str:
        """Why something was skipped: ``needs vrf: the kernel answered …; run on a kernel …``."""
        if self.available:
            return f"has {self.name}" + (f" {self.version}" if self.version else "")
        return f"needs {self.name}: {self.reason}; {self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How one feature is looked for.

    ``name``, ``title`` and ``required`` are those of the :class:`Feature`.  ``attempt`` tries it,
    and returns a version or an empty string; it raises OSError or one of vxlab's errors where the
    feature is not there.  ``hint`` says what to do then.
    """

    name: str
    title: str
    attempt: Callable[[], str]
    hint: str
    required: bool = False

    def feature(self) -> Feature:
        """Try it, and say what was found."""
        try:
            version = self.attempt()
        except MissingProgram as error:
            package = f"install the package {error.package}" if error.package else self.hint
            return self._missing(f"found no program {error.program}", package)
        except SandboxError:
            return self._missing(NOT_TRIED, SEE_NAMESPACES)
        except ApplyError as error:
            return self._refused(error.errno, error.extack, str(error))
        except OSError as error:
            return self._refused(error.errno, "", str(error))
        except CapabilityError as error:
            return self._missing(str(error), self.hint)
        return Feature(
            name=self.name,
            title=self.title,
            available=True,
            version=version,
            required=self.required,
        )

    def _refused(self, code: int | None, extack: str, otherwise: str) -> Feature:
        no_rights = code in (errno.EPERM, errno.EACCES)  # which says nothing of the kernel's parts
        reason = kernel_said(code, extack) or otherwise
        return self._missing(reason, SEE_NAMESPACES if no_rights else self.hint)

    def _missing(self, reason: str, hint: str) -> Feature:
        return Feature(
            name=self.name,
            title=self.title,
            available=False,
            reason=reason,
            hint=hint,
            required=self.required,
        )


def kernel_said(code: int | None, extack: str = "") -> str:
    """An error number in words, with the kernel's own explanation; empty without a number."""
    if not code:
        return ""
    answer = f'the kernel answered "{os.strerror(code)}"'
    return f"{answer} ({extack})" if extack else answer
