"""What a probe finds: a :class:`Feature`; and how it is looked for: a :class:`Check`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from vxlab.errors import ApplyError, CapabilityError, MissingProgram, ProbeError, SandboxError
from vxlab.features.verdicts import LACKING, SEE_NAMESPACES, advice, kernel_said

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
    ``required`` feature no scenario runs; without another, those that need it are skipped.  It is
    not ``known`` where the probe was not answered (:class:`~vxlab.errors.ProbeError`).
    """

    name: str
    title: str
    available: bool
    version: str = ""
    reason: str = ""
    hint: str = ""
    required: bool = False
    known: bool = True

    def sentence(self) -> str:
        """Why something was skipped: ``needs vrf: the kernel answered …; run on a kernel …``."""
        if self.available:
            return f"has {self.name}" + (f" {self.version}" if self.version else "")
        return f"needs {self.name}: {self.reason}; {self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How one feature is looked for.

    ``name``, ``title`` and ``required`` are those of the :class:`Feature`.  ``attempt`` tries it,
    and returns a version or an empty string.  Where the feature is not there it raises
    CapabilityError, or the kernel's answer as OSError or ApplyError
    (:data:`vxlab.features.verdicts.LACKING`); ``hint`` says what to do then.
    """

    name: str
    title: str
    attempt: Callable[[], str]
    hint: str
    required: bool = False

    def feature(self) -> Feature:
        """Try it, and say what was found; ProbeError where that says nothing of the feature."""
        try:
            version = self.attempt()
        except MissingProgram as error:
            package = f"install the package {error.package}" if error.package else self.hint
            return self._missing(f"found no program {error.program}", package)
        except ProbeError as error:
            raise ProbeError(error.reason, error.hint, self.name) from error
        except SandboxError as error:
            raise ProbeError(str(error), SEE_NAMESPACES, self.name) from error
        except ApplyError as error:
            return self._answered(error, error.errno, error.extack)
        except OSError as error:
            return self._answered(error, error.errno)
        except CapabilityError as error:
            return self._missing(str(error), self.hint)
        return Feature(
            name=self.name,
            title=self.title,
            available=True,
            version=version,
            required=self.required,
        )

    def unknown(self, error: ProbeError) -> Feature:
        """The feature, for people to look at, where trying it ended with ``error``."""
        return dataclasses.replace(self._missing(error.reason, error.hint), known=False)

    def _answered(self, error: Exception, code: int | None, extack: str = "") -> Feature:
        """What an error number says: that the feature is missing; ProbeError where it does not."""
        said = kernel_said(code, extack) or str(error)
        if code not in LACKING:
            raise ProbeError(said, advice(code), self.name) from error
        return self._missing(said, self.hint)

    def _missing(self, reason: str, hint: str) -> Feature:
        return Feature(
            name=self.name,
            title=self.title,
            available=False,
            reason=reason,
            hint=hint,
            required=self.required,
        )
