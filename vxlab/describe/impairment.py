"""Links that are slow, lossy or narrow: what tc-netem(8) and tc-tbf(8) do to what leaves a card."""

from __future__ import annotations

from dataclasses import dataclass

from vxlab.describe import checks
from vxlab.errors import TopologyError

#: Percentages of :class:`Netem`, by the words of tc-netem(8).
_PERCENTAGES = {
    "loss": "loss",
    "duplicate": "duplicate",
    "corrupt": "corrupt",
    "reorder": "reorder",
}
_BURST = 16_000  # bytes that a narrow link lets pass at once: some full frames
_LATENCY = 200  # milliseconds that a frame may wait in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Netem:
    """What happens to the frames that leave by a card.

    ``delay`` is in milliseconds, ``jitter`` its spread; ``loss``, ``duplicate``, ``corrupt`` and
    ``reorder`` are percentages of the frames (reordered ones skip the delay); ``rate`` is in bits a
    second; ``seed`` gives the same losses each time (kernel 6.6, iproute2 6.6).  A ``rate`` alone
    is done by tc-tbf(8), which more kernels have.  TopologyError for a value that cannot be.
    """

    delay: float = 0
    jitter: float = 0
    loss: float = 0
    duplicate: float = 0
    corrupt: float = 0
    reorder: float = 0
    rate: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("delay", "jitter", *_PERCENTAGES):
            value = getattr(self, name)
            high = 100 if name in _PERCENTAGES else 60_000
            good = isinstance(value, int | float) and not isinstance(value, bool)
            if not good or not 0 <= value <= high:
                raise TopologyError("netem", name, f"wanted 0 to {high}, found {value!r}")
        checks.number("netem", "rate", self.rate, 0, 1 << 40)
        if self.seed is not None:
            checks.number("netem", "seed", self.seed, 0, (1 << 64) - 1)
        for name in ("jitter", "reorder"):
            if getattr(self, name) and not self.delay:
                raise TopologyError("netem", name, "wanted a delay beside it, found none")
        if not self.words():
            raise TopologyError("netem", "delay", "wanted anything at all, found nothing set")

    def words(self) -> tuple[str, ...]:
        """The words of ``tc qdisc … root``: netem, or tbf for a rate alone."""
        line: list[str] = []
        if self.delay:
            line += ["delay", f"{self.delay:g}ms"]
            line += [f"{self.jitter:g}ms"] if self.jitter else []
        for name, word in _PERCENTAGES.items():
            if getattr(self, name):
                line += [word, f"{getattr(self, name):g}%"]
        if not line and self.rate:
            return (
                "tbf",
                "rate",
                f"{self.rate}bit",
                "burst",
                str(_BURST),
                "latency",
                f"{_LATENCY}ms",
            )
        if not line:
            return ()
        line += ["rate", f"{self.rate}bit"] if self.rate else []
        line += ["seed", str(self.seed)] if self.seed is not None else []
        return ("netem", *line)


def impair_words(device: str, impairment: Netem | None) -> tuple[str, ...]:
    """The command that gives ``device`` an ``impairment``, in place of another; None: takes it
    away.

    The device's queue is then what the kernel gives it.
    """
    if impairment is None:
        return ("tc", "qdisc", "del", "dev", device, "root")
    return ("tc", "qdisc", "replace", "dev", device, "root", *impairment.words())
