"""One setting of a device: what the kernel and ip(8) call it, and which values it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from vxlab.describe.vxlan.table import Value
from vxlab.netlink import values
from vxlab.netlink.values import ValueType

_HIGHEST = {"u8": 0xFF, "u16": 0xFFFF, "u16be": 0xFFFF, "u32": 0xFFFFFFFF, "u64": (1 << 64) - 1}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a kind of device, or of a bridge's port.

    ``name`` is what topologies, snapshots and ip(8) or bridge(8) call it; ``number`` its netlink
    attribute (within IFLA_INFO_DATA, or IFLA_BRPORT_*), ``type`` its encoding.  ``words`` are names
    that ip(8) has for some numbers, each with its number; other numbers go from ``low`` to ``high``
    (None: all that the type holds).  ``word`` is what ip(8) calls it where that is another name.
    """

    name: str
    number: int
    type: ValueType
    _: KW_ONLY
    words: Mapping[str, int] = field(default_factory=dict, hash=False)
    low: int = 0
    high: int | None = None
    word: str = ""

    def number_of(self, value: Value) -> Value:
        """``value`` with a number in place of one of the setting's words."""
        return self.words[value] if isinstance(value, str) and value in self.words else value

    def problem(self, value: object) -> str:
        """What is wrong with ``value``, as a sentence; "" where nothing is."""
        if isinstance(value, str) and value in self.words:
            return ""
        if self.type in ("bool", "flag"):
            return "" if isinstance(value, bool) else f"wanted True or False, found {value!r}"
        if self.type == "device":
            named = isinstance(value, str)
            return "" if named else f"wanted the name of a device, found {value!r}"
        if self.type in _HIGHEST:
            return self._number_problem(value)
        try:
            values.encode(self.type, value, lambda _: 1)
        except (TypeError, ValueError, KeyError) as error:
            return f"wanted a value of type {self.type}, found {value!r} ({error})"
        return ""

    @property
    def highest(self) -> int:
        """The largest number that it may be; KeyError where it is no number."""
        return _HIGHEST[self.type] if self.high is None else self.high

    def _number_problem(self, value: object) -> str:
        high = self.highest
        on_off = isinstance(value, bool) and (self.low, high) == (0, 1)
        whole = isinstance(value, int) and (on_off or not isinstance(value, bool))
        if whole and self.low <= int(value) <= high:  # type: ignore[call-overload]
            return ""
        known = f"{', '.join(self.words)} or " if self.words else ""
        return f"wanted {known}a whole number from {self.low} to {high}, found {value!r}"
