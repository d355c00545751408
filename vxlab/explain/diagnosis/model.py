"""What a diagnosis is."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.explain.diagnosis.trace import Direction


@dataclass(frozen=True, slots=True)
class Step:
    """One place on the way: ``node:interface``, on the way there or back, and what it saw.

    ``summary`` is the frame in one line, empty where it was not seen.
    """

    place: str
    direction: Direction
    seen: bool
    summary: str

    def __str__(self) -> str:
        return f"{self.direction:5}  {self.place:20}  {self.summary if self.seen else 'not seen'}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What became of one ping from the node ``source`` to ``address``.

    ``reached`` is whether it was answered; ``hop`` the first broken place (``router:eth1``), None
    where there is none; ``cause`` says in words what happened there and why, ``advice`` what to
    do about it; ``code`` is the cause in one word, a key of :data:`CODES`; ``steps`` are the
    places on the way, up to the broken one and beyond.
    """

    source: str
    address: str
    reached: bool
    hop: str | None
    cause: str
    advice: str
    code: str
    steps: tuple[Step, ...] = ()

    @property
    def sentence(self) -> str:
        """The diagnosis in one line."""
        return f"{self.source} -> {self.address}: {self.cause}"

    def __str__(self) -> str:
        broken = f", broken at {self.hop}" if self.hop else ""
        lines = [f"{self.source} -> {self.address}: {self.code}{broken}"]
        lines += [f"  {step}" for step in self.steps]
        lines += [f"  cause: {self.cause}", f"  to do: {self.advice}"]
        return "\n".join(lines)
