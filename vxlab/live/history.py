"""What was done to a lab by operations: its plan, and what came later, in order.

Kept by :class:`vxlab.live.lab.Lab` for the evidence of a failed test, without turning anything into
text before that is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vxlab.plan.operations import Operation


@dataclass(slots=True, kw_only=True)
class LabChange:
    """One call of :meth:`vxlab.live.lab.Lab.apply`.

    ``pairs`` are the operations that were asked for, each with what an interceptor put in its place
    (itself without one, None where it was left out).  ``by`` is the name of the backend, ``builds``
    is True for the plan that builds the lab.  ``error`` says why it ended early, "" where not.
    """

    pairs: Sequence[tuple[Operation, Operation | None]]
    by: str
    builds: bool
    error: str = ""

    def lines(self) -> Iterator[str]:
        """A line for each operation; those that begin with ``#`` say what is no part of the plan.

        Operations of a change that does not build the lab stand below a line that says so.
        """
        if not self.builds:
            yield f"# applied to the lab as built, by {self.by}:"
        for wanted, done in self.pairs:
            if done is None:
                yield f"# left out by an interceptor: {_line(wanted)}"
            elif done is not wanted:
                yield f"# put in by an interceptor, in place of: {_line(wanted)}"
            if done is not None:
                yield _line(done)
        if self.error:
            yield f"# ended early, {_line(self.error)}"


def text(history: Iterable[LabChange]) -> str:
    """The plan of a lab and all later changes, a line each."""
    return "".join(f"{line}\n" for change in history for line in change.lines())


def _line(what: object) -> str:
    """What it says on one line."""
    return "; ".join(str(what).splitlines())
